//! rsyslog between the same two: imkafka reads the topic, omelasticsearch sends what it read, as it is, by `_bulk`. It parses nothing and
//! gives no ids, and imkafka commits what is still in the queue in memory, where a crash loses it: that is less than the sink does.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use tokio::process::Command;

use super::null_engine::NullEngine;
use crate::child::{Child, Scratch};

/// The modules beside rsyslogd that this needs, and the packages that they are in.
const MODULES: [&str; 2] = ["imkafka.so", "omelasticsearch.so"];

/// Where it was found.
#[derive(Debug)]
pub struct Rsyslog {
    program: PathBuf,
    modules: PathBuf,
    /// Libraries that come with it, where it is not installed in the machine itself.
    libraries: Vec<PathBuf>,
}

/// A running rsyslogd; it is killed with this value.
pub struct Running {
    /// The process.
    pub child: Child,
    _config: Scratch,
}

impl Rsyslog {
    /// In the machine itself (`/`), or where its packages were unpacked.
    ///
    /// # Errors
    /// When a part of it is not there; in words, with what to do.
    pub fn find(root: &Path) -> Result<Self> {
        let usr = root.join("usr");
        let mut libraries = vec![usr.join("lib")];
        if let Ok(folders) = std::fs::read_dir(usr.join("lib")) {
            libraries.extend(folders.flatten().map(|folder| folder.path()));
        }
        let modules = libraries.iter().map(|folder| folder.join("rsyslog"));
        let whole = |folder: &PathBuf| MODULES.iter().all(|name| folder.join(name).is_file());
        let modules = modules.into_iter().find(whole);
        let program = usr.join("sbin/rsyslogd");
        ensure!(
            program.is_file() && modules.is_some(),
            "no rsyslogd with imkafka and omelasticsearch below {}: install Debian's packages rsyslog, rsyslog-kafka and \
             rsyslog-elasticsearch, or name the folder they are unpacked in by --rsyslog",
            root.display()
        );
        Ok(Self {
            program,
            modules: modules.unwrap_or_default(),
            libraries: if root == Path::new("/") {
                Vec::new()
            } else {
                libraries
            },
        })
    }

    /// Starts it.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn start(
        &self,
        kafka: &str,
        topic: &str,
        group: &str,
        engine: &NullEngine,
    ) -> Result<Running> {
        let config = config(kafka, topic, group, engine.port());
        let config = Scratch::file(&format!("{group}.conf"), &config)?;
        let mut command = Command::new(&self.program);
        command.args(["-n", "-i", "NONE", "-f"]).arg(config.path());
        command.arg("-M").arg(&self.modules);
        if !self.libraries.is_empty() {
            let paths = self.libraries.iter().map(|folder| folder.as_os_str());
            let paths: Vec<_> = paths.collect();
            command.env("LD_LIBRARY_PATH", paths.join(std::ffi::OsStr::new(":")));
        }
        Ok(Running {
            child: Child::start("rsyslogd", command)?,
            _config: config,
        })
    }
}

/// Its queue in memory has the size that rsyslog's own examples for bulk outputs have; a batch is as many logs as the sink sends.
fn config(kafka: &str, topic: &str, group: &str, port: u16) -> String {
    let brokers: Vec<String> = kafka.split(',').map(|one| format!("{one:?}")).collect();
    format!(
        r#"global(maxMessageSize="64k")
module(load="imkafka")
module(load="omelasticsearch")
template(name="as-it-is" type="string" string="%rawmsg%")
ruleset(name="out" queue.type="LinkedList" queue.size="100000" queue.dequeueBatchSize="5000") {{
  action(type="omelasticsearch" server="http://127.0.0.1" serverport="{port}" searchIndex="bench" searchType=""
         template="as-it-is" bulkmode="on" maxbytes="5m" action.resumeRetryCount="-1")
}}
input(type="imkafka" topic="{topic}" broker=[{}] consumergroup="{group}" ruleset="out" confParam=["auto.offset.reset=earliest"])
"#,
        brokers.join(",")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_told_with_what_to_do() {
        let why = Rsyslog::find(Path::new("/nowhere")).expect_err("nothing is there");
        let why = why.to_string();
        assert!(
            why.contains("rsyslog-kafka") && why.contains("/nowhere"),
            "{why}"
        );
    }

    #[test]
    fn each_broker_is_named() {
        let config = config("a:9092,b:9092", "t", "g", 9200);
        assert!(config.contains(r#"broker=["a:9092","b:9092"]"#), "{config}");
    }
}
