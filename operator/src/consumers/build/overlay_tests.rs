use serde_json::json;

use super::*;

fn base() -> PodTemplateSpec {
    let template = json!({
        "metadata": {"labels": {"a": "1", "b": "2"}},
        "spec": {
            "terminationGracePeriodSeconds": 30,
            "containers": [{
                "name": "consumer",
                "image": "i",
                "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
                "ports": [{"containerPort": 80, "name": "http", "protocol": "TCP"}],
                "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
                "livenessProbe": {"httpGet": {"path": "/", "port": 80}, "periodSeconds": 10},
            }],
            "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "1Mi"}}],
        },
    });
    serde_json::from_value(template).expect("a template")
}

fn laid_over(over: &Value) -> Value {
    to_value(&lay_over(&base(), over).expect("a template"))
}

#[test]
fn nothing_changes_nothing() {
    for over in [
        json!({}),
        json!({"metadata": {}, "spec": {}}),
        json!({"spec": {"containers": [], "volumes": []}}),
        json!({"spec": {"containers": [{"name": "consumer"}]}}),
        json!({"spec": {"nodeName": null}}),
    ] {
        assert_eq!(laid_over(&over), to_value(&base()), "{over}");
    }
}

#[test]
fn maps_merge_and_null_removes() {
    let over = json!({
        "metadata": {"labels": {"b": null, "c": "3"}},
        "spec": {"terminationGracePeriodSeconds": 60},
    });
    let merged = laid_over(&over);
    assert_eq!(merged["metadata"]["labels"], json!({"a": "1", "c": "3"}));
    assert_eq!(merged["spec"]["terminationGracePeriodSeconds"], 60);
    let replaced = laid_over(&json!({"metadata": {"labels": {"$patch": "replace", "c": "3"}}}));
    assert_eq!(replaced["metadata"]["labels"], json!({"c": "3"}));
}

#[test]
fn entries_merge_by_their_keys() {
    for (fields, path, wanted) in [
        (
            json!({"env": [{"name": "C", "value": "3"}, {"name": "A", "value": "9"}]}),
            "env",
            json!([{"name": "A", "value": "9"}, {"name": "B", "value": "2"}, {"name": "C", "value": "3"}]),
        ),
        (
            json!({"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "x"}}}]}),
            "env/0",
            json!({"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "x"}}}),
        ),
        (
            json!({"env": [{"name": "A", "$patch": "delete"}]}),
            "env",
            json!([{"name": "B", "value": "2"}]),
        ),
        (
            json!({"env": [{"$patch": "replace"}, {"name": "C", "value": "3"}]}),
            "env",
            json!([{"name": "C", "value": "3"}]),
        ),
        (
            json!({"ports": [{"containerPort": 80, "protocol": "UDP"}, {"containerPort": 80, "name": "web"}]}),
            "ports",
            json!([{"containerPort": 80, "name": "web", "protocol": "TCP"}, {"containerPort": 80, "protocol": "UDP"}]),
        ),
        (
            json!({"volumeMounts": [{"mountPath": "/tmp", "name": "tmp", "readOnly": true}, {"mountPath": "/x", "name": "x"}]}),
            "volumeMounts",
            json!([{"mountPath": "/tmp", "name": "tmp", "readOnly": true}, {"mountPath": "/x", "name": "x"}]),
        ),
        // One handler excludes the others.
        (
            json!({"livenessProbe": {"exec": {"command": ["true"]}}}),
            "livenessProbe",
            json!({"exec": {"command": ["true"]}, "periodSeconds": 10}),
        ),
        // Lists without a key are replaced.
        (json!({"args": ["a"]}), "args", json!(["a"])),
    ] {
        let mut container = fields.clone();
        container["name"] = json!("consumer");
        let merged = laid_over(&json!({"spec": {"containers": [container]}}));
        let found = merged.pointer(&format!("/spec/containers/0/{path}"));
        assert_eq!(found, Some(&wanted), "{fields}");
    }
}

#[test]
fn a_volume_takes_the_other_ones_place_when_its_source_is_another() {
    let volumes = |volume: Value| {
        laid_over(&json!({"spec": {"volumes": [volume]}}))["spec"]["volumes"].clone()
    };
    assert_eq!(
        volumes(json!({"name": "tmp", "persistentVolumeClaim": {"claimName": "c"}})),
        json!([{"name": "tmp", "persistentVolumeClaim": {"claimName": "c"}}])
    );
    assert_eq!(
        volumes(json!({"name": "tmp", "emptyDir": {"medium": "Memory"}})),
        json!([{"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}])
    );
}

#[test]
fn new_containers_come_last() {
    let merged = laid_over(&json!({"spec": {"containers": [{"name": "a", "image": "i"}]}}));
    let names = merged["spec"]["containers"].as_array().expect("a list");
    let names: Vec<_> = names.iter().map(|container| &container["name"]).collect();
    assert_eq!(names, ["consumer", "a"]);
}

#[test]
fn what_is_no_template_is_named() {
    for (over, wanted) in [
        (json!({"spec": []}), "spec.podTemplate.spec: invalid type"),
        (
            json!({"spec": {"containers": "x"}}),
            "spec.podTemplate.spec.containers: invalid type",
        ),
        (
            json!({"spec": {"containers": [{"name": "consumer", "env": [{"name": "A", "value": 5}]}]}}),
            "spec.podTemplate.spec.containers[0].env[0].value: invalid type: integer `5`, expected a string",
        ),
        (
            json!({"spec": {"terminationGracePeriodSeconds": "1m"}}),
            "spec.podTemplate.spec.terminationGracePeriodSeconds: invalid type",
        ),
        (
            json!({"nodeSelector": {"a": "b"}}),
            "spec.podTemplate.nodeSelector: a PodTemplateSpec has no such field",
        ),
        (
            json!({"spec": {"tolerance": []}}),
            "spec.podTemplate.spec.tolerance: a PodTemplateSpec has no such field",
        ),
        (
            json!({"spec": {"containers": [{"name": "a"}, {"name": "b", "img": "x"}]}}),
            "spec.podTemplate.spec.containers[1].img: a PodTemplateSpec has no such field",
        ),
        (
            json!({"spec": {"containers": [{"image": "x"}]}}),
            "spec.podTemplate.spec.containers[0]: has no name",
        ),
        (
            json!({"spec": {"volumes": ["x"]}}),
            "spec.podTemplate.spec.volumes[0]: has no name",
        ),
        (
            json!({"spec": {"containers": [{"name": "a"}, {"name": "a"}]}}),
            "spec.podTemplate.spec.containers[1]: name \"a\" is there twice",
        ),
        (
            json!({"spec": {"$retainKeys": ["volumes"]}}),
            "spec.podTemplate.spec.$retainKeys: is not supported",
        ),
        (
            json!({"spec": {"containers": [{"name": "a", "$patch": "remove"}]}}),
            "spec.podTemplate.spec.containers[0].$patch: must be replace or delete",
        ),
    ] {
        let problems = lay_over(&base(), &over).err().unwrap_or_default();
        assert!(
            problems.iter().any(|problem| problem.starts_with(wanted)),
            "{over} → {problems:?}, not {wanted}"
        );
    }
}
