use std::collections::BTreeMap;

use anyhow::{Context, Result};
use k8s_openapi::api::apps::v1::StatefulSet;
use kube::Api;

use crate::cluster::Cluster;
use crate::tools::Described;
use crate::{DEFAULT, E2e};

const POD: &str = "other-kafka";

/// A Kafka beside the default one, in a namespace of a test's: one broker whose topics cannot be deleted.
pub struct SecondKafka<'a> {
    cluster: &'a Cluster,
    namespace: String,
}

impl E2e {
    /// Starts a second Kafka in a namespace and waits until it is up.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn second_kafka(&self, namespace: &str) -> Result<SecondKafka<'_>> {
        let sets = Api::<StatefulSet>::namespaced(self.cluster.client.clone(), DEFAULT);
        let template = sets
            .get("kafka")
            .await?
            .spec
            .context("StatefulSet kafka has no spec")?
            .template;
        let containers = template
            .spec
            .context("StatefulSet kafka has no pod")?
            .containers;
        let image = containers.into_iter().find_map(|container| container.image);
        let image = image.context("StatefulSet kafka has no image")?;
        let kafka = SecondKafka {
            cluster: &self.cluster,
            namespace: namespace.to_owned(),
        };
        self.cluster
            .apply(namespace, &kafka.manifest(&image))
            .await?;
        let pod = format!("pod/{POD}");
        let wait = [
            "wait",
            &pod,
            "-n",
            namespace,
            "--for=condition=Ready",
            "--timeout=150s",
        ];
        self.cluster.kubectl(&wait).await?;
        Ok(kafka)
    }
}

impl SecondKafka<'_> {
    /// Where programs in the cluster reach it.
    pub fn address(&self) -> String {
        format!("{POD}.{}.svc:9092", self.namespace)
    }

    /// Its topics.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn topics(&self) -> Result<BTreeMap<String, Described>> {
        self.cluster
            .topics_in(&self.namespace, POD, "127.0.0.1:9091")
            .await
    }

    /// Stops its process: connections are still taken, and no request is answered any more.
    ///
    /// # Errors
    /// When the pod cannot be reached.
    pub async fn freeze(&self) -> Result<()> {
        let stop = "kill -STOP $(cat /tmp/kafka.pid)";
        let args = ["exec", POD, "-n", &self.namespace, "--", "sh", "-c", stop];
        self.cluster.kubectl(&args).await.map(drop)
    }

    /// Lets its process go on after [`Self::freeze`].
    ///
    /// # Errors
    /// When the pod cannot be reached.
    pub async fn thaw(&self) -> Result<()> {
        let go_on = "kill -CONT $(cat /tmp/kafka.pid)";
        let args = ["exec", POD, "-n", &self.namespace, "--", "sh", "-c", go_on];
        self.cluster.kubectl(&args).await.map(drop)
    }

    /// Writes records, one a line, which are spread over the partitions.
    ///
    /// # Errors
    /// When Kafka does not take them.
    pub async fn produce(&self, topic: &str, lines: u32) -> Result<()> {
        let write = format!(
            "seq {lines} | KAFKA_HEAP_OPTS=-Xmx64m /opt/kafka/bin/kafka-console-producer.sh --bootstrap-server 127.0.0.1:9091 \\
             --topic {topic} --producer-property batch.size=256 --producer-property linger.ms=0"
        );
        let args = ["exec", POD, "-n", &self.namespace, "--", "sh", "-c", &write];
        self.cluster.kubectl(&args).await.map(drop)
    }

    /// Deletes its pod, with its data.
    ///
    /// # Errors
    /// When it cannot be deleted.
    pub async fn destroy(&self) -> Result<()> {
        let args = [
            "delete",
            "pod",
            POD,
            "-n",
            &self.namespace,
            "--grace-period=0",
            "--force",
        ];
        self.cluster.kubectl(&args).await.map(drop)
    }

    /// Kafka runs as a child of the container's shell: the first process of a container cannot be stopped.
    fn manifest(&self, image: &str) -> String {
        let address = self.address();
        format!(
            r#"
apiVersion: v1
kind: ConfigMap
metadata: {{name: {POD}}}
data:
  server.properties: |
    process.roles=broker,controller
    node.id=1
    controller.quorum.voters=1@127.0.0.1:9093
    listeners=OUT://:9092,BROKER://127.0.0.1:9091,CONTROLLER://127.0.0.1:9093
    advertised.listeners=OUT://{address},BROKER://127.0.0.1:9091
    listener.security.protocol.map=OUT:PLAINTEXT,BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT
    controller.listener.names=CONTROLLER
    inter.broker.listener.name=BROKER
    log.dirs=/data/kafka
    auto.create.topics.enable=false
    delete.topic.enable=false
    offsets.topic.replication.factor=1
    transaction.state.log.replication.factor=1
    transaction.state.log.min.isr=1
    share.coordinator.state.topic.replication.factor=1
    share.coordinator.state.topic.min.isr=1
  start.sh: |
    config=/etc/kafka-config/server.properties
    /opt/kafka/bin/kafka-storage.sh format --cluster-id bt-e2e-other-kafka-00A --config $config || exit 1
    /opt/kafka/bin/kafka-server-start.sh $config &
    echo $! > /tmp/kafka.pid
    wait
---
apiVersion: v1
kind: Service
metadata: {{name: {POD}}}
spec:
  selector: {{app: {POD}}}
  ports: [{{port: 9092}}]
---
apiVersion: v1
kind: Pod
metadata:
  name: {POD}
  labels: {{app: {POD}}}
spec:
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: 5
  securityContext: {{runAsNonRoot: true, runAsUser: 1000, fsGroup: 1000}}
  containers:
    - name: kafka
      image: {image}
      imagePullPolicy: IfNotPresent
      command: [sh, /etc/kafka-config/start.sh]
      env:
        - {{name: KAFKA_HEAP_OPTS, value: -Xms64m -Xmx256m}}
        - {{name: LOG_DIR, value: /tmp/logs}}
        - {{name: EXTRA_ARGS, value: -name kafkaServer}}
      readinessProbe: {{tcpSocket: {{port: 9092}}, periodSeconds: 1}}
      resources:
        requests: {{cpu: 50m, memory: 384Mi}}
        limits: {{cpu: "1", memory: 768Mi}}
      volumeMounts:
        - {{name: config, mountPath: /etc/kafka-config}}
        - {{name: data, mountPath: /data}}
  volumes:
    - {{name: config, configMap: {{name: {POD}}}}}
    - {{name: data, emptyDir: {{}}}}
"#
        )
    }
}
