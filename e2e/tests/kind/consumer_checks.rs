//! TelemetryConsumer: what is wrong is told before any pod changes.

use anyhow::{Result, ensure};
use e2e::{E2e, beside_others, tcon};
use serde_json::{Value, json};

use crate::consumer_objects::uids;
use crate::secure::secret;

const LISTENER: &str = "kafka.default.svc:9095";

#[tokio::test]
async fn what_is_wrong_is_named_and_running_pods_are_left_alone() -> Result<()> {
    beside_others(async |e2e| {
        let namespace = e2e.namespace("checks").await?;
        tokio::try_join!(
            running_pods(e2e, &namespace),
            a_secret_of_the_environment(e2e, &namespace),
            refused_at_once(e2e, &namespace),
        )
        .map(drop)
    })
    .await
}

/// Waits until the consumer says what is wrong: in `ConfigValid`, and that it is not ready.
async fn is_wrong(e2e: &E2e, namespace: &str, name: &str, words: &[&str]) -> Result<()> {
    e2e.cluster
        .consumer_says(namespace, name, "ConfigValid", "False", words)
        .await?;
    e2e.cluster
        .consumer_says(namespace, name, "Ready", "False ConfigInvalid", &[])
        .await
        .map(drop)
}

/// Pod templates that cannot be used, and what must be said about them.
fn bad_templates() -> Vec<(Value, Vec<&'static str>)> {
    let pod = |spec: Value| json!({"spec": spec});
    let side = |more: Value| {
        let mut container = json!({"name": "side", "image": "side:1"});
        for (key, value) in more.as_object().expect("an object") {
            container[key] = value.clone();
        }
        pod(json!({"containers": [container]}))
    };
    vec![
        (
            pod(json!({"hostNetwork": true, "hostPID": true})),
            vec!["podTemplate", "hostNetwork", "hostPID"],
        ),
        (
            pod(json!({"volumes": [{"name": "host", "hostPath": {"path": "/"}}]})),
            vec!["podTemplate", "hostPath"],
        ),
        (
            side(json!({"securityContext": {"privileged": true}})),
            vec!["podTemplate", "side", "privileged"],
        ),
        (
            pod(json!({"containers": [{"name": "consumer", "image": "mine:1"}]})),
            vec!["podTemplate", "image"],
        ),
        (
            pod(json!({"nodeSelector": "here"})),
            vec!["podTemplate", "nodeSelector"],
        ),
        (
            json!({"metadata": {"labels": {"app.kubernetes.io/instance": "another"}}}),
            vec!["podTemplate", "app.kubernetes.io/instance"],
        ),
        // Only Kubernetes itself knows this one.
        (
            pod(json!({"tolerations": [{"key": "a", "operator": "Sometimes"}]})),
            vec!["tolerations", "Sometimes"],
        ),
    ]
}

/// None of it touches the pods that run.
async fn running_pods(e2e: &E2e, namespace: &str) -> Result<()> {
    let name = "running";
    let topic = e2e.topic(namespace, "checks", 1).await?;
    let spec = json!({"topics": [topic], "sink": {"prometheus": {}}, "replicas": 1});
    e2e.cluster.apply_consumer(namespace, name, &spec).await?;
    e2e.cluster.consumer_is_ready(namespace, name, 1).await?;
    let state = async || -> Result<_> {
        let deployment = format!("deployment/{name}");
        let deployment = e2e.cluster.object(namespace, &deployment).await?;
        let pods = uids(e2e, namespace, name).await?;
        Ok((deployment["metadata"]["generation"].clone(), pods))
    };
    let before = state().await?;
    let change = async |spec: Value| {
        let patch = json!({"spec": spec});
        e2e.cluster.patch_consumer(namespace, name, patch).await
    };

    for (template, words) in bad_templates() {
        // A merge patch would leave what the one before had.
        change(json!({"podTemplate": null})).await?;
        change(json!({"podTemplate": template})).await?;
        is_wrong(e2e, namespace, name, &words).await?;
    }
    change(json!({"podTemplate": null, "topics": ["dead-letters"]})).await?;
    is_wrong(e2e, namespace, name, &["topics", "dead-letters"]).await?;
    change(json!({"topics": [topic]})).await?;

    let kafka = json!({
        "bootstrapServers": LISTENER, "tls": {"caSecretRef": {"name": "authority"}},
        "sasl": {"mechanism": "SCRAM-SHA-512", "username": "bt", "passwordSecretRef": {"name": "login", "key": "word"}},
    });
    change(json!({"kafka": kafka})).await?;
    is_wrong(e2e, namespace, name, &["authority", "login"]).await?;
    secret(e2e, namespace, "authority", json!({"ca.crt": "some"})).await?;
    secret(e2e, namespace, "login", json!({"password": "other key"})).await?;
    is_wrong(
        e2e,
        namespace,
        name,
        &["no certificates", "key word", "login"],
    )
    .await?;
    secret(e2e, namespace, "login", json!({"word": ""})).await?;
    is_wrong(e2e, namespace, name, &["login", "empty"]).await?;
    change(json!({"kafka": null})).await?;

    e2e.cluster
        .consumer_says(namespace, name, "ConfigValid", "True", &[])
        .await?;
    e2e.cluster.consumer_is_ready(namespace, name, 1).await?;
    assert_eq!(before, state().await?, "the Deployment or its pods changed");
    Ok(())
}

async fn a_secret_of_the_environment(e2e: &E2e, namespace: &str) -> Result<()> {
    let (name, file) = ("environment", "environment-token");
    let topic = e2e.topic(namespace, "environment", 1).await?;
    let image = e2e.cluster.consumer_image().await?;
    let token =
        json!({"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": file, "key": "token"}}});
    let custom = json!({"image": image, "command": ["sleep", "3600"], "env": [token]});
    let spec = json!({"topics": [topic], "sink": {"custom": custom}, "replicas": 1});
    e2e.cluster.apply_consumer(namespace, name, &spec).await?;
    is_wrong(e2e, namespace, name, &[file]).await?;
    let made = format!("deployment/{name}");
    ensure!(
        !e2e.cluster.has_object(namespace, &made).await?,
        "there is a Deployment although its environment cannot be"
    );
    secret(e2e, namespace, file, json!({"token": "some"})).await?;
    e2e.cluster
        .consumer_is_ready(namespace, name, 1)
        .await
        .map(drop)
}

/// What the API server refuses, with words for people.
async fn refused_at_once(e2e: &E2e, namespace: &str) -> Result<()> {
    let cases = [
        (
            json!({"sink": {"prometheus": {}, "custom": {"image": "a"}}}),
            "exactly one sink",
        ),
        (json!({"sink": {}}), "exactly one sink"),
        (
            json!({"autoscaling": {"minReplicas": 3, "maxReplicas": 2}}),
            "minReplicas must not be more than maxReplicas",
        ),
        (
            json!({"autoscaling": {"maxReplicas": 2, "scaleDownDelay": "soon"}}),
            "scaleDownDelay",
        ),
        (
            json!({"progressDeadlineSeconds": 1}),
            "progressDeadlineSeconds",
        ),
        (
            json!({"groupDeletionPolicy": "Perhaps"}),
            "groupDeletionPolicy",
        ),
        (
            json!({"sink": {"custom": {"image": "a", "metricsPort": 70000}}}),
            "metricsPort",
        ),
        (
            json!({"sink": {"elasticsearch": {"auth": {}}}}),
            "give exactly one way to log in",
        ),
        (
            json!({"sink": {"elasticsearch": {"auth": {
                "username": "a", "passwordSecretRef": {"name": "s"}, "apiKeySecretRef": {"name": "s"},
            }}}}),
            "give exactly one way to log in",
        ),
        (
            json!({"sink": {"elasticsearch": {"auth": {"username": "a"}}}}),
            "username and passwordSecretRef belong together",
        ),
        (
            json!({"sink": {"elasticsearch": {"auth": {"passwordSecretRef": {"name": "s"}}}}}),
            "username and passwordSecretRef belong together",
        ),
        (
            json!({"sink": {"elasticsearch": {"template": {"retention": "a month"}}}}),
            "retention",
        ),
        (
            json!({"sink": {"elasticsearch": {"malformed": "Drop"}}}),
            "malformed",
        ),
        (
            json!({"sink": {"elasticsearch": {"dataStream": "_logs"}}}),
            "dataStream must not begin with",
        ),
        (
            json!({"sink": {"elasticsearch": {"dataStream": "logs-Shop"}}}),
            "dataStream must be lower case",
        ),
        (
            json!({"sink": {"elasticsearch": {"dataStream": "logs\\shop"}}}),
            "dataStream must be lower case",
        ),
        (
            json!({"sink": {"elasticsearch": {"dataStream": "logs-{host}"}}}),
            "dataStream may have the placeholders {service} and {date}",
        ),
        (
            json!({"sink": {"elasticsearch": {"dataStream": "l-{service}"}}}),
            "dataStream must have at least 3 characters before its first placeholder",
        ),
        (
            json!({"sink": {"elasticsearch": {"dataStream": "logs-{service}{service}{service}"}}}),
            "dataStream must have at most 233 bytes",
        ),
        (
            json!({"sink": {"elasticsearch": {"dataStream": "l".repeat(234)}}}),
            "dataStream",
        ),
    ];
    for (change, words) in cases {
        let mut spec = json!({"topics": ["a"], "sink": {"prometheus": {}}});
        for (key, value) in change.as_object().expect("an object") {
            spec[key] = value.clone();
        }
        let refused = e2e.cluster.apply(namespace, &tcon("refused", &spec)).await;
        let said = match refused {
            Err(error) => error.to_string(),
            Ok(_) => String::from("it was taken"),
        };
        ensure!(said.contains(words), "{change}: without {words:?}: {said}");
    }
    Ok(())
}
