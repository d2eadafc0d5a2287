"""prometheus-fastapi-instrumentator with all that it measures by itself."""

import steady
from fastapi import FastAPI, Response
from prometheus_fastapi_instrumentator import Instrumentator, metrics

app = FastAPI()
instrumentator = Instrumentator(
    should_group_status_codes=False,
    should_instrument_requests_inprogress=True,
    inprogress_labels=True,
    excluded_handlers=["/metrics"],
)
instrumentator.add(metrics.default(), metrics.request_size(), metrics.response_size())
instrumentator.instrument(app).expose(app)


@app.api_route("/{kind}", methods=["GET", "POST"])
async def answer(kind: str):
    if kind == "missing":
        return Response("nothing here", status_code=404)
    return Response(steady.answer(kind))
