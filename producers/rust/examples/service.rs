//! A service with everything that the SDK has: `cargo run -p bt-events --example service`, then
//! `curl localhost:8081/orders/42` and Ctrl-C. Kafka is at KAFKA_BOOTSTRAP, default localhost:9092.

use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::routing::get;
use bt_events::{HealthChecks, HttpLayer, LogLayer, Metric, Producer};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, fmt};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let producer = Producer::builder()
        .service("example")
        .version(env!("CARGO_PKG_VERSION"))
        .build()?;
    // Delivers what still waits when `main` ends.
    let _events = bt_events::set_default(producer.clone());

    let logs = LogLayer::new(&producer).with_filter(EnvFilter::new("info"));
    tracing_subscriber::registry()
        .with(fmt::layer())
        .with(logs)
        .init();

    let _checks = HealthChecks::new(&producer)
        .every(Duration::from_secs(10))
        .blocking("disk", || std::fs::metadata("/").map(drop))
        .optional("cache", async || true)
        .start();

    let app = Router::new()
        .route("/orders/{id}", get(order))
        .layer(HttpLayer::new(&producer));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:8081").await?;
    tracing::info!("http://{}/orders/42", listener.local_addr()?);
    let stop = async { tokio::signal::ctrl_c().await.unwrap_or_default() };
    axum::serve(listener, app)
        .with_graceful_shutdown(stop)
        .await?;
    tracing::info!(stats = ?producer.stats(), "stopping");
    Ok(())
}

#[tracing::instrument]
async fn order(Path(id): Path<u32>) -> Result<String, StatusCode> {
    if id == 0 {
        tracing::warn!("nobody has order 0");
        return Err(StatusCode::NOT_FOUND);
    }
    bt_events::send_metric(Metric::counter("example_orders_read_total", 1.0));
    bt_events::send_event("order.read", &serde_json::json!({ "order_id": id }));
    tracing::info!("order read");
    Ok(format!("order {id}\n"))
}
