use std::collections::BTreeMap;
use std::collections::HashSet;

use proptest::prelude::*;

use super::super::fixture::series as new_series;
use super::super::fixture::{Compacted, TOPIC, apply_at, commit, counter, shown, values};
use super::super::series::Applied;
use super::*;

fn take(series: &mut PartitionSeries, fields: &str, now: u32) {
    let applied = apply_at(series, fields, now, &mut Room::new(10_000));
    assert_eq!(applied, Ok(Applied::Taken), "{fields}");
}

/// A bit of everything.
fn filled() -> PartitionSeries {
    let mut series = new_series(true);
    let events = [
        r#""name":"c_total","kind":"counter","value":2,"labels":{"a":"x\"\\\n"},"help":"H\nh","unit":"u""#,
        r#""name":"c_total","kind":"counter","value":0.5"#,
        r#""name":"g","kind":"gauge","value":-3"#,
        r#""name":"h","kind":"histogram","value":0.7"#,
        r#""name":"h","kind":"histogram","value":-70000"#,
        r#""name":"h","kind":"histogram","value":0,"labels":{"b":"ä"}"#,
        r#""name":"h2","kind":"histogram","value":1e300,"buckets":[-1,2.5]"#,
        r#""status":"up","checks":{"db":"down"},"latency_ms":12"#,
        r#""type":"order.created","payload":{}"#,
    ];
    for (n, event) in events.iter().enumerate() {
        take(&mut series, event, 100 + n as u32 * 1000);
    }
    for n in 0..70 {
        take(&mut series, &counter("many", n, f64::from(n)), 50);
    }
    series
}

fn compacted(records: &[StateRecord]) -> Compacted {
    let mut state = Compacted::default();
    state.append(records);
    state
}

#[test]
fn what_is_written_is_read_back() {
    let mut series = filled();
    let state = compacted(&commit(&mut series, 42));
    let mut room = Room::new(1);
    let (restored, loaded) = state.load(&mut room).expect("our state");
    let meta = loaded.meta.expect("an offset");
    assert_eq!((meta.offset, &*meta.topic_id, meta.format), (42, "id", 1));
    assert_eq!(shown(&restored.snapshot()), shown(&series.snapshot()));
    assert_eq!(restored.len(), series.len());
    assert_eq!(room.used(), series.len());
    assert!(!restored.is_dirty());
    let by_name = |series: &PartitionSeries| -> BTreeMap<Box<str>, FamilyInfo> {
        let families = series.snapshot().families.into_iter();
        families
            .map(|f| (f.family.name.clone(), (*f.family).clone()))
            .collect()
    };
    assert_eq!(by_name(&restored), by_name(&series));
}

#[test]
fn restored_series_go_on_with_their_events_and_expire_by_their_own_time() {
    let mut series = filled();
    let mut state = compacted(&commit(&mut series, 42));
    let mut room = Room::new(1);
    let (mut restored, _) = state.load(&mut room).expect("our state");
    take(&mut restored, &counter("many", 7, 1.0), 10_000);
    assert_eq!(restored.len(), series.len());
    assert_eq!(values(&restored)[r#"many,n="7""#], 8.0);
    // Only what was touched before: 69 of `many`, and it is gone from the state as well.
    assert_eq!(restored.expire(100, &mut room), 69);
    assert_eq!(room.used(), restored.len());
    state.append(&commit(&mut restored, 43));
    let (again, _) = state.load(&mut Room::new(0)).expect("our state");
    assert_eq!(shown(&again.snapshot()), shown(&restored.snapshot()));
}

#[test]
fn only_changed_pages_are_written_and_labels_only_where_series_came_or_went() {
    let mut series = filled();
    commit(&mut series, 1);
    let kinds = |records: &[StateRecord]| -> String {
        records.iter().map(|r| char::from(r.key[0])).collect()
    };
    assert_eq!(kinds(&commit(&mut series, 2)), "m");
    take(&mut series, &counter("many", 3, 1.0), 60);
    assert_eq!(kinds(&commit(&mut series, 3)), "vm");
    take(&mut series, &counter("many", 100, 1.0), 60);
    assert_eq!(kinds(&commit(&mut series, 4)), "lvm");
    // The first two of the three pages of `many` become empty, but for one series.
    let gone = series.expire(60, &mut Room::new(0));
    assert_eq!(gone, 69);
    let records = commit(&mut series, 5);
    assert_eq!(kinds(&records), "lvlvlvm");
    let deleted = records.iter().filter(|r| r.value.is_none()).count();
    assert_eq!(deleted, 2, "the records of one page are deleted");
    assert!(!series.is_dirty());
}

#[test]
fn a_failed_write_is_written_again_with_what_came_since() {
    let mut series = filled();
    let mut lost = Vec::new();
    series.write(1, &mut lost);
    take(&mut series, &counter("many", 3, 1.0), 60);
    series.not_committed();
    let state = compacted(&commit(&mut series, 2));
    let (restored, _) = state.load(&mut Room::new(0)).expect("our state");
    assert_eq!(shown(&restored.snapshot()), shown(&series.snapshot()));
    // A second write without an end of the first is as if that had failed.
    take(&mut series, &counter("many", 4, 1.0), 61);
    series.write(3, &mut lost);
    let state = {
        let mut state = state;
        state.append(&commit(&mut series, 3));
        state
    };
    let (restored, _) = state.load(&mut Room::new(0)).expect("our state");
    assert_eq!(shown(&restored.snapshot()), shown(&series.snapshot()));
}

#[test]
fn a_lost_state_is_written_anew() {
    let mut series = filled();
    commit(&mut series, 1);
    let before = shown(&series.snapshot());
    series.rewrite_all();
    assert!(series.is_dirty());
    let state = compacted(&commit(&mut series, 2));
    let (restored, _) = state.load(&mut Room::new(0)).expect("our state");
    assert_eq!(shown(&restored.snapshot()), before);
}

#[test]
fn discarded_series_leave_the_state_too() {
    let mut state = compacted(&commit(&mut filled(), 1));
    let mut room = Room::new(0);
    let (mut restored, _) = state.load(&mut room).expect("our state");
    restored.discard(&mut room);
    assert_eq!((restored.len(), room.used()), (0, 0));
    assert!(restored.is_dirty());
    take(&mut restored, &counter("new", 1, 1.0), 60);
    state.append(&commit(&mut restored, 7));
    assert_eq!(state.0.len(), 3);
    // Also those of a load that failed.
    let mut state = compacted(&commit(&mut filled(), 1));
    let key = state.0.keys().find(|key| key[0] == VALUES).expect("one");
    let key = key.clone();
    state.0.remove(&key);
    let mut failed = new_series(true);
    for (key, value) in &state.0 {
        failed.load(key, Some(value)).expect("our record");
    }
    assert!(matches!(
        failed.loaded(&mut room),
        Err(StateError::Corrupt { .. })
    ));
    failed.discard(&mut room);
    state.append(&commit(&mut failed, 2));
    assert_eq!(state.0.len(), 1);
    assert_eq!(room.used(), 0);
}

#[test]
fn records_of_other_topics_are_passed_over() {
    let mut series = new_series(true);
    let newer = [9u8, 9];
    for topic in ["", "mm", "n"] {
        let key = format::key(VALUES, topic, Some(1));
        assert_eq!(series.load(&key, Some(&newer)), Ok(()));
    }
    let loaded = series.loaded(&mut Room::new(0)).expect("nothing");
    assert_eq!(loaded.meta, None);
}

#[test]
fn records_of_somebody_else_are_passed_over() {
    let mut series = new_series(true);
    let other_length = [&format::key(META, TOPIC, None)[..], b"more"].concat();
    for key in [b"foo".to_vec(), Vec::new(), other_length] {
        for value in [&b"hello"[..], &[9], &[1], &[]] {
            assert_eq!(series.load(&key, Some(value)), Ok(()), "{key:?}");
        }
    }
    let loaded = series.loaded(&mut Room::new(0)).expect("nothing");
    assert_eq!(loaded.meta, None);
}

#[test]
fn a_newer_format_is_refused_whatever_else_the_record_is() {
    let keys = [
        format::key(META, TOPIC, None),
        format::key(LABELS, TOPIC, Some(0)),
        format::key(VALUES, TOPIC, Some(0)),
        format::key(b'x', TOPIC, None),
    ];
    for key in keys {
        let refused = new_series(true).load(&key, Some(&[2, 0xff]));
        assert_eq!(
            refused,
            Err(StateError::Newer { found: 2, known: 1 }),
            "{key:?}"
        );
    }
    // A deletion of what only a newer version knows says nothing.
    assert_eq!(
        new_series(true).load(&format::key(b'x', TOPIC, None), None),
        Ok(())
    );
    assert!(matches!(
        new_series(true).load(&format::key(b'x', TOPIC, None), Some(&[1])),
        Err(StateError::Corrupt { .. })
    ));
}

#[test]
fn records_that_contradict_each_other_are_damage() {
    let one_page = |event: &str| {
        let mut series = new_series(true);
        take(&mut series, event, 60);
        let records = commit(&mut series, 1);
        (records[0].clone(), records[1].clone())
    };
    let (labels, values) = one_page(&counter("c", 1, 1.0));
    let (_, negative) = one_page(r#""name":"g","kind":"gauge","value":-1"#);
    let (of_histogram, histogram) = one_page(r#""name":"h","kind":"histogram","value":1"#);
    let (_, buckets) = one_page(r#""name":"h","kind":"histogram","value":1,"buckets":[1]"#);
    let twice = StateRecord {
        key: format::key(LABELS, TOPIC, Some(5)),
        ..labels.clone()
    };
    let and = StateRecord {
        key: format::key(VALUES, TOPIC, Some(5)),
        ..values.clone()
    };
    let cases = [
        (vec![&labels], "missing"),
        (vec![&values], "missing"),
        (vec![&labels, &negative], "negative"),
        (vec![&labels, &histogram], "kind"),
        (vec![&of_histogram, &values], "kind"),
        (vec![&of_histogram, &buckets], "kind"),
        (vec![&labels, &values, &twice, &and], "twice"),
    ];
    for (records, want) in cases {
        let mut series = new_series(true);
        let pages: HashSet<&[u8]> = records.iter().map(|record| &record.key[1..]).collect();
        let meta = format::write_meta(1, pages.len(), "id");
        let meta_key = format::key(META, TOPIC, None);
        series.load(&meta_key, Some(&meta)).expect("a good record");
        for record in records {
            let value = record.value.as_deref();
            series.load(&record.key, value).expect("a good record");
        }
        match series.loaded(&mut Room::new(0)) {
            Err(StateError::Corrupt { what }) => assert!(what.contains(want), "{what}"),
            other => panic!("{want}: {other:?}"),
        }
    }
}

#[test]
fn a_state_of_which_a_part_is_missing_is_damaged() {
    let whole = compacted(&commit(&mut filled(), 1));
    let page = whole.0.keys().find(|key| key[0] == VALUES).expect("one")[1..].to_vec();
    let mut series = new_series(true);
    for (key, value) in &whole.0 {
        if key[1..] != page {
            series.load(key, Some(value)).expect("our record");
        }
    }
    match series.loaded(&mut Room::new(0)) {
        Err(StateError::Corrupt { what }) => assert!(what.contains(" pages"), "{what}"),
        other => panic!("{other:?}"),
    }
}

/// Whoever has to change these bytes raises `VERSION`, and reads the old ones too.
#[test]
fn the_format_is_what_it_was() {
    let mut series = new_series(true);
    take(
        &mut series,
        r#""name":"c","kind":"counter","value":1.5,"labels":{"a":"b"},"help":"h""#,
        60,
    );
    take(
        &mut series,
        r#""name":"h","kind":"histogram","value":2,"buckets":[1]"#,
        61,
    );
    let written: Vec<(String, String)> = commit(&mut series, 258)
        .iter()
        .map(|r| {
            let value = r.value.as_deref().unwrap_or_default();
            (
                r.key.escape_ascii().to_string(),
                value.escape_ascii().to_string(),
            )
        })
        .collect();
    let golden = [
        (
            r"l\x01m\x00\x00\x00\x00",
            r#"\x01\x00\x01c\x02h\x00\x00\x01\x00\x00\x00\xce\xa9\x07\x1eservice=\"s\",instance=\"i\",a=\"b\""#,
        ),
        (
            r"v\x01m\x00\x00\x00\x00",
            r"\x01\x00\x01\x00\x00\x00<\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xf8?",
        ),
        (
            r"l\x01m\x00\x00\x00\x01",
            r#"\x01\x02\x01h\x00\x00\x01\x00\x00\x00\x00\x00\x00\xf0?\x01\x00\x00\x00\x9e\xb9\x07\x18service=\"s\",instance=\"i\""#,
        ),
        (
            r"v\x01m\x00\x00\x00\x01",
            r"\x01\x01\x01\x00\x00\x00=\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00@\x02\x00\x01\x03\x00\x01\x10\x01\x00",
        ),
        (
            r"m\x01m",
            r"\x01\x02\x01\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x02id",
        ),
    ];
    let golden: Vec<(String, String)> = golden
        .iter()
        .map(|(key, value)| (key.to_string(), value.to_string()))
        .collect();
    assert_eq!(written, golden);
}

/// Good records with some bytes changed, cut off or added.
fn damaged() -> impl Strategy<Value = Vec<StateRecord>> {
    let records = commit(&mut filled(), 1);
    let edit = (
        any::<prop::sample::Index>(),
        any::<prop::sample::Index>(),
        any::<u8>(),
        0..4u8,
    );
    prop::collection::vec(edit, 1..4).prop_map(move |edits| {
        let mut records = records.clone();
        for (which, place, byte, what) in edits {
            let record = which.get_mut(&mut records);
            let value = record.value.get_or_insert_default();
            match what {
                0 if !value.is_empty() => *place.get_mut(value) = byte,
                1 if !value.is_empty() => value.truncate(place.index(value.len())),
                2 => value.insert(place.index(value.len() + 1), byte),
                _ => *place.get_mut(&mut record.key) = byte,
            }
        }
        records
    })
}

/// Loads, and where that succeeds uses what was loaded.
fn try_load(records: &[StateRecord]) {
    let mut series = new_series(true);
    let mut room = Room::new(10_000);
    for record in records {
        if series.load(&record.key, record.value.as_deref()).is_err() {
            return;
        }
    }
    if series.loaded(&mut room).is_err() {
        series.discard(&mut room);
        return;
    }
    assert!(series.len() < 200);
    let before = shown_anyhow(&series);
    series.rewrite_all();
    let state = compacted(&commit(&mut series, 1));
    let (restored, _) = state.load(&mut Room::new(0)).expect("our own state");
    assert_eq!(shown_anyhow(&restored), before);
    // Events go on; what they find may be of another kind than before.
    let _ = apply_at(&mut series, &counter("many", 1, 1.0), 60, &mut room);
    let _ = apply_at(
        &mut series,
        r#""name":"h","kind":"histogram","value":3"#,
        60,
        &mut room,
    );
    series.expire(u32::MAX, &mut room);
    assert_eq!(room.used(), series.len());
}

/// As `shown`, of labels that need not be ours any more.
fn shown_anyhow(series: &PartitionSeries) -> Vec<String> {
    let families = series.snapshot().families;
    let pages = families.iter().flat_map(|family| {
        let name = &family.family.name;
        let pages = family.pages.iter();
        pages.map(move |page| {
            format!(
                "{name} {} {:?} {:?}",
                page.labels.text, page.shown, page.values
            )
        })
    });
    let mut all: Vec<String> = pages.collect();
    all.sort();
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn damaged_records_are_taken_or_refused_but_never_panic(records in damaged()) {
        try_load(&records);
    }

    #[test]
    fn random_bytes_are_taken_or_refused_but_never_panic(
        kind in prop::sample::select(vec![META, LABELS, VALUES, b'x']),
        mut value in prop::collection::vec(any::<u8>(), 0..200),
        versioned: bool,
    ) {
        if versioned && !value.is_empty() {
            value[0] = VERSION;
        }
        let _ = format::read_labels(&value, ",source=\"m/3\"");
        let _ = format::read_values(&value);
        let page = (kind != META).then_some(0);
        let key = format::key(kind, TOPIC, page);
        try_load(&[StateRecord { key, value: Some(value) }]);
    }

    #[test]
    fn random_keys_are_taken_or_refused_but_never_panic(
        key in prop::collection::vec(any::<u8>(), 0..12),
    ) {
        let _ = new_series(true).load(&key, Some(&[VERSION, 0, 0]));
        let _ = new_series(true).load(&key, None);
    }
}
