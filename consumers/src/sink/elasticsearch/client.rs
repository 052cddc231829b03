use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Method, StatusCode};
use thiserror::Error;

/// Longer than any engine should take for one request of the size configured.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Shorter than the longest wait between two attempts: a connection that leads to the wrong place (an address given to somebody
/// else, a proxy that answers for nobody) is not kept through a failure.
const IDLE: Duration = Duration::from_secs(3);

/// HTTP to one of the engine's nodes, the next one after a failure.
pub(super) struct Client {
    http: reqwest::Client,
    urls: Vec<String>,
    /// The same without user and password, for messages.
    shown: Vec<String>,
    current: AtomicUsize,
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
#[error("{url}: {reason}")]
pub(super) struct NoAnswer {
    url: String,
    reason: String,
}

impl Client {
    pub fn new(urls: &[String]) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .user_agent(concat!("bt-consumers/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(5))
            .timeout(TIMEOUT)
            .pool_idle_timeout(IDLE)
            .build()?;
        Ok(Self {
            http,
            urls: urls
                .iter()
                .map(|url| url.trim_end_matches('/').to_owned())
                .collect(),
            shown: urls.iter().map(|url| shown(url)).collect(),
            current: AtomicUsize::new(0),
        })
    }

    /// Sends a request to the current node; `path` begins with a slash.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        content_type: &'static str,
        body: Option<Bytes>,
    ) -> Result<Response, NoAnswer> {
        let current = self.current.load(Ordering::Relaxed);
        let url = &self.urls[current % self.urls.len()];
        let mut request = self.http.request(method, format!("{url}{path}"));
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, content_type).body(body);
        }
        let answer = async {
            let response = request.send().await?;
            let status = response.status();
            let retry_after = retry_after(response.headers());
            let body = response.bytes().await?;
            Ok(Response {
                status,
                retry_after,
                body,
            })
        };
        let answer = answer.await.map_err(|error: reqwest::Error| NoAnswer {
            url: self.shown[current % self.urls.len()].clone(),
            reason: chain(&error.without_url()),
        });
        let failed = match &answer {
            Ok(response) => matches!(response.status.as_u16(), 502..=504),
            Err(_) => true,
        };
        if failed {
            // Whoever sees the failure first moves on for all.
            let _ = self.current.compare_exchange(
                current,
                current.wrapping_add(1),
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
        }
        answer
    }
}

impl Response {
    /// The beginning of the body, for messages.
    pub fn excerpt(&self) -> String {
        String::from_utf8_lossy(&self.body)
            .chars()
            .take(500)
            .collect()
    }
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

/// `Retry-After` in seconds; its other form, a date, is not used by these engines.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(Duration::from_secs(300)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_show_no_password() {
        assert_eq!(shown("https://bt:hush@es:9200/"), "https://es:9200");
        assert_eq!(shown("http://es:9200/prefix"), "http://es:9200/prefix");
    }
}
