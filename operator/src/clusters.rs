//! Kafka clusters: which one a resource names, its credentials, and the one client of each.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bt_kafka::{Admin, ClientCertificate, Connection, Sasl, Tls};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};

use crate::api::{KafkaSpec, SaslSpec, TlsSpec};
use crate::context::MANAGER;
use crate::metrics::Metrics;

/// The cluster that a resource names, its Secrets unread: what work is queued by, and what the owner of a topic is found by.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cluster {
    /// Comma-separated `host:port` pairs, without spaces.
    pub bootstrap_servers: String,
    tls: Option<TlsSpec>,
    sasl: Option<SaslSpec>,
    /// Where the Secrets are. Absent where none is named, so that all namespaces share the cluster.
    namespace: Option<String>,
}

impl Cluster {
    /// What `spec.kafka` gives, and the operator's own servers where it gives none.
    pub fn of(given: Option<&KafkaSpec>, namespace: &str, default_servers: &str) -> Self {
        let given = given.cloned().unwrap_or_default();
        let servers = given.bootstrap_servers.as_deref();
        let secrets = given.sasl.is_some()
            || given
                .tls
                .as_ref()
                .is_some_and(|tls| *tls != TlsSpec::default());
        Self {
            bootstrap_servers: servers
                .unwrap_or(default_servers)
                .chars()
                .filter(|c| !c.is_whitespace())
                .collect(),
            tls: given.tls,
            sasl: given.sasl,
            namespace: secrets.then(|| namespace.to_owned()),
        }
    }
}

/// Why there is no client of a cluster.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Unconnected {
    /// What `spec.kafka` refers to is not there, or is not what it should be.
    #[error("{field} names {what}: {why}")]
    Secret {
        /// The field of the resource.
        field: &'static str,
        /// The Secret, and its key.
        what: String,
        /// What is wrong with it, and what to do.
        why: String,
    },
    /// The client cannot be made: mostly a certificate or a key that is none.
    #[error("{0}")]
    Client(#[from] bt_kafka::Error),
}

/// A client that is not asked for in this time is closed. Whoever uses one does so more often: backoff ends at one minute.
const IDLE: Duration = Duration::from_secs(150);
/// How long a cluster that did not answer is not asked again.
const SILENCE: Duration = Duration::from_secs(5);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The clients of all clusters: one a distinct connection, however many resources and namespaces share it.
pub struct Clusters {
    client: Client,
    metrics: Metrics,
    open: Mutex<HashMap<Connection, Open>>,
    silent: Mutex<HashMap<Cluster, (Instant, bt_kafka::Error)>>,
}

struct Open {
    admin: Admin,
    used: Instant,
    /// Whom it was opened for last.
    cluster: Cluster,
}

impl Clusters {
    pub fn new(client: Client, metrics: Metrics) -> Self {
        Self {
            client,
            metrics,
            open: Mutex::default(),
            silent: Mutex::default(),
        }
    }

    /// The client of a cluster. The Secrets are read each time, so that a rotated one counts from the next use.
    ///
    /// # Errors
    /// When a Secret is not as it should be, librdkafka refuses what is in it, or the cluster did not answer a moment ago.
    pub async fn connect(&self, cluster: &Cluster) -> Result<Admin, Unconnected> {
        let connection = self.resolve(cluster).await?;
        let silent = lock(&self.silent).get(cluster).cloned();
        if let Some((since, error)) = silent
            && since.elapsed() < SILENCE
        {
            return Err(error.into());
        }
        self.open(cluster, connection)
    }

    /// The same, and where the Secrets are gone, as they are in a namespace that is being deleted, the client that was open.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub async fn connect_for_deletion(&self, cluster: &Cluster) -> Result<Admin, Unconnected> {
        let outcome = self.connect(cluster).await;
        if let Err(Unconnected::Secret { .. }) = &outcome
            && let Some(open) = lock(&self.open)
                .values_mut()
                .find(|open| open.cluster == *cluster)
        {
            open.used = Instant::now();
            return Ok(open.admin.clone());
        }
        outcome
    }

    /// Notes that a cluster does not answer, so that whatever else waits for it learns that at once.
    pub fn does_not_answer(&self, cluster: &Cluster, error: &bt_kafka::Error) {
        lock(&self.silent).insert(cluster.clone(), (Instant::now(), error.clone()));
    }

    /// Closes the clients that nobody has asked for in a while: their last resource is gone, or has other credentials now.
    pub fn close_unused(&self) {
        lock(&self.silent).retain(|_, (since, _)| since.elapsed() < SILENCE);
        let mut open = lock(&self.open);
        let closed: Vec<_> = open
            .extract_if(|_, open| open.used.elapsed() > IDLE)
            .collect();
        self.metrics.set_kafka_clients(open.len());
        drop(open);
        // Closing waits for librdkafka's threads.
        if !closed.is_empty() {
            tokio::task::spawn_blocking(move || drop(closed));
        }
    }

    fn open(&self, cluster: &Cluster, connection: Connection) -> Result<Admin, Unconnected> {
        let mut open = lock(&self.open);
        if let Some(open) = open.get_mut(&connection) {
            open.used = Instant::now();
            return Ok(open.admin.clone());
        }
        let metrics = self.metrics.clone();
        let admin = Admin::new(&connection, MANAGER)?.on_call(move |call, succeeded, duration| {
            metrics.admin_call(call, succeeded, duration);
        });
        let made = Open {
            admin: admin.clone(),
            used: Instant::now(),
            cluster: cluster.clone(),
        };
        open.insert(connection, made);
        self.metrics.set_kafka_clients(open.len());
        Ok(admin)
    }

    async fn resolve(&self, cluster: &Cluster) -> Result<Connection, Unconnected> {
        let namespace = cluster.namespace.as_deref().unwrap_or_default();
        let mut secrets = Secrets {
            api: Api::namespaced(self.client.clone(), namespace),
            read: HashMap::new(),
        };
        let mut connection = Connection::plaintext(&cluster.bootstrap_servers);
        if let Some(spec) = &cluster.tls {
            let mut tls = Tls::default();
            if let Some(ca) = &spec.ca_secret_ref {
                let key = ca.key_or("ca.crt");
                let field = "spec.kafka.tls.caSecretRef";
                tls.ca = Some(secrets.text(field, &ca.name, key).await?);
            }
            if let Some(client) = &spec.client_cert_secret_ref {
                let field = "spec.kafka.tls.clientCertSecretRef";
                let key = secrets.text(field, &client.name, "tls.key").await?;
                tls.client = Some(ClientCertificate {
                    certificate: secrets.text(field, &client.name, "tls.crt").await?,
                    key: bt_kafka::Secret::new(key),
                });
            }
            connection.tls = Some(tls);
        }
        if let Some(spec) = &cluster.sasl {
            let field = "spec.kafka.sasl.passwordSecretRef";
            let reference = &spec.password_secret_ref;
            let key = reference.key_or("password");
            let password = secrets.text(field, &reference.name, key).await?;
            connection.sasl = Some(Sasl {
                mechanism: spec.mechanism,
                username: spec.username.clone(),
                // Editors and `echo` end a file with a line break, which no password has.
                password: bt_kafka::Secret::new(password.trim_end_matches(['\r', '\n'])),
            });
        }
        Ok(connection)
    }
}

/// The Secrets of one namespace, each read once.
struct Secrets {
    api: Api<Secret>,
    read: HashMap<String, Secret>,
}

impl Secrets {
    async fn text(
        &mut self,
        field: &'static str,
        name: &str,
        key: &str,
    ) -> Result<String, Unconnected> {
        let wrong = |why: String| Unconnected::Secret {
            field,
            what: format!("the key {key} of Secret {name}"),
            why,
        };
        if !self.read.contains_key(name) {
            let secret = match self.api.get_opt(name).await {
                Ok(Some(secret)) => secret,
                Ok(None) => {
                    return Err(wrong(
                        "there is no such Secret in this namespace; make it".into(),
                    ));
                }
                Err(error) => return Err(wrong(format!("it cannot be read: {error}"))),
            };
            self.read.insert(name.to_owned(), secret);
        }
        let data = self.read[name].data.as_ref();
        let Some(value) = data.and_then(|data| data.get(key)) else {
            let there: Vec<_> = data
                .into_iter()
                .flat_map(|data| data.keys())
                .map(String::as_str)
                .collect();
            return Err(wrong(format!(
                "the Secret has no such key, it has [{}]",
                there.join(", ")
            )));
        };
        match String::from_utf8(value.0.clone()) {
            Ok(text) if !text.trim().is_empty() => Ok(text),
            Ok(_) => Err(wrong("it is empty".into())),
            Err(_) => Err(wrong("it is not text (UTF-8)".into())),
        }
    }
}
