"""A pytest plugin under which prometheus_client's own multiprocess tests run against an arena.

Those tests play several processes in one: they give `MultiProcessValue` a function that says which
one they are. Here each of those has a client, and so a slot, of its own. The kernel cannot say that
such a process is dead, so `mark_process_dead` removes what a dead one would not leave behind. Files
begin every gauge at 0; an arena does so where that hides nothing, and here in all modes.
"""

import os
import subprocess

import prometheus_client.multiprocess
import pytest
import tallyboard
from prometheus_client import values
from tallyboard import _arena, _collect, _native, _patches

_address = ""
#: Client and families of each process that is played.
_played = {}


class _Process:
    def __init__(self):
        self.registry = _native.Registry(_address)
        self.families = {}
        self.registry.attach()


def _be(identifier):
    process = _played.setdefault(identifier, None) or _Process()
    _played[identifier] = process
    _arena.registry = lambda: process.registry
    _arena._families = process.families


def _multi_process_value(process_identifier=os.getpid):
    class PlayedValue:
        _multiprocess = True

        def __init__(self, typ, metric_name, name, labelnames, labelvalues, help_text, **keywords):
            self._metric = _arena.making.metric
            self._what = name[len(metric_name) :], tuple(labelvalues)
            self._values = {}
            self._value()

        def _value(self):
            identifier = process_identifier()
            if identifier not in self._values:
                _be(identifier)
                value = self._values[identifier] = _patches._shared_value(self._metric, *self._what)
                if getattr(self._metric, "_multiprocess_mode", "").removeprefix("live") in (
                    "min",
                    "max",
                ):
                    value.set(0)
            return self._values[identifier]

        def inc(self, amount):
            self._value().inc(amount)

        def set(self, value, timestamp=None):
            self._value().set(value, timestamp)

        def get(self):
            return self._value().get()

        def set_exemplar(self, exemplar):
            self._value().set_exemplar(exemplar)

        def get_exemplar(self):
            return None

    return PlayedValue


def _mark_process_dead(pid, path=None):
    process = _played.get(pid)
    for key, family in process.families.items() if process else ():
        if key[0] == "gauge" and key[3].startswith("live"):
            family.clear()


def _metrics(names=()):
    slots = {}
    for identifier, process in _played.items():
        slot, generation, _ = process.registry.attachment()
        slots[f"s{slot}g{generation}"] = str(identifier)
    for metric in _real_metrics(names):
        for sample in metric.samples:
            if "pid" in sample.labels:
                sample.labels["pid"] = slots.get(sample.labels["pid"], sample.labels["pid"])
        yield metric


os.environ["TALLYBOARD"] = "unix:@tallyboard/none"
assert tallyboard.install() == []
_real_metrics = _collect.metrics
_collect.metrics = _metrics
values.MultiProcessValue = _multi_process_value
prometheus_client.multiprocess.mark_process_dead = _mark_process_dead


@pytest.fixture(autouse=True)
def supervisor(monkeypatch):
    """An arena of each test's own, and no variable of the one before."""
    global _address
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)
    name = f"upstream-{os.getpid()}-{os.urandom(4).hex()}"
    _address = f"unix:@tallyboard/{name}"
    command = ["tallyboard", "serve", "--name", name, "--control", _address, "--backing", "memfd"]
    serve = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert any("is ready" in line for line in serve.stderr)
        _played.clear()
        # Counts what nobody is played for, and has the supervisor call the others by their slots.
        _be("test")
        _played.clear()
        yield
    finally:
        serve.terminate()
        serve.communicate()
