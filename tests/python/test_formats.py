"""Every format between an arena and prometheus_client: each reads what the other has written."""

import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import time

import prometheus_client as p
import pytest
from prometheus_client.core import GaugeHistogramMetricFamily, UnknownMetricFamily
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text
from serving import PATIENCE_S, Process, get, until

#: A text with all that has to be escaped somewhere, as the workers have it.
ODD = 'a "b" \\ c\nü {d}'
BOUNDS = (1.0, 10.0)
OPENMETRICS_1 = "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores"
OPENMETRICS_2 = "application/openmetrics-text; version=2.0.0; charset=utf-8; escaping=underscores"
#: The families of the workers, with their types and units.
TYPES = {
    "work_build": ("info", ""),
    "work_done": ("counter", ""),
    "work_here": ("gauge", ""),
    "work_last": ("gauge", ""),
    "work_level": ("gauge", ""),
    "work_native_seconds": ("histogram", "seconds"),
    "work_offset": ("histogram", ""),
    "work_seconds": ("histogram", "seconds"),
    "work_size": ("summary", ""),
    "work_spent_seconds": ("counter", "seconds"),
    "work_state": ("stateset", ""),
    "work_wide": ("histogram", ""),
}


class Work:
    """Workers that count with every instrument, one of which has been killed."""

    def __init__(self, board, stack):
        self.address, self.port, self.since = board.address, board.port, time.time()
        #: The numbers that each has counted, by its pid.
        self.numbers = {}
        first = self.count(stack, 0.5, 2.5)
        self.count(stack, 40.0, 2.25, 7.0)
        first.child.send_signal(signal.SIGKILL)
        first.wait()
        until(lambda: "\ntallyboard_reclaims_total 1\n" in self.page("text/plain"), "a reclaim")

    def count(self, stack, *numbers):
        program = os.path.join(os.environ["TALLYBOARD_TEST_HOME"], "instruments")
        worker = stack.enter_context(Process(program, *numbers, TALLYBOARD=self.address))
        until(lambda: "has counted" in worker.said, worker)
        self.numbers[str(worker.child.pid)] = numbers
        return worker

    @property
    def all(self):
        return [number for numbers in self.numbers.values() for number in numbers]

    @property
    def offsets(self):
        return [offset for number in self.all for offset in (number, 0.0, -number / 2)]

    def page(self, accept, *names):
        query = "&".join(f"name[]={name}" for name in names)
        status, page = get(self.port, f"/metrics?{query}", Accept=accept)
        assert status == 200, page
        return page

    def histogram(self, name, numbers, bounds):
        below = {f"{bound:.1f}": sum(number <= bound for number in numbers) for bound in bounds}
        for le, count in (below | {"+Inf": len(numbers)}).items():
            yield (f"{name}_bucket", (("le", le),)), count
        yield (f"{name}_count", ()), len(numbers)
        yield (f"{name}_sum", ()), sum(numbers)

    def expected(self, natives):
        """The numbers that there must be; of native histograms, those of the classic ones that are
        shown in their place, or beside them."""
        expected = {
            ("work_build_info", (("notes", ODD), ("version", "1"))): 1,
            ("work_done_total", (("by", ODD),)): len(self.all),
            ("work_last", ()): self.all[-1],
            ("work_level", ()): len(self.all),
            ("work_size_count", ()): len(self.all),
            ("work_size_sum", ()): sum(self.all),
            ("work_spent_seconds_total", ()): sum(self.all),
            ("work_state", (("work_state", "busy"),)): 0,
            ("work_state", (("work_state", "idle"),)): 1,
        }
        for pid, numbers in self.numbers.items():
            expected[("work_here", (("pid", pid),))] = len(numbers)
        expected |= self.histogram("work_seconds", self.all, BOUNDS)
        expected |= self.histogram("work_native_seconds", self.all, BOUNDS)
        if not natives:
            expected |= self.histogram("work_wide", self.all, ())
            expected |= self.histogram("work_offset", self.offsets, ())
        return expected

    def newest(self, sample):
        """What the newest exemplar of a sample must be of, if it has one."""
        if sample.name == "work_done_total":
            return self.all[-1], 1
        if sample.name not in ("work_seconds_bucket", "work_native_seconds_bucket"):
            return None
        upper = float(sample.labels["le"])
        lower = max((bound for bound in BOUNDS if bound < upper), default=-math.inf)
        number = [number for number in self.all if lower < number <= upper][-1]
        return number, number


@pytest.fixture
def work(board):
    with contextlib.ExitStack() as stack:
        yield Work(board, stack)


def values(families, of="work_"):
    """The numbers of samples by name and labels, without times of creation. No two are the same."""
    found = {}
    for family in families:
        for sample in family.samples if family.name.startswith(of) else ():
            key = (sample.name, tuple(sorted((sample.labels or {}).items())))
            if sample.native_histogram is None and not sample.name.endswith("_created"):
                assert key not in found, f"{key} stands twice"
                found[key] = sample.value
    return found


def read(page, form):
    """What `tallyboard parse` says of a page."""
    command = ["tallyboard", "parse", "--json", "--format", form]
    page = page if isinstance(page, bytes) else page.encode()
    found = subprocess.run(command, input=page, capture_output=True, timeout=PATIENCE_S)
    assert found.returncode == 0, found.stderr.decode()
    return json.loads(found.stdout)["families"]


def read_values(families):
    return {
        (sample["name"], tuple(sorted(sample["labels"].items()))): float(sample["value"])
        for family in families
        for sample in family["samples"]
        if "histogram" not in sample
    }


def test_the_strict_parser_reads_openmetrics_of_every_instrument(work):
    families = list(parse_openmetrics(work.page(OPENMETRICS_1)))
    assert values(families) == work.expected(natives=False)
    ours = [family for family in families if family.name.startswith("work_")]
    assert {family.name: (family.type, family.unit) for family in ours} == TYPES
    helps = {family.name: family.documentation for family in ours}
    assert helps["work_done"] == ODD and helps["work_size"] == "Size of the work."
    for family in ours:
        created = [s.value for s in family.samples if s.name == f"{family.name}_created"]
        assert len(created) == (family.type in ("counter", "histogram", "summary")), family
        for sample in family.samples:
            newest = work.newest(sample)
            assert (sample.exemplar is None) == (newest is None), sample
            if newest:
                number, value = newest
                assert float(sample.exemplar.labels["trace_id"]) == number, sample
                assert sample.exemplar.value == value, sample
                created.append(float(sample.exemplar.timestamp))
        assert all(work.since - 1 <= moment <= time.time() + 1 for moment in created), family


@pytest.mark.parametrize("version", ["0.0.4", "1.0.0; escaping=allow-utf-8"])
def test_the_parser_of_text_reads_every_instrument(work, version):
    families = list(parse_text(work.page(f"text/plain; version={version}")))
    assert values(families) == work.expected(natives=False)
    assert {f.name: f.documentation for f in families}["work_done"] == ODD


def test_openmetrics_2_says_what_openmetrics_1_says(work):
    families = read(work.page(OPENMETRICS_2), "openmetrics-2.0")
    ours = [family for family in families if family["name"].startswith("work_")]
    found = {
        key: value for key, value in read_values(ours).items() if not key[0].endswith("_created")
    }
    assert found == work.expected(natives=True)
    assert {family["name"]: (family["type"], family["unit"]) for family in ours} == TYPES
    natives = {
        sample["name"]: sample
        for family in ours
        for sample in family["samples"]
        if "histogram" in sample
    }
    everything = {"work_native_seconds": work.all, "work_wide": work.all}
    everything["work_offset"] = work.offsets
    assert natives.keys() == everything.keys()
    for name, numbers in everything.items():
        histogram, count = natives[name]["histogram"], int(natives[name]["value"])
        assert (count, float(histogram["sum"])) == (len(numbers), sum(numbers)), name
        assert int(histogram["zero_count"]) == numbers.count(0), name
        for side, sign in (("positive", 1), ("negative", -1)):
            below = [sign * number for number in numbers if sign * number > 0]
            for index, counted in buckets(histogram[side]):
                lower, upper = (2 ** (at * 2 ** -histogram["schema"]) for at in (index - 1, index))
                assert counted == sum(lower < number <= upper for number in below), (name, index)
            counts = histogram[side]["counts"]
            assert sum(map(int, counts)) == len(below), name


def buckets(side):
    """The index of each bucket, and what is in it."""
    index, counts = 0, iter(side["counts"])
    for offset, length in side["spans"]:
        index += offset
        for at in range(index, index + length):
            yield at, int(next(counts))
        index += length


def test_native_histograms_are_read_as_far_as_the_client_has_them(work):
    # Its parser has a draft of version 2, where families are called as in version 1, and where the
    # counts of buckets have another name.
    for name in ("work_native_seconds", "work_wide"):
        (family,) = parse_openmetrics(work.page(OPENMETRICS_2, name))
        assert (family.name, family.type) == (name, "histogram")
        (native,) = [s.native_histogram for s in family.samples if s.native_histogram]
        assert (native.count_value, native.sum_value) == (len(work.all), sum(work.all))
        assert (native.schema, native.zero_threshold, native.zero_count) == (3, 2.0**-128, 0)


class Others:
    """Types that a client has no instrument for."""

    def collect(self):
        buckets = [("1.0", 2), ("+Inf", 5)]
        yield GaugeHistogramMetricFamily("other_queue", "Waiting.", buckets=buckets, gsum_value=9)
        yield UnknownMetricFamily("other_thing", "Of no type.", value=-1e300)


def every_instrument():
    registry = p.CollectorRegistry()
    done = p.Counter("own_done", ODD, ["by"], registry=registry)
    done.labels(ODD).inc(2, exemplar={"trace_id": "7"})
    done.labels("").inc()
    p.Counter("own_spent_seconds", "", unit="seconds", registry=registry).inc(3.5)
    p.Gauge("own_level", "Not a number.", registry=registry).set(math.nan)
    p.Gauge("own_depth", "Below everything.", registry=registry).set(-math.inf)
    p.Summary("own_size", "Size.", registry=registry).observe(3)
    bounds = (0, 1e-5, 0.1, 1, 1e6, 1.5e22)
    seconds = p.Histogram("own_seconds", "Time.", ["of"], buckets=bounds, registry=registry)
    seconds.labels("a").observe(0.25, exemplar={"trace_id": "ü"})
    seconds.labels("b").observe(4)
    p.Info("own_build", "What works.", registry=registry).info({"version": "1", "notes": ODD})
    p.Enum("own_state", "How it goes.", states=["busy", "idle"], registry=registry).state("idle")
    p.Gauge("own.température", "Outside.", ["http.route"], registry=registry).labels(ODD).set(21.5)
    registry.register(Others())
    return registry


def comparable(number):
    """A number that is the same as itself."""
    return "NaN" if math.isnan(number) else number


@pytest.mark.parametrize("escaping", ["underscores", "allow-utf-8"])
@pytest.mark.parametrize(
    "write, forms",
    [
        (openmetrics.generate_latest, {"underscores": "openmetrics", "allow-utf-8": "openmetrics"}),
        (p.generate_latest, {"underscores": "text", "allow-utf-8": "text-1.0"}),
    ],
    ids=["openmetrics", "text"],
)
def test_what_the_client_writes_is_read(write, forms, escaping):
    registry = every_instrument()
    found = read(write(registry, escaping=escaping), forms[escaping])
    collected = list(registry.collect())

    def escaped(name):
        utf8 = escaping == "allow-utf-8"
        return name if utf8 else openmetrics.escape_metric_name(name, escaping)

    expected = {}
    for metric in collected:
        for sample in metric.samples:
            labels = sorted((escaped(name), value) for name, value in sample.labels.items())
            expected[(escaped(sample.name), tuple(labels))] = comparable(sample.value)
    assert {key: comparable(value) for key, value in read_values(found).items()} == expected
    if write is openmetrics.generate_latest:
        described = {f["name"]: (f["type"], f["unit"], f["help"]) for f in found}
        expected = {
            escaped(metric.name): (metric.type, metric.unit, metric.documentation)
            for metric in collected
        }
        assert described == expected
        exemplars = [
            (sample["name"], sample["exemplar"]["labels"]["trace_id"], sample["exemplar"]["value"])
            for family in found
            for sample in family["samples"]
            if "exemplar" in sample
        ]
        assert exemplars == [
            ("own_done_total", "7", "2"),
            ("own_seconds_bucket", "ü", "0.25"),
        ]


def test_what_is_no_openmetrics_is_refused_by_both():
    # The client writes a count without a sum where bounds are negative, and does not read it.
    registry = p.CollectorRegistry()
    p.Histogram("own_offset", "Offset.", buckets=(-1, 1), registry=registry).observe(-4)
    page = openmetrics.generate_latest(registry)
    with pytest.raises(ValueError, match="_sum"):
        list(parse_openmetrics(page.decode()))
    with pytest.raises(AssertionError, match="expected a sum beside the count"):
        read(page, "openmetrics")


#: Numbers of all sizes and signs.
NUMBERS = (
    [math.inf, -math.inf, 0.0, -0.0, 1.0, -1.0, 0.1, 5e-324, -5e-324, 2.2250738585072014e-308]
    + [1e16, 2.0**53 + 2, -(2.0**60), 1e300, -1e300, sys.float_info.max, -sys.float_info.max]
)


def test_every_number_of_every_kind_is_read_by_the_strict_parsers(board):
    board.run(
        f"""
import prometheus_client as p
inf = float("inf")
for at, number in enumerate({NUMBERS}):
    p.Gauge(f"work_gauge_{{at}}", "G.", multiprocess_mode="max").set(number)
    p.Summary(f"work_summary_{{at}}", "S.").observe(number)
    p.Histogram(f"work_histogram_{{at}}", "H.", buckets=(1, 10)).observe(number)
    p.Histogram(f"work_offset_{{at}}", "O.", buckets=(-1, 1)).observe(number)
    if 0 <= number < inf:
        p.Counter(f"work_counter_{{at}}", "C.").inc(number)
"""
    )
    text = values(parse_text(work_page(board, "text/plain")))
    command = ["tallyboard", "scrape", "--control", board.address, "--format", "protobuf"]
    scraped = subprocess.run(command, capture_output=True, timeout=PATIENCE_S, check=True)
    protobuf = read_values(read(scraped.stdout, "protobuf"))
    strict = values(parse_openmetrics(work_page(board, OPENMETRICS_1)))
    ours = read_values(read(work_page(board, OPENMETRICS_1), "openmetrics"))
    two = read_values(read(work_page(board, OPENMETRICS_2), "openmetrics-2.0"))
    for at, number in enumerate(NUMBERS):
        sums = ("work_summary", "work_histogram", "work_offset")
        for found in (text, protobuf):
            for name in sums:
                assert same(found[f"{name}_{at}_sum", ()], number), name
                assert found[f"{name}_{at}_count", ()] == 1
        for found in (text, protobuf, strict, ours, two):
            assert same(found[f"work_gauge_{at}", ()], number)
            if 0 <= number < math.inf:
                assert same(found[f"work_counter_{at}_total", ()], number)
            assert found[f"work_offset_{at}_bucket", (("le", "+Inf"),)] == 1
        for found in (strict, ours):
            # A sum that only rises, and none where a bound is negative.
            for name in sums:
                total = found.get((f"{name}_{at}_sum", ()))
                assert (total is None) == (number < 0 or name == "work_offset"), (name, number)
                assert total is None or same(total, number)
            assert found[f"work_summary_{at}_count", ()] == 1
        for name in ("work_histogram", "work_offset"):
            assert same(two[f"{name}_{at}_sum", ()], number)
        assert ((f"work_summary_{at}_sum", ()) in two) == (number >= 0)


def same(found, number):
    """Whether they are one number; a negative zero may have been added to another one."""
    return found == number or math.isnan(found) and math.isnan(number)


def work_page(board, accept):
    status, page = get(board.port, "/metrics", Accept=accept)
    assert status == 200, page
    return page


def test_the_strict_parser_reads_sums_that_are_no_sums_of_openmetrics(board):
    board.run(
        """
import prometheus_client as p
p.Histogram("work_offset", "Offset.", buckets=(-1, 1)).observe(-4)
p.Histogram("work_depth", "Depth.", buckets=(1, 2)).observe(-4)
p.Summary("work_loss", "Loss.").observe(-1)
"""
    )
    found = values(parse_openmetrics(work_page(board, OPENMETRICS_1)))
    for name in ("work_offset", "work_depth"):
        assert found[f"{name}_bucket", (("le", "1.0"),)] == 1
        assert (f"{name}_sum", ()) not in found and (f"{name}_count", ()) not in found
    assert found["work_loss_count", ()] == 1
    assert ("work_loss_sum", ()) not in found


def test_what_is_collected_has_sums_that_openmetrics_has_not(board):
    said = board.run(
        """
import math
import prometheus_client as p
from prometheus_client import REGISTRY
p.Histogram("work_offset", "Offset.", buckets=(-1, 1)).observe(-4)
p.Summary("work_loss", "Loss.").observe(-1)
p.Counter("work_done", "Done.", ["by"]).labels("me").inc(2, exemplar={"trace_id": "x"})
p.Info("work_build", "Build.").info({"version": "1"})
value = REGISTRY.get_sample_value
print(value("work_offset_sum"), value("work_offset_count"), value("work_loss_sum"))
found = {metric.name: metric for metric in REGISTRY.collect()}
total, created = found["work_done"].samples
print(found["work_done"].type, total.name, total.labels, total.value, total.exemplar.labels)
build = found["work_build"]
print(created.name, created.value > 1e9, build.type, build.samples[0].labels)
"""
    )
    assert said.splitlines()[-3:] == [
        "-4.0 1.0 -1.0",
        "counter work_done_total {'by': 'me'} 2.0 {'trace_id': 'x'}",
        "work_done_created True info {'version': '1'}",
    ]


def test_an_observation_that_is_no_number_is_dropped_and_counted(board):
    said = board.run(
        """
import math
import prometheus_client as p
from prometheus_client import CollectorRegistry, generate_latest
own = CollectorRegistry()
made = [
    p.Summary("work_none", "No number."),
    p.Histogram("work_nothing", "No number.", buckets=(1,)),
    p.Summary("work_own", "No number.", registry=own),
    p.Summary("work_labelled", "No number.", ["by"]).labels("me"),
]
for metric in made:
    for number in (1.5, math.nan, -0.5, float("nan")):
        metric.observe(number)
print(generate_latest(own).decode())
try:
    p.Summary("work_parent", "Has no value.", ["by"]).observe(math.nan)
except ValueError:
    print("a parent is refused as always")
"""
    )
    assert "work_own_count 2.0" in said and "work_own_sum 1.0" in said, said
    assert said.endswith("a parent is refused as always\n"), said
    page = work_page(board, "text/plain")
    for name, labels in (
        ("work_none", ""),
        ("work_nothing", ""),
        ("work_own", ""),
        ("work_labelled", '{by="me"}'),
    ):
        assert f"\n{name}_count{labels} 2\n{name}_sum{labels} 1\n" in page, page
    assert 'tallyboard_dropped_total{reason="amount"} 8\n' in page, page
