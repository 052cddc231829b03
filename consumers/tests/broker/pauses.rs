//! Partitions that have to wait.

use bt_dev_engine::{Engine, Fault, Flavour, Script};

use crate::fixture::{Fixture, terminate};
use crate::kafka::servers;
use crate::letters::becomes;

fn log(message: &str) -> String {
    format!(r#"{{"ts":1,"service":"s","level":"info","message":"{message}"}}"#)
}

#[tokio::test]
async fn a_partition_that_was_paused_when_it_left_is_consumed_when_it_comes_back() {
    const RECORDS: i64 = 150;
    let fixture = Fixture::new("paused").await;
    let engine = Engine::start(Flavour::OpenSearch)
        .await
        .expect("the engine listens");
    let busy = Fault::TooManyRequests { retry_after: None };
    engine.play(Script::only(0, busy, 100));
    let late = log(&"x".repeat(200_000));
    fixture.produce_values((0..2 * RECORDS as i32).map(|i| (i % 2, &late)));
    let kafka = format!("{{bootstrapServers: \"{}\"}}", servers());
    let sink = format!(
        "{{elasticsearch: {{urls: [\"{}\"], bulk: {{maxBytes: 1048576, flushInterval: 100ms}}}}}}",
        engine.url()
    );
    let start = || fixture.start_with(&kafka, "Earliest", &sink);
    let first = start();
    becomes(&first, "bt_consumer_paused_partitions", 2.0).await;
    let second = start();
    becomes(&second, "bt_consumer_assigned_partitions", 1.0).await;
    engine.play(Script::default());
    fixture.committed([RECORDS; 2]).await;
    becomes(&first, "bt_consumer_paused_partitions", 0.0).await;
    terminate(second).await;
    becomes(&first, "bt_consumer_assigned_partitions", 2.0).await;
    fixture.produce_values([(0, log("fine")), (1, log("fine"))]);
    fixture.committed([RECORDS + 1; 2]).await;
    drop(first);
    fixture.strike().await;
}
