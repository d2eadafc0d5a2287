"""Fixtures, and last lines that `tests/run` counts and repeats."""

import pytest
from serving import Board


def pytest_terminal_summary(terminalreporter):
    stats = terminalreporter.stats
    failed = len(stats.get("failed", ())) + len(stats.get("error", ()))
    for reason in sorted({report.longrepr[2] for report in stats.get("skipped", ())}):
        terminalreporter.write_line(f"not run: {reason.removeprefix('Skipped: ')}")
    verdict = "FAILED" if failed else "ok"
    terminalreporter.write_line(
        f"test result: {verdict}. {len(stats.get('passed', ()))} passed; {failed} failed"
    )


@pytest.fixture
def board():
    """A supervisor on its own, as in a sidecar."""
    with Board() as board:
        yield board
