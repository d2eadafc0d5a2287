"""What gunicorn-prometheus-exporter watches: any application."""

import flask_paths

app = flask_paths.make_app(__name__)
