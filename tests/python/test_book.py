"""What the README and the book show of a terminal: run as it is written there, with other ports where a page
has a port, and compared line by line."""

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import book
import pytest
from serving import PATIENCE_S, Process, free_port, get, until

README, PYTHON, START, SERVERS = (
    book.README,
    *(book.PAGES / name for name in ("python.md", "start.md", "servers.md")),
)
#: Routes of the requests that the page counts.
REQUESTS = ["/cart"] * 8 + ["/pay"] * 3


def only(blocks):
    (block,) = blocks
    return block


def commands(page, language="sh"):
    """The command lines of a page, without comments."""
    joined = "\n".join(book.blocks(page, language)).replace("\\\n", " ")
    lines = (line.partition(" # ")[0].rstrip() for line in joined.splitlines())
    return [line.removeprefix("$ ") for line in lines if line]


def test_the_pages_show_one_application_and_one_command():
    assert book.blocks(README, "python") == book.blocks(PYTHON, "python")
    install = [line for line in commands(README) if line.startswith("pip install")]
    assert len(install) == 1
    for page in (PYTHON, START):
        assert install[0] in commands(page)
    server = [line for line in commands(README) if "gunicorn" in line]
    assert len(server) == 1
    for page in (PYTHON, SERVERS):
        assert server[0] in commands(page)


def load(port, master):
    """Sends the requests, and has a worker killed in the middle of them."""
    for at, path in enumerate(REQUESTS):
        if at == len(REQUESTS) // 2:
            worker, *_ = Path(f"/proc/{master}/task/{master}/children").read_text().split()
            os.kill(int(worker), signal.SIGKILL)
            until(lambda: not Path(f"/proc/{worker}").exists(), "the end of a worker")
        assert get(port, path)[0] == 200


@pytest.mark.parametrize("page", [README, SERVERS], ids=lambda page: page.name)
def test_the_first_page_is_what_the_commands_give(page, tmp_path):
    only_app = only(book.blocks(README, "python"))
    assert only_app.startswith("# app.py\n")
    (tmp_path / "app.py").write_text(only_app)
    port, web = free_port(), free_port()
    (command,) = [line for line in commands(page) if line.startswith("tallyboard exec") and "gunicorn" in line]
    command = command.replace(":9500", f":{web}").replace("gunicorn", f"gunicorn -b 127.0.0.1:{port}")
    console = only(book.blocks(README, "console")).splitlines()
    path = re.fullmatch(r"\$ curl -s '127\.0\.0\.1:9500(/\S+)'", console[0])[1]
    with Process(*shlex.split(command), cwd=tmp_path, PYTHONPATH=str(tmp_path)) as server:
        until(lambda: server.said.count("Booting worker") == 4, server)
        load(port, re.search(r"Listening at: \S+ \((\d+)\)", server.said)[1])
        assert get(web, path) == (200, "\n".join(console[1:]) + "\n")


def test_exec_ends_as_the_page_shows():
    (block,) = [text for text in book.blocks(START, "console") if text.startswith("$ tallyboard exec")]
    first, address, asked, status = block.splitlines()
    assert asked == "$ echo $?"
    command = first.removeprefix("$ ").replace(":9500", f":{free_port()}")
    ended = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=PATIENCE_S)
    assert ended.returncode == int(status)
    of_this_run = re.compile("[0-9a-f]{16}")
    assert of_this_run.sub("ADDRESS", ended.stdout) == of_this_run.sub("ADDRESS", address) + "\n"


def test_the_demo_says_what_the_page_shows():
    (block,) = [text for text in book.blocks(START, "console") if "demo" in text.splitlines()[0]]
    first, *lines = block.splitlines()
    web = free_port()
    flags = shlex.split(first.partition(" -- ")[2])
    flags += ["--app-port", "0", "--web.listen-address", f"127.0.0.1:{web}"]
    ended = subprocess.run(["tallyboard", *flags], capture_output=True, text=True, timeout=PATIENCE_S)
    assert ended.returncode == 0, ended
    form = lambda text: re.sub(r" *\d+", " N", text)
    # How it goes is written to standard error, the verdict to standard output.
    verdict = ended.stdout.splitlines()
    assert list(map(form, verdict)) == list(map(form, lines[-len(verdict) :]))
    assert set(map(form, ended.stderr.splitlines())) == set(map(form, lines[: -len(verdict)]))


def test_the_pictures_are_of_what_the_pages_show():
    checked = subprocess.run([sys.executable, book.PAGES / "draw", "--check"], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout


def test_a_picture_of_something_else_is_found(tmp_path):
    for file in (*book.PAGES.glob("*.svg"), book.PAGES / "draw", START):
        (tmp_path / "docs").mkdir(exist_ok=True)
        (tmp_path / "docs" / file.name).write_text(file.read_text())
    (tmp_path / "README.md").write_text(README.read_text().replace('{route="/pay"} 3', '{route="/pay"} 4'))
    check = [sys.executable, tmp_path / "docs/draw", "--check"]
    checked = subprocess.run(check, capture_output=True, text=True)
    assert checked.returncode == 1
    assert checked.stdout == "page.svg: expected what README.md shows, found something else; docs/draw writes it\n"


def test_commands_for_contributors_are_those_that_tests_run_runs():
    run = (book.ROOT / "tests/run").read_text() + (book.ROOT / "tests/python/run").read_text()
    for command in commands(book.ROOT / "CONTRIBUTING.md"):
        assert command == "tests/run" or command in run, command


def test_each_finding_has_a_line():
    listed = re.findall(r"^\| `(\S+\.sh)` \|", (book.ROOT / "findings/README.md").read_text(), re.M)
    assert listed == sorted(path.name for path in (book.ROOT / "findings").glob("*.sh"))
