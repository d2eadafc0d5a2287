"""An ASGI application."""

import os

from prometheus_client import Counter, make_asgi_app

REQUESTS = Counter("app_requests_total", "Requests answered.", ["route"])
metrics = make_asgi_app()


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    if scope["path"] == "/metrics":
        await metrics(scope, receive, send)
        return
    if scope["path"] == "/":
        REQUESTS.labels("/").inc()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(os.getpid()).encode()})
