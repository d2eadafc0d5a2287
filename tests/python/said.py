"""An application with a collector of its own, which says in each process what that has counted."""

import os

from flask import Flask, Response
from prometheus_client import REGISTRY, Counter, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

if os.environ.get("SAY_OFTEN"):
    from tallyboard import _questions

    _questions.INTERVAL_S = 0.02

app = Flask(__name__)
REQUESTS = Counter("app_requests_total", "Requests answered.")
answered = {}


class Says:
    def collect(self):
        # Of this process alone: a child of a fork has answered nothing.
        count = answered.get(os.getpid(), 0)
        yield CounterMetricFamily("said_requests", "Requests answered.", value=count)
        family = Metric("said_seconds", "Seconds.", "summary")
        family.add_sample("said_seconds", {"quantile": "0.5"}, 0.25)
        family.add_sample("said_seconds_count", {}, count)
        family.add_sample("said_seconds_sum", {}, count / 10)
        yield family
        buckets = [("1.0", count / 2), ("+Inf", count)]
        yield HistogramMetricFamily("said_sizes", "Sizes.", buckets=buckets, sum_value=count / 3)


REGISTRY.register(Says())


@app.route("/")
def index():
    answered[os.getpid()] = answered.get(os.getpid(), 0) + 1
    REQUESTS.inc()
    return str(os.getpid())


@app.route("/ready")
@app.route("/pid")
def pid():
    return str(os.getpid())


@app.route("/metrics")
def metrics():
    return Response(generate_latest(), content_type="text/plain; version=0.0.4")
