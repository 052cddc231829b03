//! The pages of the consumer in this pod.

use std::time::Duration;

use super::SendError;

/// The consumer's pages, by the loopback address, which no network policy closes.
pub(super) struct Pages {
    http: reqwest::Client,
    own: String,
    sink: String,
}

impl Pages {
    pub fn new(http_port: u16, metrics_port: u16) -> Result<Self, SendError> {
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(10))
            .build()?;
        Ok(Self {
            http,
            own: format!("http://127.0.0.1:{http_port}/metrics"),
            sink: format!("http://127.0.0.1:{metrics_port}/metrics"),
        })
    }

    /// A partition of the topic that is assigned to this pod.
    pub async fn partition(&self, topic: &str) -> Result<i32, SendError> {
        let page = get(&self.http, &self.own)
            .await
            .map_err(SendError::Consumer)?;
        partition_on(&page, topic).ok_or_else(|| SendError::NoPartition(topic.to_owned()))
    }

    /// The series that has this token in a label.
    pub async fn find(&self, token: &str) -> Result<Option<String>, String> {
        let page = get(&self.http, &self.sink).await?;
        Ok(series_on(&page, token))
    }
}

async fn get(http: &reqwest::Client, url: &str) -> Result<String, String> {
    let response = http.get(url).send().await;
    let page = match response.and_then(reqwest::Response::error_for_status) {
        Ok(response) => response.text().await,
        Err(error) => Err(error),
    };
    page.map_err(|error| error.to_string())
}

/// The lag is told of assigned partitions only.
fn partition_on(page: &str, topic: &str) -> Option<i32> {
    let labels = page
        .lines()
        .filter_map(|line| line.strip_prefix("bt_consumer_lag_records{"))
        .find(|labels| labels.contains(&format!("topic=\"{topic}\"")))?;
    let number = labels.split("partition=\"").nth(1)?.split('"').next()?;
    number.parse().ok()
}

fn series_on(page: &str, token: &str) -> Option<String> {
    let line = page
        .lines()
        .find(|line| !line.starts_with('#') && line.contains(token))?;
    let name = line.split('{').next().unwrap_or(line);
    Some(format!("{name} on the pod's /metrics"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_and_series_are_read_from_pages() {
        let page = "# TYPE bt_consumer_lag_records gauge\n\
                    bt_consumer_lag_records{partition=\"3\",topic=\"a.b\"} 0\n\
                    bt_consumer_lag_records{partition=\"12\",topic=\"a\"} 7\n";
        assert_eq!(partition_on(page, "a"), Some(12));
        assert_eq!(partition_on(page, "a.b"), Some(3));
        assert_eq!(partition_on(page, "b"), None);
        let page = "# HELP x test-1\nx{instance=\"test-1\",source=\"a/0\"} 17\n";
        assert_eq!(
            series_on(page, "test-1").as_deref(),
            Some("x on the pod's /metrics")
        );
        assert_eq!(series_on(page, "test-2"), None);
    }
}
