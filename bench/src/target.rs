//! What was aimed at, and what came of it.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::words::verdict;

/// One of them.
#[derive(Debug, Clone, Serialize)]
pub struct Target {
    /// What was aimed at, in words.
    pub target: String,
    /// What came of it.
    pub value: f64,
    /// Whether it was met.
    pub met: bool,
}

impl Target {
    /// In words.
    pub fn words(&self) -> String {
        verdict(&self.target, self.met)
    }
}

/// All whose figures were measured, by name.
#[derive(Debug, Default, Serialize)]
pub struct Targets(BTreeMap<String, Target>);

impl Targets {
    /// A target; nothing where its figures were not measured, or there is none of that name.
    pub fn get(&self, name: &str) -> Option<&Target> {
        self.0.get(name)
    }

    /// These of them, in words.
    pub fn words(&self, names: &[&str]) -> String {
        let found = names.iter().filter_map(|name| self.get(name));
        found.map(Target::words).collect::<Vec<_>>().join(", ")
    }

    /// Adds one that is met by at most so much; nothing where it was not measured.
    pub fn most(&mut self, name: &str, target: &str, value: Option<f64>, most: f64) {
        self.add(name, target, value, |value| value <= most);
    }

    /// Adds one that is met by at least so much; nothing where it was not measured.
    pub fn least(&mut self, name: &str, target: &str, value: Option<f64>, least: f64) {
        self.add(name, target, value, |value| value >= least);
    }

    fn add(&mut self, name: &str, target: &str, value: Option<f64>, met: impl Fn(f64) -> bool) {
        if let Some(value) = value {
            let target = Target {
                target: target.into(),
                value,
                met: met(value),
            };
            self.0.insert(name.into(), target);
        }
    }
}
