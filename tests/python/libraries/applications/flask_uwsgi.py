"""UWsgiPrometheusMetrics: its master serves the metrics on a port of their own."""

import os

import flask_paths
from prometheus_flask_exporter.multiprocess import UWsgiPrometheusMetrics

app = flask_paths.make_app(__name__)
metrics = UWsgiPrometheusMetrics(app)
metrics.start_http_server(int(os.environ["METRICS_PORT"]), "127.0.0.1")
flask_paths.add_metrics(app, metrics)
