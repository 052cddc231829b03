use bt_consumers::config::{BulkSettings, ElasticsearchSink, Malformed, TemplateSettings};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::SecretKeyRef;

/// Documents in Elasticsearch or OpenSearch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SearchSink {
    /// Base URLs of the engine's nodes, without credentials; the next is tried when one fails. Default: the operator's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub urls: Vec<String>,
    /// The data stream that documents go into; a plain index where the engine has no data streams. `{service}` stands for the
    /// event's service, `{date}` for the day of its `ts` (UTC, `2026.11.23`).
    #[schemars(length(min = 1, max = 233))]
    #[schemars(extend("x-kubernetes-validations" = data_stream_rules()))]
    pub data_stream: String,
    /// The index template.
    pub template: TemplateSettings,
    /// How documents are gathered into `_bulk` requests.
    pub bulk: BulkSettings,
    /// What becomes of records that are no events.
    pub malformed: Malformed,
    /// Log in: `username` with `passwordSecretRef`, or `apiKeySecretRef`. The pods read the Secret again when it changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<SearchAuth>,
    /// Encrypt: every URL is then `https`. `{}` trusts the authorities of the system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<SearchTls>,
    /// Where rejected documents go. Default: the operator's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 249))]
    pub dead_letter_topic: Option<String>,
}

impl Default for SearchSink {
    fn default() -> Self {
        Self {
            urls: Vec::new(),
            data_stream: ElasticsearchSink::DATA_STREAM.into(),
            template: TemplateSettings::default(),
            bulk: BulkSettings::default(),
            malformed: Malformed::default(),
            auth: None,
            tls: None,
            dead_letter_topic: None,
        }
    }
}

/// What a data stream's name must be, as far as CEL can say it: the pods count bytes, and know more white space and upper case.
fn data_stream_rules() -> Value {
    let rules = [
        (
            r"!self.matches('^[-_+.]')",
            "dataStream must not begin with - _ + or a dot",
        ),
        (
            r#"!self.matches('[\\\\/*?"<>|,#:\\s\\pZ\\p{Cc}\\p{Lu}]')"#,
            r#"dataStream must be lower case, without white space and without \ / * ? " < > | , # :"#,
        ),
        (
            "!self.replace('{service}', '').replace('{date}', '').matches('[{}]')",
            "dataStream may have the placeholders {service} and {date}, and no other braces",
        ),
        (
            "!self.matches('^[!-~]{0,2}[{]')",
            "dataStream must have at least 3 characters before its first placeholder, which keep it apart from others' indices",
        ),
        (
            "size(self) + 91 * (size(self.split('{service}')) - 1) + 4 * (size(self.split('{date}')) - 1) <= 233",
            "dataStream must have at most 233 bytes, counting 100 for {service} and 10 for {date}",
        ),
    ];
    let rule = |(rule, message)| json!({"rule": rule, "message": message});
    rules.map(rule).into_iter().collect()
}

/// How to log in at the search engine; exactly one way.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("(has(self.username) || has(self.passwordSecretRef)) != has(self.apiKeySecretRef)")
        .message("give exactly one way to log in: username with passwordSecretRef, or apiKeySecretRef"),
    validation = Rule::new("has(self.username) == has(self.passwordSecretRef)")
        .message("username and passwordSecretRef belong together: give both, or apiKeySecretRef instead")
)]
pub struct SearchAuth {
    /// Who logs in, by name and password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub username: Option<String>,
    /// The password. Default key: `password`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_secret_ref: Option<SecretKeyRef>,
    /// An API key: `id:key`, or the two encoded in base64 as Elasticsearch gives them out. Default key: `api-key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key_secret_ref: Option<SecretKeyRef>,
}

/// TLS to the search engine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SearchTls {
    /// The authorities (PEM) that signed the engine's certificates. Default: those of the system; default key: `ca.crt`. The pods read
    /// them again when they change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<SecretKeyRef>,
}

#[cfg(test)]
mod tests {
    use kube::CustomResourceExt;

    use super::*;
    use crate::api::TelemetryConsumer;

    fn schema() -> Value {
        let crd = serde_json::to_value(TelemetryConsumer::crd()).expect("JSON");
        let spec = "/spec/versions/0/schema/openAPIV3Schema/properties/spec";
        let sink = "/properties/sink/properties/elasticsearch";
        let schema = crd.pointer(&format!("{spec}{sink}"));
        schema.expect("the sink's schema").clone()
    }

    #[test]
    fn resources_of_before_mean_the_same() {
        let before = json!({
            "urls": ["http://es:9200"],
            "dataStream": "logs-shop",
            "template": {"manage": true, "replicas": 1},
            "bulk": {"maxBytes": 1024, "maxDocs": 1, "flushInterval": "1s", "concurrency": 1},
            "deadLetterTopic": "letters",
        });
        let read: SearchSink = serde_json::from_value(before.clone()).expect("a sink");
        let mut written = serde_json::to_value(&read).expect("JSON");
        for (field, default) in [("/malformed", "DeadLetter"), ("/bulk/compression", "None")] {
            let value = written.pointer_mut(field).expect(field).take();
            assert_eq!(value, default, "{field}");
        }
        written["bulk"]
            .as_object_mut()
            .expect("fields")
            .remove("compression");
        written.as_object_mut().expect("fields").remove("malformed");
        assert_eq!(written, before);
        let nothing: SearchSink = serde_json::from_value(json!({})).expect("a sink");
        assert_eq!(nothing, SearchSink::default());
        assert_eq!(
            nothing.template.retention, None,
            "nothing is deleted unasked"
        );
    }

    #[test]
    fn the_schema_has_the_fields_and_paths_of_files_are_none() {
        let schema = schema();
        let fields = |at: &str| {
            let fields = schema.pointer(&format!("{at}/properties"));
            let fields = fields.and_then(Value::as_object).expect("fields");
            fields.keys().cloned().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            fields(""),
            "auth bulk dataStream deadLetterTopic malformed template tls urls"
        );
        assert_eq!(
            fields("/properties/auth"),
            "apiKeySecretRef passwordSecretRef username"
        );
        assert_eq!(fields("/properties/tls"), "caSecretRef");
        assert_eq!(fields("/properties/tls/properties/caSecretRef"), "key name");
        assert_eq!(
            fields("/properties/bulk"),
            "compression concurrency flushInterval maxBytes maxDocs"
        );
        assert_eq!(fields("/properties/template"), "manage replicas retention");
        assert_eq!(schema.get("required"), None);
        let text = schema.to_string();
        assert!(!text.contains("anyOf") && !text.contains("oneOf"), "{text}");
    }

    #[test]
    fn the_rules_of_a_data_streams_name_are_said_in_words() {
        let schema = schema();
        let name = &schema["properties"]["dataStream"];
        assert_eq!(
            (&name["minLength"], &name["maxLength"], &name["default"]),
            (&json!(1), &json!(233), &json!("logs-bt-default"))
        );
        let rules = name["x-kubernetes-validations"].as_array();
        let rules = rules.expect("rules").iter();
        let messages: Vec<_> = rules
            .map(|rule| rule["message"].as_str().expect("a message"))
            .collect();
        assert_eq!(messages.len(), 5);
        assert!(messages.iter().all(|said| said.starts_with("dataStream m")));
    }

    #[test]
    fn the_rules_of_a_login_are_said_in_words() {
        let schema = schema();
        let rules = &schema["properties"]["auth"]["x-kubernetes-validations"];
        let rules = rules.as_array().expect("rules").iter();
        let messages: Vec<_> = rules
            .map(|rule| rule["message"].as_str().expect("a message"))
            .collect();
        assert_eq!(messages.len(), 2);
        assert!(messages[0].starts_with("give exactly one way to log in"));
        assert!(messages[1].starts_with("username and passwordSecretRef belong together"));
    }

    #[test]
    fn what_is_null_is_not_given() {
        let schema = schema();
        let fields = &schema["properties"]["auth"]["properties"];
        for field in ["username", "passwordSecretRef", "apiKeySecretRef"] {
            // Kubernetes keeps the null then, and `has()` in the rules is false for it.
            assert_eq!(fields[field]["nullable"], true, "{field}");
        }
        let auth =
            json!({"username": null, "passwordSecretRef": null, "apiKeySecretRef": {"name": "s"}});
        let read: SearchAuth = serde_json::from_value(auth).expect("a login");
        let expected = json!({"apiKeySecretRef": {"name": "s"}});
        assert_eq!(serde_json::to_value(&read).expect("JSON"), expected);
    }
}
