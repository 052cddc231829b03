use super::*;

const METRICS: &str = r#"
consumer: default/metrics
kafka: {bootstrapServers: "kafka:9092"}
groupId: bt.default.metrics
topics: [metrics.events, health.events]
startFrom: Earliest
deadLetterTopic: dead-letters
stateTopic: bt.default.metrics.state
sink:
  prometheus: {seriesTtl: 15m, maxSeries: 100000, histogramBuckets: [0.005, 1]}
"#;

const LOGS: &str = r#"
consumer: default/logs
kafka: {bootstrapServers: "kafka:9092"}
groupId: bt.default.logs
topics: [logs.events]
deadLetterTopic: dead-letters
sink:
  elasticsearch: {urls: ["http://elasticsearch:9200"], dataStream: logs-bt-default, template: {manage: true, replicas: 0}, bulk: {maxBytes: 5242880, maxDocs: 5000, flushInterval: 1s, concurrency: 4}}
"#;

#[test]
fn files_are_read_and_written_back_the_same() {
    for yaml in [METRICS, LOGS] {
        let config = Config::parse(yaml).expect(yaml);
        let text = config.to_yaml().expect("YAML");
        assert_eq!(Config::parse(&text).expect(&text), config);
    }
    let logs = Config::parse(LOGS).expect("a configuration");
    let defaults = ElasticsearchSink {
        urls: vec!["http://elasticsearch:9200".into()],
        ..ElasticsearchSink::default()
    };
    assert_eq!(logs.sink.elasticsearch, Some(defaults));
    assert_eq!(logs.start_from, StartFrom::Earliest);
}

#[test]
fn what_is_wrong_is_named_by_its_field() {
    let cases = [
        (
            METRICS,
            "maxSeries: 100000",
            "maxSerie: 1",
            "unknown field `maxSerie`",
        ),
        (
            METRICS,
            "seriesTtl: 15m",
            "seriesTtl: 15 minutes",
            "\"15 minutes\" is no duration",
        ),
        (
            METRICS,
            "seriesTtl: 15m",
            "seriesTtl: 0s",
            "sink.prometheus.seriesTtl: must be at least 1s",
        ),
        (
            METRICS,
            "maxSeries: 100000",
            "maxSeries: 0",
            "sink.prometheus.maxSeries",
        ),
        (
            METRICS,
            "[0.005, 1]",
            "[1, 0.5]",
            "sink.prometheus.histogramBuckets: must ascend, found 1 before 0.5",
        ),
        (
            METRICS,
            "[0.005, 1]",
            "[.inf]",
            "histogramBuckets: must be finite",
        ),
        (
            METRICS,
            "stateTopic: bt.default.metrics.state",
            "",
            "stateTopic: is needed where sink.prometheus.exactlyOnce is true",
        ),
        (
            METRICS,
            "stateTopic: bt.default.metrics.state",
            "stateTopic: dead-letters",
            "stateTopic: dead-letters is used for something else already",
        ),
        (
            METRICS,
            "health.events]",
            "metrics.events]",
            "topics[1]: metrics.events is named twice",
        ),
        (
            METRICS,
            "health.events]",
            "dead-letters]",
            "topics[1]: dead-letters is the dead-letter topic",
        ),
        (
            METRICS,
            "health.events]",
            "a b]",
            "topics[1]: \"a b\" is no topic name",
        ),
        (
            METRICS,
            "[metrics.events, health.events]",
            "[]",
            "topics: 1 to 64 are possible, found 0",
        ),
        (
            METRICS,
            "startFrom: Earliest",
            "startFrom: earliest",
            "unknown variant `earliest`",
        ),
        (
            METRICS,
            "prometheus: {seriesTtl: 15m, maxSeries: 100000, histogramBuckets: [0.005, 1]}",
            "{}",
            "sink: exactly one",
        ),
        (
            LOGS,
            "[\"http://elasticsearch:9200\"]",
            "[]",
            "sink.elasticsearch.urls: at least one",
        ),
        (
            LOGS,
            "http://elasticsearch:9200",
            "elasticsearch:9200",
            "sink.elasticsearch.urls[0]",
        ),
        (
            LOGS,
            "dataStream: logs-bt-default",
            "dataStream: Logs",
            "sink.elasticsearch.dataStream: \"Logs\" must be lower case",
        ),
        (
            LOGS,
            "flushInterval: 1s",
            "flushInterval: 2m",
            "bulk.flushInterval: must be 10ms to 1m, found 2m",
        ),
        (
            LOGS,
            "concurrency: 4",
            "concurrency: 0",
            "sink.elasticsearch.bulk.concurrency: must be 1 to 64",
        ),
        (
            LOGS,
            "replicas: 0",
            "replicas: 11",
            "sink.elasticsearch.template.replicas: must be 0 to 10, found 11",
        ),
        (
            LOGS,
            "manage: true",
            "retention: 23h",
            "sink.elasticsearch.template.retention: must be at least 1d, found 23h",
        ),
        (
            LOGS,
            "dataStream: logs-bt-default",
            "deadLetterTopic: other",
            "unknown field `deadLetterTopic`",
        ),
    ];
    for (yaml, from, to, want) in cases {
        let yaml = yaml.replace(from, to);
        let error = Config::parse(&yaml).expect_err(&yaml).to_string();
        assert!(error.contains(want), "{to}: {error}");
    }
}

/// The problems of [`LOGS`] with more fields in its sink, and with these URLs.
fn of_logs(fields: &str, urls: &str) -> Vec<String> {
    let yaml = LOGS
        .replace("dataStream:", &format!("{fields}, dataStream:"))
        .replace("\"http://elasticsearch:9200\"", urls);
    match Config::parse(&yaml) {
        Ok(_) => Vec::new(),
        Err(ConfigError::Invalid(problems)) => problems,
        Err(error) => panic!("{yaml}: {error}"),
    }
}

#[test]
fn there_is_exactly_one_way_to_log_in() {
    const ONE: &str = "sink.elasticsearch.auth: exactly one way to log in is needed";
    const TOGETHER: &str = "sink.elasticsearch.auth: username and passwordFile belong together";
    const NAME: &str = "sink.elasticsearch.auth.username: must";
    for (auth, expected) in [
        ("username: bt, passwordFile: /p", None),
        ("apiKeyFile: /k", None),
        ("", Some(ONE)),
        ("username: bt, passwordFile: /p, apiKeyFile: /k", Some(ONE)),
        ("username: bt, apiKeyFile: /k", Some(ONE)),
        ("username: bt", Some(TOGETHER)),
        ("passwordFile: /p", Some(TOGETHER)),
        ("username: '', passwordFile: /p", Some(NAME)),
        ("username: 'a:b', passwordFile: /p", Some(NAME)),
        ("username: \"a\\nb\", passwordFile: /p", Some(NAME)),
    ] {
        let problems = of_logs(&format!("auth: {{{auth}}}"), "http://es:9200");
        assert_eq!(problems.len(), usize::from(expected.is_some()), "{auth}");
        for problem in &problems {
            assert!(
                problem.starts_with(expected.unwrap_or_default()),
                "{auth}: {problem}"
            );
        }
    }
}

#[test]
fn urls_are_without_credentials_and_as_safe_as_asked_for() {
    for (tls, urls, expected) in [
        ("{}", "https://es:9243, https://other/path", vec![]),
        ("{caFile: /ca.crt}", "https://es:9243", vec![]),
        ("null", "http://es:9200, https://es:9243", vec![]),
        (
            "{}",
            "https://es:9243, http://es:9200",
            vec![
                "urls[1]: \"http://es:9200\" is not encrypted; where sink.elasticsearch.tls is given, it must be an https:// URL",
            ],
        ),
        (
            "null",
            "https://bt:hush@es:9243, http://bt@es:9200, http://es:9200",
            vec![
                "urls[0]: has a user or a password inside, which everybody could read there; take them out, and log in by sink.elasticsearch.auth",
                "urls[1]: has a user or a password inside, which everybody could read there; take them out, and log in by sink.elasticsearch.auth",
            ],
        ),
        (
            "null",
            "'https://bt:hush@es:port', 'bt:hush@es:9200', es",
            vec![
                "urls[0]: is no http:// or https:// URL",
                "urls[1]: is no http:// or https:// URL",
                "urls[2]: \"es\" is no http:// or https:// URL",
            ],
        ),
    ] {
        let problems = of_logs(&format!("tls: {tls}"), urls);
        let expected: Vec<_> = expected
            .into_iter()
            .map(|problem| format!("sink.elasticsearch.{problem}"))
            .collect();
        assert_eq!(problems, expected, "{tls} {urls}");
    }
}

#[test]
fn durations() {
    let cases = [
        ("15m", Some(900_000)),
        ("1h30m", Some(5_400_000)),
        ("500ms", Some(500)),
        ("2d", Some(172_800_000)),
        ("", None),
        ("15", None),
        ("m", None),
        ("1 h", None),
        ("1y", None),
        ("-1s", None),
    ];
    for (text, millis) in cases {
        let read = text.parse::<HumanDuration>().ok();
        assert_eq!(read.map(|d| d.0.as_millis()), millis, "{text}");
        if let Some(duration) = read {
            assert_eq!(duration.to_string(), text);
        }
    }
}

#[test]
fn the_schema_has_the_defaults() {
    let schema = schemars::schema_for!(BulkSettings).to_value();
    assert_eq!(schema["properties"]["maxDocs"]["default"], 5000);
    let schema = schemars::schema_for!(TemplateSettings).to_value();
    let retention = &schema["properties"]["retention"];
    assert_eq!(retention.get("default"), None, "nothing is deleted unasked");
    let schema = schemars::schema_for!(PrometheusSink).to_value();
    assert_eq!(schema["properties"]["seriesTtl"]["default"], "15m");
    assert_eq!(
        schema["properties"]["seriesTtl"]["pattern"],
        HumanDuration::PATTERN
    );
}

#[test]
fn credentials_are_read_from_their_files() {
    let directory = std::env::temp_dir().join(format!("bt-config-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory");
    let file = |name: &str, text: &str| {
        let path = directory.join(name);
        std::fs::write(&path, text).expect("a file");
        path
    };
    let kafka = Kafka {
        bootstrap_servers: "kafka:9095".into(),
        tls: Some(TlsFiles {
            ca_file: Some(file("ca.crt", "CA\n")),
            certificate_file: Some(file("tls.crt", "CERTIFICATE\n")),
            key_file: Some(file("tls.key", "KEY\n")),
        }),
        sasl: Some(SaslFiles {
            mechanism: Mechanism::ScramSha512,
            username: "bt".into(),
            // Blanks may be part of a password; the line break of an editor is not.
            password_file: file("password", " hush \r\n"),
        }),
    };
    let connection = kafka.connection().expect("all files are there");
    let settings = connection.client_config("test");
    for (key, value) in [
        ("bootstrap.servers", "kafka:9095"),
        ("security.protocol", "SASL_SSL"),
        ("ssl.ca.pem", "CA\n"),
        ("ssl.certificate.pem", "CERTIFICATE\n"),
        ("ssl.key.pem", "KEY\n"),
        ("sasl.mechanism", "SCRAM-SHA-512"),
        ("sasl.username", "bt"),
        ("sasl.password", " hush "),
    ] {
        assert_eq!(settings.get(key), Some(value), "{key}");
    }
    let plain = Kafka {
        tls: None,
        sasl: None,
        ..kafka.clone()
    };
    assert_eq!(
        plain.connection().expect("nothing to read"),
        Connection::plaintext("kafka:9095")
    );
    // A Secret that has changed is read again.
    file("password", "new");
    assert_ne!(kafka.connection().expect("all files are there"), connection);
    std::fs::remove_dir_all(&directory).expect("the directory goes");
    let error = kafka
        .connection()
        .expect_err("the files are gone")
        .to_string();
    assert!(
        error.contains("cannot read the credentials in") && error.contains("ca.crt"),
        "{error}"
    );
}
