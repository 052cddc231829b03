//! Plans carried out, all of a batch in one call of each kind.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use bt_kafka::{Admin, ConfigOp, Error, NewTopic, Topic};

use super::plan::{Plan, Verdict};

/// What Kafka would not take of a plan.
#[derive(Debug, Clone, Default)]
pub struct Refused {
    pub grow: Option<Error>,
    /// By the setting's key.
    pub config: BTreeMap<String, Error>,
}

/// What became of a plan.
#[derive(Debug, Clone, Default)]
pub struct Applied {
    /// The topic as it is after it was made.
    pub created: Option<Topic>,
    pub grown: bool,
    /// The keys that were set or reset.
    pub altered: BTreeSet<String>,
    /// What failed, apart from what was refused.
    pub errors: Vec<Error>,
}

/// A plan for the topic of a name. The names of a batch differ.
pub struct Task<'a> {
    pub name: &'a str,
    pub plan: &'a Plan,
    pub refused: Refused,
    pub applied: Applied,
}

impl<'a> Task<'a> {
    pub fn new(name: &'a str, plan: &'a Plan) -> Self {
        Self {
            name,
            plan,
            refused: Refused::default(),
            applied: Applied::default(),
        }
    }

    /// Whether Kafka did not show the topic, and would not make it because it exists: a broker knows of a new one late.
    pub fn is_unclear(&self) -> bool {
        self.applied.errors.iter().any(Error::is_topic_exists)
    }

    fn error(&mut self, error: Error) {
        self.applied.errors.push(error);
    }
}

/// Asks Kafka what it would refuse, and changes nothing (`validate_only`). What it would refuse is never tried.
pub async fn rehearse(admin: &Admin, tasks: &mut [Task<'_>]) -> Result<(), Error> {
    let changes = |task: &Task<'_>| !matches!(task.plan.verdict, Verdict::Create(_));
    let grow = totals(tasks.iter().filter(|task| changes(task)));
    let grown = admin.create_partitions(grow, true).await?;
    let alterations: BTreeMap<_, _> = tasks
        .iter()
        .filter(|task| changes(task) && !task.plan.config.is_empty())
        .map(|task| (task.name.to_owned(), task.plan.config.clone()))
        .collect();
    let mut refused = refused_alterations(admin, alterations).await?;
    for task in tasks {
        if let Some(Err(error)) = grown.get(task.name) {
            task.refused.grow = Some(error.clone());
        }
        if let Some(keys) = refused.remove(task.name) {
            task.refused.config = keys;
        }
    }
    Ok(())
}

/// Carries the plans out, apart from what was refused. A step that fails does not keep the others from being done.
pub async fn carry_out(admin: &Admin, tasks: &mut [Task<'_>]) {
    create(admin, tasks).await;
    let grow = totals(
        tasks
            .iter()
            .filter(|task| task.plan.acts() && task.refused.grow.is_none()),
    );
    settle(
        tasks,
        grow.keys().cloned().collect(),
        admin.create_partitions(grow, false).await,
        |task| {
            task.applied.grown = true;
        },
    );
    let alterations: BTreeMap<String, BTreeMap<String, ConfigOp>> = tasks
        .iter()
        .filter(|task| task.plan.acts())
        .map(|task| (task.name.to_owned(), accepted(task)))
        .filter(|(_, ops)| !ops.is_empty())
        .collect();
    let names = alterations.keys().cloned().collect();
    settle(
        tasks,
        names,
        admin.incremental_alter_configs(alterations, false).await,
        |task| {
            task.applied.altered = accepted(task).into_keys().collect();
        },
    );
}

/// Notes what a call came to for each topic that it named.
fn settle(
    tasks: &mut [Task<'_>],
    names: BTreeSet<String>,
    outcomes: Result<BTreeMap<String, Result<(), Error>>, Error>,
    done: impl Fn(&mut Task<'_>),
) {
    for task in tasks.iter_mut().filter(|task| names.contains(task.name)) {
        match &outcomes {
            Err(error) => task.error(error.clone()),
            Ok(outcomes) => match outcomes.get(task.name) {
                Some(Err(error)) => task.error(error.clone()),
                _ => done(task),
            },
        }
    }
}

fn totals<'a>(tasks: impl Iterator<Item = &'a Task<'a>>) -> BTreeMap<String, usize> {
    tasks
        .filter_map(|task| {
            let (_, to) = task.plan.grow?;
            let to = usize::try_from(to).expect("the schema asks for at least 1 partition");
            Some((task.name.to_owned(), to))
        })
        .collect()
}

fn accepted(task: &Task<'_>) -> BTreeMap<String, ConfigOp> {
    let ops = task.plan.config.iter();
    ops.filter(|(key, _)| !task.refused.config.contains_key(*key))
        .map(|(key, op)| (key.clone(), op.clone()))
        .collect()
}

async fn create(admin: &Admin, tasks: &mut [Task<'_>]) {
    let mut new: BTreeMap<String, NewTopic> = tasks
        .iter()
        .filter_map(|task| match &task.plan.verdict {
            Verdict::Create(new) => Some((task.name.to_owned(), new.clone())),
            _ => None,
        })
        .collect();
    if new.is_empty() {
        return;
    }
    let mut outcomes = create_all(admin, new.values().cloned().collect()).await;
    new.retain(|name, new| {
        matches!(outcomes.get(name), Some(Err(error)) if error.is_invalid())
            && !new.config.is_empty()
    });
    // One bad setting must not keep the topic with its good ones away.
    let refused = refused_settings(admin, &new).await.unwrap_or_default();
    for task in tasks.iter_mut() {
        if let Some(keys) = refused.get(task.name) {
            task.refused.config.clone_from(keys);
        }
    }
    let without = new.into_values().filter_map(|mut new| {
        let keys = refused.get(&new.name)?;
        new.config.retain(|key, _| !keys.contains_key(key));
        Some(new)
    });
    outcomes.extend(create_all(admin, without.collect()).await);
    let made: Vec<String> = outcomes
        .iter()
        .filter(|(_, outcome)| outcome.is_ok())
        .map(|(name, _)| name.clone())
        .collect();
    let mut shown = shown(admin, made).await;
    for task in tasks {
        match outcomes.remove(task.name) {
            Some(Err(error)) => task.error(error),
            Some(Ok(())) => match shown.remove(task.name) {
                Some(topic) => {
                    task.applied.created = Some(topic);
                }
                None => {
                    let unseen = "the topic was made and no broker shows it yet";
                    task.error(Error::not_yet("DescribeTopics", unseen));
                }
            },
            None => {}
        }
    }
}

async fn create_all(admin: &Admin, new: Vec<NewTopic>) -> BTreeMap<String, Result<(), Error>> {
    let names: Vec<String> = new.iter().map(|new| new.name.clone()).collect();
    match admin.create_topics(new, false).await {
        Ok(outcomes) => outcomes,
        Err(error) => names
            .into_iter()
            .map(|name| (name, Err(error.clone())))
            .collect(),
    }
}

/// The topics as a broker shows them; brokers learn of a new topic one after the other.
async fn shown(admin: &Admin, names: Vec<String>) -> HashMap<String, Topic> {
    let mut shown = HashMap::new();
    for attempt in 0..25 {
        let missing: Vec<&str> = names
            .iter()
            .map(String::as_str)
            .filter(|name| !shown.contains_key(*name))
            .collect();
        if missing.is_empty() {
            break;
        }
        if attempt > 0 {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let found = admin.describe_topics(&missing).await.unwrap_or_default();
        shown.extend(
            found
                .into_iter()
                .filter_map(|(name, topic)| Some((name, topic.ok()?))),
        );
    }
    shown
}

/// What Kafka would not take, by topic and key.
type Refusals = BTreeMap<String, BTreeMap<String, Error>>;

/// The keys of each topic that Kafka would not let be altered, found by asking for them together and then one by one.
async fn refused_alterations(
    admin: &Admin,
    wanted: BTreeMap<String, BTreeMap<String, ConfigOp>>,
) -> Result<Refusals, Error> {
    let outcomes = admin
        .incremental_alter_configs(wanted.clone(), true)
        .await?;
    let suspect: BTreeMap<String, BTreeMap<String, ConfigOp>> = wanted
        .into_iter()
        .filter(|(name, _)| matches!(outcomes.get(name), Some(Err(_))))
        .collect();
    let mut refused = Refusals::new();
    for round in one_by_one(&suspect) {
        let single = round
            .iter()
            .map(|(name, key, op)| (name.clone(), BTreeMap::from([(key.clone(), op.clone())])))
            .collect();
        note(
            &mut refused,
            &round,
            admin.incremental_alter_configs(single, true).await?,
        );
    }
    // Where each is fine by itself and together they are not, none is tried.
    for (name, ops) in suspect {
        if let Some(Err(error)) = outcomes.get(&name)
            && !refused.contains_key(&name)
        {
            let all = ops.into_keys().map(|key| (key, error.clone())).collect();
            refused.insert(name, all);
        }
    }
    Ok(refused)
}

/// The settings with which Kafka would not make the topics, where it would make them without.
async fn refused_settings(
    admin: &Admin,
    new: &BTreeMap<String, NewTopic>,
) -> Result<Refusals, Error> {
    let with = |new: &NewTopic, config| NewTopic {
        config,
        ..new.clone()
    };
    let bare = new.values().map(|new| with(new, BTreeMap::new())).collect();
    let bare = admin.create_topics(bare, true).await?;
    let wanted = new
        .iter()
        .filter(|(name, _)| matches!(bare.get(*name), Some(Ok(()))))
        .map(|(name, new)| (name.clone(), new.config.clone()))
        .collect();
    let mut refused = Refusals::new();
    for round in one_by_one(&wanted) {
        let single = round
            .iter()
            .map(|(name, key, value)| {
                with(&new[name], BTreeMap::from([(key.clone(), value.clone())]))
            })
            .collect();
        note(
            &mut refused,
            &round,
            admin.create_topics(single, true).await?,
        );
    }
    Ok(refused)
}

/// Rounds in which each topic comes at most once, with one of its keys.
fn one_by_one<V: Clone>(
    wanted: &BTreeMap<String, BTreeMap<String, V>>,
) -> Vec<Vec<(String, String, V)>> {
    let rounds = wanted.values().map(BTreeMap::len).max().unwrap_or(0);
    let nth = |nth| {
        let one = |(name, keys): (&String, &BTreeMap<String, V>)| {
            let (key, value) = keys.iter().nth(nth)?;
            Some((name.clone(), key.clone(), value.clone()))
        };
        wanted.iter().filter_map(one).collect()
    };
    (0..rounds).map(nth).collect()
}

/// Notes the keys of a round that Kafka would not take.
fn note<V>(
    refused: &mut Refusals,
    round: &[(String, String, V)],
    mut outcomes: BTreeMap<String, Result<(), Error>>,
) {
    for (name, key, _) in round {
        if let Some(Err(error)) = outcomes.remove(name) {
            refused
                .entry(name.clone())
                .or_default()
                .insert(key.clone(), error);
        }
    }
}
