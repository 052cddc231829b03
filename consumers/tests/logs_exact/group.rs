//! A consumer group: its engine, its members, and what must hold for them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bt_dev_engine::{Engine, Front, Script};

use crate::counters::Counters;
use crate::kafka::servers;
use crate::ledger::{Finding, Indexed, Kind, Letter, findings, mark, report};
use crate::process::{Process, free_port};
use crate::setup::Setup;
use crate::stage::Stage;

/// The shortest that brokers allow by default (`group.min.session.timeout.ms`).
pub const SESSION_TIMEOUT: Duration = Duration::from_secs(6);
/// How long a member may take to leave: it drains, and the engine may hang.
const LEAVE: Duration = Duration::from_secs(30);
/// How long it may take until all is done: a session's timeout, and what a member that was killed had begun in Kafka is given up.
const DONE: Duration = Duration::from_secs(75);
const LOOK: Duration = Duration::from_millis(250);

/// A consumer group of one test.
pub struct Group {
    pub stage: Arc<Stage>,
    /// Kafka's `group.id`.
    pub id: String,
    pub engine: Engine,
    pub members: Vec<Member>,
    setup: Setup,
    urls: Vec<String>,
    /// The engine's second address.
    pub front: Option<Front>,
    findings: Vec<Finding>,
    started: u32,
}

/// A running process.
pub struct Member {
    pub pod: String,
    pub process: Process,
}

impl Group {
    /// A group without members, its engine and its dead-letter topic.
    pub async fn new(stage: &Arc<Stage>, what: &str, setup: Setup) -> Self {
        let engine = Engine::start(setup.flavour).await;
        let engine = engine.expect("the engine listens");
        let mut front = None;
        if setup.two_urls {
            let second = engine.front(([127, 0, 0, 1], free_port()).into()).await;
            front = Some(second.expect("the engine listens twice"));
        }
        let first = [engine.url()].into_iter();
        let group = Self {
            id: format!("{}.{what}", stage.name),
            stage: stage.clone(),
            urls: first.chain(front.as_ref().map(Front::url)).collect(),
            engine,
            members: Vec::new(),
            setup,
            front,
            findings: Vec::new(),
            started: 0,
        };
        group.calm();
        stage.create(&group.letters_topic(), 1, &[]).await;
        group
    }

    /// Where what cannot be taken goes.
    pub fn letters_topic(&self) -> String {
        format!("{}.letters", self.id)
    }

    /// The engine fails by this.
    pub fn play(&self, script: Script) {
        self.engine.play(script.with(self.setup.rules.clone()));
    }

    /// The engine does not fail.
    pub fn calm(&self) {
        self.play(Script::default());
    }

    /// Starts a member.
    pub fn join(&mut self, pod: &str) {
        self.started += 1;
        let malformed = match self.setup.index_malformed {
            true => "Index",
            false => "DeadLetter",
        };
        let config = format!(
            "consumer: test/logs-exact\nkafka: {{bootstrapServers: \"{}\"}}\ngroupId: {}\ntopics: [{}]\n\
             deadLetterTopic: {}\nsessionTimeout: {}s\n\
             sink: {{elasticsearch: {{urls: [{}], dataStream: \"{}\", malformed: {malformed}, bulk: {}}}}}\n",
            servers(),
            self.id,
            self.stage.name,
            self.letters_topic(),
            SESSION_TIMEOUT.as_secs(),
            self.urls.join(", "),
            self.setup.data_stream,
            self.setup.bulk
        );
        let logs = self
            .stage
            .logs
            .join(self.id.rsplit('.').next().unwrap_or_default());
        std::fs::create_dir_all(&logs).expect("a directory for logs");
        let process = Process::start(&format!("{pod}-{}", self.started), pod, &config, &logs);
        self.members.push(Member {
            pod: pod.to_owned(),
            process,
        });
    }

    /// kill -9 of a member; its pod.
    pub fn kill(&mut self, index: usize) -> String {
        let mut member = self.members.remove(index);
        member.process.kill();
        member.pod
    }

    /// SIGTERM to a member, which has to end well; its pod.
    pub async fn leave(&mut self, index: usize) -> String {
        let mut member = self.members.remove(index);
        let ended = member.process.terminate(LEAVE).await;
        if !ended.is_some_and(|status| status.success()) {
            self.found(
                Kind::Exited,
                format!("{} was told to end, and: {ended:?}", member.pod),
            );
        }
        member.pod
    }

    /// Members that ended by themselves are findings, and are started again as Kubernetes does.
    pub fn tend(&mut self) {
        for index in (0..self.members.len()).rev() {
            if let Some(status) = self.members[index].process.ended() {
                let pod = self.members.remove(index).pod;
                self.found(Kind::Exited, format!("{pod}: {status}"));
                self.join(&pod);
            }
        }
    }

    pub fn found(&mut self, kind: Kind, what: String) {
        self.findings.push(Finding::new(kind, what));
    }

    /// Waits until the engine holds so many documents.
    pub async fn holds(&mut self, documents: usize, within: Duration) {
        let deadline = Instant::now() + within;
        while self.engine.count() < documents {
            let count = self.engine.count();
            assert!(
                Instant::now() < deadline,
                "{count} of {documents} documents are indexed; logs are in {}",
                self.stage.logs.display()
            );
            self.tend();
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until each member has partitions.
    pub async fn are_settled(&self) {
        let began = Instant::now();
        for member in &self.members {
            loop {
                let counters = Counters::of(&member.process).await;
                if counters.sum("bt_consumer_assigned_partitions", &[]) > 0.0 {
                    break;
                }
                assert!(
                    began.elapsed() < SESSION_TIMEOUT * 5,
                    "{} has no partition",
                    member.pod
                );
                tokio::time::sleep(LOOK).await;
            }
        }
    }

    /// The documents that the engine holds.
    fn indexed(&self) -> Vec<Indexed> {
        let held = self.engine.documents();
        held.into_iter()
            .map(|held| Indexed {
                mark: mark(&held.source).unwrap_or(u32::MAX),
                index: held.index,
                id: held.id,
            })
            .collect()
    }

    /// The dead letters that are committed.
    pub async fn letters(&self) -> Vec<Letter> {
        let records = self.stage.records(&self.letters_topic()).await;
        records
            .into_iter()
            .map(|record| Letter {
                mark: mark(&record.value).unwrap_or(u32::MAX),
                key: record.key,
                value: record.value,
                headers: record.headers,
            })
            .collect()
    }

    /// All that does not hold now.
    pub async fn wrong(&self) -> Vec<Finding> {
        let mut found = self.findings.clone();
        if let Err(why) = self
            .stage
            .all_committed_of(&self.stage.name, &self.id)
            .await
        {
            found.push(Finding::new(Kind::NotCommitted, why));
        }
        let produced = self.stage.produced(&self.setup).await;
        // Letters first: who looks at the index before may miss what is moved on meanwhile.
        let letters = self.letters().await;
        found.extend(findings(&produced, &self.indexed(), &letters));
        found
    }

    /// Everything is there exactly once and committed, in time, or the test fails.
    pub async fn is_exact(&mut self) {
        self.stage.traffic.flush();
        let deadline = Instant::now() + DONE;
        loop {
            let committed = self
                .stage
                .all_committed_of(&self.stage.name, &self.id)
                .await;
            if committed.is_ok() || Instant::now() > deadline {
                let wrong = self.wrong().await;
                // Letters of a transaction that nobody ended are not seen before it is given up.
                let hidden = |finding: &Finding| matches!(finding.kind, Kind::Lost);
                if !wrong.iter().any(hidden) || Instant::now() > deadline {
                    return self.assert_none(&wrong);
                }
            }
            self.tend();
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The end of a group: its members leave, nothing was wrong, its topics are deleted.
    pub async fn finish(mut self) {
        self.tend();
        while !self.members.is_empty() {
            self.leave(0).await;
        }
        self.assert_none(&self.wrong().await);
        self.stage.delete(&self.letters_topic()).await;
        let deleted = self.stage.admin.delete_group(&self.id).await;
        deleted.expect("a group without members can be deleted");
    }

    fn assert_none(&self, findings: &[Finding]) {
        let (logs, tally) = (self.stage.logs.display(), self.engine.tally());
        assert!(
            findings.is_empty(),
            "group {}; faults {:?}, logs are in {logs}{}",
            self.id,
            tally.faults,
            report(findings)
        );
    }
}
