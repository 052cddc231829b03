//! The operator itself, and what runs.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::{ROLE, VERSION};
use crate::plugin::doctor::Check;
use crate::plugin::doctor::facts::Facts;
use crate::plugin::text::ago;

/// A Lease is renewed every 2 seconds, and lost after 10.
const LEASE: i64 = 20;

pub fn operator(facts: &Facts) -> Vec<Check> {
    let area = "operator";
    let operator = match &facts.operator {
        Ok(Some(operator)) => operator,
        Ok(None) => {
            let fix = "helm install bt-monitoring charts/ -n NAMESPACE";
            return vec![Check::fail(
                area,
                "there is none: no Deployment with the label app.kubernetes.io/name=bt-operator",
                fix,
            )];
        }
        Err(why) => return vec![Check::warn(area, why, ROLE)],
    };
    let place = format!(
        "{}/{}",
        operator.namespace().unwrap_or_default(),
        operator.name_any()
    );
    let status = operator.status.clone().unwrap_or_default();
    let wanted = operator
        .spec
        .as_ref()
        .and_then(|spec| spec.replicas)
        .unwrap_or(1);
    let ready = status.ready_replicas.unwrap_or_default();
    let found = format!("{place}: {ready} of {wanted} pods ready");
    let see = format!(
        "kubectl logs -n {} deploy/{}; kubectl describe pod there",
        operator.namespace().unwrap_or_default(),
        operator.name_any()
    );
    let mut checks = vec![match (ready, wanted) {
        (_, 0) => Check::fail(
            area,
            format!("{place} is scaled to 0"),
            format!(
                "kubectl scale -n {} deploy/{} --replicas=1",
                operator.namespace().unwrap_or_default(),
                operator.name_any()
            ),
        ),
        (0, _) => Check::fail(area, found, see),
        (ready, wanted) if ready < wanted => Check::warn(area, found, see),
        _ => Check::ok(area, found),
    }];
    checks.push(lease(facts));
    checks.push(match &facts.operator_lacks {
        Ok(lacks) if lacks.is_empty() => Check::ok("its rights", "all that the operator needs"),
        Ok(lacks) => Check::fail(
            "its rights",
            format!("the operator may not: {}", lacks.join("; ")),
            "helm upgrade puts its ClusterRole right",
        ),
        Err(why) => Check::warn("its rights", format!("not checked: {why}"), ""),
    });
    checks
}

fn lease(facts: &Facts) -> Check {
    let area = "leader";
    let fix = "the operator's log says why it cannot take the Lease";
    let lease = match &facts.lease {
        Ok(Some(lease)) => lease,
        Ok(None) => return Check::fail(area, "there is no Lease", fix),
        Err(why) => return Check::warn(area, why, ROLE),
    };
    let spec = lease.spec.clone().unwrap_or_default();
    let holder = spec.holder_identity.filter(|holder| !holder.is_empty());
    let (Some(holder), Some(renewed)) = (holder, spec.renew_time) else {
        return Check::fail(
            area,
            "nobody holds the Lease, so that nobody reconciles",
            fix,
        );
    };
    let age = facts.now.as_second() - renewed.0.as_second();
    match age > LEASE {
        true => Check::fail(
            area,
            format!(
                "{holder} has not renewed the Lease for {}: nobody reconciles",
                ago(age)
            ),
            fix,
        ),
        false => Check::ok(area, format!("{holder} holds the Lease")),
    }
}

/// A value of the operator's environment.
pub fn env<'d>(operator: &'d Deployment, name: &str) -> Option<&'d str> {
    let spec = operator.spec.as_ref()?.template.spec.as_ref()?;
    let mut all = spec
        .containers
        .iter()
        .flat_map(|container| container.env.iter().flatten());
    all.find(|env| env.name == name)?.value.as_deref()
}

/// What stands behind the colon; a digest says nothing.
fn tag(image: &str) -> Option<&str> {
    let name = image.rsplit('/').next()?;
    let (_, tag) = name.split_once(':')?;
    (!image.contains('@')).then_some(tag)
}

/// Tags are the version, which may have more behind it: 0.1.0-c0ffee.
fn is_of_version(image: &str, version: &str) -> bool {
    tag(image).is_none_or(|tag| {
        tag == version
            || tag.starts_with(&format!("{version}-"))
            || !tag.starts_with(|c: char| c.is_ascii_digit())
    })
}

pub fn versions(facts: &Facts) -> Option<Check> {
    let area = "versions";
    let operator = facts.operator.as_ref().ok()?.as_ref()?;
    let spec = operator.spec.as_ref()?.template.spec.as_ref()?;
    let image = spec.containers.first()?.image.as_deref()?;
    let consumers = env(operator, "CONSUMER_IMAGE").unwrap_or_default();
    let others: Vec<String> = facts
        .consumer_pods
        .iter()
        .flatten()
        .filter(|pod| {
            pod.labels()
                .get("monitoring.bt.dev/sink")
                .is_some_and(|sink| sink != "custom")
        })
        .filter_map(|pod| {
            let mut containers = pod.spec.as_ref()?.containers.iter();
            let used = containers
                .find(|c| c.name == "consumer")?
                .image
                .as_deref()?;
            (used != consumers).then(|| format!("{} runs {used}", pod.name_any()))
        })
        .collect();
    if !is_of_version(image, VERSION) || !is_of_version(consumers, VERSION) {
        let found =
            format!("this kubectl-bt is {VERSION}; operator {image}, consumers {consumers}");
        return Some(Check::warn(
            area,
            found,
            "use one version of all three: helm upgrade, or install the kubectl-bt of the operator's version",
        ));
    }
    Some(match others.is_empty() {
        true => Check::ok(
            area,
            format!("{VERSION}: operator {image}, consumers {consumers}"),
        ),
        false => Check::warn(
            area,
            format!(
                "pods with another image than {consumers}: {}",
                others.join(", ")
            ),
            "wait for the rollout",
        ),
    })
}

pub fn images(facts: &Facts) -> Check {
    let pods = facts
        .operator_pods
        .iter()
        .chain(facts.consumer_pods.iter().flatten());
    let troubled: Vec<String> = pods.filter_map(not_pulled).collect();
    match troubled.is_empty() {
        true => Check::ok("images", "none is waited for"),
        false => Check::fail(
            "images",
            troubled.join("; "),
            "correct the image's name or tag in the values, give imagePullSecrets, or load it into the cluster",
        ),
    }
}

fn not_pulled(pod: &Pod) -> Option<String> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    statuses.iter().find_map(|container| {
        let waiting = container.state.as_ref()?.waiting.as_ref()?;
        let reason = waiting.reason.as_deref()?;
        let is_pull = matches!(
            reason,
            "ErrImagePull" | "ImagePullBackOff" | "ErrImageNeverPull" | "InvalidImageName"
        );
        is_pull.then(|| format!("pod {}: {reason} {}", pod.name_any(), container.image))
    })
}
