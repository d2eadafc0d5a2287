"""GunicornInternalPrometheusMetrics: the application answers for its metrics itself."""

import flask_paths
from prometheus_flask_exporter.multiprocess import GunicornInternalPrometheusMetrics

app = flask_paths.make_app(__name__)
metrics = GunicornInternalPrometheusMetrics(app)
flask_paths.add_metrics(app, metrics)
