#!/usr/bin/env bash
# prom-client 15.1.3 on Node 20, cluster of two workers that run two releases at once, as in a rolling restart: the
# same histogram with the buckets 1, 2 in one and 1, 5 in the other. Each observes 1.5 once. Strong guesses are an
# error, or cumulative buckets.
#
# Seen: one histogram whose buckets are no longer cumulative (le="5" has 1 although le="2" has 1 of the other worker
# and both are below 5), and whose le="2" line stands behind _count.
# Also: a counter (1) of one worker and a gauge (5) of another under one name become one metric, 6.
set -euo pipefail
here=$(mktemp -d); trap 'rm -rf "$here"' EXIT
cd "$here" && npm init -y >/dev/null && npm install --silent prom-client@15.1.3 >/dev/null
cat >app.js <<'APP'
const cluster = require('cluster');
const client = require('prom-client');
const aggregator = new client.AggregatorRegistry();
if (cluster.isPrimary) {
  const workers = ['old', 'new'].map((release) => cluster.fork({ RELEASE: release }));
  let ready = 0;
  const look = async () => {
    console.log(await aggregator.clusterMetrics());
    workers.forEach((worker) => worker.kill());
    process.exit(0);
  };
  workers.forEach((worker) => worker.on('message', (said) => said === 'ready' && ++ready === 2 && look()));
} else {
  const isOld = process.env.RELEASE === 'old';
  new client.Histogram({ name: 'h', help: 'Seconds.', buckets: isOld ? [1, 2] : [1, 5] }).observe(1.5);
  if (isOld) new client.Counter({ name: 'queue', help: 'Queue.' }).inc(1);
  else new client.Gauge({ name: 'queue', help: 'Queue.' }).set(5);
  process.send('ready');
}
APP
timeout 60 node app.js | tee page | grep -E '^(h|queue)|TYPE queue'
expect() { grep -qxF "$1" page || { echo "changed: expected the line $1"; exit 1; }; }
expect 'h_bucket{le="2"} 1'
expect 'h_bucket{le="5"} 1'
expect 'h_bucket{le="+Inf"} 2'
expect 'queue 6'
[[ $(grep -n '^h_' page | tail -n 1) == *'le='* ]] || { echo "changed: a bucket no longer stands last"; exit 1; }
echo "as described"
