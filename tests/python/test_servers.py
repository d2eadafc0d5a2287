"""Other ways in which Python makes processes: celery, uvicorn, multiprocessing, a sidecar."""

import http.client
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from serving import HERE, Gunicorn, Process, environment, free_port, get, needs, until

COUNTED = 'app_requests_total{route="/"}'


@pytest.fixture
def redis(tmp_path):
    port = free_port()
    command = [
        "redis-server",
        "--port",
        port,
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--dir",
        tmp_path,
    ]
    with Process(*command) as process:
        until(lambda: "Ready to accept connections" in process.said, "redis")
        yield f"redis://127.0.0.1:{port}/0"


def answers(server, port, path="/ready"):
    try:
        return get(port, path)[0] == 200
    except (OSError, http.client.HTTPException):
        assert server.child.poll() is None, server.said
        return False


def until_replaced(server):
    """Waits for uWSGI's newest worker to wait for requests: a signal that comes before that it misses,
    and then it lives for a minute."""

    def waits():
        replaced = re.findall(r"new pid: (\d+)", server.said)
        return replaced and "poll" in Path(f"/proc/{replaced[-1]}/wchan").read_text()

    until(waits, server)


def is_gone(pid):
    return not os.path.exists(f"/proc/{pid}/status")


class Celery(Process):
    """A worker of celery with two processes."""

    def __init__(self, board, redis, *options):
        self.board, self.redis = board, redis
        super().__init__(
            "celery",
            "-A",
            "tasks",
            "worker",
            "-c",
            "2",
            "-l",
            "INFO",
            "--without-gossip",
            "--without-mingle",
            *options,
            TALLYBOARD=board.address,
            BROKER=redis,
        )
        until(lambda: " ready." in self.said, self)

    def send(self, task, count):
        program = f"import tasks\nfor _ in range({count}): tasks.{task}.delay()"
        variables = environment(BROKER=self.redis)
        subprocess.run([sys.executable, "-c", program], check=True, env=variables)

    def done(self, task, count):
        name = f'app_tasks_total{{task="{task}"}}'
        until(lambda: self.board.samples().get(name, 0) >= count, self)
        return self.board.samples()[name] == count


def test_the_tasks_of_celery_are_counted_once(board, redis):
    with Celery(board, redis, "--max-tasks-per-child", "7") as celery:
        celery.send("work", 200)
        assert celery.done("work", 200)
        # Ends by SIGKILL, after it has counted itself.
        celery.send("die", 3)
        assert celery.done("die", 3)
        celery.send("work", 100)
        assert celery.done("work", 300)
        # It executes itself anew, with the same pid.
        celery.child.send_signal(signal.SIGHUP)
        until(lambda: celery.said.count(" ready.") == 2, celery)
        celery.send("work", 100)
        assert celery.done("work", 400)
        celery.child.send_signal(signal.SIGTERM)
        assert celery.wait() == 0, celery.said
    # What the worker's processes counted stays when all of them are gone.
    assert board.samples()['app_tasks_total{task="work"}'] == 400


def test_the_workers_of_uvicorn_are_one_service(board):
    port = free_port()
    command = ["uvicorn", "--workers", "3", "--host", "127.0.0.1", "--port", port, "service:app"]
    with Process(sys.executable, "-m", *command, TALLYBOARD=board.address) as server:
        until(lambda: answers(server, port), server)
        workers = {get(port, "/")[1] for _ in range(300)}
        assert board.samples()[COUNTED] == 300
        assert f"{COUNTED} 300.0\n" in get(port, "/metrics")[1]
        os.kill(int(workers.pop()), signal.SIGKILL)
        assert board.samples()[COUNTED] == 300


@needs("pyuwsgi")
@pytest.mark.parametrize("lazy", [(), ("--lazy-apps",)], ids=["preload", "lazy"])
@pytest.mark.parametrize("threads", [(), ("--enable-threads",)], ids=["", "threads"])
def test_the_workers_of_uwsgi_are_one_service(board, lazy, threads):
    port = free_port()
    command = ["uwsgi", "--http-socket", f"127.0.0.1:{port}", "--master", "--processes", "3"]
    # What pyuwsgi would execute on a reload is the interpreter that the environment was made with.
    command += [
        "--binary-path",
        sys.executable,
        "--need-app",
        "--module",
        "app:app",
        *lazy,
        *threads,
    ]
    with Process(*command, TALLYBOARD=board.address) as server:
        until(lambda: answers(server, port), server)
        # SIGTERM would reload it.
        server.stop_signal = signal.SIGINT
        # A worker that is still loading the application would miss the signal.
        loaded = 3 if lazy else 1
        for reload in range(3):
            until(lambda: server.said.count("WSGI app 0") == loaded, server)
            loaded += 3 if lazy else 1
            for _ in range(100):
                assert get(port, "/")[0] == 200
            assert board.samples()[COUNTED] == 100 * (reload + 1)
            old = int(get(port, "/pid")[1])
            server.child.send_signal(signal.SIGHUP)
            until(lambda: is_gone(old), server)
            until(lambda: answers(server, port), server)
        until(lambda: server.said.count("WSGI app 0") == loaded, server)
        killed = int(get(port, "/pid")[1])
        os.kill(killed, signal.SIGKILL)
        until(lambda: is_gone(killed), "the end of a worker")
        assert f"{COUNTED} 300.0\n" in get(port, "/metrics")[1]
        loaded += 1 if lazy else 0
        until(lambda: server.said.count("WSGI app 0") == loaded, server)
        until_replaced(server)
    assert board.samples()[COUNTED] == 300


@needs("granian")
def test_the_workers_of_granian_are_one_service(board):
    port = free_port()
    command = ["granian", "--interface", "asgi", "--workers", "2", "--port", port, "service:app"]
    with Process(*command, TALLYBOARD=board.address) as server:
        until(lambda: answers(server, port), server)
        for _ in range(200):
            assert get(port, "/")[0] == 200
        assert f"{COUNTED} 200.0\n" in get(port, "/metrics")[1]
    assert board.samples()[COUNTED] == 200


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_the_children_of_multiprocessing_count(board, method):
    command = [sys.executable, HERE / "children.py", method]
    with Process(*command, TALLYBOARD=board.address) as process:
        assert process.wait() == 0, process.said
    assert board.samples()['app_children_total{kind="child"}'] == 400
    assert board.samples()['app_children_total{kind="parent"}'] == 1


def test_a_sidecar_counts_for_a_server_that_is_started_elsewhere(board):
    with Gunicorn("-w", "2", under=(), TALLYBOARD=board.address) as server:
        assert server.load(200) == 200
        os.kill(server.worker(), signal.SIGKILL)
        assert board.samples()[COUNTED] == 200
        assert f"{COUNTED} 200.0\n" in get(server.port, "/metrics")[1]
    assert board.samples()[COUNTED] == 200


@needs("pyuwsgi")
def test_two_applications_that_uwsgi_mounts_are_one_service(board):
    # Each has an interpreter of its own, with prometheus_client and metrics of its own.
    port = free_port()
    command = ["uwsgi", "--http-socket", f"127.0.0.1:{port}", "--master", "--processes", "2"]
    command += ["--binary-path", sys.executable, "--need-app", "--manage-script-name"]
    command += ["--mount", "/one=app:app", "--mount", "/two=app:app"]
    with Process(*command, TALLYBOARD=board.address) as server:
        server.stop_signal = signal.SIGINT
        until(lambda: answers(server, port, "/one/ready"), server)
        for _ in range(50):
            assert get(port, "/one/")[0] == get(port, "/two/")[0] == 200
        assert board.samples()[COUNTED] == 100
        assert board.samples()["app_seconds_count"] == 100
        for mount in ("/one", "/two"):
            assert f"{COUNTED} 100.0\n" in get(port, f"{mount}/metrics")[1]
        killed = int(get(port, "/two/pid")[1])
        os.kill(killed, signal.SIGKILL)
        until(lambda: is_gone(killed), "the end of a worker")
        assert f"{COUNTED} 100.0\n" in get(port, "/one/metrics")[1]
        until_replaced(server)
