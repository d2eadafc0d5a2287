"""A pytest plugin under which prometheus_client's tests of registries and pages run against an arena.

Those tests make a registry of their own for each test. Here each of these is the default registry, made
anew, and each test has an arena. What the supervisor says of itself is left out of what is exposed.
"""

import os
import subprocess
import sys

import prometheus_client
import pytest
import tallyboard
from tallyboard import _arena, _asker, _definitions, _native

DEFAULT = prometheus_client.REGISTRY
REAL = type(DEFAULT)
OWN = b"tallyboard_"


def _made_anew(*arguments, **keywords):
    DEFAULT.__init__(*arguments, **keywords)
    return DEFAULT


def _without_own(*arguments):
    content_type, page = _real_exposition(*arguments)
    lines = page.splitlines(keepends=True)
    return content_type, b"".join(line for line in lines if not _name(line).startswith(OWN))


def _name(line):
    """What a line is of: a sample, or what a comment describes."""
    words = line.split()
    return words[2] if len(words) > 2 and words[0] == b"#" else line


os.environ["TALLYBOARD"] = "unix:@tallyboard/none"
# One process is played, and no sample says which one it is.
os.environ["TALLYBOARD_GAUGE_MODE"] = "sum"
assert tallyboard.install() == []
_real_add = _asker.add
_asker.add = lambda collector, mode: _real_add(collector, "sum")
_real_exposition = _arena.exposition
_arena.exposition = _without_own
for module in list(sys.modules.values()):
    is_upstream = getattr(module, "__name__", "").startswith("prometheus_client")
    if is_upstream and vars(module).get("CollectorRegistry") is REAL:
        module.CollectorRegistry = _made_anew


@pytest.fixture(autouse=True)
def arena():
    """An arena of each test's own."""
    name = f"upstream-{os.getpid()}-{os.urandom(4).hex()}"
    address = f"unix:@tallyboard/{name}"
    command = ["tallyboard", "serve", "--name", name, "--control", address, "--backing", "memfd"]
    command += ["--web.listen-address", "none", "--process-metrics", "off"]
    serve = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert any("is ready" in line for line in serve.stderr)
        registry = _native.Registry(address)
        _arena.registry = lambda: registry
        _arena._families, _definitions._users = {}, {}
        _made_anew()
        yield
    finally:
        serve.terminate()
        serve.communicate()
