use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

/// How often a condition is looked at.
const INTERVAL: Duration = Duration::from_millis(500);
/// What one look may take: a request that is never answered must not hold up a test for ever.
const LONGEST_LOOK: Duration = Duration::from_secs(60);

/// Looks again and again until `look` has an answer: its error says why not yet.
///
/// # Errors
/// When there is none within the time; says what was waited for and the last reason.
pub async fn eventually<T>(
    what: &str,
    within: Duration,
    mut look: impl AsyncFnMut() -> Result<T>,
) -> Result<T> {
    let started = Instant::now();
    loop {
        let looked = tokio::time::timeout(LONGEST_LOOK, look()).await;
        let last = match looked.unwrap_or_else(|_| Err(anyhow!("a look took too long"))) {
            Ok(answer) => {
                println!("    {what}: after {:.1} s", started.elapsed().as_secs_f32());
                return Ok(answer);
            }
            Err(reason) => reason,
        };
        if started.elapsed() > within {
            return Err(anyhow!(
                "not within {} s: {what}: {last:#}",
                within.as_secs()
            ));
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// A duration of so many seconds.
pub fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}
