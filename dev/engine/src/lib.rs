//! A search engine for tests. It speaks what the logs sink uses of Elasticsearch and OpenSearch, holds documents in memory, and fails
//! by a [`Script`]: answers that say no, connections that break before or after a request was applied, answers cut short, rollovers.
//!
//! ```
//! # async fn example() -> std::io::Result<()> {
//! use bt_dev_engine::{Engine, Fault, Flavour, Script};
//!
//! let engine = Engine::start(Flavour::OpenSearch).await?;
//! engine.play(Script::only(7, Fault::ResetAfter, 30));
//! println!("{}", engine.url());
//! // … what is tested sends documents …
//! engine.play(Script::default());
//! assert!(engine.documents().iter().all(|document| document.applications == 1));
//! # Ok(())
//! # }
//! ```

mod answers;
mod api;
mod bulk;
mod engine;
mod filter;
mod flavour;
mod resources;
mod script;
mod server;
mod store;
mod tally;

pub use engine::{Engine, Front};
pub use flavour::Flavour;
pub use script::{Fault, Phase, RetryAfter, Rules, Script, Weighted, is_refused};
pub use store::Held;
pub use tally::Tally;
