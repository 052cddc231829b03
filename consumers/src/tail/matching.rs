use bt_events::Body;

use super::{Options, TailKind, TailLine};

/// Whether a line is one of those that were asked for.
pub(super) struct Matching {
    services: Vec<String>,
    levels: Vec<String>,
    kinds: Vec<TailKind>,
    types: Vec<String>,
    /// In lower case.
    grep: Option<String>,
}

impl Matching {
    pub fn new(options: &Options) -> Self {
        Self {
            services: options.services.clone(),
            levels: options.levels.clone(),
            kinds: options.kinds.clone(),
            types: options.types.clone(),
            grep: options.grep.as_ref().map(|text| text.to_lowercase()),
        }
    }

    pub fn picks(&self, line: &TailLine) -> bool {
        let text = match (&line.event, &line.raw) {
            (Some(json), _) => json.get(),
            (None, Some(raw)) => raw,
            (None, None) => "",
        };
        let has = |grep: &String| text.to_lowercase().contains(grep);
        self.grep.as_ref().is_none_or(has)
            && match line.event {
                Some(_) => self.picks_event(text),
                None => self.picks_malformed(),
            }
    }

    fn picks_malformed(&self) -> bool {
        let any = self.services.is_empty() && self.levels.is_empty() && self.types.is_empty();
        match self.kinds.is_empty() {
            true => any,
            false => self.kinds.contains(&TailKind::Malformed),
        }
    }

    fn picks_event(&self, json: &str) -> bool {
        let parsed = bt_events::parse(json.as_bytes()).ok();
        let Some(Ok(event)) = parsed.and_then(|mut all| Some(all.next()?.event())) else {
            return false;
        };
        let kind = match event.body {
            Body::Metric(_) => TailKind::Metric,
            Body::Log(_) => TailKind::Log,
            Body::Health(_) => TailKind::Health,
            Body::Business(_) => TailKind::Business,
        };
        let service = event.service.as_str();
        let level = match &event.body {
            Body::Log(log) => Some(log.level.as_str()),
            _ => None,
        };
        let r#type = match &event.body {
            Body::Business(business) => Some(business.r#type.as_str()),
            _ => None,
        };
        let is_level = |level: &str| {
            let mut wanted = self.levels.iter();
            wanted.any(|wanted| wanted.eq_ignore_ascii_case(level))
        };
        let is_type = |r#type: &str| {
            let mut wanted = self.types.iter();
            wanted.any(|wanted| match wanted.strip_suffix('*') {
                Some(prefix) => r#type.starts_with(prefix),
                None => wanted == r#type,
            })
        };
        (self.services.is_empty() || self.services.iter().any(|wanted| *wanted == service))
            && (self.kinds.is_empty() || self.kinds.contains(&kind))
            && (self.levels.is_empty() || level.is_some_and(|level| is_level(&level)))
            && (self.types.is_empty() || r#type.is_some_and(|r#type| is_type(&r#type)))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::value::RawValue;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        options: Options,
    }

    fn line(event: Option<&str>, raw: Option<&str>) -> TailLine {
        TailLine {
            partition: 0,
            offset: 7,
            timestamp: None,
            key: None,
            place: None,
            event: event.map(|json| RawValue::from_string(json.to_owned()).expect("JSON")),
            raw: raw.map(str::to_owned),
            reason: None,
            error: None,
        }
    }

    #[test]
    fn filters_pick_by_service_level_kind_type_and_text() {
        let log = r#"{"ts":1,"service":"orders","level":"ERROR","message":"Payment refused"}"#;
        let metric = r#"{"ts":1,"service":"orders","name":"n","kind":"counter","value":1}"#;
        let business = r#"{"ts":1,"service":"carts","type":"order.created"}"#;
        let lines = [
            line(Some(log), None),
            line(Some(metric), None),
            line(Some(business), None),
            line(None, Some("no payment")),
        ];
        let table: [(&[&str], [bool; 4]); 10] = [
            (&[], [true; 4]),
            (&["--service", "orders"], [true, true, false, false]),
            (&["--level", "error"], [true, false, false, false]),
            (&["--level", "info"], [false; 4]),
            (&["--kind", "metric"], [false, true, false, false]),
            (
                &["--kind", "log", "--kind", "malformed"],
                [true, false, false, true],
            ),
            (&["--type", "order.created"], [false, false, true, false]),
            (&["--type", "order.*"], [false, false, true, false]),
            (&["--grep", "PAYMENT"], [true, false, false, true]),
            (
                &["--grep", "payment", "--service", "orders"],
                [true, false, false, false],
            ),
        ];
        for (arguments, picked) in table {
            let all = ["tail", "a.topic"].iter().chain(arguments);
            let cli = Cli::try_parse_from(all).expect("arguments that can be read");
            let matching = Matching::new(&cli.options);
            let found = [0, 1, 2, 3].map(|i| matching.picks(&lines[i]));
            assert_eq!(found, picked, "{arguments:?}");
        }
    }
}
