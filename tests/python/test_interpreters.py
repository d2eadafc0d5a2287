"""The core of it under every CPython that one wheel is for: those of the machine, and those of Debian's
later suites. `tests/python/interpreters` says which there are, and why one is missing."""

import os
import subprocess
from pathlib import Path

import pytest
from serving import Board, Process

HOME = Path(os.environ["TALLYBOARD_TEST_HOME"])
#: The wheel and `prometheus_client`, as `pip install --target` lays them down.
INSTALLED = HOME / "installed"
LIST = HOME / "interpreters"


def interpreters(since="3.10"):
    """A parameter for each interpreter from a version on; those that are not there say why."""
    lines = LIST.read_text().splitlines() if LIST.exists() else []
    for version, path, *why in (line.split(" ", 2) for line in lines):
        if number(version) >= number(since):
            missing = pytest.mark.skip(reason=f"python{version}: {' '.join(why)}")
            yield pytest.param((version, path), id=version, marks=missing if path == "-" else ())
    if not lines:
        reason = "interpreters: they are tested with the wheel that is for all of them"
        yield pytest.param(None, marks=pytest.mark.skip(reason=reason))


def number(version):
    return tuple(map(int, version.split(".")))


def each(since="3.10"):
    return pytest.mark.parametrize("python", [*interpreters(since)], indirect=True)


@pytest.fixture(scope="session")
def environments():
    return {}


@pytest.fixture
def python(request, environments, tmp_path_factory):
    """The program of an environment that has what was installed."""
    version, path = request.param
    if version not in environments:
        home = tmp_path_factory.mktemp(f"python{version}-")
        subprocess.run([path, "-m", "venv", "--without-pip", home], check=True)
        packages = home / "lib" / f"python{version}" / "site-packages"
        packages.rmdir()
        packages.symlink_to(INSTALLED)
        environments[version] = home / "bin" / "python"
    return environments[version]


@pytest.fixture(scope="module")
def shared():
    with Board() as board:
        yield board


def run(*command, **variables):
    with Process(*command, **variables) as process:
        status = process.wait()
        assert status == 0, process.said
        return process.said


PROGRAM = """
import multiprocessing, os, sys
import prometheus_client as p

c = p.Counter("app_c", "C.", ["l"])
g = p.Gauge("app_g", "G.", multiprocess_mode="sum")
h = p.Histogram("app_h", "H.", buckets=(1, 5))
s = p.Summary("app_s", "S.")
i = p.Info("app_i", "I.")
e = p.Enum("app_e", "E.", states=["a", "b"])

def act(number):
    c.labels("x").inc()
    g.set(number)
    h.observe(number)
    s.observe(number)
    i.info({"version": str(number)})
    e.state("b")

if __name__ == "__main__":
    for number in (1, 2, 3):
        if os.fork() == 0:
            act(number)
            sys.exit(0)
        assert os.wait()[1] == 0
    for method in ("spawn", "forkserver"):
        child = multiprocessing.get_context(method).Process(target=act, args=(4,))
        child.start()
        child.join()
        assert child.exitcode == 0
    page = p.generate_latest().decode()
    for line in ('app_c_total{l="x"} 5.0', "app_g 14.0", 'app_h_bucket{le="1.0"} 1.0', "app_h_count 5.0",
                 "app_s_sum 14.0", 'app_i_info{version="4"} 1.0', 'app_e{app_e="b"} 1.0'):
        assert line + "\\n" in page, (line, page)
    assert os.path.isdir(os.environ["PROMETHEUS_MULTIPROC_DIR"])
"""


@each()
def test_workers_are_counted_under_exec(python, tmp_path):
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    command = ("tallyboard", "exec", "--web.listen-address", "none", "--log.level", "error", "--")
    assert run(*command, python, script, XDG_RUNTIME_DIR=str(tmp_path)) == ""
    # Nor is anything left.
    assert os.listdir(tmp_path) == [script.name]


@each()
def test_a_process_that_is_asked_while_it_ends_ends_well(python, shared):
    program = """
import os, sys, threading
import prometheus_client as p
from prometheus_client.core import GaugeMetricFamily
asked = threading.Event()
class Collector:
    def collect(self):
        asked.set()
        sum(range(1_000_000))
        yield GaugeMetricFamily("app_pool", "P.", value=1)
p.REGISTRY.register(Collector())
p.Gauge("app_queue", "Q.", multiprocess_mode="livesum").set_function(lambda: sum(range(1_000_000)))
p.Counter("app_ended", "E.").inc()
assert asked.wait(60)
if os.fork() == 0:
    p.Counter("app_ended", "E.", registry=None).inc()
    sys.exit(0)
assert os.wait()[1] == 0
"""
    before = shared.samples().get("app_ended_total", 0)
    for _ in range(3):
        run(python, "-c", program, TALLYBOARD=shared.address)
    assert shared.samples()["app_ended_total"] == before + 6


@each()
def test_a_thread_that_forks_while_others_count_loses_nothing(python, shared):
    program = """
import os, sys, threading
import prometheus_client as p
c = p.Counter("app_threads", "T.")
def count():
    for _ in range(2_000):
        c.inc()
threads = [threading.Thread(target=count) for _ in range(4)]
for thread in threads:
    thread.start()
import warnings; warnings.simplefilter("ignore")
for _ in range(5):
    if os.fork() == 0:
        c.inc()
        os._exit(0)
    assert os.wait()[1] == 0
for thread in threads:
    thread.join()
"""
    before = shared.samples().get("app_threads_total", 0)
    run(python, "-c", program, TALLYBOARD=shared.address)
    assert shared.samples()["app_threads_total"] == before + 8_005


@each()
def test_it_starts_once_and_only_where_there_is_somebody_to_count_for(python, shared):
    loaded = "import sys; print(*sorted(name for name in sys.modules if 'tallyboard' in name))"
    finders = "; print(sum(type(f).__module__ == 'tallyboard._hook' for f in sys.meta_path))"
    # From 3.15 on `tallyboard.start` is called, which finds nothing to do.
    assert set(run(python, "-c", loaded).split()) <= {"tallyboard", "tallyboard._start"}
    said = run(python, "-c", loaded + finders, TALLYBOARD=shared.address).split()
    assert "tallyboard._hook" in said and "tallyboard._native" not in said and said[-1] == "1"


@each("3.15")
@pytest.mark.parametrize("name", ["tallyboard.start", "tallyboard.pth"])
def test_either_of_the_two_files_that_start_it_is_enough(python, shared, name, tmp_path):
    packages = tmp_path / "packages"
    packages.mkdir()
    for entry in INSTALLED.iterdir():
        if not entry.name.startswith("tallyboard.") or entry.name == name:
            (packages / entry.name).symlink_to(entry)
    program = f"import site; site.addsitedir({str(packages)!r}); import sys; print(*sys.modules)"
    said = run(python, "-I", "-S", "-c", program, TALLYBOARD=shared.address)
    assert "tallyboard._hook" in said.split()


@each("3.15")
@pytest.mark.parametrize(
    "imports, option",
    [
        ("import prometheus_client as p", "all"),
        ("from prometheus_client import Counter, generate_latest", "all"),
        ("lazy import prometheus_client as p", "normal"),
        ("lazy from prometheus_client import Counter, generate_latest", "normal"),
        ("import tallyboard, prometheus_client as p; assert tallyboard.install() == []", "all"),
        ("import prometheus_client as p; p.Counter; import tallyboard; tallyboard.install()", "all"),
    ],
)
def test_lazy_imports_count(python, shared, imports, option):
    counter = f"app_lazy_{os.urandom(4).hex()}"
    program = f"""
{imports}
import os, sys
if "p" in globals():
    Counter, generate_latest = p.Counter, p.generate_latest
c = Counter({counter!r}, "C.")
if os.fork() == 0:
    c.inc(2)
    sys.exit(0)
c.inc()
assert os.wait()[1] == 0
assert b"{counter}_total 3.0\\n" in generate_latest()
assert os.path.isdir(os.environ["PROMETHEUS_MULTIPROC_DIR"])
"""
    lazy = ("-X", f"lazy_imports={option}")
    assert run(python, *lazy, "-c", program, TALLYBOARD=shared.address) == ""


@each("3.14")
def test_interpreters_with_a_lock_of_their_own_say_that_they_count_for_themselves(
    python, board, tmp_path
):
    script = tmp_path / "program.py"
    script.write_text(
        """
from concurrent.futures import InterpreterPoolExecutor
import prometheus_client as p

def work(amount):
    import prometheus_client as p
    p.Counter("app_apart", "A.").inc(amount)
    return p.REGISTRY.get_sample_value("app_apart_total")

if __name__ == "__main__":
    c = p.Counter("app_main", "M.")
    with InterpreterPoolExecutor(1) as pool:
        print(pool.submit(work, 10).result())
    c.inc()
    page = p.generate_latest()
    assert b"app_main_total 1.0\\n" in page and b"app_apart" not in page, page
"""
    )
    said = run(python, script, TALLYBOARD=board.address)
    assert "10.0" in said.splitlines()
    assert said.count("counts for itself in this interpreter") == 1 and "lock of its own" in said
    assert "version" not in said and "Traceback" not in said
