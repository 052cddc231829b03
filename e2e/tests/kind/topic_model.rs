//! Hundreds of random operations, none of which waits for another; in the end Kafka and the statuses agree with a model that does
//! not ask when the operator did what.
//!
//! The first names are only ever retained: once their topic exists it stays, with its id and each record. The last ones have only
//! resources that delete: their topic exists if one of these does.

mod verdict;
mod world;

use anyhow::{Context, Result};
use e2e::{DEFAULT, E2e, eventually, scenario, seconds};
use tokio::time::sleep;

use world::{KEPT, World};

const OPERATIONS: usize = 300;
/// After these, the operator that works is asked to stop.
const RESTARTS: [usize; 3] = [70, 140, 220];
/// After these, Kafka is asked for the topics' ids.
const LOOKS: [usize; 2] = [110, 200];
/// Further ones on the retained topics, after some of which the operator that works is killed. (A topic that it has made and not
/// noted by then belongs to nobody, so that it would stay where the resource is deleted.)
const MORE: usize = 60;
const KILLS: [usize; 2] = [15, 40];
const SEED: u64 = 20_260_401;

#[tokio::test]
async fn after_hundreds_of_random_operations_kafka_is_as_the_resources_say_and_no_record_is_gone()
-> Result<()> {
    scenario(async |e2e| {
        let seed = std::env::var("E2E_SEED").ok();
        let seed = seed.map_or(Ok(SEED), |seed| seed.parse())?;
        println!("    seed {seed}");
        let outcome = random_operations(e2e, seed).await;
        outcome.with_context(|| format!("E2E_SEED={seed}"))
    })
    .await
}

async fn random_operations(e2e: &E2e, seed: u64) -> Result<()> {
    let mut world = World::new(e2e, seed).await?;
    for at in 0..OPERATIONS {
        let what = world.operate().await?;
        println!("    {at}: {what}");
        if RESTARTS.contains(&at) {
            stop_leader(e2e, &[]).await?;
        }
        if LOOKS.contains(&at) {
            world.look_at_ids().await?;
        }
    }
    all_is_well(&mut world).await?;

    world.names = KEPT;
    for at in 0..MORE {
        let what = world.operate().await?;
        println!("    then {at}: {what}");
        if KILLS.contains(&at) {
            stop_leader(e2e, &["--grace-period=0", "--force"]).await?;
        }
    }
    all_is_well(&mut world).await?;
    // And it stays so.
    sleep(seconds(5)).await;
    verdict::settled(&world).await
}

async fn stop_leader(e2e: &E2e, how: &[&str]) -> Result<()> {
    let leader = e2e.cluster.leader().await?;
    let delete = ["delete", "pod", &leader, "-n", DEFAULT, "--wait=false"];
    e2e.cluster.kubectl(&[&delete, how].concat()).await?;
    println!("    {leader} is to stop {how:?}");
    Ok(())
}

async fn all_is_well(world: &mut World<'_>) -> Result<()> {
    eventually("all is as the model says", seconds(120), async || {
        verdict::settled(world).await
    })
    .await?;
    world.look_at_ids().await?;
    verdict::nothing_lost(world).await
}
