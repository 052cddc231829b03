//! What `spec.podTemplate` must leave as the operator made it, since the rest of the operator counts on it.

use k8s_openapi::api::core::v1::{Container, PodSpec, PodTemplateSpec};

use super::pod::{CONTAINER, TEMPORARY};

/// What is wrong with the merged template, each with its field.
pub fn problems(base: &PodTemplateSpec, merged: &PodTemplateSpec) -> Vec<String> {
    let mut problems = metadata(base, merged);
    match (&base.spec, &merged.spec) {
        (Some(base), Some(merged)) => problems.extend(pod(base, merged)),
        _ => problems.push("spec.podTemplate.spec: must not be removed".into()),
    }
    problems
}

fn metadata(base: &PodTemplateSpec, merged: &PodTemplateSpec) -> Vec<String> {
    let empty = Default::default();
    let labels = |template: &PodTemplateSpec| {
        let metadata = template.metadata.clone().unwrap_or_default();
        metadata.labels.unwrap_or_default()
    };
    let have = labels(merged);
    let mut problems: Vec<_> = labels(base)
        .into_iter()
        .filter(|(key, value)| have.get(key) != Some(value))
        .map(|(key, value)| {
            format!(
                "spec.podTemplate.metadata.labels: {key} must stay {value}, since the pods are found by it; take another label"
            )
        })
        .collect();
    let annotations = merged
        .metadata
        .as_ref()
        .and_then(|metadata| metadata.annotations.as_ref())
        .unwrap_or(&empty);
    problems.extend(
        annotations
            .keys()
            .filter(|key| key.starts_with("monitoring.bt.dev/"))
            .map(|key| {
                format!(
                    "spec.podTemplate.metadata.annotations: {key} is the operator's own; take another name"
                )
            }),
    );
    problems
}

fn pod(base: &PodSpec, merged: &PodSpec) -> Vec<String> {
    let mut problems = Vec::new();
    let mut check = |ok: bool, field: String, what: &str| {
        if !ok {
            problems.push(format!("spec.podTemplate.spec.{field}: {what}"));
        }
    };
    // What Kubernetes refuses in any Deployment.
    check(
        merged.restart_policy.as_deref().unwrap_or("Always") == "Always",
        "restartPolicy".into(),
        "the pods of a Deployment are always restarted; remove it",
    );
    check(
        merged.active_deadline_seconds.is_none(),
        "activeDeadlineSeconds".into(),
        "the pods of a Deployment have no such deadline; remove it",
    );
    check(
        merged
            .ephemeral_containers
            .iter()
            .flatten()
            .next()
            .is_none(),
        "ephemeralContainers".into(),
        "these cannot stand in a template; use `kubectl debug`, or a container of your own",
    );
    for (list, containers) in [
        ("containers", Some(&merged.containers)),
        ("initContainers", merged.init_containers.as_ref()),
    ] {
        for container in containers.into_iter().flatten() {
            check(
                container
                    .image
                    .as_ref()
                    .is_some_and(|image| !image.is_empty()),
                format!("{list}[{}].image", container.name),
                "must be given; the consumer's own container is the one named consumer",
            );
        }
    }
    let files = base.volumes.iter().flatten();
    for volume in files.filter(|volume| volume.name != TEMPORARY) {
        check(
            merged.volumes.iter().flatten().any(|other| other == volume),
            format!("volumes[{}]", volume.name),
            "must stay as the operator makes it: the consumer's files are in it; take another name",
        );
    }
    let own = |pod: &PodSpec| {
        let found = pod.containers.iter().find(|found| found.name == CONTAINER);
        found.cloned()
    };
    match (own(base), own(merged)) {
        (Some(base), Some(merged)) => consumer(&base, &merged, &mut check),
        _ => check(
            false,
            format!("containers[{CONTAINER}]"),
            "must not be removed: it is the consumer itself",
        ),
    }
    problems
}

/// The consumer's own container.
fn consumer(base: &Container, merged: &Container, check: &mut impl FnMut(bool, String, &str)) {
    let field = |name: &str| format!("containers[{CONTAINER}].{name}");
    let elsewhere = "is the operator's to set; for an image of your own, use spec.sink.custom";
    check(base.image == merged.image, field("image"), elsewhere);
    check(base.command == merged.command, field("command"), elsewhere);
    check(base.args == merged.args, field("args"), elsewhere);
    for env in base.env.iter().flatten() {
        check(
            merged.env.iter().flatten().any(|other| other == env),
            field(&format!("env[{}]", env.name)),
            "is set already, by the operator or in spec.sink.custom.env; change it there, or take another name",
        );
    }
    for port in base.ports.iter().flatten() {
        check(
            merged.ports.iter().flatten().any(|other| other == port),
            field(&format!("ports[{}]", port.container_port)),
            "must stay as the operator makes it: the pods are asked and scraped there",
        );
    }
    let files = base.volume_mounts.iter().flatten();
    for mount in files.filter(|mount| mount.name != TEMPORARY) {
        check(
            merged
                .volume_mounts
                .iter()
                .flatten()
                .any(|other| other == mount),
            field(&format!("volumeMounts[{}]", mount.mount_path)),
            "must stay as the operator makes it; mount at another path",
        );
    }
}
