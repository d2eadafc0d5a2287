"""aiohttp with the decorators of prometheus-async and its handler of the metrics."""

import steady
from aiohttp import web
from prometheus_async import aio
from prometheus_client import Counter, Gauge, Histogram

SECONDS = Histogram("shop_seconds", "Time to answer.", ["path"], buckets=(0.125, 0.5, 1))
BUSY = Gauge("shop_busy", "Requests under way.", multiprocess_mode="livesum")
ERRORS = Counter("shop_errors", "Requests that failed.")


@aio.track_inprogress(BUSY)
@aio.count_exceptions(ERRORS, exc=web.HTTPNotFound)
async def answer(request):
    kind = request.match_info["kind"]
    return await _timed(kind)


async def _timed(kind):
    @aio.time(SECONDS.labels(kind))
    async def answered():
        if kind == "missing":
            raise web.HTTPNotFound
        return web.Response(text=steady.answer(kind))

    return await answered()


async def make_app():
    app = web.Application()
    app.add_routes(
        [
            web.get("/metrics", aio.web.server_stats),
            web.get("/{kind}", answer),
            web.post("/{kind}", answer),
        ]
    )
    return app
