//! Whether Kafka and the statuses are as the model says.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use bt_operator::api::KafkaTopic;
use e2e::condition;

use super::world::{KEPT, NAMES, World, shown, text};

/// Every resource says what is the case, and it is the case.
pub async fn settled(world: &World<'_>) -> Result<()> {
    let mut living = BTreeMap::<_, Vec<KafkaTopic>>::new();
    for (name, topic) in world.resources().await? {
        ensure!(
            topic.metadata.deletion_timestamp.is_none(),
            "{} is still being deleted",
            shown(&topic)
        );
        living.entry(name).or_default().push(topic);
    }
    let topics = world.e2e.kafka.all_topics()?;
    let mut owned = BTreeMap::new();
    for name in 0..NAMES {
        let (topic, resources) = (world.topic(name), living.remove(&name).unwrap_or_default());
        let partitions = topics.get(&topic).copied();
        if name >= KEPT {
            ensure!(
                partitions.is_some() != resources.is_empty(),
                "{topic} has {partitions:?} partitions and the resources {:?}",
                resources.iter().map(shown).collect::<Vec<_>>()
            );
        }
        if resources.is_empty() {
            continue;
        }
        let partitions = partitions.with_context(|| format!("there is no {topic}"))?;
        let owner = owner(&resources)?;
        says_what_is(world, owner, &topic, partitions).await?;
        let id = owner
            .status
            .as_ref()
            .and_then(|status| status.topic_id.clone());
        owned.insert(topic, id);
    }
    let in_kafka = world.e2e.cluster.topics_in_kafka().await?;
    for (topic, id) in &owned {
        let found = in_kafka.get(topic).map(|found| &found.id);
        ensure!(
            found == id.as_ref(),
            "{topic}: Kafka has the id {found:?}, the owner {id:?}"
        );
    }
    Ok(())
}

/// The one that owns the topic, which all others name. Of several of the oldest second it may be any.
fn owner(resources: &[KafkaTopic]) -> Result<&KafkaTopic> {
    let age = |topic: &KafkaTopic| {
        topic
            .metadata
            .creation_timestamp
            .as_ref()
            .map(|time| time.0)
    };
    let oldest = resources.iter().map(age).min().flatten();
    let mut owners = Vec::new();
    for topic in resources {
        if ready(topic)?.1 != "ConflictingResource" {
            owners.push(topic);
        }
    }
    let all: Vec<_> = resources.iter().map(shown).collect();
    let [owner] = owners[..] else {
        let owners: Vec<_> = owners.into_iter().map(shown).collect();
        anyhow::bail!("of {all:?} these own the topic: {owners:?}");
    };
    ensure!(
        age(owner) == oldest,
        "of {all:?} {} owns the topic and is not the oldest",
        shown(owner)
    );
    for other in resources
        .iter()
        .filter(|other| shown(other) != shown(owner))
    {
        let (status, _, message) = ready(other)?;
        ensure!(
            status == "False" && message.contains(&shown(owner)),
            "{} is {status} and does not name {}: {message}",
            shown(other),
            shown(owner)
        );
    }
    Ok(owner)
}

/// Status, reason and message of `Ready`, of the present generation.
fn ready(topic: &KafkaTopic) -> Result<(&str, &str, &str)> {
    let status = topic
        .status
        .as_ref()
        .with_context(|| format!("{} has no status", shown(topic)))?;
    let ready = condition(&status.conditions, "Ready")?;
    ensure!(
        ready.observed_generation == topic.metadata.generation,
        "{} speaks of generation {:?}, not {:?}",
        shown(topic),
        ready.observed_generation,
        topic.metadata.generation
    );
    Ok((&ready.status, &ready.reason, &ready.message))
}

async fn says_what_is(
    world: &World<'_>,
    owner: &KafkaTopic,
    topic: &str,
    partitions: usize,
) -> Result<()> {
    let (status, reason, message) = ready(owner)?;
    let wanted = owner
        .spec
        .partitions
        .and_then(|wanted| usize::try_from(wanted).ok());
    let wanted = wanted.context("the test gives each its partitions")?;
    // An heir may ask for fewer than there are by now.
    let fits = match partitions > wanted {
        true => (status, reason) == ("False", "PartitionDecreaseRefused"),
        false => status == "True" && partitions == wanted,
    };
    ensure!(
        fits,
        "{} wants {wanted} partitions of {partitions} and is {status} {reason}: {message}",
        shown(owner)
    );
    let own = world.e2e.kafka.own_settings(topic).await?;
    for (key, value) in &owner.spec.config {
        let (want, have) = (text(value), own.get(key));
        ensure!(
            have == Some(&want),
            "{} wants {key}={want}, Kafka has {have:?}",
            shown(owner)
        );
    }
    Ok(())
}

/// Each record that Kafka has taken is where it was, and so is what others have set.
pub async fn nothing_lost(world: &World<'_>) -> Result<()> {
    let seen = (world.ids.len(), world.records.len());
    ensure!(
        seen.0 >= 3 && seen.1 >= 3,
        "the seed is no good: {} of the retained topics were made, {} have records",
        seen.0,
        seen.1
    );
    for (name, records) in &world.records {
        let topic = world.topic(*name);
        let found = world.e2e.kafka.records(&topic)?;
        for (partition, offset, value) in records {
            let there = found
                .iter()
                .find(|found| (found.partition, found.offset) == (*partition, *offset));
            ensure!(
                there.is_some_and(|there| there.value.as_deref() == Some(value.as_bytes())),
                "{topic}: {value} was written to {partition}/{offset}, where there is {there:?}"
            );
        }
    }
    for ((name, key), value) in world.foreign.iter().filter(|((name, _), _)| *name < KEPT) {
        let topic = world.topic(*name);
        let have = world.e2e.kafka.setting(&topic, key).await?;
        ensure!(
            have == *value,
            "{topic}: others set {key}={value}, it is {have}"
        );
    }
    Ok(())
}
