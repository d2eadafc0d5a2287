"""Actors of dramatiq under its Prometheus middleware, which is no default one any more."""

import os
import signal

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware.prometheus import Prometheus

broker = RedisBroker(url=os.environ["BROKER"])
broker.add_middleware(Prometheus())
dramatiq.set_broker(broker)


@dramatiq.actor
def quick():
    pass


@dramatiq.actor(max_retries=0)
def broken():
    raise ValueError("as it should be")


@dramatiq.actor(max_retries=0)
def die():
    os.kill(os.getpid(), signal.SIGKILL)
