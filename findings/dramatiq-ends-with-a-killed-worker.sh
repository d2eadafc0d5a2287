#!/usr/bin/env bash
# dramatiq 2.2.1 with two worker processes; one of them is killed (SIGKILL), as the kernel does when memory is short. A
# strong guess, from gunicorn, celery, uvicorn and uWSGI, is that the master starts another one and the rest goes on.
#
# Seen: the master says "exited unexpectedly (code -9). Shutting down...", stops the other worker and the process that
# serves the metrics, and ends with status 1. Nothing is served until something else starts it again. Wants redis-server.
set -euo pipefail
here=$(mktemp -d); redis=; trap 'kill $redis 2>/dev/null || true; rm -rf "$here"' EXIT
cd "$here"
python3 -m venv venv
venv/bin/pip install --quiet 'dramatiq[redis]==2.2.1' prometheus-client==0.26.0
port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
broker=$(port)
redis-server --port "$broker" --bind 127.0.0.1 --save '' >redis.log & redis=$!
cat >actors.py <<APP
import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware.prometheus import Prometheus

broker = RedisBroker(url="redis://127.0.0.1:$broker")
broker.add_middleware(Prometheus())
dramatiq.set_broker(broker)
APP
export TMPDIR=$here dramatiq_prom_host=127.0.0.1 dramatiq_prom_port=$(port)
for _ in $(seq 100); do (exec 3<>"/dev/tcp/127.0.0.1/$broker") 2>/dev/null && break; sleep 0.1; done
venv/bin/dramatiq -p 2 -t 1 actors >log 2>&1 & dramatiq=$!
for _ in $(seq 300); do [[ $(grep -c 'is ready for action' log) == 3 ]] && break; sleep 0.1; done
kill -KILL "$(sed -n 's/.*PID \([0-9]*\)\].*WorkerProcess(0).* is ready.*/\1/p' log)"
status=0
for _ in $(seq 300); do kill -0 "$dramatiq" 2>/dev/null || break; sleep 0.1; done
kill -0 "$dramatiq" 2>/dev/null && { echo "changed: it goes on"; kill "$dramatiq"; exit 1; }
wait "$dramatiq" || status=$?
grep 'exited unexpectedly' log
echo "ends with status $status"
((status == 1)) || { echo "changed: expected 1"; exit 1; }
echo "as described"
