"""A subclass of MultiprocessPrometheusMetrics, with one process that serves the metrics: the one
that preloads."""

import os

import flask_paths
from prometheus_flask_exporter.multiprocess import MultiprocessPrometheusMetrics


class PreloadedMetrics(MultiprocessPrometheusMetrics):
    def should_start_http_server(self):
        return True


app = flask_paths.make_app(__name__)
metrics = PreloadedMetrics(app)
metrics.start_http_server(int(os.environ["METRICS_PORT"]), "127.0.0.1")
flask_paths.add_metrics(app, metrics)
