"""The lines of `tallyboard graphite` beside those of prometheus_client's own bridge."""

import socket
import subprocess
import threading

import prometheus_client as p
import pytest
from prometheus_client.bridge.graphite import GraphiteBridge
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.openmetrics.exposition import generate_latest
from serving import PATIENCE_S, environment

#: Numbers whose digits and exponents are written in more than one way.
NUMBERS = (0.0, -0.0, 1.0, 0.1 + 0.2, 1e-4, 1.5e-5, 123456.789, 1e15, 1e16, 1.5e22, -2.5e-300)
NUMBERS += (float("inf"), float("-inf"), float("nan"), 2.0**53 + 2, 5e-324, 1.7976931348623157e308)


class Odd:
    """Names of labels and values of them that are no nodes of a path, and numbers."""

    def collect(self):
        values = ("a.b c", "ü€/\\", 'q"\n', ";=~^!{}", "-_9Z", "𝔘")
        family = GaugeMetricFamily("odd", "Odd.", labels=("zone", "Area", "_x"))
        for value in values:
            family.add_metric((value, value[::-1], "1"), 1)
        yield family
        family = GaugeMetricFamily("number", "Numbers.", labels=("at",))
        for at, number in enumerate(NUMBERS):
            family.add_metric((str(at),), number)
        yield family


def registry():
    registry = p.CollectorRegistry()
    orders = p.Counter("orders", "Orders.", ["shop", "by"], registry=registry)
    orders.labels("a", "card").inc(3)
    orders.labels(by="b", shop="b").inc(0.125)
    p.Gauge("queue", "Waiting.", registry=registry).set(-7)
    p.Summary("size_bytes", "Sizes.", registry=registry).observe(1e16)
    seconds = p.Histogram("seconds", "Time.", ["route"], registry=registry)
    seconds.labels("/items/{id}").observe(0.3)
    p.Info("build", "What runs.", registry=registry).info({"version": "1.4.2"})
    p.Enum("job", "The job.", states=["on", "off"], registry=registry).state("off")
    registry.register(Odd())
    return registry


def lines(push):
    """What comes of a push to an address, as lines without their time."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE_S)
        read = []

        def accept():
            connection, _ = listener.accept()
            with connection, connection.makefile(encoding="ascii") as file:
                read.extend(file)

        reader = threading.Thread(target=accept)
        reader.start()
        push(listener.getsockname())
        reader.join(PATIENCE_S)
    assert all(line.endswith("\n") for line in read)
    return [line.rsplit(" ", 1)[0] for line in read]


def ours(page, *flags):
    def push(address):
        command = ["tallyboard", "graphite", "{}:{}".format(*address), "--from", page, *flags]
        subprocess.run(command, check=True, env=environment(), timeout=PATIENCE_S)

    return lines(push)


@pytest.mark.parametrize("prefix", ["", "servers.web-1"])
@pytest.mark.parametrize("tags", [False, True])
def test_a_document_is_sent_as_prometheus_client_sends_its_registry(tmp_path, tags, prefix):
    metrics, page = registry(), tmp_path / "page"
    page.write_bytes(generate_latest(metrics))
    sent = lines(lambda address: GraphiteBridge(address, metrics, tags=tags).push(prefix))
    # Carbon drops a number that is none.
    expected = [line for line in sent if not line.endswith(" nan")]
    assert len(sent) - 1 == len(expected) > 40
    found = ours(page, f"--prefix={prefix}", *(["--tags"] if tags else []))
    assert found == expected
