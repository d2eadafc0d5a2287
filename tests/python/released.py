"""An application whose metrics are others with each release: the variable RELEASE_FILE names the file
that says which one this is."""

import os

from prometheus_client import Counter, Enum, Gauge, Histogram

with open(os.environ["RELEASE_FILE"]) as file:
    RELEASE = int(file.read())

if RELEASE == 1:
    orders = Counter("app_orders", "Orders.", ["kind"])
    seconds = Histogram("app_seconds", "Seconds.", buckets=(1, 5))
    queue = Gauge("app_queue", "Waiting.", multiprocess_mode="max")
    helped = Counter("app_helped", "Old words.")
    state = Enum("app_state", "How it goes.", states=["idle", "busy"])
else:
    orders = Counter("app_orders", "Orders.", ["country", "kind"])
    seconds = Histogram("app_seconds", "Seconds.", buckets=(1, 30))
    queue = Gauge("app_queue", "Waiting.", multiprocess_mode="livemax")
    helped = Counter("app_helped", "New words.")
    state = Enum("app_state", "How it goes.", states=["idle", "broken"])


def order():
    if RELEASE == 1:
        orders.labels("tea").inc()
        state.state("busy")
    else:
        orders.labels("NZ", "tea").inc()
        orders.labels("", "tea").inc()
        state.state("broken")
    seconds.observe(20)
    queue.set(RELEASE)
    helped.inc()


def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/":
        order()
    about = {"/pid": os.getpid(), "/master": os.getppid(), "/release": RELEASE}
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(about.get(path, "")).encode()]
