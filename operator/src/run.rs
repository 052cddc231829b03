//! The operator's life: serve, wait for the Lease, reconcile while it is held, give it back.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures::FutureExt;
use kube::api::ListParams;
use kube::{Api, Client};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::api::{KafkaTopic, TelemetryConsumer};
use crate::context::Context;
use crate::leader::Candidate;
use crate::metrics::Metrics;
use crate::server::{Health, serve};
use crate::settings::Settings;
use crate::{consumers, topics};

/// Reconciles in flight may take this long to finish after SIGTERM.
const GRACE: Duration = Duration::from_secs(20);

/// Runs the operator until SIGTERM or Ctrl-C, or until it loses the Lease.
///
/// # Errors
/// When the Kubernetes API cannot be reached at start, the custom resources are not installed, the port is taken, or the Lease is lost:
/// the pod then starts again as a candidate.
pub async fn run(settings: Settings) -> anyhow::Result<()> {
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        terminated().await;
        tracing::info!("stopping");
        stop.send_replace(true);
        // Kept, so that the receivers do not see it closed before they have seen it change.
        std::future::pending::<()>().await;
    });
    let until_stopped = || {
        let mut stopped = stopped.clone();
        async move {
            let _ = stopped.wait_for(|stop| *stop).await;
        }
    };

    let metrics = Metrics::default();
    let health = Health::default();
    let listener = TcpListener::bind(("0.0.0.0", settings.http_port))
        .await
        .with_context(|| format!("cannot listen on port {} (HTTP_PORT)", settings.http_port))?;
    // The probes are answered to the end: a pod that drains is not a pod that hangs.
    let server = tokio::spawn(serve(
        listener,
        health.clone(),
        metrics.clone(),
        std::future::pending(),
    ));

    let client = Client::try_default().await.context(
        "no Kubernetes API: run in a pod with a service account, or with KUBECONFIG set",
    )?;
    check_resources(&client).await?;
    health.set_ready(true);

    let mut candidate = Candidate::new(
        client.clone(),
        &settings.pod_namespace,
        &settings.lease_name,
        &settings.pod_name,
    );
    tracing::info!(lease = settings.lease_name, "waiting for the Lease");
    tokio::select! {
        () = candidate.acquire() => {}
        () = until_stopped() => return Ok(()),
    }
    tracing::info!(lease = settings.lease_name, "holding the Lease");
    metrics.set_leader(true);

    let context = Arc::new(Context::new(client, settings, metrics.clone()));
    let (tell, told) = consumers::relay();
    let mut controllers = tokio::spawn(
        futures::future::join(
            topics::run(context.clone(), tell, until_stopped()),
            consumers::run(context, told, until_stopped()),
        )
        .map(|_| ()),
    );
    let ended = tokio::select! {
        () = candidate.hold() => Err("the Lease was lost"),
        _ = &mut controllers => if *stopped.borrow() { Ok(()) } else { Err("a controller ended by itself") },
        () = until_stopped() => Ok(()),
    };
    metrics.set_leader(false);
    health.set_ready(false);
    match ended {
        Ok(()) => {
            // Renewed while the last reconciles finish, given back after them.
            if !controllers.is_finished() {
                tokio::select! {
                    _ = &mut controllers => {}
                    () = candidate.hold() => {}
                    () = tokio::time::sleep(GRACE) => tracing::warn!("reconciles were still running after {GRACE:?}"),
                }
            }
            controllers.abort();
            candidate.release().await;
            server.abort();
            Ok(())
        }
        Err(why) => {
            tracing::error!("{why}; this replica starts again as a candidate");
            // Another replica may write from now on. Returning would wait for calls to Kafka that are under way.
            std::process::exit(1)
        }
    }
}

/// A clear word at start instead of a watch that fails for ever. Only metadata: whether they can be read is not the question.
async fn check_resources(client: &Client) -> anyhow::Result<()> {
    let one = ListParams::default().limit(1);
    let missing = "are the custom resources installed (kubectl apply -f crds/), and may this service account list them?";
    Api::<KafkaTopic>::all(client.clone())
        .list_metadata(&one)
        .await
        .with_context(|| format!("cannot list KafkaTopics: {missing}"))?;
    Api::<TelemetryConsumer>::all(client.clone())
        .list_metadata(&one)
        .await
        .with_context(|| format!("cannot list TelemetryConsumers: {missing}"))?;
    Ok(())
}

async fn terminated() {
    use tokio::signal::unix::{SignalKind, signal};
    let mut term = signal(SignalKind::terminate()).expect("SIGTERM can be handled");
    let mut interrupt = signal(SignalKind::interrupt()).expect("SIGINT can be handled");
    tokio::select! {
        _ = term.recv() => {}
        _ = interrupt.recv() => {}
    }
}
