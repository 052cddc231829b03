//! What reading an event costs: `cargo bench -p bt-events`, or with a part of a case's name after `--`.
//!
//! CPU time of the thread from a record's bytes to each [`bt_events::Event`], over 2 million events of 100,000
//! different series; the best of three rounds, as whatever else runs on the machine only ever adds.

use std::hint::black_box;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

const SERIES: usize = 100_000;
const EVENTS: usize = 2_000_000;
const ROUNDS: usize = 3;

/// Makes the event of the n-th series.
type NthEvent = fn(usize) -> String;

fn main() {
    let wanted = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    let cases: [(&str, NthEvent); 6] = [
        ("metric, RFC 3339", |n| {
            metric(n, r#""2026-05-01T10:00:00.123Z""#, "")
        }),
        ("metric, epoch ms", |n| metric(n, "1777629600123", "")),
        ("metric, trace_id", |n| {
            let id = format!(r#","trace_id":"{n:032x}""#);
            metric(n, r#""2026-05-01T10:00:00.123Z""#, &id)
        }),
        ("histogram, 12 buckets", |n| {
            let buckets = r#","buckets":[0.005,0.01,0.025,0.05,0.1,0.25,0.5,1,2.5,5,10,30]"#;
            metric(n, r#""2026-05-01T10:00:00.123Z""#, buckets).replace("counter", "histogram")
        }),
        ("log", |n| log(n, "")),
        ("log, stack trace", |n| log(n, &stack_trace())),
    ];
    println!(
        "{:24}{:>8}{:>14}{:>16}",
        "ns an event", "bytes", "one a record", "100 a record"
    );
    for (name, event) in cases {
        if wanted
            .as_ref()
            .is_some_and(|wanted| !name.contains(wanted.as_str()))
        {
            continue;
        }
        let single: Vec<String> = (0..SERIES).map(event).collect();
        let arrays: Vec<String> = single
            .chunks(100)
            .map(|c| format!("[{}]", c.join(",")))
            .collect();
        let bytes = single.iter().map(String::len).sum::<usize>() / SERIES;
        println!(
            "{name:24}{bytes:>8}{:>14.0}{:>16.0}",
            measure(&single),
            measure(&arrays)
        );
    }
}

/// The nanoseconds that an event takes.
fn measure(records: &[String]) -> f64 {
    let round = || {
        let began = cpu_time();
        let mut events = 0;
        while events < EVENTS {
            for record in records {
                for element in bt_events::parse(record.as_bytes()).expect("valid JSON") {
                    black_box(&element.event().expect("a valid event"));
                    events += 1;
                }
            }
        }
        (cpu_time() - began).as_nanos() as f64 / events as f64
    };
    (0..ROUNDS).map(|_| round()).fold(f64::INFINITY, f64::min)
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn uuid(n: usize) -> String {
    let n = (n as u128).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    let hex = format!("{n:032x}");
    format!(
        "{}-{}-4{}-a{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[13..16],
        &hex[17..20],
        &hex[20..]
    )
}

fn metric(n: usize, ts: &str, more: &str) -> String {
    let (service, instance) = (n % 20, n % 200);
    let (route, code, region) = (n / 200 % 100, 200 + n / 20_000, n % 3);
    format!(
        r#"{{"ts":{ts},"id":"{}","service":"service-{service}","instance":"service-{service}-{instance}","name":"http_requests_total","kind":"counter","value":{},"labels":{{"method":"GET","route":"/api/v1/things/{route}","code":"{code}","region":"eu-{region}"}}{more}}}"#,
        uuid(n),
        n % 10
    )
}

fn log(n: usize, more: &str) -> String {
    format!(
        r#"{{"ts":"2026-05-01T10:00:00.123Z","id":"{}","service":"service-{}","instance":"service-{}-{n}","level":"info","message":"request {n} for \"/api/v1/things/{n}\" took 12 ms\nand was answered","logger":"http.server","trace_id":"{n:032x}","span_id":"{n:016x}","fields":{{"route":"/api/v1/things/:id","status":200,"customer":{{"id":{n},"name":"Müller"}}}}{more}}}"#,
        uuid(n),
        n % 20,
        n % 20
    )
}

fn stack_trace() -> String {
    let frame =
        r#"  File \"/app/orders/handler.py\", line 42, in handle\n    return self.next(request)\n"#;
    format!(
        r#","error":{{"type":"ValueError","message":"no such thing","stack_trace":"Traceback (most recent call last):\n{}"}}"#,
        frame.repeat(12)
    )
}
