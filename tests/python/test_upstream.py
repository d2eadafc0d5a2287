"""prometheus_client's own multiprocess tests, as its source package has them, against an arena."""

import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from serving import HERE, PATIENCE_S, environment

#: Those that look for files, of which there are none, and what they look for.
OF_FILES = {
    "test_initialization_detects_pid_change": "the names of the files in the directory",
}


def test_all_pass_but_those_that_look_for_files(tmp_path):
    tests = Path(
        os.environ["TALLYBOARD_TEST_HOME"], "prometheus_client-0.26.0/tests/test_multiprocess.py"
    )
    results = tmp_path / "results.xml"
    command = [sys.executable, "-m", "pytest", "-p", "simulated", "-p", "no:cacheprovider", "-q"]
    command += ["--tb=short", f"--junit-xml={results}", f"--rootdir={tmp_path}", str(tests)]
    found = subprocess.run(
        command,
        env=environment(PYTHONPATH=str(HERE / "upstream")),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    cases = list(ElementTree.parse(results).iter("testcase"))
    failed = {case.get("name") for case in cases if len(case)}
    assert len(cases) == 33 and failed == OF_FILES.keys(), found.stdout
