"""The table of what was measured, and the page of the documentation that has it."""

import json
import sys
from pathlib import Path

import kinds
from table import HOME, LIBRARIES

PAGE = Path(__file__).parents[3] / "docs/python-libraries.md"
BEGIN, END = (
    "<!-- What tests/python/libraries/run --write has measured. -->",
    "<!-- Until here. -->",
)
HEAD = """\
| library | way | answered | killed | lines with files | lines here | different |
|---|---|--:|--:|--:|--:|---|"""


def table():
    """A row for each library; one that has failed says so."""
    rows = [HEAD, *map(row, LIBRARIES)]
    reasons = [f"- **{name}**: {kind.says}" for name, kind in kinds.KINDS.items()]
    return "\n".join([BEGIN, "", *rows, "", *reasons, "", END])


def row(library):
    measured = HOME / "rows" / library.name
    if not measured.exists():
        return f"| {library.distribution} | {library.way} | FAILED | | | | |"
    found = json.loads(measured.read_text())
    different = "; ".join(
        explained(kind, library.expected[kind], count)
        for kind, count in found["differences"].items()
    )
    return (
        f"| {library.distribution} {found['version']} | {library.way} | {found['answered']} "
        f"| {found['killed']} | {found['files']} | {found['tallyboard']} | {different or 'none'} |"
    )


def explained(kind, names, count):
    """A kind of differences, and of which metrics they are."""
    lines = "" if kinds.KINDS[kind].is_chance else f", {count} line{'s' * (count != 1)}"
    shown = names.replace("|", "\\|")
    return f"**{kind}**: `{shown}`{lines}"


def main():
    measured = table()
    print(measured)
    text = PAGE.read_text()
    before, rest = text.split(BEGIN)
    wanted = before + measured + rest.split(END)[1]
    if "--write" in sys.argv:
        PAGE.write_text(wanted)
    elif "--check" in sys.argv and wanted != text:
        sys.exit(
            f"{PAGE.name}: expected the table above; tests/python/libraries/run --write writes it"
        )


if __name__ == "__main__":
    main()
