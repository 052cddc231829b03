use super::*;

type Step = fn(&SinkState);

fn later(seconds: u64) -> Instant {
    Instant::now() + Duration::from_secs(seconds)
}

#[test]
fn the_state_is_what_the_sink_answered() {
    use SinkCondition::{Ready, Rejecting, Starting, Unauthorized, Unavailable, Unreachable};
    let cases: [(&str, &[Step], u64, SinkCondition, &str); 14] = [
        ("before the first answer", &[], 9, Starting, "not set up"),
        ("set up", &[|s| s.set_up()], 9, Ready, ""),
        (
            "unreachable from the start",
            &[|s| s.failed(Unreachable, "http://es:9200: refused")],
            9,
            Unreachable,
            "refused",
        ),
        (
            "too early to tell",
            &[|s| s.set_up(), |s| s.failed(Unavailable, "429")],
            1,
            Ready,
            "",
        ),
        (
            "a failure that stands, and its latest form",
            &[
                |s| s.set_up(),
                |s| s.failed(Unreachable, "refused"),
                |s| s.failed(Unauthorized, "401: missing credentials"),
            ],
            9,
            Unauthorized,
            "401: missing credentials",
        ),
        (
            "setting up again decides nothing",
            &[
                |s| s.set_up(),
                |s| s.failed(Unreachable, "timed out"),
                |s| s.set_up(),
            ],
            9,
            Unreachable,
            "timed out",
        ),
        (
            "the first set-up ends what failed before it",
            &[|s| s.failed(Unreachable, "refused"), |s| s.set_up()],
            9,
            Ready,
            "",
        ),
        (
            "over",
            &[
                |s| s.set_up(),
                |s| s.failed(Unavailable, "503"),
                |s| s.answered(),
            ],
            9,
            Ready,
            "",
        ),
        (
            "some are rejected",
            &[
                |s| s.set_up(),
                |s| s.taken(7),
                |s| s.rejected("mapper_parsing_exception: bad date"),
            ],
            9,
            Ready,
            "1 of 8 events of the last minute were rejected into the topic letters; the last one: mapper_parsing_exception: bad date",
        ),
        (
            "one poor event is not the sink's fault",
            &[|s| s.set_up(), |s| s.rejected("bad")],
            9,
            Ready,
            "1 of 1 events",
        ),
        (
            "all are rejected",
            &[|s| s.set_up(), |s| (0..10).for_each(|_| s.rejected("bad"))],
            9,
            Rejecting,
            "nothing was taken in the last minute, 10 events",
        ),
        (
            "all are no events",
            &[
                |s| s.set_up(),
                |s| (0..99).for_each(|_| s.malformed("no JSON")),
            ],
            9,
            Ready,
            "99 of 99 events",
        ),
        (
            "the rejected ones cannot be written",
            &[
                |s| s.set_up(),
                |s| s.dead_letters(Some("no such topic".into())),
            ],
            9,
            Rejecting,
            "no such topic",
        ),
        (
            "series left out",
            &[|s| s.set_up(), |s| s.dropped()],
            9,
            Ready,
            "maxSeries is reached: 1 events",
        ),
    ];
    for (name, steps, seconds, state, message) in cases {
        let sink = SinkState::new("letters", false);
        steps.iter().for_each(|step| step(&sink));
        let report = sink.report(later(seconds));
        assert_eq!(report.state, state, "{name}: {report:?}");
        assert!(report.message.contains(message), "{name}: {report:?}");
        assert_eq!(report.message.is_empty(), message.is_empty(), "{name}");
    }
}

#[test]
fn counts_are_those_of_the_last_minute() {
    let sink = SinkState::new("letters", true);
    let counts = |seconds| {
        let now = later(seconds);
        sink.tick(now);
        let report = sink.report(now);
        (report.taken, report.rejected)
    };
    sink.taken(5);
    sink.rejected("bad");
    assert_eq!(counts(1), (5, 1));
    for seconds in (5..60).step_by(5) {
        assert_eq!(counts(seconds), (5, 1), "{seconds}");
    }
    sink.taken(2);
    assert_eq!(counts(64), (7, 1));
    // What was there at 10 s is out of the window, what came at 60 s is not.
    assert_eq!(counts(80), (2, 0));
    for seconds in (85..140).step_by(5) {
        counts(seconds);
    }
    assert_eq!(counts(140), (0, 0));
    assert_eq!(sink.report(later(140)).message, "");
}

#[test]
fn since_moves_only_with_the_state() {
    let sink = SinkState::new("letters", true);
    let ready = sink.report(Instant::now());
    sink.rejected("bad");
    assert_eq!(sink.report(later(1)).since, ready.since);
    let seconds = humantime::parse_rfc3339(&ready.since).expect("RFC 3339");
    assert!(
        seconds
            .elapsed()
            .is_ok_and(|ago| ago < Duration::from_secs(60))
    );
}

#[test]
fn an_events_own_content_is_not_quoted() {
    let sink = SinkState::new("letters", true);
    sink.rejected(
        "400 document_parsing_exception: failed to parse field [card] of type [long]. Preview of field's value: '4711 0815'",
    );
    let message = sink.report(Instant::now()).message;
    assert!(message.ends_with("of type [long]"), "{message}");
    sink.rejected(&"ä".repeat(5000));
    assert!(sink.report(Instant::now()).message.len() < 1000);
}

#[test]
fn remarks_are_shown_while_they_last_and_noticed_once() {
    let remark = |reason, message: &str| Remark {
        reason,
        message: message.into(),
    };
    let kept = remark("TemplateNotOurs", "the template x is another's");
    let sink = SinkState::new("letters", true);
    let noticed = |sink: &SinkState| {
        let notices = sink.report(Instant::now()).notices.into_iter();
        notices.map(|notice| notice.reason).collect::<Vec<_>>()
    };
    for _ in 0..3 {
        sink.remarks(vec![kept.clone()]);
    }
    let report = sink.report(Instant::now());
    assert_eq!(report.state, SinkCondition::Ready);
    assert_eq!(report.message, kept.message);
    assert_eq!(noticed(&sink), ["TemplateNotOurs"]);

    let second = remark("RetentionNotEnforced", &"long ".repeat(1000));
    sink.remarks(vec![kept.clone(), second]);
    sink.rejected("bad date");
    let report = sink.report(Instant::now());
    let expected = "the last one: bad date; the template x is another's; long ";
    assert!(report.message.contains(expected), "{report:?}");
    assert!(report.notices[1].message.len() <= MAX_MESSAGE);
    assert_eq!(noticed(&sink), ["TemplateNotOurs", "RetentionNotEnforced"]);

    sink.failed(SinkCondition::Unavailable, "503");
    assert_eq!(sink.report(later(9)).message, "503");
    sink.answered();
    sink.remarks(Vec::new());
    let message = sink.report(Instant::now()).message;
    assert!(message.ends_with("the last one: bad date"), "{message}");
    // What comes back is news again.
    sink.remarks(vec![kept]);
    assert_eq!(noticed(&sink).len(), 3);
}
