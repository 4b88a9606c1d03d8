//! Shopping carts over HTTP, one actor a customer, whose code is upgraded while customers shop.
//!
//! `cargo build --examples -p cart-v1 && cargo run -p teneral --example carts`, and in another terminal
//! `curl -d '{"item": "tea", "pieces": 2}' -H content-type:application/json localhost:8080/carts/ann`.
#![forbid(unsafe_code)]

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, routing::get};
use cart_api::{Open, v1};
use std::time::Duration;
use teneral::runtime::{ActorOptions, ActorRef};
use teneral::served::Phase;
use teneral::{ASK_TIMEOUT, AskError, Launch, System, SystemError};
use tokio::signal::unix::{SignalKind, signal};

const DIR: &str = ".teneral";

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    teneral::trial_hook();
    let listen = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let library = std::env::args().nth(2).unwrap_or_else(|| "target/debug/examples/libcart_v1.so".to_owned());
    // Ended by neither without a word: the states are kept at the end, and nowhere else.
    let (mut ended, mut interrupted) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let system = System::open(DIR)?;
    if system.default_version("cart")?.is_none() {
        let release = system.push(library).await?;
        system.set_default("cart", &release.version.to_string())?;
    }
    system.enter(Phase::Starting);
    system.start_defined().await?;
    system.enter(Phase::Serving);
    let shop = Router::new().route("/carts/{customer}", get(view).post(put)).with_state(system.clone());
    let listener = tokio::net::TcpListener::bind(listen).await?;
    println!("carts on http://{}", listener.local_addr()?);
    let told_to_stop = async move {
        tokio::select! { _ = ended.recv() => {}, _ = interrupted.recv() => {} }
    };
    tokio::select! {
        served = axum::serve(listener, shop).with_graceful_shutdown(told_to_stop) => served?,
        never = system.serve(DIR) => match never? {},
    }
    system.close(Duration::from_secs(10)).await?;
    Ok(())
}

/// The customer's cart; the first visit makes one.
async fn cart(system: &System, customer: &str) -> Result<ActorRef, SystemError> {
    let launch = Launch { version: None, options: ActorOptions::permanent() };
    system.actor_or_define(format!("cart/{customer}"), launch, Open {}).await
}

/// With the types of 1.0.0, whatever version serves.
async fn put(state: State<System>, Path(customer): Path<String>, Json(put): Json<v1::Put>) -> Result<Response, Failed> {
    cart(&state, &customer).await?;
    Ok(Json(state.ask(format!("cart/{customer}"), put).await?).into_response())
}

/// In the JSON of the version that serves: what a new version adds is seen at once.
async fn view(State(system): State<System>, Path(customer): Path<String>) -> Result<Response, Failed> {
    let cart = cart(&system, &customer).await?;
    let seen = system.ask_json(cart.addr(), "View", "{}", ASK_TIMEOUT).await?;
    Ok(([(header::CONTENT_TYPE, "application/json")], seen).into_response())
}

/// Why a customer is not served.
struct Failed(SystemError);

impl From<SystemError> for Failed {
    fn from(error: SystemError) -> Self {
        Self(error)
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let status = match &self.0 {
            SystemError::Address(_) => StatusCode::BAD_REQUEST,
            SystemError::Ask { source: AskError::Failed(_), .. } => StatusCode::UNPROCESSABLE_ENTITY,
            SystemError::Ask { source: AskError::Full | AskError::Timeout, .. } => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, self.0.render()).into_response()
    }
}
