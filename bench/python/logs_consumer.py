"""What this project's logs consumer replaces, for comparison: confluent-kafka, json, elasticsearch's `streaming_bulk`.

Records come in batches; each becomes a document with ECS field names and the log's own id, and offsets are committed
when the batch is in the index. Asks the engine what it is, reads so many logs of a topic, commits, and waits for
SIGTERM.

Usage: logs_consumer.py BOOTSTRAP TOPIC GROUP LOGS URL
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator

from confluent_kafka import Consumer, KafkaException, Message
from elasticsearch import Elasticsearch
from elasticsearch.helpers import streaming_bulk

# As large as the requests of the others.
BATCH = 5000
MAX_BYTES = 5 * 1024 * 1024
INDEX = "bench"


def document(log: dict) -> dict:
    """A log as it is indexed."""
    return {
        "@timestamp": log["ts"],
        "service": {"name": log["service"], "node": {"name": log.get("instance")}},
        "event": {"id": log["id"], "kind": "event"},
        "log": {"level": log["level"], "logger": log.get("logger")},
        "message": log["message"],
        "trace": {"id": log.get("trace_id")},
        "span": {"id": log.get("span_id")},
        "labels": {name.replace(".", "_"): value for name, value in log.get("fields", {}).items()},
    }


def actions(batch: list[Message]) -> Iterator[dict]:
    """What is to be done with each record."""
    for message in batch:
        if message.error():
            raise KafkaException(message.error())
        log = json.loads(message.value())
        yield {"_op_type": "create", "_index": INDEX, "_id": log["id"], "_source": document(log)}


def carry(consumer: Consumer, engine: Elasticsearch, wanted: int) -> None:
    """Indexes so many logs, and commits them."""
    done = 0
    while done < wanted:
        batch = consumer.consume(min(BATCH, wanted - done), timeout=0.5)
        if not batch:
            continue
        requests = streaming_bulk(
            engine, actions(batch), chunk_size=BATCH, max_chunk_bytes=MAX_BYTES, raise_on_error=False
        )
        for ok, item in requests:
            if not ok:
                raise RuntimeError(item)
        done += len(batch)
        consumer.commit(asynchronous=True)
    consumer.commit(asynchronous=False)


def main() -> None:
    """Reads until it has as many logs as it was told."""
    bootstrap, topic, group, wanted, url = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    engine = Elasticsearch(url)
    engine.info()
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe([topic])
    try:
        carry(consumer, engine, wanted)
        signal.pause()
    finally:
        consumer.close()


if __name__ == "__main__":
    main()
