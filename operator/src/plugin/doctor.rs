//! `kubectl bt doctor`: everything that must be so, checked, and what to fix where it is not.

mod checks;
mod crd_check;
mod facts;
mod permissions;

use anyhow::Result;
use serde::Serialize;

use super::At;
use super::cluster::Cluster;
use super::text::{Style, Tone, cut, fold};

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Ok,
    Warn,
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What it is about.
    pub area: &'static str,
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What to do; empty where nothing is.
    pub fix: String,
}

impl Check {
    fn ok(area: &'static str, found: impl Into<String>) -> Self {
        let (found, fix) = (found.into(), String::new());
        Self {
            area,
            verdict: Verdict::Ok,
            found,
            fix,
        }
    }

    fn warn(area: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        let (found, fix) = (found.into(), fix.into());
        Self {
            area,
            verdict: Verdict::Warn,
            found,
            fix,
        }
    }

    fn fail(area: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Fail,
            ..Self::warn(area, found, fix)
        }
    }
}

/// Checks and shows; whether nothing fails.
pub async fn run(at: &At) -> Result<bool> {
    let cluster = Cluster::connect(at).await?;
    let facts = facts::Facts::gather(at, &cluster).await?;
    let checks = checks::judge(&facts);
    match at.is_json() {
        true => println!("{}", serde_json::to_string_pretty(&checks)?),
        false => print!("{}", render(&checks, at.style())),
    }
    Ok(checks.iter().all(|check| check.verdict != Verdict::Fail))
}

fn render(checks: &[Check], style: Style) -> String {
    let mut out = String::new();
    for check in checks {
        let (mark, tone) = match check.verdict {
            Verdict::Ok => ("ok  ", Tone::Good),
            Verdict::Warn => ("warn", Tone::Warn),
            Verdict::Fail => ("FAIL", Tone::Bad),
        };
        let area = style.paint(Tone::Bold, &format!("{:<12}", cut(check.area, 12)));
        out.push_str(&format!(
            "{}  {area}  {}\n",
            style.paint(tone, mark),
            fold(&check.found, 20)
        ));
        if !check.fix.is_empty() {
            out.push_str(&format!(
                "{:20}{} {}\n",
                "",
                style.paint(Tone::Bold, "→"),
                fold(&check.fix, 22)
            ));
        }
    }
    let count = |verdict| {
        checks
            .iter()
            .filter(|check| check.verdict == verdict)
            .count()
    };
    let (warn, fail) = (count(Verdict::Warn), count(Verdict::Fail));
    let tone = match (warn, fail) {
        (0, 0) => Tone::Good,
        (_, 0) => Tone::Warn,
        _ => Tone::Bad,
    };
    let sum = format!(
        "{} checks: {} ok, {warn} to look at, {fail} failed",
        checks.len(),
        count(Verdict::Ok)
    );
    out.push_str(&format!("\n{}\n", style.paint(tone, &sum)));
    out
}

#[cfg(test)]
#[path = "doctor/tests.rs"]
mod tests;
