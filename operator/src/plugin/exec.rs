//! `bt-consumers` run in a pod of a consumer: it can reach Kafka and the sink, and has their credentials.

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::api::AttachParams;
use kube::{Api, ResourceExt};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

use super::cluster::{Cluster, answer, choose};
use crate::api::TelemetryConsumer;

/// The consumer's container.
pub const CONTAINER: &str = "consumer";
/// Where the consumer's configuration is in its pods.
const CONFIG: &str = "/etc/bt-consumers/config.yaml";
/// So much of what a command says on standard error is kept, in bytes.
const MAX_WORDS: usize = 64 * 1024;
/// So much standard output may wait to be dealt with, in bytes.
const OUTPUT: usize = 64 * 1024;

/// A pod to run commands in.
pub struct Runner {
    api: Api<Pod>,
    /// `namespace/name` of the consumer.
    pub consumer: String,
    /// The pod's name.
    pub pod: String,
}

/// How a command ended.
pub struct Ended {
    pub code: i32,
    /// What it said on standard error.
    pub words: String,
}

impl Runner {
    /// A running pod of the consumer that [`choose`] finds.
    pub async fn find(cluster: &Cluster, named: Option<&str>, topic: Option<&str>) -> Result<Self> {
        let mut all = Self::find_all(cluster, named, topic).await?;
        Ok(all.swap_remove(0))
    }

    /// All running pods of the first consumer that has any.
    pub async fn find_all(
        cluster: &Cluster,
        named: Option<&str>,
        topic: Option<&str>,
    ) -> Result<Vec<Self>> {
        let consumers: Vec<TelemetryConsumer> = cluster.list().await?;
        let candidates = choose(&consumers, named, topic)?;
        for consumer in &candidates {
            let (namespace, name) = (
                consumer.namespace().unwrap_or_default(),
                consumer.name_any(),
            );
            let pods = cluster.pods(&namespace, &name).await?;
            if !pods.is_empty() {
                let runner = |pod: Pod| Self {
                    api: Api::namespaced(cluster.client.clone(), &namespace),
                    consumer: format!("{namespace}/{name}"),
                    pod: pod.name_any(),
                };
                return Ok(pods.into_iter().map(runner).collect());
            }
        }
        let names: Vec<_> = candidates
            .iter()
            .map(|consumer| consumer.name_any())
            .collect();
        bail!(
            "no pod of {} runs, and Kafka is reached through one: `kubectl scale tcon/{} --replicas=1`, or see `kubectl bt status`",
            names.join(", "),
            names[0]
        )
    }

    /// Runs `bt-consumers COMMAND --config …`; `line` is given each line of standard output, and says whether to go on.
    pub async fn run(
        &self,
        command: &str,
        arguments: &[String],
        mut line: impl FnMut(&str) -> Result<bool>,
    ) -> Result<Ended> {
        self.run_telling(command, arguments, &mut line, &mut |_| {})
            .await
    }

    /// As [`Self::run`]; `said` is given each line of standard error at once, too.
    pub async fn run_telling(
        &self,
        command: &str,
        arguments: &[String],
        line: &mut dyn FnMut(&str) -> Result<bool>,
        said: &mut dyn FnMut(&str),
    ) -> Result<Ended> {
        let mut words: Vec<String> = ["bt-consumers", command, "--config", CONFIG]
            .map(str::to_owned)
            .into();
        words.extend(arguments.iter().cloned());
        // Standard input ends when we do, and by that the command.
        let params = AttachParams::default()
            .container(CONTAINER)
            .stdin(true)
            .stdout(true)
            .stderr(true)
            .max_stdout_buf_size(OUTPUT);
        let started = self.api.exec(&self.pod, words, &params);
        let mut process = answer(&format!("exec in pod {}", self.pod), started).await?;
        let stdin = process.stdin();
        let status = process.take_status();
        let out = process.stdout().context("no standard output")?;
        let err = process.stderr().context("no standard error")?;
        let told = {
            let (mut out, mut err) = (lines(out), lines(err));
            let (mut words, mut open) = (String::new(), (true, true));
            let mut stopped = false;
            while open != (false, false) && !stopped {
                tokio::select! {
                    read = out.next_line(), if open.0 => match read.ok().flatten() {
                        Some(text) => stopped = !line(&text)?,
                        None => open.0 = false,
                    },
                    read = err.next_line(), if open.1 => match read.ok().flatten() {
                        Some(text) => {
                            said(&text);
                            if words.len() < MAX_WORDS {
                                words.push_str(&text);
                                words.push('\n');
                            }
                        }
                        None => open.1 = false,
                    },
                }
            }
            (words, stopped)
        };
        let (words, stopped) = told;
        drop(stdin);
        if stopped {
            process.abort();
            return Ok(Ended { code: 0, words });
        }
        let status = match status {
            Some(status) => status.await,
            None => None,
        };
        let code = status.as_ref().map_or(Some(0), code_of);
        let words = words.trim().to_owned();
        if is_old(&words, command) {
            bail!(
                "the image of pod {} does not know `bt-consumers {command}`: it is older than this kubectl-bt ({}); upgrade the release",
                self.pod,
                env!("CARGO_PKG_VERSION")
            );
        }
        match code {
            Some(code) => Ok(Ended { code, words }),
            None => bail!(
                "`bt-consumers {command}` cannot be run in pod {}: {}",
                self.pod,
                status.and_then(|status| status.message).unwrap_or(words)
            ),
        }
    }

    /// As [`Self::run`], of a command that ends by itself: its whole output. Ending with 2 is an error, in its own words.
    pub async fn output(&self, command: &str, arguments: &[String]) -> Result<String> {
        let mut out = String::new();
        let ended = self
            .run(command, arguments, |line| {
                out.push_str(line);
                out.push('\n');
                Ok(true)
            })
            .await?;
        match ended.code {
            0 | 1 => Ok(out),
            _ => bail!("{}", ended.words),
        }
    }
}

fn lines<R: AsyncRead + Unpin>(read: R) -> tokio::io::Lines<BufReader<R>> {
    BufReader::new(read).lines()
}

/// The exit code; none where the command did not run.
fn code_of(status: &Status) -> Option<i32> {
    if status.status.as_deref() == Some("Success") {
        return Some(0);
    }
    let causes = status.details.as_ref()?.causes.as_ref()?;
    let cause = causes
        .iter()
        .find(|cause| cause.reason.as_deref() == Some("ExitCode"))?;
    cause.message.as_ref()?.parse().ok()
}

/// Whether these are the words of a program that does not know the command.
fn is_old(words: &str, command: &str) -> bool {
    words.contains(&format!("unrecognized subcommand '{command}'"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn exit_codes_are_read_from_the_status() {
        let code = |status| code_of(&serde_json::from_value(status).expect("a status"));
        assert_eq!(code(json!({"status": "Success"})), Some(0));
        let failed = json!({"status": "Failure", "reason": "NonZeroExitCode",
            "details": {"causes": [{"reason": "ExitCode", "message": "2"}]}});
        assert_eq!(code(failed), Some(2));
        assert_eq!(
            code(json!({"status": "Failure", "message": "no such file"})),
            None
        );
    }

    #[test]
    fn an_image_without_the_command_is_told() {
        assert!(is_old(
            "error: unrecognized subcommand 'tail'\n\nUsage: bt-consumers",
            "tail"
        ));
        assert!(!is_old("Kafka: no answer", "tail"));
    }
}
