"""The configuration that the README of gunicorn-prometheus-exporter shows."""

from gunicorn_prometheus_exporter.hooks import (
    default_on_exit,
    default_on_starting,
    default_post_fork,
    default_when_ready,
    default_worker_int,
)

worker_class = "gunicorn_prometheus_exporter.PrometheusWorker"
when_ready = default_when_ready
on_starting = default_on_starting
worker_int = default_worker_int
on_exit = default_on_exit
post_fork = default_post_fork
