#!/usr/bin/env bash
# prom-client 15.1.3 on Node 20, cluster of three workers, AggregatorRegistry as its documentation has it: each worker
# has a Summary; all observations are 1 in the first and 100 in the others. A strong guess for the median of the
# service is a number between 1 and 100.
#
# Seen: the quantiles of the workers are added: sum{quantile="0.5"} 201. With more workers it is larger, and a worker
# that starts makes it jump.
set -euo pipefail
here=$(mktemp -d); trap 'rm -rf "$here"' EXIT
cd "$here" && npm init -y >/dev/null && npm install --silent prom-client@15.1.3 >/dev/null
cat >app.js <<'APP'
const cluster = require('cluster');
const client = require('prom-client');
const aggregator = new client.AggregatorRegistry();
if (cluster.isPrimary) {
  const workers = [1, 100, 100].map((value) => cluster.fork({ VALUE: value }));
  let ready = 0;
  const look = async () => {
    console.log(await aggregator.clusterMetrics());
    workers.forEach((worker) => worker.kill());
    process.exit(0);
  };
  workers.forEach((worker) => worker.on('message', (said) => said === 'ready' && ++ready === 3 && look()));
} else {
  const seconds = new client.Summary({ name: 'sum', help: 'Seconds.', percentiles: [0.5] });
  for (let i = 0; i < 100; i++) seconds.observe(+process.env.VALUE);
  process.send('ready');
}
APP
timeout 60 node app.js | tee page | grep '^sum'
grep -q '^sum{quantile="0.5"} 201$' page || { echo "changed: expected 201"; exit 1; }
echo "as described"
