//! Following the event: what Kafka has committed, what the sink shows.

use std::time::{Duration, Instant};

use bt_kafka::{Admin, Connection};

use super::event::TestEvent;
use super::{Hop, SendError, local};
use crate::config::Config;
use crate::sink::elasticsearch::Finder;

/// Between two looks at what Kafka has committed, or at the sink.
const LOOK: Duration = Duration::from_millis(100);

/// Where the event can be seen at the end.
pub(super) enum Sink {
    Search(Box<Finder>),
    Pages(local::Pages),
}

pub(super) struct Journey<'t> {
    pub began: Instant,
    pub timeout: Duration,
    pub tell: &'t mut dyn FnMut(&Hop) -> std::io::Result<()>,
}

impl Journey<'_> {
    pub fn ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn is_over(&self) -> bool {
        self.began.elapsed() > self.timeout
    }

    fn give_up(&mut self, waited_for: String, seen: String) -> Result<bool, SendError> {
        let ms = self.ms();
        (self.tell)(&Hop::TimedOut {
            ms,
            waited_for,
            seen,
        })?;
        Ok(false)
    }

    pub async fn committed(
        &mut self,
        config: &Config,
        kafka: &Connection,
        place: &(String, i32),
        offset: i64,
    ) -> Result<bool, SendError> {
        let admin = Admin::new(kafka, "bt-send")?;
        let group = &config.group_id;
        loop {
            let committed = admin.committed_offsets(group).await;
            let seen = match committed.map(|offsets| offsets.get(place).copied()) {
                Ok(Some(committed)) if committed > offset => {
                    let ms = self.ms();
                    let (group, offset) = (group.clone(), committed);
                    (self.tell)(&Hop::Committed { ms, group, offset })?;
                    return Ok(true);
                }
                Ok(Some(committed)) => format!("offset {committed} is committed"),
                Ok(None) => "nothing is committed".to_owned(),
                Err(error) => format!("Kafka: {error}"),
            };
            if self.is_over() {
                let (topic, partition) = place;
                let waited_for = format!(
                    "the group {group} to commit offset {} of {topic}/{partition}",
                    offset + 1
                );
                return self.give_up(waited_for, seen);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    pub async fn visible(&mut self, sink: &Sink, event: &TestEvent) -> Result<bool, SendError> {
        let mut wait = LOOK;
        loop {
            let (found, whose) = match sink {
                Sink::Search(finder) => (
                    finder.find(&event.id).await,
                    format!("a search in {} to find _id {}", finder.pattern(), event.id),
                ),
                Sink::Pages(pages) => (
                    pages.find(&event.token).await,
                    format!("{} on the pod's /metrics", event.token),
                ),
            };
            let seen = match found {
                Ok(Some(place)) => {
                    let ms = self.ms();
                    (self.tell)(&Hop::Visible { ms, place })?;
                    return Ok(true);
                }
                Ok(None) => "it is not there".to_owned(),
                Err(why) => why,
            };
            if self.is_over() {
                return self.give_up(whose, seen);
            }
            tokio::time::sleep(wait).await;
            // Pages can be large.
            wait = (wait * 3 / 2).min(Duration::from_secs(1));
        }
    }
}
