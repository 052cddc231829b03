use std::sync::Arc;
use std::time::Duration;

use bt_kafka::{Admin, Connection};

use super::commits::Commits;
use super::lease::{Lease, Renewal};
use super::letter::Letters;
use super::poll::PipelineError;
use super::restore::{self, Restorer};
use super::transactions::{self, Transactions};
use crate::config::StartFrom;
use crate::sink::prometheus::SeriesSettings;
use crate::sink_state::SinkState;
use crate::stats::Stats;

/// What committing exactly once takes.
pub(crate) struct Exactly {
    pub kafka: Connection,
    pub client_id: String,
    pub group_id: String,
    /// Names this process among those of the group; a pod's name.
    pub member: String,
    pub state_topic: String,
    pub start_from: StartFrom,
    pub session_timeout: Duration,
    pub letters: Letters,
    pub series: Arc<SeriesSettings>,
    pub lease: Arc<Lease>,
}

/// The commits in transactions, which also prolong the lease of what is shown.
///
/// # Errors
/// When librdkafka refuses the connection's settings.
pub(crate) fn exact(
    settings: Exactly,
    runtime: tokio::runtime::Handle,
    stats: Arc<Stats>,
    state: Arc<SinkState>,
) -> Result<Commits, PipelineError> {
    let admin = Admin::new(&settings.kafka, &format!("{}-state", settings.client_id))?
        .with_timeout(Duration::from_secs(5));
    let restorer = Restorer::new(
        restore::Settings {
            kafka: settings.kafka.clone(),
            client_id: settings.client_id.clone(),
            group_id: settings.group_id.clone(),
            state_topic: settings.state_topic.clone(),
            start_from: settings.start_from,
            series: settings.series,
        },
        admin,
        runtime,
        stats,
        state,
    );
    let letters_topic = settings.letters.topic.clone();
    let transactions = Transactions::new(transactions::Settings {
        kafka: settings.kafka,
        client_id: format!("{}-commits", settings.client_id),
        transactional_id: format!("{}-{}", settings.group_id, settings.member),
        state_topic: settings.state_topic.clone(),
        letters: settings.letters,
    })?;
    Ok(Commits::exact(
        transactions,
        restorer,
        Renewal::new(settings.lease, settings.session_timeout),
        settings.state_topic,
        letters_topic,
    ))
}
