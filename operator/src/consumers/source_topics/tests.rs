use super::*;

fn cluster() -> Cluster {
    Cluster::of(None, "shop", "kafka:9092")
}

fn shape(partitions: i32, replicas: i32) -> Option<TopicShape> {
    Some(TopicShape {
        partitions,
        replicas,
    })
}

fn told(topics: &[(&str, Option<TopicShape>)]) -> Topics {
    let told = topics.iter().copied();
    told.map(|(topic, shape)| (topic.to_owned(), shape))
        .collect()
}

fn names(topics: &[&str]) -> Vec<String> {
    topics.iter().map(|topic| (*topic).to_owned()).collect()
}

#[test]
fn the_largest_of_the_topics_that_are_there_counts() {
    let (topics, mut questions) = SourceTopics::new();
    let asked = BTreeSet::from_iter(names(&["a", "b", "none"]));
    let all = told(&[("a", shape(3, 3)), ("b", shape(12, 1)), ("none", None)]);
    topics.replace(&cluster(), &asked, all);
    for (of, expected, asks) in [
        (&["a", "b"][..], shape(12, 3), false),
        (&["a", "none"], shape(3, 3), false),
        (&["a", "unheard"], shape(3, 3), false),
        (&["none"], None, false),
        (&["none", "unheard"], None, true),
        (&["unheard"], None, true),
    ] {
        let found = topics.largest(&cluster(), &names(of), ObjectRef::new("metrics"));
        assert_eq!(found, expected, "{of:?}");
        assert_eq!(questions.0.try_recv().is_ok(), asks, "{of:?}");
    }
    let elsewhere = Cluster::of(None, "shop", "other:9092");
    let found = topics.largest(&elsewhere, &names(&["a"]), ObjectRef::new("metrics"));
    assert_eq!(found, None);
    assert!(questions.0.try_recv().is_ok());
}

#[test]
fn a_reading_without_a_word_on_a_topic_leaves_it_as_it_was() {
    let (topics, mut questions) = SourceTopics::new();
    let largest =
        |topic: &str| topics.largest(&cluster(), &names(&[topic]), ObjectRef::new("metrics"));
    let asked = BTreeSet::from_iter(names(&["a", "b"]));
    topics.replace(
        &cluster(),
        &asked,
        told(&[("a", shape(3, 1)), ("b", shape(2, 1))]),
    );
    topics.replace(&cluster(), &asked, told(&[("b", shape(4, 1))]));
    assert_eq!((largest("a"), largest("b")), (shape(3, 1), shape(4, 1)));
    topics.replace(&cluster(), &asked, told(&[("b", None)]));
    assert_eq!((largest("a"), largest("b")), (shape(3, 1), None));
    assert!(questions.0.try_recv().is_err(), "all is known");

    // Nobody carries it any more.
    let asked = BTreeSet::from_iter(names(&["b"]));
    topics.replace(&cluster(), &asked, told(&[("b", shape(4, 1))]));
    assert_eq!(largest("a"), None);
    topics.keep_only(&HashMap::<Cluster, ()>::new());
    assert_eq!(largest("b"), None);
}
