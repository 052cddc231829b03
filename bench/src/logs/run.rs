//! What is done, in order: each function measures one part and puts it into the figures.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::time::sleep;

use super::engine::Engine;
use super::figures::{Consumed, Figures, WithEngine};
use super::null_engine::NullEngine;
use super::rsyslog::Rsyslog;
use super::stall::stalled;
use super::work::{Since, Work};
use super::{Options, Part, python};
use crate::told::floor;
use crate::words::{mebibytes, progress};

/// One run of the bench.
pub struct Run<'a> {
    options: &'a Options,
    kafka: &'a str,
    work: Work,
}

impl<'a> Run<'a> {
    /// A run with names of its own.
    ///
    /// # Errors
    /// When librdkafka refuses the address.
    pub fn new(kafka: &'a str, id: String, binary: PathBuf, options: &'a Options) -> Result<Self> {
        let deadline = Duration::from_secs(options.deadline);
        Ok(Self {
            options,
            kafka,
            work: Work::new(kafka, id, binary, options.partitions, deadline)?,
        })
    }

    /// Measures everything that the options ask for.
    ///
    /// # Errors
    /// When the work itself fails; the figures have what was measured before.
    pub async fn measure(&mut self, figures: &mut Figures) -> Result<()> {
        let options = self.options;
        self.work.begin().await?;
        let null = [
            Part::Floor,
            Part::Sink,
            Part::Gzip,
            Part::Rsyslog,
            Part::Python,
        ];
        let stall = options.wants(Part::Stall) && !options.stall.is_zero();
        if stall || null.iter().any(|part| options.wants(*part)) {
            let others = self.others(figures).await?;
            let topic = self.work.preload("all", options.logs, figures).await?;
            for round in 1..=options.rounds {
                self.round(round, &topic, &others, figures).await?;
            }
            if stall {
                self.stall(&topic, figures).await?;
            }
        }
        if options.wants(Part::Engine) {
            match &options.engine {
                Some(url) => self.engine(&Engine::at(url), figures).await?,
                None => skip(figures, "a real engine: none is named by --engine".into()),
            }
        }
        Ok(())
    }

    /// Deletes what was made.
    ///
    /// # Errors
    /// When Kafka or the engine refuses it.
    pub async fn end(&self) -> Result<()> {
        let kafka = self.work.end().await;
        if let Some(url) = &self.options.engine
            && self.options.wants(Part::Engine)
        {
            Engine::at(url).delete(&self.work.stream()).await?;
        }
        kafka
    }

    /// Looks for what the sink is compared with; what is not there is left out.
    async fn others(&mut self, figures: &mut Figures) -> Result<Others> {
        let mut others = Others::default();
        if self.options.wants(Part::Rsyslog) {
            match Rsyslog::find(&self.options.rsyslog) {
                Ok(rsyslog) => others.rsyslog = Some(rsyslog),
                Err(why) => skip(figures, format!("rsyslog: {why}")),
            }
        }
        if self.options.wants(Part::Python) {
            match python::check(&self.options.python).await {
                Ok(()) => {
                    let mut of_topic = Figures::default();
                    let logs = self.options.python_logs;
                    let topic = self.work.preload("python", logs, &mut of_topic).await?;
                    others.python_topic = Some(topic);
                }
                Err(why) => skip(figures, format!("Python: {why:#}")),
            }
        }
        Ok(others)
    }

    /// The same work by each, one after the other, so that what else the machine does is shared by all.
    async fn round(
        &mut self,
        round: u32,
        topic: &str,
        others: &Others,
        figures: &mut Figures,
    ) -> Result<()> {
        if self.options.wants(Part::Floor) {
            for copied in [false, true] {
                let what = format!("{}-{round}", if copied { "floor" } else { "bare" });
                let group = self.work.group(&what);
                let (logs, deadline) = (self.options.logs, self.work.deadline);
                let told = floor(self.kafka, topic, &group, logs, copied, deadline).await?;
                progress(&format!(
                    "{what}: {:.2} CPU s a million, {:.0} logs/s",
                    told.per_million(),
                    told.rate()
                ));
                if copied {
                    figures.floor.push(told);
                } else {
                    figures.bare.push(told);
                }
            }
        }
        for (part, gzip) in [(Part::Sink, false), (Part::Gzip, true)] {
            if !self.options.wants(part) {
                continue;
            }
            let what = format!("{}-{round}", if gzip { "gzip" } else { "sink" });
            let engine = NullEngine::start().await?;
            let mut sink = self.work.sink(&what, topic, engine.url(), gzip)?;
            let logs = self.options.logs;
            let consumed = self
                .work
                .consumed(&what, &mut sink.child, &engine, logs, Since::Start)
                .await?;
            sink.child.stop().await?;
            if gzip {
                figures.gzip.push(consumed);
            } else {
                figures.sink.push(consumed);
            }
        }
        if let Some(rsyslog) = &others.rsyslog {
            let consumed = self.rsyslog(rsyslog, round, topic).await?;
            figures.rsyslog.push(consumed);
        }
        if let Some(topic) = &others.python_topic {
            let consumed = self.python(round, topic).await?;
            figures.python.push(consumed);
        }
        Ok(())
    }

    async fn rsyslog(&mut self, rsyslog: &Rsyslog, round: u32, topic: &str) -> Result<Consumed> {
        let what = format!("rsyslog-{round}");
        let engine = NullEngine::start().await?;
        let group = self.work.group(&what);
        let mut running = rsyslog.start(self.kafka, topic, &group, &engine)?;
        let logs = self.options.logs;
        let consumed = self
            .work
            .consumed(&what, &mut running.child, &engine, logs, Since::Start)
            .await?;
        running.child.stop().await?;
        Ok(consumed)
    }

    async fn python(&mut self, round: u32, topic: &str) -> Result<Consumed> {
        let what = format!("python-{round}");
        let (program, logs) = (&self.options.python, self.options.python_logs);
        let engine = NullEngine::start().await?;
        let group = self.work.group(&what);
        let mut child = python::start(program, self.kafka, topic, &group, logs, engine.port())?;
        let consumed = self
            .work
            .consumed(&what, &mut child, &engine, logs, Since::FirstRequest)
            .await?;
        child.stop().await?;
        Ok(consumed)
    }

    async fn stall(&mut self, topic: &str, figures: &mut Figures) -> Result<()> {
        let (logs, stall) = (self.options.logs, self.options.stall);
        let engine = NullEngine::start().await?;
        let mut sink = self.work.sink("stall", topic, engine.url(), false)?;
        let group = self.work.group_of("stall");
        let found = stalled(
            &mut sink,
            &engine,
            &self.work.topics,
            &group,
            logs,
            stall,
            self.work.deadline,
        );
        let found = found.await.context("stall")?;
        sink.child.stop().await?;
        progress(&format!(
            "stall: {} before, {} at the end, {} at most",
            mebibytes(found.before),
            mebibytes(found.end),
            mebibytes(found.peak)
        ));
        figures.stall = Some(found);
        Ok(())
    }

    /// The same with a real engine, which has all that was produced, once.
    async fn engine(&mut self, engine: &Engine, figures: &mut Figures) -> Result<()> {
        let what = || format!("the engine at {}", engine.url());
        let name = engine.name().await.with_context(what)?;
        let processors = engine.processors().await.with_context(what)?;
        let logs = self.options.engine_logs;
        let mut of_topic = Figures::default();
        let topic = self.work.preload("engine", logs, &mut of_topic).await?;
        let group = self.work.group_of("engine");
        let engine_before = engine.cpu().await.with_context(what)?;
        let mut sink = self
            .work
            .sink("engine", &topic, engine.url().to_owned(), false)?;
        while self.work.topics.committed(&group).await? < logs {
            sink.child.alive(self.work.deadline, "commit all logs")?;
            sleep(Duration::from_millis(100)).await;
        }
        let engine_cpu = engine.cpu().await.with_context(what)? - engine_before;
        let usage = sink.child.usage()?;
        let assigned = sink.child.assigned();
        let since = assigned.context("its log does not tell of an assignment")?;
        let found = WithEngine {
            name,
            processors,
            logs,
            seconds: (Instant::now() - since).as_secs_f64(),
            sink_cpu: usage.cpu,
            engine_cpu,
            peak: usage.peak,
        };
        sink.child.stop().await?;
        let documents = engine.documents(&self.work.stream()).await;
        let documents = documents.with_context(what)?;
        ensure!(
            documents == logs,
            "the engine has {documents} documents of {logs} logs"
        );
        progress(&format!(
            "{}: {:.0} documents/s; {:.2} cores, the sink {:.2}",
            found.name,
            logs as f64 / found.seconds,
            found.engine_cores(),
            found.sink_cores()
        ));
        figures.engine = Some(found);
        Ok(())
    }
}

/// What the sink is compared with, as far as the machine has it.
#[derive(Default)]
struct Others {
    rsyslog: Option<Rsyslog>,
    /// The topic of the consumer in Python. It has no more logs than that reads, as librdkafka would fetch more of them ahead.
    python_topic: Option<String>,
}

/// Tells that a part is left out, and why.
fn skip(figures: &mut Figures, why: String) {
    progress(&format!("left out: {why}"));
    figures.skipped.push(why);
}
