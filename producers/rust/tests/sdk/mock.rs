use std::time::Duration;

use bt_events::{Builder, Producer};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

use crate::kafka::{Record, read};

/// A Kafka that has one broker, and of each topic one partition.
pub struct Mock {
    pub cluster: MockCluster<'static, DefaultProducerContext>,
}

impl Mock {
    pub fn new() -> Self {
        let cluster = MockCluster::new(1).expect("a mock");
        for topic in [
            "metrics.events",
            "logs.events",
            "health.events",
            "orders.events",
        ] {
            cluster.create_topic(topic, 1, 1).expect("a topic");
        }
        Mock { cluster }
    }

    pub fn bootstrap(&self) -> String {
        self.cluster.bootstrap_servers()
    }

    /// A producer of `orders/orders-1` to this Kafka.
    pub fn builder(&self) -> Builder {
        builder().bootstrap(self.bootstrap())
    }

    pub fn producer(&self) -> Producer {
        self.builder().build().expect("a producer")
    }

    pub fn read(&self, topic: &str, count: usize) -> Vec<Record> {
        read(&self.bootstrap(), &[topic], 1, count)
    }
}

/// A producer of `orders/orders-1` to a Kafka that is not there, and that nothing is delivered to at the end.
pub fn builder() -> Builder {
    Producer::builder()
        .service("orders")
        .instance("orders-1")
        .bootstrap("127.0.0.1:1")
        .linger(Duration::from_millis(1))
        .exit_timeout(Duration::ZERO)
}
