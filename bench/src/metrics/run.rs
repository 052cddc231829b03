//! What is done, in order: each function measures one part and puts it into the figures.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::Options;
use super::comparison::python;
use super::events::Plan;
use super::figures::{Consumed, Figures, Many, Memory};
use super::page::Page;
use super::restore::{restored, whole_page};
use super::scrapes::{Meanwhile, costs};
use super::sink::Sink;
use super::work::{Loaded, Work};
use crate::told::floor;
use crate::words::progress;

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
            work: Work::new(kafka, id, binary, deadline)?,
        })
    }

    /// Measures everything that the options ask for.
    ///
    /// # Errors
    /// When the work itself fails; the figures have what was measured before.
    pub async fn measure(&mut self, figures: &mut Figures) -> Result<()> {
        self.work.begin().await?;
        let plan = Plan {
            events: self.options.events,
            series: self.options.series,
        };
        let all = self.work.preload("all", plan, figures).await?;
        for round in 1..=self.options.rounds {
            self.round(round, &all, figures).await?;
        }
        if self.options.python_events > 0 {
            self.python(&all, figures).await?;
        }
        self.memory(figures).await?;
        if self.options.many > 0 {
            self.many(figures).await?;
        }
        if !self.options.no_exactly_once {
            self.restores(&all, figures).await?;
        }
        Ok(())
    }

    /// Deletes what was made.
    ///
    /// # Errors
    /// When Kafka refuses it.
    pub async fn end(&self) -> Result<()> {
        self.work.end().await
    }

    /// The same work by each, one after the other, so that what else the machine does is shared by all.
    async fn round(&mut self, round: u32, all: &Loaded, figures: &mut Figures) -> Result<()> {
        let group = self.work.group(&format!("floor-{round}"));
        let (events, deadline) = (all.plan.events, self.work.deadline);
        let told = floor(self.kafka, &all.topic, &group, events, false, deadline).await?;
        progress(&format!(
            "floor-{round}: {:.2} CPU s a million, {:.0} events/s",
            told.per_million(),
            told.rate()
        ));
        figures.floor.push(told);

        let what = format!("off-{round}");
        let run = self.exact(&what, all, false, Meanwhile::Nothing, figures);
        let (sink, consumed) = run.await?;
        figures.off.push(consumed);
        if round == self.options.rounds && self.options.scrapes > 0 {
            progress("scrapes, of a sink at rest");
            figures.scrapes = costs(&sink, self.options.scrapes).await?;
            figures.rss_after_scrapes = Some(sink.usage()?.rss);
        }
        sink.stop().await?;

        if self.options.scrapes > 0 {
            let what = format!("scraped-{round}");
            let run = self.exact(&what, all, false, Meanwhile::EverySecond, figures);
            let (_, consumed) = run.await?;
            figures.scraped.push(consumed);
            let what = format!("scraped-at-once-{round}");
            let run = self.exact(&what, all, false, Meanwhile::AtOnce, figures);
            let (_, consumed) = run.await?;
            figures.scraped_at_once.push(consumed);
        }
        if !self.options.no_exactly_once {
            let what = on(round);
            let run = self.exact(&what, all, true, Meanwhile::Nothing, figures);
            let (sink, consumed) = run.await?;
            figures.on.push(consumed);
            sink.stop().await?;
        }
        Ok(())
    }

    async fn python(&mut self, all: &Loaded, figures: &mut Figures) -> Result<()> {
        let events = self.options.python_events.min(all.plan.events);
        let group = self.work.group("python");
        let (program, deadline) = (&self.options.python, self.work.deadline);
        let told = python(program, self.kafka, &all.topic, &group, events, deadline).await?;
        let cost = told.1.per_million();
        progress(&format!("Python: {cost:.2} CPU s a million"));
        figures.python = Some(told);
        Ok(())
    }

    /// What series need: the memory of a process with all of them less that of one with one in each partition. Both are given
    /// their events so slowly that no buffer fills, whose size would be most of what is seen.
    async fn memory(&mut self, figures: &mut Figures) -> Result<()> {
        for exactly_once in self.modes() {
            let mut memory = Memory {
                exactly_once,
                ..Memory::default()
            };
            for round in 1..=self.options.rounds {
                for series in [1, self.options.series] {
                    let what = format!("memory-{}-{series}-{round}", on_or_off(exactly_once));
                    let plan = Plan {
                        events: self.options.series * 2,
                        series,
                    };
                    let (_, consumed) = self.work.live(&what, plan, exactly_once).await?;
                    if series == 1 {
                        memory.one.push(consumed.rss);
                    } else {
                        memory.all.push(consumed.rss);
                        memory.series_bytes = consumed.series_bytes;
                    }
                }
            }
            figures.memory.push(memory);
        }
        Ok(())
    }

    async fn many(&mut self, figures: &mut Figures) -> Result<()> {
        let plan = Plan {
            events: self.options.many * 2,
            series: self.options.many,
        };
        let sums = plan.sums();
        for exactly_once in self.modes() {
            let what = format!("many-{}", on_or_off(exactly_once));
            let (mut sink, consumed) = self.work.live(&what, plan, exactly_once).await?;
            let page = whole_page(&mut sink, sums.len(), self.work.deadline).await?;
            compare(&what, &page, &sums, figures);
            let asked = Instant::now();
            sink.text().await?;
            figures.many.push(Many {
                exactly_once,
                series: plan.series,
                shown: page.series,
                rss: consumed.rss,
                series_bytes: consumed.series_bytes,
                page_seconds: asked.elapsed().as_secs_f64(),
            });
        }
        Ok(())
    }

    /// Starts anew, with all series in the state that the last round left.
    async fn restores(&self, all: &Loaded, figures: &mut Figures) -> Result<()> {
        let setup = self.work.setup(&on(self.options.rounds), all, true);
        for after in ["SIGTERM", "kill -9"] {
            let deadline = self.work.deadline;
            let (sink, found) = restored(&setup, after, &all.sums, deadline).await?;
            progress(&format!("restored after {after}: {:.2} s", found.shown));
            figures.restores.push(found);
            figures.exact += 1;
            // What it leaves is what the next one finds.
            sink.kill().await?;
        }
        Ok(())
    }

    /// Consumes a topic, and compares the page with what was produced.
    async fn exact(
        &mut self,
        what: &str,
        all: &Loaded,
        exactly_once: bool,
        meanwhile: Meanwhile,
        figures: &mut Figures,
    ) -> Result<(Sink, Consumed)> {
        let consumed = self.work.consumed(what, all, exactly_once, meanwhile);
        let (mut sink, consumed) = consumed.await?;
        let page = whole_page(&mut sink, all.sums.len(), self.work.deadline).await;
        let page = page.with_context(|| what.to_owned())?;
        compare(what, &page, &all.sums, figures);
        Ok((sink, consumed))
    }

    fn modes(&self) -> Vec<bool> {
        if self.options.no_exactly_once {
            vec![false]
        } else {
            vec![false, true]
        }
    }
}

/// The run of a round with exactly-once on.
fn on(round: u32) -> String {
    format!("on-{round}")
}

fn on_or_off(exactly_once: bool) -> &'static str {
    if exactly_once { "on" } else { "off" }
}

fn compare(what: &str, page: &Page, sums: &[u64], figures: &mut Figures) {
    match page.compare(sums) {
        Ok(()) => figures.exact += 1,
        Err(why) => {
            progress(&format!("{what}: WRONG: {why}"));
            figures.wrong.push(format!("{what}: {why}"));
        }
    }
}
