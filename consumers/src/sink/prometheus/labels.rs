use bt_events::Event;

use super::page::{allocated, vec_bytes};
use crate::sink::Rejection;

const MAX_LABELS: usize = 64;
/// All names and values of one series, in bytes.
const MAX_BYTES: usize = 8192;

/// Builds a series' labels as the text in which they are shown, which is also what tells series apart.
#[derive(Default)]
pub(super) struct Labels {
    /// Service and instance, rendered.
    head: String,
    /// The event's own labels, to be sorted; buffers are used again.
    own: Vec<(String, String)>,
    used: usize,
    out: String,
}

impl Labels {
    /// Begins with the event's service and instance.
    pub fn begin(&mut self, event: &Event<'_>) {
        self.begin_service(event);
        if let Some(instance) = &event.instance {
            pair(&mut self.head, "instance", &instance.as_str());
        }
    }

    /// Begins with the event's service.
    pub fn begin_service(&mut self, event: &Event<'_>) {
        self.head.clear();
        self.used = 0;
        pair(&mut self.head, "service", &event.service.as_str());
    }

    /// Adds a label of an event, its value as JSON.
    pub fn push(&mut self, name: &str, json: &str) -> Result<(), Rejection> {
        let wrong = |what: &str| Rejection::new("invalid_label", format!("label {name:?}: {what}"));
        if !is_label_name(name) {
            return Err(wrong("the name must match [a-zA-Z_][a-zA-Z0-9_]*"));
        }
        if name.starts_with("__") || matches!(name, "service" | "instance" | "source" | "le") {
            return Err(Rejection::new(
                "reserved_label",
                format!("label {name:?} is reserved"),
            ));
        }
        match json.as_bytes().first() {
            // A label without a value is no label.
            Some(b'n') => Ok(()),
            Some(b'{' | b'[') => Err(wrong("the value must be a string, a number or a boolean")),
            Some(b'"') => {
                let value: std::borrow::Cow<'_, str> = match json.contains('\\') {
                    false => json[1..json.len() - 1].into(),
                    true => serde_json::from_str::<String>(json)
                        .map_err(|e| wrong(&e.to_string()))?
                        .into(),
                };
                self.push_text(name, &value)
            }
            _ => self.push_text(name, json),
        }
    }

    /// The memory that the buffers occupy, in bytes.
    pub fn bytes(&self) -> usize {
        let own: usize = self
            .own
            .iter()
            .map(|(name, value)| allocated(name.capacity()) + allocated(value.capacity()))
            .sum();
        allocated(self.head.capacity())
            + allocated(self.out.capacity())
            + vec_bytes(&self.own)
            + own
    }

    /// Adds a label whose name is known to be good.
    pub fn push_text(&mut self, name: &str, value: &str) -> Result<(), Rejection> {
        if value.is_empty() {
            return Ok(());
        }
        if name.len() + value.len() > MAX_BYTES {
            return Err(too_long(name.len() + value.len()));
        }
        if self.used == MAX_LABELS {
            return Err(Rejection::new(
                "too_many_labels",
                format!("more than {MAX_LABELS} labels"),
            ));
        }
        if self.used == self.own.len() {
            self.own.push(Default::default());
        }
        let (own_name, own_value) = &mut self.own[self.used];
        own_name.clear();
        own_name.push_str(name);
        own_value.clear();
        own_value.push_str(value);
        self.used += 1;
        Ok(())
    }

    /// All labels, sorted but for service, instance and `source`, which comes as `,source="…"`.
    pub fn render(&mut self, source: &str) -> Result<&str, Rejection> {
        let own = &mut self.own[..self.used];
        own.sort_unstable();
        if let Some(twice) = own.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(Rejection::new(
                "invalid_label",
                format!("label {:?} is there twice", twice[0].0),
            ));
        }
        self.out.clear();
        self.out.push_str(&self.head);
        for (name, value) in own {
            pair(&mut self.out, name, value);
        }
        if self.out.len() > MAX_BYTES {
            return Err(too_long(self.out.len()));
        }
        self.out.push_str(source);
        Ok(&self.out)
    }
}

fn too_long(bytes: usize) -> Rejection {
    Rejection::new(
        "labels_too_long",
        format!("the labels have {bytes} bytes, {MAX_BYTES} are possible"),
    )
}

fn separate(out: &mut String) {
    if !out.is_empty() {
        out.push(',');
    }
}

fn pair(out: &mut String, name: &str, value: &str) {
    separate(out);
    out.push_str(name);
    out.push_str("=\"");
    for part in value.split_inclusive(['\\', '"', '\n']) {
        let (plain, special) = match part.as_bytes() {
            [.., last @ (b'\\' | b'"' | b'\n')] => (&part[..part.len() - 1], Some(last)),
            _ => (part, None),
        };
        out.push_str(plain);
        match special {
            Some(b'\\') => out.push_str("\\\\"),
            Some(b'"') => out.push_str("\\\""),
            Some(_) => out.push_str("\\n"),
            None => {}
        }
    }
    out.push('"');
}

/// Prometheus' rule for label names.
fn is_label_name(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}
