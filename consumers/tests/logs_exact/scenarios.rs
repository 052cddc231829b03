//! Each fault of the engine by itself, while members join, are killed and leave.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bt_dev_engine::{Fault, Flavour, Front, Phase, RetryAfter, Rules, Script, Weighted};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::group::Group;
use crate::setup::Setup;
use crate::stage::Stage;
use crate::traffic::{POISON, Wrongs};

/// Records a second.
const RATE: u32 = 200;

/// A group, and what its engine does.
struct Case {
    name: &'static str,
    setup: Setup,
    script: Script,
}

/// Groups that consume the same topic at the same time, whose members come and go while their engines fail; in the end each has
/// everything once.
async fn survive(what: &str, wrongs: Wrongs, cases: impl FnOnce(u64) -> Vec<Case>) {
    let stage = Arc::new(Stage::new(what, wrongs).await);
    let mut groups = JoinSet::new();
    let traffic = stage.traffic.start(RATE);
    for Case {
        name,
        setup,
        script,
    } in cases(stage.seed)
    {
        let group = Group::new(&stage, name, setup).await;
        groups.spawn(come_and_go(group, script));
    }
    let groups = groups.join_all().await;
    drop(traffic);
    let ended: JoinSet<_> = groups.into_iter().map(come_right).collect();
    ended.join_all().await;
    println!("{what}: {} events", stage.traffic.sent());
    stage.strike().await;
}

/// Members join, are killed and leave under a script, of which everything happens.
async fn come_and_go(mut group: Group, script: Script) -> Group {
    let faults = script.phases.iter().flat_map(|phase| &phase.faults);
    let mut names: Vec<_> = faults.map(|weighted| weighted.fault.name()).collect();
    names.retain(|name| *name != "none");
    group.play(script);
    let flapping = group.front.take().map(|front| tokio::spawn(flap(front)));
    group.join("a");
    group.join("b");
    group.holds(100, Duration::from_secs(40)).await;
    sleep(Duration::from_secs(1)).await;
    group.join("c");
    sleep(Duration::from_secs(2)).await;
    let killed = group.kill(0);
    group.join(&killed);
    sleep(Duration::from_secs(2)).await;
    group.leave(0).await;
    // Until those that were killed are missed, and their partitions taken over.
    sleep(Duration::from_secs(3)).await;
    let began = Instant::now();
    loop {
        let happened = group.engine.tally().faults;
        names.retain(|name| !happened.contains_key(name));
        if names.is_empty() {
            break;
        }
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "{}: {names:?} did not happen: {happened:?}",
            group.id
        );
        group.tend();
        sleep(Duration::from_millis(100)).await;
    }
    // Its address is gone for good.
    if let Some(flapping) = flapping {
        flapping.abort();
        assert!(flapping.await.is_err_and(|end| end.is_cancelled()));
    }
    group
}

/// The engine does not fail any more, and everything is there once.
async fn come_right(mut group: Group) {
    group.calm();
    group.is_exact().await;
    let tally = group.engine.tally();
    println!(
        "{}: {} bulk requests, {:?}, {} looked up, {} deleted, at most {} at a time",
        group.id, tally.bulk_requests, tally.faults, tally.looked_up, tally.deleted, tally.peak
    );
    group.finish().await;
}

/// An address that members use, and that is away now and then.
async fn flap(mut front: Front) {
    let mut taken = 0;
    loop {
        let began = Instant::now();
        while front.taken() == taken {
            assert!(
                began.elapsed() < Duration::from_secs(30),
                "nobody comes to the second address"
            );
            sleep(Duration::from_millis(50)).await;
        }
        sleep(Duration::from_millis(700)).await;
        front.close().await;
        sleep(Duration::from_millis(700)).await;
        taken = front.taken();
        while front.open().await.is_err() {
            // A connection of somebody else's has the port.
            sleep(Duration::from_millis(50)).await;
        }
    }
}

/// A script under which members come and go; in the end everything is there once.
async fn survives(what: &str, wrongs: Wrongs, rules: Rules, script: impl FnOnce(u64) -> Script) {
    survive(what, wrongs, |seed| {
        vec![Case {
            name: "g",
            setup: Setup::of_rules(rules),
            script: script(seed),
        }]
    })
    .await;
}

/// One fault for so many of a hundred requests.
async fn survives_fault(what: &str, percent: u32, fault: Fault) {
    survives(what, Wrongs::default(), Rules::default(), |seed| {
        Script::only(seed, fault, percent)
    })
    .await;
}

macro_rules! scenario {
    ($name:ident, $what:literal, $percent:literal, $fault:expr) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            survives_fault($what, $percent, $fault).await;
        }
    };
}

scenario!(
    an_engine_that_does_not_fail_has_all_once,
    "calm",
    0,
    Fault::None
);
scenario!(
    a_request_that_is_refused_as_busy_is_sent_again,
    "busy",
    40,
    Fault::TooManyRequests { retry_after: None }
);
scenario!(
    documents_that_are_refused_as_busy_are_sent_again,
    "busy-items",
    60,
    Fault::TooManyItems {
        percent: 30,
        retry_after: Some(RetryAfter::Seconds(1))
    }
);
scenario!(
    an_engine_that_is_unavailable_is_waited_for,
    "unavailable",
    40,
    Fault::Unavailable {
        retry_after: Some(RetryAfter::Date(2))
    }
);
scenario!(
    credentials_that_are_not_accepted_for_a_while_lose_nothing,
    "unauthorized",
    30,
    Fault::Unauthorized
);
scenario!(
    a_connection_that_is_reset_before_the_request_is_read_loses_nothing,
    "reset-before",
    30,
    Fault::ResetBefore
);
scenario!(
    a_connection_that_is_reset_after_the_request_was_done_doubles_nothing,
    "reset-after",
    30,
    Fault::ResetAfter
);
scenario!(
    an_answer_cut_short_doubles_nothing,
    "half-answer",
    30,
    Fault::HalfAnswer
);
scenario!(
    a_request_that_is_done_and_never_answered_doubles_nothing,
    "done-then-hangs",
    20,
    Fault::DoneThenHangs { seconds: 2.0 }
);
scenario!(
    a_request_that_is_done_when_it_was_given_up_doubles_nothing,
    "done-late",
    20,
    Fault::DoneLate { seconds: 2.0 }
);
scenario!(
    requests_that_are_read_slowly_hold_up_nothing_for_ever,
    "slow-read",
    50,
    Fault::SlowRead {
        bytes_per_second: 20_000
    }
);
scenario!(
    an_index_that_is_read_only_for_a_while_loses_nothing,
    "read-only",
    40,
    Fault::ReadOnly
);
scenario!(
    a_rollover_in_the_middle_of_a_request_doubles_nothing,
    "rollover",
    15,
    Fault::Rollover
);
scenario!(
    a_rollover_whose_answer_is_lost_doubles_nothing,
    "rollover-reset",
    20,
    Fault::RolloverThenReset
);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_are_too_large_are_split_down_to_the_document() {
    let wrongs = Wrongs {
        large: 2,
        large_bytes: 12_000,
        ..Wrongs::default()
    };
    let rules = Rules {
        max_bytes: 10_000,
        ..Rules::default()
    };
    survives("too-large", wrongs, rules, |_| Script::default()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_are_found_and_deleted_by_small_requests_too() {
    let rules = Rules {
        max_bytes: 3_000,
        ..Rules::default()
    };
    survives("small-requests", Wrongs::default(), rules, |seed| {
        Script::only(seed, Fault::RolloverThenReset, 20)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_one_document_spoils_are_split_down_to_it() {
    let wrongs = Wrongs {
        poisoned: 2,
        ..Wrongs::default()
    };
    let rules = Rules {
        poison: POISON.into(),
        ..Rules::default()
    };
    survives("poison", wrongs, rules, |_| Script::default()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_in_a_few_that_contradicts_the_mapping_is_a_letter() {
    // As many as one in 5,000 would be too few to see among these.
    let rules = Rules {
        refuse_one_in: 50,
        ..Rules::default()
    };
    let wrongs = Wrongs {
        refused: 0,
        ..Wrongs::default()
    };
    survives("mapping", wrongs, rules, |_| Script::default()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_fails_while_it_is_set_up_is_set_up_later() {
    survives("set-up", Wrongs::default(), Rules::default(), |seed| {
        let faults = [
            Fault::Unavailable { retry_after: None },
            Fault::ResetAfter,
            Fault::HalfAnswer,
            Fault::Unauthorized,
            Fault::None,
        ];
        let faults = faults.map(|fault| Weighted { weight: 1, fault });
        let first = Phase {
            // A busy machine takes some to start a member.
            seconds: 10.0,
            set_up: true,
            faults: faults.to_vec(),
            ..Phase::default()
        };
        Script {
            seed,
            phases: vec![first, Phase::default()],
            ..Script::default()
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_configuration_lost_answers_double_nothing() {
    let lost = [
        (10, Fault::ResetAfter),
        (5, Fault::HalfAnswer),
        (5, Fault::DoneThenHangs { seconds: 1.0 }),
    ];
    survive("setups", Wrongs::default(), |seed| {
        let case = |name, setup, more: &[_]| Case {
            name,
            setup,
            script: Script::mix(seed, &[&lost, more].concat()),
        };
        let rollover = [(10, Fault::RolloverThenReset)];
        let plain = Setup {
            flavour: Flavour::ElasticsearchOss,
            ..Setup::default()
        };
        let pattern = Setup {
            data_stream: "logs-{service}-{date}",
            ..Setup::default()
        };
        let gzip = Setup {
            bulk: "{maxBytes: 32768, maxDocs: 100, flushInterval: 100ms, compression: Gzip}",
            ..Setup::default()
        };
        let two_urls = Setup {
            two_urls: true,
            ..Setup::default()
        };
        let index_malformed = Setup {
            index_malformed: true,
            ..Setup::default()
        };
        vec![
            case("plain", plain, &[(10, Fault::DoneLate { seconds: 2.0 })]),
            case("pattern", pattern, &rollover),
            case("gzip", gzip, &rollover),
            case(
                "two-urls",
                two_urls,
                &[(10, Fault::Unavailable { retry_after: None })],
            ),
            case("malformed", index_malformed, &rollover),
        ]
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_of_an_index_are_waited_for_and_the_failure_store_is_no_fault() {
    survive("indices", Wrongs::default(), |seed| {
        let case = |name, fault| Case {
            name,
            setup: Setup::default(),
            script: Script::mix(seed, &[(40, fault), (10, Fault::RolloverThenReset)]),
        };
        let failure_store = Setup {
            flavour: Flavour::Elasticsearch,
            ..Setup::of_rules(Rules {
                failure_store: true,
                refuse_one_in: 50,
                ..Rules::default()
            })
        };
        vec![
            case("flood-stage", Fault::FloodStage),
            case("closed", Fault::IndexClosed),
            case("shards", Fault::UnavailableShards { percent: 30 }),
            Case {
                setup: failure_store,
                ..case("failure-store", Fault::ResetAfter)
            },
        ]
    })
    .await;
}
