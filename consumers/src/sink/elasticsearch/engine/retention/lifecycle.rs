//! Data stream lifecycles: <https://www.elastic.co/docs/manage-data/lifecycle/data-stream>.

use reqwest::Method;
use serde_json::json;

use super::super::Place;
use super::super::call::{self, Undone};
use super::super::streams::Stream;

/// Gives existing streams the retention that the template gives to new ones, unless they have one that is not from our template.
pub(super) async fn apply(
    place: &Place<'_>,
    retention: &str,
    previous: Option<&str>,
    streams: &[Stream],
) -> Result<(), Undone> {
    let mut others = Vec::new();
    for stream in streams {
        match stream.data_retention() {
            Some(current) if current == retention => continue,
            Some(current) if Some(current) != previous => {
                others.push(format!("{} ({current})", stream.name));
                continue;
            }
            _ => {}
        }
        let body = json!({"data_retention": retention});
        call::json(place.client, Method::PUT, &path(stream), Some(&body)).await?;
        tracing::info!(
            stream = stream.name,
            retention,
            "the data stream's lifecycle is set"
        );
    }
    match others.first() {
        None => Ok(()),
        Some(first) => Err(Undone::refused(format!(
            "{} data streams have another lifecycle and are left to it, first {first}",
            others.len()
        ))),
    }
}

/// Takes the lifecycle from the streams that have it of us: it is the one that our template had.
pub(super) async fn remove(
    place: &Place<'_>,
    ours: &str,
    streams: &[Stream],
) -> Result<(), Undone> {
    for stream in streams {
        if stream.data_retention() == Some(ours) {
            call::json(place.client, Method::DELETE, &path(stream), None).await?;
            tracing::info!(
                stream = stream.name,
                "the data stream's lifecycle is removed"
            );
        }
    }
    Ok(())
}

fn path(stream: &Stream) -> String {
    format!("/_data_stream/{}/_lifecycle", call::segment(&stream.name))
}
