use std::collections::BTreeMap;

use rdkafka::error::IsError;
use rdkafka_sys as sys;

use super::Admin;
use super::request::{Options, Owned, array, c_string, outcome, pointers, string};
use crate::Error;

/// One setting of a topic, with where its value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigEntry {
    /// The value in force; absent where Kafka hides it (sensitive settings).
    pub value: Option<String>,
    /// Who set it.
    pub source: ConfigSource,
    /// Never to be shown.
    pub sensitive: bool,
}

/// Where a setting's value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigSource {
    /// Set on the topic itself.
    Topic,
    /// The broker's configuration or Kafka's default.
    Default,
}

/// One step of an incremental alter (KIP-339): keys that are not named stay as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigOp {
    /// Set the key to this value.
    Set(String),
    /// Take the topic's own value away: the broker's default holds again.
    Reset,
}

impl Admin {
    /// All settings of the named topics.
    ///
    /// # Errors
    /// When no broker answered.
    pub async fn describe_configs(
        &self,
        names: &[&str],
    ) -> Result<BTreeMap<String, Result<BTreeMap<String, ConfigEntry>, Error>>, Error> {
        const CALL: &str = "DescribeConfigs";
        if names.is_empty() {
            return Ok(BTreeMap::new());
        }
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        self.blocking(move |admin| {
            let native = names
                .iter()
                .map(|name| topic_resource(CALL, name))
                .collect::<Result<Vec<_>, _>>()?;
            let mut raw = pointers(&native);
            admin.request(
                CALL,
                sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS,
                Options::default(),
                // SAFETY: all pointers are valid for the call, which copies what it needs.
                |client, options, queue| unsafe {
                    sys::rd_kafka_DescribeConfigs(
                        client,
                        raw.as_mut_ptr(),
                        raw.len(),
                        options,
                        queue,
                    );
                },
                // SAFETY: the event is this request's, and everything read is copied.
                |event| unsafe {
                    let mut count = 0;
                    let result = sys::rd_kafka_event_DescribeConfigs_result(event);
                    let resources =
                        sys::rd_kafka_DescribeConfigs_result_resources(result, &mut count);
                    array(resources, count)
                        .iter()
                        .map(|resource| {
                            let (name, outcome) = resource_outcome(CALL, *resource);
                            (name, outcome.map(|()| entries(*resource)))
                        })
                        .collect()
                },
            )
        })
        .await
    }

    /// Alters only the named keys of each topic, or only asks whether Kafka would (`validate_only`). One outcome a topic;
    /// Kafka applies all of a topic's changes or none.
    ///
    /// # Errors
    /// When no broker answered.
    pub async fn incremental_alter_configs(
        &self,
        changes: BTreeMap<String, BTreeMap<String, ConfigOp>>,
        validate_only: bool,
    ) -> Result<BTreeMap<String, Result<(), Error>>, Error> {
        const CALL: &str = "IncrementalAlterConfigs";
        if changes.is_empty() {
            return Ok(BTreeMap::new());
        }
        self.blocking(move |admin| {
            let native = changes
                .iter()
                .map(|(name, ops)| alteration(CALL, name, ops))
                .collect::<Result<Vec<_>, _>>()?;
            let mut raw = pointers(&native);
            admin.request(
                CALL,
                sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_INCREMENTALALTERCONFIGS,
                Options {
                    validate_only,
                    ..Options::default()
                },
                // SAFETY: all pointers are valid for the call, which copies what it needs.
                |client, options, queue| unsafe {
                    sys::rd_kafka_IncrementalAlterConfigs(
                        client,
                        raw.as_mut_ptr(),
                        raw.len(),
                        options,
                        queue,
                    );
                },
                // SAFETY: the event is this request's, and everything read is copied.
                |event| unsafe {
                    let mut count = 0;
                    let result = sys::rd_kafka_event_IncrementalAlterConfigs_result(event);
                    let resources =
                        sys::rd_kafka_IncrementalAlterConfigs_result_resources(result, &mut count);
                    array(resources, count)
                        .iter()
                        .map(|resource| resource_outcome(CALL, *resource))
                        .collect()
                },
            )
        })
        .await
    }
}

fn topic_resource(
    call: &'static str,
    name: &str,
) -> Result<Owned<sys::rd_kafka_ConfigResource_t>, Error> {
    let name = c_string(call, name)?;
    // SAFETY: the name is valid for the call, which copies it.
    let resource = unsafe {
        sys::rd_kafka_ConfigResource_new(
            sys::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_TOPIC,
            name.as_ptr(),
        )
    };
    Ok(Owned::new(resource, sys::rd_kafka_ConfigResource_destroy)
        .expect("librdkafka makes resources of every known type"))
}

fn alteration(
    call: &'static str,
    name: &str,
    ops: &BTreeMap<String, ConfigOp>,
) -> Result<Owned<sys::rd_kafka_ConfigResource_t>, Error> {
    use sys::rd_kafka_AlterConfigOpType_t as Op;
    let resource = topic_resource(call, name)?;
    for (key, op) in ops {
        let name = c_string(call, key)?;
        let (kind, value) = match op {
            ConfigOp::Set(value) => (
                Op::RD_KAFKA_ALTER_CONFIG_OP_TYPE_SET,
                Some(c_string(call, value)?),
            ),
            ConfigOp::Reset => (Op::RD_KAFKA_ALTER_CONFIG_OP_TYPE_DELETE, None),
        };
        let value = value
            .as_ref()
            .map_or(std::ptr::null(), |value| value.as_ptr());
        // SAFETY: all pointers are valid for the call, which copies what it needs; the error is ours to destroy.
        unsafe {
            let error = Owned::new(
                sys::rd_kafka_ConfigResource_add_incremental_config(
                    resource.ptr(),
                    name.as_ptr(),
                    kind,
                    value,
                ),
                sys::rd_kafka_error_destroy,
            );
            if let Some(error) = error {
                outcome(call, error.ptr())?;
            }
        }
    }
    Ok(resource)
}

/// # Safety
/// `resource` is valid.
unsafe fn resource_outcome(
    call: &'static str,
    resource: *const sys::rd_kafka_ConfigResource_t,
) -> (String, Result<(), Error>) {
    // SAFETY: by the caller's promise.
    unsafe {
        let name = string(sys::rd_kafka_ConfigResource_name(resource));
        let code = sys::rd_kafka_ConfigResource_error(resource);
        let outcome = if code.is_error() {
            let message = string(sys::rd_kafka_ConfigResource_error_string(resource));
            Err(Error::new(call, code.into(), message))
        } else {
            Ok(())
        };
        (name, outcome)
    }
}

/// # Safety
/// `resource` is valid and came from DescribeConfigs.
unsafe fn entries(
    resource: *const sys::rd_kafka_ConfigResource_t,
) -> BTreeMap<String, ConfigEntry> {
    use sys::rd_kafka_ConfigSource_t as Source;
    // SAFETY: by the caller's promise.
    unsafe {
        let mut count = 0;
        array(
            sys::rd_kafka_ConfigResource_configs(resource, &mut count),
            count,
        )
        .iter()
        .map(|entry| {
            let value = sys::rd_kafka_ConfigEntry_value(*entry);
            let source = match sys::rd_kafka_ConfigEntry_source(*entry) {
                Source::RD_KAFKA_CONFIG_SOURCE_DYNAMIC_TOPIC_CONFIG => ConfigSource::Topic,
                _ => ConfigSource::Default,
            };
            (
                string(sys::rd_kafka_ConfigEntry_name(*entry)),
                ConfigEntry {
                    value: (!value.is_null()).then(|| string(value)),
                    source,
                    sensitive: sys::rd_kafka_ConfigEntry_is_sensitive(*entry) != 0,
                },
            )
        })
        .collect()
    }
}
