"""Releases that change metrics, under gunicorn: reloaded, rolled back, and both side by side."""

import os
import signal

import pytest
from serving import Gunicorn, get, until

APP_NZ = 'app_orders_total{country="NZ",kind="tea"}'


class Releases(Gunicorn):
    """An application of which a file says what release it is."""

    def __init__(self, directory, *options):
        self.file = directory / "release"
        self.file.write_text("1")
        super().__init__("-w", "2", *options, app="released:app", RELEASE_FILE=str(self.file))
        until(lambda: len(self.workers()) == 2, "two workers")

    def reload(self, release):
        self.file.write_text(str(release))
        old = self.workers()
        os.kill(self.master(), signal.SIGHUP)
        until(lambda: len(self.workers() - old) == len(self.workers()) == 2, "two new workers alone")
        until(lambda: int(get(self.port, "/release")[1]) == release, "the release")

    def workers(self):
        """The workers that the supervisor has a slot for: those that have counted or may count."""
        begin = 'tallyboard_worker_start_time_seconds{pid="'
        return {key.removeprefix(begin)[:-2] for key in self.samples() if key.startswith(begin)}

    def help(self):
        page = get(self.web, "/metrics")[1]
        (line,) = [line for line in page.splitlines() if line.startswith("# HELP app_helped")]
        return line.split(" ", 3)[3]

    def expect(self, old, new, words):
        """Holds the page against how often each release has counted."""
        found = self.samples()
        assert found['app_orders_total{kind="tea"}'] == old + new
        assert found.get(APP_NZ, 0) == new
        assert len([key for key in found if key.startswith("app_orders_total")]) == 1 + (new > 0)
        assert found["app_seconds_count"] == found['app_seconds_bucket{le="+Inf"}'] == old + new
        assert found["app_seconds_sum"] == 20 * (old + new)
        assert found["app_helped_total"] == old + new
        if new:
            assert found['app_seconds_bucket{le="5.0"}'] == found['app_seconds_bucket{le="1.0"}'] == 0
            assert found['app_seconds_bucket{le="30.0"}'] == new
        assert self.help() == words
        assert not any(value for key, value in found.items() if key.startswith("tallyboard_dropped"))
        return found


@pytest.mark.parametrize("counted", [8, 40])
def test_a_release_that_is_reloaded_and_rolled_back_loses_nothing(tmp_path, counted):
    with Releases(tmp_path) as server:
        assert server.load(counted) == counted
        server.expect(counted, 0, "Old words.")
        server.reload(2)
        assert server.load(counted) == counted
        found = server.expect(counted, counted, "New words.")
        assert "expected the definition that other processes of the service have" in server.said
        assert found["app_queue"] == 2
        assert found['app_state{app_state="broken"}'] == 1 and found['app_state{app_state="busy"}'] == 0
        server.reload(1)
        assert server.load(counted) == counted
        found = server.expect(2 * counted, counted, "Old words.")
        assert found["app_queue"] == 1 and found['app_state{app_state="busy"}'] == 1


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return {int(child) for child in file.read().split()}


def test_an_old_master_that_respawns_its_workers_flips_nothing(tmp_path):
    with Releases(tmp_path) as server:
        assert server.load(8) == 8
        old = server.master()
        server.file.write_text("2")
        os.kill(old, signal.SIGUSR2)
        until(lambda: server.said.count("Listening at") == 2, "a second master")
        ordered = lambda: server.load(4) and APP_NZ in server.samples()  # noqa: E731
        until(ordered, "an order of the second release")
        assert server.help() == "New words."
        # Whoever forks now runs the first release.
        server.file.write_text("1")
        before = children(old)
        os.kill(old, signal.SIGHUP)
        until(lambda: len(children(old) - before) >= 2, "workers of the first master")
        until(lambda: server.worker() in children(old) - before, "an answer of one of them")
        for _ in range(50):
            assert server.load(4) == 4
            assert server.help() == "New words."
        found = server.samples()
        assert found["app_seconds_count"] == found['app_orders_total{kind="tea"}'] >= 8 + 4 * 50
