"""The image and the pod of the book, built and run by podman."""

import contextlib
import os
import shutil
from pathlib import Path

import book
import pytest
from podman import Podman, image_of_python
from serving import HERE, samples, until

COUNTED = 'app_requests_total{route="/"}'
#: What makes one pid namespace of those of a pod.
SHARED = "  shareProcessNamespace: true\n"
#: Requests from eight threads, so that every worker has some; says how many were answered.
LOAD = """
import http.client
from concurrent.futures import ThreadPoolExecutor

def ask(_):
    connection = http.client.HTTPConnection("127.0.0.1", 8000, timeout=60)
    connection.request("GET", "/")
    return connection.getresponse().status == 200

with ThreadPoolExecutor(8) as pool:
    print(sum(pool.map(ask, range(200))))
"""
#: Says who is a child of the first process.
CHILDREN = """
import glob
for path in glob.glob("/proc/[0-9]*/stat"):
    try:
        pid, rest = open(path).read().split(" (", 1)
    except OSError:
        continue
    if rest.rsplit(") ", 1)[1].split()[1] == "1":
        print(pid)
"""


@pytest.fixture(scope="module")
def podman(tmp_path_factory):
    with Podman() as podman:
        build(podman, tmp_path_factory.mktemp("image"))
        yield podman


def build(podman, home):
    """Builds the image of the book, for which no network is needed."""
    archive, context = home / "python.tar", home / "context"
    image_of_python(archive)
    path = "ENV PATH=/usr/local/bin:/usr/bin:/bin"
    podman("import", "--change", path, archive, "docker.io/library/python:3.12-slim")
    context.mkdir()
    (context / "Containerfile").write_text(book.shown("Containerfile"))
    (context / "requirements.txt").write_text("flask\ngunicorn\nprometheus_client==0.26.0\n")
    test_home = Path(os.environ["TALLYBOARD_TEST_HOME"])
    for file in [HERE / "app.py", *(test_home / "wheels").glob("tallyboard-*.whl")]:
        shutil.copy(file, context)
    offline = ("--network=none", "--pull=never", "--volume", f"{test_home / 'image'}:/wheels:ro")
    offline += ("--env", "PIP_NO_INDEX=1", "--env", "PIP_FIND_LINKS=/wheels")
    podman("build", *offline, "--tag", "localhost/shop", context)


def counted(podman, container):
    return samples(podman.answers(container, 9500, "/metrics"))


def kill_one(podman, container):
    """Kills a worker of the application, and waits until it was reclaimed."""
    before = counted(podman, container)["tallyboard_reclaims_total"]
    status, pid = podman.get(container, 8000, "/pid")
    assert status == 200
    podman.python(container, f"import os, signal; os.kill({pid}, signal.SIGKILL)")

    def reclaimed():
        return counted(podman, container)["tallyboard_reclaims_total"] > before

    until(reclaimed, "a reclaim")


def test_the_image_counts_and_ends_as_its_server_does(podman):
    podman("run", "--detach", "--network=none", "--name", "alone", "localhost/shop")
    podman.answers("alone", 8000, "/ready")
    sent = 0
    for _ in range(3):
        sent += int(podman.python("alone", LOAD))
        kill_one(podman, "alone")
        assert counted(podman, "alone")[COUNTED] == sent
    # gunicorn ends with 0 when it is told to end; a time limit would say 137.
    podman("stop", "--time", "60", "alone")
    assert podman("inspect", "--format", "{{.State.ExitCode}}", "alone") == "0\n"


@contextlib.contextmanager
def pod(podman, directory, shown):
    """A pod with four workers that count; gives podman's name of its application."""
    file = directory / "pod.yaml"
    file.write_text(shown)
    podman("play", "kube", "--network=none", file)
    try:
        podman.answers("shop-app", 8000, "/ready")
        workers_count(podman, "shop-app")
        yield "shop-app"
    finally:
        podman("pod", "rm", "--force", "--time", "0", "shop")


def workers_count(podman, container):
    # The containers of a pod have one network.
    until(lambda: counted(podman, container)['tallyboard_slots{state="live"}'] == 4, "workers")


def workers(podman, container):
    """Pids of the children of the first process."""
    listed = podman.python(container, CHILDREN)
    return set(listed.split())


def restart_the_sidecar(podman):
    """As a runtime does it: by surprise."""
    podman("kill", "--signal", "KILL", "shop-tallyboard")
    podman("wait", "shop-tallyboard")
    podman("start", "shop-tallyboard")


def test_a_sidecar_that_is_restarted_goes_on_in_a_pod_that_shares_its_processes(podman, tmp_path):
    shown = book.shown("pod.yaml")
    assert SHARED in shown
    with pod(podman, tmp_path, shown) as app:
        sent = 0
        for _ in range(2):
            sent += int(podman.python(app, LOAD))
            kill_one(podman, app)
            assert counted(podman, app)[COUNTED] == sent
            restart_the_sidecar(podman)
            sent += int(podman.python(app, LOAD))
            assert counted(podman, app)[COUNTED] == sent
        # The next supervisor knows whom the last one knew, and their processes.
        kill_one(podman, app)
        found = counted(podman, app)
        assert found[COUNTED] == sent
        assert found["process_cpu_seconds_total"] > 0


def test_a_sidecar_that_is_restarted_begins_anew_in_a_pod_that_does_not(podman, tmp_path):
    with pod(podman, tmp_path, book.shown("pod.yaml").replace(SHARED, "")) as app:
        sent = 0
        for _ in range(3):
            sent += int(podman.python(app, LOAD))
            kill_one(podman, app)
            found = counted(podman, app)
            assert found[COUNTED] == sent
            assert "process_cpu_seconds_total" not in found
        restart_the_sidecar(podman)
        assert COUNTED not in counted(podman, app)
        old = workers(podman, app)
        podman.python(app, "import os, signal; os.kill(1, signal.SIGHUP)")
        until(lambda: not old & workers(podman, app), "the end of the old workers")
        workers_count(podman, app)
        sent = int(podman.python(app, LOAD))
        assert counted(podman, app)[COUNTED] == sent
