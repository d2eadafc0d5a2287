

# What follows stands behind the module of prometheus_client 0.7.1, and with it is like the module
# of the Postmates fork: gauges have the mode `latest`, which they have unless they name another,
# and a time that the application may give.

for _mode in ("latest", "min", "max", "livesum", "liveall", "all"):
    setattr(Gauge, _mode.upper(), _mode)
Gauge._MULTIPROC_MODES = Gauge._MULTIPROC_MODES | {Gauge.LATEST}
Gauge.__init__.__defaults__ = Gauge.__init__.__defaults__[:-1] + (Gauge.LATEST,)
_set = Gauge.set


def _set_at(self, value, timestamp=None):
    self._timestamp = time.time() if timestamp is None else timestamp
    _set(self, value)


Gauge.set = _set_at
