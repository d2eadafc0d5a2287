"""An inference server in the shape of vLLM's: a parent that has the directory of the metrics,
several API servers on one socket, and an engine, all of them spawned."""

import multiprocessing
import os
import re
import socket
import tempfile
from multiprocessing.connection import wait

import inference_engine


def serve(listener, engine):
    import steady
    import uvicorn
    from fastapi import FastAPI, Response
    from prometheus_client import CollectorRegistry, Counter, make_asgi_app, multiprocess
    from prometheus_fastapi_instrumentator import Instrumentator
    from starlette.routing import Mount

    prompts = Counter("engine:request_success", "Requests that ended.", ["kind"])
    app = FastAPI()

    @app.get("/{kind}")
    async def generate(kind: str):
        if kind == "die":
            steady.answer(kind)
        if not inference_engine.ask(engine, kind):
            return Response("the engine has died", status_code=503)
        steady.spend(0.25)
        prompts.labels(kind).inc()
        return Response(f"{os.getpid():08}")

    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)
    Instrumentator(excluded_handlers=["/metrics"], registry=registry).add().instrument(app)
    route = Mount("/metrics", make_asgi_app(registry=registry))
    # Without a redirect from /metrics to /metrics/.
    route.path_regex = re.compile("^/metrics(?P<path>.*)$")
    app.routes.insert(0, route)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    server.run(sockets=[listener])


def main():
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        directory = tempfile.TemporaryDirectory()
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = directory.name
    context = multiprocessing.get_context("spawn")
    listener = socket.socket()
    listener.bind(("127.0.0.1", int(os.environ["PORT"])))
    engine = os.path.join(tempfile.gettempdir(), "engine")
    wanted = [(inference_engine.run, (engine,)), *[(serve, (listener, engine))] * 2]
    processes = [context.Process(target=target, args=given) for target, given in wanted]
    for process in processes:
        process.start()
    while True:
        wait([process.sentinel for process in processes])
        for at, (target, given) in enumerate(wanted):
            if not processes[at].is_alive():
                processes[at].join()
                processes[at] = context.Process(target=target, args=given)
                processes[at].start()


if __name__ == "__main__":
    main()
