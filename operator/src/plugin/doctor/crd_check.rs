//! Whether the cluster's definitions know all the fields of this build.

use std::collections::BTreeSet;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::Value;

/// The fields that one definition knows and the other does not.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// This build has them, the cluster does not.
    pub missing: Vec<String>,
    /// The cluster has them, this build does not.
    pub unknown: Vec<String>,
}

/// Compares the served schemas.
pub fn compare(build: &CustomResourceDefinition, cluster: &CustomResourceDefinition) -> Difference {
    let (ours, theirs) = (fields(build), fields(cluster));
    Difference {
        missing: ours.difference(&theirs).cloned().collect(),
        unknown: theirs.difference(&ours).cloned().collect(),
    }
}

fn fields(definition: &CustomResourceDefinition) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for version in definition
        .spec
        .versions
        .iter()
        .filter(|version| version.served)
    {
        let schema = version
            .schema
            .as_ref()
            .and_then(|schema| schema.open_api_v3_schema.as_ref());
        let schema = schema
            .and_then(|schema| serde_json::to_value(schema).ok())
            .unwrap_or_default();
        walk(&schema, &version.name, &mut found);
    }
    found
}

fn walk(schema: &Value, path: &str, found: &mut BTreeSet<String>) {
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        // The API server's own.
        if matches!(name.as_str(), "apiVersion" | "kind" | "metadata") {
            continue;
        }
        let path = format!("{path}.{name}");
        walk(inner, &path, found);
        found.insert(path);
    }
    if schema["items"].is_object() {
        walk(&schema["items"], &format!("{path}[]"), found);
    }
}
