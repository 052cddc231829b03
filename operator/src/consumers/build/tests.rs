use clap::Parser;
use serde_json::{Value, json};

use super::*;
use crate::consumers::desired::validate;
use crate::settings::Settings;

mod custom;
mod network;
mod over;
mod search;
mod state_topic;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    settings: Settings,
}

/// What a test varies; the rest is as in the examples.
#[derive(Default)]
struct Given {
    spec: Value,
    credentials: BTreeMap<String, String>,
    surroundings: Surroundings,
}

fn spec(fields: Value) -> Given {
    Given {
        spec: fields,
        ..Given::default()
    }
}

impl Given {
    fn consumer(&self) -> TelemetryConsumer {
        let mut spec = json!({"topics": ["t"], "sink": {"prometheus": {}}});
        for (field, value) in self.spec.as_object().expect("fields") {
            spec[field] = value.clone();
        }
        let mut consumer =
            TelemetryConsumer::new("metrics", serde_json::from_value(spec).expect("a spec"));
        consumer.metadata.namespace = Some("shop".into());
        consumer.metadata.uid = Some("uid".into());
        consumer
    }

    fn desired(&self) -> Desired {
        let settings = Cli::parse_from(["test"]).settings;
        validate(&self.consumer(), self.credentials.clone(), &settings).expect("valid")
    }

    fn try_build(&self) -> Result<Objects, Vec<String>> {
        objects(&self.consumer(), &self.desired(), &self.surroundings)
    }

    fn build(&self) -> Objects {
        self.try_build().expect("objects")
    }
}

/// The pods' template as Kubernetes gets it.
fn template(objects: &Objects) -> Value {
    let spec = objects.deployment.spec.as_ref().expect("a spec");
    serde_json::to_value(&spec.template).expect("JSON")
}

fn with_template(sink: Value, over: Value) -> Given {
    spec(json!({"sink": sink, "podTemplate": over}))
}

#[test]
fn the_pods_get_the_configuration_that_was_checked() {
    let objects = spec(json!({"sink": {"elasticsearch": {}}})).build();
    let (key, yaml) = objects.config.clone().expect("a configuration");
    let config = bt_consumers::config::Config::parse(&yaml).expect("parses");
    assert_eq!(config.group_id, "bt.shop.metrics");
    let urls = config.sink.elasticsearch.expect("the sink").urls;
    assert_eq!(urls, ["http://elasticsearch:9200"]);

    let pod = &template(&objects)["spec"];
    let volume = &pod["volumes"][0];
    let source = &volume["projected"]["sources"][0]["configMap"];
    assert_eq!(source["name"], "metrics");
    assert_eq!(source["items"][0]["key"], key);
    assert_eq!(source["items"][0]["path"], "config.yaml");
    let container = &pod["containers"][0];
    assert_eq!(container["volumeMounts"][0]["name"], volume["name"]);
    assert_eq!(
        container["volumeMounts"][0]["mountPath"],
        "/etc/bt-consumers"
    );
    assert_eq!(container["command"][3], "/etc/bt-consumers/config.yaml");
}

#[test]
fn the_config_map_holds_the_configurations_of_several_revisions() {
    let given = spec(json!({}));
    let keys = BTreeMap::from([("a.yaml".into(), "1".into()), ("b.yaml".into(), "2".into())]);
    let config_map = config_map(&given.consumer(), keys.clone());
    assert_eq!(config_map.data, Some(keys));
    assert_eq!(config_map.metadata, given.build().deployment.metadata);
}

#[test]
fn the_ports_of_each_sink() {
    for (sink, wanted) in [
        (
            json!({"prometheus": {}}),
            vec![("http", 8080), ("metrics", 9090)],
        ),
        (json!({"elasticsearch": {}}), vec![("http", 8080)]),
        (
            json!({"custom": {"image": "i", "metricsPort": 8000}}),
            vec![("metrics", 8000)],
        ),
        (json!({"custom": {"image": "i"}}), vec![]),
    ] {
        let objects = spec(json!({"sink": sink})).build();
        let pod = template(&objects)["spec"]["containers"][0]["ports"].clone();
        let pod: Vec<_> = pod
            .as_array()
            .into_iter()
            .flatten()
            .map(|port| {
                (
                    port["name"].as_str().unwrap_or_default(),
                    &port["containerPort"],
                )
            })
            .map(|(name, port)| (name, port.as_i64().expect("a number")))
            .collect();
        assert_eq!(pod, wanted, "{sink}");
        let service = objects.service.and_then(|service| service.spec?.ports);
        let service: Vec<_> = service.iter().flatten().collect();
        let service: Vec<_> = service
            .iter()
            .map(|port| (port.name.as_deref().expect("a name"), i64::from(port.port)))
            .collect();
        assert_eq!(service, wanted, "{sink}");
    }
}

#[test]
fn a_revision_is_another_exactly_when_the_pods_are() {
    let revision = |given: Given| {
        let objects = given.build();
        let annotations = &template(&objects)["metadata"]["annotations"];
        assert_eq!(annotations[REVISION_ANNOTATION], objects.revision);
        objects.revision
    };
    let credentials = |versions: &[(&str, &str)]| Given {
        credentials: versions
            .iter()
            .map(|(name, version)| ((*name).into(), (*version).into()))
            .collect(),
        ..spec(json!({}))
    };
    let first = revision(spec(json!({})));
    for same in [
        json!({}),
        json!({"replicas": 7}),
        json!({"autoscaling": {"maxReplicas": 5}}),
        json!({"progressDeadlineSeconds": 10}),
        json!({"groupDeletionPolicy": "Delete"}),
        json!({"podTemplate": {}}),
        json!({"podTemplate": {"spec": {"automountServiceAccountToken": false}}}),
    ] {
        assert_eq!(revision(spec(same.clone())), first, "{same}");
    }
    let others = [
        revision(spec(json!({"topics": ["other"]}))),
        revision(spec(json!({"sink": {"prometheus": {"maxSeries": 5}}}))),
        revision(spec(
            json!({"sink": {"prometheus": {"exactlyOnce": false}}}),
        )),
        revision(spec(json!({"resources": {"limits": {"cpu": "1"}}}))),
        revision(spec(
            json!({"podTemplate": {"metadata": {"labels": {"team": "a"}}}}),
        )),
        revision(credentials(&[("kafka", "1")])),
        revision(credentials(&[("kafka", "2")])),
        revision(credentials(&[("kafka", "2"), ("more", "1")])),
    ];
    let all: BTreeSet<_> = others.iter().chain([&first]).collect();
    assert_eq!(all.len(), others.len() + 1, "{others:?}");
}

#[test]
fn replicas_come_with_the_decision_on_them() {
    let deployment = spec(json!({"replicas": 7})).build().deployment;
    let replicas = |deployment: &Deployment| deployment.spec.as_ref().expect("a spec").replicas;
    assert_eq!(replicas(&deployment), None);
    assert_eq!(replicas(&with_replicas(deployment, 3)), Some(3));
}

#[test]
fn the_roll_out_takes_no_ready_pod_away_before_another_one_is_ready() {
    for (sink, deadline, min_ready) in [
        (json!({"prometheus": {}}), 10, 2),
        (json!({"custom": {"image": "i"}}), 10, 5),
        (json!({"custom": {"image": "i"}}), 300, 10),
    ] {
        let fields = json!({"sink": sink, "progressDeadlineSeconds": deadline});
        let deployment = spec(fields).build().deployment;
        let spec = serde_json::to_value(deployment.spec).expect("JSON");
        assert_eq!(spec["strategy"]["rollingUpdate"]["maxUnavailable"], 0);
        assert_eq!(spec["strategy"]["rollingUpdate"]["maxSurge"], 1);
        assert_eq!(spec["progressDeadlineSeconds"], deadline);
        assert_eq!(spec["minReadySeconds"], min_ready, "{sink}");
    }
}

#[test]
fn the_disruption_budget_is_of_the_pods_and_lets_broken_ones_go() {
    let objects = spec(json!({})).build();
    let budget = serde_json::to_value(&objects.disruption_budget).expect("JSON");
    assert_eq!(
        budget["spec"],
        json!({
            "maxUnavailable": 1,
            "selector": {"matchLabels": selector("metrics")},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        })
    );
    let labels = &template(&objects)["metadata"]["labels"];
    for (key, value) in selector("metrics") {
        assert_eq!(labels[key], value);
    }
}

#[test]
fn credentials_are_files_beside_the_configuration() {
    let kafka = json!({
        "tls": {"caSecretRef": {"name": "ca", "key": "root.pem"}, "clientCertSecretRef": {"name": "me"}},
        "sasl": {"mechanism": "SCRAM-SHA-512", "username": "u", "passwordSecretRef": {"name": "pw"}},
    });
    let objects = spec(json!({"kafka": kafka})).build();
    let yaml = objects.config.clone().expect("a configuration").1;
    let config = bt_consumers::config::Config::parse(&yaml).expect("parses");
    let tls = config.kafka.tls.expect("tls");
    let sasl = config.kafka.sasl.expect("sasl");
    let pod = &template(&objects)["spec"];
    let mount = pod["containers"][0]["volumeMounts"][0]["mountPath"].as_str();
    let mount = mount.expect("a path");
    let sources = pod["volumes"][0]["projected"]["sources"].as_array();
    let files: Vec<_> = sources
        .expect("sources")
        .iter()
        .filter_map(|source| source.get("secret"))
        .map(|secret| {
            let item = &secret["items"][0];
            assert_eq!(item["mode"], 0o440, "open to the group of the volumes only");
            let text = |value: &Value| value.as_str().expect("text").to_owned();
            let path = format!("{mount}/{}", text(&item["path"]));
            (text(&secret["name"]), text(&item["key"]), path)
        })
        .collect();
    let wanted = [
        ("ca", "root.pem", tls.ca_file),
        ("me", "tls.crt", tls.certificate_file),
        ("me", "tls.key", tls.key_file),
        ("pw", "password", Some(sasl.password_file)),
    ]
    .map(|(secret, key, path)| {
        let path = path.expect("a path").display().to_string();
        (secret.to_owned(), key.to_owned(), path)
    });
    assert_eq!(files, wanted);
    assert!(!yaml.contains("pw"), "no trace of the Secrets in {yaml}");
}

#[test]
fn pod_monitors_show_what_the_charts_prometheus_shows() {
    let monitor = |sink: Value| {
        let given = Given {
            surroundings: Surroundings {
                pod_monitors: true,
                ..Surroundings::default()
            },
            ..spec(json!({"sink": sink}))
        };
        let monitor = given.build().pod_monitor?;
        Some(serde_json::to_value(monitor).expect("JSON"))
    };
    for (sink, wanted) in [
        (
            json!({"prometheus": {}}),
            Some(vec![("metrics", true), ("http", false)]),
        ),
        (json!({"elasticsearch": {}}), Some(vec![("http", false)])),
        (
            json!({"custom": {"image": "i", "metricsPort": 1}}),
            Some(vec![("metrics", false)]),
        ),
        (json!({"custom": {"image": "i"}}), None),
    ] {
        let monitor = monitor(sink.clone());
        let endpoints = monitor.as_ref().map(|monitor| {
            assert_eq!(monitor["apiVersion"], "monitoring.coreos.com/v1");
            assert_eq!(monitor["kind"], "PodMonitor");
            assert_eq!(
                monitor["spec"]["selector"]["matchLabels"],
                json!(selector("metrics"))
            );
            let endpoints = monitor["spec"]["podMetricsEndpoints"].as_array();
            let endpoints = endpoints.expect("endpoints").iter();
            endpoints
                .map(|endpoint| {
                    (
                        endpoint["port"].as_str().expect("a port"),
                        endpoint["honorLabels"] == true,
                    )
                })
                .collect::<Vec<_>>()
        });
        assert_eq!(endpoints, wanted, "{sink}");
    }
    assert!(
        spec(json!({})).build().pod_monitor.is_none(),
        "no such kind"
    );
}
