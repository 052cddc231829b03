use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use memchr::memmem;
use reqwest::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER,
};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Method, StatusCode};
use thiserror::Error;

use super::credentials::Credentials;
use super::mounted::Mounted;
use super::nodes::Nodes;
use crate::config::ElasticsearchSink;

/// Longer than any engine should take for one request of the size configured.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Shorter than the longest wait between two attempts: a connection that leads to the wrong place (an address given to somebody
/// else, a proxy that answers for nobody) is not kept through a failure.
const IDLE: Duration = Duration::from_secs(3);

/// The longest wait that an engine may ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);

/// HTTP to the engine's nodes, in turn; those that failed are left alone for a while.
pub(super) struct Client {
    urls: Vec<String>,
    /// The same without user and password, for messages.
    shown: Vec<String>,
    timeout: Duration,
    changing: Mutex<Changing>,
}

struct Changing {
    nodes: Nodes,
    http: reqwest::Client,
    authorities: Option<Mounted>,
    credentials: Option<Credentials>,
}

/// An answer of whatever status.
#[derive(Debug)]
pub(super) struct Response {
    pub status: StatusCode,
    pub retry_after: Option<Duration>,
    pub body: Bytes,
}

/// No answer, or one cut short.
#[derive(Debug, Error)]
pub(super) enum NoAnswer {
    /// Nothing came back.
    #[error("{url}: {reason}")]
    Lost {
        /// Without user and password.
        url: String,
        reason: String,
        /// The node was not even reached, so that it cannot have done anything.
        unsent: bool,
        /// It took too long.
        timed_out: bool,
    },
    /// The file of the credentials cannot be used; nothing was sent.
    #[error("{0}")]
    Credentials(String),
    /// The file of the authorities cannot be used; nothing was sent.
    #[error("{0}")]
    Authorities(String),
}

impl NoAnswer {
    /// Whether the engine may have done what it was asked for.
    pub fn may_be_done(&self) -> bool {
        matches!(self, Self::Lost { unsent: false, .. })
    }

    /// Whether another node may answer.
    pub fn is_of_the_node(&self) -> bool {
        matches!(self, Self::Lost { .. })
    }

    pub fn is_timeout(&self) -> bool {
        matches!(
            self,
            Self::Lost {
                timed_out: true,
                ..
            }
        )
    }
}

impl Client {
    pub fn new(config: &ElasticsearchSink) -> Result<Self, reqwest::Error> {
        let credentials = config.auth.as_ref().and_then(Credentials::new);
        let authorities = config.tls.as_ref().and_then(|tls| tls.ca_file.as_ref());
        let shown: Vec<_> = config.urls.iter().map(|url| shown(url)).collect();
        let urls = match credentials {
            // Those of the files count, not those in the URLs.
            Some(_) => shown.clone(),
            None => {
                let plain = |url: &String| url.trim_end_matches('/').to_owned();
                config.urls.iter().map(plain).collect()
            }
        };
        Ok(Self {
            changing: Mutex::new(Changing {
                nodes: Nodes::new(urls.len()),
                http: http(None)?,
                authorities: authorities.map(|path| Mounted::new("authorities", path)),
                credentials,
            }),
            urls,
            shown,
            timeout: TIMEOUT,
        })
    }

    #[cfg(test)]
    pub fn timing_out_after(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Sends a request to the next node; `path` begins with a slash.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        content_type: &'static str,
        body: Option<Bytes>,
    ) -> Result<Response, NoAnswer> {
        self.send_encoded(method, path, content_type, body, None)
            .await
    }

    /// As [`Client::send`], of a body that is encoded: `Content-Encoding`.
    pub async fn send_encoded(
        &self,
        method: Method,
        path: &str,
        content_type: &'static str,
        body: Option<Bytes>,
        encoding: Option<&'static str>,
    ) -> Result<Response, NoAnswer> {
        let (http, authorization, node) = self.lock().next(Instant::now())?;
        let url = &self.urls[node];
        let mut request = http
            .request(method, format!("{url}{path}"))
            .timeout(self.timeout);
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        if let Some(encoding) = encoding {
            request = request.header(CONTENT_ENCODING, encoding);
        }
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, content_type).body(body);
        }
        let answer = async {
            let response = request.send().await?;
            let status = response.status();
            let retry_after = retry_after(response.headers(), SystemTime::now());
            let body = masked(response.bytes().await?);
            Ok(Response {
                status,
                retry_after,
                body,
            })
        };
        let answer = answer
            .await
            .map_err(|error: reqwest::Error| NoAnswer::Lost {
                url: self.shown[node].clone(),
                unsent: error.is_connect() || error.is_builder(),
                timed_out: error.is_timeout(),
                reason: chain(&error.without_url()),
            });
        let mut changing = self.lock();
        match &answer {
            Ok(response) => {
                match response.status.as_u16() {
                    502..=504 => changing.nodes.failed(node, Instant::now()),
                    _ => changing.nodes.succeeded(node),
                }
                if response.status == StatusCode::UNAUTHORIZED
                    && let Some(credentials) = &mut changing.credentials
                {
                    credentials.refused();
                }
            }
            Err(_) => changing.nodes.failed(node, Instant::now()),
        }
        answer
    }

    /// Whether another node may do what the last one could not.
    pub fn has_good_node(&self) -> bool {
        self.lock().nodes.any_good(Instant::now())
    }

    fn lock(&self) -> MutexGuard<'_, Changing> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Changing {
    /// What the next request is sent with, and to which node.
    fn next(
        &mut self,
        now: Instant,
    ) -> Result<(reqwest::Client, Option<HeaderValue>, usize), NoAnswer> {
        if let Some(file) = &mut self.authorities
            && let Some(pem) = file.changed(now).map_err(NoAnswer::Authorities)?
        {
            let certificates = Certificate::from_pem_bundle(pem)
                .map_err(|error| error.to_string())
                .and_then(|certificates| match certificates.is_empty() {
                    true => Err("it has none".to_owned()),
                    false => Ok(certificates),
                });
            match certificates.and_then(|c| http(Some(c)).map_err(|error| error.to_string())) {
                Ok(http) => self.http = http,
                Err(error) => {
                    file.read_again();
                    let why = format!("does not have certificates in PEM: {error}");
                    return Err(NoAnswer::Authorities(file.message(&why)));
                }
            }
        }
        let header = match &mut self.credentials {
            Some(credentials) => Some(credentials.header(now).map_err(NoAnswer::Credentials)?),
            None => None,
        };
        Ok((self.http.clone(), header, self.nodes.pick(now)))
    }
}

/// An HTTP client that trusts these authorities, or those of the system.
fn http(authorities: Option<Vec<Certificate>>) -> Result<reqwest::Client, reqwest::Error> {
    let builder = reqwest::Client::builder()
        .user_agent(concat!("bt-consumers/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(Duration::from_secs(5))
        .pool_idle_timeout(IDLE)
        // One that is followed would turn a request with documents into one without.
        .redirect(Policy::none());
    match authorities {
        Some(authorities) => builder.tls_certs_only(authorities).build(),
        None => builder.build(),
    }
}

impl Response {
    /// The beginning of the body, for messages.
    pub fn excerpt(&self) -> String {
        String::from_utf8_lossy(&self.body[..self.body.len().min(2000)])
            .chars()
            .take(500)
            .collect()
    }
}

/// Without credentials: Elasticsearch 7 quotes a request's headers where it tells what it cannot parse.
fn masked(body: Bytes) -> Bytes {
    const HEADER: &[u8] = b"uthorization:";
    let finder = memmem::Finder::new(HEADER);
    if finder.find(&body).is_none() {
        return body;
    }
    let (mut masked, mut rest) = (Vec::with_capacity(body.len()), &body[..]);
    while let Some(at) = finder.find(rest) {
        let (head, value) = rest.split_at(at + HEADER.len());
        masked.extend_from_slice(head);
        masked.extend_from_slice(b" ***");
        // The scheme and the credentials, as far as they are quoted.
        let is_of_them = |byte: &&u8| byte.is_ascii_alphanumeric() || b" +/=-._~".contains(*byte);
        rest = &value[value.iter().take_while(is_of_them).count()..];
    }
    masked.extend_from_slice(rest);
    masked.into()
}

/// A URL without user and password.
fn shown(url: &str) -> String {
    let Ok(mut url) = reqwest::Url::parse(url) else {
        return "the engine".into();
    };
    // Only impossible for URLs without a host, which have neither.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.as_str().trim_end_matches('/').to_owned()
}

/// reqwest's own text says only that sending failed; the reason is further down.
fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// `Retry-After`, in seconds or as a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match value.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = httpdate::parse_http_date(value).ok()?;
            date.duration_since(now).unwrap_or_default()
        }
    };
    Some(wait.min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_show_no_password() {
        assert_eq!(shown("https://bt:hush@es:9200/"), "https://es:9200");
        assert_eq!(shown("http://es:9200/prefix"), "http://es:9200/prefix");
    }

    #[test]
    fn what_the_engine_quotes_shows_no_credentials() {
        let quoted = r#"{"error":"at [Source: (byte[])\"POST /_bulk HTTP/1.1\r\nauthorization: Basic YnQ6aHVzaA==\r\naccept: */*\r\nAuthorization: ApiKey YW"}"#;
        let masked_text = masked(Bytes::from(quoted));
        let expected = r#"{"error":"at [Source: (byte[])\"POST /_bulk HTTP/1.1\r\nauthorization: ***\r\naccept: */*\r\nAuthorization: ***"}"#;
        assert_eq!(std::str::from_utf8(&masked_text), Ok(expected));
        let other = Bytes::from_static(b"{\"items\":[]}");
        assert_eq!(masked(other.clone()), other);
    }

    #[test]
    fn it_is_known_whether_a_request_without_an_answer_may_have_been_done() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            // Connections are taken, and nothing is ever read.
            let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
            let address = silent.local_addr().expect("an address");
            let config = ElasticsearchSink {
                urls: vec![format!("http://user:hush@{address}")],
                ..ElasticsearchSink::default()
            };
            let client = Client::new(&config).expect("a client");
            let client = client.timing_out_after(Duration::from_millis(100));
            let get = || client.send(Method::GET, "/", "application/json", None);
            let error = get().await.expect_err("no answer");
            assert!(error.may_be_done() && error.is_timeout(), "{error:?}");
            drop(silent);
            let error = get().await.expect_err("nobody");
            assert!(!error.may_be_done() && !error.is_timeout(), "{error:?}");
            let text = error.to_string();
            let expected = format!("http://{address}: ");
            assert!(
                text.starts_with(&expected) && !text.contains("hush"),
                "{text}"
            );
        });
    }

    #[test]
    fn the_engine_says_when_to_come_again_in_seconds_or_by_date() {
        // 1994-11-06 08:49:37
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        for (value, want) in [
            ("7", Some(7)),
            (" 0 ", Some(0)),
            ("86400", Some(300)),
            ("Sun, 06 Nov 1994 08:49:47 GMT", Some(10)),
            ("Sunday, 06-Nov-94 08:49:47 GMT", Some(10)),
            ("Sun, 06 Nov 1994 07:00:00 GMT", Some(0)),
            ("Mon, 07 Nov 1994 08:49:37 GMT", Some(300)),
            ("soon", None),
            ("-1", None),
        ] {
            let value = HeaderValue::from_static(value);
            let headers = HeaderMap::from_iter([(RETRY_AFTER, value.clone())]);
            let want = want.map(Duration::from_secs);
            assert_eq!(retry_after(&headers, now), want, "{value:?}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
