#!/usr/bin/env bash
# opentelemetry-exporter-prometheus 0.66b2 (SDK 1.45.2): two meters that have an instrument of the same name, the
# second with fewer attributes. A strong guess is two series that differ in otel_scope_name.
#
# Seen: the second meter's values are written one after the other under the first meter's label names. The attribute
# kind="x" becomes country="x", the name of the meter becomes kind="two", and otel_scope_name is empty:
#     shop_orders_total{country="x",kind="two",otel_scope_name="",otel_scope_schema_url=""} 7.0
set -euo pipefail
here=$(mktemp -d); trap 'rm -rf "$here"' EXIT
python3 -m venv "$here/venv"
"$here/venv/bin/pip" install --quiet opentelemetry-exporter-prometheus==0.66b2 opentelemetry-sdk==1.45.2 \
    prometheus-client==0.26.0
cat >"$here/app.py" <<'APP'
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import generate_latest

provider = MeterProvider([PrometheusMetricReader()])
orders = provider.get_meter("one").create_counter("shop.orders", unit="1", description="Orders.")
orders.add(1, {"kind": "x"})
orders.add(2, {"kind": "x", "country": "NZ"})
provider.get_meter("two").create_counter("shop.orders", unit="1", description="Orders.").add(7, {"kind": "x"})
print(generate_latest().decode())
APP
"$here/venv/bin/python" "$here/app.py" | tee "$here/page" | grep '^shop_orders_total'
grep -q 'otel_scope_name="two"' "$here/page" && { echo "changed: the second meter has its own name"; exit 1; }
line=$(grep '^shop_orders_total.* 7.0$' "$here/page")
[[ $line == *'country="x",kind="two",otel_scope_name=""'* ]] || { echo "changed: $line"; exit 1; }
echo "as described"
