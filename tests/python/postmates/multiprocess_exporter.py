"""The exporter of the Postmates fork, as its README tells of it."""

import threading
import time

from . import CollectorRegistry, multiprocess
from .exposition import make_wsgi_app
from .multiprocess import archive_metrics

CLEANUP_INTERVAL = 5.0

registry = CollectorRegistry()
multiprocess.InMemoryCollector(registry)
app = make_wsgi_app(registry)


def archive_thread():
    while True:
        archive_metrics()
        time.sleep(CLEANUP_INTERVAL)


def start_archiver_thread():
    threading.Thread(target=archive_thread, daemon=True).start()


def on_starting(server):
    start_archiver_thread()
