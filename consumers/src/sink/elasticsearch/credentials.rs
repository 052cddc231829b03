use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::HeaderValue;

use super::mounted::Mounted;
use crate::config::AuthFiles;

/// How this sink logs in, from files that are read again when they change.
#[derive(Debug)]
pub(super) struct Credentials {
    file: Mounted,
    /// Whose password the file has; absent: the file has an API key.
    username: Option<String>,
    header: Option<HeaderValue>,
}

impl Credentials {
    /// `None` where there is nothing to log in with.
    pub fn new(auth: &AuthFiles) -> Option<Self> {
        let (file, username) = match (&auth.password_file, &auth.api_key_file) {
            (Some(path), _) => {
                let username = auth.username.clone().unwrap_or_default();
                (Mounted::new("password", path), Some(username))
            }
            (None, Some(path)) => (Mounted::new("API key", path), None),
            (None, None) => return None,
        };
        Some(Self {
            file,
            username,
            header: None,
        })
    }

    /// The header `Authorization`.
    ///
    /// # Errors
    /// Which file is wrong, and why.
    pub fn header(&mut self, now: Instant) -> Result<HeaderValue, String> {
        let Some(content) = self.file.changed(now)? else {
            let old = self.header.clone();
            return old.ok_or_else(|| self.file.message("cannot be used"));
        };
        let value = match &self.username {
            Some(username) => {
                let password = content.strip_suffix(b"\n").unwrap_or(content);
                let password = password.strip_suffix(b"\r").unwrap_or(password);
                let login = [username.as_bytes(), b":", password].concat();
                format!("Basic {}", STANDARD.encode(login))
            }
            None => {
                let key = content.trim_ascii();
                let encoded = match key.contains(&b':') {
                    true => STANDARD.encode(key),
                    false => String::from_utf8_lossy(key).into_owned(),
                };
                format!("ApiKey {encoded}")
            }
        };
        let Ok(mut header) = HeaderValue::from_str(&value) else {
            self.file.read_again();
            return Err(self
                .file
                .message("has characters that no HTTP header can have"));
        };
        header.set_sensitive(true);
        self.header = Some(header.clone());
        Ok(header)
    }

    /// The engine does not accept them: they may have changed meanwhile.
    pub fn refused(&mut self) {
        self.file.read_again();
    }
}

#[cfg(test)]
mod tests {
    use super::super::mounted::tests::TestFile;
    use super::*;

    fn of_key(file: &TestFile) -> Credentials {
        let auth = AuthFiles {
            api_key_file: Some(file.0.clone()),
            ..AuthFiles::default()
        };
        Credentials::new(&auth).expect("credentials")
    }

    #[test]
    fn a_password_is_what_the_file_has_without_its_last_line_break() {
        let file = TestFile::new("password");
        for (content, want) in [
            ("open sesame", "Basic YWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
            ("open sesame\n", "Basic YWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
            ("open sesame\r\n", "Basic YWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
            ("\nx \n\n", "Basic YWxhZGRpbjoKeCAK"),
        ] {
            file.write(content);
            let auth = AuthFiles {
                username: Some("aladdin".into()),
                password_file: Some(file.0.clone()),
                api_key_file: None,
            };
            let mut credentials = Credentials::new(&auth).expect("credentials");
            let header = credentials.header(Instant::now()).expect(content);
            assert_eq!(header.to_str().expect("text"), want, "{content:?}");
            assert!(header.is_sensitive());
        }
    }

    #[test]
    fn an_api_key_may_be_encoded_or_not() {
        let file = TestFile::new("api-key");
        for content in ["id:key\n", "aWQ6a2V5\n"] {
            file.write(content);
            let header = of_key(&file).header(Instant::now()).expect(content);
            assert_eq!(header.to_str().expect("text"), "ApiKey aWQ6a2V5");
        }
    }

    #[test]
    fn after_a_refusal_the_file_is_read_at_once() {
        let file = TestFile::new("rotated");
        file.write("a:1");
        let mut credentials = of_key(&file);
        let now = Instant::now();
        let old = credentials.header(now).expect("a header");
        file.write("b:2");
        assert_eq!(credentials.header(now), Ok(old.clone()));
        credentials.refused();
        assert_ne!(credentials.header(now), Ok(old));
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said_without_its_content() {
        let file = TestFile::new("bad-key");
        file.write("hush\u{1}hush");
        let mut credentials = of_key(&file);
        let now = Instant::now();
        for _ in 0..2 {
            let error = credentials.header(now).expect_err("a bad key");
            let path = file.0.display().to_string();
            assert!(error.contains(&path) && !error.contains("hush"), "{error}");
        }
    }

    #[test]
    fn nothing_to_log_in_with_are_no_credentials() {
        assert!(Credentials::new(&AuthFiles::default()).is_none());
    }
}
