"""Fixtures, and a last line that `tests/run` counts."""

import pytest
from serving import Board


def pytest_terminal_summary(terminalreporter):
    stats = terminalreporter.stats
    failed = len(stats.get("failed", ())) + len(stats.get("error", ()))
    verdict = "FAILED" if failed else "ok"
    terminalreporter.write_line(
        f"test result: {verdict}. {len(stats.get('passed', ()))} passed; {failed} failed"
    )


@pytest.fixture
def board():
    """A supervisor on its own, as in a sidecar."""
    with Board() as board:
        yield board
