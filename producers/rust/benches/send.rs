//! What a call costs the service, and what the background thread: `cargo bench -p bt-events --bench send`.
//!
//! The time of single calls by the clock, with Kafka away, so that nothing but the call is measured while the queue fills and
//! when it is full; the best of five rounds for each percentile, as whatever else runs on the machine only ever adds. Of the
//! clock itself each has about 25 ns. Then how fast the background thread gets events to a broker: the one at
//! KAFKA_BOOTSTRAP, if that is set, else librdkafka's mock.

use std::time::{Duration, Instant};

use bt_events::{Builder, Log, LogLayer, Metric, Producer};
use rdkafka::mocking::MockCluster;
use tracing_subscriber::layer::SubscriberExt;

const CALLS: usize = 100_000;
const ROUNDS: usize = 5;

fn main() {
    println!("{:44}{:>8}{:>8}{:>8}", "ns a call", "p50", "p99", "p99.9");
    for (what, events) in [("queue full", 1), ("room in the queue", CALLS)] {
        let case = |name: &str, call: &dyn Fn(&Producer)| {
            let rounds = (0..ROUNDS).map(|_| round(events, call));
            let best = |a: [u128; 3], b: [u128; 3]| std::array::from_fn(|n| a[n].min(b[n]));
            let [p50, p99, p999] = rounds.reduce(best).expect("rounds");
            println!("{:44}{p50:>8}{p99:>8}{p999:>8}", format!("{name}, {what}"));
        };
        case("counter with two labels", &|producer| {
            let metric = Metric::counter("orders_total", 1.0);
            producer.send_metric(metric.label("channel", "web").label("code", 200));
        });
        case("log with two fields", &|producer| {
            let log = Log::new("info", "order accepted").field("order_id", 42);
            producer.send_log(log.field("channel", "web"));
        });
        case("business event", &|producer| {
            producer.send_event("order.created", &serde_json::json!({"order_id": 42}));
        });
        case("tracing::info! with two fields", &|_| {
            tracing::info!(order_id = 42, channel = "web", "order accepted");
        });
    }
    throughput();
}

fn builder() -> Builder {
    let nothing_left = Producer::builder().exit_timeout(Duration::ZERO);
    nothing_left
        .service("orders")
        .instance("orders-1")
        .bootstrap("127.0.0.1:1")
}

/// The percentiles of one round.
fn round(events: usize, call: &dyn Fn(&Producer)) -> [u128; 3] {
    let producer = builder()
        .queue_events(events)
        .queue_bytes(1 << 30)
        .build()
        .expect("a producer");
    if events == 1 {
        producer.send_log(Log::new("info", "fills the queue"));
    }
    let subscriber = tracing_subscriber::registry().with(LogLayer::new(&producer));
    let mut times = Vec::with_capacity(CALLS);
    tracing::subscriber::with_default(subscriber, || {
        for _ in 0..CALLS {
            let began = Instant::now();
            call(&producer);
            times.push(began.elapsed().as_nanos());
        }
    });
    times.sort_unstable();
    [500, 990, 999].map(|per_mille| times[CALLS * per_mille / 1000])
}

fn throughput() {
    let mock = MockCluster::new(1).expect("a mock");
    let bootstrap = std::env::var("KAFKA_BOOTSTRAP").unwrap_or_else(|_| mock.bootstrap_servers());
    let producer = builder()
        .bootstrap(&bootstrap)
        .queue_events(usize::MAX >> 1)
        .queue_bytes(1 << 30)
        .build()
        .expect("a producer");
    let began = Instant::now();
    let events = 5 * CALLS;
    for n in 0..events {
        producer.send_log(Log::new("info", "order accepted").field("order_id", n));
    }
    let called = began.elapsed();
    assert!(producer.flush(Duration::from_secs(120)), "{producer:?}");
    let rate = events as f64 / began.elapsed().as_secs_f64();
    println!(
        "\n{events} logs to {bootstrap}: called in {called:.1?}, delivered at {rate:.0} a second"
    );
}
