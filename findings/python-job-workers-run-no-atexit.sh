#!/usr/bin/env bash
# Jobs of celery 5.7.0 (prefork, and with --max-tasks-per-child), dramatiq 2.2.1, huey 3.5.4 (-k process) and rq 3.0.0
# register an atexit handler, as push_to_gateway at the end is often written. The workers then end in the ordinary way:
# after their share of tasks, or by the documented signal for a warm shutdown. A strong guess is that the handlers run.
#
# Seen: in none of the five does a handler run. Wants redis-server.
set -euo pipefail
here=$(mktemp -d) pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; wait; rm -rf "$here"' EXIT
python3 -m venv "$here/venv"
"$here/venv/bin/pip" install --quiet celery==5.7.0 dramatiq==2.2.1 huey==3.5.4 rq==3.0.0 redis==8.1.0 packaging
cd "$here" && mkdir out
cat >jobs.py <<'APP'
import atexit, os

def work(name, known=set()):
    if not known:
        known.add(name)
        mark(name, "begun")
        atexit.register(mark, name, "ended")

def mark(name, what):
    open(f"out/{name}.{what}.{os.getpid()}", "w").close()
APP
cat >with_celery.py <<'APP'
import os, celery, jobs
app = celery.Celery("c", broker=f"redis://127.0.0.1:{os.environ['PORT']}/0")
@app.task
def task(name): jobs.work(name)
APP
cat >with_dramatiq.py <<'APP'
import os, dramatiq, jobs
from dramatiq.brokers.redis import RedisBroker
dramatiq.set_broker(RedisBroker(host="127.0.0.1", port=int(os.environ["PORT"])))
@dramatiq.actor
def task(name): jobs.work(name)
APP
cat >with_huey.py <<'APP'
import os, huey as package, jobs
huey = package.RedisHuey("h", host="127.0.0.1", port=int(os.environ["PORT"]))
@huey.task()
def task(name): jobs.work(name)
APP
export PYTHONPATH=$here PORT
PORT=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
PATH=$here/venv/bin:$PATH
begin() { "$@" >>log 2>&1 & pids+=($!); }
redis-server --port "$PORT" --bind 127.0.0.1 --save '' --dir "$here" >redis.log 2>&1 &
redis=$!
until redis-cli -p "$PORT" ping >/dev/null 2>&1; do sleep 0.1; done
begin celery -A with_celery worker -n a@x -c 2 --loglevel error
begin celery -A with_celery worker -n b@x -Q few -c 1 --max-tasks-per-child 1 --loglevel error
begin dramatiq with_dramatiq -p 2 -t 1
begin rq worker --url "redis://127.0.0.1:$PORT" q
begin huey_consumer with_huey.huey -k process -w 2
python - <<'APP'
import os, jobs, redis, rq, with_celery, with_dramatiq, with_huey
queue = rq.Queue("q", connection=redis.Redis(port=int(os.environ["PORT"])))
for _ in range(10):
    with_celery.task.delay("celery")
    with_dramatiq.task.send("dramatiq")
    with_huey.task("huey")
for _ in range(3):
    with_celery.task.apply_async(("celery-max-tasks",), queue="few")
    queue.enqueue(jobs.work, "rq")
APP
for name in celery celery-max-tasks dramatiq huey rq; do
    for _ in $(seq 300); do compgen -G "out/$name.begun.*" >/dev/null && break; sleep 0.1; done
done
sleep 2
kill -TERM "${pids[@]:0:4}"; kill -INT "${pids[4]}"
wait "${pids[@]}" || true
pids=("$redis")
status=0
for name in celery celery-max-tasks dramatiq huey rq; do
    begun=$(compgen -G "out/$name.begun.*" | wc -l) ended=$(compgen -G "out/$name.ended.*" | wc -l || true)
    echo "$name: $begun processes had a handler, $ended ran it"
    ((begun > 0 && ended == 0)) || status=1
done
((status == 0)) && echo "as described" || echo "changed, or a worker did not begin: see above"
exit $status
