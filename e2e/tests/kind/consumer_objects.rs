//! TelemetryConsumer: the objects that it owns, and nobody else's.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use e2e::{E2e, beside_others, eventually, logs_into, seconds};
use kube::ResourceExt;
use serde_json::{Value, json};

/// The kinds that every consumer with one of our sinks owns.
const KINDS: [&str; 5] = [
    "deployment",
    "configmap",
    "service",
    "poddisruptionbudget",
    "networkpolicy",
];

/// The ids of a consumer's pods.
pub async fn uids(e2e: &E2e, namespace: &str, name: &str) -> Result<BTreeSet<String>> {
    let pods = e2e.cluster.consumer_pods(namespace, name).await?;
    Ok(pods.iter().filter_map(ResourceExt::uid).collect())
}

#[tokio::test]
async fn owned_objects_are_as_declared_whatever_others_do() -> Result<()> {
    beside_others(async |e2e| {
        let namespace = e2e.namespace("objects").await?;
        // What the operator builds, and what it makes of a pod template of the user's, is admitted.
        let enforce = "pod-security.kubernetes.io/enforce=restricted";
        e2e.cluster
            .kubectl(&["label", "namespace", &namespace, enforce])
            .await?;
        tokio::try_join!(
            contents_and_foreign_edits(e2e, &namespace),
            what_is_no_longer_wanted_goes(e2e, &namespace),
            what_is_not_ours_is_left_alone(e2e, &namespace),
            additions_reach_the_pods(e2e, &namespace),
        )
        .map(drop)
    })
    .await
}

async fn contents_and_foreign_edits(e2e: &E2e, namespace: &str) -> Result<()> {
    let name = "logs";
    let topic = e2e.topic(namespace, "objects", 2).await?;
    let stream = format!("logs-bt-objects-{}", e2e.run);
    let spec = json!({"topics": [topic], "sink": logs_into(&stream), "replicas": 1});
    e2e.cluster.apply_consumer(namespace, name, &spec).await?;
    let consumer = e2e.cluster.consumer_is_ready(namespace, name, 1).await?;
    let of = async |kind: &str| {
        let object = format!("{kind}/{name}");
        e2e.cluster.object(namespace, &object).await
    };
    for kind in KINDS {
        let owner = of(kind).await?["metadata"]["ownerReferences"][0].clone();
        ensure!(
            owner["uid"] == json!(consumer.uid()) && owner["controller"] == true,
            "{kind} is owned by {owner}"
        );
    }
    contents(&of).await?;
    // The flow goes through what the NetworkPolicy leaves open.
    let run = format!("objects-{}", e2e.run);
    e2e.kafka.produce_logs(&topic, &run, 200).await?;
    e2e.indexed_once(&stream, &run, 200, 120).await?;

    // What somebody may do to them, and where it is.
    let edits = [
        ("deployment", "/spec", json!({"spec": {"replicas": 3}})),
        (
            "deployment",
            "/spec",
            json!({"spec": {"template": {"spec": {"containers": [{"name": "consumer", "image": "another:1"}]}}}}),
        ),
        (
            "service",
            "/spec/ports",
            json!({"spec": {"ports": [{"name": "http", "port": 8080, "targetPort": 1}]}}),
        ),
        (
            "poddisruptionbudget",
            "/spec",
            json!({"spec": {"maxUnavailable": 5}}),
        ),
        ("networkpolicy", "/spec", json!({"spec": {"egress": []}})),
        (
            "service",
            "/metadata/labels",
            json!({"metadata": {"labels": {"monitoring.bt.dev/consumer": "mine"}}}),
        ),
    ];
    for (kind, place, edit) in edits {
        let wanted = of(kind).await?.pointer(place).cloned();
        ensure!(wanted.is_some(), "{kind} has no {place}");
        let (object, patch) = (format!("{kind}/{name}"), edit.to_string());
        let args = [
            "patch",
            &object,
            "-n",
            namespace,
            "--type=strategic",
            "-p",
            &patch,
        ];
        e2e.cluster.kubectl(&args).await?;
        eventually(
            &format!("{kind}: {edit} is undone"),
            seconds(60),
            async || {
                let now = of(kind).await?.pointer(place).cloned();
                ensure!(now == wanted, "{place} is {now:?}, not {wanted:?}");
                Ok(())
            },
        )
        .await?;
    }
    let data = of("configmap").await?["data"].clone();
    let key = data.as_object().and_then(|data| data.keys().next());
    let key = key.context("the ConfigMap has no configuration")?;
    let patch = json!({"data": {key: "consumer: mine"}}).to_string();
    let args = ["patch", "configmap", name, "-n", namespace, "-p", &patch];
    e2e.cluster.kubectl(&args).await?;
    eventually("the configuration is back", seconds(60), async || {
        ensure!(of("configmap").await?["data"] == data, "it is not");
        Ok(())
    })
    .await?;
    for kind in KINDS {
        let object = format!("{kind}/{name}");
        let old = of(kind).await?["metadata"]["uid"].clone();
        // Not waited for: kubectl may take the new object of that name for the old one.
        let delete = [
            "delete",
            &object,
            "-n",
            namespace,
            "--cascade=orphan",
            "--wait=false",
        ];
        e2e.cluster.kubectl(&delete).await?;
        eventually(&format!("{kind} is made again"), seconds(60), async || {
            ensure!(
                of(kind).await?["metadata"]["uid"] != old,
                "it is the old one"
            );
            Ok(())
        })
        .await?;
    }
    e2e.cluster
        .consumer_is_ready(namespace, name, 1)
        .await
        .map(drop)
}

/// Service, PodDisruptionBudget and NetworkPolicy of a consumer with an elasticsearch sink.
async fn contents(of: &impl AsyncFn(&str) -> Result<Value>) -> Result<()> {
    let selector = of("deployment").await?["spec"]["selector"]["matchLabels"].clone();
    let service = of("service").await?;
    assert_eq!(service["spec"]["selector"], selector);
    let budget = of("poddisruptionbudget").await?["spec"].clone();
    assert_eq!(budget["maxUnavailable"], 1);
    assert_eq!(budget["unhealthyPodEvictionPolicy"], "AlwaysAllow");
    assert_eq!(budget["selector"]["matchLabels"], selector);

    // Until the brokers have told their ports, the way out is open.
    let policy = eventually("the policy is complete", seconds(60), async || {
        let policy = of("networkpolicy").await?["spec"].clone();
        ensure!(
            policy["policyTypes"] == json!(["Ingress", "Egress"]),
            "it is about {}",
            policy["policyTypes"]
        );
        Ok(policy)
    })
    .await?;
    assert_eq!(policy["podSelector"]["matchLabels"], selector);
    let ports = |direction: &str| -> BTreeSet<(String, i64)> {
        let rules = policy[direction].as_array().into_iter().flatten();
        let ports = rules.flat_map(|rule| rule["ports"].as_array().into_iter().flatten());
        let port = |port: &Value| {
            let protocol = port["protocol"].as_str().unwrap_or("TCP");
            (protocol.to_owned(), port["port"].as_i64().unwrap_or(-1))
        };
        ports.map(port).collect()
    };
    let tcp = |port: i64| ("TCP".to_owned(), port);
    assert_eq!(ports("ingress"), BTreeSet::from([tcp(8080)]));
    // Name service, Kafka and the search engine; which further ports the brokers tell is Kafka's affair.
    let out = ports("egress");
    for port in [tcp(53), ("UDP".to_owned(), 53), tcp(9092), tcp(9200)] {
        ensure!(out.contains(&port), "no way out to {port:?}: {out:?}");
    }
    let open = policy["egress"].as_array().into_iter().flatten();
    let open = open.filter(|rule| rule["ports"].as_array().is_none_or(Vec::is_empty));
    ensure!(open.count() == 0, "every port is open: {policy}");
    Ok(())
}

async fn what_is_no_longer_wanted_goes(e2e: &E2e, namespace: &str) -> Result<()> {
    let name = "changing";
    let spec = json!({"topics": ["none"], "sink": {"prometheus": {}}, "replicas": 0});
    e2e.cluster.apply_consumer(namespace, name, &spec).await?;
    let ready = "True ScaledToZero";
    e2e.cluster
        .consumer_says(namespace, name, "Ready", ready, &[])
        .await?;
    let configuration = format!("configmap/{name}");
    e2e.cluster
        .object_is_there(namespace, &configuration, true)
        .await?;
    let service = format!("service/{name}");
    let ports = e2e.cluster.object(namespace, &service).await?["spec"]["ports"].clone();
    let ports = ports.as_array().map(Vec::len);
    assert_eq!(ports, Some(2), "probes and series");

    // A consumer of the user's own has no configuration of ours, and without a port there is nothing to serve.
    let custom = json!({"spec": {"sink": {"prometheus": null, "custom": {"image": "mine:1"}}}});
    e2e.cluster.patch_consumer(namespace, name, custom).await?;
    for gone in [&configuration, &service] {
        e2e.cluster.object_is_there(namespace, gone, false).await?;
    }
    e2e.cluster
        .consumer_says(namespace, name, "Ready", ready, &[])
        .await
        .map(drop)
}

async fn what_is_not_ours_is_left_alone(e2e: &E2e, namespace: &str) -> Result<()> {
    // The same names as the operator would use, with contents that it never would.
    let foreign = |kind: &str| {
        let meta = json!({"name": format!("not-ours-{kind}"), "labels": {"whose": "mine"}});
        let (version, kind, more) = match kind {
            "configmap" => ("v1", "ConfigMap", json!({"data": {"mine": "yes"}})),
            "service" => ("v1", "Service", json!({"spec": {"ports": [{"port": 1}]}})),
            "poddisruptionbudget" => {
                let spec =
                    json!({"maxUnavailable": 7, "selector": {"matchLabels": {"whose": "mine"}}});
                ("policy/v1", "PodDisruptionBudget", json!({"spec": spec}))
            }
            _ => (
                "networking.k8s.io/v1",
                "NetworkPolicy",
                json!({"spec": {"podSelector": {"matchLabels": {"whose": "mine"}}}}),
            ),
        };
        let mut object = json!({"apiVersion": version, "kind": kind, "metadata": meta});
        for (key, value) in more.as_object().expect("an object") {
            object[key] = value.clone();
        }
        (kind, object)
    };
    for kind in [
        "configmap",
        "service",
        "poddisruptionbudget",
        "networkpolicy",
    ] {
        let (title, object) = foreign(kind);
        let name = format!("not-ours-{kind}");
        e2e.cluster.apply(namespace, &object.to_string()).await?;
        let path = format!("{kind}/{name}");
        let version = async || -> Result<Value> {
            let object = e2e.cluster.object(namespace, &path).await?;
            Ok(object["metadata"]["resourceVersion"].clone())
        };
        let before = version().await?;
        let spec = json!({"topics": ["none"], "sink": {"prometheus": {}}, "replicas": 0});
        e2e.cluster.apply_consumer(namespace, &name, &spec).await?;
        e2e.cluster
            .consumer_says(namespace, &name, "Ready", "False Conflict", &[title, &name])
            .await?;
        assert_eq!(before, version().await?, "the {title} was changed");
        let deployment = format!("deployment/{name}");
        ensure!(
            !e2e.cluster.has_object(namespace, &deployment).await?,
            "with a foreign {title} the rest was made nevertheless"
        );
        let delete = ["delete", &path, "-n", namespace];
        e2e.cluster.kubectl(&delete).await?;
        e2e.cluster
            .consumer_says(namespace, &name, "Ready", "True", &[])
            .await?;
    }
    Ok(())
}

async fn additions_reach_the_pods(e2e: &E2e, namespace: &str) -> Result<()> {
    let name = "added";
    let topic = e2e.topic(namespace, "added", 1).await?;
    let image = e2e.cluster.consumer_image().await?;
    let toleration = json!({"key": "e2e", "operator": "Exists", "effect": "NoSchedule"});
    let spread = json!({
        "maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": {"monitoring.bt.dev/consumer": name}},
    });
    let template = json!({
        "metadata": {"labels": {"team": "e2e"}, "annotations": {"e2e/note": "added"}},
        "spec": {
            "nodeSelector": {"kubernetes.io/os": "linux"},
            "tolerations": [toleration],
            "topologySpreadConstraints": [spread],
            "terminationGracePeriodSeconds": 20,
            "containers": [
                {"name": "consumer", "env": [{"name": "RUST_LOG", "value": "debug"}]},
                {"name": "side", "image": image, "command": ["sleep", "3600"]},
            ],
        },
    });
    let spec = json!({
        "topics": [topic], "sink": {"prometheus": {}}, "replicas": 1, "podTemplate": template,
        "resources": {"requests": {"cpu": "11m"}, "limits": {"memory": "99Mi"}},
    });
    e2e.cluster.apply_consumer(namespace, name, &spec).await?;
    e2e.cluster.consumer_is_ready(namespace, name, 1).await?;
    let pods = e2e.cluster.consumer_pods(namespace, name).await?;
    let pod = serde_json::to_value(pods.first().context("no pod")?)?;
    assert_eq!(pod["metadata"]["labels"]["team"], "e2e");
    assert_eq!(pod["metadata"]["annotations"]["e2e/note"], "added");
    let spec = &pod["spec"];
    assert_eq!(spec["nodeSelector"]["kubernetes.io/os"], "linux");
    assert_eq!(spec["topologySpreadConstraints"], json!([spread]));
    assert_eq!(spec["terminationGracePeriodSeconds"], 20);
    let tolerations = spec["tolerations"].as_array().context("no tolerations")?;
    ensure!(tolerations.contains(&toleration), "{tolerations:?}");
    let containers = spec["containers"].as_array().context("no containers")?;
    let named = |name: &str| {
        containers
            .iter()
            .find(|container| container["name"] == name)
    };
    let consumer = named("consumer").context("no container consumer")?;
    let env = consumer["env"].as_array().context("no environment")?;
    ensure!(
        env.contains(&json!({"name": "RUST_LOG", "value": "debug"})),
        "{env:?}"
    );
    assert_eq!(consumer["resources"]["requests"]["cpu"], "11m");
    assert_eq!(consumer["resources"]["limits"]["memory"], "99Mi");
    ensure!(
        consumer["readinessProbe"].is_object(),
        "what the operator builds is still there: {consumer}"
    );
    let side = named("side").context("no sidecar")?;
    assert_eq!(side["securityContext"]["allowPrivilegeEscalation"], false);
    assert_eq!(
        side["securityContext"]["capabilities"]["drop"],
        json!(["ALL"])
    );
    Ok(())
}
