//! KafkaTopic: what the API server refuses by schema and by rule, and in which words.

use anyhow::{Result, ensure};
use bt_operator::api::{KafkaTopic, PAUSED_ANNOTATION};
use e2e::{E2e, beside_others};
use kube::Api;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::Status;
use serde_json::{Value, json};

type Answer = Result<DynamicObject, kube::Error>;

/// What the API server answered to a table of requests, where that was not what the table says.
#[derive(Default)]
struct Verdicts {
    wrong: Vec<String>,
}

impl Verdicts {
    /// It has to accept.
    fn accepts(&mut self, what: &str, answer: Answer) {
        if let Err(error) = answer {
            self.wrong.push(format!("{what}: to be accepted: {error}"));
        }
    }

    /// It has to refuse for what is in the request, with these words.
    fn rejects(&mut self, what: &str, answer: Answer, words: &[&str]) {
        let wrong = match answer {
            Ok(_) => "it was accepted".into(),
            Err(kube::Error::Api(status)) if is_refusal(&status) => {
                if words.iter().all(|word| status.message.contains(word)) {
                    return;
                }
                format!("without {words:?} in its words: {}", status.message)
            }
            Err(error) => error.to_string(),
        };
        self.wrong.push(format!("{what}: to be refused: {wrong}"));
    }

    fn end(self) -> Result<()> {
        ensure!(self.wrong.is_empty(), "{}", self.wrong.join("\n"));
        Ok(())
    }
}

fn is_refusal(status: &Status) -> bool {
    [400, 422].contains(&status.code)
}

/// Any JSON may be sent by this, also what the types do not have.
fn api(e2e: &E2e, namespace: &str) -> Api<DynamicObject> {
    let resource = ApiResource::erase::<KafkaTopic>(&());
    Api::namespaced_with(e2e.cluster.client.clone(), namespace, &resource)
}

fn topic(name: &str, spec: Value) -> Result<DynamicObject> {
    let version = e2e::API_VERSION;
    // The operator leaves them as they are.
    let metadata = json!({"name": name, "annotations": {PAUSED_ANNOTATION: "true"}});
    let topic =
        json!({"apiVersion": version, "kind": "KafkaTopic", "metadata": metadata, "spec": spec});
    Ok(serde_json::from_value(topic)?)
}

fn accepted_specs() -> Vec<Value> {
    let secret = json!({"name": "secret"});
    let mut specs = vec![
        json!({}),
        json!({"topicName": "Orders_v2.eu-1"}),
        json!({"topicName": "x".repeat(249)}),
        json!({"partitions": 1, "replicas": 1}),
        json!({"partitions": 100_000, "replicas": 32_767}),
        json!({"config": {"retention.ms": 1000, "cleanup.policy": "compact", "preallocate": true}}),
        json!({"config": {"min.cleanable.dirty.ratio": 0.5, "segment.ms": null}}),
        json!({"kafka": {}}),
        json!({"kafka": {"bootstrapServers": "kafka:9092"}}),
        json!({"kafka": {"bootstrapServers": "[fd00::1]:9092, kafka:9092"}}),
        json!({"kafka": {"bootstrapServers": "kafka-1.example.com:9092,10.0.0.2:9093"}}),
        json!({"kafka": {"tls": {}}}),
        json!({"kafka": {"tls": {"caSecretRef": {"name": "ca", "key": "other.crt"}, "clientCertSecretRef": secret}}}),
    ];
    specs.extend(
        ["Adopt", "AdoptIfEqual", "Refuse"].map(|policy| json!({"adoptionPolicy": policy})),
    );
    specs.extend(["Enforce", "Report"].map(|policy| json!({"driftPolicy": policy})));
    specs.extend(
        ["Delete", "Retain", "RetainIfNotEmpty"].map(|policy| json!({"deletionPolicy": policy})),
    );
    specs.extend(["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"].map(|mechanism| {
        json!({"kafka": {"sasl": {"mechanism": mechanism, "username": "u", "passwordSecretRef": secret}}})
    }));
    specs
}

/// Specs with the words that the refusal must have.
fn rejected_specs() -> Vec<(Value, Vec<&'static str>)> {
    let secret = json!({"name": "secret"});
    let mut specs = vec![
        (
            json!({"topicName": "x".repeat(250)}),
            vec!["spec.topicName", "249"],
        ),
        (
            json!({"partitions": 0}),
            vec!["spec.partitions", "greater than or equal to 1"],
        ),
        (
            json!({"partitions": -3}),
            vec!["spec.partitions", "greater than or equal to 1"],
        ),
        (
            json!({"partitions": 100_001}),
            vec!["spec.partitions", "less than or equal to 100000"],
        ),
        (
            json!({"partitions": "three"}),
            vec!["spec.partitions", "integer"],
        ),
        (
            json!({"replicas": 0}),
            vec!["spec.replicas", "greater than or equal to 1"],
        ),
        (
            json!({"adoptionPolicy": "Sometimes"}),
            vec![
                "spec.adoptionPolicy",
                "\"Adopt\", \"AdoptIfEqual\", \"Refuse\"",
            ],
        ),
        (
            json!({"driftPolicy": "enforce"}),
            vec!["spec.driftPolicy", "\"Enforce\", \"Report\""],
        ),
        (
            json!({"deletionPolicy": "Keep"}),
            vec![
                "spec.deletionPolicy",
                "\"Delete\", \"Retain\", \"RetainIfNotEmpty\"",
            ],
        ),
        (
            json!({"config": "retention.ms=1"}),
            vec!["spec.config", "object"],
        ),
        (
            json!({"kafka": {"tls": {"caSecretRef": {"key": "ca.crt"}}}}),
            vec!["spec.kafka.tls.caSecretRef.name", "Required"],
        ),
        (
            json!({"kafka": {"tls": {"clientCertSecretRef": {}}}}),
            vec!["spec.kafka.tls.clientCertSecretRef.name", "Required"],
        ),
        (
            json!({"kafka": {"sasl": {"mechanism": "PLAIN", "username": "u"}}}),
            vec!["spec.kafka.sasl.passwordSecretRef", "Required"],
        ),
        (
            json!({"kafka": {"sasl": {"mechanism": "PLAIN", "username": "u", "passwordSecretRef": {"key": "k"}}}}),
            vec!["spec.kafka.sasl.passwordSecretRef.name", "Required"],
        ),
        (
            json!({"kafka": {"sasl": {"mechanism": "PLAIN", "passwordSecretRef": secret}}}),
            vec!["spec.kafka.sasl.username", "Required"],
        ),
        (
            json!({"kafka": {"sasl": {"username": "u", "passwordSecretRef": secret}}}),
            vec!["spec.kafka.sasl.mechanism", "Required"],
        ),
        (
            json!({"kafka": {"sasl": {"mechanism": "GSSAPI", "username": "u", "passwordSecretRef": secret}}}),
            vec![
                "spec.kafka.sasl.mechanism",
                "\"PLAIN\", \"SCRAM-SHA-256\", \"SCRAM-SHA-512\"",
            ],
        ),
    ];
    // Kafka takes both for folders.
    specs.extend([".", ".."].map(|name| (json!({"topicName": name}), vec!["\".\"", "\"..\""])));
    specs.extend(
        ["", "a b", "a/b", "grün", "a,b"]
            .map(|name| (json!({"topicName": name}), vec!["spec.topicName"])),
    );
    let servers = [
        "",
        "kafka",
        "kafka:",
        ":9092",
        "kafka:port",
        "kafka:9092,",
        "kafka:9092,other",
        "kafka:9092;b:9092",
    ];
    specs.extend(servers.map(|servers| {
        (
            json!({"kafka": {"bootstrapServers": servers}}),
            vec!["spec.kafka.bootstrapServers"],
        )
    }));
    specs
}

#[tokio::test]
async fn what_cannot_be_a_topic_is_refused_when_it_is_made() -> Result<()> {
    beside_others(async |e2e| {
        let api = api(e2e, &e2e.namespace("admission").await?);
        let dry_run = PostParams { dry_run: true, ..PostParams::default() };
        let create = async |name: &str, spec: &Value| -> Result<Answer> {
            Ok(api.create(&dry_run, &topic(name, spec.clone())?).await)
        };
        let mut verdicts = Verdicts::default();
        for spec in accepted_specs() {
            verdicts.accepts(&spec.to_string(), create("name", &spec).await?);
        }
        for (spec, words) in rejected_specs() {
            verdicts.rejects(&spec.to_string(), create("name", &spec).await?, &words);
        }
        // The resource's name is the topic's where there is no other: Kubernetes allows 253 characters, Kafka 249.
        let (fits, long) = ("n".repeat(249), "n".repeat(250));
        verdicts.accepts("a name of 249", create(&fits, &json!({})).await?);
        verdicts.accepts("a name of 250 with topicName", create(&long, &json!({"topicName": "short"})).await?);
        verdicts.rejects("a name of 250", create(&long, &json!({})).await?, &["249", "spec.topicName"]);
        verdicts.end()?;

        let missing = json!({"apiVersion": e2e::API_VERSION, "kind": "KafkaTopic", "metadata": {"name": "name"}});
        let answer = api.create(&dry_run, &serde_json::from_value(missing)?).await;
        let mut verdicts = Verdicts::default();
        verdicts.rejects("no spec", answer, &["spec", "Required"]);
        verdicts.end()
    })
    .await
}

#[tokio::test]
async fn a_topic_cannot_be_renamed() -> Result<()> {
    beside_others(async |e2e| {
        let namespace = e2e.namespace("rename").await?;
        let named =
            Patient::admit(e2e, &namespace, "named", json!({"topicName": "orders"})).await?;
        let plain = Patient::admit(e2e, &namespace, "plain", json!({})).await?;
        let words = ["topicName cannot be changed", "make another KafkaTopic"];
        let mut verdicts = Verdicts::default();
        let name = |name: Value| json!({"topicName": name});
        verdicts.accepts("the same", named.changed(name("orders".into())).await);
        verdicts.accepts(
            "another field",
            named.changed(json!({"partitions": 3})).await,
        );
        verdicts.rejects("another", named.changed(name("bills".into())).await, &words);
        verdicts.rejects("taken away", named.changed(name(Value::Null)).await, &words);
        verdicts.rejects(
            "given later",
            plain.changed(name("bills".into())).await,
            &words,
        );
        verdicts.end()
    })
    .await
}

#[tokio::test]
async fn partitions_that_kafka_cannot_take_away_are_not_taken_from_the_spec() -> Result<()> {
    beside_others(async |e2e| {
        let namespace = e2e.namespace("shrink").await?;
        let admit = async |name: &str, partitions: i32, status: Value| {
            let patient =
                Patient::admit(e2e, &namespace, name, json!({"partitions": partitions})).await?;
            patient.status(status).await?;
            anyhow::Ok(patient)
        };
        let id = "AAAAAAAAAAAAAAAAAAAAAA";
        let owner = admit("owner", 4, json!({"topicId": id, "partitions": 4})).await?;
        let guest = admit("guest", 4, json!({"partitions": 4})).await?;
        let fresh = admit("fresh", 4, json!({})).await?;
        // As one that came to a topic which had more partitions than it asks for.
        let behind = admit("behind", 2, json!({"topicId": id, "partitions": 4})).await?;

        let partitions = |number: i32| json!({"partitions": number});
        let words = ["less than the topic has", "Kafka cannot take any away"];
        let mut verdicts = Verdicts::default();
        verdicts.rejects("4 to 3", owner.changed(partitions(3)).await, &words);
        verdicts.rejects("4 to 1", owner.changed(partitions(1)).await, &words);
        verdicts.accepts("4 to 4", owner.changed(partitions(4)).await);
        verdicts.accepts("4 to 5", owner.changed(partitions(5)).await);
        verdicts.accepts(
            "4 to none",
            owner.changed(json!({"partitions": null})).await,
        );
        verdicts.accepts(
            "4 to 3 of somebody else's topic",
            guest.changed(partitions(3)).await,
        );
        verdicts.accepts("4 to 3 of no topic yet", fresh.changed(partitions(3)).await);
        verdicts.rejects("2 to 1 of 4", behind.changed(partitions(1)).await, &words);
        verdicts.accepts("2 to 4 of 4", behind.changed(partitions(4)).await);
        verdicts.accepts("2 to 5 of 4", behind.changed(partitions(5)).await);
        // Whoever does not touch the partitions must not be kept from what they want by them.
        verdicts.accepts(
            "config beside 2 of 4",
            behind.changed(json!({"config": {"retention.ms": 1}})).await,
        );
        verdicts.accepts("an annotation beside 2 of 4", behind.annotated().await);
        verdicts.end()?;
        behind
            .status(json!({"topicId": id, "partitions": 4, "replicas": 1}))
            .await
    })
    .await
}

/// A paused KafkaTopic, to try changes on.
struct Patient {
    api: Api<DynamicObject>,
    name: String,
}

impl Patient {
    async fn admit(e2e: &E2e, namespace: &str, name: &str, spec: Value) -> Result<Self> {
        let api = api(e2e, namespace);
        api.create(&PostParams::default(), &topic(name, spec)?)
            .await?;
        e2e.cluster
            .topic_says(namespace, name, "Unknown Paused", &[])
            .await?;
        Ok(Self {
            api,
            name: name.into(),
        })
    }

    /// What the API server would say to a change of the spec.
    async fn changed(&self, spec: Value) -> Answer {
        self.dry_run(json!({"spec": spec})).await
    }

    /// What it would say to a change that has nothing to do with the spec.
    async fn annotated(&self) -> Answer {
        self.dry_run(json!({"metadata": {"annotations": {"e2e": "yes"}}}))
            .await
    }

    async fn dry_run(&self, patch: Value) -> Answer {
        let params = PatchParams {
            dry_run: true,
            ..PatchParams::default()
        };
        self.api
            .patch(&self.name, &params, &Patch::Merge(patch))
            .await
    }

    /// Writes into the status, as the operator would.
    async fn status(&self, status: Value) -> Result<()> {
        let patch = Patch::Merge(json!({"status": status}));
        let written = self
            .api
            .patch_status(&self.name, &PatchParams::default(), &patch)
            .await?;
        for (field, wanted) in status.as_object().into_iter().flatten() {
            let found = &written.data["status"][field];
            ensure!(
                found == wanted,
                "status.{field} is {found} after {wanted} was written"
            );
        }
        Ok(())
    }
}
