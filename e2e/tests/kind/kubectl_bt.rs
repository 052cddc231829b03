//! `kubectl bt`, the real program, as its user types it.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::{eventually, scenario, seconds, tcon};
use serde_json::{Value, json};
use tokio::process::Command;

/// What a command printed, and its exit code.
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Said {
    fn done(self) -> Result<String> {
        ensure!(
            self.code == Some(0),
            "exit code {:?}: {}{}",
            self.code,
            self.out,
            self.err
        );
        Ok(self.out)
    }
}

async fn bt(arguments: &[&str]) -> Result<Said> {
    let program = std::env::var("E2E_KUBECTL_BT")
        .context("E2E_KUBECTL_BT is not set: where kubectl-bt was built")?;
    let run = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output();
    let output = tokio::time::timeout(Duration::from_secs(90), run).await;
    let output = output.with_context(|| format!("kubectl bt {arguments:?} does not end"))??;
    Ok(Said {
        code: output.status.code(),
        out: String::from_utf8(output.stdout)?,
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// The hops of an event that was sent through a consumer, as JSON.
async fn sent(arguments: &[&str]) -> Result<Vec<Value>> {
    let said = bt(&[&["send", "-o", "json"], arguments].concat())
        .await?
        .done()?;
    said.lines()
        .map(|line| Ok(serde_json::from_str(line)?))
        .collect()
}

fn names(hops: &[Value]) -> Vec<&str> {
    hops.iter().filter_map(|hop| hop["hop"].as_str()).collect()
}

#[tokio::test]
async fn status_and_doctor_tell_what_is_well_and_what_is_not() -> Result<()> {
    scenario(async |e2e| {
        let status = bt(&["status"]).await?.done()?;
        for words in [
            "TOPICS",
            "metrics.events",
            "CONSUMERS",
            "prometheus",
            "elasticsearch",
        ] {
            ensure!(status.contains(words), "no {words} in\n{status}");
        }
        ensure!(!status.contains('\x1b'), "colours into a pipe: {status:?}");
        ensure!(
            status.lines().all(|line| line.chars().count() <= 100),
            "too wide:\n{status}"
        );
        let status: Value = serde_json::from_str(&bt(&["status", "-o", "json"]).await?.done()?)?;
        let consumers = status["consumers"].as_array().context("no consumers")?;
        let metrics = consumers
            .iter()
            .find(|c| c["name"] == "metrics")
            .context("no metrics")?;
        let history = metrics["lagHistory"].as_array().context("no history")?;
        ensure!(
            history.iter().any(Value::is_number),
            "no history of lag: {metrics}"
        );
        let top = bt(&["top", "--once"]).await?.done()?;
        ensure!(
            top.contains("metrics") && top.contains("records behind"),
            "{top}"
        );

        let doctor = bt(&["doctor"]).await?;
        ensure!(
            doctor.code == Some(0) && !doctor.out.contains("FAIL"),
            "{}{}",
            doctor.out,
            doctor.err
        );

        // One thing that is broken: it fails, with what to do, also in `status`.
        let namespace = e2e.namespace("doctor").await?;
        let sink = json!({"elasticsearch": {"urls": ["http://nobody.invalid:9200"]}});
        let spec = json!({"topics": ["logs.events"], "sink": sink, "startFrom": "Latest"});
        e2e.cluster.apply(&namespace, &tcon("lost", &spec)).await?;
        e2e.cluster
            .consumer_says(&namespace, "lost", "SinkReady", "False Unreachable", &[])
            .await?;
        let doctor = bt(&["doctor", "-n", &namespace]).await?;
        ensure!(
            doctor.code == Some(1),
            "exit code {:?}: {}{}",
            doctor.code,
            doctor.out,
            doctor.err
        );
        let sinks = doctor
            .out
            .lines()
            .find(|line| line.starts_with("FAIL  sinks"));
        ensure!(
            sinks.is_some_and(|line| line.contains("lost") && line.contains("Unreachable")),
            "{}",
            doctor.out
        );
        let status = bt(&["status", "-n", &namespace]).await?.done()?;
        ensure!(
            status.contains("consumer lost: SinkReady Unreachable")
                && status.contains("→ check that the sink runs"),
            "{status}"
        );
        // Nobody can be asked where no pod runs, and that is said.
        let spec = json!({"topics": ["logs.events"], "sink": {"prometheus": {}}, "replicas": 0});
        e2e.cluster
            .apply(&namespace, &tcon("asleep", &spec))
            .await?;
        let said = bt(&[
            "tail",
            "logs.events",
            "-n",
            &namespace,
            "--consumer",
            "asleep",
        ])
        .await?;
        ensure!(
            said.code == Some(2) && said.err.contains("kubectl scale tcon/asleep"),
            "{:?}: {}",
            said.code,
            said.err
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn events_are_seen_on_their_way_into_both_sinks() -> Result<()> {
    scenario(async |_| {
        let hops = sent(&["--consumer", "metrics"]).await?;
        ensure!(
            names(&hops) == ["sent", "acknowledged", "committed", "visible", "visible"],
            "{hops:?}"
        );
        let last = &hops[4]["place"];
        ensure!(
            last.as_str()
                .is_some_and(|place| place.starts_with("Prometheus: bt_test_event")),
            "{hops:?}"
        );
        let hops = sent(&[
            "log",
            "--consumer",
            "logs",
            "--message",
            "hello from the test",
        ])
        .await?;
        ensure!(
            names(&hops) == ["sent", "acknowledged", "committed", "visible"],
            "{hops:?}"
        );
        let times: Vec<u64> = hops.iter().filter_map(|hop| hop["ms"].as_u64()).collect();
        ensure!(times.len() == 3 && times.is_sorted(), "{times:?}");

        // The same log, in the topic.
        let tailed = bt(&[
            "tail",
            "logs.events",
            "--service",
            "kubectl-bt",
            "--since",
            "2m",
            "--once",
            "-o",
            "json",
        ])
        .await?
        .done()?;
        let id = hops[0]["id"].as_str().context("no id")?;
        let line = tailed
            .lines()
            .find(|line| line.contains(id))
            .with_context(|| format!("{id} is not in {tailed}"))?;
        let line: Value = serde_json::from_str(line)?;
        ensure!(line["event"]["message"] == "hello from the test", "{line}");
        ensure!(
            line["partition"] == hops[1]["partition"] && line["offset"] == hops[1]["offset"],
            "{line} {hops:?}"
        );
        let text = bt(&[
            "tail",
            "logs.events",
            "--level",
            "INFO",
            "--grep",
            id,
            "--since",
            "2m",
            "--once",
        ])
        .await?
        .done()?;
        ensure!(
            text.contains("INFO  hello from the test") && text.lines().count() == 1,
            "{text}"
        );
        let none = bt(&["tail", "no.such.topic", "--once"]).await?;
        ensure!(
            none.code == Some(2) && none.err.contains("no.such.topic"),
            "{}",
            none.err
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn dead_letters_are_listed_shown_and_sent_again() -> Result<()> {
    scenario(async |e2e| {
        let topic = "logs.events";
        let broken = format!(
            r#"{{"ts":1767323045678,"service":"e2e","level":"info","run":"{}""#,
            e2e.run
        );
        e2e.kafka
            .produce(topic, &e2e.run, Some(broken.as_bytes()))
            .await?;
        let letter = eventually("the letter is listed", seconds(30), async || {
            let listed = bt(&[
                "dead-letters",
                "list",
                "logs",
                "--since",
                "2m",
                "--reason",
                "invalid_json",
                "-o",
                "json",
            ])
            .await?
            .done()?;
            let report: Value = serde_json::from_str(&listed)?;
            let mut letters = report["letters"].as_array().into_iter().flatten();
            let ours = letters.find(|letter| letter["key"] == e2e.run.as_str());
            ours.cloned().with_context(|| format!("not in {listed}"))
        })
        .await?;
        let text = bt(&["dead-letters", "list", "--since", "2m"])
            .await?
            .done()?;
        ensure!(
            text.contains("default/logs") && text.contains("invalid_json"),
            "{text}"
        );
        let place = format!("{}/{}", letter["partition"], letter["offset"]);
        let shown = bt(&["dead-letters", "show", &place]).await?.done()?;
        for words in [
            "bt-topic",
            topic,
            "no event (invalid_json)",
            broken.as_str(),
        ] {
            ensure!(shown.contains(words), "no {words} in\n{shown}");
        }
        let filter = ["--since", "2m", "--reason", "invalid_json"];
        let replay = [&["dead-letters", "replay", "logs"], &filter[..]].concat();
        let counted = bt(&[&replay[..], &["--dry-run"]].concat()).await?.done()?;
        ensure!(counted.contains("nothing was sent"), "{counted}");
        let nobody = bt(&replay).await?;
        ensure!(
            nobody.code == Some(2) && nobody.err.contains("--yes"),
            "{}",
            nobody.err
        );
        // It is no JSON today either.
        let again = bt(&[&replay[..], &["--yes"]].concat()).await?;
        ensure!(
            again.code == Some(1) && again.out.contains("refused again"),
            "{:?} {}{}",
            again.code,
            again.out,
            again.err
        );
        Ok(())
    })
    .await
}
