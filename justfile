# The recipes of bt-monitoring. `./justw` runs them, and installs `just` where it is missing.

cluster := env("BT_CLUSTER", "bt-monitoring")
namespace := env("BT_NAMESPACE", "default")
cache := env("BT_CACHE", home_directory() / ".cache/bt-monitoring")
kubectl := "kubectl --context kind-" + cluster + " --namespace " + namespace
export PATH := cache / "bin:" + env("PATH")

[private]
default:
    @{{ just_executable() }} --justfile '{{ justfile() }}' --list --unsorted

# Everything from nothing: cluster, images, chart, sample traffic and a count of what arrived where
[group('main')]
up:
    @dev/up.sh

# Everything: check, then the kind tests on a cluster of their own (KEEP=1 keeps it)
[group('main')]
test:
    @dev/test.sh

# What needs no cluster: formatting, lints, unit tests, chart, CRDs, scripts
[group('main')]
check:
    @dev/check.sh

# Tools, images and the cluster, without the chart
[group('pipeline')]
setup:
    @dev/setup.sh

# Install or upgrade the chart (a stopped cluster is started), and wait until all is ready
[group('pipeline')]
start:
    @dev/start.sh

# Stop the cluster; its data stays for the next start
[group('pipeline')]
stop:
    @dev/cluster.sh stop

# Restart the pods of everything, or of one part: kafka, elasticsearch, prometheus, operator, or a consumer's name
[group('pipeline')]
restart part='':
    @dev/parts.sh restart '{{ part }}'

# Delete the cluster with all its data; images and tools stay
[group('pipeline')]
clean:
    @dev/cluster.sh delete

# Send sample traffic and count what arrived where, e.g. `produce --events 10000`
[group('pipeline')]
produce *args:
    @dev/produce.sh {{ args }}

# Topics, consumers with their lag, pods and endpoints
[group('look')]
status:
    @dev/status.sh

# The topics
[group('look')]
topics:
    @{{ kubectl }} get kafkatopics

# Follow the logs of everything, or of one part: kafka, elasticsearch, prometheus, operator, or a consumer's name
[group('look')]
logs part='':
    @dev/parts.sh logs '{{ part }}'

# Follow the logs of one consumer, e.g. `consumer-logs metrics`
[group('consumers')]
consumer-logs name:
    @dev/parts.sh consumer-logs '{{ name }}'

# Start the consumers that were stopped, and show them
[group('consumers')]
consumers:
    @dev/consumers.sh start

# Stop all consumers; what is produced meanwhile waits in Kafka
[group('consumers')]
stop-consumers:
    @dev/consumers.sh stop

# Write crds/ anew from the types
[group('development')]
crds:
    cargo run --quiet -p bt-operator -- crds --out crds

[private]
images:
    @dev/images.sh
