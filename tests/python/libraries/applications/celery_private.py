"""Tasks of celery whose metrics are made in each process, in a registry of their own. The parent
serves what a MultiProcessCollector says."""

import os
import signal

from celery import Celery
from celery.signals import worker_init, worker_process_init
from prometheus_client import CollectorRegistry, Counter, Histogram, start_http_server
from prometheus_client.multiprocess import MultiProcessCollector

app = Celery("celery_private", broker=os.environ["BROKER"])
app.conf.broker_connection_retry_on_startup = True
REGISTRY = CollectorRegistry()
METRICS = {}


@worker_init.connect
def serve(**_):
    MultiProcessCollector(REGISTRY)
    start_http_server(int(os.environ["METRICS_PORT"]), "127.0.0.1", REGISTRY)


@worker_process_init.connect
def make_metrics(**_):
    registry = CollectorRegistry()
    METRICS["done"] = Counter("shop_tasks", "Tasks done.", ["task"], registry=registry)
    METRICS["size"] = Histogram(
        "shop_sizes", "Sizes of tasks.", buckets=(1, 10, 100), registry=registry
    )


@app.task
def quick(size):
    METRICS["size"].observe(size)
    METRICS["done"].labels("quick").inc()


@app.task
def die(size):
    METRICS["done"].labels("die").inc()
    os.kill(os.getpid(), signal.SIGKILL)
