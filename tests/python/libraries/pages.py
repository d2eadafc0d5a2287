"""Pages of metrics, line by line, and what two of them do not have in common."""

import re
from dataclasses import dataclass
from itertools import zip_longest

from prometheus_client.parser import text_string_to_metric_families

#: A line of a page: what it is, a name, and the labels of a sample or the text of a comment.
Line = tuple[str, str, str]


def lines(page, of_run=()):
    """The lines of a text page, with the values of each: one, if it does not stand there twice.

    Pids are others in each run, so the lines of all processes are one line with many values. Of
    labels that a library makes anew in each run, `of_run`, which process has what is chance: their
    values are added.
    """
    found = {}
    for line in page.splitlines():
        if line.startswith("# "):
            _, what, name, text = [*line.split(" ", 3), ""][:4]
            found.setdefault((what, name, text), []).append("there")
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            changing = {"pid", *of_run} & sample.labels.keys()
            pairs = sample.labels | dict.fromkeys(changing, "*")
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(pairs.items()))
            values = found.setdefault(("sample", sample.name, labels), [])
            values[:] = (
                [sum(values) + sample.value] if changing - {"pid"} else [*values, sample.value]
            )
    return found


def total(page, names):
    """The sum of all samples whose names fit an expression."""
    return sum(
        sum(values)
        for (what, name, _), values in page.items()
        if what == "sample" and re.fullmatch(names, name)
    )


@dataclass(frozen=True)
class Difference:
    """A line that one page has and the other has not, or has with another value, or once more."""

    line: Line
    #: Nothing where the line is missing.
    files: object
    tallyboard: object
    #: Whether both have the line, and one of them once more.
    is_repeated: bool = False
    #: Whether both have it of each process, with a pid.
    has_pids: bool = False

    @property
    def name(self):
        return self.line[1]

    @property
    def labels(self):
        return self.line[2] if self.line[0] == "sample" else ""

    def __str__(self):
        what, name, text = self.line
        shown = f"{name}{{{text}}}" if what == "sample" else f"# {what} {name} {text}"
        twice = ", which stands twice" if self.is_repeated else ""
        return f"{shown}{twice}: {self.files} with files, {self.tallyboard} with Tallyboard"


def differences(files, tallyboard):
    """All of them, in the order of their lines."""
    for line in sorted(files.keys() | tallyboard.keys()):
        theirs, ours = ([*page.get(line, [])] for page in (files, tallyboard))
        has_common = False
        for value in [*ours]:
            if same := [other for other in theirs if _is_same(other, value)]:
                ours.remove(value)
                theirs.remove(same[0])
                has_common = True
        with_pid = (line[0], line[1], ",".join(filter(None, [line[2], 'pid="*"'])))
        has_pids = with_pid in files and with_pid in tallyboard
        for their, our in zip_longest(theirs, ours):
            yield Difference(line, their, our, has_common, has_pids)


def _is_same(one, other):
    return one == other or (one != one and other != other)
