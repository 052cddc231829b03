//! `bt-consumers validate`: the configuration and the files of credentials that it names.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A directory as a Secret is mounted, gone at the end.
struct Mount(PathBuf);

impl Mount {
    fn new(name: &str, files: &[(&str, &str)]) -> Self {
        let path = std::env::temp_dir().join(format!("bt-validate-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a directory");
        for (file, text) in files {
            std::fs::write(path.join(file), text).expect("a file");
        }
        Self(path)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn config(mount: &Path, kafka: &str) -> String {
    let kafka = kafka.replace("DIR", &mount.display().to_string());
    format!(
        "consumer: shop/logs\nkafka: {{bootstrapServers: 'kafka:9095', {kafka}}}\ngroupId: g\ntopics: [t]\n\
         deadLetterTopic: dead-letters\nstateTopic: s.state\nsink: {{prometheus: {{}}}}\n"
    )
}

/// Whether it succeeded, and what it said.
fn validate(config: &Path) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_bt-consumers"))
        .args(["validate", "--config"])
        .arg(config)
        .output()
        .expect("the program runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.success(), said)
}

#[test]
fn what_is_wrong_with_credentials_is_named() {
    let mount = Mount::new(
        "cases",
        &[
            ("password", "hush\n"),
            ("empty", " \n"),
            ("ca.crt", "hush, not PEM"),
            ("tls.crt", "x"),
        ],
    );
    const SASL: &str = "sasl: {mechanism: SCRAM-SHA-512, username: bt, passwordFile: DIR/password}";
    let cases = [
        ("all well", SASL.to_owned(), None),
        ("all well, encrypted", format!("tls: {{}}, {SASL}"), None),
        (
            "no file",
            SASL.replace("DIR/password", "DIR/none"),
            Some("cannot read the credentials in DIR/none: No such file"),
        ),
        (
            "an empty file",
            SASL.replace("DIR/password", "DIR/empty"),
            Some("cannot read the credentials in DIR/empty: it is empty"),
        ),
        (
            "a directory",
            SASL.replace("DIR/password", "DIR"),
            Some("cannot read the credentials in DIR: Is a directory"),
        ),
        (
            "no user",
            SASL.replace("username: bt", "username: ''"),
            Some("kafka.sasl.username: must not be empty"),
        ),
        (
            "no such mechanism",
            SASL.replace("SCRAM-SHA-512", "MD5"),
            Some("unknown variant `MD5`"),
        ),
        (
            "no PEM",
            "tls: {caFile: DIR/ca.crt}".into(),
            Some("ssl.ca.pem: not in PEM format"),
        ),
        (
            "half a pair",
            "tls: {certificateFile: DIR/tls.crt}".into(),
            Some("kafka.tls: certificateFile and keyFile belong together"),
        ),
        (
            "a secret in the file",
            format!("{SASL}, password: hush"),
            Some("unknown field `password`"),
        ),
    ];
    for (name, kafka, problem) in cases {
        let file = mount.0.join("config.yaml");
        std::fs::write(&file, config(&mount.0, &kafka)).expect("a file");
        let (ok, said) = validate(&file);
        assert_eq!(ok, problem.is_none(), "{name}: {said}");
        let problem = problem
            .unwrap_or_default()
            .replace("DIR", &mount.0.display().to_string());
        if !problem.is_empty() {
            assert_eq!(said.matches(&problem).count(), 1, "{name}: {said}");
        }
        assert!(!said.contains("hush"), "{name}: {said}");
    }
}
