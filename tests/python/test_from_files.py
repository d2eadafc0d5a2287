"""Each row of docs/from-files.md is true with files and with Tallyboard, and no difference that is known
here is left out of it."""

import ast
import re
import subprocess
import sys

import pytest
from differences import BEGINNING, ELSEWHERE, FLAGS, ROWS
from serving import HERE, PATIENCE_S, Board, environment

PAGE = HERE.parent.parent / "docs/from-files.md"


def run(program, **variables):
    """Runs a program in a process of its own, and gives what it said."""
    found = subprocess.run(
        [sys.executable, "-c", BEGINNING + program],
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert found.returncode == 0, found.stderr
    said = re.findall("^SAID (.*)$", found.stdout, re.MULTILINE)
    assert said, found.stdout
    values = [ast.literal_eval(each) for each in said]
    return values if len(values) > 1 else values[0]


@pytest.mark.parametrize("row", ROWS)
def test_a_row_is_true_of_files(row, tmp_path):
    program, of_files, _ = ROWS[row]
    assert run(program, PROMETHEUS_MULTIPROC_DIR=str(tmp_path)) == of_files


@pytest.mark.parametrize("row", ROWS)
def test_a_row_is_true_of_tallyboard(row, tmp_path):
    program, _, of_tallyboard = ROWS[row]
    with Board(*FLAGS.get(row, ())) as board:
        variables = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path), "TALLYBOARD": board.address}
        assert run(program, **variables) == of_tallyboard


@pytest.mark.parametrize("row", ROWS)
def test_a_row_is_a_difference(row):
    _, of_files, of_tallyboard = ROWS[row]
    assert of_files != of_tallyboard


def rows():
    """The first cells of the tables of the page."""
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    cells = [re.split(r" ?\| ?", line)[1:-1] for line in lines]
    assert {len(row) for row in cells} == {3}, "a row has three cells"
    return [first for first, *_ in cells if first != "what"]


def test_the_rows_of_the_page_are_those_that_are_tested():
    assert sorted(rows()) == sorted([*ROWS, *ELSEWHERE])


@pytest.mark.parametrize("test", [test for tests in ELSEWHERE.values() for test in tests])
def test_a_test_elsewhere_is_there(test):
    file, name = test.split("::")
    assert f"def {name}(" in (HERE / file).read_text()
