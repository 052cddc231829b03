use reqwest::Method;
use serde_json::json;

use super::super::client::Client;
use super::super::failure::Failure;
use super::call::{self, Undone};

/// Whether a document was refused because its labels' names are too many for the index: it can be taken after [`freeze_labels`].
pub(in super::super) fn is_label_limit(r#type: &str, reason: &str) -> bool {
    r#type == "illegal_argument_exception" && reason.starts_with("Limit of total fields [")
}

/// Ends new fields for labels in an index or data stream that has as many as it may: labels with other names are then kept in the
/// documents, but not searchable, until the next index. Elasticsearch from 8.14 does so by itself, by a setting of our template.
///
/// `false` when the engine refuses that: there is no place for the document then.
///
/// # Errors
/// When it was not done, but may be later.
pub(in super::super) async fn freeze_labels(client: &Client, index: &str) -> Result<bool, Failure> {
    let path = format!("/{}/_mapping", call::segment(index));
    let body = json!({"properties": {"labels": {"type": "object", "dynamic": "false"}}});
    match call::json(client, Method::PUT, &path, Some(&body)).await {
        Ok(_) => {
            tracing::warn!(
                index,
                "the index has as many fields as it may: labels with new names are kept, but cannot be searched for"
            );
            Ok(true)
        }
        Err(Undone::Later(failure)) => Err(failure),
        Err(Undone::Refused(failure)) => {
            tracing::warn!(
                index,
                why = failure.why,
                "the index has as many fields as it may, and its mapping cannot be changed"
            );
            Ok(false)
        }
    }
}
