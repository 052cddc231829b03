use bt_events::{EventError, Text};

use super::document::{write_action, write_place, write_record_time, write_topic};
use super::target::Target;
use crate::pipeline::Origin;

/// Appends the action and the document of a record, or an element of one, that is no event: its text, and why. A record without a
/// value has an empty text.
pub(super) fn write(out: &mut Vec<u8>, error: &EventError, origin: &Origin<'_>, target: &Target) {
    write_action(out, target, |out| target.name_of_malformed(out, origin));
    write_place(out, origin);
    out.extend_from_slice(b"}}\n{\"@timestamp\":");
    write_record_time(out, origin);
    out.extend_from_slice(b",\"message\":");
    let text = String::from_utf8_lossy(origin.bytes.unwrap_or_default());
    Text::from(&*text).write_json(out);
    out.extend_from_slice(b",\"error\":{\"code\":");
    Text::from(error.reason()).write_json(out);
    out.extend_from_slice(b",\"message\":");
    Text::from(error.to_string()).write_json(out);
    out.extend_from_slice(b"},\"event\":{\"kind\":\"pipeline_error\",\"dataset\":");
    write_topic(out, origin);
    out.extend_from_slice(b"}}\n");
}
