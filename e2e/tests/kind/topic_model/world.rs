//! The operations, and what the model remembers of them.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use bt_operator::api::KafkaTopic;
use e2e::{API_VERSION, E2e, Random};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Map, Value, json};
use tokio::time::{sleep, timeout};

/// Names of topics in all, of those that are retained, and the first of those that others delete.
pub const NAMES: usize = 10;
pub const KEPT: usize = 5;
const ABANDONED: usize = 8;
/// Resources that can be there for a name in a namespace.
const SLOTS: usize = 3;
/// No topic grows beyond.
const MOST_PARTITIONS: i32 = 6;
/// Keys that resources set.
const OWNED: [&str; 4] = [
    "retention.ms",
    "segment.ms",
    "min.cleanable.dirty.ratio",
    "compression.type",
];
/// Keys that only others set.
const FOREIGN: [&str; 2] = ["flush.messages", "flush.ms"];

/// Where a record lies, and its value.
pub type Lies = (i32, i64, String);

pub struct World<'a> {
    pub e2e: &'a E2e,
    /// How many of the names are operated on, from the first.
    pub names: usize,
    random: Random,
    namespaces: [String; 2],
    /// The records that Kafka has taken, by name.
    pub records: BTreeMap<usize, Vec<Lies>>,
    /// What others have set, by name and key.
    pub foreign: BTreeMap<(usize, &'static str), String>,
    /// The ids that the retained topics were first seen with.
    pub ids: BTreeMap<usize, String>,
    /// The uid of the one resource that there was of a name since none was left.
    alone: BTreeMap<usize, String>,
}

impl<'a> World<'a> {
    pub async fn new(e2e: &'a E2e, seed: u64) -> Result<Self> {
        let namespaces = [
            e2e.namespace("model-a").await?,
            e2e.namespace("model-b").await?,
        ];
        Ok(Self {
            e2e,
            names: NAMES,
            random: Random::new(seed),
            namespaces,
            records: BTreeMap::new(),
            foreign: BTreeMap::new(),
            ids: BTreeMap::new(),
            alone: BTreeMap::new(),
        })
    }

    /// The topic of a name.
    pub fn topic(&self, name: usize) -> String {
        format!("e2e.model.{name}.{}", self.e2e.run)
    }

    /// All resources of the test, with the numbers of their names.
    pub async fn resources(&self) -> Result<Vec<(usize, KafkaTopic)>> {
        let mut all = Vec::new();
        for namespace in &self.namespaces {
            all.extend(
                self.api(namespace)
                    .list(&ListParams::default())
                    .await?
                    .items,
            );
        }
        let number = |topic: &KafkaTopic| {
            let of = |name: &usize| topic.spec.topic_name.as_ref() == Some(&self.topic(*name));
            (0..NAMES).find(of)
        };
        Ok(all
            .into_iter()
            .filter_map(|topic| Some((number(&topic)?, topic)))
            .collect())
    }

    /// Those of them that stay, of the names that are operated on.
    async fn living(&self) -> Result<Vec<(usize, KafkaTopic)>> {
        let mut living = self.resources().await?;
        living.retain(|(name, topic)| {
            *name < self.names && topic.metadata.deletion_timestamp.is_none()
        });
        Ok(living)
    }

    /// Notes the ids of the retained topics, and that they are those noted before.
    pub async fn look_at_ids(&mut self) -> Result<()> {
        let topics = self.e2e.cluster.topics_in_kafka().await?;
        for name in 0..KEPT {
            let topic = self.topic(name);
            let found = topics.get(&topic).map(|found| found.id.clone());
            let Some(id) = self.ids.get(&name).cloned().or_else(|| found.clone()) else {
                continue;
            };
            ensure!(
                found.as_ref() == Some(&id),
                "{topic} was {id} and is {found:?}"
            );
            self.ids.insert(name, id);
        }
        Ok(())
    }

    /// One random operation; says which.
    pub async fn operate(&mut self) -> Result<String> {
        if self.random.below(10) == 0 {
            sleep(Duration::from_millis(self.random.below(2000) as u64)).await;
        }
        let name = self.random.below(self.names);
        match self.random.below(100) {
            0..28 => self.create(name).await,
            28..48 => self.edit().await,
            48..56 => self.grow().await,
            56..73 => self.delete().await,
            73..79 => self.alter_owned(name).await,
            79..85 => self.alter_foreign(name).await,
            85..96 => self.produce(name % KEPT).await,
            _ if self.names <= ABANDONED => self.produce(name % KEPT).await,
            _ => {
                self.delete_outside(ABANDONED + name % (NAMES - ABANDONED))
                    .await
            }
        }
    }

    fn api(&self, namespace: &str) -> Api<KafkaTopic> {
        Api::namespaced(self.e2e.cluster.client.clone(), namespace)
    }

    async fn create(&mut self, name: usize) -> Result<String> {
        let namespace = self.random.pick(&self.namespaces).clone();
        let resource = format!("name-{name}-{}", self.random.below(SLOTS));
        let policy = match name {
            KEPT.. => "Delete",
            // Of a topic with a record it comes to the same.
            _ if self.records.contains_key(&name) => {
                *self.random.pick(&["Retain", "RetainIfNotEmpty"])
            }
            _ => "Retain",
        };
        let mut config = Map::new();
        for _ in 0..self.random.below(4) {
            let (key, value) = self.setting();
            config.insert(key.into(), value);
        }
        let partitions = 1 + self.random.below(3);
        let spec = json!({
            "topicName": self.topic(name), "partitions": partitions, "config": config, "deletionPolicy": policy,
        });
        let manifest = json!({
            "apiVersion": API_VERSION, "kind": "KafkaTopic", "metadata": {"name": resource}, "spec": spec,
        });
        let first = self
            .resources()
            .await?
            .iter()
            .all(|(other, _)| *other != name);
        let api = self.api(&namespace);
        match api
            .create(&PostParams::default(), &serde_json::from_value(manifest)?)
            .await
        {
            Ok(made) if first => {
                self.alone.insert(name, made.uid().unwrap_or_default());
            }
            Ok(_) => {
                self.alone.remove(&name);
            }
            // One of this resource's name is there, or on its way out.
            Err(kube::Error::Api(status)) if status.code == 409 => {
                return Ok(format!("create {namespace}/{resource}: it is there"));
            }
            Err(error) => return Err(error.into()),
        }
        Ok(format!("create {namespace}/{resource}: {spec}"))
    }

    async fn edit(&mut self) -> Result<String> {
        let (key, value) = self.setting();
        let value = if self.random.below(4) == 0 {
            Value::Null
        } else {
            value
        };
        let patch = json!({"spec": {"config": {key: value}}});
        self.patch_one(|_| Some(patch.clone())).await
    }

    async fn grow(&mut self) -> Result<String> {
        self.patch_one(|topic| {
            let partitions = topic.spec.partitions.unwrap_or(1) + 1;
            (partitions <= MOST_PARTITIONS).then(|| json!({"spec": {"partitions": partitions}}))
        })
        .await
    }

    /// Patches one of the resources that stay.
    async fn patch_one(&mut self, patch: impl Fn(&KafkaTopic) -> Option<Value>) -> Result<String> {
        let living = self.living().await?;
        if living.is_empty() {
            return Ok("nothing to change".into());
        }
        let (_, chosen) = self.random.pick(&living);
        let Some(patch) = patch(chosen) else {
            return Ok("nothing to change".into());
        };
        let api = self.api(&chosen.namespace().unwrap_or_default());
        let merge = Patch::Merge(&patch);
        api.patch(&chosen.name_any(), &PatchParams::default(), &merge)
            .await?;
        Ok(format!("change {}: {patch}", shown(chosen)))
    }

    async fn delete(&mut self) -> Result<String> {
        let living = self.living().await?;
        if living.is_empty() {
            return Ok("nothing to delete".into());
        }
        let (name, chosen) = self.random.pick(&living);
        let others = living.iter().filter(|(other, _)| other == name).count() - 1;
        // An heir that has not come into its own leaves a topic of which nobody can say any more whose it was.
        let recorded = chosen
            .status
            .as_ref()
            .is_some_and(|status| status.topic_id.is_some());
        let alone = self.alone.get(name) == chosen.uid().as_ref();
        if *name >= KEPT && others == 0 && !recorded && !alone {
            return Ok(format!(
                "not delete {}: it may be about to inherit",
                shown(chosen)
            ));
        }
        let api = self.api(&chosen.namespace().unwrap_or_default());
        api.delete(&chosen.name_any(), &DeleteParams::default())
            .await?;
        Ok(format!("delete {}, {others} others stay", shown(chosen)))
    }

    async fn alter_owned(&mut self, name: usize) -> Result<String> {
        let (key, value) = self.setting();
        let value = text(&value);
        let topic = self.topic(name);
        let outcome = self.alter(&topic, key, &value).await;
        Ok(format!("others set {key}={value} of {topic}: {outcome:?}"))
    }

    async fn alter_foreign(&mut self, name: usize) -> Result<String> {
        let key = *self.random.pick(&FOREIGN);
        let value = (1000 + self.random.below(1000)).to_string();
        let topic = self.topic(name);
        let outcome = self.alter(&topic, key, &value).await;
        match outcome {
            Ok(true) => {
                self.foreign.insert((name, key), value.clone());
            }
            Ok(false) => {}
            // It may have been done or not.
            Err(_) => {
                self.foreign.remove(&(name, key));
            }
        }
        Ok(format!("others set {key}={value} of {topic}: {outcome:?}"))
    }

    /// Whether there is a topic to alter.
    async fn alter(&self, topic: &str, key: &str, value: &str) -> Result<bool> {
        if !self.e2e.kafka.exists(topic)? {
            return Ok(false);
        }
        self.e2e.kafka.alter(topic, &[(key, value)]).await?;
        Ok(true)
    }

    async fn produce(&mut self, name: usize) -> Result<String> {
        let topic = self.topic(name);
        if !self.e2e.kafka.exists(&topic)? {
            return Ok(format!("no topic {topic} to write to"));
        }
        let value = format!("record {}", self.random.below(usize::MAX));
        let key = value.clone();
        let written = self.e2e.kafka.produce(&topic, &key, Some(value.as_bytes()));
        let taken = timeout(Duration::from_secs(10), written).await;
        if let Ok(Ok((partition, offset))) = taken {
            self.records
                .entry(name)
                .or_default()
                .push((partition, offset, value));
        }
        Ok(format!("write to {topic}: {taken:?}"))
    }

    async fn delete_outside(&mut self, name: usize) -> Result<String> {
        let topic = self.topic(name);
        let outcome = self.e2e.kafka.delete(&topic).await;
        Ok(format!("others delete {topic}: {outcome:?}"))
    }

    /// A key with a value as Kafka writes it.
    fn setting(&mut self) -> (&'static str, Value) {
        let key = *self.random.pick(&OWNED);
        let value = match key {
            "min.cleanable.dirty.ratio" => json!(*self.random.pick(&[0.1, 0.25, 0.75])),
            "compression.type" => json!(*self.random.pick(&["gzip", "snappy", "lz4", "producer"])),
            // Long enough that no record of the test's goes by its age.
            _ => json!(1_000_000_000 + self.random.below(1_000_000)),
        };
        (key, value)
    }
}

/// A value of `spec.config` as Kafka writes it.
pub fn text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// `namespace/name` of a resource.
pub fn shown(topic: &KafkaTopic) -> String {
    format!(
        "{}/{}",
        topic.namespace().unwrap_or_default(),
        topic.name_any()
    )
}
