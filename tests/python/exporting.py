"""gunicorn's configuration of an exporter, as the README of the Postmates fork has it."""

import threading

from prometheus_client.multiprocess_exporter import start_archiver_thread


def when_ready(server):
    before = threading.active_count()
    start_archiver_thread()
    # gunicorn ends where this does not hold.
    assert threading.active_count() == before
