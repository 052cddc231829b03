use std::collections::HashSet;
use std::fmt::Debug;

use anyhow::{Context, Result};
use bt_operator::api::{Condition, KafkaTopic, TelemetryConsumer};
use futures::StreamExt;
use kube::core::NamespaceResourceScope;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

/// A resource of ours, with conditions in its status.
pub trait Conditioned:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + Debug
    + DeserializeOwned
    + Send
    + 'static
{
    /// Its conditions; none before the operator saw it.
    fn conditions(&self) -> &[Condition];

    /// One of them.
    fn condition(&self, kind: &str) -> Option<&Condition> {
        let mut conditions = self.conditions().iter();
        conditions.find(|condition| condition.kind == kind)
    }
}

impl Conditioned for KafkaTopic {
    fn conditions(&self) -> &[Condition] {
        self.status
            .as_ref()
            .map_or(&[], |status| &status.conditions)
    }
}

impl Conditioned for TelemetryConsumer {
    fn conditions(&self) -> &[Condition] {
        self.status
            .as_ref()
            .map_or(&[], |status| &status.conditions)
    }
}

/// What the resources of one kind in one namespace have come to, told by one watch.
pub struct Board {
    changes: UnboundedReceiver<(String, State)>,
    watching: JoinHandle<()>,
}

/// What the watch told of a resource.
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
    pub fn watch<K: Conditioned>(client: &Client, namespace: &str) -> Self {
        let api = Api::<K>::namespaced(client.clone(), namespace);
        let (tell, changes) = unbounded_channel();
        let watching = tokio::spawn(async move {
            if let Err(error) = follow(api, &tell).await {
                eprintln!("the watch of the {} ended: {error:#}", K::plural(&()));
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
        next.context("the watch has ended")
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

async fn follow<K: Conditioned>(
    api: Api<K>,
    tell: &UnboundedSender<(String, State)>,
) -> Result<()> {
    use kube::runtime::WatchStreamExt;
    let mut known = HashSet::new();
    let mut listed = HashSet::new();
    let events = watcher::watcher(api, watcher::Config::default()).default_backoff();
    // An error is followed by another try of the watcher's.
    let mut events = events.filter_map(async |event| event.ok()).boxed();
    while let Some(event) = events.next().await {
        match event {
            Event::Init => listed.clear(),
            Event::InitApply(resource) => {
                listed.insert(resource.name_any());
                let _ = tell.send((resource.name_any(), state(&resource)));
            }
            Event::InitDone => {
                for gone in known.difference(&listed) {
                    let _ = tell.send((String::clone(gone), State::Gone));
                }
                known.clone_from(&listed);
            }
            Event::Apply(resource) => {
                known.insert(resource.name_any());
                let _ = tell.send((resource.name_any(), state(&resource)));
            }
            Event::Delete(resource) => {
                known.remove(&resource.name_any());
                let _ = tell.send((resource.name_any(), State::Gone));
            }
        }
    }
    Ok(())
}

fn state(resource: &impl Conditioned) -> State {
    let Some(ready) = resource.condition("Ready") else {
        return State::NotReady("no condition Ready".into());
    };
    match (resource.meta().generation, ready.observed_generation) {
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
