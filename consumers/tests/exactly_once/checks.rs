//! What may not be seen, whatever happens to the members.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::time::Instant;

use crate::model::Model;
use crate::scrapes::{Scrape, Scrapes};

/// Something that breaks the promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The part of the promise.
    pub kind: Kind,
    /// Where and how.
    pub what: String,
}

/// The parts of the promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A counter went down: Prometheus sees a reset.
    WentBack,
    /// Two members showed a partition at the same time.
    ShownByTwo,
    /// More was shown than was produced.
    Ahead,
    /// At the end a series is not what was produced.
    Differs,
    /// A bad event is not in the dead-letter topic, or more than once.
    Letter,
    /// A member ended by itself.
    Exited,
    /// What a member showed is not in Prometheus' text format.
    Unreadable,
}

impl Finding {
    /// A finding of a kind.
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self {
            kind,
            what: what.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.what)
    }
}

/// A counter that is less in a scrape than in one that had ended when this one began, whoever showed it. Once a series.
pub fn never_back(scrapes: &Scrapes) -> Vec<Finding> {
    let mut ended: Vec<&Scrape> = scrapes.scrapes.iter().collect();
    ended.sort_by_key(|scrape| scrape.received);
    let mut begun = ended.clone();
    begun.sort_by_key(|scrape| scrape.sent);
    let mut ended = ended.into_iter().peekable();
    let mut highest: HashMap<u32, (f64, u32, Instant)> = HashMap::new();
    let mut findings = BTreeMap::new();
    for scrape in begun {
        while let Some(before) = ended.next_if(|before| before.received <= scrape.sent) {
            for (series, value) in &before.values {
                let of = highest
                    .entry(*series)
                    .or_insert((*value, before.member, before.received));
                if *value > of.0 {
                    *of = (*value, before.member, before.received);
                }
            }
        }
        for (number, value) in &scrape.values {
            let series = &scrapes.series[*number as usize];
            if let Some((most, by, at)) = highest.get(number)
                && series.monotone
                && value < most
            {
                findings.entry(*number).or_insert_with(|| {
                    let after = scrape.sent.duration_since(*at).as_millis();
                    Finding::new(
                        Kind::WentBack,
                        format!(
                            "{}: process {by} showed {most}, and {after} ms later process {} shows {value}",
                            series.name, scrape.member
                        ),
                    )
                });
            }
        }
    }
    findings.into_values().collect()
}

/// A partition that one member shows between two scrapes of another, one right after the other, that show it too: it can hardly
/// have gone there and come back meanwhile. Once a source.
pub fn shown_by_one(scrapes: &Scrapes) -> Vec<Finding> {
    let mut by_sent: Vec<(&Scrape, BTreeSet<&str>)> = scrapes
        .scrapes
        .iter()
        .map(|scrape| (scrape, scrapes.sources(scrape)))
        .collect();
    by_sent.sort_by_key(|(scrape, _)| scrape.sent);
    let mut previous: HashMap<u32, usize> = HashMap::new();
    let mut findings = BTreeMap::new();
    for (index, (after, shown_after)) in by_sent.iter().enumerate() {
        let Some(first) = previous.insert(after.member, index) else {
            continue;
        };
        let (before, shown_before) = &by_sent[first];
        let between = by_sent[first + 1..index]
            .iter()
            .filter(|(other, _)| other.sent >= before.received && other.received <= after.sent);
        for (other, shown) in between {
            for source in shown
                .iter()
                .filter(|s| shown_before.contains(*s) && shown_after.contains(*s))
            {
                findings.entry(*source).or_insert_with(|| {
                    let what = format!(
                        "{source}: process {} shows it while process {} does",
                        other.member, after.member
                    );
                    Finding::new(Kind::ShownByTwo, what)
                });
            }
        }
    }
    findings.into_values().collect()
}

/// What a scrape shows beyond what had been produced when it was received.
pub fn not_ahead(scrapes: &Scrapes, scrape: &Scrape, produced: &Model) -> Vec<Finding> {
    let values = scrape.values.iter().filter_map(|(number, value)| {
        let series = &scrapes.series[*number as usize];
        let most = produced.values().get(&series.name);
        let ahead = match most {
            Some(most) => series.monotone && value > most,
            None => true,
        };
        ahead.then(|| {
            let what = format!("{} is {value}, produced were {most:?}", series.name);
            Finding::new(Kind::Ahead, what)
        })
    });
    values.collect()
}

/// Each series is shown, once, with the value that was produced, and none other.
pub fn equal(shown: &BTreeMap<&str, Vec<f64>>, produced: &Model) -> Vec<Finding> {
    let names = produced.values().keys().map(String::as_str);
    let names: BTreeSet<&str> = names.chain(shown.keys().copied()).collect();
    let differs = names.into_iter().filter_map(|name| {
        let shown = shown.get(name).map_or(&[][..], Vec::as_slice);
        let expected = produced.values().get(name);
        let same = matches!((shown, expected), ([one], Some(expected)) if one == expected);
        (!same).then(|| {
            let what = format!("{name} is {shown:?}, produced were {expected:?}");
            Finding::new(Kind::Differs, what)
        })
    });
    differs.collect()
}

/// Each of the texts is in one letter; a letter has none but these.
pub fn each_once(bad: &BTreeSet<String>, letters: &[String]) -> Vec<Finding> {
    let mut times: BTreeMap<&str, usize> = bad.iter().map(|text| (&**text, 0)).collect();
    let mut findings = Vec::new();
    for letter in letters {
        // The texts have no other character.
        let mut words = letter.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
        match words.find_map(|word| bad.get(word)) {
            Some(text) => *times.entry(text).or_default() += 1,
            None => findings.push(Finding::new(Kind::Letter, format!("nobody sent {letter}"))),
        }
    }
    let wrong = times.into_iter().filter(|(_, times)| *times != 1);
    findings.extend(
        wrong.map(|(text, times)| {
            Finding::new(Kind::Letter, format!("{text} is there {times} times"))
        }),
    );
    findings
}

/// Says what was found, the first few of each kind.
pub fn report(findings: &[Finding]) -> String {
    let mut kinds: BTreeMap<Kind, Vec<&Finding>> = BTreeMap::new();
    for finding in findings {
        kinds.entry(finding.kind).or_default().push(finding);
    }
    let lines = kinds.into_iter().map(|(kind, found)| {
        let first = found
            .iter()
            .take(10)
            .map(|finding| format!("\n    {}", finding.what));
        format!(
            "\n  {kind:?}, {} times:{}",
            found.len(),
            first.collect::<String>()
        )
    });
    lines.collect()
}

#[cfg(test)]
#[path = "checks_tests.rs"]
mod tests;
