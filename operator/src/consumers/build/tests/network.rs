//! The NetworkPolicy.

use super::*;

/// The ports of a rule as `TCP/80`.
fn ports(rule: &Value) -> Vec<String> {
    let ports = rule["ports"].as_array().expect("ports").iter();
    ports
        .map(|port| {
            format!(
                "{}/{}",
                port["protocol"].as_str().expect("text"),
                port["port"]
            )
        })
        .collect()
}

fn policy(given: &Given) -> Value {
    let policy = given.build().network_policy.expect("a policy");
    let policy = serde_json::to_value(policy).expect("JSON");
    assert_eq!(
        policy["spec"]["podSelector"]["matchLabels"],
        json!(selector("metrics"))
    );
    policy["spec"].clone()
}

#[test]
fn pods_reach_dns_kafka_and_the_sink() {
    let elasticsearch = |urls: &[&str]| json!({"elasticsearch": {"urls": urls}});
    let external = json!({"bootstrapServers": "a:9095,[fe80::1]:9096"});
    for (sink, kafka, brokers, wanted) in [
        (json!({"prometheus": {}}), json!({}), None, "TCP/9092"),
        (
            json!({"prometheus": {}}),
            external,
            None,
            "TCP/9095 TCP/9096",
        ),
        (
            json!({"prometheus": {}}),
            json!({}),
            Some([9092, 31000]),
            "TCP/9092 TCP/31000",
        ),
        (
            json!({"elasticsearch": {}}),
            json!({}),
            None,
            "TCP/9092 TCP/9200",
        ),
        (
            elasticsearch(&["https://es", "http://es/path", "https://other:9243/"]),
            json!({}),
            None,
            "TCP/80 TCP/443 TCP/9092 TCP/9243",
        ),
    ] {
        let given = Given {
            surroundings: Surroundings {
                kafka_ports: brokers.map(BTreeSet::from),
                ..Surroundings::default()
            },
            ..spec(json!({"sink": sink, "kafka": kafka}))
        };
        let policy = policy(&given);
        assert_eq!(policy["policyTypes"], json!(["Ingress", "Egress"]));
        let dns = ["UDP/53", "TCP/53", "UDP/5353", "TCP/5353"];
        assert_eq!(ports(&policy["egress"][0]), dns);
        assert_eq!(
            ports(&policy["egress"][1]).join(" "),
            wanted,
            "{sink} {kafka}"
        );
        assert_eq!(policy["egress"].as_array().map(Vec::len), Some(2));
    }
}

#[test]
fn pods_are_reached_at_their_ports_only() {
    let sidecar = json!({"spec": {"containers": [
        {"name": "sidecar", "image": "i", "ports": [{"containerPort": 7000}, {"containerPort": 7001, "protocol": "UDP"}]},
    ]}});
    for (sink, template, wanted) in [
        (json!({"prometheus": {}}), json!({}), "TCP/8080 TCP/9090"),
        (json!({"elasticsearch": {}}), json!({}), "TCP/8080"),
        (
            json!({"elasticsearch": {}}),
            sidecar,
            "TCP/7000 UDP/7001 TCP/8080",
        ),
        (
            json!({"custom": {"image": "i", "metricsPort": 8000}}),
            json!({}),
            "TCP/8000",
        ),
    ] {
        let policy = policy(&with_template(sink.clone(), template));
        assert_eq!(ports(&policy["ingress"][0]).join(" "), wanted, "{sink}");
    }
    let closed = policy(&spec(json!({"sink": {"custom": {"image": "i"}}})));
    assert!(
        closed.get("ingress").is_none(),
        "a rule without ports allows all: {closed}"
    );
}

#[test]
fn where_a_custom_sink_goes_is_left_open() {
    let policy = policy(&spec(json!({"sink": {"custom": {"image": "i"}}})));
    assert_eq!(policy["policyTypes"], json!(["Ingress"]));
    assert!(policy.get("egress").is_none());
}

#[test]
fn policies_can_be_switched_off() {
    let given = spec(json!({}));
    let mut desired = given.desired();
    desired.network_policies = false;
    let objects = objects(&given.consumer(), &desired, &Surroundings::default());
    assert!(objects.expect("objects").network_policy.is_none());
}
