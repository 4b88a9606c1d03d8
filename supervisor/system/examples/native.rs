//! A service's own native actor: asynchronous, in the host, and asked by loaded actors as any actor is.
//!
//! `cargo run -p teneral --example native`
#![forbid(unsafe_code)]

use serde::{Deserialize, Serialize};
use std::time::Duration;
use teneral::native::{Call, Refused};
use teneral::{Message, Native, Request, System, Wire};

/// What actors ask; in a service, a crate that their authors import.
#[derive(Debug, Serialize, Deserialize, Request)]
#[reply(Resolved)]
struct Resolve {
    host: String,
}

#[derive(Debug, Serialize, Deserialize, Wire)]
struct Resolved {
    addresses: Vec<String>,
}

#[derive(Debug, Message)]
enum Question {
    Resolve(Resolve),
}

/// What the host does about it.
struct Resolver;

impl Native for Resolver {
    type Message = Question;

    async fn handle(&self, Question::Resolve(Resolve { host }): Question, call: &mut Call) -> Result<(), Refused> {
        if call.sender().is_some_and(|sender| sender.kind() != "crawler") {
            return Err(Refused::Denied("only crawlers may look names up".to_owned()));
        }
        let found = tokio::net::lookup_host((host.as_str(), 443)).await?;
        call.reply(&Resolved { addresses: found.map(|address| address.ip().to_string()).collect() });
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let system = System::open(dir.path().join("store"))?;
    system.native("resolver", Resolver).await?;
    // A loaded actor: ctx.ask(&Addr::new("native/resolver")?, Resolve { .. }, secs(5), |answer| Found { answer })
    println!("{:?}", system.ask("native/resolver", Resolve { host: "localhost".to_owned() }).await?);
    system.shutdown(Duration::from_secs(5)).await;
    Ok(())
}
