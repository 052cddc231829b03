//! The log of a program, which is followed while it runs.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

/// Lines that are kept for an error.
const LINES: usize = 20;

/// The end of the log, and what it told.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Told>>);

#[derive(Default)]
struct Told {
    last: VecDeque<String>,
    assigned: Option<Instant>,
}

impl Log {
    /// Reads a stream to its end.
    pub fn follow(&self, stream: Option<impl AsyncRead + Unpin + Send + 'static>) {
        let Some(stream) = stream else { return };
        let log = self.clone();
        tokio::spawn(async move {
            let mut lines = BufReader::new(stream).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                log.line(line);
            }
        });
    }

    /// When partitions were first assigned.
    pub fn assigned(&self) -> Option<Instant> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .assigned
    }

    /// Its end, each line indented below what is said of it.
    pub fn last_lines(&self) -> String {
        let told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let indented = |all: String, line: &String| all + "\n    | " + line;
        told.last.iter().fold(String::new(), indented)
    }

    fn line(&self, line: String) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if told.assigned.is_none() && is_assignment(&line) {
            told.assigned = Some(Instant::now());
        }
        if told.last.len() == LINES {
            told.last.pop_front();
        }
        told.last.push_back(line);
    }
}

fn is_assignment(line: &str) -> bool {
    let Ok(line) = serde_json::from_str::<Value>(line) else {
        return false;
    };
    let partitions = line["partitions"].as_str().unwrap_or_default();
    line["message"] == "assigned" && !matches!(partitions, "" | "[]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_is_told_by_the_log() {
        let line = r#"{"timestamp":"t","level":"INFO","message":"assigned","partitions":"[\"t/0\"]","target":"x"}"#;
        assert!(is_assignment(line));
        assert!(!is_assignment(&line.replace(r#"[\"t/0\"]"#, "[]")));
        assert!(!is_assignment(&line.replace("assigned", "revoked")));
        assert!(!is_assignment("assigned"));
    }

    #[test]
    fn the_end_is_kept() {
        let log = Log::default();
        (0..30).for_each(|number| log.line(format!("line {number}")));
        let last = log.last_lines();
        assert!(
            last.starts_with("\n    | line 10\n") && last.ends_with("line 29"),
            "{last}"
        );
        assert_eq!(log.assigned(), None);
    }
}
