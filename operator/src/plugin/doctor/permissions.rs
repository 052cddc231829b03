//! Who may do what, by access reviews.

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec, SubjectAccessReview,
    SubjectAccessReviewSpec,
};
use kube::Api;
use kube::api::PostParams;

use crate::plugin::cluster::{Cluster, answer};

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
pub async fn missing_of_user(cluster: &Cluster) -> Result<Vec<String>, String> {
    let api = Api::<SelfSubjectAccessReview>::all(cluster.client.clone());
    let asked = USER.iter().map(async |right| {
        let review = SelfSubjectAccessReview {
            spec: SelfSubjectAccessReviewSpec {
                resource_attributes: Some(right.attributes(cluster.namespace.as_deref())),
                ..SelfSubjectAccessReviewSpec::default()
            },
            ..SelfSubjectAccessReview::default()
        };
        let params = PostParams::default();
        let reviewed = answer("ask for your rights", api.create(&params, &review)).await;
        let reviewed = reviewed.map_err(|error| format!("{error:#}"))?;
        let allowed = reviewed.status.is_some_and(|status| status.allowed);
        Ok((!allowed).then(|| format!("{} ({})", right.words(), right.without)))
    });
    let answers: Result<Vec<_>, String> =
        futures::future::join_all(asked).await.into_iter().collect();
    Ok(answers?.into_iter().flatten().collect())
}

/// The rights that the operator's service account (`namespace`, `name`) does not have.
pub async fn missing_of_operator(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
) -> Result<Vec<String>, String> {
    let api = Api::<SubjectAccessReview>::all(cluster.client.clone());
    let asked = OPERATOR.iter().map(async |right| {
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: Some(format!("system:serviceaccount:{namespace}:{name}")),
                // As the API server does it for such an account.
                groups: Some(vec![
                    "system:serviceaccounts".to_owned(),
                    format!("system:serviceaccounts:{namespace}"),
                    "system:authenticated".to_owned(),
                ]),
                resource_attributes: Some(right.attributes(None)),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let params = PostParams::default();
        let reviewed = answer(
            "ask for the operator's rights",
            api.create(&params, &review),
        )
        .await;
        let reviewed = reviewed.map_err(|error| format!("{error:#}"))?;
        let allowed = reviewed.status.is_some_and(|status| status.allowed);
        Ok((!allowed).then(|| format!("{} ({})", right.words(), right.without)))
    });
    let answers: Result<Vec<_>, String> =
        futures::future::join_all(asked).await.into_iter().collect();
    Ok(answers?.into_iter().flatten().collect())
}
