#!/usr/bin/env bash
# Sample traffic through the Python SDK into the cluster, and a count of what arrived where.
. "$(dirname "$0")/lib.sh"

python=$("$ROOT/dev/python.sh")
export KAFKA_BOOTSTRAP=${KAFKA_BOOTSTRAP:-localhost:$(host_port 9092)}
export PROMETHEUS_URL=${PROMETHEUS_URL:-http://localhost:$(host_port 9090)}
export ELASTICSEARCH_URL=${ELASTICSEARCH_URL:-http://localhost:$(host_port 9200)}
export PYTHONUNBUFFERED=1
exec "$python" "$ROOT/dev/sample-traffic" "$@"
