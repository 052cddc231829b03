//! Makes the objects as wanted, by server-side apply, and asks for nothing that is the case already.

use std::collections::{BTreeSet, HashMap};

use futures::future::{join_all, try_join_all};
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, Preconditions};
use kube::{Api, ResourceExt};
use serde_json::Value;

use super::owned::{Kind, Live, Store, digest, owner};
use crate::api::TelemetryConsumer;
use crate::context::{Context, MANAGER};

/// An object as it should be.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// Its kind.
    pub kind: Kind,
    /// Its manifest.
    pub object: Value,
}

/// Of one consumer: for each object that was applied, a digest of the manifest, and the fingerprint of what came of it.
pub type Applied = HashMap<Kind, (u64, u64)>;

/// What became of the objects.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// They are as wanted.
    Applied,
    /// An object of that kind and name belongs to somebody else; nothing was changed.
    Foreign(Kind),
    /// An object of that kind is of the former resource of this name, and will go as that went; nothing was changed.
    Former(Kind),
    /// Kubernetes refused an object's content.
    Refused(String),
}

/// Whose an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    Nobody,
    Us,
    Former,
    Other,
}

/// Applies what is not yet as `wanted`, and deletes the consumer's objects of the kinds in `unwanted`.
pub async fn apply(
    consumer: &TelemetryConsumer,
    wanted: &[Wanted],
    unwanted: &BTreeSet<Kind>,
    applied: &mut Applied,
    owned: &Store,
    context: &Context,
) -> Result<Outcome, kube::Error> {
    let task = Task {
        consumer,
        namespace: consumer.namespace().unwrap_or_default(),
        name: consumer.name_any(),
        owned,
        context,
    };
    // All are looked at before any is changed.
    let mut pending = Vec::new();
    let mut created = BTreeSet::new();
    let looks = wanted.iter().map(|wanted| task.owner_of(wanted.kind));
    let owners = try_join_all(looks.collect::<Vec<_>>()).await?;
    for (wanted, owner) in wanted.iter().zip(owners) {
        match owner {
            Owner::Other => return Ok(Outcome::Foreign(wanted.kind)),
            Owner::Former => return Ok(Outcome::Former(wanted.kind)),
            Owner::Nobody => {
                created.insert(wanted.kind);
                pending.push(wanted);
            }
            Owner::Us => {
                let live = task.live(wanted.kind);
                let is = live.map(|live| (digest(&wanted.object), live.fingerprint));
                if is.is_none() || is.as_ref() != applied.get(&wanted.kind) {
                    pending.push(wanted);
                }
            }
        }
    }
    let outcome = task.change(&pending, &created, applied).await;
    let outcome = match outcome {
        Ok(()) => Outcome::Applied,
        Err((kind, kube::Error::Api(status))) if is_refusal(status.code, &status.message) => {
            let kind = kind.name();
            return Ok(Outcome::Refused(format!(
                "Kubernetes refused the {kind}: {}",
                status.message
            )));
        }
        Err((_, error)) => return Err(error),
    };
    for kind in unwanted {
        task.delete(*kind).await?;
        applied.remove(kind);
    }
    Ok(outcome)
}

struct Task<'a> {
    consumer: &'a TelemetryConsumer,
    namespace: String,
    name: String,
    owned: &'a Store,
    context: &'a Context,
}

impl Task<'_> {
    fn api(&self, kind: Kind) -> Api<DynamicObject> {
        let client = self.context.client.clone();
        Api::namespaced_with(client, &self.namespace, &kind.resource())
    }

    fn live(&self, kind: Kind) -> Option<Live> {
        self.owned
            .get(kind, &self.namespace, &kind.object_name(&self.name))
    }

    async fn owner_of(&self, kind: Kind) -> Result<Owner, kube::Error> {
        if let Some(live) = self.live(kind) {
            return Ok(self.relation(live.owner));
        }
        // The watch sees only what has the operator's label.
        let existing = self
            .api(kind)
            .get_metadata_opt(&kind.object_name(&self.name))
            .await?;
        Ok(existing.map_or(Owner::Nobody, |existing| {
            self.relation(owner(existing.owner_references()))
        }))
    }

    fn relation(&self, owner: Option<(String, String)>) -> Owner {
        match owner {
            Some((_, uid)) if Some(&uid) == self.consumer.uid().as_ref() => Owner::Us,
            Some((name, _)) if name == self.name => Owner::Former,
            _ => Owner::Other,
        }
    }

    /// Applies these, the ones that others need first.
    async fn change(
        &self,
        pending: &[&Wanted],
        created: &BTreeSet<Kind>,
        applied: &mut Applied,
    ) -> Result<(), (Kind, kube::Error)> {
        let (mut first, mut then) = (Vec::new(), Vec::new());
        for wanted in pending {
            let starts_pods = wanted.object["spec"]["replicas"] != 0;
            match wanted.kind {
                // A Deployment is tried first: where it is refused, nothing else may have changed.
                Kind::Deployment if starts_pods || !created.contains(&wanted.kind) => {
                    self.patch(wanted, true).await?;
                    then.push(*wanted);
                }
                // One that starts no pods needs no trial, which saves a request where there are many.
                Kind::Deployment => first.insert(0, *wanted),
                Kind::ConfigMap => first.push(*wanted),
                _ => then.push(*wanted),
            }
        }
        for wanted in first {
            let live = self.patch(wanted, false).await?;
            applied.insert(wanted.kind, (digest(&wanted.object), live.fingerprint));
        }
        let patches: Vec<_> = then
            .into_iter()
            .map(|wanted| async move { (wanted, self.patch(wanted, false).await) })
            .collect();
        let mut failed = None;
        for (wanted, outcome) in join_all(patches).await {
            match outcome {
                Ok(live) => {
                    applied.insert(wanted.kind, (digest(&wanted.object), live.fingerprint));
                }
                // The cluster has that kind no longer, which is found out soon.
                Err((Kind::PodMonitor, kube::Error::Api(status))) if status.code == 404 => {}
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(()), Err)
    }

    async fn patch(&self, wanted: &Wanted, dry_run: bool) -> Result<Live, (Kind, kube::Error)> {
        let params = PatchParams {
            dry_run,
            ..PatchParams::apply(MANAGER).force()
        };
        let patch = Patch::Apply(&wanted.object);
        let api = self.api(wanted.kind);
        let name = wanted.kind.object_name(&self.name);
        let object = api.patch(&name, &params, &patch).await;
        let object = object.map_err(|error| (wanted.kind, error))?;
        Ok(if dry_run {
            Live::of(wanted.kind, &object)
        } else {
            self.owned.put(wanted.kind, &object)
        })
    }

    /// Deletes the object of that kind, if there is one and it is ours.
    async fn delete(&self, kind: Kind) -> Result<(), kube::Error> {
        let Some(live) = self.live(kind) else {
            return Ok(());
        };
        if self.relation(live.owner) != Owner::Us {
            return Ok(());
        }
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: Some(live.uid.clone()),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        let name = kind.object_name(&self.name);
        match self.api(kind).delete(&name, &params).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
            Err(error) => return Err(error),
        }
        self.owned.remove(kind, &self.namespace, &name, &live.uid);
        Ok(())
    }
}

/// Whether an answer is about the object's content, or a policy on it, rather than about the API: only a change of the resource,
/// or of the policy, helps. A value that cannot even be read is answered with 500.
fn is_refusal(code: u16, message: &str) -> bool {
    // A namespace that goes takes nothing new; that says nothing about the object.
    let going = message.contains("is being terminated");
    (matches!(code, 400 | 403 | 422) && !going)
        || (code == 500 && message.contains("unable to convert"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_from_failures_of_the_api() {
        let unreadable = "unable to convert unstructured object to apps/v1, Kind=Deployment: quantities must match";
        for (code, message, refusal) in [
            (422, "Deployment.apps \"x\" is invalid", true),
            (403, "admission webhook denied the request", true),
            (
                403,
                "unable to create new content in namespace x because it is being terminated",
                false,
            ),
            (400, "bad request", true),
            (500, unreadable, true),
            (500, "etcdserver: request timed out", false),
            (409, "conflict", false),
            (503, "unavailable", false),
        ] {
            assert_eq!(is_refusal(code, message), refusal, "{code} {message}");
        }
    }
}
