//! TelemetryConsumer on a search engine that asks for TLS and a login: new credentials reach the pods that run.

use anyhow::{Result, ensure};
use e2e::{Authority, E2e, SearchProxy, eventually, scenario, seconds};
use serde_json::{Value, json};

use crate::consumer_custom::IMAGE;
use crate::consumer_kafka_tls::nothing_shows;
use crate::consumer_objects::uids;
use crate::secure::secret;

/// How long a changed Secret may be on its way into pods that run: the kubelet looks about once a minute.
const UNDERWAY: u64 = 180;

/// What the tests share.
struct Place<'a> {
    e2e: &'a E2e,
    namespace: String,
    proxy: SearchProxy<'a>,
    first: Authority,
    second: Authority,
}

#[tokio::test]
async fn logs_flow_over_tls_and_a_login_and_new_credentials_need_no_other_pods() -> Result<()> {
    scenario(async |e2e| {
        let namespace = e2e.namespace("search").await?;
        let (first, second) = (Authority::new("first")?, Authority::new("second")?);
        let authorities = [("first", &first), ("second", &second)];
        let proxy = e2e.search_proxy(&namespace, IMAGE, &authorities).await?;
        let place = Place {
            e2e,
            namespace,
            proxy,
            first,
            second,
        };
        place.lets_in("first", &["first", "steady"]).await?;
        a_missing_secret_is_told_before_there_are_pods(&place).await?;
        tokio::try_join!(
            a_rotation(&place),
            a_wrong_key(&place),
            a_revision_that_failed_for_want_of_its_secret(&place),
        )?;
        let words = ["first", "second", "steady", "wrong"];
        let words = words.map(|which| place.word(which));
        // As they are given, and as they are in a header.
        let header = |login: String| openssl::base64::encode_block(login.as_bytes());
        let secrets: Vec<_> = words
            .iter()
            .flat_map(|word| {
                [
                    word.clone(),
                    header(format!("bt:{word}")),
                    header(format!("id:{word}")),
                ]
            })
            .collect();
        nothing_shows(e2e, &place.namespace, &secrets).await
    })
    .await
}

impl Place<'_> {
    /// A password, or the secret part of an API key.
    fn word(&self, which: &str) -> String {
        format!("{which}-word-of-search-{}", self.e2e.run)
    }

    /// By password and, as `id:key`, by API key.
    async fn lets_in(&self, authority: &str, words: &[&str]) -> Result<()> {
        let words = words.iter().map(|which| self.word(which));
        let logins: Vec<_> = words
            .flat_map(|word| [format!("Basic bt:{word}"), format!("ApiKey id:{word}")])
            .collect();
        let logins: Vec<_> = logins.iter().map(String::as_str).collect();
        self.proxy.demand(authority, &logins).await
    }

    /// The authority of now, and the one to come: whoever trusts both is not concerned by the change.
    fn both(&self) -> Result<String> {
        Ok(format!("{}{}", self.first.pem()?, self.second.pem()?))
    }

    fn spec(&self, topic: &str, stream: &str, auth: Value, ca: &str) -> Value {
        json!({
            "topics": [topic], "replicas": 1, "progressDeadlineSeconds": 40,
            "sink": {"elasticsearch": {
                "urls": [self.proxy.url()], "dataStream": stream, "auth": auth, "tls": {"caSecretRef": {"name": ca}},
            }},
        })
    }

    async fn secret(&self, name: &str, data: Value) -> Result<()> {
        secret(self.e2e, &self.namespace, name, data).await
    }

    /// Waits until the condition begins like this.
    async fn says(&self, name: &str, kind: &str, begins: &str, words: &[&str]) -> Result<()> {
        let cluster = &self.e2e.cluster;
        let said = cluster.consumer_says(&self.namespace, name, kind, begins, words);
        said.await.map(drop)
    }

    /// The same, for what comes by way of a Secret that is mounted.
    async fn comes_to_say(&self, name: &str, kind: &str, begins: &str) -> Result<()> {
        let what = format!("consumer {name} comes to say {kind} {begins}");
        eventually(&what, seconds(UNDERWAY), async || {
            let status = self.e2e.cluster.consumer_status(&self.namespace, name);
            let conditions = status.await?.conditions;
            let found = e2e::condition(&conditions, kind)?;
            let said = format!("{} {}: {}", found.status, found.reason, found.message);
            ensure!(said.starts_with(begins), "{kind}: {said}");
            Ok(())
        })
        .await
    }
}

/// A Secret that is not there, or has no such key, is a problem of the configuration: nothing is made.
async fn a_missing_secret_is_told_before_there_are_pods(place: &Place<'_>) -> Result<()> {
    let Place { e2e, namespace, .. } = place;
    let (name, file) = ("missing", "search-missing");
    let auth = json!({"apiKeySecretRef": {"name": file}});
    let spec = place.spec("e2e.none", "logs-bt-none", auth, file);
    e2e.cluster.apply_consumer(namespace, name, &spec).await?;
    let field = "spec.sink.elasticsearch.auth.apiKeySecretRef";
    place
        .says(name, "ConfigValid", "False Invalid", &[field, file])
        .await?;
    place
        .secret(file, json!({"ca.crt": place.first.pem()?}))
        .await?;
    place
        .says(
            name,
            "ConfigValid",
            "False Invalid",
            &[field, "api-key", "it has [ca.crt]"],
        )
        .await?;
    let made = format!("deployment/{name}");
    ensure!(
        !e2e.cluster.has_object(namespace, &made).await?,
        "there is a Deployment although its credentials are not there"
    );
    // Credentials in a URL would be in the ConfigMap.
    let word = place.word("wrong");
    let urls = json!([format!("https://bt:{word}@search-proxy:8443")]);
    let patch = json!({"spec": {"sink": {"elasticsearch": {"urls": urls, "auth": null}}}});
    e2e.cluster.patch_consumer(namespace, name, patch).await?;
    let words = [
        "spec.sink.elasticsearch.urls[0]",
        "spec.sink.elasticsearch.auth",
    ];
    place
        .says(name, "ConfigValid", "False Invalid", &words)
        .await?;
    e2e.cluster.delete_consumer(namespace, name).await
}

/// Password and authority change while logs flow.
async fn a_rotation(place: &Place<'_>) -> Result<()> {
    let Place { e2e, namespace, .. } = place;
    let (name, file) = ("rotated", "search-rotated");
    let data = |word: &str, ca: String| json!({"password": place.word(word), "ca.crt": ca});
    place
        .secret(file, data("first", place.first.pem()?))
        .await?;
    let topic = e2e.topic(namespace, "search.rotated", 2).await?;
    let stream = format!("logs-bt-search-{}", e2e.run);
    let auth = json!({"username": "bt", "passwordSecretRef": {"name": file}});
    let spec = place.spec(&topic, &stream, auth, file);
    e2e.cluster.apply_consumer(namespace, name, &spec).await?;
    e2e.cluster.consumer_is_ready(namespace, name, 1).await?;
    let pods = uids(e2e, namespace, name).await?;
    let revision = e2e.cluster.consumer_status(namespace, name).await?.revision;

    let run = format!("search-{}", e2e.run);
    let feed = e2e.kafka.feed(&topic, &run, 20);
    eventually("the first logs are there", seconds(60), async || {
        let count = e2e.search.count(&stream, &run).await?;
        ensure!(count > 0, "none");
        Ok(())
    })
    .await?;
    // The engine is ahead of the Secret: the old password is refused until the new one has arrived.
    place.lets_in("first", &["second", "steady"]).await?;
    place
        .says(name, "SinkReady", "False Unauthorized", &[])
        .await?;
    place.secret(file, data("second", place.both()?)).await?;
    place.comes_to_say(name, "SinkReady", "True").await?;
    // By now both authorities are trusted; the same file has brought them.
    place.lets_in("second", &["second", "steady"]).await?;
    let sent = feed.stop().await?;
    e2e.indexed_once(&stream, &run, sent, 120).await?;

    ensure!(
        uids(e2e, namespace, name).await? == pods,
        "other pods were made for other credentials of the sink"
    );
    for pod in e2e.cluster.consumer_pods(namespace, name).await? {
        let statuses = pod.status.and_then(|status| status.container_statuses);
        let mut statuses = statuses.into_iter().flatten();
        ensure!(
            statuses.all(|container| container.restart_count == 0),
            "a container has restarted"
        );
    }
    let status = e2e.cluster.consumer_status(namespace, name).await?;
    assert_eq!(status.revision, revision);
    Ok(())
}

/// A key that the engine does not know is told in its words, and the right one is picked up by the pod that waits for it.
async fn a_wrong_key(place: &Place<'_>) -> Result<()> {
    let Place { e2e, namespace, .. } = place;
    let (name, file) = ("wrong", "search-wrong");
    let key = |word: &str| json!({"key": format!("id:{}\n", place.word(word))});
    place.secret(file, key("wrong")).await?;
    place
        .secret("search-both", json!({"ca.crt": place.both()?}))
        .await?;
    let topic = e2e.topic(namespace, "search.wrong", 1).await?;
    let stream = format!("logs-bt-search-key-{}", e2e.run);
    let auth = json!({"apiKeySecretRef": {"name": file, "key": "key"}});
    let spec = place.spec(&topic, &stream, auth, "search-both");
    e2e.kafka.produce_logs(&topic, &e2e.run, 50).await?;
    e2e.cluster.apply_consumer(namespace, name, &spec).await?;
    place
        .says(
            name,
            "SinkReady",
            "False Unauthorized",
            &["are not known here"],
        )
        .await?;
    let pods = uids(e2e, namespace, name).await?;
    place.secret(file, key("steady")).await?;
    place.comes_to_say(name, "SinkReady", "True").await?;
    e2e.indexed_once(&stream, &e2e.run, 50, 60).await?;
    ensure!(
        uids(e2e, namespace, name).await? == pods,
        "another pod was made for another key"
    );
    Ok(())
}

/// Taken back since its key was wrong, a revision is tried again with another one, though nobody has touched the resource.
async fn a_revision_that_failed_for_want_of_its_secret(place: &Place<'_>) -> Result<()> {
    let Place { e2e, namespace, .. } = place;
    let (name, good, file) = ("again", "search-good", "search-again");
    let key = |word: &str| json!({"api-key": format!("id:{}", place.word(word))});
    place.secret(good, key("steady")).await?;
    place
        .secret("search-ca", json!({"ca.crt": place.both()?}))
        .await?;
    place.secret(file, key("wrong")).await?;
    let topic = e2e.topic(namespace, "search.again", 1).await?;
    let stream = format!("logs-bt-search-again-{}", e2e.run);
    let auth = json!({"apiKeySecretRef": {"name": good}});
    let spec = place.spec(&topic, &stream, auth, "search-ca");
    e2e.cluster.apply_consumer(namespace, name, &spec).await?;
    e2e.cluster.consumer_is_ready(namespace, name, 1).await?;

    let auth = json!({"apiKeySecretRef": {"name": file}});
    let patch = json!({"spec": {"sink": {"elasticsearch": {"auth": auth}}}});
    e2e.cluster.patch_consumer(namespace, name, patch).await?;
    place
        .says(
            name,
            "Progressing",
            "False RolledBack",
            &["are not known here"],
        )
        .await?;
    let status = e2e.cluster.consumer_status(namespace, name).await?;
    let failed = status.failed_revision;
    ensure!(failed.is_some(), "no revision has failed");
    place.secret(file, key("steady")).await?;
    eventually("the revision has worked", seconds(90), async || {
        let status = e2e.cluster.consumer_status(namespace, name).await?;
        let good = status.last_good_revision;
        ensure!(good == failed, "the good one is {good:?}, not {failed:?}");
        ensure!(status.failed_revision.is_none(), "it is still noted");
        Ok(())
    })
    .await
}
