"""Each library as released: the same application, requests and kills, with plain prometheus_client
and with one word before the command; each difference of the pages is one that is expected."""

import json
import re
import subprocess
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import kinds
import pages
import pytest
from loads import Unanswered
from serving import Process, free_port, session, until
from sides import UnderTallyboard
from table import HOME, LIBRARIES


@dataclass
class Row:
    """What was measured of a library."""

    name: str
    version: str
    answered: int
    killed: int
    #: Lines of the page of the library on either side.
    files: int
    tallyboard: int
    #: How many lines are different, by kind.
    differences: dict


@pytest.fixture
def folder():
    """One with a short name: paths of sockets have 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="library-") as folder:
        yield Path(folder)


@pytest.fixture
def broker(folder):
    port = free_port()
    command = f"redis-server --port {port} --bind 127.0.0.1 --save '' --dir {folder}"
    with Process("sh", "-c", f"exec {command}") as process:
        until(lambda: "Ready to accept connections" in process.said, process)
        yield f"redis://127.0.0.1:{port}"


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.name)
def test_a_library_shows_what_it_shows_with_files(library, folder, broker):
    version = installed(library)
    other = measure_other(library, folder, broker)
    ours = measure(UnderTallyboard, library, folder, broker)
    assert other.answered == ours.answered and (other.killed, ours.killed) != (0, 0)

    found = list(pages.differences(other.page, ours.page))
    counts, unexplained = kinds.explain(found, kinds.ALWAYS | library.expected)
    assert not unexplained, listed(unexplained)
    assert not kinds.unused(counts), f"expected, and not different: {kinds.unused(counts)}"
    sizes = [size(side.page) for side in (other, ours)]
    sizes[0] -= counts.get("one process", 0)
    different = {kind: count for kind, count in counts.items() if kind not in kinds.ALWAYS}
    row = Row(library.name, version, ours.answered, ours.killed, *sizes, different)
    (HOME / "rows" / library.name).write_text(json.dumps(asdict(row)))


def size(page):
    """How many lines a page has of the library: those of all processes counted once, and none of
    those that every page here has."""
    always = re.compile("|".join(kinds.ALWAYS.values()))
    lines = {line: values for line, values in page.items() if not always.fullmatch(line[1])}
    return sum(1 if '="*"' in line[2] else len(values) for line, values in lines.items())


def installed(library):
    """The version that is there, which is the one that is asked for."""
    program = f"from importlib import metadata as m; print(m.version({library.distribution!r}))"
    python = library.environment / "bin/python"
    asked = subprocess.run([python, "-c", program], capture_output=True, text=True)
    reason = (HOME / f"{library.environment.name}.log").read_text()
    assert asked.returncode == 0, f"{library.distribution} is not installed: {reason}"
    return asked.stdout.strip()


def listed(differences):
    shown = [str(difference) for difference in differences[:40]]
    return "\n".join([f"{len(differences)} differences:", *shown])


@dataclass
class Measured:
    page: dict
    answered: int
    killed: int


def measure_other(library, folder, broker):
    """What is compared with. A request that nobody answers there is no fault of what is tested, and is
    seen now and then: then all of it is measured again, twice at most."""
    for again in ("first", "second"):
        (folder / again).mkdir()
        try:
            return measure(library.other, library, folder / again, broker)
        except Unanswered as reason:
            print(f"{library.name}, with files: {reason}")
    return measure(library.other, library, folder, broker)


def measure(side, library, folder, broker):
    with side(library, folder / side.__name__, broker) as it:
        library.load.run(it)
        before = it.service() if side is UnderTallyboard else ""
        page = pages.lines(it.page(), library.of_run)
        if side is UnderTallyboard:
            agrees_with_supervisor(library, page, before, it.service())
        library.load.settle(it)
    if side is UnderTallyboard:
        assert not list(it.directory.iterdir()), "files are written"
        assert "counts in this process alone" not in it.said, it.tail
        until(lambda: not list(session(it.child.pid)), "the end of all processes")
    return Measured(page, it.expected, it.killed)


def agrees_with_supervisor(library, page, before, after):
    """The supervisor has on its own address what the library shows, but what the page itself adds.

    A worker that replaces a killed one may still be starting, and has its first lines at any moment:
    each line is one that the supervisor has just before or just after.
    """
    changes = re.compile("|".join([*kinds.ALWAYS.values(), library.counts_pages]))

    def differing(service):
        return pages.differences(page, pages.lines(service, library.of_run))

    earlier = {difference.line for difference in differing(before)}
    others = [
        difference
        for difference in differing(after)
        if difference.line in earlier and not changes.fullmatch(difference.name)
    ]
    assert not others, listed(others)
