use std::collections::BTreeMap;
use std::ffi::{CStr, CString};

use rdkafka_sys as sys;

use super::Admin;
use super::native::{Owned, array, c_string, c_strings, coded, outcome, string};
use super::request::{Options, Outcomes, Request, Sends, made};
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

type Resource = sys::rd_kafka_ConfigResource_t;

impl Admin {
    /// The settings of the named topics for which `keep`, given topic and key, is true: Kafka sends some thirty for each
    /// topic, and the others are not copied.
    ///
    /// # Errors
    /// When no broker answered.
    pub async fn describe_configs(
        &self,
        names: &[&str],
        keep: impl Fn(&str, &str) -> bool + Send + 'static,
    ) -> Result<BTreeMap<String, Result<BTreeMap<String, ConfigEntry>, Error>>, Error> {
        const CALL: &str = "DescribeConfigs";
        let names = c_strings(CALL, names)?;
        let request = Request {
            call: CALL,
            op: sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS,
            send: Sends::Each(sys::rd_kafka_DescribeConfigs),
            result: sys::rd_kafka_event_DescribeConfigs_result,
            items: sys::rd_kafka_DescribeConfigs_result_resources,
        };
        let objects = move |_: &mut _| names.iter().map(topic_resource).collect();
        let read = move |resources: &[*const Resource], outcomes: &mut Outcomes<_>| {
            // SAFETY: the resources are the answer's.
            outcomes.extend(resources.iter().map(|resource| unsafe {
                let (name, outcome) = resource_outcome(CALL, *resource);
                let entries = outcome.map(|()| entries(*resource, |key| keep(&name, key)));
                (name, entries)
            }));
            Ok(())
        };
        // SAFETY: all of it is DescribeConfigs'.
        unsafe { self.ask(request, Options::default(), objects, read) }.await
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
        let request = Request {
            call: CALL,
            op: sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_INCREMENTALALTERCONFIGS,
            send: Sends::Each(sys::rd_kafka_IncrementalAlterConfigs),
            result: sys::rd_kafka_event_IncrementalAlterConfigs_result,
            items: sys::rd_kafka_IncrementalAlterConfigs_result_resources,
        };
        let options = Options {
            validate_only,
            ..Options::default()
        };
        let objects = move |outcomes: &mut _| {
            let changes = changes.into_iter();
            let tried = changes.map(|(name, ops)| {
                let native = alteration(CALL, &name, &ops);
                (name, native)
            });
            made(tried, outcomes)
        };
        let read = |resources: &[*const Resource], outcomes: &mut Outcomes<()>| {
            let resources = resources.iter();
            // SAFETY: the resources are the answer's.
            outcomes.extend(resources.map(|resource| unsafe { resource_outcome(CALL, *resource) }));
            Ok(())
        };
        // SAFETY: all of it is IncrementalAlterConfigs'.
        unsafe { self.ask(request, options, objects, read) }.await
    }
}

fn topic_resource(name: &CString) -> Owned<Resource> {
    let kind = sys::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_TOPIC;
    // SAFETY: the name is alive during the call, which copies it.
    let resource = unsafe { sys::rd_kafka_ConfigResource_new(kind, name.as_ptr()) };
    Owned::new(resource, sys::rd_kafka_ConfigResource_destroy)
        .expect("librdkafka makes resources of every known type")
}

fn alteration(
    call: &'static str,
    name: &str,
    ops: &BTreeMap<String, ConfigOp>,
) -> Result<Owned<Resource>, Error> {
    use sys::rd_kafka_AlterConfigOpType_t as Op;
    let resource = topic_resource(&c_string(call, name)?);
    for (key, op) in ops {
        let key = c_string(call, key)?;
        let (op, value) = match op {
            ConfigOp::Set(value) => {
                let value = c_string(call, value)?;
                (Op::RD_KAFKA_ALTER_CONFIG_OP_TYPE_SET, Some(value))
            }
            ConfigOp::Reset => (Op::RD_KAFKA_ALTER_CONFIG_OP_TYPE_DELETE, None),
        };
        let value = value.as_deref().map_or(std::ptr::null(), CStr::as_ptr);
        // SAFETY: all pointers are alive during the call, which copies what it needs; the error is ours to destroy.
        unsafe {
            let error = sys::rd_kafka_ConfigResource_add_incremental_config(
                resource.ptr(),
                key.as_ptr(),
                op,
                value,
            );
            if let Some(error) = Owned::new(error, sys::rd_kafka_error_destroy) {
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
    resource: *const Resource,
) -> (String, Result<(), Error>) {
    // SAFETY: by the caller's promise.
    unsafe {
        let code = sys::rd_kafka_ConfigResource_error(resource);
        let message = sys::rd_kafka_ConfigResource_error_string(resource);
        let name = string(sys::rd_kafka_ConfigResource_name(resource));
        (name, coded(call, code, message))
    }
}

/// The entries to keep.
///
/// # Safety
/// `resource` is valid and came from DescribeConfigs.
unsafe fn entries(
    resource: *const Resource,
    keep: impl Fn(&str) -> bool,
) -> BTreeMap<String, ConfigEntry> {
    let mut count = 0;
    // SAFETY: by the caller's promise; the entries are the resource's.
    let all = unsafe {
        array(
            sys::rd_kafka_ConfigResource_configs(resource, &mut count),
            count,
        )
    };
    // SAFETY: each entry is valid and has a name; no text of it is held for longer than this function.
    let kept = all.iter().filter_map(|entry| unsafe {
        let key = CStr::from_ptr(sys::rd_kafka_ConfigEntry_name(*entry)).to_str();
        let key = key.ok().filter(|key| keep(key))?;
        Some((key.to_owned(), config_entry(*entry)))
    });
    kept.collect()
}

/// # Safety
/// `entry` is valid.
unsafe fn config_entry(entry: *const sys::rd_kafka_ConfigEntry_t) -> ConfigEntry {
    use sys::rd_kafka_ConfigSource_t as Source;
    // SAFETY: by the caller's promise.
    unsafe {
        let value = sys::rd_kafka_ConfigEntry_value(entry);
        ConfigEntry {
            value: (!value.is_null()).then(|| string(value)),
            source: match sys::rd_kafka_ConfigEntry_source(entry) {
                Source::RD_KAFKA_CONFIG_SOURCE_DYNAMIC_TOPIC_CONFIG => ConfigSource::Topic,
                _ => ConfigSource::Default,
            },
            sensitive: sys::rd_kafka_ConfigEntry_is_sensitive(entry) != 0,
        }
    }
}
