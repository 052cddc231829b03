use serde_json::json;

use super::*;

fn pod(status: Value) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": "logs-1", "namespace": "shop", "labels": {CONSUMER: "logs", SINK: "elasticsearch", "x": "y"}},
        "spec": {"containers": [{"name": "consumer"}]},
        "status": status,
    }))
    .expect("a pod")
}

fn container(state: Value) -> Value {
    let mut status = json!({"name": "consumer", "ready": false, "restartCount": 0, "image": "i", "imageID": "i"});
    for (key, value) in state.as_object().expect("an object") {
        status[key] = value.clone();
    }
    status
}

#[test]
fn a_pod_that_is_not_ready_has_a_reason() {
    let ended = json!({"terminated": {"exitCode": 1, "reason": "Error", "message":
        "{\"level\":\"INFO\",\"message\":\"joining\"}\n{\"level\":\"ERROR\",\"message\":\"cannot read the credentials in /x: it is empty\"}\n"}});
    let cases = [
        (
            "ready",
            json!({"conditions": [{"type": "Ready", "status": "True"}]}),
            None,
            None,
        ),
        (
            "no node",
            json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "message": "0/1 nodes: Insufficient cpu"}]}),
            None,
            Some("pod logs-1 cannot be scheduled: 0/1 nodes: Insufficient cpu"),
        ),
        (
            "no image",
            json!({"phase": "Pending", "containerStatuses": [container(json!({"state": {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image \"x\""}}}))]}),
            None,
            Some("pod logs-1, container consumer: ImagePullBackOff: Back-off pulling image \"x\""),
        ),
        (
            "an image that may not be run",
            json!({"phase": "Pending", "containerStatuses": [container(json!({"state": {"waiting": {"reason": "CreateContainerConfigError"}}}))]}),
            None,
            Some("pod logs-1, container consumer: CreateContainerConfigError"),
        ),
        (
            "a crash, with its last words",
            json!({"phase": "Running", "containerStatuses": [container(json!({"state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 20s"}}, "lastState": ended}))]}),
            None,
            Some(
                "pod logs-1, container consumer: CrashLoopBackOff: ended with exit code 1 (Error): cannot read the credentials in /x: it is empty",
            ),
        ),
        (
            "between two crashes",
            json!({"phase": "Running", "containerStatuses": [container(json!({"state": {"running": {}}, "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}))]}),
            Some("waiting"),
            Some("pod logs-1, container consumer: ended with exit code 137 (OOMKilled)"),
        ),
        (
            "the consumer before its sidecars",
            json!({"phase": "Running", "containerStatuses": [
                {"name": "a", "ready": false, "restartCount": 1, "image": "i", "imageID": "i", "state": {"waiting": {"reason": "CrashLoopBackOff"}}},
                container(json!({"state": {"waiting": {"reason": "ErrImageNeverPull"}}})),
            ]}),
            None,
            Some("pod logs-1, container consumer: ErrImageNeverPull"),
        ),
        (
            "its own words",
            json!({"phase": "Running", "containerStatuses": [container(json!({"state": {"running": {}}}))]}),
            Some("waiting for the sink to be set up; sink: Unreachable: http://es:9200: refused"),
            Some(
                "pod logs-1: waiting for the sink to be set up; sink: Unreachable: http://es:9200: refused",
            ),
        ),
        (
            "no words",
            json!({"phase": "Running", "containerStatuses": [container(json!({"state": {"running": {}}}))]}),
            None,
            Some("pod logs-1, container consumer: runs, but its readiness probe fails"),
        ),
        (
            "on its way",
            json!({"phase": "Pending", "containerStatuses": [container(json!({"state": {"waiting": {"reason": "ContainerCreating"}}}))]}),
            None,
            Some(
                "pod logs-1 has not started: its volumes, its network or its image are not there yet",
            ),
        ),
        (
            "evicted",
            json!({"phase": "Failed", "reason": "Evicted", "message": "low on memory"}),
            None,
            Some("pod logs-1: Evicted: low on memory"),
        ),
    ];
    for (name, status, unready, expected) in cases {
        let mut pod = pod(status);
        strip(&mut pod);
        assert_eq!(problem(&pod, unready).as_deref(), expected, "{name}");
        pod.metadata.deletion_timestamp =
            serde_json::from_value(json!("2026-01-01T00:00:00Z")).expect("a time");
        assert_eq!(problem(&pod, unready), None, "{name}, going");
    }
}

#[test]
fn only_running_pods_of_our_own_image_are_asked() {
    let mut running = pod(json!({"phase": "Running", "podIP": "10.0.0.1"}));
    strip(&mut running);
    assert_eq!(consumer(&running), Some(("shop".into(), "logs".into())));
    assert!(can_be_asked(&running) && !is_ready(&running));
    assert!(running.spec.is_none() && running.labels().len() == 2);
    assert!(!can_be_asked(&pod(json!({"phase": "Pending"}))));
    let mut custom = running.clone();
    custom.labels_mut().insert(SINK.into(), "custom".into());
    assert!(!can_be_asked(&custom));
    let mut other = running;
    other.labels_mut().remove(CONSUMER);
    assert!(!can_be_asked(&other) && consumer(&other).is_none());
}
