

# What follows stands behind the module of prometheus_client 0.7.1, and with it is like the module
# of the Postmates fork: its names, with as much behind them as shows whether they were called.

_cached = []


class InMemoryCollector:
    """Collects what the archiver has read last."""

    def __init__(self, registry):
        if registry:
            registry.register(self)

    def collect(self):
        return list(_cached)


def cleanup_process(pid, prom_dir=None):
    """Removes the files of a dead process that nobody needs any more."""
    mark_process_dead(pid, prom_dir or os.environ["prometheus_multiproc_dir"])


def archive_metrics(root=None, blocking=True, aggregate_only=False):
    """Reads the files of all processes."""
    root = root or os.environ["prometheus_multiproc_dir"]
    with open(os.path.join(root, "lockfile"), "w"):
        _cached[:] = MultiProcessCollector(None, root).collect()
