"""Callbacks and collectors of real servers: no request fails for them, and no worker."""

import signal
import sys

import pytest
from serving import Gunicorn, Process, free_port, get, needs, until
from test_servers import answers, redis  # noqa: F401

COUNTED = "app_requests_total"


def is_asked_again(samples):
    """Waits until some process was asked twice more."""
    before = samples().get("app_turns", 0)
    until(lambda: samples().get("app_turns", 0) > before + 2, "being asked")


def test_workers_that_leave_while_they_are_asked_leave_well():
    options = ("-w", "2", "--max-requests", "20", "--log-level", "debug")
    with Gunicorn(*options, app="asked:app", ASK_OFTEN="1") as server:
        leaving = "Autorestarting worker after current request"
        sent = answered = 0
        while server.said.count(leaving) < 30:
            sent += 200
            answered += server.load(200)
        until(lambda: server.said.count("Worker exiting") >= 30, server)
        assert "SIGABRT" not in server.said and "was sent SIG" not in server.said, server.said
        assert "Traceback" not in server.said and "Fatal" not in server.said, server.said
        assert answered <= server.samples()[COUNTED] <= sent
        is_asked_again(server.samples)


@needs("gevent")
@pytest.mark.parametrize("preload", [(), ("--preload",)], ids=["each", "preload"])
def test_no_request_of_gevent_fails_because_something_is_asked(redis, preload):  # noqa: F811
    options = ("-k", "gevent", "-w", "2", *preload)
    with Gunicorn(*options, app="asked:app", ASK_OFTEN="1", BROKER=redis) as server:
        assert server.load(1200, threads=8) == 1200
        found = server.samples()
        assert found[COUNTED] == 1200
        # The queue as each worker saw it, and a master that has preloaded.
        processes = 3 if preload else 2
        until(lambda: server.samples()["app_queue"] == 1200 * processes, server)
        assert f"app_queue {1200 * processes}.0\n" in get(server.port, "/metrics")[1]
        is_asked_again(server.samples)
        assert "Traceback" not in server.said and "raised an" not in server.said, server.said


@needs("pyuwsgi")
@pytest.mark.parametrize("lazy", [(), ("--lazy-apps",)], ids=["preload", "lazy"])
@pytest.mark.parametrize("threads", [(), ("--enable-threads",)], ids=["", "threads"])
def test_the_workers_of_uwsgi_are_asked_where_they_can_be(board, lazy, threads):
    port = free_port()
    command = ["uwsgi", "--http-socket", f"127.0.0.1:{port}", "--master", "--processes", "3"]
    command += ["--binary-path", sys.executable, "--need-app", "--module", "asked:app"]
    variables = {"TALLYBOARD": board.address, "ASK_OFTEN": "1"}
    with Process(*command, *lazy, *threads, **variables) as server:
        until(lambda: answers(server, port), server)
        server.stop_signal = signal.SIGINT
        pids = {get(port, "/pid")[1]}
        sent = 1

        def is_shown():
            nonlocal sent
            sent += 1
            assert get(port, "/")[0] == 200
            pids.add(get(port, "/pid")[1])
            found = board.samples()
            # The master serves nobody and is not asked.
            return len(pids) == 3 and found["app_queue"] == 21 and found.get("app_asked", 0) > 3

        until(is_shown, server)
        for _ in range(200):
            assert get(port, "/")[0] == 200
        found = board.samples()
        assert found[COUNTED] == sent - 1 + 200
        assert found['app_called_total{hook="after_req"}'] >= found[COUNTED]
        assert found.get('app_called_total{hook="post_fork"}', 0) == (0 if lazy else 3)
        if threads:
            # Nobody sends anything, and they are asked all the same.
            is_asked_again(board.samples)
        else:
            is_asked_again(lambda: get(port, "/") and board.samples())
        server.child.send_signal(signal.SIGINT)
        assert server.wait() == 0, server.said
    assert "Traceback" not in server.said and "Fatal" not in server.said, server.said


@needs("pyuwsgi")
@pytest.mark.parametrize("threads", [(), ("--enable-threads",)], ids=["", "threads"])
def test_a_uwsgi_without_a_master_is_asked(board, threads):
    port = free_port()
    command = ["uwsgi", "--http-socket", f"127.0.0.1:{port}", "--need-app", "--module", "asked:app"]
    command += ["--binary-path", sys.executable, *threads]
    with Process(*command, TALLYBOARD=board.address, ASK_OFTEN="1") as server:
        until(lambda: answers(server, port), server)
        server.stop_signal = signal.SIGINT
        until(lambda: get(port, "/")[0] == 200 and board.samples().get("app_queue") == 7, server)
        is_asked_again(lambda: get(port, "/") and board.samples())
        assert board.samples()['app_called_total{hook="after_req"}'] > 2
