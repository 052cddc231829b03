//! The end of a process. The test starts itself again as the service that ends.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use bt_events::{Health, Log, Metric, Producer, Status};
use rustix::process::{Pid, Signal, kill_process};

use crate::mock::Mock;

const SERVICE: &str = "BT_TEST_IS_A_SERVICE";

fn is_service() -> bool {
    std::env::var_os(SERVICE).is_some()
}

/// Starts `test` as a service that has its settings from the environment.
fn start(test: &str, kafka: &Mock) -> Child {
    let program = std::env::current_exe().expect("this program");
    Command::new(program)
        .args(["--exact", test, "--nocapture"])
        .env(SERVICE, "1")
        .env("KAFKA_BOOTSTRAP", kafka.bootstrap())
        .env("OTEL_SERVICE_NAME", "orders")
        .env("BT_INSTANCE", "orders-7")
        // What is sent just before the end is still here then.
        .env("BT_KAFKA_LINGER_MS", "1500")
        .stdout(Stdio::piped())
        .spawn()
        .expect("a process")
}

/// Waits for the service to say `ready`.
fn wait_until_ready(service: &mut Child) {
    let lines = BufReader::new(service.stdout.take().expect("a pipe")).lines();
    let ready = lines
        .map_while(Result::ok)
        .any(|line| line.contains("ready"));
    assert!(ready, "the service ended early");
}

fn end(mut service: Child) -> ExitStatus {
    service.wait().expect("an end")
}

#[test]
fn sigterm_delivers_what_waits_and_ends_the_process() {
    if is_service() {
        let producer = Producer::from_env();
        producer.flush_on_signals().expect("a handler");
        for n in 0..100 {
            producer.send_log(Log::new("info", "line").field("n", n));
        }
        let mut out = std::io::stdout();
        writeln!(out, "ready")
            .and_then(|()| out.flush())
            .expect("stdout");
        std::thread::sleep(Duration::from_secs(20));
        return;
    }
    let kafka = Mock::new();
    let mut service = start(
        "exit::sigterm_delivers_what_waits_and_ends_the_process",
        &kafka,
    );
    wait_until_ready(&mut service);
    let pid = Pid::from_child(&service);
    kill_process(pid, Signal::TERM).expect("a signal");
    assert_eq!(end(service).signal(), Some(Signal::TERM.as_raw()));
    assert_eq!(kafka.read("logs.events", 100)[0].key, "orders/orders-7");
}

#[test]
fn the_guard_delivers_what_the_functions_sent() {
    if is_service() {
        let _events = bt_events::init();
        assert!(bt_events::send_metric(Metric::counter("orders_total", 1.0)));
        assert!(bt_events::send_log(Log::new("info", "x")));
        assert!(bt_events::send_event(
            "order.created",
            &serde_json::json!({"n": 1})
        ));
        assert!(bt_events::send_health(Health::new(Status::Up)));
        assert_eq!(
            (bt_events::stats().sent, bt_events::stats().delivered),
            (4, 0)
        );
        assert!(bt_events::set_default(bt_events::default_producer().clone()).is_err());
        return;
    }
    let kafka = Mock::new();
    let service = start("exit::the_guard_delivers_what_the_functions_sent", &kafka);
    assert!(end(service).success());
    for topic in [
        "metrics.events",
        "logs.events",
        "orders.events",
        "health.events",
    ] {
        assert_eq!(kafka.read(topic, 1)[0].text("/instance"), "orders-7");
    }
}
