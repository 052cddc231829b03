//! Saved objects (data views, searches, dashboards) for Kibana and OpenSearch Dashboards, by the API that both have.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, StatusCode};
use serde::Deserialize;

/// Between two tries while the server does not answer yet.
const PAUSE: Duration = Duration::from_secs(5);
/// No server waits so long with its answer.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Between the parts of a form; in no saved object.
const BOUNDARY: &str = "bt-operator-saved-objects-7d3f0c";

/// What `_import` answers.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    success: bool,
    #[serde(default)]
    success_count: u64,
    #[serde(default)]
    errors: Vec<serde_json::Value>,
}

/// Imports saved objects (one JSON object a line) into the server at `url`, over those of the same ids; waits up to `patience` for
/// it to be there. How many there are.
///
/// # Errors
/// When the server does not come, or refuses them: in its own words.
pub async fn import_saved_objects(
    url: &str,
    objects: &str,
    patience: Duration,
) -> anyhow::Result<u64> {
    import_every(PAUSE, url, objects, patience).await
}

async fn import_every(
    pause: Duration,
    url: &str,
    objects: &str,
    patience: Duration,
) -> anyhow::Result<u64> {
    let url = format!(
        "{}/api/saved_objects/_import?overwrite=true",
        url.trim_end_matches('/')
    );
    let client = Client::builder().timeout(TIMEOUT).build()?;
    let deadline = Instant::now() + patience;
    loop {
        let error = match import(&client, &url, objects).await {
            Ok(count) => return Ok(count),
            Err(Refusal::ForGood(error)) => return Err(error),
            Err(Refusal::NotYet(error)) => error,
        };
        if Instant::now() + pause > deadline {
            return Err(error.context(format!("{url} did not take them within {patience:?}")));
        }
        tracing::info!("waiting for {url}: {error:#}");
        tokio::time::sleep(pause).await;
    }
}

/// Why an import did not succeed, and whether trying again may help.
enum Refusal {
    NotYet(anyhow::Error),
    ForGood(anyhow::Error),
}

async fn import(client: &Client, url: &str, objects: &str) -> Result<u64, Refusal> {
    let request = client
        .post(url)
        // Kibana asks for the one, OpenSearch Dashboards for the other.
        .header("kbn-xsrf", "true")
        .header("osd-xsrf", "true")
        .header(
            CONTENT_TYPE,
            format!("multipart/form-data; boundary={BOUNDARY}"),
        )
        .body(form(objects));
    let response = request.send().await.context("no answer");
    let response = response.map_err(Refusal::NotYet)?;
    let status = response.status();
    let text = response.text().await.context("the answer is cut short");
    let text = text.map_err(Refusal::NotYet)?;
    // While it starts it answers 503, and a proxy before it 502 or 504.
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        return Err(Refusal::NotYet(anyhow::anyhow!("{status}: {text}")));
    }
    read(status, &text).map_err(Refusal::ForGood)
}

/// What the server made of them.
fn read(status: StatusCode, text: &str) -> anyhow::Result<u64> {
    ensure!(
        status.is_success(),
        "the saved objects were refused: {status}: {text}"
    );
    let answer: Answer = serde_json::from_str(text).with_context(|| {
        format!("this is no answer of Kibana or OpenSearch Dashboards; is the URL right? {text}")
    })?;
    if !answer.success {
        let errors = serde_json::to_string(&answer.errors)?;
        bail!(
            "{} saved objects were imported, others not: {errors}",
            answer.success_count
        );
    }
    Ok(answer.success_count)
}

/// The form with the one file that `_import` takes.
fn form(objects: &str) -> String {
    format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"bt-monitoring.ndjson\"\r\n\
         Content-Type: application/ndjson\r\n\r\n{objects}\r\n--{BOUNDARY}--\r\n"
    )
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::Router;
    use axum::extract::State;
    use axum::http::{HeaderMap, Uri};
    use axum::routing::post;
    use tokio::net::TcpListener;

    use super::*;

    /// The chart's saved objects.
    const OBJECTS: &str = include_str!("../../charts/saved-objects/bt-monitoring.ndjson");

    const SHORT: Duration = Duration::from_millis(10);

    /// What was asked, and the answers to give, the last one first.
    #[derive(Clone, Default)]
    struct Server {
        asked: Arc<Mutex<Vec<(Uri, HeaderMap, String)>>>,
        answers: Arc<Mutex<Vec<(u16, &'static str)>>>,
    }

    impl Server {
        /// Gives these answers, one after the other; its URL.
        async fn start(answers: &[(u16, &'static str)]) -> (Self, String) {
            let server = Self::default();
            let mut reversed = answers.to_vec();
            reversed.reverse();
            *server.answers.lock().expect("no panic") = reversed;
            let router = Router::new()
                .route("/base/api/saved_objects/_import", post(Self::answer))
                .with_state(server.clone());
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let url = format!("http://{}/base/", listener.local_addr().expect("bound"));
            tokio::spawn(async move { axum::serve(listener, router).await });
            (server, url)
        }

        async fn answer(
            State(server): State<Self>,
            uri: Uri,
            headers: HeaderMap,
            body: String,
        ) -> (StatusCode, &'static str) {
            let mut asked = server.asked.lock().expect("no panic");
            asked.push((uri, headers, body));
            let answer = server.answers.lock().expect("no panic").pop();
            let (status, text) = answer.expect("no more requests than answers");
            (StatusCode::from_u16(status).expect("a status"), text)
        }
    }

    #[tokio::test]
    async fn waits_for_the_server_and_sends_the_file_as_a_form() {
        let ok = r#"{"success": true, "successCount": 11}"#;
        let (server, url) = Server::start(&[(503, "Kibana is not ready yet"), (200, ok)]).await;
        let count = import_every(SHORT, &url, OBJECTS, Duration::from_secs(60)).await;
        assert_eq!(count.expect("imported"), 11);
        let asked = server.asked.lock().expect("no panic");
        assert_eq!(asked.len(), 2, "one more try after 503");
        let (uri, headers, body) = &asked[1];
        assert_eq!(uri, "/base/api/saved_objects/_import?overwrite=true");
        for header in ["kbn-xsrf", "osd-xsrf"] {
            assert_eq!(headers[header], "true");
        }
        let kind = headers[CONTENT_TYPE].to_str().expect("text");
        let boundary = kind.strip_prefix("multipart/form-data; boundary=");
        let boundary = boundary.expect("a form");
        assert!(!OBJECTS.contains(boundary));
        let parts: Vec<&str> = body.split(&format!("--{boundary}")).collect();
        let [before, part, after] = parts[..] else {
            panic!("not one part: {body}");
        };
        assert_eq!((before, after), ("", "--\r\n"));
        let (head, file) = part.split_once("\r\n\r\n").expect("a head and a body");
        assert!(
            head.contains(r#"name="file"; filename="bt-monitoring.ndjson""#),
            "{head}"
        );
        assert_eq!(file.strip_suffix("\r\n"), Some(OBJECTS));
    }

    #[tokio::test]
    async fn says_in_the_servers_words_why_they_were_not_taken() {
        let partly = r#"{"success": false, "successCount": 1, "errors": [{"id": "bt-logs", "error": {"type": "missing_references"}}]}"#;
        for (status, text, words) in [
            (400, "no kbn-xsrf", "400 Bad Request: no kbn-xsrf"),
            (200, partly, "1 saved objects were imported, others not"),
            (200, partly, "missing_references"),
            (200, "<html>", "is the URL right? <html>"),
        ] {
            let (server, url) = Server::start(&[(status, text)]).await;
            let error = import_every(SHORT, &url, OBJECTS, Duration::from_secs(60)).await;
            let error = format!("{:#}", error.expect_err("refused"));
            assert!(error.contains(words), "{error}");
            assert_eq!(server.asked.lock().expect("no panic").len(), 1);
        }
        let (_, url) = Server::start(&[(503, "starting")]).await;
        let error = import_every(SHORT, &url, OBJECTS, SHORT / 2).await;
        let error = format!("{:#}", error.expect_err("it never comes"));
        assert!(
            error.contains("within 5ms: 503") && error.contains("starting"),
            "{error}"
        );
    }
}
