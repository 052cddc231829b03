//! Whose requests the API server answered. Its own request counters do not tell who asked; a FlowSchema does, which is what requests of
//! one account to one resource are sorted by (API Priority and Fairness). So there is one for each verb and resource of the operator's,
//! with the priority that its account has anyway, and the API server counts what it sent on.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::flowcontrol::v1::FlowSchema;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;

const PREFIX: &str = "bt-bench";
const LABEL: &str = "monitoring.bt.dev/bench";
const COUNTER: &str = "apiserver_flowcontrol_dispatched_requests_total{";
/// What is counted apart; the first that fits a request counts it. A star is every resource.
const KINDS: [(&str, &[&str]); 12] = [
    ("*", &["watch"]),
    ("leases", &["get", "list", "create", "update", "patch"]),
    ("kafkatopics", &["get", "list", "update", "patch"]),
    ("kafkatopics/status", &["get", "update", "patch"]),
    ("telemetryconsumers", &["get", "list", "update", "patch"]),
    ("telemetryconsumers/status", &["get", "update", "patch"]),
    ("deployments", &["get", "list", "create", "update", "patch"]),
    ("configmaps", &["get", "list", "create", "update", "patch"]),
    ("services", &["get", "list", "create", "update", "patch"]),
    ("secrets", &["get"]),
    ("events", &["create", "update", "patch"]),
    ("*", &["get", "list", "create", "update", "patch", "delete"]),
];

/// Counts one account's requests.
pub struct Requests {
    client: Client,
}

/// Requests by "verb resource".
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts(BTreeMap<String, u64>);

impl Requests {
    /// Starts to count the requests of an account.
    ///
    /// # Errors
    /// When the FlowSchemas cannot be made.
    pub async fn count(client: &Client, (namespace, account): (String, String)) -> Result<Self> {
        let schemas = Api::<FlowSchema>::all(client.clone());
        for (precedence, resource, verb) in kinds() {
            let name = schema_name(resource, verb);
            let mut rule = json!({
                "subjects": [{"kind": "ServiceAccount", "serviceAccount": {"namespace": namespace, "name": account}}],
                "resourceRules": [{"verbs": [verb], "apiGroups": ["*"], "resources": [resource], "namespaces": ["*"], "clusterScope": true}],
            });
            if resource == "*" {
                rule["nonResourceRules"] = json!([{"verbs": [verb], "nonResourceURLs": ["*"]}]);
            }
            let schema = json!({
                "apiVersion": "flowcontrol.apiserver.k8s.io/v1",
                "kind": "FlowSchema",
                "metadata": {"name": name, "labels": {LABEL: "true"}},
                "spec": {
                    "matchingPrecedence": precedence,
                    "priorityLevelConfiguration": {"name": "workload-low"},
                    "distinguisherMethod": {"type": "ByUser"},
                    "rules": [rule],
                },
            });
            let params = PatchParams::apply(PREFIX).force();
            schemas
                .patch(&name, &params, &Patch::Apply(&schema))
                .await
                .with_context(|| format!("FlowSchema {name}"))?;
        }
        // The API server takes them up by a watch.
        tokio::time::sleep(Duration::from_secs(2)).await;
        Ok(Self {
            client: client.clone(),
        })
    }

    /// What was counted so far.
    ///
    /// # Errors
    /// When the API server's metrics cannot be read.
    pub async fn now(&self) -> Result<Counts> {
        let request = http::Request::get("/metrics").body(Vec::new())?;
        let text = self
            .client
            .request_text(request)
            .await
            .context("the API server's metrics")?;
        Ok(Counts::of(&text))
    }

    /// Stops counting.
    ///
    /// # Errors
    /// When the FlowSchemas cannot be deleted.
    pub async fn forget(&self) -> Result<()> {
        Api::<FlowSchema>::all(self.client.clone())
            .delete_collection(
                &DeleteParams::default(),
                &ListParams::default().labels(LABEL),
            )
            .await?;
        Ok(())
    }
}

impl Counts {
    fn of(metrics: &str) -> Self {
        let mut counts = BTreeMap::new();
        let lines = metrics
            .lines()
            .filter_map(|line| line.strip_prefix(COUNTER));
        for (labels, value) in lines.filter_map(|line| line.split_once("} ")) {
            for (_, resource, verb) in kinds() {
                let label = format!("flow_schema=\"{}\"", schema_name(resource, verb));
                if labels.split(',').any(|given| given == label) {
                    let name = match resource {
                        "*" if verb == "watch" => "watch".into(),
                        "*" => format!("{verb} others"),
                        _ => format!("{verb} {resource}"),
                    };
                    counts.insert(name, value.parse::<f64>().unwrap_or_default() as u64);
                }
            }
        }
        Self(counts)
    }

    /// What came since `earlier`, without what did not change.
    pub fn since(&self, earlier: &Self) -> Self {
        let more = self.0.iter().map(|(kind, now)| {
            let before = earlier.0.get(kind).copied().unwrap_or_default();
            (kind.clone(), now.saturating_sub(before))
        });
        Self(more.filter(|(_, count)| *count > 0).collect())
    }

    /// Both together.
    pub fn plus(mut self, other: &Self) -> Self {
        for (kind, count) in &other.0 {
            *self.0.entry(kind.clone()).or_default() += count;
        }
        self
    }

    /// Without watches and without what concerns the Lease.
    pub fn work(&self) -> Self {
        let work = self.0.iter().filter(|(kind, _)| !is_standing(kind));
        Self(work.map(|(kind, count)| (kind.clone(), *count)).collect())
    }

    /// What changes something, but for the Lease.
    pub fn writes(&self) -> Self {
        let reads = |kind: &str| ["get ", "list "].iter().any(|verb| kind.starts_with(verb));
        let writes = self.work().0.into_iter().filter(|(kind, _)| !reads(kind));
        Self(writes.collect())
    }

    /// Watches and what concerns the Lease.
    pub fn standing(&self) -> Self {
        let standing = self.0.iter().filter(|(kind, _)| is_standing(kind));
        Self(
            standing
                .map(|(kind, count)| (kind.clone(), *count))
                .collect(),
        )
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// Each kind with its count, in words; a count is divided by `by`.
    pub fn words(&self, by: u64) -> String {
        let all = self.0.iter().map(|(kind, count)| {
            if by == 1 {
                format!("{kind} {count}")
            } else {
                format!("{kind} {:.2}", *count as f64 / by as f64)
            }
        });
        all.collect::<Vec<_>>().join(", ")
    }
}

fn is_standing(kind: &str) -> bool {
    kind == "watch" || kind.ends_with(" leases")
}

/// Precedence, resource and verb of each FlowSchema; the smallest precedence is asked first.
fn kinds() -> impl Iterator<Item = (i32, &'static str, &'static str)> {
    (1000..)
        .zip(KINDS)
        .flat_map(|(precedence, (resource, verbs))| {
            verbs.iter().map(move |verb| (precedence, resource, *verb))
        })
}

fn schema_name(resource: &str, verb: &str) -> String {
    format!(
        "{PREFIX}-{verb}-{}",
        resource.replace('/', "-").replace('*', "others")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const METRICS: &str = "\
# TYPE apiserver_flowcontrol_dispatched_requests_total counter
apiserver_flowcontrol_dispatched_requests_total{flow_schema=\"bt-bench-patch-kafkatopics\",priority_level=\"workload-low\"} 12
apiserver_flowcontrol_dispatched_requests_total{flow_schema=\"bt-bench-patch-kafkatopics-status\",priority_level=\"workload-low\"} 7
apiserver_flowcontrol_dispatched_requests_total{flow_schema=\"bt-bench-update-leases\",priority_level=\"workload-low\"} 5
apiserver_flowcontrol_dispatched_requests_total{flow_schema=\"bt-bench-watch-others\",priority_level=\"workload-low\"} 1
apiserver_flowcontrol_dispatched_requests_total{flow_schema=\"service-accounts\",priority_level=\"workload-low\"} 99
";

    #[test]
    fn requests_are_told_apart() {
        let now = Counts::of(METRICS);
        assert_eq!(
            now.work().words(1),
            "patch kafkatopics 12, patch kafkatopics/status 7"
        );
        assert_eq!(now.standing().words(1), "update leases 5, watch 1");
        assert_eq!(now.work().total(), 19);
    }

    #[test]
    fn writes_are_what_changes_something() {
        let more = "apiserver_flowcontrol_dispatched_requests_total{flow_schema=\"bt-bench-get-secrets\",priority_level=\"workload-low\"} 3\n";
        let now = Counts::of(&format!("{METRICS}{more}"));
        assert_eq!(now.work().total(), 22);
        assert_eq!(
            now.writes().words(1),
            "patch kafkatopics 12, patch kafkatopics/status 7"
        );
    }

    #[test]
    fn a_difference_has_only_what_changed() {
        let now = Counts::of(METRICS);
        let before = Counts::of(&METRICS.replace("} 12", "} 10"));
        assert_eq!(now.since(&before).words(1), "patch kafkatopics 2");
        assert_eq!(now.since(&now), Counts::default());
    }
}
