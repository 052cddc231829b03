use super::*;

/// `+` a success of the round at hand, `-` an overload of it, `!` another failure of it, `<` an overload of the round before.
fn play(most: usize, script: &str) -> Vec<usize> {
    let mut limit = Limit::new(most);
    let mut before = limit.round();
    let mut seen = Vec::new();
    for event in script.chars() {
        let round = limit.round();
        match event {
            '+' => limit.succeeded(round),
            '-' => {
                limit.failed(round, true);
            }
            '!' => {
                limit.failed(round, false);
            }
            '<' => {
                assert!(!limit.failed(before, true));
            }
            _ => unreachable!("{event}"),
        }
        if limit.round() != round {
            before = round;
        }
        seen.push(limit.now());
    }
    seen
}

#[test]
fn it_is_halved_at_overload_and_grows_by_one_after_as_many_successes_as_it_is() {
    for (most, script, want) in [
        (4, "++++", vec![4, 4, 4, 4]),
        (8, "---", vec![4, 2, 1]),
        (1, "--", vec![1, 1]),
        (0, "-", vec![1]),
        (4, "--+++++++++", vec![2, 1, 2, 2, 3, 3, 3, 4, 4, 4, 4]),
        // A failure that is none of its doing, and begins to count anew.
        (4, "-+!++", vec![2, 2, 2, 2, 3]),
        // All that was sent before the limit was halved halves it once.
        (8, "-<<<-", vec![4, 4, 4, 4, 2]),
    ] {
        assert_eq!(play(most, script), want, "{most} {script}");
    }
}

#[test]
fn successes_from_before_the_last_failure_do_not_count() {
    let mut limit = Limit::new(4);
    let old = limit.round();
    limit.failed(old, true);
    for _ in 0..10 {
        limit.succeeded(old);
    }
    assert_eq!(limit.now(), 2);
}

fn gate(most: usize) -> Gate {
    Gate::new(most, IntGauge::new("limit", "limit").expect("a gauge"))
}

async fn is_let_through(gate: &Gate) -> bool {
    tokio::time::timeout(Duration::from_millis(1), gate.enter())
        .await
        .is_ok()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime")
}

#[test]
fn the_gate_lets_through_as_many_as_the_limit_is_also_while_it_sinks() {
    runtime().block_on(async {
        let gate = gate(4);
        assert!(gate.is_open() && gate.is_idle());
        let mut under_way = Vec::new();
        for _ in 0..4 {
            under_way.push(gate.enter().await);
        }
        assert!(!gate.is_open() && !is_let_through(&gate).await);
        under_way.pop().expect("one").partly();
        assert_eq!(gate.shown.get(), 2);
        // Three are left of four, and two may be.
        assert!(!is_let_through(&gate).await);
        drop(under_way.pop());
        assert!(!is_let_through(&gate).await);
        assert!(!gate.is_idle());
        drop(under_way.pop());
        under_way.push(gate.enter().await);
        assert!(!is_let_through(&gate).await);
        // Those of the new round make it grow again.
        for _ in 0..2 {
            gate.lock().limit.now = 2;
            under_way.pop().expect("one").succeeded();
            under_way.push(gate.enter().await);
        }
        drop(under_way);
        assert!(gate.is_idle(), "{gate:?}");
    });
}

#[test]
fn permits_come_back_with_the_limit() {
    runtime().block_on(async {
        let gate = gate(8);
        for _ in 0..3 {
            gate.enter().await.partly();
        }
        assert_eq!(gate.permits.available_permits(), 1);
        for _ in 0..100 {
            gate.enter().await.succeeded();
        }
        assert_eq!((gate.permits.available_permits(), gate.shown.get()), (8, 8));
    });
}

#[test]
fn the_gate_is_closed_for_as_long_as_the_engine_asks_for() {
    runtime().block_on(async {
        let gate = gate(2);
        gate.enter()
            .await
            .failed(true, Some(Duration::from_millis(80)));
        assert!(!gate.is_open() && gate.is_idle());
        let began = Instant::now();
        gate.enter().await.succeeded();
        assert!(began.elapsed() >= Duration::from_millis(70));
        assert!(gate.is_open());
    });
}

#[test]
fn only_failures_in_a_row_close_the_gate_by_themselves() {
    runtime().block_on(async {
        let gate = gate(4);
        gate.enter().await.failed(false, None);
        assert!(gate.is_open());
        gate.enter().await.succeeded();
        gate.enter().await.failed(false, None);
        assert!(gate.is_open());
        gate.enter().await.failed(false, None);
        assert!(!gate.is_open());
        assert_eq!(gate.shown.get(), 4, "nothing says that there were too many");
    });
}
