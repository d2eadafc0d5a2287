"""Tasks of celery: metrics of the default registry, served by the parent, and the dead marked."""

import os
import signal

from celery import Celery
from celery.signals import worker_init, worker_process_init, worker_process_shutdown
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    multiprocess,
    start_http_server,
)

app = Celery("celery_shared", broker=os.environ["BROKER"])
app.conf.broker_connection_retry_on_startup = True
DONE = Counter("shop_tasks", "Tasks done.", ["task"])
SIZE = Histogram("shop_sizes", "Sizes of tasks.", buckets=(1, 10, 100))
BUSY = Gauge("shop_busy", "Tasks under way.", multiprocess_mode="livesum")
WARM = Counter("shop_warm", "Processes that were made.")


@worker_init.connect
def serve(**_):
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)
    start_http_server(int(os.environ["METRICS_PORT"]), "127.0.0.1", registry)


@worker_process_init.connect
def warm_up(**_):
    WARM.inc()


@worker_process_shutdown.connect
def mark(pid, **_):
    multiprocess.mark_process_dead(pid)


@app.task
def quick(size):
    with BUSY.track_inprogress():
        SIZE.observe(size)
    DONE.labels("quick").inc()


@app.task
def die(size):
    DONE.labels("die").inc()
    os.kill(os.getpid(), signal.SIGKILL)
