//! Who may do what, by access reviews.

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec, SubjectAccessReview,
    SubjectAccessReviewSpec,
};
use kube::Api;
use kube::api::PostParams;

use super::facts::Fact;
use crate::plugin::cluster::{Cluster, answer};
use crate::plugin::text::words;

/// `group/resource/subresource` with the verb.
pub struct Right {
    pub verb: &'static str,
    pub group: &'static str,
    pub resource: &'static str,
    pub subresource: &'static str,
    /// What is not possible without.
    pub without: &'static str,
}

const fn right(
    verb: &'static str,
    group: &'static str,
    resource: &'static str,
    subresource: &'static str,
    without: &'static str,
) -> Right {
    Right {
        verb,
        group,
        resource,
        subresource,
        without,
    }
}

const OURS: &str = "monitoring.bt.dev";

/// What users of this plugin need: the ClusterRole in docs/kubectl-bt.md.
pub const USER: [Right; 8] = [
    right("list", OURS, "kafkatopics", "", "status, doctor"),
    right("list", OURS, "telemetryconsumers", "", "everything"),
    right("list", "", "pods", "", "tail, dead-letters, send, doctor"),
    right("create", "", "pods", "exec", "tail, dead-letters, send"),
    right("get", "", "pods", "proxy", "doctor: the sinks' own answers"),
    right(
        "get",
        "",
        "services",
        "",
        "history of lag, doctor: scraping, send: Prometheus",
    ),
    right(
        "get",
        "",
        "services",
        "proxy",
        "history of lag, doctor: scraping, send: Prometheus",
    ),
    right("list", "apps", "deployments", "", "doctor: the operator"),
];

/// A part of what the operator needs, one right of each rule of its ClusterRole.
pub const OPERATOR: [Right; 11] = [
    right("watch", OURS, "kafkatopics", "", "topics"),
    right("watch", OURS, "telemetryconsumers", "", "consumers"),
    right(
        "patch",
        OURS,
        "kafkatopics",
        "status",
        "the state of topics",
    ),
    right(
        "patch",
        OURS,
        "telemetryconsumers",
        "status",
        "the state of consumers",
    ),
    right("patch", "apps", "deployments", "", "pods"),
    right("patch", "", "configmaps", "", "the pods' configuration"),
    right("patch", "", "services", "", "scraping"),
    right(
        "patch",
        "policy",
        "poddisruptionbudgets",
        "",
        "disruption budgets",
    ),
    right(
        "patch",
        "networking.k8s.io",
        "networkpolicies",
        "",
        "network policies",
    ),
    right("get", "", "secrets", "", "credentials"),
    right("create", "events.k8s.io", "events", "", "Events"),
];

impl Right {
    fn attributes(&self, namespace: Option<&str>) -> ResourceAttributes {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        ResourceAttributes {
            verb: some(self.verb),
            group: Some(self.group.to_owned()),
            resource: some(self.resource),
            subresource: some(self.subresource),
            namespace: namespace.map(str::to_owned),
            ..ResourceAttributes::default()
        }
    }

    /// For people: `create pods/exec`.
    pub fn words(&self) -> String {
        let group = match self.group {
            "" => String::new(),
            group => format!(".{group}"),
        };
        let sub = match self.subresource {
            "" => String::new(),
            sub => format!("/{sub}"),
        };
        format!("{} {}{group}{sub}", self.verb, self.resource)
    }
}

/// The rights that the user does not have, by their words.
pub async fn missing_of_user(cluster: &Cluster) -> Fact<Vec<String>> {
    let api = Api::<SelfSubjectAccessReview>::all(cluster.client.clone());
    let namespace = cluster.namespace.as_deref();
    missing(&USER, namespace, async |attributes| {
        let review = SelfSubjectAccessReview {
            spec: SelfSubjectAccessReviewSpec {
                resource_attributes: Some(attributes),
                ..SelfSubjectAccessReviewSpec::default()
            },
            ..SelfSubjectAccessReview::default()
        };
        let params = PostParams::default();
        let reviewed = answer("ask for your rights", api.create(&params, &review)).await?;
        Ok(reviewed.status.is_some_and(|status| status.allowed))
    })
    .await
}

/// The rights that the operator's service account does not have.
pub async fn missing_of_operator(
    cluster: &Cluster,
    namespace: &str,
    account: &str,
) -> Fact<Vec<String>> {
    let api = Api::<SubjectAccessReview>::all(cluster.client.clone());
    // As the API server does it for such an account.
    let groups = vec![
        "system:serviceaccounts".to_owned(),
        format!("system:serviceaccounts:{namespace}"),
        "system:authenticated".to_owned(),
    ];
    missing(&OPERATOR, None, async |attributes| {
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: Some(format!("system:serviceaccount:{namespace}:{account}")),
                groups: Some(groups.clone()),
                resource_attributes: Some(attributes),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let params = PostParams::default();
        let asked = api.create(&params, &review);
        let reviewed = answer("ask for the operator's rights", asked).await?;
        Ok(reviewed.status.is_some_and(|status| status.allowed))
    })
    .await
}

/// Asks for all of them at a time.
async fn missing(
    rights: &[Right],
    namespace: Option<&str>,
    is_allowed: impl AsyncFn(ResourceAttributes) -> anyhow::Result<bool>,
) -> Fact<Vec<String>> {
    let asked = rights
        .iter()
        .map(|right| is_allowed(right.attributes(namespace)));
    let answers = futures::future::try_join_all(asked).await;
    let answers = answers.map_err(|error| words(&error))?;
    let refused = rights.iter().zip(answers).filter(|(_, allowed)| !allowed);
    Ok(refused
        .map(|(right, _)| format!("{} ({})", right.words(), right.without))
        .collect())
}
