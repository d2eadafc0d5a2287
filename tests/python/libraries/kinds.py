"""The closed list of what may be different, with a test of each that holds for nothing else.

A row of the table names the kinds that it expects, and the metrics that it expects them of. A
difference that no expected kind explains fails its row; so does an expected kind that explains
none, as the table would say what is not so.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from pages import Difference


@dataclass(frozen=True)
class Kind:
    """A reason why a line may be different."""

    says: str
    explains: Callable[[Difference], bool]
    #: Whether how many lines it explains is chance; with `may_be_none`, none at all.
    is_chance: bool = False
    may_be_none: bool = False


def _is_here_alone(difference):
    return difference.files is None and not difference.is_repeated


def _is_of_supervisor(difference):
    # A process of its own says the same of itself, in other words.
    return _is_here_alone(difference) or difference.name.startswith("process_")


def _is_of_python(difference):
    return _is_here_alone(difference) or difference.name.startswith("python_gc_")


def _is_drawn(difference):
    """Whether it is a line with an identity that no other process has, on either side."""
    is_one_sided = (difference.files is None) != (difference.tallyboard is None)
    identity = r'="[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"'
    return is_one_sided and bool(re.search(identity, difference.labels))


def _is_dead_gauge(difference):
    return difference.tallyboard in (0, None) and (difference.files or 0) > 0


def _is_of_one_process(difference):
    is_comment = difference.line[0] != "sample"
    is_created = difference.name.endswith("_created")
    is_one_of_many = is_created or is_comment or difference.is_repeated or difference.has_pids
    return difference.tallyboard is None and is_one_of_many


def _is_share(difference):
    """Whether one more process has a line, or has opened one more of something."""
    values = (difference.files, difference.tallyboard)
    if '="*"' in difference.labels:
        return difference.is_repeated and None in values
    return all(isinstance(value, (int, float)) and value > 0 for value in values)


def _is_measured(difference):
    return all(
        isinstance(value, (int, float)) for value in (difference.files, difference.tallyboard)
    )


#: What every page has, and files have not.
ALWAYS = {"supervisor": r"(tallyboard|process)_.*", "python": r"python_(info|gc_.*)"}

KINDS = {
    "supervisor": Kind(
        "What the supervisor says of itself, of its arena and of the processes that it knows. "
        "Files have nobody who could.",
        _is_of_supervisor,
    ),
    "python": Kind(
        "What the default registry collects of Python: `python_info`, and its collections added up "
        "over all processes. A `MultiProcessCollector` leaves out what no file has.",
        _is_of_python,
    ),
    "dead": Kind(
        "A live gauge of a killed process is gone. Its file stays where nobody marks the process "
        "dead, and says for ever that a request is under way.",
        _is_dead_gauge,
    ),
    "one process": Kind(
        "A registry that holds metrics and a `MultiProcessCollector` shows these metrics twice "
        "with files: of the service, and again of the process that answers, with created times, "
        "and with comments where it has counted nothing. Here each is shown once, of the service.",
        _is_of_one_process,
        is_chance=True,
    ),
    "drawn": Kind(
        "A label that the library draws at random in each process.",
        _is_drawn,
    ),
    "share": Kind(
        "Which process answers what is chance, and so is how many of them have opened a "
        "connection, or have a line of a gauge of mode `all`. One that was made before a fork and "
        "is never set has no line of the child here; with files it is 0 there once the child "
        "counts anything.",
        _is_share,
        is_chance=True,
        may_be_none=True,
    ),
    "measured": Kind(
        "A time or a size that the library takes from the machine. Series, labels and counts are "
        "the same; how long something took is not the same twice.",
        _is_measured,
        is_chance=True,
        may_be_none=True,
    ),
}


def explain(found, expected):
    """How often each kind explains a difference; and the differences that none explains.

    `expected` are names of metrics by kind, as regular expressions of the whole name.
    """
    counts = dict.fromkeys(expected, 0)
    unexplained = []
    for difference in found:
        for kind, names in expected.items():
            if re.fullmatch(names, difference.name) and KINDS[kind].explains(difference):
                counts[kind] += 1
                break
        else:
            unexplained.append(difference)
    return counts, unexplained


def unused(counts):
    """Kinds that were expected, and are no more."""
    return [kind for kind, count in counts.items() if not count and not KINDS[kind].may_be_none]
