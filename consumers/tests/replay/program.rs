//! The replay, as a program that ends.

use std::path::Path;
use std::process::Command;

/// What a replay said.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub summary: String,
    pub errors: String,
}

impl Said {
    /// A number of the summary.
    pub fn number(&self, name: &str) -> u64 {
        let rest = self
            .summary
            .lines()
            .find_map(|line| line.strip_prefix(name));
        let number = rest.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
        number.unwrap_or_else(|| panic!("no number of {name}: {self:?}"))
    }

    /// Letters matched; events indexed, there already, refused again; letters skipped.
    pub fn numbers(&self) -> [u64; 5] {
        [
            "matched",
            "indexed",
            "there already",
            "refused again",
            "skipped",
        ]
        .map(|name| self.number(name))
    }
}

/// Replays to the end.
pub fn replay(config: &Path, arguments: &[&str]) -> Said {
    let output = command(config, arguments)
        .output()
        .expect("the program runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said {
        code: output.status.code(),
        summary: text(&output.stdout),
        errors: text(&output.stderr),
    }
}

/// A replay that is yet to be started.
pub fn command(config: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bt-consumers"));
    command
        .args(["replay", "--from", "dead-letters", "--config"])
        .arg(config)
        .args(arguments);
    command
}
