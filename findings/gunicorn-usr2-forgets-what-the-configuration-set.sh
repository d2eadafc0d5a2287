#!/usr/bin/env bash
# gunicorn 27.0.1 with prometheus_client 0.26.0 in multiprocess mode. gunicorn.conf.py chooses the directory where nobody has:
# os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", tempfile.mkdtemp()). After 20 requests a USR2 starts a second master from
# the first one, as for an upgrade, and the first is told to end. A strong guess is that the second master inherits the
# variable, so that setdefault keeps it, and that the counter goes on at 20.
#
# Seen: the second master gets the environment as it was before the configuration was read. It chooses another directory, and
# the counter of the service is back at 0; what was counted lies in files that nobody reads any more.
set -euo pipefail
here=$(mktemp -d) first=
trap 'kill $(cat "$here"/pid* 2>/dev/null) $first 2>/dev/null || true; wait; rm -rf "$here"' EXIT
python3 -m venv "$here/venv"
"$here/venv/bin/pip" install --quiet gunicorn==27.0.1 prometheus_client==0.26.0
cd "$here" && mkdir files
cat >gunicorn.conf.py <<'CONF'
import os, tempfile
os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", tempfile.mkdtemp(dir="files"))
CONF
cat >app.py <<'APP'
import os
from prometheus_client import CollectorRegistry, Counter, generate_latest, multiprocess
requests = Counter("requests", "Requests.")
def app(environ, start_response):
    body = str(os.getppid()).encode()
    if environ["PATH_INFO"] == "/metrics":
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)
        body = generate_latest(registry)
    elif environ["PATH_INFO"] == "/":
        requests.inc()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
APP
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
url=http://127.0.0.1:$port
get() { python3 -c 'import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=10).read().decode())' "$url$1"; }
counted() { get /metrics | sed -n 's/^requests_total //p'; }
venv/bin/gunicorn -w 1 -b "127.0.0.1:$port" --pid pid --no-control-socket app:app >log 2>&1 &
first=$!
for _ in $(seq 100); do get /master >/dev/null 2>&1 && break; sleep 0.1; done
for _ in $(seq 20); do get / >/dev/null; done
before=$(counted)
kill -USR2 "$first"
for _ in $(seq 100); do [[ -s pid.2 ]] && break; sleep 0.1; done
second=$(<pid.2)
kill -QUIT "$first"
for _ in $(seq 100); do [[ $(get /master 2>/dev/null) == "$second" ]] && break; sleep 0.1; done
after=$(counted)
directories=$(ls files | wc -l)
echo "counted before: $before; after: ${after:-nothing}; directories: $directories"
[[ $before == 20.0 && ${after:-0.0} == 0.0 && $directories == 2 ]] || { echo "changed: expected 20.0, then 0.0, and 2 directories"; exit 1; }
echo "as described"
