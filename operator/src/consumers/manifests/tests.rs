use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::DynamicObject;
use serde_json::json;

use super::*;
use crate::api::KafkaTopic;

fn consumer() -> TelemetryConsumer {
    let spec = json!({"topics": ["t"], "sink": {"prometheus": {}}});
    let mut consumer =
        TelemetryConsumer::new("metrics", serde_json::from_value(spec).expect("a spec"));
    consumer.metadata.namespace = Some("shop".into());
    consumer
}

fn policy(ingress: &[i32], egress: &[i32]) -> Value {
    let rules = |ports: &[i32]| -> Vec<Value> {
        let rule = |port| json!({"ports": [{"port": port, "protocol": "TCP"}]});
        ports.iter().map(rule).collect()
    };
    json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"], "ingress": rules(ingress), "egress": rules(egress)})
}

fn objects() -> Objects {
    let policy = json!({"metadata": {"name": "metrics"}, "spec": policy(&[8080], &[9092])});
    Objects {
        revision: "b".into(),
        config: Some(("b.yaml".into(), "new".into())),
        deployment: serde_json::from_value(json!({
            "metadata": {"name": "metrics"},
            "spec": {"selector": {}, "template": {"metadata": {"labels": {"of": "b"}}}},
        }))
        .expect("a Deployment"),
        service: Default::default(),
        disruption_budget: Default::default(),
        network_policy: Some(serde_json::from_value::<NetworkPolicy>(policy).expect("a policy")),
        pod_monitor: None,
        state_topic: None,
        keeps_state: false,
    }
}

/// The object of that kind that is applied in these circumstances.
fn applied(kind: Kind, now: Circumstances) -> Option<Value> {
    let (wanted, _) = manifests(&consumer(), objects(), now);
    let wanted = wanted.into_iter().find(|wanted| wanted.kind == kind)?;
    Some(wanted.object)
}

#[test]
fn a_deployment_has_the_number_of_pods_and_the_template_that_were_decided() {
    let deployment = |template| {
        let now = Circumstances {
            replicas: 3,
            template,
            ..Circumstances::default()
        };
        applied(Kind::Deployment, now)
    };
    let wanted = deployment(Template::Wanted).expect("there is one");
    assert_eq!(
        (&wanted["apiVersion"], &wanted["kind"]),
        (&json!("apps/v1"), &json!("Deployment"))
    );
    assert_eq!(wanted["spec"]["replicas"], 3);
    assert_eq!(wanted["spec"]["template"]["metadata"]["labels"]["of"], "b");
    let earlier = json!({"metadata": {"labels": {"of": "a"}}});
    let earlier = deployment(Template::Earlier(earlier)).expect("there is one");
    assert_eq!(earlier["spec"]["replicas"], 3);
    assert_eq!(
        earlier["spec"]["template"],
        json!({"metadata": {"labels": {"of": "a"}}})
    );
    assert_eq!(deployment(Template::Unknown), None);
}

#[test]
fn configurations_of_earlier_revisions_stay_until_the_wanted_one_is_settled() {
    let data = |settled, data| {
        let now = Circumstances {
            settled,
            data,
            ..Circumstances::default()
        };
        applied(Kind::ConfigMap, now).expect("there is one")["data"].clone()
    };
    let live = json!({"a.yaml": "old", "b.yaml": "edited"});
    assert_eq!(
        data(false, live.clone()),
        json!({"a.yaml": "old", "b.yaml": "new"})
    );
    assert_eq!(data(true, live), json!({"b.yaml": "new"}));
    assert_eq!(data(false, Value::Null), json!({"b.yaml": "new"}));
}

#[test]
fn a_policy_lets_through_what_pods_of_earlier_revisions_need() {
    let spec = |settled, ports_known, live| {
        let now = Circumstances {
            settled,
            ports_known,
            policy: live,
            ..Circumstances::default()
        };
        applied(Kind::NetworkPolicy, now).expect("there is one")["spec"].clone()
    };
    let live = policy(&[9090], &[9092, 9093]);
    #[rustfmt::skip]
    let cases = [
        (true, true, policy(&[8080], &[9092])),
        (false, true, policy(&[8080, 9090], &[9092, 9093])),
        (false, false, policy(&[8080, 9090], &[9092, 9093])),
        // The brokers' ports were known when this was written.
        (true, false, policy(&[8080], &[9092, 9093])),
    ];
    for (settled, known, expected) in cases {
        assert_eq!(
            spec(settled, known, live.clone()),
            expected,
            "{settled} {known}"
        );
        // Where nothing is restricted yet, nothing is before all is known.
        let alone = match settled && known {
            true => policy(&[8080], &[9092]),
            false => {
                json!({"podSelector": {}, "policyTypes": ["Ingress"], "ingress": policy(&[8080], &[])["ingress"]})
            }
        };
        assert_eq!(
            spec(settled, known, Value::Null),
            alone,
            "{settled} {known}"
        );
    }
}

#[test]
fn rules_are_kept_only_where_the_policy_restricts() {
    let live = policy(&[9090], &[9092]);
    let mut wanted = json!({"policyTypes": ["Ingress"]});
    keep_rules(&mut wanted, &live, "Ingress");
    keep_rules(&mut wanted, &live, "Egress");
    let expected = json!({"policyTypes": ["Ingress"], "ingress": live["ingress"]});
    assert_eq!(wanted, expected);
}

#[test]
fn a_state_topic_stays_while_pods_keep_their_state_in_it() {
    let topic = || {
        let mut topic = KafkaTopic::new("metrics-state", Default::default());
        topic.spec.partitions = Some(3);
        topic
    };
    for (keeps_state, known, settled, expected) in [
        (true, true, true, "applied"),
        (true, true, false, "applied"),
        (true, false, true, "left alone"),
        (false, true, false, "applied"),
        (false, true, true, "deleted"),
        (false, false, true, "deleted"),
    ] {
        let objects = Objects {
            keeps_state,
            state_topic: known.then(topic),
            ..objects()
        };
        let now = Circumstances {
            settled,
            ..Circumstances::default()
        };
        let (wanted, unwanted) = manifests(&consumer(), objects, now);
        let wanted = wanted.iter().find(|wanted| wanted.kind == Kind::KafkaTopic);
        let partitions = wanted.map(|wanted| &wanted.object["spec"]["partitions"]);
        let found = match (partitions, unwanted.contains(&Kind::KafkaTopic)) {
            (Some(partitions), false) if partitions == 3 => "applied",
            (None, false) => "left alone",
            (None, true) => "deleted",
            both => panic!("{both:?}"),
        };
        assert_eq!(found, expected, "{keeps_state} {known} {settled}");
    }
}

#[test]
fn what_is_not_wanted_is_to_go() {
    let unwanted = |objects| manifests(&consumer(), objects, Circumstances::default()).1;
    assert_eq!(
        unwanted(objects()),
        BTreeSet::from([Kind::Service, Kind::KafkaTopic, Kind::PodMonitor])
    );
    let fewer = Objects {
        config: None,
        network_policy: None,
        pod_monitor: Some(DynamicObject::new("metrics", &Kind::PodMonitor.resource())),
        ..objects()
    };
    assert_eq!(
        unwanted(fewer),
        BTreeSet::from([
            Kind::ConfigMap,
            Kind::Service,
            Kind::NetworkPolicy,
            Kind::KafkaTopic
        ])
    );
}
