//! A program that embeds teneral and upgrades an actor by a call.
//!
//! `cargo build --examples -p counter-v1 -p counter-v2 && cargo run -p teneral --example embed`
#![forbid(unsafe_code)]

use counter_api::{Add, Get, Start, v1};
use std::path::Path;
use teneral::{System, UpgradeOptions};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    teneral::trial_hook();
    let libraries = std::env::args().nth(1).unwrap_or_else(|| "target/debug/examples".to_owned());
    let dir = tempfile::tempdir()?;
    let system = System::open(dir.path().join("store"))?;
    for library in ["libcounter_v1.so", "libcounter_v2.so"] {
        let release = system.push(Path::new(&libraries).join(library)).await?;
        println!("pushed {} {}", release.kind, release.version);
    }

    // 1.0.0 adds, and knows its total.
    let counter = system.start("counter/a", "1.0.0", Start { total: 40 }).await?;
    counter.tell(v1::Add { amount: 2 }).await?;
    println!("{:?}", system.ask("counter/a", v1::Get {}).await?);

    // The actor moves while it lives: its mailbox waits, its state migrates, its name stays.
    let report = system.upgrade("counter/a", "2.0.0", UpgradeOptions::new()).await?;
    println!("{report}");

    // 2.0.0 takes negative amounts, counts additions, and still understands callers of yesterday.
    counter.tell(Add { amount: -7 }).await?;
    counter.tell(v1::Add { amount: 5 }).await?;
    println!("{:?}", system.ask("counter/a", Get {}).await?);
    println!("{:?}", system.ask("counter/a", v1::Get {}).await?);

    system.shutdown(std::time::Duration::from_secs(5)).await;
    Ok(())
}
