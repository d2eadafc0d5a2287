import os

import steady  # noqa: F401
from prometheus_flask_exporter.multiprocess import GunicornPrometheusMetrics


def when_ready(server):
    port = int(os.environ["METRICS_PORT"])
    GunicornPrometheusMetrics.start_http_server_when_ready(port, "127.0.0.1")


def child_exit(server, worker):
    GunicornPrometheusMetrics.mark_process_dead_on_child_exit(worker.pid)
