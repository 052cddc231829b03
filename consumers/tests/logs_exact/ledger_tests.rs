use super::*;

fn event(mark: Mark, fate: Fate) -> Produced {
    Produced {
        mark,
        consumer: "test/logs-exact".into(),
        topic: "logs".into(),
        topic_id: "AbC".into(),
        partition: 1,
        offset: 7,
        timestamp: Some(5),
        key: b"k".to_vec(),
        place: None,
        bytes: format!("mark-{mark}").into_bytes(),
        id: None,
        fate,
    }
}

fn document(mark: Mark, index: &str) -> Indexed {
    Indexed {
        mark,
        index: index.into(),
        id: "AbC-1-7-0".into(),
    }
}

fn letter(mark: Mark) -> Letter {
    let headers = [
        ("bt-topic", "logs"),
        ("bt-topic-id", "AbC"),
        ("bt-partition", "1"),
        ("bt-offset", "7"),
        ("bt-timestamp", "5"),
        ("bt-reason", "rejected_by_sink"),
        ("bt-error", "400 mapper_parsing_exception"),
        ("bt-attempts", "1"),
        ("bt-consumer", "test/logs-exact"),
    ];
    Letter {
        mark,
        key: b"k".to_vec(),
        value: format!("mark-{mark}").into_bytes(),
        headers: headers
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect(),
    }
}

const REFUSED: Fate = Fate::Letter(&["rejected_by_sink"]);

fn kinds(produced: &[Produced], indexed: &[Indexed], letters: &[Letter]) -> Vec<Kind> {
    findings(produced, indexed, letters)
        .iter()
        .map(|finding| finding.kind)
        .collect()
}

#[test]
fn nothing_is_found_where_all_is_there_once() {
    let produced = [event(1, Fate::Indexed), event(2, REFUSED)];
    assert_eq!(findings(&produced, &[document(1, "i")], &[letter(2)]), []);
}

#[test]
fn what_is_missing_or_there_twice_is_found() {
    let (indexed, refused) = ([event(1, Fate::Indexed)], [event(1, REFUSED)]);
    let (one, two) = (document(1, "i"), document(1, "j"));
    assert_eq!(kinds(&indexed, &[], &[]), [Kind::Lost]);
    assert_eq!(
        kinds(&indexed, &[one.clone(), two], &[]),
        [Kind::IndexedTwice]
    );
    assert_eq!(
        kinds(&refused, &[], &[letter(1), letter(1)]),
        [Kind::LetterTwice]
    );
    assert_eq!(
        kinds(&refused, std::slice::from_ref(&one), &[letter(1)]),
        [Kind::Both, Kind::WrongFate]
    );
    assert_eq!(kinds(&indexed, &[], &[letter(1)]), [Kind::WrongFate]);
    assert_eq!(
        kinds(&[], &[one], &[letter(2)]),
        [Kind::Invented, Kind::Invented]
    );
}

#[test]
fn the_failure_store_may_have_it_twice_and_nothing_else_may() {
    let refused = [event(1, Fate::FailureStore)];
    let failed = document(1, ".fs-logs-2026.11.23-000001");
    assert_eq!(kinds(&refused, &[failed.clone(), failed.clone()], &[]), []);
    assert_eq!(kinds(&refused, &[], &[]), [Kind::Lost]);
    assert_eq!(
        kinds(&refused, &[failed.clone(), document(1, "i")], &[]),
        [Kind::WrongFate]
    );
    assert_eq!(
        kinds(&refused, std::slice::from_ref(&failed), &[letter(1)]),
        [Kind::WrongFate]
    );
    assert_eq!(
        kinds(&[event(1, Fate::Indexed)], &[failed], &[]),
        [Kind::WrongFate]
    );
}

#[test]
fn an_id_that_is_not_the_events_is_found() {
    let own = Produced {
        id: Some("own".into()),
        ..event(1, Fate::Indexed)
    };
    assert_eq!(
        kinds(std::slice::from_ref(&own), &[document(1, "i")], &[]),
        [Kind::WrongId]
    );
    let right = Indexed {
        id: "own".into(),
        ..document(1, "i")
    };
    assert_eq!(kinds(&[own], &[right], &[]), []);
}

#[test]
fn a_letter_that_says_something_else_is_found() {
    let produced = [event(1, REFUSED)];
    for header in [
        "bt-topic",
        "bt-topic-id",
        "bt-partition",
        "bt-offset",
        "bt-timestamp",
        "bt-error",
        "bt-attempts",
        "bt-consumer",
    ] {
        let mut changed = letter(1);
        changed.headers.remove(header);
        assert_eq!(
            kinds(&produced, &[], &[changed]),
            [Kind::WrongLetter],
            "{header}"
        );
    }
    let mut never_sent = letter(1);
    never_sent.headers.insert("bt-attempts".into(), "0".into());
    assert_eq!(
        kinds(&produced, &[], std::slice::from_ref(&never_sent)),
        [Kind::WrongLetter]
    );
    // Where it was found wrong before, that is what it has to say.
    let malformed = [event(1, Fate::Letter(&["invalid_json"]))];
    let reason = ("bt-reason".to_owned(), "invalid_json".to_owned());
    never_sent.headers.extend([reason.clone()]);
    assert_eq!(kinds(&malformed, &[], &[never_sent]), []);
    let mut sent = letter(1);
    sent.headers.extend([reason]);
    assert_eq!(kinds(&malformed, &[], &[sent]), [Kind::WrongLetter]);
    let cut = Letter {
        value: b"mark-".to_vec(),
        ..letter(1)
    };
    assert_eq!(kinds(&produced, &[], &[cut]), [Kind::WrongLetter]);
    let other_key = Letter {
        key: Vec::new(),
        ..letter(1)
    };
    assert_eq!(kinds(&produced, &[], &[other_key]), [Kind::WrongLetter]);
}

#[test]
fn marks_are_found_in_any_text() {
    assert_eq!(mark(b"{ mark-0012 no json"), Some(12));
    assert_eq!(mark(b"nothing"), None);
}
