"""What is different from prometheus_client's files: for each row of docs/from-files.md a program, what it
says with files, and what it says with Tallyboard. A row is called by its first words there."""

from test_programs import LINES
from test_zero_code import PRELUDE

from .counted import COUNTED
from .limits import LIMITS
from .shown import SHOWN

#: `service` is the page that the manual of prometheus_client has for many processes.
BEGINNING = (
    PRELUDE
    + LINES
    + """
import prometheus_client as p
from prometheus_client import multiprocess
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics
def page_of(encode=p.generate_latest):
    registry = p.CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)
    return encode(registry)
def service(begin="app_"):
    found = sorted(lines(begin, page_of()))
    return [line.replace(f'"{os.getpid()}"', '"PARENT"') for line in found]
def own(registry):
    return sorted(line for line in lines("app_", p.generate_latest(registry)) if "_created" not in line)
def wait(condition):
    # What is asked now and then comes about with Tallyboard, and never with files.
    if os.environ.get("TALLYBOARD"):
        until(condition)
def say(found):
    print("SAID", repr(found))
"""
)

ROWS = SHOWN | COUNTED | LIMITS

#: Rows that want a supervisor with these flags.
FLAGS = {
    "Series of all metrics": ("--max-series", "1000"),
    "Processes that count at once": ("--slots", "8"),
}

#: Rows that tests elsewhere are of.
ELSEWHERE = {
    "Several interpreters in a process, as uWSGI has for its mounts": [
        "test_servers.py::test_two_applications_that_uwsgi_mounts_are_one_service",
        "test_interpreters.py::test_interpreters_with_a_lock_of_their_own_say_that_they_count_for_themselves",
    ],
    "Processes of another user": [
        "test_users.py::test_what_a_command_of_root_has_started_counts_whoever_it_becomes",
        "test_users.py::test_a_stranger_is_refused_where_the_users_of_a_command_are_not",
        "test_users.py::test_who_is_named_is_admitted_and_nobody_else",
    ],
    "Nobody answers": [
        "test_pages.py::test_it_is_said_at_once_that_nobody_listens",
        "test_zero_code.py::test_without_a_supervisor_the_application_runs_and_its_exposition_says_why",
    ],
}
