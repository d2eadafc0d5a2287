"""Counts in children that are started as the argument says."""

import multiprocessing
import sys

from prometheus_client import Counter

DONE = Counter("app_children_total", "Things done.", ["kind"])


def count():
    for _ in range(100):
        DONE.labels("child").inc()


if __name__ == "__main__":
    DONE.labels("parent").inc()
    context = multiprocessing.get_context(sys.argv[1])
    children = [context.Process(target=count) for _ in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join()
        assert child.exitcode == 0
