//! How long documents are kept, by whichever means the engine has.

mod ilm;
mod ism;
mod lifecycle;

use std::time::Duration;

use super::call::{self, Undone};
use super::info::Flavour;
use super::streams::Stream;
use super::{Failure, Place, Remark};

/// What an index template says of retention.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Part {
    /// Of the data stream's lifecycle.
    pub data_retention: Option<String>,
    /// The name of the ILM policy.
    pub policy: Option<String>,
}

/// What deletes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Means {
    /// The data stream's lifecycle: Elasticsearch from 8.11.
    Lifecycle,
    /// Index lifecycle management: Elasticsearch's default distribution.
    Ilm,
    /// Index state management: a plugin of OpenSearch.
    Ism,
}

/// What is to be done of retention.
pub(super) struct Plan {
    /// Goes into the index template.
    pub part: Part,
    wanted: Wanted,
}

enum Wanted {
    Forever,
    By(Means, Duration),
    /// It cannot be, for now: everything stays as it is.
    Unchanged,
}

/// Finds out what to do, and does what must be done before the template is written.
pub(super) async fn prepare(
    place: &Place<'_>,
    previous: &Part,
    streams: &[Stream],
    remarks: &mut Vec<Remark>,
) -> Result<Plan, Failure> {
    let Some(retention) = place.config.template.retention else {
        let undone = match &previous.data_retention {
            Some(ours) => lifecycle::remove(place, ours, streams).await,
            None => Ok(()),
        };
        remark(undone, remarks, not_removed)?;
        return Ok(Plan {
            part: Part::default(),
            wanted: Wanted::Forever,
        });
    };
    let retention = retention.0;
    let unchanged = || Plan {
        part: previous.clone(),
        wanted: Wanted::Unchanged,
    };
    let means = match means(place).await {
        Ok(Some(means)) => means,
        Ok(None) => {
            remarks.push(nothing_enforces_it(place));
            return Ok(unchanged());
        }
        Err(undone) => {
            remark(Err(undone), remarks, not_enforced)?;
            return Ok(unchanged());
        }
    };
    let (made, part) = match means {
        Means::Lifecycle => {
            let data_retention = Some(time(retention));
            let part = Part {
                data_retention,
                policy: None,
            };
            (Ok(()), part)
        }
        Means::Ilm => {
            let policy = Some(place.name.clone());
            let part = Part {
                data_retention: None,
                policy,
            };
            (ilm::keep(place, previous, retention).await, part)
        }
        Means::Ism => (ism::keep(place, retention).await, Part::default()),
    };
    if remark(made, remarks, not_enforced)? {
        return Ok(unchanged());
    }
    Ok(Plan {
        part,
        wanted: Wanted::By(means, retention),
    })
}

/// Does what the template does not: existing streams, and what earlier settings have left.
pub(super) async fn apply(
    place: &Place<'_>,
    plan: &Plan,
    previous: &Part,
    streams: &[Stream],
    remarks: &mut Vec<Remark>,
) -> Result<(), Failure> {
    let flavour = place.info.flavour;
    let (applied, means) = match plan.wanted {
        Wanted::Unchanged => return Ok(()),
        Wanted::Forever => (Ok(()), None),
        Wanted::By(means, retention) => {
            let applied = match means {
                Means::Lifecycle => {
                    let before = previous.data_retention.as_deref();
                    lifecycle::apply(place, &time(retention), before, streams).await
                }
                Means::Ilm => ilm::attach(place, streams).await,
                Means::Ism => ism::attach(place, streams).await,
            };
            (applied, Some(means))
        }
    };
    remark(applied, remarks, not_enforced)?;
    let is_elasticsearch = flavour == Flavour::Elasticsearch && place.info.data_streams;
    if is_elasticsearch && means != Some(Means::Ilm) {
        remark(
            ilm::remove(place, previous, streams).await,
            remarks,
            not_removed,
        )?;
    }
    if flavour == Flavour::OpenSearch && means != Some(Means::Ism) {
        remark(ism::remove(place, streams).await, remarks, not_removed)?;
    }
    Ok(())
}

async fn means(place: &Place<'_>) -> Result<Option<Means>, Undone> {
    let info = place.info;
    if !info.data_streams {
        return Ok(None);
    }
    if info.is_elasticsearch([8, 11]) {
        return Ok(Some(Means::Lifecycle));
    }
    Ok(match info.flavour {
        Flavour::OpenSearch => ism::is_there(place).await?.then_some(Means::Ism),
        _ => ilm::is_there(place).await?.then_some(Means::Ilm),
    })
}

/// Turns what was refused into a remark. Whether it was.
fn remark(
    undone: Result<(), Undone>,
    remarks: &mut Vec<Remark>,
    about: fn(String) -> Remark,
) -> Result<bool, Failure> {
    match undone {
        Ok(()) => Ok(false),
        Err(Undone::Later(failure)) => Err(failure),
        Err(Undone::Refused(failure)) => {
            remarks.push(about(failure.why));
            Ok(true)
        }
    }
}

fn not_enforced(why: String) -> Remark {
    Remark {
        reason: "RetentionNotEnforced",
        message: format!("template.retention is not enforced: {why}"),
    }
}

fn not_removed(why: String) -> Remark {
    Remark {
        reason: "RetentionNotRemoved",
        message: format!(
            "template.retention is gone, but what enforced it could not be removed: {why}"
        ),
    }
}

fn nothing_enforces_it(place: &Place<'_>) -> Remark {
    let info = place.info;
    let lacking = match info.flavour {
        Flavour::OpenSearch => "without the plugin Index State Management",
        _ => "of the distribution without ILM",
    };
    let indices = place.config.data_stream.replace("{service}", "*");
    let what_to_do = match info.data_streams {
        true => {
            format!("Install it, or roll {indices} over and delete old backing indices yourself")
        }
        false if indices.contains("{date}") => {
            format!("Delete the indices {indices} of past days yourself")
        }
        false => format!(
            "Delete old documents of {indices} yourself, or have an index a day with {{date}} in dataStream and delete old ones"
        ),
    };
    not_enforced(format!(
        "{} {} {lacking} has no means for it. {what_to_do}",
        info.name(),
        info.number
    ))
}

/// A duration as engines read it, in one unit.
fn time(duration: Duration) -> String {
    let millis = duration.as_millis();
    let units = [
        (86_400_000, "d"),
        (3_600_000, "h"),
        (60_000, "m"),
        (1000, "s"),
    ];
    let whole = units.iter().find(|(unit, _)| millis.is_multiple_of(*unit));
    match whole {
        Some((unit, name)) if millis > 0 => format!("{}{name}", millis / unit),
        _ => format!("{millis}ms"),
    }
}

/// How old an index gets before the next one is made, so that the old one can be deleted: what Elasticsearch's own data stream
/// lifecycle does (`cluster.lifecycle.default.rollover`, `max_age=auto`).
fn rollover_age(retention: Duration) -> Duration {
    let days = retention.as_secs().div_ceil(86_400);
    let hours = match days {
        0..=1 => 1,
        2..=14 => 24,
        15..=90 => 7 * 24,
        _ => 30 * 24,
    };
    Duration::from_secs(hours * 3600)
}

/// How large an index gets before the next one is made.
const ROLLOVER_SIZE: &str = "50gb";

/// Index names for one request each, so that no path is too long.
fn in_paths(indices: &[String]) -> impl Iterator<Item = String> {
    indices
        .chunks(40)
        .map(|indices| call::segment(&indices.join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_in_one_unit() {
        for (seconds, expected) in [
            (30 * 86_400, "30d"),
            (129_600, "36h"),
            (86_460, "1441m"),
            (86_401, "86401s"),
            (0, "0ms"),
        ] {
            assert_eq!(time(Duration::from_secs(seconds)), expected);
        }
        assert_eq!(time(Duration::from_millis(1500)), "1500ms");
    }

    #[test]
    fn an_index_is_young_enough_to_be_deleted_in_time() {
        for (days, hours) in [(1, 1), (2, 24), (14, 24), (30, 168), (90, 168), (365, 720)] {
            let age = rollover_age(Duration::from_secs(days * 86_400));
            assert_eq!(age, Duration::from_secs(hours * 3600), "{days}");
        }
    }
}
