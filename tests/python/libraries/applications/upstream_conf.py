"""The hook that the manual of prometheus_client shows for gunicorn."""

import steady  # noqa: F401
from prometheus_client import multiprocess


def child_exit(server, worker):
    multiprocess.mark_process_dead(worker.pid)
