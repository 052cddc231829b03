use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A duration that is written as Kubernetes and Prometheus users do: `15m`, `1h30m`, `500ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HumanDuration(pub Duration);

impl HumanDuration {
    /// What the text form must match.
    pub const PATTERN: &'static str = "^([0-9]{1,6}(ms|s|m|h|d)){1,5}$";

    /// Of whole seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }
}

impl FromStr for HumanDuration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no duration; write it as 15m, 1h30m or 500ms");
        // humantime also knows spaces, years and words, which the schema's pattern does not.
        if text.is_empty() {
            return Err(wrong());
        }
        let mut rest = text;
        while !rest.is_empty() {
            let unit = rest.trim_start_matches(|c: char| c.is_ascii_digit());
            let end = unit
                .find(|c: char| c.is_ascii_digit())
                .unwrap_or(unit.len());
            if unit.len() == rest.len() || !matches!(&unit[..end], "ms" | "s" | "m" | "h" | "d") {
                return Err(wrong());
            }
            rest = &unit[end..];
        }
        humantime::parse_duration(text)
            .map(Self)
            .map_err(|_| wrong())
    }
}

impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        let units = [
            (86_400_000, "d"),
            (3_600_000, "h"),
            (60_000, "m"),
            (1000, "s"),
            (1, "ms"),
        ];
        let mut rest = millis;
        for (unit, name) in units {
            if rest >= unit {
                write!(f, "{}{name}", rest / unit)?;
                rest %= unit;
            }
        }
        if millis == 0 {
            f.write_str("0s")
        } else {
            Ok(())
        }
    }
}

impl Serialize for HumanDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HumanDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for HumanDuration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": Self::PATTERN })
    }
}
