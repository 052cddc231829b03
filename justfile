# The recipes of bt-monitoring. `./justw` runs them, and installs `just` where it is missing.

cluster := env("BT_CLUSTER", "bt-monitoring")
namespace := env("BT_NAMESPACE", "default")
cache := env("BT_CACHE", home_directory() / ".cache/bt-monitoring")
export PATH := cache / "bin:" + env("PATH")

[private]
default:
    @{{ just_executable() }} --justfile '{{ justfile() }}' --list --unsorted

# Everything from nothing: cluster, images, chart, sample traffic and a count of what arrived
[group('main')]
[no-exit-message]
up:
    @dev/up.sh

# What needs no cluster: formatting, lints, unit tests, generated files, dependencies, chart, scripts
[group('main')]
[no-exit-message]
check:
    @dev/check.sh

# All tests: check, then those on a kind cluster of their own (KEEP=1 keeps it)
[group('main')]
[no-exit-message]
test:
    @dev/test.sh

# Measure on a cluster of its own: all, or topics, consumers, metrics or logs (KEEP=1 keeps it)
[group('main')]
[no-exit-message]
bench *args:
    @dev/bench.sh {{ args }}

# Tools, images and the cluster, without the chart
[group('pipeline')]
[no-exit-message]
setup:
    @dev/setup.sh

# Install or upgrade the chart, on a stopped cluster too, and wait until all is ready
[group('pipeline')]
[no-exit-message]
start:
    @dev/start.sh

# Stop the cluster; its data stays for the next start
[group('pipeline')]
[no-exit-message]
stop:
    @dev/cluster.sh stop

# Restart the pods of everything or of one part: kafka, operator, …, or a consumer's name
[group('pipeline')]
[no-exit-message]
restart part='':
    @dev/parts.sh restart '{{ part }}'

# Delete the cluster with all its data; images and tools stay
[group('pipeline')]
[no-exit-message]
clean:
    @dev/cluster.sh delete

# Send sample traffic and count what arrived where, e.g. `produce --events 10000`
[group('pipeline')]
[no-exit-message]
produce *args:
    @dev/produce.sh {{ args }}

# Topics, consumers with their lag, pods and endpoints
[group('look')]
[no-exit-message]
status:
    @dev/status.sh

# Install `kubectl bt`: status, top, tail, dead-letters, doctor, send
[group('look')]
[no-exit-message]
plugin:
    @dev/plugin.sh

# The topics: partitions, retention, state, and what is wrong
[group('look')]
[no-exit-message]
topics:
    @dev/topics.sh

# Follow the logs of everything or of one part: kafka, operator, …, or a consumer's name
[group('look')]
[no-exit-message]
logs part='':
    @dev/parts.sh logs '{{ part }}'

# Follow the logs of one consumer, e.g. `consumer-logs metrics`
[group('consumers')]
[no-exit-message]
consumer-logs name:
    @dev/parts.sh consumer-logs '{{ name }}'

# Start the consumers that were stopped, and show them
[group('consumers')]
[no-exit-message]
consumers:
    @dev/consumers.sh start

# Stop all consumers; what is produced meanwhile waits in Kafka
[group('consumers')]
[no-exit-message]
stop-consumers:
    @dev/consumers.sh stop

# Write crds/ anew from the types
[group('development')]
[no-exit-message]
crds:
    @cargo run --quiet -p bt-operator --bin bt-operator -- crds --out crds

# Write docs/reference/ anew from the types, the metrics and the chart's values
[group('development')]
[no-exit-message]
reference:
    @cargo run --quiet -p bt-operator --bin bt-operator -- reference --out docs/reference --chart charts

# Check the dependencies: licences, sources, known vulnerabilities
[group('development')]
[no-exit-message]
deps:
    @dev/deps.sh

# Let git check what is staged before each commit, within seconds
[group('development')]
[no-exit-message]
hooks:
    @git config core.hooksPath .githooks && echo "git runs .githooks/pre-commit now; git config --unset core.hooksPath switches it off"

# Build a release into dist/, e.g. `release 0.2.0`; `--dry-run` only checks
[group('development')]
[no-exit-message]
release *args:
    @dev/release.sh {{ args }}

[private]
images:
    @dev/images.sh
