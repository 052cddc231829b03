use std::sync::Arc;
use std::time::Duration;

use bt_kafka::{Admin, Connection};

use super::commits::{Commits, Kept};
use super::lease::{Lease, Renewal};
use super::letter::Letters;
use super::poll::PipelineError;
use super::restore::{self, Restorer};
use super::transactions::{self, Transactions};
use crate::config::StartFrom;
use crate::sink::prometheus::SeriesSettings;
use crate::sink_state::SinkState;
use crate::stats::Stats;

/// What committing takes, whatever the sink.
pub(crate) struct Committing {
    pub kafka: Connection,
    pub client_id: String,
    pub group_id: String,
    /// Names this process among those of the group; a pod's name.
    pub member: String,
    pub letters: Letters,
}

/// What it takes for a sink whose state is committed with the offsets.
pub(crate) struct Exactly {
    pub state_topic: String,
    pub start_from: StartFrom,
    pub session_timeout: Duration,
    pub series: Arc<SeriesSettings>,
    pub lease: Arc<Lease>,
}

impl Committing {
    /// Commits offsets; in transactions where dead letters are to be written with them. The first of these connects.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn offsets(self, runtime: tokio::runtime::Handle) -> Result<Commits, PipelineError> {
        self.commits(runtime, None)
    }

    /// Commits everything together in transactions, which also prolong the lease of what is shown.
    ///
    /// # Errors
    /// When librdkafka refuses the connection's settings, or the system gives no thread.
    pub fn exactly(
        self,
        exactly: Exactly,
        runtime: tokio::runtime::Handle,
        stats: Arc<Stats>,
        state: Arc<SinkState>,
    ) -> Result<Commits, PipelineError> {
        let admin = Admin::new(&self.kafka, &format!("{}-state", self.client_id))?
            .with_timeout(Duration::from_secs(5));
        let restorer = Restorer::new(
            restore::Settings {
                kafka: self.kafka.clone(),
                client_id: self.client_id.clone(),
                group_id: self.group_id.clone(),
                state_topic: exactly.state_topic.clone(),
                start_from: exactly.start_from,
                series: exactly.series,
            },
            admin,
            runtime.clone(),
            stats,
            state,
        );
        let kept = Kept {
            restorer,
            renewal: Renewal::new(exactly.lease, exactly.session_timeout),
            topic: exactly.state_topic,
            topic_id: None,
        };
        self.commits(runtime, Some(kept))
    }

    fn commits(
        self,
        runtime: tokio::runtime::Handle,
        kept: Option<Kept>,
    ) -> Result<Commits, PipelineError> {
        let letters_topic = self.letters.topic.clone();
        let transactional_id = format!("{}-{}", self.group_id, self.member);
        let transactions = Transactions::new(transactions::Settings {
            kafka: self.kafka,
            client_id: format!("{}-commits", self.client_id),
            group_id: self.group_id,
            transactional_id: transactional_id.clone(),
            state_topic: kept.as_ref().map(|kept| kept.topic.clone()),
            letters: self.letters,
            runtime,
        })?;
        Ok(Commits::new(
            transactions,
            transactional_id,
            letters_topic,
            kept,
        ))
    }
}
