"""An application as anybody writes it: it knows prometheus_client and nothing else."""

import os
import time

from flask import Flask, Response
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Gauge, Histogram, generate_latest

app = Flask(__name__)
REQUESTS = Counter("app_requests_total", "Requests answered.", ["route"])
SECONDS = Histogram("app_seconds", "Time to answer.")
BUSY = Gauge("app_busy", "Requests under way.", multiprocess_mode="livesum")


@app.route("/")
@SECONDS.time()
@BUSY.track_inprogress()
def index():
    REQUESTS.labels("/").inc()
    return "done"


@app.route("/ready")
def ready():
    return "yes"


@app.route("/pid")
def pid():
    return str(os.getpid())


@app.route("/master")
def master():
    return str(os.getppid())


@app.route("/hang")
def hang():
    REQUESTS.labels("/hang").inc()
    time.sleep(3600)
    return "never"


@app.route("/metrics")
def metrics():
    return Response(generate_latest(), content_type=CONTENT_TYPE_LATEST)
