"""The files that the README shows: what is tried is what is written there."""

import re
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"


def shown(name):
    """The block that begins with a comment with this name."""
    blocks = re.findall(r"^```\w+\n# (\S+)\n(.*?)^```$", README.read_text(), re.M | re.S)
    found = [text for called, text in blocks if called == name]
    assert len(found) == 1, (name, [called for called, _ in blocks])
    return found[0]
