//! What the engine is, and what is made and kept in it: the index template and the retention of what is indexed.
//!
//! Everything is compared before it is written, so that doing it again changes nothing, and what others have made is left alone.

mod call;
mod info;
mod labels;
mod retention;
mod streams;
mod template;

use std::time::Duration;

use reqwest::Method;

use self::call::{MANAGED_BY, Undone};
use self::info::Info;
use self::streams::Stream;
use self::template::State;
use super::client::Client;
use super::failure::Failure;
use super::target::Target;
use crate::config::ElasticsearchSink;
use crate::sink_state::{Remark, SinkCondition};
pub(super) use call::segment;
pub(super) use labels::{freeze_labels, is_label_limit};

/// How often [`set_up`] is to be done again while all is well: who deletes our template sees it come back.
pub(super) const CHECK_INTERVAL: Duration = Duration::from_secs(300);

/// What the engine is, and what people should know of what was made in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Engine {
    pub name: &'static str,
    pub version: String,
    pub data_streams: bool,
    /// What is not as configured, though documents are taken. The same as long as nothing changes.
    pub remarks: Vec<Remark>,
}

/// What all steps of the set-up need.
struct Place<'a> {
    client: &'a Client,
    info: &'a Info,
    config: &'a ElasticsearchSink,
    /// Who we are: `namespace/name`.
    consumer: &'a str,
    /// Of the template and of the policy.
    name: String,
    /// What all names of our streams match.
    pattern: String,
    /// The name of our stream, where there is only one.
    fixed: Option<String>,
}

/// Asks what the engine is, and makes the index template and the retention if `consumer` (`namespace/name`) is to manage them. Can be
/// done again at any time.
///
/// # Errors
/// What failed and why; all of it may come right later.
pub(super) async fn set_up(
    client: &Client,
    config: &ElasticsearchSink,
    consumer: &str,
) -> Result<Engine, Failure> {
    let target = Target::parse(&config.data_stream).map_err(|why| Failure {
        kind: SinkCondition::Rejecting,
        why: format!("dataStream: {:?} {why}", config.data_stream),
    })?;
    let version = info::version(client).await?;
    let (pattern, manage) = (target.pattern(), config.template.manage);
    let streams = streams::list(client, &pattern).await;
    let streams = match streams {
        Ok(streams) => streams,
        Err(Undone::Refused(_)) if !manage => version.has_data_streams().then(Vec::new),
        Err(undone) => return Err(undone.failure()),
    };
    let info = Info::new(version, streams.is_some());
    let mut remarks = Vec::new();
    if manage {
        let place = Place {
            client,
            info: &info,
            config,
            consumer,
            name: format!("{MANAGED_BY}-{}", config.data_stream),
            fixed: target.fixed().map(str::to_owned),
            pattern,
        };
        let streams = streams.unwrap_or_default();
        keep(&place, streams, &mut remarks).await?;
    }
    Ok(Engine {
        name: info.name(),
        version: info.number.clone(),
        data_streams: info.data_streams,
        remarks,
    })
}

/// Asks the engine for a sign of life that needs our credentials too.
///
/// # Errors
/// When it gives none.
pub(super) async fn probe(client: &Client) -> Result<(), Failure> {
    info::version(client).await.map(|_| ())
}

async fn keep(
    place: &Place<'_>,
    streams: Vec<Stream>,
    remarks: &mut Vec<Remark>,
) -> Result<(), Failure> {
    let current = template::current(place).await?;
    if let State::Foreign = current {
        let name = &place.name;
        remarks.push(Remark {
            reason: "TemplateNotOurs",
            message: format!(
                "the index template {name} was not made by {MANAGED_BY} and is left alone: mapping and retention are its owner's. Delete it, \
                 or set template.manage: false"
            ),
        });
        return Ok(());
    }
    if let Some(other) = template::kept_otherwise(place, &current) {
        remarks.push(other);
        return Ok(());
    }
    if let Some(index) = index_in_the_way(place, &streams).await? {
        remarks.push(index);
    }
    let streams = streams::ours(place, streams, remarks).await?;
    let previous = current.retention();
    let plan = retention::prepare(place, &previous, &streams, remarks).await?;
    if let Err(remark) = template::keep(place, &current, &plan.part).await? {
        remarks.push(remark);
        return Ok(());
    }
    if let Some(remark) = template::overruled(place).await? {
        remarks.push(remark);
        return Ok(());
    }
    if remarks.iter().all(|r| r.reason != streams::TOO_WIDE) {
        remarks.extend(template::captures(place).await?);
    }
    retention::apply(place, &plan, &previous, &streams, remarks).await
}

/// Where our data stream should be is an index, which was made before us or without our template.
async fn index_in_the_way(
    place: &Place<'_>,
    streams: &[Stream],
) -> Result<Option<Remark>, Failure> {
    let Some(name) = place.fixed.as_deref().filter(|_| place.info.data_streams) else {
        return Ok(None);
    };
    if streams.iter().any(|stream| stream.name == *name) {
        return Ok(None);
    }
    let path = format!("/{}", call::segment(name));
    let answer = call::send(place.client, Method::HEAD, &path, None).await?;
    Ok(answer.status.is_success().then(|| Remark {
        reason: "NotADataStream",
        message: format!(
            "{name} is an index or an alias, not a data stream: mapping and retention do not reach it. Reindex and delete it, or choose \
             another dataStream"
        ),
    }))
}

#[cfg(test)]
mod recorded;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_of_retention;
#[cfg(test)]
mod tests_on_engines;
