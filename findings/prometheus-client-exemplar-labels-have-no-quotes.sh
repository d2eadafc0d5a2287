#!/usr/bin/env bash
# prometheus_client 0.26.0 with its own HTTP server, and the Prometheus that Debian has (2.42) with its default configuration.
# A counter gets an exemplar whose label is `trace.id`, which the client takes: names are any UTF-8 text for it. A strong guess is
# that the page has the label escaped, as the names of metrics and labels are (`escaping=underscores`).
#
# Seen: the page has `# {trace.id="1"}`, without quotes and not escaped, for each scheme that a reader asks for. Prometheus cannot
# read that line, and the whole target is lost: `up` is 0, `expected equal, got "INVALID"`. The client's own parser refuses the
# page too. Without the exemplar `up` is 1. Wants prometheus.
set -euo pipefail
here=$(mktemp -d); served=; prometheus=
trap 'kill $served $prometheus 2>/dev/null || true; wait; rm -rf "$here"' EXIT
cd "$here"
python3 -m venv venv
venv/bin/pip install --quiet prometheus-client==0.26.0
cat >serve.py <<'APP'
import sys, time, prometheus_client as p
done = p.Counter("jobs_done", "Jobs.")
done.inc(1, exemplar={"trace.id": "1"} if sys.argv[2] == "dotted" else None)
p.start_http_server(int(sys.argv[1]), "127.0.0.1")
time.sleep(120)
APP
port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
dotted=$(port); plain=$(port); web=$(port)
venv/bin/python serve.py "$dotted" dotted & served=$!
venv/bin/python serve.py "$plain" plain & served+=" $!"
cat >prometheus.yml <<YML
global: {scrape_interval: 1s, scrape_timeout: 1s}
scrape_configs:
- {job_name: dotted, static_configs: [{targets: ["127.0.0.1:$dotted"]}]}
- {job_name: plain, static_configs: [{targets: ["127.0.0.1:$plain"]}]}
YML
prometheus --config.file=prometheus.yml --storage.tsdb.path=data --web.listen-address="127.0.0.1:$web" \
    --log.level=error 2>log & prometheus=$!
health() {
    curl -s "http://127.0.0.1:$web/api/v1/targets" | python3 -c '
import json, sys
targets = json.load(sys.stdin)["data"]["activeTargets"]
print(*(t["health"] + " " + t["lastError"] for t in targets if t["labels"]["job"] == sys.argv[1]))' "$1" 2>/dev/null
}
for _ in $(seq 300); do
    [[ $(health dotted) =~ ^(up|down) && $(health plain) == up* ]] && break
    sleep 0.1
done
accept='application/openmetrics-text;version=1.0.0;escaping=underscores'
line=$(curl -s -H "Accept: $accept" "http://127.0.0.1:$dotted/metrics" | grep '^jobs_done_total')
read -r own <<<"$(curl -s -H "Accept: $accept" "http://127.0.0.1:$dotted/metrics" | venv/bin/python -c '
import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse
try:
    list(parse(sys.stdin.read()))
    print("reads it")
except ValueError as error:
    print("refuses it:", error)')"
echo "line: $line"
echo "dotted: $(health dotted)"
echo "plain: $(health plain)"
echo "own parser: $own"
if [[ $line == *'# {trace.id="1"}'* && $(health dotted) == down* && $(health plain) == up* && $own == refuses* ]]; then
    echo "as described"
else
    echo "not as described"
    exit 1
fi
