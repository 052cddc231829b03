use thiserror::Error;

/// Why a record or an element of it is not an event.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EventError {
    /// The record has no value (a tombstone).
    #[error("the record has no value")]
    NullValue,
    /// The record's value is not UTF-8.
    #[error("the value is not UTF-8 (first wrong byte at {0})")]
    NotUtf8(usize),
    /// The value is not JSON.
    #[error("the value is not JSON: {0}")]
    NotJson(String),
    /// A JSON value that is neither an object nor an array of objects.
    #[error("expected an event as a JSON object, found {0}")]
    NotAnObject(&'static str),
    /// The object has none of the fields by which events are told apart.
    #[error(
        "cannot tell what kind of event this is: a metric has name, kind and value, a log has level and message, \
         a health event has status, a business event has type"
    )]
    UnknownKind,
    /// A required field is missing.
    #[error("{kind} event without the field `{field}`")]
    MissingField {
        /// What the event is, by its other fields.
        kind: &'static str,
        /// The field's name, with dots for nested ones.
        field: &'static str,
    },
    /// A field has a value that it cannot have.
    #[error("field `{field}`: expected {expected}, found {found}")]
    InvalidField {
        /// The field's name, with dots for nested ones.
        field: String,
        /// What is allowed.
        expected: &'static str,
        /// What stands there, cut short.
        found: String,
    },
}

impl EventError {
    /// A short constant name for counters and dead-letter headers.
    pub fn reason(&self) -> &'static str {
        match self {
            EventError::NullValue => "null_value",
            EventError::NotUtf8(_) => "invalid_utf8",
            EventError::NotJson(_) => "invalid_json",
            EventError::NotAnObject(_) => "not_an_object",
            EventError::UnknownKind => "unknown_kind",
            EventError::MissingField { .. } => "missing_field",
            EventError::InvalidField { .. } => "invalid_field",
        }
    }

    /// An [`EventError::InvalidField`]; `found` is JSON text and is cut to a length fit for a log line.
    pub(crate) fn invalid(field: impl Into<String>, expected: &'static str, found: &str) -> Self {
        let mut cut: String = found.chars().take(60).collect();
        if cut.len() < found.len() {
            cut.push('…');
        }
        EventError::InvalidField {
            field: field.into(),
            expected,
            found: cut,
        }
    }
}
