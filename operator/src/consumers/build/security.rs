//! The restricted level of Kubernetes' Pod Security Standards. Checked here, since a namespace need not enforce it, and since one
//! that does refuses the pods only, when the Deployment has been changed already.

use k8s_openapi::api::core::v1::{
    Container, Lifecycle, LifecycleHandler, PodSecurityContext, PodSpec, PodTemplateSpec, Probe,
    SELinuxOptions, SeccompProfile, SecurityContext, Volume, WindowsSecurityContextOptions,
};

use super::pod::CONTAINER;

const VOLUMES: [&str; 8] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
];
const SYSCTLS: [&str; 12] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
];
const SELINUX_TYPES: [&str; 5] = [
    "",
    "container_t",
    "container_init_t",
    "container_kvm_t",
    "container_engine_t",
];

/// Gives the user's containers what the level wants, where they say nothing of it. The rest stands with the pod.
pub fn restrict_sidecars(template: &mut PodTemplateSpec) {
    let Some(pod) = &mut template.spec else {
        return;
    };
    let all = pod.containers.iter_mut();
    for container in all.chain(pod.init_containers.iter_mut().flatten()) {
        if container.name == CONTAINER {
            continue;
        }
        let context = container.security_context.get_or_insert_default();
        context.allow_privilege_escalation.get_or_insert(false);
        let capabilities = context.capabilities.get_or_insert_default();
        capabilities.drop.get_or_insert_with(|| vec!["ALL".into()]);
    }
}

/// What the level does not allow, each with its field.
pub fn violations(template: &PodTemplateSpec) -> Vec<String> {
    let mut found = Found::default();
    let annotations = template
        .metadata
        .iter()
        .flat_map(|metadata| metadata.annotations.iter().flatten());
    for (key, value) in annotations {
        if key.starts_with("container.apparmor.security.beta.kubernetes.io/") {
            found.unless(
                matches!(value.as_str(), "" | "runtime/default") || value.starts_with("localhost/"),
                || format!("metadata.annotations: {key} must be runtime/default or localhost/…"),
            );
        }
    }
    if let Some(pod) = &template.spec {
        check_pod(pod, &mut found);
    }
    found.0
}

#[derive(Default)]
struct Found(Vec<String>);

impl Found {
    fn unless(&mut self, ok: bool, problem: impl FnOnce() -> String) {
        if !ok {
            self.0.push(format!(
                "spec.podTemplate.{} (Pod Security level restricted)",
                problem()
            ));
        }
    }

    /// Whether a field is not set to true.
    fn off(&mut self, value: Option<bool>, field: &str) {
        self.unless(value != Some(true), || format!("{field}: must not be true"));
    }
}

fn check_pod(pod: &PodSpec, found: &mut Found) {
    found.off(pod.host_network, "spec.hostNetwork");
    found.off(pod.host_pid, "spec.hostPID");
    found.off(pod.host_ipc, "spec.hostIPC");
    for volume in pod.volumes.iter().flatten() {
        if let Some(source) = source_not_allowed(volume) {
            found.unless(false, || {
                let allowed = VOLUMES.join(", ");
                let name = &volume.name;
                format!("spec.volumes[{name}].{source}: is not allowed, only {allowed} are")
            });
        }
    }
    let context = pod.security_context.clone().unwrap_or_default();
    check_pod_context(&context, found);
    let lists = [
        ("containers", Some(&pod.containers)),
        ("initContainers", pod.init_containers.as_ref()),
    ];
    for (list, containers) in lists {
        for container in containers.into_iter().flatten() {
            let path = format!("spec.{list}[{}]", container.name);
            check_container(container, &context, &path, found);
        }
    }
}

/// The field of a volume that says what it is, of those that are not allowed.
fn source_not_allowed(volume: &Volume) -> Option<String> {
    let fields = serde_json::to_value(volume).ok()?;
    let mut fields = fields.as_object()?.keys();
    let found = fields.find(|field| *field != "name" && !VOLUMES.contains(&field.as_str()));
    found.cloned()
}

fn check_pod_context(context: &PodSecurityContext, found: &mut Found) {
    let path = "spec.securityContext";
    for sysctl in context.sysctls.iter().flatten() {
        found.unless(SYSCTLS.contains(&sysctl.name.as_str()), || {
            format!(
                "{path}.sysctls[{}]: is none of the safe ones: {}",
                sysctl.name,
                SYSCTLS.join(", ")
            )
        });
    }
    check_user(context.run_as_user, path, found);
    check_selinux(context.se_linux_options.as_ref(), path, found);
    check_windows(context.windows_options.as_ref(), path, found);
    check_seccomp(context.seccomp_profile.as_ref(), path, found);
    if let Some(profile) = &context.app_armor_profile {
        check_app_armor(&profile.type_, path, found);
    }
}

fn check_container(container: &Container, pod: &PodSecurityContext, path: &str, found: &mut Found) {
    let context = container.security_context.clone().unwrap_or_default();
    let here = format!("{path}.securityContext");
    check_context(&context, pod, &here, found);
    for port in container.ports.iter().flatten() {
        found.unless(port.host_port.unwrap_or(0) == 0, || {
            format!(
                "{path}.ports[{}].hostPort: must not be set",
                port.container_port
            )
        });
    }
    let probes = [
        ("livenessProbe", &container.liveness_probe),
        ("readinessProbe", &container.readiness_probe),
        ("startupProbe", &container.startup_probe),
    ];
    for (field, probe) in probes {
        if let Some(probe) = probe {
            check_hosts(&probe_hosts(probe), &format!("{path}.{field}"), found);
        }
    }
    if let Some(Lifecycle {
        post_start,
        pre_stop,
        ..
    }) = &container.lifecycle
    {
        for (field, hook) in [("postStart", post_start), ("preStop", pre_stop)] {
            if let Some(hook) = hook {
                check_hosts(
                    &hook_hosts(hook),
                    &format!("{path}.lifecycle.{field}"),
                    found,
                );
            }
        }
    }
}

type Hosts<'a> = [(&'static str, Option<&'a String>); 2];

fn probe_hosts(probe: &Probe) -> Hosts<'_> {
    let http = probe.http_get.as_ref();
    let tcp = probe.tcp_socket.as_ref();
    [
        ("httpGet", http.and_then(|get| get.host.as_ref())),
        ("tcpSocket", tcp.and_then(|socket| socket.host.as_ref())),
    ]
}

fn hook_hosts(hook: &LifecycleHandler) -> Hosts<'_> {
    let http = hook.http_get.as_ref();
    let tcp = hook.tcp_socket.as_ref();
    [
        ("httpGet", http.and_then(|get| get.host.as_ref())),
        ("tcpSocket", tcp.and_then(|socket| socket.host.as_ref())),
    ]
}

fn check_hosts(hosts: &Hosts, path: &str, found: &mut Found) {
    for (handler, host) in hosts {
        found.unless(host.is_none_or(|host| host.is_empty()), || {
            format!("{path}.{handler}.host: must not be set: the pod itself is asked")
        });
    }
}

fn check_context(
    context: &SecurityContext,
    pod: &PodSecurityContext,
    path: &str,
    found: &mut Found,
) {
    found.off(context.privileged, &format!("{path}.privileged"));
    found.unless(context.allow_privilege_escalation == Some(false), || {
        format!("{path}.allowPrivilegeEscalation: must be false")
    });
    let capabilities = context.capabilities.clone().unwrap_or_default();
    let dropped = capabilities.drop.unwrap_or_default();
    found.unless(dropped.iter().any(|name| name == "ALL"), || {
        format!("{path}.capabilities.drop: must contain ALL")
    });
    for name in capabilities.add.unwrap_or_default() {
        found.unless(name == "NET_BIND_SERVICE", || {
            format!("{path}.capabilities.add: {name} is not allowed, only NET_BIND_SERVICE is")
        });
    }
    found.unless(
        context.run_as_non_root.or(pod.run_as_non_root) == Some(true),
        || format!("{path}.runAsNonRoot: must be true, here or in spec.securityContext"),
    );
    check_user(context.run_as_user, path, found);
    let profile = context.seccomp_profile.as_ref();
    found.unless(profile.or(pod.seccomp_profile.as_ref()).is_some(), || {
        format!("{path}.seccompProfile: must be set, here or in spec.securityContext; take type RuntimeDefault")
    });
    check_seccomp(profile, path, found);
    if let Some(profile) = &context.app_armor_profile {
        check_app_armor(&profile.type_, path, found);
    }
    check_selinux(context.se_linux_options.as_ref(), path, found);
    check_windows(context.windows_options.as_ref(), path, found);
    let mount = context.proc_mount.as_deref().unwrap_or("Default");
    found.unless(mount == "Default", || {
        format!("{path}.procMount: must be Default, found {mount}")
    });
}

fn check_user(user: Option<i64>, path: &str, found: &mut Found) {
    found.unless(user != Some(0), || {
        format!("{path}.runAsUser: must not be 0, which is root")
    });
}

fn check_seccomp(profile: Option<&SeccompProfile>, path: &str, found: &mut Found) {
    let Some(SeccompProfile { type_, .. }) = profile else {
        return;
    };
    found.unless(
        matches!(type_.as_str(), "RuntimeDefault" | "Localhost"),
        || {
            format!(
                "{path}.seccompProfile.type: must be RuntimeDefault or Localhost, found {type_}"
            )
        },
    );
}

fn check_app_armor(type_: &str, path: &str, found: &mut Found) {
    found.unless(matches!(type_, "RuntimeDefault" | "Localhost"), || {
        format!("{path}.appArmorProfile.type: must be RuntimeDefault or Localhost, found {type_}")
    });
}

fn check_selinux(options: Option<&SELinuxOptions>, path: &str, found: &mut Found) {
    let Some(options) = options else {
        return;
    };
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let type_ = text(&options.type_);
    found.unless(SELINUX_TYPES.contains(&type_.as_str()), || {
        format!("{path}.seLinuxOptions.type: {type_} is not allowed")
    });
    for (field, value) in [("user", &options.user), ("role", &options.role)] {
        found.unless(text(value).is_empty(), || {
            format!("{path}.seLinuxOptions.{field}: must not be set")
        });
    }
}

fn check_windows(options: Option<&WindowsSecurityContextOptions>, path: &str, found: &mut Found) {
    let host = options.and_then(|options| options.host_process);
    found.off(host, &format!("{path}.windowsOptions.hostProcess"));
}
