//! Verdicts, from facts. No I/O.

mod operator;
mod pipeline;
mod scraping;

use super::Check;
use super::crd_check::compare;
use super::facts::{Fact, Facts};
pub use operator::env;

/// Rules in definitions (CEL) are there from then on.
const OLDEST: u32 = 25;
/// This build's version, which images bear as their tag.
const VERSION: &str = env!("CARGO_PKG_VERSION");
const APPLY: &str = "kubectl apply -f crds/ (of the operator's version), then helm upgrade";
const ROLE: &str = "docs/kubectl-bt.md has a ClusterRole for users of this plugin";

/// All checks, in the order in which one thing needs another.
pub fn judge(facts: &Facts) -> Vec<Check> {
    let mut all = vec![cluster(&facts.version)];
    for (plural, build, found) in &facts.definitions {
        all.push(match found {
            Ok(Some(found)) => {
                let difference = compare(build, found);
                definition(plural, &difference.missing, &difference.unknown)
            }
            Ok(None) => Check::fail(
                "definitions",
                format!("{plural} are not known to this cluster"),
                APPLY,
            ),
            Err(why) => Check::warn("definitions", why, ""),
        });
    }
    all.push(user(&facts.user_lacks));
    all.extend(operator::operator(facts));
    all.extend(operator::versions(facts));
    all.push(operator::images(facts));
    all.push(pipeline::kafka(&facts.topics, &facts.consumers));
    all.push(pipeline::topics(&facts.topics));
    all.extend(pipeline::consumers(facts));
    all.extend(pipeline::sinks(facts));
    all.extend(scraping::scraping(facts));
    all
}

fn cluster(version: &Fact<(String, String)>) -> Check {
    let (major, minor) = match version {
        Ok(version) => version,
        Err(why) => return Check::fail("cluster", why, "check the kubeconfig and the network"),
    };
    let found = format!("reachable, Kubernetes {major}.{minor}");
    // Some providers write 29+.
    let digits: String = minor.chars().take_while(char::is_ascii_digit).collect();
    match digits.parse::<u32>() {
        Ok(minor) if minor < OLDEST => Check::fail(
            "cluster",
            found,
            format!("upgrade to 1.{OLDEST} or newer: the definitions have rules (CEL)"),
        ),
        _ => Check::ok("cluster", found),
    }
}

/// The definitions are checked field by field.
fn definition(plural: &str, missing: &[String], unknown: &[String]) -> Check {
    let some = |fields: &[String]| {
        let shown: Vec<_> = fields.iter().take(3).map(String::as_str).collect();
        let more = fields.len().saturating_sub(shown.len());
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        format!("{}{more}", shown.join(", "))
    };
    if !missing.is_empty() {
        let found = format!(
            "{plural}: the cluster's definition is older, without {}",
            some(missing)
        );
        return Check::fail("definitions", found, APPLY);
    }
    match unknown.is_empty() {
        true => Check::ok(
            "definitions",
            format!("{plural}: all fields of version {VERSION}"),
        ),
        false => Check::warn(
            "definitions",
            format!(
                "{plural}: the cluster's definition is newer than this kubectl-bt ({VERSION}): {}",
                some(unknown)
            ),
            "install the kubectl-bt of the operator's version",
        ),
    }
}

fn user(lacks: &Fact<Vec<String>>) -> Check {
    match lacks {
        Ok(lacks) if lacks.is_empty() => Check::ok("your rights", "all that this plugin needs"),
        Ok(lacks) => Check::fail(
            "your rights",
            format!("you may not: {}", lacks.join("; ")),
            ROLE,
        ),
        Err(why) => Check::warn("your rights", why, ""),
    }
}
