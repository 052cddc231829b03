use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use proptest::{option, sample};

use super::*;
use crate::sink::elasticsearch::generate::mutation;

fn one(status: u16, error: &str, reason: &str) -> String {
    format!(
        r#"{{"items":[{{"create":{{"status":{status},"error":{{"type":"{error}","reason":"{reason}","caused_by":{{"type":"c","reason":"d"}}}}}}}}]}}"#
    )
}

fn each(answer: &str, documents: usize) -> Vec<Outcome<'_>> {
    match parse(answer.as_bytes(), documents) {
        Some(Answer::Each(outcomes)) => outcomes,
        other => panic!("{answer}: {other:?}"),
    }
}

#[test]
fn each_answer_has_its_policy() {
    let cases = [
        (201, "", "", Verdict::Created),
        (200, "", "", Verdict::Created),
        (
            409,
            "version_conflict_engine_exception",
            "",
            Verdict::Duplicate,
        ),
        (409, "some_other_exception", "", Verdict::Again),
        (429, "es_rejected_execution_exception", "", Verdict::Again),
        (503, "unavailable_shards_exception", "", Verdict::Again),
        (500, "", "", Verdict::Again),
        (403, "cluster_block_exception", "", Verdict::Again),
        (403, "security_exception", "", Verdict::Again),
        (404, "index_not_found_exception", "", Verdict::Again),
        (400, "resource_already_exists_exception", "", Verdict::Again),
        (
            400,
            "validation_exception",
            "this action would add [2] shards",
            Verdict::Again,
        ),
        (
            400,
            "illegal_argument_exception",
            "pipeline with id [p] does not exist",
            Verdict::Again,
        ),
        (
            400,
            "illegal_argument_exception",
            "Limit of total fields [1000]",
            Verdict::Never,
        ),
        (400, "mapper_parsing_exception", "", Verdict::Never),
        (400, "document_parsing_exception", "", Verdict::Never),
        (413, "", "", Verdict::Never),
    ];
    for (status, error, reason, want) in cases {
        let answer = one(status, error, reason);
        let outcomes = each(&answer, 1);
        assert_eq!(outcomes[0].verdict(), want, "{answer}");
    }
}

#[test]
fn a_request_refused_as_a_whole_is_split_only_where_the_engine_itself_refuses_it() {
    let engine = r#"{"error":{"type":"parse_exception"},"status":400}"#;
    let proxy = "<html>The plain HTTP request was sent to HTTPS port</html>";
    for (status, body, want) in [
        (200, "", RequestVerdict::Answered),
        (413, "", RequestVerdict::Split),
        (413, proxy, RequestVerdict::Split),
        (400, engine, RequestVerdict::Split),
        (400, proxy, RequestVerdict::Again),
        (401, engine, RequestVerdict::Again),
        (404, engine, RequestVerdict::Again),
        (429, engine, RequestVerdict::Again),
        (503, proxy, RequestVerdict::Again),
    ] {
        assert_eq!(
            request_verdict(status, body.as_bytes()),
            want,
            "{status} {body}"
        );
    }
}

#[test]
fn the_failure_store_is_told_apart() {
    let answer = |store: &str| {
        format!(r#"{{"items":[{{"create":{{"status":201,"failure_store":"{store}"}}}}]}}"#)
    };
    let used = answer("used");
    assert_eq!(each(&used, 1)[0].verdict(), Verdict::FailureStore);
    let unused = answer("not_applicable_or_unknown");
    assert_eq!(each(&unused, 1)[0].verdict(), Verdict::Created);
}

#[test]
fn the_index_is_told_where_it_was_asked_for() {
    let answer = r#"{"items":[{"create":{"_index":".ds-logs-000002","status":201}},{"create":{"_index":".ds-logs-000001","status":409,"error":{"type":"version_conflict_engine_exception","reason":"\"a\""}}}]}"#;
    let outcomes = each(answer, 2);
    let indices = outcomes.iter().map(|o| o.index.as_ref().map(|i| &*i.0));
    assert_eq!(
        indices.collect::<Vec<_>>(),
        [Some(".ds-logs-000002"), Some(".ds-logs-000001")]
    );
    assert_eq!(outcomes[1].reason(), "version_conflict_engine_exception");
    assert_eq!(
        outcomes[1].words(),
        "409 version_conflict_engine_exception: \"a\""
    );
}

#[test]
fn names_for_counters_are_short_and_plain() {
    for (error, want) in [
        ("mapper_parsing_exception", "mapper_parsing_exception"),
        ("No such thing", "other"),
        ("", "other"),
    ] {
        assert_eq!(each(&one(400, error, ""), 1)[0].reason(), want);
    }
}

/// What an answer says of each document.
#[derive(Debug, PartialEq, Default)]
struct Said {
    status: u64,
    index: Option<String>,
    failure_store: Option<String>,
    /// Type, reason, and those of the cause.
    error: Option<[String; 2]>,
    cause: Option<[String; 2]>,
}

impl Said {
    fn by(outcome: &Outcome<'_>) -> Self {
        let text = |text: &Text<'_>| text.0.clone().into_owned();
        let cause = outcome.error.as_ref().and_then(|e| e.caused_by.as_ref());
        Self {
            status: outcome.status.into(),
            index: outcome.index.as_ref().map(text),
            failure_store: outcome.failure_store.as_ref().map(text),
            error: (outcome.error.as_ref()).map(|e| [text(&e.r#type), text(&e.reason)]),
            cause: cause.map(|c| [text(&c.r#type), text(&c.reason)]),
        }
    }

    fn created() -> Self {
        Self {
            status: 201,
            ..Self::default()
        }
    }

    /// By another parser, without our types.
    fn all(answer: &[u8]) -> Option<Vec<Self>> {
        use serde_json::Value;
        let answer: Value = serde_json::from_slice(answer).ok()?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let words = |value: &Value| {
            let of = |name: &str| text(&value[name]).unwrap_or_default();
            value.is_object().then(|| [of("type"), of("reason")])
        };
        let one = |item: &Value| {
            let create = item.get("create")?;
            Some(Self {
                status: create.get("status")?.as_u64()?,
                index: text(&create["_index"]),
                failure_store: text(&create["failure_store"]),
                error: words(&create["error"]),
                cause: words(&create["error"]["caused_by"]),
            })
        };
        answer.get("items")?.as_array()?.iter().map(one).collect()
    }
}

/// Whatever is taken for an answer says the same to any parser, of each document; nothing is taken for done that is not.
fn agrees(answer: &[u8], documents: usize) -> Result<(), TestCaseError> {
    let said: Vec<Said> = match parse(answer, documents) {
        None => return Ok(()),
        Some(Answer::AllCreated) => (0..documents).map(|_| Said::created()).collect(),
        Some(Answer::Each(outcomes)) => outcomes.iter().map(Said::by).collect(),
    };
    let text = String::from_utf8_lossy(answer);
    prop_assert_eq!(said.len(), documents);
    prop_assert_eq!(Some(said), Said::all(answer), "{}", text);
    Ok(())
}

/// The same choices in each run; `PROPTEST_CASES=1000000 PROPTEST_RNG_SEED=2` looks longer and elsewhere.
fn config() -> ProptestConfig {
    let set = |name: &str| std::env::var(name).ok()?.parse().ok();
    ProptestConfig {
        cases: set("PROPTEST_CASES").unwrap_or(2000) as u32,
        rng_seed: RngSeed::Fixed(set("PROPTEST_RNG_SEED").unwrap_or(20_261_123)),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// A string of JSON, as engines quote what they were given.
fn words() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        4 => "[a-z_ .:\\[\\]]{0,12}",
        1 => sample::select(vec!["\\n", "\\\"", "\\\\", "\\u00e9", "\\ud83d\\ude00", "ü", "😀"]).prop_map(str::to_owned),
    ];
    vec(part, 0..4).prop_map(|parts| format!("\"{}\"", parts.concat()))
}

fn error() -> impl Strategy<Value = String> {
    let known = sample::select(vec![
        "version_conflict_engine_exception",
        "es_rejected_execution_exception",
        "mapper_parsing_exception",
        "cluster_block_exception",
    ]);
    let r#type = prop_oneof![3 => known.prop_map(|name| format!("\"{name}\"")), 1 => words()];
    let plain = (r#type, words())
        .prop_map(|(r#type, reason)| format!(r#""type":{type},"reason":{reason}"#));
    let cause = option::of((words(), words()));
    (plain, cause).prop_map(|(plain, cause)| match cause {
        None => format!("{{{plain}}}"),
        Some((r#type, reason)) => {
            format!(r#"{{{plain},"caused_by":{{"type":{type},"reason":{reason}}}}}"#)
        }
    })
}

fn item() -> impl Strategy<Value = String> {
    let status = sample::select(vec![200_u16, 201, 400, 403, 404, 409, 413, 429, 500, 503]);
    let store = sample::select(vec!["used", "not_applicable_or_unknown", "failed"]);
    let any = (
        option::of(words()),
        status,
        option::weighted(0.2, store),
        option::of(error()),
    );
    let any = any.prop_map(|(index, status, store, error)| {
        let index = index.map_or_else(String::new, |index| format!(r#""_index":{index},"#));
        let store = store.map_or_else(String::new, |s| format!(r#","failure_store":"{s}""#));
        let error = error.map_or_else(String::new, |error| format!(r#","error":{error}"#));
        format!(r#"{{"create":{{{index}"status":{status}{store}{error}}}}}"#)
    });
    prop_oneof![1 => Just(CREATED.to_owned()), 1 => any]
}

const CREATED: &str = r#"{"create":{"status":201}}"#;

fn answer() -> impl Strategy<Value = (usize, String)> {
    let items = prop_oneof![
        4 => vec(item(), 1..40),
        1 => vec(Just(CREATED.to_owned()), 1..40),
    ];
    items.prop_map(|items| (items.len(), format!(r#"{{"items":[{}]}}"#, items.join(","))))
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn whole_answers_are_read_as_any_parser_reads_them((documents, answer) in answer()) {
        let answer = answer.as_bytes();
        let all = Said::all(answer).expect("JSON").iter().all(|said| *said == Said::created());
        let parsed = parse(answer, documents).expect("an answer");
        prop_assert_eq!(matches!(parsed, Answer::AllCreated), all);
        agrees(answer, documents)?;
        // Neither too many nor too few.
        prop_assert!(parse(answer, documents + 1).is_none());
        prop_assert!(parse(answer, documents - 1).is_none());
    }

    #[test]
    fn answers_cut_short_are_none((whole, answer) in answer(), part in 0.0..1.0, documents in 0_usize..40) {
        let cut = &answer.as_bytes()[..(answer.len() as f64 * part) as usize];
        prop_assert!(parse(cut, whole).is_none());
        prop_assert!(parse(cut, documents).is_none());
    }

    #[test]
    fn changed_answers_make_nothing_done_that_is_not(
        (whole, answer) in answer(),
        mutations in vec(mutation(), 1..6),
    ) {
        let mut answer = answer.into_bytes();
        for mutation in mutations {
            mutation.apply(&mut answer);
            for documents in [whole.saturating_sub(1), whole, whole + 1] {
                agrees(&answer, documents)?;
            }
        }
    }
}
