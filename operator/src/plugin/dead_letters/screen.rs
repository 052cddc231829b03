use bt_consumers::{DeadLetter, LettersReport};
use k8s_openapi::jiff::Timestamp;

use crate::plugin::text::{Cell, Style, Tone, ago, clean, fold, left, number, right, table};

/// What else is at hand when one letter is of interest.
const SHOW: &str = "kubectl bt dead-letters show PLACE";

/// The letters, by kind and one by one.
pub fn list(report: &LettersReport, now: Timestamp, style: Style) -> String {
    let topic = clean(&report.topic);
    if report.matched == 0 {
        let none = format!(
            "No letters in {topic} ({} looked at).\n",
            number(report.read.cast_signed())
        );
        return style.paint(Tone::Good, &none);
    }
    let since = |millis: i64| format!("{} ago", ago(now.as_second() - millis / 1000));
    let groups: Vec<Vec<Cell>> = report
        .groups
        .iter()
        .map(|group| {
            vec![
                right(number(group.letters.cast_signed()), Tone::Bold),
                left(&group.consumer, Tone::Name),
                left(&group.topic, Tone::Plain),
                left(&group.reason, Tone::Warn),
                right(since(group.first), Tone::Dim),
                right(since(group.last), Tone::Dim),
            ]
        })
        .collect();
    let mut out = format!(
        "{}  {}\n",
        style.paint(Tone::Bold, &topic),
        style.paint(
            Tone::Dim,
            &format!(
                "{} of {} letters",
                number(report.matched.cast_signed()),
                number(report.read.cast_signed())
            )
        )
    );
    let head = ["LETTERS", "CONSUMER", "TOPIC", "REASON", "FIRST", "LAST"];
    out.push_str(&table(style, 2, &head, &groups, 1));
    if report.letters.is_empty() {
        return out;
    }
    let letters: Vec<Vec<Cell>> = report
        .letters
        .iter()
        .map(|letter| {
            let header = |name: &str| letter.headers.get(name).map_or("-", String::as_str);
            let from = format!(
                "{}/{}@{}",
                header("bt-topic"),
                header("bt-partition"),
                header("bt-offset")
            );
            vec![
                left(place(letter), Tone::Name),
                left(time(letter.at), Tone::Dim),
                left(from, Tone::Plain),
                left(header("bt-reason"), Tone::Warn),
                left(header("bt-error"), Tone::Plain),
            ]
        })
        .collect();
    out.push_str(&format!(
        "\n{}  {}\n",
        style.paint(Tone::Bold, "the newest"),
        style.paint(Tone::Dim, SHOW)
    ));
    let head = ["PLACE", "WRITTEN (UTC)", "OF RECORD", "REASON", "ERROR"];
    out.push_str(&table(style, 2, &head, &letters, 4));
    out
}

/// One letter, with the original as it was, and what it says as an event.
pub fn letter(letter: &DeadLetter, style: Style) -> String {
    let mut out = format!(
        "{}  written {} UTC\n",
        style.paint(Tone::Bold, &place(letter)),
        time(letter.at)
    );
    let mut rows = vec![("key", letter.key.clone().unwrap_or_else(|| "-".to_owned()))];
    rows.extend(
        letter
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.clone())),
    );
    for (name, value) in &rows {
        let name = clean(name);
        let label = style.paint(Tone::Dim, &format!("{name:<14}"));
        out.push_str(&format!("  {label} {}\n", fold(value, 17)));
    }
    let value = letter.value.as_deref().unwrap_or_default();
    out.push_str(&format!(
        "\n{}  {} bytes\n",
        style.paint(Tone::Bold, "original"),
        letter.bytes
    ));
    let pretty = serde_json::from_str::<serde_json::Value>(value)
        .and_then(|json| serde_json::to_string_pretty(&json));
    for line in pretty.as_deref().unwrap_or(value).lines() {
        out.push_str(&format!("  {}\n", clean(line)));
    }
    out.push_str(&format!("\n{}\n", style.paint(Tone::Bold, "read today")));
    for said in events(value) {
        out.push_str(&format!("  {}\n", fold(&said, 4)));
    }
    out
}

/// What this version makes of the original.
fn events(value: &str) -> Vec<String> {
    let elements = match bt_events::parse(value.as_bytes()) {
        Ok(elements) => elements,
        Err(error) => return vec![format!("no event ({}): {error}", error.reason())],
    };
    elements
        .map(|element| match element.event() {
            Ok(event) => format!(
                "{} event of {}: in order by itself; the sink refused it",
                event.body.kind(),
                event.key()
            ),
            Err(error) => format!("no event ({}): {error}", error.reason()),
        })
        .collect()
}

fn place(letter: &DeadLetter) -> String {
    format!("{}/{}", letter.partition, letter.offset)
}

fn time(millis: i64) -> String {
    let at = Timestamp::from_millisecond(millis).unwrap_or_default();
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::text::WIDTH;
    use bt_consumers::LetterGroup;

    fn example() -> DeadLetter {
        let headers = [
            ("bt-topic", "logs.events"),
            ("bt-partition", "2"),
            ("bt-offset", "18832"),
            ("bt-reason", "rejected_by_sink"),
            (
                "bt-error",
                "400 mapper_parsing_exception: failed to parse field [payload.amount] of type [long] in document with id '4711'",
            ),
        ];
        DeadLetter {
            partition: 0,
            offset: 17,
            at: 1_700_000_000_000,
            key: Some("orders/o-1".into()),
            headers: headers.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
            bytes: 42,
            value: None,
        }
    }

    #[test]
    fn letters_are_listed_by_kind_and_one_by_one() {
        let report = LettersReport {
            topic: "dead-letters".into(),
            read: 1200,
            matched: 7,
            groups: vec![LetterGroup {
                consumer: "shop/logs".into(),
                topic: "logs.events".into(),
                reason: "rejected_by_sink".into(),
                letters: 7,
                first: 1_699_999_000_000,
                last: 1_700_000_000_000,
            }],
            letters: vec![example()],
            ..LettersReport::default()
        };
        let now = Timestamp::from_second(1_700_000_060).expect("a time");
        let shown = list(&report, now, Style::new(false));
        assert!(
            shown.starts_with("dead-letters  7 of 1 200 letters\n"),
            "{shown}"
        );
        assert!(
            shown.contains("        7  shop/logs  logs.events  rejected_by_sink  17m ago  60s ago"),
            "{shown}"
        );
        assert!(
            shown.contains(
                "  0/17   2023-11-14 22:13:20  logs.events/2@18832  rejected_by_sink  400 mapper"
            ),
            "{shown}"
        );
        assert!(
            shown.lines().all(|line| line.chars().count() <= WIDTH),
            "{shown}"
        );
        let none = LettersReport {
            topic: "dead-letters".into(),
            read: 3,
            ..LettersReport::default()
        };
        assert_eq!(
            list(&none, now, Style::new(false)),
            "No letters in dead-letters (3 looked at).\n"
        );
    }

    #[test]
    fn one_letter_is_shown_with_what_it_is_today() {
        let of = |value: &str| {
            letter(
                &DeadLetter {
                    value: Some(value.into()),
                    ..example()
                },
                Style::new(false),
            )
        };
        let shown = of(r#"{"ts":1,"service":"orders","level":"info","message":"m"}"#);
        assert!(
            shown.contains("bt-reason      rejected_by_sink")
                && shown.contains("  \"service\": \"orders\""),
            "{shown}"
        );
        assert!(
            shown.contains("log event of orders: in order by itself"),
            "{shown}"
        );
        assert!(
            shown.lines().all(|line| line.chars().count() <= WIDTH),
            "{shown}"
        );
        let shown = of("no \u{1b}[2Jjson");
        assert!(
            shown.contains("  no  [2Jjson") && shown.contains("no event (invalid_json)"),
            "{shown}"
        );
    }
}
