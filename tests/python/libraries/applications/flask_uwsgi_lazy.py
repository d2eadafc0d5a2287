"""UWsgiPrometheusMetrics under --lazy-apps, with the endpoint in the application."""

import flask_paths
from prometheus_flask_exporter.multiprocess import UWsgiPrometheusMetrics

app = flask_paths.make_app(__name__)
metrics = UWsgiPrometheusMetrics(app)
metrics.register_endpoint("/metrics")
flask_paths.add_metrics(app, metrics)
