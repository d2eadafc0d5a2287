#!/usr/bin/env bash
# prometheus_client 0.26.0: a counter `jobs:done`, whose name needs no escaping in any scheme, on the page of the client's own
# server, once as text and once as OpenMetrics (what Prometheus asks for by default). A strong guess is that both call it alike.
#
# Seen: it is `jobs:done_total` in text and `jobs_done_total` in OpenMetrics, below a line `# TYPE jobs:done counter`. The colon is
# escaped in the lines of samples alone, so the samples are not even of the family that is described above them: the client's own
# parser calls them a family `jobs_done_total` of unknown type. Who changes `scrape_protocols` renames the series.
set -euo pipefail
here=$(mktemp -d); trap 'rm -rf "$here"' EXIT
cd "$here"
python3 -m venv venv
venv/bin/pip install --quiet prometheus-client==0.26.0
venv/bin/python - <<'APP' | tee said
import prometheus_client as p
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse

registry = p.CollectorRegistry()
p.Counter("jobs:done", "Jobs.", registry=registry).inc()
text, page = p.generate_latest(registry).decode(), openmetrics(registry).decode()
print("text:", *(line for line in text.splitlines() if "done_total " in line and line[0] != "#"))
print("openmetrics:", *(line for line in page.splitlines() if "done_total " in line and line[0] != "#"))
print("described:", *(line for line in page.splitlines() if line.startswith("# TYPE")))
families = [(family.name, family.type) for family in parse(page) if family.samples and "total" in family.samples[0].name]
print("parsed:", families)
APP
if grep -q '^text: jobs:done_total 1.0$' said && grep -q '^openmetrics: jobs_done_total 1.0$' said &&
    grep -q '^described: # TYPE jobs:done counter' said && grep -q "jobs_done_total', 'unknown'" said; then
    echo "as described"
else
    echo "not as described"
    exit 1
fi
