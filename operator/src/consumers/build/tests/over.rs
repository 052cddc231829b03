//! `spec.podTemplate`: what is refused of its result, and what it may add.

use super::*;

fn problems(sink: Value, over: Value) -> Vec<String> {
    with_template(sink, over)
        .try_build()
        .err()
        .unwrap_or_default()
}

/// In the container `consumer`.
fn consumer(fields: Value) -> Value {
    container("containers", "consumer", fields)
}

fn sidecar(fields: Value) -> Value {
    let mut over = container("containers", "sidecar", fields);
    over["spec"]["containers"][0]["image"] = json!("i");
    over
}

fn container(list: &str, name: &str, mut fields: Value) -> Value {
    fields["name"] = json!(name);
    json!({"spec": {list: [fields]}})
}

#[test]
fn additions_reach_the_pods() {
    let over = json!({
        "metadata": {"labels": {"team": "a"}, "annotations": {"note": "b"}, "creationTimestamp": null},
        "spec": {
            "nodeSelector": {"disk": "ssd"},
            "tolerations": [{"key": "dedicated", "operator": "Exists"}],
            "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}],
            "serviceAccountName": "sa",
            "securityContext": {"runAsUser": 1000},
            "imagePullSecrets": [{"name": "pull"}],
            "volumes": [{"name": "scratch", "emptyDir": {}}],
            "initContainers": [{"name": "init", "image": "i"}],
            "containers": [
                {"name": "consumer", "env": [{"name": "RUST_LOG", "value": "debug"}], "resources": {"limits": {"memory": "1Gi", "cpu": 4}},
                 "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}]},
                {"name": "sidecar", "image": "s", "securityContext": {"runAsUser": 5}},
            ],
        },
    });
    let built = with_template(json!({"prometheus": {}}), over).build();
    let template = template(&built);
    let at = |path: &str| template.pointer(path).unwrap_or(&Value::Null).clone();
    for (path, wanted) in [
        ("/metadata/labels/team", json!("a")),
        (
            "/metadata/labels/app.kubernetes.io~1name",
            json!("bt-consumer"),
        ),
        ("/metadata/annotations/note", json!("b")),
        ("/spec/nodeSelector/disk", json!("ssd")),
        ("/spec/tolerations/0/key", json!("dedicated")),
        (
            "/spec/topologySpreadConstraints/0/topologyKey",
            json!("zone"),
        ),
        ("/spec/serviceAccountName", json!("sa")),
        ("/spec/securityContext/runAsUser", json!(1000)),
        ("/spec/securityContext/runAsNonRoot", json!(true)),
        ("/spec/imagePullSecrets/0/name", json!("pull")),
        ("/spec/volumes/0/name", json!("config")),
        ("/spec/volumes/1/name", json!("scratch")),
        ("/spec/containers/0/env/0/name", json!("POD_NAME")),
        ("/spec/containers/0/env/1/name", json!("RUST_LOG")),
        ("/spec/containers/0/command/0", json!("bt-consumers")),
        (
            "/spec/containers/0/resources/limits",
            json!({"cpu": "4", "memory": "1Gi"}),
        ),
        ("/spec/containers/0/resources/requests/cpu", json!("20m")),
        ("/spec/containers/0/volumeMounts/1/name", json!("scratch")),
        ("/spec/containers/1/name", json!("sidecar")),
        ("/spec/containers/1/securityContext/runAsUser", json!(5)),
        (
            "/spec/containers/1/securityContext/allowPrivilegeEscalation",
            json!(false),
        ),
        (
            "/spec/containers/1/securityContext/capabilities/drop",
            json!(["ALL"]),
        ),
        (
            "/spec/initContainers/0/securityContext/capabilities/drop",
            json!(["ALL"]),
        ),
    ] {
        assert_eq!(at(path), wanted, "{path}");
    }
}

#[test]
fn what_the_operator_counts_on_must_stay() {
    let ours = json!({"prometheus": {}});
    let custom = json!({"custom": {"image": "i", "env": [{"name": "MINE", "value": "1"}], "metricsPort": 8000}});
    for (sink, over, wanted) in [
        (
            &ours,
            json!({"spec": null}),
            "spec.podTemplate.spec: must not",
        ),
        (
            &ours,
            json!({"metadata": {"labels": {"app.kubernetes.io/instance": "x"}}}),
            "metadata.labels: app.kubernetes.io/instance must stay metrics",
        ),
        (
            &ours,
            json!({"metadata": {"labels": null}}),
            "app.kubernetes.io/managed-by must stay",
        ),
        (
            &ours,
            json!({"metadata": {"annotations": {"monitoring.bt.dev/revision": "x"}}}),
            "metadata.annotations: monitoring.bt.dev/revision is the operator's own",
        ),
        (
            &ours,
            consumer(json!({"image": "x"})),
            "containers[consumer].image: is the operator's",
        ),
        (
            &ours,
            consumer(json!({"command": ["x"]})),
            "containers[consumer].command: ",
        ),
        (
            &ours,
            consumer(json!({"args": ["x"]})),
            "containers[consumer].args: ",
        ),
        (
            &ours,
            consumer(json!({"$patch": "delete"})),
            "containers[consumer]: must not be removed",
        ),
        (
            &ours,
            consumer(json!({"ports": [{"containerPort": 8080, "name": "web"}]})),
            "containers[consumer].ports[8080]: must stay",
        ),
        (
            &ours,
            consumer(json!({"volumeMounts": [{"name": "x", "mountPath": "/etc/bt-consumers"}]})),
            "containers[consumer].volumeMounts[/etc/bt-consumers]: must stay",
        ),
        (
            &ours,
            json!({"spec": {"volumes": [{"name": "config", "emptyDir": {}}]}}),
            "volumes[config]: must stay",
        ),
        (
            &ours,
            json!({"spec": {"containers": [{"name": "bt-consumer"}]}}),
            "containers[bt-consumer].image: must be given",
        ),
        (
            &ours,
            json!({"spec": {"restartPolicy": "Never"}}),
            "restartPolicy: ",
        ),
        (
            &ours,
            json!({"spec": {"activeDeadlineSeconds": 5}}),
            "activeDeadlineSeconds: ",
        ),
        (
            &ours,
            json!({"spec": {"ephemeralContainers": [{"name": "x", "image": "i"}]}}),
            "ephemeralContainers: ",
        ),
        (
            &custom,
            consumer(json!({"env": [{"name": "KAFKA_GROUP_ID", "value": "x"}]})),
            "containers[consumer].env[KAFKA_GROUP_ID]: is set already",
        ),
        (
            &custom,
            consumer(json!({"env": [{"name": "MINE", "value": "2"}]})),
            "containers[consumer].env[MINE]: is set already",
        ),
    ] {
        let problems = problems(sink.clone(), over.clone());
        assert!(
            problems.iter().any(|problem| problem.contains(wanted)),
            "{over} → {problems:?}, not {wanted}"
        );
        assert!(
            problems
                .iter()
                .all(|problem| problem.starts_with("spec.podTemplate.")),
            "{problems:?}"
        );
    }
    // Its size, and where it is, are the user's.
    let tmp = json!({"spec": {"volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}}]}});
    assert_eq!(problems(custom, tmp), [""; 0]);
}

#[test]
fn the_result_is_restricted() {
    let context = |fields: Value| sidecar(json!({"securityContext": fields}));
    let pod = |fields: Value| json!({"spec": fields});
    let pod_context = |fields: Value| json!({"spec": {"securityContext": fields}});
    let of_sidecar = "spec.containers[sidecar]";
    for (over, wanted) in [
        (
            pod(json!({"hostNetwork": true})),
            "spec.hostNetwork".to_owned(),
        ),
        (pod(json!({"hostPID": true})), "spec.hostPID".into()),
        (pod(json!({"hostIPC": true})), "spec.hostIPC".into()),
        (
            pod(json!({"volumes": [{"name": "host", "hostPath": {"path": "/"}}]})),
            "spec.volumes[host].hostPath".into(),
        ),
        (
            pod(json!({"volumes": [{"name": "nfs", "nfs": {"path": "/", "server": "x"}}]})),
            "spec.volumes[nfs].nfs".into(),
        ),
        (
            pod_context(json!({"sysctls": [{"name": "kernel.msgmax", "value": "1"}]})),
            "spec.securityContext.sysctls[kernel.msgmax]".into(),
        ),
        (
            pod_context(json!({"runAsUser": 0})),
            "spec.securityContext.runAsUser".into(),
        ),
        (
            pod_context(json!({"runAsNonRoot": false})),
            "spec.containers[consumer].securityContext.runAsNonRoot".into(),
        ),
        (
            pod_context(json!({"seccompProfile": null})),
            "spec.containers[consumer].securityContext.seccompProfile".into(),
        ),
        (
            pod_context(json!({"seccompProfile": {"type": "Unconfined"}})),
            "spec.securityContext.seccompProfile.type".into(),
        ),
        (
            pod_context(json!({"appArmorProfile": {"type": "Unconfined"}})),
            "spec.securityContext.appArmorProfile.type".into(),
        ),
        (
            pod_context(json!({"seLinuxOptions": {"type": "spc_t"}})),
            "spec.securityContext.seLinuxOptions.type".into(),
        ),
        (
            pod_context(json!({"seLinuxOptions": {"user": "root"}})),
            "spec.securityContext.seLinuxOptions.user".into(),
        ),
        (
            pod_context(json!({"windowsOptions": {"hostProcess": true}})),
            "spec.securityContext.windowsOptions.hostProcess".into(),
        ),
        (
            json!({"metadata": {"annotations": {"container.apparmor.security.beta.kubernetes.io/x": "unconfined"}}}),
            "metadata.annotations".into(),
        ),
        (
            consumer(json!({"securityContext": {"capabilities": null}})),
            "spec.containers[consumer].securityContext.capabilities.drop".into(),
        ),
        (
            consumer(json!({"securityContext": {"allowPrivilegeEscalation": true}})),
            "spec.containers[consumer].securityContext.allowPrivilegeEscalation".into(),
        ),
        (
            context(json!({"privileged": true})),
            format!("{of_sidecar}.securityContext.privileged"),
        ),
        (
            context(json!({"allowPrivilegeEscalation": true})),
            format!("{of_sidecar}.securityContext.allowPrivilegeEscalation"),
        ),
        (
            context(json!({"capabilities": {"add": ["NET_ADMIN", "NET_BIND_SERVICE"]}})),
            format!("{of_sidecar}.securityContext.capabilities.add: NET_ADMIN"),
        ),
        (
            context(json!({"capabilities": {"drop": ["CHOWN"]}})),
            format!("{of_sidecar}.securityContext.capabilities.drop"),
        ),
        (
            context(json!({"runAsUser": 0})),
            format!("{of_sidecar}.securityContext.runAsUser"),
        ),
        (
            context(json!({"runAsNonRoot": false})),
            format!("{of_sidecar}.securityContext.runAsNonRoot"),
        ),
        (
            context(json!({"seccompProfile": {"type": "Unconfined"}})),
            format!("{of_sidecar}.securityContext.seccompProfile.type"),
        ),
        (
            context(json!({"procMount": "Unmasked"})),
            format!("{of_sidecar}.securityContext.procMount"),
        ),
        (
            sidecar(json!({"ports": [{"containerPort": 80, "hostPort": 80}]})),
            format!("{of_sidecar}.ports[80].hostPort"),
        ),
        (
            sidecar(json!({"livenessProbe": {"httpGet": {"port": 80, "host": "10.0.0.1"}}})),
            format!("{of_sidecar}.livenessProbe.httpGet.host"),
        ),
        (
            sidecar(json!({"lifecycle": {"preStop": {"tcpSocket": {"port": 80, "host": "x"}}}})),
            format!("{of_sidecar}.lifecycle.preStop.tcpSocket.host"),
        ),
        (
            container(
                "initContainers",
                "init",
                json!({"image": "i", "securityContext": {"privileged": true}}),
            ),
            "spec.initContainers[init].securityContext.privileged".into(),
        ),
    ] {
        let problems = problems(json!({"elasticsearch": {}}), over.clone());
        let [problem] = problems.as_slice() else {
            panic!("{over} → {problems:?}, not one problem");
        };
        assert!(
            problem.starts_with(&format!("spec.podTemplate.{wanted}")),
            "{over} → {problem}, not {wanted}"
        );
    }
}

#[test]
fn everything_wrong_is_said_at_once() {
    let over = json!({"spec": {
        "hostNetwork": true,
        "restartPolicy": "Never",
        "containers": [{"name": "consumer", "image": "x"}],
    }});
    assert_eq!(problems(json!({"prometheus": {}}), over).len(), 3);
}
