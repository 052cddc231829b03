//! What services send wrongly: it is counted and kept, and what follows flows.

use anyhow::{Context, Result, ensure};
use e2e::{API_VERSION, E2e, Record, beside_others, eventually, seconds};
use serde_json::{Value, json};

const DEAD_LETTERS: &str = "dead-letters";
/// Just below the broker's limit of 1,048,588 bytes for a batch, its overhead and the key included.
const NEAR_THE_LIMIT: usize = 1_048_400;

/// A topic and a consumer of it, for one test; returns the topic.
async fn install(e2e: &E2e, namespace: &str, kind: &str, sink: &str) -> Result<String> {
    let topic = format!("e2e.{kind}.{}", e2e.run);
    let manifest = format!(
        "apiVersion: {API_VERSION}\nkind: KafkaTopic\nmetadata: {{name: {topic}}}\nspec: {{partitions: 1, replicas: 1}}\n---\n\
         apiVersion: {API_VERSION}\nkind: TelemetryConsumer\nmetadata: {{name: {kind}}}\n\
         spec: {{topics: [{topic}], sink: {sink}, replicas: 1}}\n"
    );
    e2e.cluster.apply(namespace, &manifest).await?;
    e2e.cluster.topic_is_ready(namespace, &topic).await?;
    e2e.cluster.consumer_is_ready(namespace, kind, 1).await?;
    Ok(topic)
}

fn log(run: &str, number: u64, message: &str) -> Value {
    json!({
        "ts": 1_767_323_045_678_u64, "service": "e2e", "instance": run, "id": format!("{run}-{number}"),
        "level": "info", "message": message, "fields": {"number": number},
    })
}

/// The dead letters of a topic, once there are that many.
async fn dead_letters(e2e: &E2e, topic: &str, expected: usize) -> Result<Vec<Record>> {
    eventually(
        &format!("{expected} dead letters of {topic}"),
        seconds(60),
        async || {
            let mut letters = e2e.kafka.records(DEAD_LETTERS)?;
            letters.retain(|letter| {
                letter
                    .headers
                    .get("bt-topic")
                    .is_some_and(|from| from == topic)
            });
            ensure!(letters.len() >= expected, "there are {}", letters.len());
            Ok(letters)
        },
    )
    .await
}

/// Checks one dead letter: what it is a copy of, and what it says of it.
fn check(
    letter: &Record,
    sent: Option<&[u8]>,
    at: (i32, i64),
    reason: &str,
    consumer: &str,
) -> Result<()> {
    let header = |name: &str| {
        let value = letter.headers.get(name).map(String::as_str);
        value.with_context(|| format!("{reason}: no header {name} in {:?}", letter.headers))
    };
    ensure!(
        letter.value.as_deref() == sent,
        "{reason}: not the original bytes"
    );
    ensure!(
        letter.key.as_deref() == Some(b"bad/key".as_slice()),
        "{reason}: not the original key"
    );
    let found = (
        header("bt-partition")?.parse::<i32>()?,
        header("bt-offset")?.parse::<i64>()?,
    );
    ensure!(
        found == at,
        "{reason}: partition and offset are {found:?}, not {at:?}"
    );
    ensure!(
        header("bt-reason")? == reason,
        "reason is {}, not {reason}",
        header("bt-reason")?
    );
    ensure!(
        header("bt-consumer")? == consumer,
        "consumer is {}",
        header("bt-consumer")?
    );
    ensure!(
        header("bt-timestamp")?.parse::<i64>()? > 0,
        "{reason}: no timestamp"
    );
    if reason != "null_value" {
        ensure!(!header("bt-error")?.is_empty(), "{reason}: no error");
    }
    Ok(())
}

/// Waits until the consumer's own counter, as Prometheus has it, says so many rejected events.
async fn counted(e2e: &E2e, namespace: &str, consumer: &str, expected: usize) -> Result<()> {
    let query = format!(
        "sum(bt_consumer_dead_letters_total{{namespace=\"{namespace}\",consumer=\"{consumer}\"}})"
    );
    eventually("the dead letters are counted", seconds(60), async || {
        let counted = e2e.prometheus.value(&query).await?;
        ensure!(counted == expected as f64, "{counted} of {expected}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn logs_that_cannot_be_taken_are_dead_letters_and_what_follows_flows() -> Result<()> {
    beside_others(async |e2e| {
        let namespace = e2e.namespace("bad-logs").await?;
        let stream = format!("logs-bt-{}", e2e.run);
        let sink = format!("{{elasticsearch: {{dataStream: {stream}}}}}");
        let topic = install(e2e, &namespace, "logs", &sink).await?;
        let run = format!("bad-{}", e2e.run);
        let line = |number, message: &str| log(&run, number, message).to_string().into_bytes();

        let mut large = line(2, "");
        let padding = "x".repeat(NEAR_THE_LIMIT - large.len());
        large = line(2, &padding);
        assert_eq!(large.len(), NEAR_THE_LIMIT);
        let large_garbage = "{".repeat(NEAR_THE_LIMIT).into_bytes();
        let without_message = json!({"ts": 1, "service": "e2e", "level": "info"});
        let array = json!([
            log(&run, 3, "in an array"),
            without_message,
            log(&run, 4, "after it")
        ]);

        let good = "order/good";
        let bad = "bad/key";
        e2e.kafka
            .produce(&topic, good, Some(&line(0, "before")))
            .await?;
        let not_json = e2e
            .kafka
            .produce(&topic, bad, Some(b"this is no JSON"))
            .await?;
        let null = e2e.kafka.produce(&topic, bad, None).await?;
        e2e.kafka
            .produce(&topic, good, Some(&line(1, "between")))
            .await?;
        e2e.kafka.produce(&topic, good, Some(&large)).await?;
        let large_bad = e2e.kafka.produce(&topic, bad, Some(&large_garbage)).await?;
        let element = e2e
            .kafka
            .produce(&topic, bad, Some(array.to_string().as_bytes()))
            .await?;
        e2e.kafka
            .produce(&topic, good, Some(&line(5, "after")))
            .await?;

        eventually(
            "what can be taken is in the index",
            seconds(60),
            async || {
                let count = e2e.search.count(&stream, &run).await?;
                ensure!(count >= 6, "{count} of 6");
                Ok(())
            },
        )
        .await?;
        let documents = e2e.search.documents(&stream, &run).await?;
        e2e::exactly_once(&documents, 6)?;
        let whole = documents
            .iter()
            .any(|document| document["message"] == padding);
        ensure!(whole, "the large log's message is not there as it was sent");

        let letters = dead_letters(e2e, &topic, 4).await?;
        assert_eq!(letters.len(), 4, "{letters:?}");
        let of = |at: (i32, i64)| {
            let offset = at.1.to_string();
            let found = letters
                .iter()
                .find(|letter| letter.headers.get("bt-offset") == Some(&offset));
            found.with_context(|| format!("no dead letter of offset {offset}"))
        };
        let consumer = format!("{namespace}/logs");
        check(
            of(not_json)?,
            Some(b"this is no JSON"),
            not_json,
            "invalid_json",
            &consumer,
        )?;
        check(of(null)?, None, null, "null_value", &consumer)?;
        check(
            of(large_bad)?,
            Some(&large_garbage),
            large_bad,
            "invalid_json",
            &consumer,
        )?;
        let bytes = without_message.to_string();
        check(
            of(element)?,
            Some(bytes.as_bytes()),
            element,
            "missing_field",
            &consumer,
        )?;
        assert_eq!(
            of(element)?.headers.get("bt-place").map(String::as_str),
            Some("1")
        );
        counted(e2e, &namespace, "logs", 4).await
    })
    .await
}

#[tokio::test]
async fn metrics_that_cannot_be_taken_are_dead_letters_and_what_follows_flows() -> Result<()> {
    beside_others(async |e2e| {
        let namespace = e2e.namespace("bad-metrics").await?;
        let topic = install(e2e, &namespace, "metrics", "{prometheus: {}}").await?;
        let run = format!("bad-{}", e2e.run);
        let metric = |name: &str, value: Value, labels: Value| {
            let event = json!({
                "ts": 1_767_323_045_678_u64, "service": "e2e", "instance": run,
                "name": name, "kind": "counter", "value": value, "labels": labels,
            });
            event.to_string().into_bytes()
        };
        let good = async |value: u32| {
            let event = metric("e2e_bad_total", json!(value), json!({"run": run}));
            e2e.kafka.produce(&topic, "good/key", Some(&event)).await
        };
        let bad = [
            ("invalid_name", metric("with a space", json!(1), json!({}))),
            (
                "negative_increment",
                metric("e2e_bad_total", json!(-1), json!({"run": run})),
            ),
            (
                "reserved_label",
                metric("e2e_bad_total", json!(1), json!({"source": "mine"})),
            ),
            ("invalid_json", b"{\"name\": ".to_vec()),
        ];
        good(1).await?;
        let mut sent = Vec::new();
        for (reason, event) in bad {
            let at = e2e.kafka.produce(&topic, "bad/key", Some(&event)).await?;
            sent.push((reason, event, at));
        }
        good(10).await?;

        let query = format!("sum(e2e_bad_total{{run=\"{run}\"}})");
        eventually(
            "what can be taken is in Prometheus",
            seconds(60),
            async || {
                let seen = e2e.prometheus.value(&query).await?;
                ensure!(seen == 11.0, "{seen} of 11");
                Ok(())
            },
        )
        .await?;

        let letters = dead_letters(e2e, &topic, sent.len()).await?;
        assert_eq!(letters.len(), sent.len(), "{letters:?}");
        let consumer = format!("{namespace}/metrics");
        for (reason, event, at) in &sent {
            let offset = at.1.to_string();
            let found = letters
                .iter()
                .find(|letter| letter.headers.get("bt-offset") == Some(&offset));
            let letter =
                found.with_context(|| format!("no dead letter of offset {offset} ({reason})"))?;
            check(letter, Some(event), *at, reason, &consumer)?;
        }
        counted(e2e, &namespace, "metrics", sent.len()).await
    })
    .await
}
