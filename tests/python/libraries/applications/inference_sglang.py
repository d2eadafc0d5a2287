"""An inference server in the shape of SGLang's: the parent is the API server, mounts the metrics
once its directory is set, and watches over a spawned engine."""

import multiprocessing
import os
import re
import tempfile
from threading import Thread

import inference_engine


def watch(engine):
    context = multiprocessing.get_context("spawn")
    while True:
        process = context.Process(target=inference_engine.run, args=[engine], daemon=True)
        process.start()
        process.join()


def make_app(engine):
    # Later than the directory, which prometheus_client asks for when it is imported.
    import steady
    from fastapi import FastAPI, Response
    from prometheus_client import CollectorRegistry, Histogram, make_asgi_app, multiprocess
    from starlette.routing import Mount

    seconds = Histogram(
        "engine:e2e_request_latency_seconds", "Time to the end.", ["kind"], buckets=(0.125, 0.5, 1)
    )
    app = FastAPI()

    @app.get("/{kind}")
    async def generate(kind: str):
        if not inference_engine.ask(engine, kind):
            return Response("the engine has died", status_code=503)
        with seconds.labels(kind).time():
            steady.spend(0.25)
        return Response(f"{os.getpid():08}")

    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)
    route = Mount("/metrics", make_asgi_app(registry=registry))
    route.path_regex = re.compile(r"^/metrics(?P<path>.*)$")
    app.routes.insert(0, route)
    return app


def main():
    directory = tempfile.TemporaryDirectory()
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = directory.name
    engine = os.path.join(tempfile.gettempdir(), "engine")
    Thread(target=watch, args=[engine], daemon=True).start()
    app = make_app(engine)

    import uvicorn

    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), log_level="warning")


if __name__ == "__main__":
    main()
