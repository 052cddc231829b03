use anyhow::Result;
use serde_json::json;

use crate::certificates::Authority;
use crate::cluster::Cluster;
use crate::{DEFAULT, E2e};

const POD: &str = "search-proxy";
const PORT: u16 = 8443;
const PROGRAM: &str = include_str!("search_proxy.py");

/// HTTPS and a login in front of the default search engine, which has neither, in a namespace of a test's.
pub struct SearchProxy<'a> {
    cluster: &'a Cluster,
    namespace: String,
}

impl E2e {
    /// Starts a proxy in a namespace, with one certificate by each of these authorities, and waits until it is up. `image` has
    /// Python. Nobody is let in before [`SearchProxy::demand`].
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn search_proxy(
        &self,
        namespace: &str,
        image: &str,
        authorities: &[(&str, &Authority)],
    ) -> Result<SearchProxy<'_>> {
        let proxy = SearchProxy {
            cluster: &self.cluster,
            namespace: namespace.to_owned(),
        };
        let mut files = serde_json::Map::new();
        for (name, authority) in authorities {
            let server = authority.server(&proxy.host())?;
            files.insert(format!("{name}.crt"), server.certificate.into());
            files.insert(format!("{name}.key"), server.key.into());
        }
        let certificates = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": POD}, "stringData": files,
        });
        let program = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": POD}, "data": {"proxy.py": PROGRAM},
        });
        let manifest = format!("{certificates}\n---\n{program}\n---\n{}", manifest(image));
        self.cluster.apply(namespace, &manifest).await?;
        let pod = format!("pod/{POD}");
        let ready = ["--for=condition=Ready", "--timeout=120s"];
        let wait = [&["wait", &pod, "-n", namespace], &ready[..]].concat();
        self.cluster.kubectl(&wait).await?;
        Ok(proxy)
    }
}

impl SearchProxy<'_> {
    fn host(&self) -> String {
        format!("{POD}.{}.svc", self.namespace)
    }

    /// Where programs in the cluster reach it.
    pub fn url(&self) -> String {
        format!("https://{}:{PORT}", self.host())
    }

    /// From now on shows the certificate of that authority, and lets in whoever logs in by one of these: `Basic user:password`,
    /// `ApiKey id:key`.
    ///
    /// # Errors
    /// When the pod cannot be reached.
    pub async fn demand(&self, authority: &str, logins: &[&str]) -> Result<()> {
        let demand = json!({"certificate": authority, "logins": logins}).to_string();
        // Renamed, so that no request finds half of it.
        let write = "printf %s \"$1\" > /state/new && mv /state/new /state/demand.json";
        let pod = ["exec", POD, "-n", &self.namespace, "--"];
        let shell = ["sh", "-c", write, "sh", &demand];
        let args = [&pod[..], &shell[..]].concat();
        self.cluster.kubectl(&args).await.map(drop)
    }
}

fn manifest(image: &str) -> String {
    format!(
        r#"
apiVersion: v1
kind: Service
metadata: {{name: {POD}}}
spec:
  selector: {{app: {POD}}}
  ports: [{{port: {PORT}}}]
---
apiVersion: v1
kind: Pod
metadata:
  name: {POD}
  labels: {{app: {POD}}}
spec:
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: 1
  securityContext: {{runAsNonRoot: true, runAsUser: 65532, fsGroup: 65532}}
  containers:
    - name: proxy
      image: {image}
      imagePullPolicy: IfNotPresent
      command: [python3, -u, /program/proxy.py, "elasticsearch.{DEFAULT}.svc:9200"]
      readinessProbe: {{tcpSocket: {{port: {PORT}}}, periodSeconds: 1}}
      resources:
        requests: {{cpu: 25m, memory: 32Mi}}
        limits: {{cpu: "1", memory: 128Mi}}
      volumeMounts:
        - {{name: program, mountPath: /program}}
        - {{name: certificates, mountPath: /certificates}}
        - {{name: state, mountPath: /state}}
  volumes:
    - {{name: program, configMap: {{name: {POD}}}}}
    - {{name: certificates, secret: {{secretName: {POD}}}}}
    - {{name: state, emptyDir: {{}}}}
"#
    )
}
