#!/usr/bin/env bash
# opentelemetry-sdk 1.45.2: a MeterProvider whose resource names a service.instance.id, in a process that forks (gunicorn
# --preload). A strong guess is that what the application has said stays: the SDK draws an id only where none is set.
#
# Seen: in the child the id is a random one, and that of the application is gone; the other attributes stay. So the id
# that a deployment gave (a pod's name, a worker's number) is on no series of a preloaded worker, and each worker that
# is started again makes new series:
#     parent: shop one
#     child: shop <a UUID>
set -euo pipefail
here=$(mktemp -d); trap 'rm -rf "$here"' EXIT
python3 -m venv "$here/venv"
"$here/venv/bin/pip" install --quiet opentelemetry-exporter-prometheus==0.66b2 opentelemetry-sdk==1.45.2 \
    prometheus-client==0.26.0
cat >"$here/app.py" <<'APP'
import os
import re

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.resources import Resource
from prometheus_client import generate_latest

resource = Resource.create({"service.name": "shop", "service.instance.id": "one"})
provider = MeterProvider([PrometheusMetricReader()], resource=resource)
provider.get_meter("shop").create_counter("shop.orders").add(1)


def say(who):
    (target,) = re.findall(r"^target_info{(.*)}", generate_latest().decode(), re.M)
    found = dict(re.findall(r'(\w+)="([^"]*)"', target))
    print(f"{who}:", found["service_name"], found["service_instance_id"], flush=True)


if os.fork() == 0:
    say("child")
    os._exit(0)
os.wait()
say("parent")
APP
"$here/venv/bin/python" "$here/app.py" 2>&1 | tee "$here/said"
grep -qx 'parent: shop one' "$here/said" || { echo "changed: the parent"; exit 1; }
grep -Eqx 'child: shop [0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}' "$here/said" || { echo "changed: the child"; exit 1; }
echo "as described"
