"""starlette_exporter with its optional metrics."""

import steady
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette_exporter import PrometheusMiddleware, handle_metrics
from starlette_exporter.optional_metrics import request_body_size, response_body_size


async def answer(request):
    if request.path_params["kind"] == "missing":
        return PlainTextResponse("nothing here", status_code=404)
    return PlainTextResponse(steady.answer(request.path_params["kind"]))


app = Starlette(routes=[Route("/do/{kind}", answer, methods=["GET", "POST"])])
app.add_middleware(
    PrometheusMiddleware,
    app_name="shop",
    prefix="shop",
    labels={"server": "one"},
    group_paths=False,
    skip_paths=["/metrics"],
    optional_metrics=[response_body_size, request_body_size],
    buckets=[0.125, 0.5, 1],
)
app.add_route("/metrics", handle_metrics)
