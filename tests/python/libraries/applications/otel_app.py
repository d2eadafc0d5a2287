"""OpenTelemetry's metrics, read by its exporter for Prometheus."""

import flask_paths
from flask import Response
from opentelemetry import metrics
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

reader = PrometheusMetricReader()
resource = Resource.create({SERVICE_NAME: "shop", "service.instance.id": "one"})
metrics.set_meter_provider(MeterProvider(resource=resource, metric_readers=[reader]))
meter = metrics.get_meter("shop", "1.2")
requests = meter.create_counter("shop.requests", description="Requests by path.")
seconds = meter.create_histogram(
    "shop.duration",
    unit="s",
    description="Time to answer.",
    explicit_bucket_boundaries_advisory=[0.125, 0.5, 1],
)
app = flask_paths.make_app(__name__)


@app.after_request
def count(response):
    from flask import request

    if request.path != "/metrics":
        requests.add(1, {"path": request.path})
        seconds.record({"/quick": 0.0625, "/slow": 0.75}.get(request.path, 0.25))
    return response


@app.route("/metrics")
def exposed():
    return Response(generate_latest(), content_type=CONTENT_TYPE_LATEST)
