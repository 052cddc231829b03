use std::collections::BTreeMap;
use std::time::Duration;

use bt_kafka::{Admin, ConfigOp, Error, NewTopic};

use super::desired::Desired;
use super::observe::{self, Observed};
use super::plan::{Plan, Verdict};

/// What became of a plan.
#[derive(Debug, Default)]
pub struct Applied {
    /// The topic as it is after it was made.
    pub created: Option<Observed>,
    /// The steps that were done, in words.
    pub done: Vec<String>,
    /// What Kafka refused, or did not answer.
    pub errors: Vec<Error>,
    /// Keys that Kafka would not take.
    pub refused_keys: Vec<String>,
}

/// Carries the plan out, as far as policy lets it. A step that fails does not keep the others from being done.
pub async fn carry_out(admin: &Admin, desired: &Desired, plan: &Plan) -> Applied {
    let mut applied = Applied::default();
    if let Verdict::Create(new) = &plan.verdict {
        create(admin, new.clone(), &mut applied).await;
        return applied;
    }
    if !plan.enforce {
        return applied;
    }
    if let Some((from, to)) = plan.grow {
        match grow(admin, &desired.name, to).await {
            Ok(()) => applied
                .done
                .push(format!("grew from {from} to {to} partitions")),
            Err(error) => applied.errors.push(error),
        }
    }
    if !plan.config.is_empty() {
        alter(admin, &desired.name, &plan.config, &mut applied).await;
    }
    applied
}

async fn create(admin: &Admin, new: NewTopic, applied: &mut Applied) {
    let name = new.name.clone();
    let outcome = admin
        .create_topics(vec![new], false)
        .await
        .and_then(|mut outcomes| outcomes.remove(&name).unwrap_or(Ok(())));
    match outcome {
        Ok(()) => {
            // The brokers learn of a new topic one after the other.
            for _ in 0..25 {
                if let Ok(Some(observed)) = observe::topic(admin, &name).await {
                    applied.created = Some(observed);
                    return;
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            let unseen = "the topic was made and no broker shows it yet";
            applied
                .errors
                .push(Error::not_yet("DescribeTopics", unseen));
        }
        Err(error) => applied.errors.push(error),
    }
}

async fn grow(admin: &Admin, name: &str, to: i32) -> Result<(), Error> {
    let total = usize::try_from(to).expect("the schema asks for at least 1 partition");
    let outcomes = admin
        .create_partitions(BTreeMap::from([(name.to_owned(), total)]), false)
        .await?;
    outcomes.into_values().collect()
}

/// All keys at once; where Kafka refuses them together, one by one, so that one bad key does not keep the good ones away.
async fn alter(admin: &Admin, name: &str, ops: &BTreeMap<String, ConfigOp>, applied: &mut Applied) {
    match alter_together(admin, name, ops.clone()).await {
        Ok(()) => applied
            .done
            .extend(ops.iter().map(|(key, op)| told(key, op))),
        Err(error) if error.is_invalid() && ops.len() > 1 => {
            for (key, op) in ops {
                let one = BTreeMap::from([(key.clone(), op.clone())]);
                match alter_together(admin, name, one).await {
                    Ok(()) => applied.done.push(told(key, op)),
                    Err(error) => refuse(key, error, applied),
                }
            }
        }
        Err(error) => {
            let keys: Vec<_> = ops.keys().cloned().collect();
            refuse(&keys.join(", "), error, applied);
        }
    }
}

fn refuse(key: &str, error: Error, applied: &mut Applied) {
    applied.refused_keys.push(key.to_owned());
    applied.errors.push(Error {
        message: format!("{key}: {}", error.message),
        ..error
    });
}

async fn alter_together(
    admin: &Admin,
    name: &str,
    ops: BTreeMap<String, ConfigOp>,
) -> Result<(), Error> {
    let changes = BTreeMap::from([(name.to_owned(), ops)]);
    let outcomes = admin.incremental_alter_configs(changes, false).await?;
    outcomes.into_values().collect()
}

/// Without the value: it may be one that Kafka keeps secret.
fn told(key: &str, op: &ConfigOp) -> String {
    match op {
        ConfigOp::Set(_) => format!("set {key}"),
        ConfigOp::Reset => format!("reset {key}"),
    }
}
