use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;

use super::super::client::Client;
use super::super::failure::Failure;
use super::call::{self, Undone};
use super::{Place, Remark};

/// The reason of remarks on names of others that our pattern matches.
pub(super) const TOO_WIDE: &str = "PatternTooWide";

/// A data stream, as far as it matters.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Stream {
    pub name: String,
    /// Its backing indices, the one that is written to last.
    #[serde(deserialize_with = "names")]
    pub indices: Vec<String>,
    /// The template that its next index will be made by.
    template: Option<String>,
    lifecycle: Option<Lifecycle>,
}

#[derive(Debug, Clone, Deserialize)]
struct Lifecycle {
    data_retention: Option<String>,
}

impl Stream {
    /// What its lifecycle says, if it has one.
    pub fn data_retention(&self) -> Option<&str> {
        self.lifecycle.as_ref()?.data_retention.as_deref()
    }
}

fn names<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    struct Index {
        index_name: String,
    }
    let indices = Vec::<Index>::deserialize(deserializer)?;
    Ok(indices.into_iter().map(|index| index.index_name).collect())
}

/// The data streams that match; `None` where the engine has no data streams.
pub(super) async fn list(client: &Client, pattern: &str) -> Result<Option<Vec<Stream>>, Undone> {
    #[derive(Deserialize)]
    struct Streams {
        data_streams: Vec<Stream>,
    }
    // Of a name without a wildcard it would not be clear what is missing: the stream, or streams at all.
    let wide = match pattern.contains('*') {
        true => pattern.to_owned(),
        false => format!("{pattern}*"),
    };
    let path = format!("/_data_stream/{}", call::segment(&wide));
    let answer = call::send(client, Method::GET, &path, None).await?;
    let what = format!("GET {path}");
    match answer.status.as_u16() {
        200..=299 => {
            let streams: Streams = serde_json::from_slice(&answer.body)
                .map_err(|_| Failure::nonsense(&what, &answer))?;
            let mut streams = streams.data_streams;
            streams.retain(|stream| pattern.contains('*') || stream.name == pattern);
            Ok(Some(streams))
        }
        // Engines without data streams take this for an index with a wrong name, or an unknown path.
        400 | 404 | 405 => Ok(None),
        401 | 403 => Err(call::refusal(&what, &answer)),
        _ => Err(Failure::answer(&what, &answer).into()),
    }
}

/// The streams that are ours: retention deletes, so it must not reach others'. A stream of a fixed name is; of those that match a
/// pattern, the ones whose every index has our mapping.
pub(super) async fn ours(
    place: &Place<'_>,
    mut streams: Vec<Stream>,
    remarks: &mut Vec<Remark>,
) -> Result<Vec<Stream>, Failure> {
    if place.fixed.is_some() || streams.is_empty() {
        return Ok(streams);
    }
    let path = format!(
        "/{}/_mapping?filter_path=*.mappings._meta",
        call::segment(&place.pattern)
    );
    let mappings = match call::get(place.client, &path).await {
        Ok(mappings) => mappings.unwrap_or_default(),
        Err(Undone::Refused(_)) => Value::Null,
        Err(Undone::Later(failure)) => return Err(failure),
    };
    let has_ours = |index: &String| mappings[index]["mappings"]["_meta"]["template"] == *place.name;
    let (ours, foreign): (Vec<_>, Vec<_>) = streams
        .drain(..)
        .partition(|stream| stream.indices.iter().all(has_ours));
    if let Some(first) = foreign.first() {
        let template = first.template.as_deref().unwrap_or("none");
        remarks.push(Remark {
            reason: TOO_WIDE,
            message: format!(
                "{} also matches {} data streams that were not made by this consumer, first {} (template {template}): choose a dataStream \
                 with a beginning of its own, for their next indices would get our mapping and retention",
                place.pattern,
                foreign.len(),
                first.name,
            ),
        });
    }
    Ok(ours)
}
