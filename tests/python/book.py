"""What the README and the pages of the book show: what is tried is what is written there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = ROOT / "docs"


def blocks(page, language):
    """The blocks of a page in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.M | re.S)


def shown(name):
    """The file that a page of the book shows: the block that begins with a comment with this name."""
    texts = [text for page in sorted(PAGES.glob("*.md")) for text in blocks(page, r"\w+")]
    files = [text.partition("\n") for text in texts if text.startswith("# ")]
    found = [text for first, _, text in files if first == f"# {name}"]
    assert len(found) == 1, (name, [first for first, _, _ in files])
    return found[0]
