"""prometheus_client's own tests, as its source package has them, against an arena. Which of them fail is
said here, and why: no other one does, and each of these."""

import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from serving import HERE, PATIENCE_S, environment

TESTS = Path(os.environ["TALLYBOARD_TEST_HOME"], "prometheus_client-0.26.0/tests")

#: Those that look for files, of which there are none, and what they look for.
OF_FILES = {
    "TestMultiProcess::test_initialization_detects_pid_change": "the names of the files in the directory",
}

#: Not run: without Tallyboard too it fails now and then, where OpenSSL is the first to hear of the end.
BY_CHANCE = "test_exposition.py::TestWsgiTLS::test_mtls_untrusted_client_cert_raises"

#: The variable that is looked at is set already, to the directory that an application may wipe.
OF_VARIABLE = {"TestMultiProcessDeprecation::test_deprecation_warning"}

#: How many of `TestMultiProcess` fail in one process at most. They play several in one, by a function that
#: says which it is, and here the kernel says it: where each has a slot of its own they pass. Which of them
#: fail is a matter of what the tests before have counted.
OF_PLAYED_PROCESSES = 18

#: Callbacks and collectors are asked every few seconds, not for each page and not for what it selects.
ASKED_NOW_AND_THEN = {
    "TestGauge::test_gauge_function",
    "TestCollectorRegistry::test_restricted_registry_does_not_call_extra",
    "TestCollectorRegistry::test_restricted_registry_ignore_no_names_collectors",
}

#: What a collector says that is no number is left out alone, said once and counted, and fails no page.
NO_NUMBERS = {
    f"test_exposition::test_{family}_family[{given}-{error}Error]"
    for family, each, error in (
        ("summary_metric", ("None-0", "0-None", "count_value4-0", "0-sum_value5"), "Type"),
        ("summary_metric", ("count_value6-0", "0-sum_value7"), "Type"),
        ("summary_metric", ("-0", "0-"), "Value"),
    )
    for given in each
} | {
    f"test_exposition::test_{families}_families[{given}Error-{kind}MetricFamily]"
    for families, each, kinds in (
        ("basic_metric", ("None-Type", "value3-Type", "value4-Type"), ("Counter", "Gauge")),
        ("basic_metric", ("-Value", "x-Value"), ("Counter", "Gauge")),
        ("histogram_metric", ("buckets0-None-Type", "buckets1-0-Type"), ("GaugeHistogram",)),
        ("histogram_metric", ("buckets2-0-Attribute", "buckets3-0-Type"), ("GaugeHistogram",)),
        ("histogram_metric", ("buckets4-0-Attribute", "buckets5--Value"), ("GaugeHistogram",)),
        ("histogram_metric", ("buckets6-0-Value", "buckets7-0-Value"), ("GaugeHistogram",)),
    )
    for given in each
    for kind in kinds
}

#: An exemplar that is a dictionary and no `Exemplar`: it has no value, and `prometheus_client` itself can
#: write no page of it. It is said once, and the sample is shown without.
NO_EXEMPLARS = {
    "TestMetricFamilies::test_counter_exemplars_add",
    "TestMetricFamilies::test_counter_exemplars_oneline",
}

#: A page in the text format has no created times.
OF_CREATED_TIMES = {
    "TestGenerateText::test_counter",
    "TestGenerateText::test_counter_name_unit_append",
    "TestGenerateText::test_counter_total",
    "TestGenerateText::test_counter_utf8",
    "TestGenerateText::test_counter_utf8_escaped_underscores",
    "TestGenerateText::test_histogram",
    "TestGenerateText::test_summary",
}


def failed(tmp_path, *tests, count, before=(), plugins=()):
    """Runs some of the tests, of which there are so many, and gives those that fail."""
    results = tmp_path / "results.xml"
    command = [*before, sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "--tb=short"]
    command += [word for plugin in plugins for word in ("-p", plugin)]
    command += [f"--junit-xml={results}", f"--rootdir={TESTS}", f"--deselect={BY_CHANCE}"]
    command += [str(TESTS / test) for test in tests]
    found = subprocess.run(
        command,
        env=environment(PYTHONPATH=str(HERE / "upstream")),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=5 * PATIENCE_S,
    )
    cases = list(ElementTree.parse(results).iter("testcase"))
    print(found.stdout)
    assert len(cases) == count
    bad = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
    return {f"{case.get('classname').rpartition('.')[2]}::{case.get('name')}" for case in bad}


def test_all_of_many_processes_pass_but_those_that_look_for_files(tmp_path):
    found = failed(tmp_path, "test_multiprocess.py", count=33, plugins=["simulated"])
    assert found == OF_FILES.keys()


def test_all_pass_in_one_process_but_those_that_play_several(tmp_path):
    before = ("tallyboard", "exec", "--web.listen-address", "none", "--")
    found = failed(tmp_path, ".", count=319, before=before)
    played = {test for test in found if test.startswith("TestMultiProcess::")}
    assert found - played == OF_VARIABLE
    assert len(played - OF_FILES.keys()) <= OF_PLAYED_PROCESSES


def test_metrics_and_registries_are_as_upstream_where_each_registry_is_the_default_one(tmp_path):
    found = failed(tmp_path, "test_core.py", count=114, plugins=["default"])
    expected = ASKED_NOW_AND_THEN | NO_EXEMPLARS
    assert found == {test for test in expected if not test.startswith(("TestGenerate", "TestChoose"))}


def test_pages_are_as_upstream_where_each_registry_is_the_default_one(tmp_path):
    found = failed(tmp_path, "test_exposition.py", count=97, plugins=["default"])
    expected = NO_NUMBERS | OF_CREATED_TIMES
    assert found == {test for test in expected if not test.startswith("TestMetricFamilies")}
