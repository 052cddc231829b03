//! The elasticsearch sink as its pods get it: credentials are files from Secrets.

use std::path::PathBuf;

use bt_consumers::config::{AuthFiles, ElasticsearchSink, SinkTlsFiles};
use url::Url;

use super::build::SINK_DIRECTORY;
use super::desired::CredentialFile;
use crate::api::{SearchSink, SecretKeyRef};

/// The file of authorities, and the key of its entry where none is named.
const AUTHORITIES: &str = "ca.crt";

/// A part of the sink's credentials: an entry of a Secret in the spec, a file in the pods.
pub struct Credential<'a> {
    /// The field that names the Secret, under `spec.sink.elasticsearch`.
    pub field: &'static str,
    pub secret: &'a str,
    pub key: &'a str,
    /// The file's name under [`SINK_DIRECTORY`].
    file: &'static str,
}

impl<'a> Credential<'a> {
    fn new(
        field: &'static str,
        reference: &'a SecretKeyRef,
        default_key: &'static str,
        file: &'static str,
    ) -> Self {
        Self {
            field,
            secret: &reference.name,
            key: reference.key_or(default_key),
            file,
        }
    }

    /// Whether these are the authorities that are trusted.
    pub fn is_authorities(&self) -> bool {
        self.file == AUTHORITIES
    }

    fn path(&self) -> PathBuf {
        format!("{SINK_DIRECTORY}/{}", self.file).into()
    }
}

fn password(sink: &SearchSink) -> Option<Credential<'_>> {
    let reference = sink.auth.as_ref()?.password_secret_ref.as_ref()?;
    let field = "auth.passwordSecretRef";
    Some(Credential::new(field, reference, "password", "password"))
}

fn api_key(sink: &SearchSink) -> Option<Credential<'_>> {
    let reference = sink.auth.as_ref()?.api_key_secret_ref.as_ref()?;
    let field = "auth.apiKeySecretRef";
    Some(Credential::new(field, reference, "api-key", "api-key"))
}

fn authorities(sink: &SearchSink) -> Option<Credential<'_>> {
    let reference = sink.tls.as_ref()?.ca_secret_ref.as_ref()?;
    let field = "tls.caSecretRef";
    Some(Credential::new(field, reference, AUTHORITIES, AUTHORITIES))
}

/// Everything that the sink reads of Secrets.
pub fn credentials(sink: &SearchSink) -> impl Iterator<Item = Credential<'_>> {
    [authorities(sink), password(sink), api_key(sink)]
        .into_iter()
        .flatten()
}

/// The sink's configuration, and the files that this takes. `url` is the engine's, where the spec names none.
pub fn config(sink: &SearchSink, url: &str) -> (ElasticsearchSink, Vec<CredentialFile>) {
    let path = |credential: Option<Credential<'_>>| credential.map(|found| found.path());
    let files = credentials(sink).map(|credential| CredentialFile {
        secret: credential.secret.into(),
        key: credential.key.into(),
        file: credential.file,
    });
    let config = ElasticsearchSink {
        urls: match sink.urls.is_empty() {
            true => vec![url.to_owned()],
            false => sink.urls.clone(),
        },
        data_stream: sink.data_stream.clone(),
        template: sink.template.clone(),
        bulk: sink.bulk.clone(),
        malformed: sink.malformed,
        auth: sink.auth.as_ref().map(|auth| AuthFiles {
            username: auth.username.clone(),
            password_file: path(password(sink)),
            api_key_file: path(api_key(sink)),
        }),
        tls: sink.tls.as_ref().map(|_| SinkTlsFiles {
            ca_file: path(authorities(sink)),
        }),
    };
    (config, files.collect())
}

/// What to tell of credentials that whoever carries the sink's requests can read.
pub fn in_clear(sink: &ElasticsearchSink) -> Option<String> {
    let auth = sink.auth.as_ref()?;
    let plain = |url: &&String| Url::parse(url).is_ok_and(|url| url.scheme() == "http");
    let url = sink.urls.iter().find(plain)?;
    let what = match auth.api_key_file {
        Some(_) => "the API key goes",
        None => "user and password go",
    };
    Some(format!(
        "spec.sink.elasticsearch.auth: {what} unencrypted to {url}, for everybody on the way to read: give https URLs"
    ))
}

/// A problem of that configuration in the field names of the resource; nothing where it is none of the sink's. `named`: whether the
/// spec names the engine.
pub fn in_resource(problem: &str, named: bool) -> Option<String> {
    let mut problem = problem.strip_prefix("sink.elasticsearch.")?.to_owned();
    for (file, reference) in [
        (" sink.elasticsearch.", " spec.sink.elasticsearch."),
        ("passwordFile", "passwordSecretRef"),
        ("apiKeyFile", "apiKeySecretRef"),
    ] {
        problem = problem.replace(file, reference);
    }
    let of_operator = problem.strip_prefix("urls[0]:").filter(|_| !named);
    Some(match of_operator {
        Some(rest) => format!(
            "spec.sink.elasticsearch.urls: none is given, and the operator's own (its ELASTICSEARCH_HOST){rest}"
        ),
        None => format!("spec.sink.elasticsearch.{problem}"),
    })
}
