#!/usr/bin/env bash
# Run nats-server, an origin with the demo, and two edges on this machine, until Ctrl+C:
#     examples/cluster.sh
# http://localhost:8080 is the origin, http://localhost:8081 and http://localhost:8082 are the edges.
set -euo pipefail
cd "$(dirname "$0")/.."
twistd=(.venv/bin/twistd -n --pidfile= --reactor asyncio)
nats=(--nats nats://127.0.0.1:4222)

trap 'kill $(jobs -p) 2> /dev/null; wait' EXIT
nats-server -c examples/nats.conf &
NATS_PASSWORD=origin-password "${twistd[@]}" dtc --demo --allow-trading "${nats[@]}" --nats-user origin &
NATS_PASSWORD=edge-password "${twistd[@]}" dtc-edge "${nats[@]}" --nats-user edge -r 8081 &
NATS_PASSWORD=edge-password "${twistd[@]}" dtc-edge "${nats[@]}" --nats-user edge -r 8082 &
wait -n
