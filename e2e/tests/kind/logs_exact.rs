//! What was produced is in the index or in the dead-letter topic, each exactly once, whatever becomes of real engines and of the pods.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use e2e::{beside_others, elasticsearch_image, eventually, scenario, seconds};
use serde_json::{Value, json};
use tokio::time::sleep;

// Of the consumers' own tests, which have an engine that fails by a script.
#[path = "../../../consumers/tests/logs_exact/ledger.rs"]
mod ledger;
mod stage;
mod traffic;

use stage::{NO_ROOM, ROOM, Stage};
use traffic::CODE;

/// The block that an engine puts on indices when its disk is full.
const BLOCK: &str = "index.blocks.read_only_allow_delete";
/// What engines say of it.
const BLOCKED: &str = "read-only-allow-delete";

#[tokio::test]
async fn each_log_is_there_once_whatever_becomes_of_a_stream_of_the_stacks_engine() -> Result<()> {
    scenario(async |e2e| {
        let stream = format!("logs-bt-exact-{}", e2e.run);
        let stage = Stage::new(e2e, "exact-stream", None, &stream).await?;
        stage
            .window("nothing", async { stage.flows().await })
            .await?;
        stage
            .window("labels of another type", types(&stage))
            .await?;
        stage
            .window("a roll-over, again and again", roll_over(&stage, &stream))
            .await?;
        whatever_becomes_of(&stage).await
    })
    .await
}

#[tokio::test]
async fn each_log_is_there_once_whatever_becomes_of_daily_indices_of_elasticsearch_7_10()
-> Result<()> {
    beside_others(async |e2e| {
        let stream = format!("logs-bt-exact-{}-{{date}}", e2e.run);
        let image = elasticsearch_image()?;
        let stage = Stage::new(e2e, "exact-daily", Some(&image), &stream).await?;
        stage
            .window("nothing", async { stage.flows().await })
            .await?;
        let days = stage.hits().await?;
        let days: BTreeSet<_> = days.iter().map(|hit| &hit.index).collect();
        ensure!(days.len() >= 2, "all are in {days:?}");
        stage
            .window("labels of another type", types(&stage))
            .await?;
        whatever_becomes_of(&stage).await
    })
    .await
}

/// What comes to all engines alike.
async fn whatever_becomes_of(stage: &Stage<'_>) -> Result<()> {
    stage.window("the engine restarted", restart(stage)).await?;
    stage.window("indices blocked", block(stage)).await?;
    stage.window("the disk full", disk(stage)).await?;
    ensure!(
        stage.letters()?.len() > 20,
        "there are few letters: {}",
        stage.letters()?.len()
    );
    Ok(())
}

/// A label is a number in the index, and not in all events.
async fn types(stage: &Stage<'_>) -> Result<()> {
    let path = format!("/{}/_mapping", stage.indices);
    let code = json!({"type": "integer", "ignore_malformed": false});
    let mapping = json!({"properties": {"labels": {"properties": {CODE: code}}}});
    stage.engine("PUT", &path, mapping).await?;
    stage.traffic.conflicts.set(true);
    let letters = eventually("logs were refused", seconds(60), async || {
        let letters = stage.letters()?;
        let errors = letters.iter().filter_map(|letter| {
            let by_sink = letter.headers.get("bt-reason")? == "rejected_by_sink";
            letter.headers.get("bt-error").filter(|_| by_sink).cloned()
        });
        let errors: Vec<_> = errors.collect();
        ensure!(errors.len() >= 5, "{} were refused", errors.len());
        Ok(errors)
    });
    let errors = letters.await?;
    stage.traffic.conflicts.set(false);
    for error in errors {
        ensure!(
            error.contains("mapper_parsing_exception") && error.contains(&format!("labels.{CODE}")),
            "a letter without the engine's words: {error}"
        );
    }
    Ok(())
}

/// New backing indices while pods are killed, whose records are then sent once more.
async fn roll_over(stage: &Stage<'_>, stream: &str) -> Result<()> {
    for _ in 0..3 {
        stage.flows().await?;
        stage.kill().await?;
        let path = format!("/{stream}/_rollover");
        stage.engine("POST", &path, json!({})).await?;
        sleep(seconds(3)).await;
    }
    stage.has_pods(2).await?;
    stage.flows().await?;
    let hits = stage.hits().await?;
    let indices: BTreeSet<_> = hits.iter().map(|hit| &hit.index).collect();
    ensure!(indices.len() >= 4, "documents are in {indices:?} only");
    Ok(())
}

/// The engine goes away under load and comes back, while there are more pods and one fewer of them.
async fn restart(stage: &Stage<'_>) -> Result<()> {
    stage.flows().await?;
    let grow = async {
        sleep(seconds(2)).await;
        stage.wants(3).await?;
        sleep(seconds(8)).await;
        stage.kill().await
    };
    tokio::try_join!(stage.engine.restart(), grow)?;
    stage.flows().await?;
    stage.has_pods(3).await
}

/// Somebody makes the indices read-only as for a full disk, and a pod is killed before that is taken back.
async fn block(stage: &Stage<'_>) -> Result<()> {
    stage.flows().await?;
    let path = format!("/{}/_settings", stage.indices);
    // Else the engine would see by itself that the disk is not full.
    stage.disk(ROOM, NO_ROOM).await?;
    stage.engine("PUT", &path, json!({BLOCK: true})).await?;
    stage.is_blocked(&[BLOCKED]).await?;
    stage.kill().await?;
    stage.wants(2).await?;
    sleep(seconds(3)).await;
    stage.engine("PUT", &path, json!({BLOCK: null})).await?;
    stage.disk(ROOM, ROOM).await?;
    stage.flows().await?;
    stage.is_free().await?;
    stage.has_pods(2).await
}

/// The engine finds its disk full and blocks its indices, until there is space again; meanwhile there are fewer pods.
async fn disk(stage: &Stage<'_>) -> Result<()> {
    stage.flows().await?;
    stage.disk(NO_ROOM, NO_ROOM).await?;
    blocks(stage, true).await?;
    stage.is_blocked(&[BLOCKED]).await?;
    stage.kill().await?;
    stage.wants(1).await?;
    sleep(seconds(5)).await;
    stage.disk(ROOM, ROOM).await?;
    blocks(stage, false).await?;
    stage.flows().await?;
    stage.is_free().await?;
    stage.has_pods(1).await
}

/// Waits until the engine itself has blocked indices, or freed all.
async fn blocks(stage: &Stage<'_>, blocked: bool) -> Result<()> {
    let what = format!("the engine has blocked indices: {blocked}");
    eventually(&what, seconds(60), async || {
        let path = format!("/{}/_settings/{BLOCK}?flat_settings", stage.indices);
        let settings = stage.engine("GET", &path, Value::Null).await?;
        let indices = settings.as_object().context("no indices")?.values();
        let found = indices.filter(|index| index["settings"][BLOCK] == "true");
        let found = found.count();
        ensure!((found > 0) == blocked, "{found} are blocked");
        Ok(())
    })
    .await
}
