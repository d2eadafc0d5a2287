"""`tallyboard doctor`: what it says of interpreters, as they are found by the commands of real servers."""

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
from serving import environment

import tallyboard

SCRIPTS = Path(sysconfig.get_path("scripts"))
PYTHON = SCRIPTS / "python"


def doctor(*command, **variables):
    """Status, and what it says of each thing that it looks at."""
    words = ["tallyboard", "doctor", "--web.listen-address", "none", "--", *map(str, command)]
    variables = environment(**variables)
    said = subprocess.run(words, check=False, capture_output=True, text=True, env=variables)
    lines = (line.split(None, 2) for line in said.stdout.splitlines()[1:])
    return said.returncode, {what: (verdict, text) for verdict, what, text in lines}


@pytest.mark.parametrize(
    "command",
    [
        ("gunicorn", "-w", "4", "app:app"),
        (SCRIPTS / "gunicorn", "app:app"),
        (PYTHON, "-X", "dev", "-m", "gunicorn", "app:app"),
        (PYTHON, "-Im", "gunicorn", "app:app"),
        ("env", "-u", "NOTHING", "A=1", PYTHON, "app.py"),
    ],
    ids=["by name", "by path", "as a module", "isolated", "behind env"],
)
def test_the_interpreter_behind_a_command_is_found_with_wheel_and_hook(command):
    status, found = doctor(*command)
    assert status == 0, found
    assert found["interpreter"][0] == "ok"
    assert found["interpreter"][1].startswith(f"{SCRIPTS}/python")
    assert sys.version.split()[0] in found["interpreter"][1]
    assert found["wheel"][0] == "ok"
    assert f"tallyboard {tallyboard.__version__}, prometheus_client " in found["wheel"][1]
    assert found["hook"] == ("ok", "prometheus_client is patched when it is imported")


@pytest.mark.parametrize(
    ("command", "variables", "part"),
    [
        ((PYTHON, "-S", "app.py"), {}, "site-packages"),
        ((PYTHON, "app.py"), {"TALLYBOARD_DISABLE": "1"}, "TALLYBOARD_DISABLE is set"),
    ],
    ids=["no site", "disabled"],
)
def test_a_hook_that_does_not_run_is_bad(command, variables, part):
    status, found = doctor(*command, **variables)
    assert status == 1, found
    bad = [text for verdict, text in found.values() if verdict == "BAD"]
    assert any(part in text for text in bad), found


def test_an_interpreter_without_the_wheel_is_told_how_to_get_it(tmp_path):
    venv.create(tmp_path / "venv", symlinks=True)
    python = tmp_path / "venv/bin/python"
    script = tmp_path / "serve"
    script.write_text(f"#!{python}\n")
    script.chmod(0o755)
    status, found = doctor(script)
    assert status == 1
    assert found["interpreter"][1].endswith(f", of {script}")
    assert found["wheel"][0] == "BAD"
    assert f"{python} -m pip install tallyboard" in found["wheel"][1]
    assert "hook" not in found


def test_an_interpreter_that_does_not_run_says_so(tmp_path):
    python = tmp_path / "python3"
    python.write_text("#!/bin/sh\necho no such thing >&2\nexit 3\n")
    python.chmod(0o755)
    status, found = doctor(python, "app.py")
    assert status == 1
    assert found["interpreter"][0] == "BAD"
    assert "no such thing" in found["interpreter"][1]
