//! A consumer whose engine and topics are a test's own, and what was produced into it.

use anyhow::{Context, Result, ensure};
use e2e::{E2e, Hit, Record, SecondSearch, eventually, seconds};
use kube::ResourceExt;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::ledger::{Fate, Finding, Indexed, Kind, Letter, Produced, findings, mark, report};
use super::traffic::{MALFORMED, NO_NUMBER, Traffic};

const NAME: &str = "exact";
const PARTITIONS: u32 = 4;
/// Until what was produced is in the index, once nothing hinders it any more.
const DONE: u64 = 90;
/// Free space that every disk has, and that none has.
pub const ROOM: &str = "1b";
pub const NO_ROOM: &str = "1000tb";
/// Of those who have no mark.
const UNKNOWN: u32 = u32::MAX;

pub struct Stage<'a> {
    pub e2e: &'a E2e,
    pub engine: SecondSearch<'a>,
    pub traffic: Traffic,
    namespace: String,
    topic: String,
    topic_id: String,
    letters: String,
    /// All that documents go into.
    pub indices: String,
    run: String,
}

impl<'a> Stage<'a> {
    /// The engine is up and the consumer of two pods is ready. `stream` is what documents go into, and may have placeholders.
    pub async fn new(e2e: &'a E2e, what: &str, image: Option<&str>, stream: &str) -> Result<Self> {
        let namespace = e2e.namespace(what).await?;
        let engine = e2e.second_search(&namespace, image).await?;
        let topic = e2e.topic(&namespace, what, PARTITIONS).await?;
        let letters = e2e.topic(&namespace, &format!("{what}-letters"), 1).await?;
        let status = e2e.cluster.topic(&namespace, &topic).await?.status;
        let topic_id = status.and_then(|status| status.topic_id);
        let topic_id = topic_id.context("the topic has no id")?;
        let spec = json!({
            "topics": [topic], "replicas": 2, "groupDeletionPolicy": "Delete",
            "sink": {"elasticsearch": {
                "urls": [engine.url()], "dataStream": stream, "deadLetterTopic": letters,
                "bulk": {"maxDocs": 50, "flushInterval": "200ms"},
            }},
        });
        let run = format!("{what}-{}", e2e.run);
        let stage = Self {
            e2e,
            engine,
            traffic: Traffic::new(&topic, &run),
            namespace,
            topic,
            // In URL-safe base64, as in a document's id.
            topic_id: topic_id.replace('+', "-").replace('/', "_"),
            letters,
            indices: stream.replace("{date}", "*"),
            run,
        };
        // So that the disk of this machine blocks nothing before the test does.
        stage.disk(ROOM, ROOM).await?;
        e2e.cluster
            .apply_consumer(&stage.namespace, NAME, &spec)
            .await?;
        stage.has_pods(2).await?;
        Ok(stage)
    }

    /// Something happens while logs are written; in the end each is there once.
    pub async fn window(
        &self,
        what: &str,
        happens: impl Future<Output = Result<()>>,
    ) -> Result<()> {
        println!("  {what}");
        let kafka = &self.e2e.kafka;
        let happened = self.traffic.while_it(kafka, happens).await;
        happened.with_context(|| what.to_owned())?;
        let exact = eventually("each is there once", seconds(DONE), async || {
            let found = self.wrong().await?;
            ensure!(found.is_empty(), "{}", report(&found));
            Ok(())
        });
        exact.await.with_context(|| what.to_owned())?;
        println!("    of {} events", self.traffic.sent());
        Ok(())
    }

    /// Waits until the engine holds some documents more.
    pub async fn flows(&self) -> Result<()> {
        let search = &self.engine.search;
        let before = search.count(&self.indices, &self.run).await?;
        eventually("logs flow into the engine", seconds(60), async || {
            let count = search.count(&self.indices, &self.run).await?;
            ensure!(count > before + 100, "{count}, before {before}");
            Ok(())
        })
        .await
    }

    /// Waits until nothing is taken, for a reason that has these words.
    pub async fn is_blocked(&self, words: &[&str]) -> Result<()> {
        let cluster = &self.e2e.cluster;
        let unavailable = "False Unavailable";
        let said = cluster.consumer_says(&self.namespace, NAME, "SinkReady", unavailable, words);
        said.await.map(drop)
    }

    /// Waits until that is over.
    pub async fn is_free(&self) -> Result<()> {
        let cluster = &self.e2e.cluster;
        let said = cluster.consumer_says(&self.namespace, NAME, "SinkReady", "True", &[]);
        said.await.map(drop)
    }

    /// Sets the number of pods.
    pub async fn wants(&self, replicas: i32) -> Result<()> {
        let patch = json!({"spec": {"replicas": replicas}});
        let cluster = &self.e2e.cluster;
        cluster.patch_consumer(&self.namespace, NAME, patch).await
    }

    /// Waits until the consumer is ready with that many.
    pub async fn has_pods(&self, replicas: i32) -> Result<()> {
        let ready = self
            .e2e
            .cluster
            .consumer_is_ready(&self.namespace, NAME, replicas);
        ready.await.map(drop)
    }

    /// Kills a pod with no grace; another one takes its place.
    pub async fn kill(&self) -> Result<()> {
        let cluster = &self.e2e.cluster;
        let pods = cluster.consumer_pods(&self.namespace, NAME).await?;
        let victim = pods.first().context("the consumer has no pod")?.name_any();
        let delete = ["delete", "pod", &victim, "-n", &self.namespace];
        let now = ["--grace-period=0", "--force"];
        cluster.kubectl(&[&delete[..], &now].concat()).await?;
        Ok(())
    }

    /// A request to the engine; `null` is no body.
    pub async fn engine(&self, method: &str, path: &str, body: Value) -> Result<Value> {
        self.engine.search.call(method.parse()?, path, &body).await
    }

    /// Sets the free space of a disk below which the engine lets nothing be written to its indices, and that from which on it frees
    /// those that are blocked.
    pub async fn disk(&self, blocks: &str, frees: &str) -> Result<()> {
        let watermark = |which: &str| format!("cluster.routing.allocation.disk.watermark.{which}");
        let settings = json!({"transient": {
            "cluster.routing.allocation.disk.threshold_enabled": true,
            "cluster.info.update.interval": "10s",
            watermark("low"): frees, watermark("high"): frees, watermark("flood_stage"): blocks,
        }});
        let set = self.engine("PUT", "/_cluster/settings", settings).await;
        set.map(drop)
    }

    /// The documents of the test, in whatever index they are.
    pub async fn hits(&self) -> Result<Vec<Hit>> {
        self.engine.search.hits(&self.indices, &self.run).await
    }

    /// The dead letters of the test.
    pub fn letters(&self) -> Result<Vec<Record>> {
        self.e2e.kafka.records(&self.letters)
    }

    /// All that does not hold now.
    async fn wrong(&self) -> Result<Vec<Finding>> {
        let records = self.e2e.kafka.records(&self.topic)?;
        let produced: Vec<_> = records
            .iter()
            .flat_map(|record| self.events(record))
            .collect();
        let sent = self.traffic.sent() as usize;
        assert_eq!(produced.len(), sent, "events in the topic, and sent");
        let mut found = self.uncommitted(&records)?;
        found.extend(self.restarted().await?);
        let letters: Vec<_> = self.letters()?.into_iter().map(letter).collect();
        let hits = self.hits().await?;
        let indexed: Vec<_> = hits.into_iter().map(indexed).collect();
        found.extend(findings(&produced, &indexed, &letters));
        Ok(found)
    }

    fn uncommitted(&self, records: &[Record]) -> Result<Vec<Finding>> {
        let group = format!("bt.{}.{NAME}", self.namespace);
        let committed = self.e2e.kafka.committed(&group, &self.topic)?;
        let behind = committed.into_iter().filter_map(|(partition, offset)| {
            let of = records
                .iter()
                .filter(|record| record.partition == partition);
            let end = of.map(|record| record.offset + 1).max()?;
            let what = format!("partition {partition}: {offset:?} of {end}");
            (offset != Some(end)).then(|| Finding::new(Kind::NotCommitted, what))
        });
        Ok(behind.collect())
    }

    async fn restarted(&self) -> Result<Vec<Finding>> {
        let pods = self
            .e2e
            .cluster
            .consumer_pods(&self.namespace, NAME)
            .await?;
        let restarts = |pod: &k8s_openapi::api::core::v1::Pod| -> i32 {
            let statuses = pod
                .status
                .iter()
                .flat_map(|status| &status.container_statuses);
            statuses.flatten().map(|status| status.restart_count).sum()
        };
        let restarted = pods.iter().filter(|pod| restarts(pod) > 0);
        Ok(restarted
            .map(|pod| Finding::new(Kind::Exited, pod.name_any()))
            .collect())
    }

    /// The events in a record.
    fn events(&self, record: &Record) -> Vec<Produced> {
        let value = record.value.as_deref().unwrap_or_default();
        match serde_json::from_slice::<Vec<&RawValue>>(value) {
            Ok(elements) => {
                let elements = elements.iter().enumerate();
                let event = |(place, element): (_, &&RawValue)| {
                    self.event(record, Some(place), element.get().as_bytes())
                };
                elements.map(event).collect()
            }
            Err(_) => vec![self.event(record, None, value)],
        }
    }

    fn event(&self, record: &Record, place: Option<usize>, bytes: &[u8]) -> Produced {
        let json: Option<Value> = serde_json::from_slice(bytes).ok();
        let id = json.as_ref().and_then(|json| json["id"].as_str());
        let text = String::from_utf8_lossy(bytes);
        let fate = match () {
            () if text.contains(MALFORMED) => Fate::Letter(&["invalid_json"]),
            () if text.contains(NO_NUMBER) => Fate::Letter(&["rejected_by_sink"]),
            () => Fate::Indexed,
        };
        Produced {
            mark: mark(bytes).unwrap_or(UNKNOWN),
            consumer: format!("{}/{NAME}", self.namespace),
            topic: self.topic.clone(),
            topic_id: self.topic_id.clone(),
            partition: record.partition,
            offset: record.offset,
            timestamp: record.timestamp,
            key: record.key.clone().unwrap_or_default(),
            place,
            bytes: bytes.to_vec(),
            id: id.map(str::to_owned),
            fate,
        }
    }
}

fn letter(record: Record) -> Letter {
    let value = record.value.unwrap_or_default();
    Letter {
        mark: mark(&value).unwrap_or(UNKNOWN),
        key: record.key.unwrap_or_default(),
        value,
        headers: record.headers,
    }
}

fn indexed(hit: Hit) -> Indexed {
    let message = hit.source["message"].as_str().unwrap_or_default();
    Indexed {
        mark: mark(message.as_bytes()).unwrap_or(UNKNOWN),
        index: hit.index,
        id: hit.id,
    }
}
