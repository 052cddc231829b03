//! A layer for [`tracing_subscriber`] that sends log lines as events.

use std::error::Error;
use std::fmt::Debug;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use crate::{ErrorInfo, Log, Producer, RawJson, raw_json};

/// The targets of this crate and of what it stands on: their lines would cause more of them.
const OWN: [&str; 3] = ["bt_events", "rdkafka", "librdkafka"];

type Trace = fn() -> Option<(String, String)>;

/// Sends what is logged by `tracing` to `logs.events`, beside whatever else the subscriber does with it.
///
/// A line has the level, the target (as `logger`), the message and the fields with their types. Fields of the spans around
/// it come with it, the innermost winning, and the spans' names as the field `spans`. A field recorded as
/// `&dyn std::error::Error` becomes the log's `error`, with type, message and sources. The fields `trace_id` and
/// `span_id`, of the line or of a span, become the log's own.
///
/// What this crate and Kafka's client log is left out. Filters compose as usual:
///
/// ```no_run
/// use bt_events::LogLayer;
/// use tracing_subscriber::{EnvFilter, Layer, layer::SubscriberExt, util::SubscriberInitExt};
///
/// let _events = bt_events::init();
/// let logs = LogLayer::new(bt_events::default_producer()).with_filter(EnvFilter::new("info"));
/// tracing_subscriber::registry().with(tracing_subscriber::fmt::layer()).with(logs).init();
/// ```
#[derive(Debug, Clone)]
pub struct LogLayer {
    producer: Producer,
    trace: Option<Trace>,
}

impl LogLayer {
    /// Sends log lines by `producer`.
    pub fn new(producer: &Producer) -> Self {
        LogLayer {
            producer: producer.clone(),
            trace: None,
        }
    }

    /// Asks `trace` for the ids of trace and span, as hexadecimal digits, where fields do not name them: with OpenTelemetry
    /// those of the current context's span.
    pub fn trace(mut self, trace: Trace) -> Self {
        self.trace = Some(trace);
        self
    }
}

impl<S> Layer<S> for LogLayer
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().replace(fields);
        }
    }

    fn on_record(&self, id: &Id, record: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else {
            return;
        };
        let mut extensions = span.extensions_mut();
        match extensions.get_mut::<Fields>() {
            Some(fields) => record.record(fields),
            None => {
                let mut fields = Fields::default();
                record.record(&mut fields);
                extensions.insert(fields);
            }
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let metadata = event.metadata();
        if is_own(metadata.target()) || !self.producer.takes_any() {
            return;
        }
        let mut fields = Fields::default();
        let mut names = Vec::new();
        for span in context
            .event_scope(event)
            .into_iter()
            .flat_map(|scope| scope.from_root())
        {
            names.push(span.name());
            if let Some(own) = span.extensions().get::<Fields>() {
                fields.add_all(own);
            }
        }
        event.record(&mut fields);
        // What came by the crate `log` has its own target in a field.
        let logger = fields
            .take("log.target")
            .unwrap_or_else(|| metadata.target().to_owned());
        if is_own(&logger) {
            return;
        }
        if !names.is_empty() {
            fields.set("spans", raw_json(&names).ok());
        }
        self.producer
            .send_log(self.log(*metadata.level(), logger, fields));
    }
}

impl LogLayer {
    fn log(&self, level: Level, logger: String, mut fields: Fields) -> Log<'static> {
        let level = match level {
            Level::ERROR => "error",
            Level::WARN => "warn",
            Level::INFO => "info",
            Level::DEBUG => "debug",
            Level::TRACE => "trace",
        };
        let mut log = Log::new(level, fields.message.take().unwrap_or_default()).logger(logger);
        let (mut trace_id, mut span_id) = (fields.take("trace_id"), fields.take("span_id"));
        if let (None, Some((trace, span))) = (&trace_id, self.trace.and_then(|trace| trace())) {
            trace_id = Some(trace);
            span_id = span_id.or(Some(span));
        }
        log.trace_id = trace_id.map(Into::into);
        log.span_id = span_id.map(Into::into);
        log.error = fields.error;
        for (name, value) in fields.values {
            if !name.starts_with("log.") {
                log.fields.push(name, value);
            }
        }
        log
    }
}

fn is_own(target: &str) -> bool {
    let inside = |rest: &str| rest.is_empty() || rest.starts_with("::");
    OWN.iter()
        .any(|own| target.strip_prefix(own).is_some_and(inside))
}

/// What a span or an event carries.
#[derive(Debug, Default)]
struct Fields {
    message: Option<String>,
    error: Option<ErrorInfo<'static>>,
    values: Vec<(&'static str, RawJson<'static>)>,
}

impl Fields {
    fn set(&mut self, name: &'static str, value: Option<RawJson<'static>>) {
        let Some(value) = value else {
            return;
        };
        match self.values.iter_mut().find(|(known, _)| *known == name) {
            Some(known) => known.1 = value,
            None => self.values.push((name, value)),
        }
    }

    fn add_all(&mut self, other: &Fields) {
        if other.error.is_some() {
            self.error.clone_from(&other.error);
        }
        for (name, value) in &other.values {
            self.set(name, Some(value.clone()));
        }
    }

    /// Takes a field out, as text.
    fn take(&mut self, name: &str) -> Option<String> {
        let at = self.values.iter().position(|(known, _)| *known == name)?;
        let (_, value) = self.values.remove(at);
        let text = serde_json::from_str(value.get());
        Some(text.unwrap_or_else(|_| value.get().to_owned()))
    }

    fn text(&mut self, field: &Field, text: String) {
        match field.name() {
            "message" => self.message = Some(text),
            name => self.set(name, Some(RawJson::text(&text))),
        }
    }
}

impl Visit for Fields {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field.name(), raw_json(&value).ok());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field.name(), raw_json(&value).ok());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field.name(), raw_json(&value).ok());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        match value.is_finite() {
            true => self.set(field.name(), raw_json(&value).ok()),
            false => self.text(field, value.to_string()),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value.to_owned());
    }

    fn record_error(&mut self, _: &Field, value: &(dyn Error + 'static)) {
        self.error = Some(ErrorInfo::of(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.text(field, format!("{value:?}"));
    }
}
