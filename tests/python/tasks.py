"""Tasks of celery."""

import os
import signal

from celery import Celery
from prometheus_client import Counter

app = Celery("tasks", broker=os.environ["BROKER"])
app.conf.broker_connection_retry_on_startup = True
DONE = Counter("app_tasks_total", "Tasks done.", ["task"])


@app.task
def work():
    DONE.labels("work").inc()


@app.task
def die():
    DONE.labels("die").inc()
    os.kill(os.getpid(), signal.SIGKILL)
