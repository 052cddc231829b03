use std::collections::HashSet;

use anyhow::{Context, Result};
use bt_operator::api::KafkaTopic;
use futures::StreamExt;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, ResourceExt};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

/// What the KafkaTopics of one namespace have come to, told by one watch.
pub struct Board {
    changes: UnboundedReceiver<(String, State)>,
    watching: JoinHandle<()>,
}

/// What the watch told of a KafkaTopic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Ready, of this generation, which is the present one.
    Ready(i64),
    /// Not so, with the words of its condition.
    NotReady(String),
    /// Deleted.
    Gone,
}

impl Board {
    /// Watches a namespace.
    pub fn watch(client: &Client, namespace: &str) -> Self {
        let api = Api::<KafkaTopic>::namespaced(client.clone(), namespace);
        let (tell, changes) = unbounded_channel();
        let watching = tokio::spawn(async move {
            if let Err(error) = follow(api, &tell).await {
                eprintln!("the watch of the KafkaTopics ended: {error:#}");
            }
        });
        Self { changes, watching }
    }

    /// What changed next: every change is told once, in order.
    ///
    /// # Errors
    /// When the watch has ended.
    pub async fn next(&mut self) -> Result<(String, State)> {
        let next = self.changes.recv().await;
        next.context("the watch of the KafkaTopics has ended")
    }

    /// What has changed already and was not told yet.
    pub fn try_next(&mut self) -> Option<(String, State)> {
        self.changes.try_recv().ok()
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

async fn follow(api: Api<KafkaTopic>, tell: &UnboundedSender<(String, State)>) -> Result<()> {
    use kube::runtime::WatchStreamExt;
    let mut known = HashSet::new();
    let mut listed = HashSet::new();
    let events = watcher::watcher(api, watcher::Config::default()).default_backoff();
    // An error is followed by another try of the watcher's.
    let mut events = events.filter_map(async |event| event.ok()).boxed();
    while let Some(event) = events.next().await {
        match event {
            Event::Init => listed.clear(),
            Event::InitApply(topic) => {
                listed.insert(topic.name_any());
                let _ = tell.send((topic.name_any(), state(&topic)));
            }
            Event::InitDone => {
                for gone in known.difference(&listed) {
                    let _ = tell.send((String::clone(gone), State::Gone));
                }
                known.clone_from(&listed);
            }
            Event::Apply(topic) => {
                let state = state(&topic);
                known.insert(topic.name_any());
                let _ = tell.send((topic.name_any(), state));
            }
            Event::Delete(topic) => {
                known.remove(&topic.name_any());
                let _ = tell.send((topic.name_any(), State::Gone));
            }
        }
    }
    Ok(())
}

fn state(topic: &KafkaTopic) -> State {
    let conditions = topic.status.iter().flat_map(|status| &status.conditions);
    let ready = conditions
        .into_iter()
        .find(|condition| condition.kind == "Ready");
    let Some(ready) = ready else {
        return State::NotReady("no condition Ready".into());
    };
    let generation = topic.metadata.generation;
    match (generation, ready.observed_generation) {
        (Some(now), Some(observed)) if now == observed && ready.status == "True" => {
            State::Ready(now)
        }
        _ => State::NotReady(format!(
            "Ready {} of generation {} ({}): {}",
            ready.status,
            ready.observed_generation.unwrap_or_default(),
            ready.reason,
            ready.message
        )),
    }
}
