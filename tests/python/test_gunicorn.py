"""gunicorn, started by one word before the command, with an application that does not know."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest
from serving import Gunicorn, Watch, get, samples, until

COUNTED = 'app_requests_total{route="/"}'


def kill_one(server):
    """Kills a worker while no request is under way, and waits until it is gone."""
    pid = server.worker()
    os.kill(pid, signal.SIGKILL)
    until(lambda: not os.path.exists(f"/proc/{pid}/status"), "the end of a worker")


def test_ten_thousand_requests_are_counted_while_workers_are_killed():
    with Gunicorn("-w", "4") as server, Watch(server):
        for _ in range(10):
            assert server.load(1000) == 1000
            kill_one(server)
        assert server.samples()[COUNTED] == 10_000
        counted = server.samples()
        assert counted["app_seconds_count"] == counted['app_seconds_bucket{le="+Inf"}'] == 10_000
        # Any worker exposes the service, each series once.
        of_worker = samples(get(server.port, "/metrics")[1])
        assert of_worker[COUNTED] == 10_000
        assert of_worker["app_busy"] == 0


@pytest.mark.parametrize("preload", [(), ("--preload",)], ids=["each", "preload"])
@pytest.mark.parametrize(
    "kind", [("-k", "sync"), ("-k", "gthread", "--threads", "4")], ids=["sync", "gthread"]
)
def test_workers_killed_under_load_lose_nothing_that_was_answered(kind, preload):
    with Gunicorn("-w", "3", *kind, *preload) as server, Watch(server):
        answered = sent = 0
        for _ in range(3):
            pid = server.worker()
            sent += 400
            with ThreadPoolExecutor() as pool:
                loading = pool.submit(server.load, 400)
                until(lambda: server.samples().get(COUNTED, 0) > answered, "a count")
                os.kill(pid, signal.SIGKILL)
                answered += loading.result()
        assert answered <= server.samples()[COUNTED] <= sent


def test_workers_that_leave_after_their_share_leave_their_counts():
    with Gunicorn("-w", "2", "--max-requests", "50") as server, Watch(server):
        answered = server.load(1000)
        assert answered <= server.samples()[COUNTED] <= 1000


def test_a_worker_that_takes_too_long_has_counted():
    with Gunicorn("-w", "2", "--timeout", "1") as server:
        assert server.load(1, threads=1, path="/hang") == 0
        assert server.samples()['app_requests_total{route="/hang"}'] == 1


@pytest.mark.parametrize("preload", [(), ("--preload",)], ids=["each", "preload"])
def test_counts_go_on_when_workers_are_replaced(preload):
    with Gunicorn("-w", "2", *preload) as server, Watch(server):
        for generation in range(3):
            assert server.load(200) == 200
            old = server.worker()
            os.kill(server.master(), signal.SIGHUP)
            until(lambda: not os.path.exists(f"/proc/{old}/status"), "the end of a worker")
        assert server.samples()[COUNTED] == 600


def test_counts_go_on_when_the_master_is_replaced():
    with Gunicorn("-w", "2") as server, Watch(server):
        assert server.load(200) == 200
        old = server.master()
        os.kill(old, signal.SIGUSR2)
        until(lambda: server.said.count("Listening at") == 2, "a second master")
        os.kill(old, signal.SIGQUIT)
        until(lambda: not os.path.exists(f"/proc/{old}/status"), "the end of the first master")
        assert server.load(200) == 200
        assert server.samples()[COUNTED] == 400
