//! The engine as a client sees it.

use std::time::{Duration, Instant};

use bt_dev_engine::{Engine, Fault, Flavour, Phase, RetryAfter, Rules, Script};
use reqwest::{Client, Response};
use serde_json::{Value, json};

struct Stand {
    engine: Engine,
    http: Client,
}

async fn stand(flavour: Flavour) -> Stand {
    let engine = Engine::start(flavour).await.expect("it listens");
    let http = Client::builder().no_proxy().build().expect("a client");
    let stand = Stand { engine, http };
    let template = json!({"index_patterns": ["logs*"], "priority": 1, "data_stream": {}});
    let url = format!("{}/_index_template/logs", stand.engine.url());
    let put = stand
        .http
        .put(url)
        .json(&template)
        .send()
        .await
        .expect("an answer");
    assert_eq!(put.status(), 200);
    stand
}

fn body(ids: std::ops::Range<u32>) -> String {
    ids.map(|id| format!("{{\"create\":{{\"_id\":\"{id}\"}}}}\n{{\"@timestamp\":1,\"n\":{id}}}\n"))
        .collect()
}

impl Stand {
    async fn bulk(&self, ids: std::ops::Range<u32>) -> reqwest::Result<Response> {
        self.post(
            "logs/_bulk?filter_path=items.*.status,items.*._index",
            body(ids),
        )
        .await
    }

    async fn post(&self, path: &str, body: String) -> reqwest::Result<Response> {
        let request = self.http.post(format!("{}/{path}", self.engine.url()));
        request
            .header("content-type", "application/x-ndjson")
            .body(body)
            .send()
            .await
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        let answer = self
            .http
            .get(format!("{}/{path}", self.engine.url()))
            .send()
            .await
            .expect("an answer");
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or_default())
    }

    fn with(&self, fault: Fault) {
        self.engine.play(Script::only(1, fault, 100));
    }
}

#[tokio::test]
async fn documents_go_into_the_write_index_and_are_found_and_deleted_in_the_older_one() {
    let stand = stand(Flavour::OpenSearch).await;
    let answer: Value = stand
        .bulk(0..2)
        .await
        .expect("an answer")
        .json()
        .await
        .expect("JSON");
    let item = json!({"create": {"_index": ".ds-logs-000001", "status": 201}});
    assert_eq!(answer, json!({"items": [item, item]}));
    stand.engine.roll_over();
    let answer: Value = stand
        .bulk(1..2)
        .await
        .expect("an answer")
        .json()
        .await
        .expect("JSON");
    assert_eq!(answer["items"][0]["create"]["_index"], ".ds-logs-000002");
    let (_, settings) = stand.get("logs/_settings/index.creation_date").await;
    let created = |index: &str| -> u64 {
        let date = &settings[index]["settings"]["index"]["creation_date"];
        date.as_str()
            .and_then(|date| date.parse().ok())
            .expect("a date")
    };
    assert!(created(".ds-logs-000001") < created(".ds-logs-000002"));

    let wanted = json!({"docs": [{"_index": ".ds-logs-000001", "_id": "1"}, {"_index": ".ds-logs-000001", "_id": "9"}]});
    let found = stand
        .post("_mget?filter_path=docs.found", wanted.to_string())
        .await
        .expect("an answer");
    assert_eq!(
        found.json::<Value>().await.expect("JSON"),
        json!({"docs": [{"found": true}, {"found": false}]})
    );
    let delete = "{\"delete\":{\"_index\":\".ds-logs-000002\",\"_id\":\"1\",\"if_seq_no\":0,\"if_primary_term\":1}}\n";
    let deleted = stand
        .post("_bulk?filter_path=items.*.result", delete.into())
        .await
        .expect("an answer");
    assert_eq!(
        deleted.json::<Value>().await.expect("JSON"),
        json!({"items": [{"delete": {"result": "deleted"}}]})
    );
    assert_eq!(stand.engine.count(), 2);
    let tally = stand.engine.tally();
    assert_eq!(
        (tally.looked_up, tally.deleted, tally.bulk_requests),
        (1, 1, 3)
    );
}

#[tokio::test]
async fn answers_are_lost_before_or_after_the_documents_are_there() {
    for (fault, there) in [
        (Fault::ResetBefore, 0),
        (Fault::Hangs { seconds: 0.1 }, 0),
        (Fault::ResetAfter, 4),
        (Fault::HalfAnswer, 4),
        (Fault::DoneThenHangs { seconds: 0.1 }, 4),
        (Fault::RolloverThenReset, 4),
    ] {
        let stand = stand(Flavour::OpenSearch).await;
        stand.bulk(9..10).await.expect("an answer");
        stand.with(fault);
        let answer = match stand.bulk(0..4).await {
            Ok(answer) => answer.bytes().await.map(|_| ()),
            Err(error) => Err(error),
        };
        assert!(answer.is_err(), "{fault:?}");
        assert_eq!(stand.engine.count(), there + 1, "{fault:?}");
        let indices = if fault == Fault::RolloverThenReset {
            2
        } else {
            1
        };
        assert_eq!(stand.engine.indices().len(), indices, "{fault:?}");
        assert_eq!(stand.engine.tally().faults[fault.name()], 1);
    }
}

#[tokio::test]
async fn a_request_is_done_late_though_nobody_waits_for_it() {
    let stand = stand(Flavour::OpenSearch).await;
    stand.with(Fault::DoneLate { seconds: 2.0 });
    let sent = tokio::time::timeout(Duration::from_millis(100), stand.bulk(0..4)).await;
    assert!(!matches!(sent, Ok(Ok(_))));
    assert_eq!(stand.engine.count(), 0);
    let began = Instant::now();
    while stand.engine.count() < 4 {
        assert!(began.elapsed() < Duration::from_secs(60), "it is not done");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn what_is_sent_again_comes_before_a_request_that_is_done_late() {
    let stand = stand(Flavour::OpenSearch).await;
    let began = Instant::now();
    stand.with(Fault::DoneLate { seconds: 2.0 });
    assert!(stand.bulk(0..4).await.is_err());
    assert_eq!(stand.engine.count(), 0);
    stand.engine.play(Script::default());
    let answer = stand.bulk(0..4).await.expect("an answer");
    let answer: Value = answer.json().await.expect("JSON");
    assert_eq!(answer["items"][3]["create"]["status"], 201, "{answer}");
    let applied = || -> Vec<_> {
        let held = stand.engine.documents();
        held.iter().map(|d| (d.applications, d.conflicts)).collect()
    };
    while applied() == [(1, 0); 4] {
        assert!(began.elapsed() < Duration::from_secs(60), "it is not done");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(applied(), [(1, 1); 4]);
}

#[tokio::test]
async fn a_front_is_away_while_the_engine_is_not() {
    let stand = stand(Flavour::OpenSearch).await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
    let front = stand.engine.front(free.expect("a free port")).await;
    let mut front = front.expect("it listens");
    let get = async |url: String| {
        stand
            .http
            .get(url)
            .send()
            .await
            .map(|answer| answer.status())
    };
    for _ in 0..2 {
        assert_eq!(get(front.url()).await.ok(), Some(reqwest::StatusCode::OK));
        front.close().await;
        assert!(get(front.url()).await.is_err());
        assert!(get(stand.engine.url()).await.is_ok());
        front.open().await.expect("it listens");
    }
}

#[tokio::test]
async fn what_hangs_is_let_go_by_another_script() {
    let stand = stand(Flavour::OpenSearch).await;
    stand.with(Fault::Hangs { seconds: 60.0 });
    let began = Instant::now();
    let (sent, ()) = tokio::join!(stand.bulk(0..1), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        stand.engine.play(Script::default());
    });
    assert!(sent.is_err() && began.elapsed() < Duration::from_secs(10));
    assert_eq!(stand.bulk(0..1).await.expect("an answer").status(), 200);
}

#[tokio::test]
async fn whole_requests_are_refused() {
    let retry_after = Some(RetryAfter::Seconds(2));
    for (fault, status) in [
        (Fault::TooManyRequests { retry_after }, 429),
        (Fault::Unavailable { retry_after }, 503),
        (Fault::Unauthorized, 401),
    ] {
        let stand = stand(Flavour::Elasticsearch).await;
        stand.with(fault);
        let answer = stand.bulk(0..1).await.expect("an answer");
        assert_eq!(answer.status(), status);
        let header = answer
            .headers()
            .get("retry-after")
            .map(|value| value.as_bytes().to_vec());
        assert_eq!(header, (status != 401).then(|| b"2".to_vec()));
        assert_eq!(stand.engine.count(), 0);
    }
    let stand = stand(Flavour::OpenSearch).await;
    let rules = Rules {
        max_bytes: 300,
        poison: "\"n\":3}".into(),
        ..Rules::default()
    };
    stand.engine.play(Script::default().with(rules));
    for (ids, status) in [(0..2, 200), (2..4, 400), (10..30, 413)] {
        assert_eq!(stand.bulk(ids).await.expect("an answer").status(), status);
    }
    assert_eq!(
        (stand.engine.count(), stand.engine.tally().refused_requests),
        (2, 2)
    );
}

#[tokio::test]
async fn some_documents_are_refused() {
    let stand = stand(Flavour::OpenSearch).await;
    let statuses = async |ids| -> Vec<u64> {
        let answer: Value = stand
            .bulk(ids)
            .await
            .expect("an answer")
            .json()
            .await
            .expect("JSON");
        let items = answer["items"].as_array().cloned().unwrap_or_default();
        items
            .iter()
            .filter_map(|item| item["create"]["status"].as_u64())
            .collect()
    };
    stand.with(Fault::TooManyItems {
        percent: 30,
        retry_after: Some(RetryAfter::Date(60)),
    });
    let found = statuses(0..200).await;
    let busy = found.iter().filter(|status| **status == 429).count();
    assert!(
        (30..90).contains(&busy) && found.iter().all(|status| [201, 429].contains(status)),
        "{found:?}"
    );
    assert_eq!(stand.engine.count(), 200 - busy);
    stand.engine.play(Script::default());
    statuses(0..200).await;
    assert_eq!(stand.engine.tally().early, busy as u64);
    for (fault, status) in [
        (Fault::ReadOnly, 403),
        (Fault::FloodStage, 429),
        (Fault::IndexClosed, 400),
        (Fault::UnavailableShards { percent: 100 }, 503),
    ] {
        stand.with(fault);
        assert_eq!(statuses(300..302).await, [status, status], "{fault:?}");
    }
    stand.engine.play(Script::default().with(Rules {
        refuse_one_in: 10,
        ..Rules::default()
    }));
    let refused = statuses(1000..1200)
        .await
        .iter()
        .filter(|status| **status == 400)
        .count();
    let expected = (1000..1200)
        .filter(|id| bt_dev_engine::is_refused(&id.to_string(), 10))
        .count();
    assert_eq!(
        (refused, stand.engine.tally().refused.len()),
        (expected, expected)
    );
    assert!(expected > 0);
}

#[tokio::test]
async fn flavours_differ_in_what_they_have() {
    let cases = [
        (Flavour::ElasticsearchOss, [400, 404, 400, 400]),
        (Flavour::Elasticsearch7, [200, 404, 400, 400]),
        (Flavour::Elasticsearch, [200, 404, 400, 404]),
        (Flavour::OpenSearch, [200, 400, 404, 400]),
    ];
    for (flavour, statuses) in cases {
        let stand = stand(flavour).await;
        let paths = [
            "_data_stream",
            "_ilm/policy/x",
            "_plugins/_ism/policies/x",
            "_data_stream/x/_lifecycle",
        ];
        for (path, status) in paths.into_iter().zip(statuses) {
            assert_eq!(stand.get(path).await.0, status, "{flavour:?} {path}");
        }
        let answer: Value = stand
            .bulk(0..1)
            .await
            .expect("an answer")
            .json()
            .await
            .expect("JSON");
        let index = answer["items"][0]["create"]["_index"]
            .as_str()
            .unwrap_or_default();
        assert_eq!(
            index.starts_with(".ds-logs-"),
            flavour.data_streams(),
            "{index}"
        );
    }
}

#[tokio::test]
async fn setting_up_fails_too_where_a_phase_says_so() {
    let stand = stand(Flavour::OpenSearch).await;
    let mut script = Script::only(1, Fault::Unavailable { retry_after: None }, 100);
    script.phases[0] = Phase {
        set_up: true,
        requests: 1,
        ..script.phases[0].clone()
    };
    script.phases.push(Phase::default());
    stand.engine.play(script);
    assert_eq!(stand.get("").await.0, 503);
    assert_eq!(stand.get("").await.0, 200);
}
