use std::collections::{BTreeMap, HashMap, HashSet};

use bt_kafka::{Admin, ConfigEntry, Error, Topic};

/// A topic as Kafka has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    pub topic: Topic,
    /// Of its settings those that were asked for.
    pub config: BTreeMap<String, ConfigEntry>,
}

/// What Kafka has of the named topics: absent where there is none, an error where it does not say.
pub type Observations = HashMap<String, Result<Observed, Error>>;

/// The named topics, with those of their settings that are wanted.
///
/// # Errors
/// When no broker answered.
pub async fn topics(
    admin: &Admin,
    wanted: HashMap<String, HashSet<String>>,
) -> Result<Observations, Error> {
    let names: Vec<&str> = wanted.keys().map(String::as_str).collect();
    let described = admin.describe_topics(&names).await?;
    let mut observed = Observations::new();
    for (name, topic) in described {
        match topic {
            Ok(topic) => {
                let config = BTreeMap::new();
                observed.insert(name, Ok(Observed { topic, config }));
            }
            Err(error) if error.is_unknown_topic() => {}
            Err(error) => {
                observed.insert(name, Err(error));
            }
        }
    }
    let there: Vec<&str> = names
        .into_iter()
        .filter(|name| matches!(observed.get(*name), Some(Ok(_))) && !wanted[*name].is_empty())
        .collect();
    let there: Vec<String> = there.into_iter().map(str::to_owned).collect();
    let there: Vec<&str> = there.iter().map(String::as_str).collect();
    let keep =
        move |topic: &str, key: &str| wanted.get(topic).is_some_and(|keys| keys.contains(key));
    for (name, config) in admin.describe_configs(&there, keep).await? {
        match config {
            Ok(config) => {
                if let Some(Ok(topic)) = observed.get_mut(&name) {
                    topic.config = config;
                }
            }
            // Deleted between the two questions.
            Err(error) if error.is_unknown_topic() => {
                observed.remove(&name);
            }
            Err(error) => {
                observed.insert(name, Err(error));
            }
        }
    }
    Ok(observed)
}
