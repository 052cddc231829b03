//! A consumer group: its topics, its members, and what must hold for them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::checks::{Finding, Kind, each_once, equal, never_back, report, shown_by_one};
use crate::kafka::servers;
use crate::member::{Member, Watch};
use crate::stage::{PARTITIONS, Stage};

/// The shortest that brokers allow by default (`group.min.session.timeout.ms`).
pub const SESSION_TIMEOUT: Duration = Duration::from_secs(6);
/// How long a member may take to leave.
const LEAVE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(100);

/// A consumer group of one test.
pub struct Group {
    pub stage: Arc<Stage>,
    /// Kafka's `group.id`.
    pub id: String,
    pub watch: Arc<Watch>,
    pub members: Vec<Member>,
    exactly_once: bool,
    series_ttl: &'static str,
    started: u32,
}

impl Group {
    /// A group without members, and its topics.
    pub async fn new(stage: &Arc<Stage>, what: &str) -> Self {
        let group = Self {
            id: format!("{}.{what}", stage.name),
            watch: Arc::new(Watch::new(stage.traffic.clone())),
            stage: stage.clone(),
            members: Vec::new(),
            exactly_once: true,
            series_ttl: "1h",
            started: 0,
        };
        stage.create_state(&group.state_topic(), PARTITIONS).await;
        stage.create(&group.letters_topic(), 1, &[]).await;
        group
    }

    /// Its members keep nothing in Kafka.
    pub fn at_least_once(mut self) -> Self {
        self.exactly_once = false;
        self
    }

    /// Its series live so long.
    pub fn with_ttl(mut self, series_ttl: &'static str) -> Self {
        self.series_ttl = series_ttl;
        self
    }

    /// The compacted topic of its state.
    pub fn state_topic(&self) -> String {
        format!("{}.state", self.id)
    }

    /// Where what cannot be taken goes.
    pub fn letters_topic(&self) -> String {
        format!("{}.letters", self.id)
    }

    /// Starts a member.
    pub fn join(&mut self, pod: &str) -> &mut Member {
        self.started += 1;
        let (source, id) = (&self.stage.name, &self.id);
        let session = SESSION_TIMEOUT.as_secs();
        let config = format!(
            "consumer: test/exactly-once\nkafka: {{bootstrapServers: \"{}\"}}\ngroupId: {id}\ntopics: [{source}]\n\
             deadLetterTopic: {}\nstateTopic: {}\nsessionTimeout: {session}s\n\
             sink: {{prometheus: {{exactlyOnce: {}, seriesTtl: {}}}}}\n",
            servers(),
            self.letters_topic(),
            self.state_topic(),
            self.exactly_once,
            self.series_ttl
        );
        let logs = self
            .stage
            .logs
            .join(id.rsplit('.').next().unwrap_or_default());
        std::fs::create_dir_all(&logs).expect("a directory for logs");
        let member = Member::start(self.started, pod, &config, &logs, &self.watch);
        self.members.push(member);
        self.members.last_mut().expect("it was just put there")
    }

    /// kill -9 of a member; its pod.
    pub fn kill(&mut self, index: usize) -> String {
        let mut member = self.members.remove(index);
        member.kill();
        member.pod.clone()
    }

    /// SIGTERM to a member, which has to end well; its pod.
    pub async fn leave(&mut self, index: usize) -> String {
        let ended = self.members[index].terminate(LEAVE).await;
        let member = self.members.remove(index);
        if !ended.is_some_and(|status| status.success()) {
            self.found(
                Kind::Exited,
                format!("{} was told to end, and: {ended:?}", member.pod),
            );
        }
        member.pod.clone()
    }

    /// Members that ended by themselves are findings, and are started again as Kubernetes does.
    pub fn tend(&mut self) {
        let mut ended = Vec::new();
        for (index, member) in self.members.iter_mut().enumerate() {
            if let Some(status) = member.ended() {
                ended.push((
                    index,
                    format!("{} (process {}): {status}", member.pod, member.id),
                ));
            }
        }
        for (index, what) in ended.into_iter().rev() {
            self.found(Kind::Exited, what);
            let pod = self.members.remove(index).pod.clone();
            self.join(&pod);
        }
    }

    fn found(&self, kind: Kind, what: String) {
        self.watch.findings().push(Finding::new(kind, what));
    }

    fn alive(&self) -> Vec<u32> {
        self.members.iter().map(|member| member.id).collect()
    }

    /// The sources of which the members showed something when they were last scraped.
    pub fn shown_sources(&self) -> BTreeSet<String> {
        let scrapes = self.watch.scrapes();
        let last = self
            .members
            .iter()
            .filter_map(|member| scrapes.last(member.id));
        last.flat_map(|scrape| scrapes.sources(scrape))
            .map(str::to_owned)
            .collect()
    }

    /// Waits until all partitions that have a record are shown; how long that took, `None` when it took too long.
    pub async fn shows_all(&mut self, within: Duration) -> Option<Duration> {
        let (began, ends) = (Instant::now(), self.stage.ends().await);
        let all: BTreeSet<String> = ends
            .keys()
            .map(|(topic, p)| format!("{topic}/{p}"))
            .collect();
        while !self.shown_sources().is_superset(&all) {
            if began.elapsed() > within {
                return None;
            }
            self.tend();
            tokio::time::sleep(LOOK).await;
        }
        Some(began.elapsed())
    }

    /// Waits until each member shows something; whether it did in time.
    pub async fn each_shows(&mut self, within: Duration) -> bool {
        let began = Instant::now();
        while began.elapsed() < within {
            let each = {
                let scrapes = self.watch.scrapes();
                let shows = |id: &u32| scrapes.last(*id).is_some_and(|s| !s.values.is_empty());
                self.alive().iter().all(shows)
            };
            if each {
                return true;
            }
            self.tend();
            tokio::time::sleep(LOOK).await;
        }
        false
    }

    /// Waits until everything is consumed and committed, and shown exactly as it was produced; where it is not, what differs.
    pub async fn comes_to_the_model(&mut self, within: Duration) -> Vec<Finding> {
        self.stage.traffic.flush();
        let deadline = Instant::now() + within;
        loop {
            let committed = self.stage.all_committed(&self.id).await;
            let mut findings = {
                let (scrapes, alive) = (self.watch.scrapes(), self.alive());
                equal(&scrapes.shown(&alive), &self.stage.traffic.model())
            };
            if let Err(why) = committed {
                findings.push(Finding::new(Kind::Differs, why));
            }
            if findings.is_empty() {
                return findings;
            }
            if Instant::now() > deadline {
                findings.extend(self.not_scraped());
                findings.extend(self.watch.findings().clone());
                return findings;
            }
            self.tend();
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Members whose last page is old, and why.
    fn not_scraped(&self) -> Vec<Finding> {
        let scrapes = self.watch.scrapes();
        let mut found = Vec::new();
        for id in self.alive() {
            let Some(last) = scrapes.last(id) else {
                found.push(Finding::new(
                    Kind::Unreadable,
                    format!("process {id} never showed a page"),
                ));
                continue;
            };
            let age = last.received.elapsed();
            if age > SESSION_TIMEOUT {
                let why = self.watch.refused(id, last.received);
                let what =
                    format!("process {id} showed its last page {age:.0?} ago; since then: {why:?}");
                found.push(Finding::new(Kind::Unreadable, what));
            }
        }
        found
    }

    /// Everything is exactly as produced, within a minute, or the test fails.
    pub async fn is_exact(&mut self) {
        let findings = self.comes_to_the_model(Duration::from_secs(60)).await;
        self.assert_none(&findings);
    }

    /// All that was wrong from beginning to end, the dead letters included.
    pub async fn findings(&self) -> Vec<Finding> {
        let mut findings = self.watch.findings().clone();
        findings.extend(never_back(&self.watch.scrapes()));
        findings.extend(shown_by_one(&self.watch.scrapes()));
        let letters = self.stage.records(&self.letters_topic()).await;
        let letters = letters
            .iter()
            .map(|letter| String::from_utf8_lossy(&letter.value).into_owned());
        let letters: Vec<_> = letters.collect();
        findings.extend(each_once(self.stage.traffic.model().bad(), &letters));
        findings
    }

    /// The end of a group: its members leave, nothing was wrong, its topics are deleted.
    pub async fn finish(mut self) {
        self.tend();
        while !self.members.is_empty() {
            self.leave(0).await;
        }
        self.assert_none(&self.findings().await);
        self.stage.delete(&self.letters_topic()).await;
        self.stage.delete(&self.state_topic()).await;
    }

    /// From here on, between two members, a partition's series begin anew, and are those of what is produced or set by the test.
    pub fn begins_anew(&self, partition: i32) {
        let source = self.stage.source(partition);
        self.stage.traffic.model().forget(&source);
        self.watch.scrapes().forget(&source);
    }

    /// The end of a group of which findings are expected.
    pub async fn discard(mut self) {
        self.members.clear();
        self.stage.delete(&self.letters_topic()).await;
        self.stage.delete(&self.state_topic()).await;
    }

    fn assert_none(&self, findings: &[Finding]) {
        let (logs, group) = (self.stage.logs.display(), &self.id);
        assert!(
            findings.is_empty(),
            "group {group}; logs are in {logs}{}",
            report(findings)
        );
    }
}
