//! The NetworkPolicy: what the pods need, by port. Addresses are not known: Kafka and the sink may be anywhere.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPort,
    NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{Surroundings, label_selector, metadata};
use crate::api::TelemetryConsumer;
use crate::consumers::desired::Desired;

/// DNS; the second is where the DNS pods of OpenShift listen, which policies there see instead of the Service's port.
const DNS: [u16; 2] = [53, 5353];

/// The policy for the pods of this template.
pub fn policy(
    consumer: &TelemetryConsumer,
    desired: &Desired,
    template: &PodTemplateSpec,
    surroundings: &Surroundings,
) -> NetworkPolicy {
    let open: Vec<_> = listening(template)
        .into_iter()
        .map(|(port, protocol)| allowed(&protocol, port))
        .collect();
    let mut types = vec!["Ingress".to_owned()];
    // Where a user's own consumer goes is not known. Not naming the type leaves that to the namespace's other policies, while a
    // rule that allows everything would overrule them.
    let egress = desired.custom.is_none().then(|| {
        types.push("Egress".into());
        egress(desired, surroundings)
    });
    NetworkPolicy {
        metadata: metadata(consumer),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(label_selector(consumer)),
            policy_types: Some(types),
            // A rule without ports would allow them all.
            ingress: (!open.is_empty()).then(|| {
                vec![NetworkPolicyIngressRule {
                    ports: Some(open),
                    ..NetworkPolicyIngressRule::default()
                }]
            }),
            egress,
        }),
    }
}

/// The ports of all containers, those of the user's sidecars among them.
fn listening(template: &PodTemplateSpec) -> BTreeSet<(i32, String)> {
    let spec = template.spec.iter();
    spec.flat_map(|pod| {
        pod.containers
            .iter()
            .chain(pod.init_containers.iter().flatten())
    })
    .flat_map(|container| container.ports.iter().flatten())
    .map(|port| {
        let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".into());
        (port.container_port, protocol)
    })
    .collect()
}

fn egress(desired: &Desired, surroundings: &Surroundings) -> Vec<NetworkPolicyEgressRule> {
    let rule = |ports: Vec<NetworkPolicyPort>| NetworkPolicyEgressRule {
        ports: Some(ports),
        ..NetworkPolicyEgressRule::default()
    };
    let dns = DNS
        .into_iter()
        .flat_map(|port| ["UDP", "TCP"].map(|protocol| allowed(protocol, port.into())));
    let mut ports = bootstrap_ports(&desired.config.kafka.bootstrap_servers);
    ports.extend(surroundings.kafka_ports.iter().flatten());
    let sink = desired.config.sink.elasticsearch.iter();
    ports.extend(
        sink.flat_map(|sink| &sink.urls)
            .filter_map(|url| url_port(url)),
    );
    let tcp = ports
        .into_iter()
        .map(|port| allowed("TCP", port.into()))
        .collect();
    vec![rule(dns.collect()), rule(tcp)]
}

fn allowed(protocol: &str, port: i32) -> NetworkPolicyPort {
    NetworkPolicyPort {
        port: Some(IntOrString::Int(port)),
        protocol: Some(protocol.into()),
        ..NetworkPolicyPort::default()
    }
}

/// The ports of comma-separated `host:port` pairs; librdkafka takes 9092 where there is none.
fn bootstrap_ports(servers: &str) -> BTreeSet<u16> {
    servers
        .split(',')
        .map(|server| {
            let port = server.trim().rsplit_once(':').map(|(_, port)| port.parse());
            port.and_then(Result::ok).unwrap_or(9092)
        })
        .collect()
}

fn url_port(url: &str) -> Option<u16> {
    url::Url::parse(url).ok()?.port_or_known_default()
}
