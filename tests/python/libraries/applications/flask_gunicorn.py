"""GunicornPrometheusMetrics: the metrics have a server of their own, in gunicorn's master."""

import flask_paths
from prometheus_flask_exporter.multiprocess import GunicornPrometheusMetrics

app = flask_paths.make_app(__name__)
metrics = GunicornPrometheusMetrics(app)
flask_paths.add_metrics(app, metrics)
