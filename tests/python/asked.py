"""An application whose metrics ask: a gauge the queue in Redis that requests use too, a collector
something slow. It knows prometheus_client and nothing else, but for how often it is asked."""

import os
import time
import uuid

from flask import Flask, Response
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, Counter, Gauge, generate_latest
from prometheus_client.core import GaugeMetricFamily

if os.environ.get("ASK_OFTEN"):
    from tallyboard import _questions

    _questions.INTERVAL_S = 0.02

pool = None
if os.environ.get("BROKER"):
    import redis

    pool = redis.Redis.from_url(os.environ["BROKER"])

app = Flask(__name__)
REQUESTS = Counter("app_requests_total", "Requests answered.")
#: How often each process was asked.
asked = 0


def queue():
    global asked
    asked += 1
    return pool.llen("queue") if pool else 7


class Slow:
    multiprocess_mode = "livemax"

    def collect(self):
        time.sleep(0.03)
        yield GaugeMetricFamily("app_asked", "How often this process was asked.", value=asked)


Gauge("app_queue", "Jobs that wait.", multiprocess_mode="livesum").set_function(queue)
Gauge("app_turns", "How often it was asked.", multiprocess_mode="livemax").set_function(
    lambda: asked
)
REGISTRY.register(Slow())


@app.route("/")
def index():
    if pool:
        # An answer that is not there at once, on a connection of the pool.
        pool.rpush("queue", "job")
        token = uuid.uuid4().hex
        pool.blpop(token, timeout=0.02)
        assert pool.set(token, token, ex=60) and pool.get(token).decode() == token
    REQUESTS.inc()
    return "done"


@app.route("/ready")
def ready():
    return "yes"


@app.route("/pid")
def pid():
    return str(os.getpid())


@app.route("/metrics")
def metrics():
    return Response(generate_latest(), content_type=CONTENT_TYPE_LATEST)


# What applications of uWSGI have called.
CALLED = Counter("app_called_total", "Hooks of the application.", ["hook"])
try:
    import uwsgi
except ImportError:
    uwsgi = None
if uwsgi:
    uwsgi.after_req_hook = lambda: CALLED.labels("after_req").inc()
if uwsgi and uwsgi.masterpid():
    import uwsgidecorators

    @uwsgidecorators.postfork
    def forked():
        CALLED.labels("post_fork").inc()
