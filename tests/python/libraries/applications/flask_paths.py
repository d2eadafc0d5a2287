"""The paths of all applications of Flask here."""

import steady
from flask import Flask


def make_app(name):
    app = Flask(name)

    @app.route("/quick")
    def quick():
        return steady.answer("quick")

    @app.route("/slow", methods=["GET", "POST"])
    def slow():
        return steady.answer("slow")

    @app.route("/die")
    def die():
        return steady.answer("die")

    @app.route("/missing")
    def missing():
        steady.spend(0.25)
        return "nothing here", 404

    return app


def add_metrics(app, metrics):
    """What the library's documentation shows beside its defaults, on one more path."""
    metrics.info("shop_info", "What is served.", version="1.2")

    @app.route("/item/<kind>")
    @metrics.counter(
        "shop_items", "Items shown by kind.", labels={"kind": lambda: _argument("kind")}
    )
    @metrics.gauge("shop_busy", "Items that are being looked up.")
    @metrics.summary(
        "shop_sizes", "Time to show an item.", labels={"status": lambda found: found.status_code}
    )
    @metrics.histogram("shop_seconds", "Time to show an item, by range.", buckets=(0.125, 0.5, 1))
    def item(kind):
        return steady.answer(kind)

    return app


def _argument(name):
    from flask import request

    return request.view_args[name]
