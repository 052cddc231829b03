use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Between two looks at a file.
const LOOK: Duration = Duration::from_secs(5);

/// A small file that somebody may change at any time, as a mounted Secret's.
#[derive(Debug)]
pub(super) struct Mounted {
    /// What it has, for messages.
    what: &'static str,
    path: PathBuf,
    content: Vec<u8>,
    read_at: Option<Instant>,
}

impl Mounted {
    pub fn new(what: &'static str, path: &Path) -> Self {
        Self {
            what,
            path: path.to_owned(),
            content: Vec::new(),
            read_at: None,
        }
    }

    /// What the file has, if that is not what it had the last time; it is looked at now and then only.
    ///
    /// # Errors
    /// When it cannot be read or is empty: which file, and why. It is read again the next time.
    pub fn changed(&mut self, now: Instant) -> Result<Option<&[u8]>, String> {
        if self
            .read_at
            .is_some_and(|at| now.saturating_duration_since(at) < LOOK)
        {
            return Ok(None);
        }
        let read_before = self.read_at.take().is_some();
        let content = std::fs::read(&self.path)
            .map_err(|error| self.message(&format!("cannot be read: {error}")))?;
        if content.trim_ascii().is_empty() {
            return Err(self.message("is empty"));
        }
        self.read_at = Some(now);
        if read_before && content == self.content {
            return Ok(None);
        }
        self.content = content;
        Ok(Some(&self.content))
    }

    /// The file is to be read the next time, and what it has counts as new.
    pub fn read_again(&mut self) {
        self.read_at = None;
    }

    /// Says of the file what is wrong with it.
    pub fn message(&self, why: &str) -> String {
        let path = self.path.display();
        format!(
            "the file of the {} {path} {why}; it is read again until it is good",
            self.what
        )
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A file of a test's own, which goes away with it.
    pub struct TestFile(pub PathBuf);

    impl TestFile {
        pub fn new(name: &str) -> Self {
            let name = format!("bt-consumers-{}-{name}", std::process::id());
            Self(std::env::temp_dir().join(name))
        }

        pub fn write(&self, content: &str) {
            std::fs::write(&self.0, content).expect("written");
        }
    }

    impl Drop for TestFile {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    #[test]
    fn a_change_is_seen_after_a_while_or_when_asked_for() {
        let file = TestFile::new("mounted-changes");
        file.write("one");
        let mut mounted = Mounted::new("password", &file.0);
        let now = Instant::now();
        assert_eq!(mounted.changed(now), Ok(Some(&b"one"[..])));
        file.write("two");
        assert_eq!(mounted.changed(now), Ok(None));
        let later = now + LOOK;
        assert_eq!(mounted.changed(later), Ok(Some(&b"two"[..])));
        assert_eq!(mounted.changed(later + LOOK), Ok(None));
        mounted.read_again();
        assert_eq!(mounted.changed(later + LOOK), Ok(Some(&b"two"[..])));
    }

    #[test]
    fn a_file_that_is_missing_or_empty_is_named_and_tried_again() {
        let file = TestFile::new("mounted-missing");
        let mut mounted = Mounted::new("API key", &file.0);
        let now = Instant::now();
        let error = mounted.changed(now).expect_err("missing");
        let path = file.0.display().to_string();
        assert!(
            error.contains("the file of the API key") && error.contains(&path),
            "{error}"
        );
        file.write(" \n");
        let error = mounted.changed(now).expect_err("empty");
        assert!(
            error.contains(&path) && error.contains("is empty"),
            "{error}"
        );
        file.write("key");
        assert_eq!(mounted.changed(now), Ok(Some(&b"key"[..])));
    }
}
