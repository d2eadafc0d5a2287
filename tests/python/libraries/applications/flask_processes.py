"""MultiprocessInternalPrometheusMetrics under Flask's own server: a process for each request."""

import os

import flask_paths
from prometheus_flask_exporter.multiprocess import MultiprocessInternalPrometheusMetrics

app = flask_paths.make_app(__name__)
metrics = MultiprocessInternalPrometheusMetrics(app)
flask_paths.add_metrics(app, metrics)

if __name__ == "__main__":
    app.run("127.0.0.1", int(os.environ["PORT"]), processes=5, threaded=False)
