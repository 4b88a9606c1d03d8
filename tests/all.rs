//! The promises that are proved through the whole gate, and the laws of the house: one binary, one process.
//!
//! A test is a function listed in its module's table; its name is a claim, and opens with the id of the promise it
//! proves. It returns nothing (it passes unless it panics), or says that it could not run here and why.
#![forbid(unsafe_code)]

mod applied;
mod audit;
mod authoring;
mod canary;
mod carts;
mod certificates;
mod checkpoints;
mod configured;
mod faults;
mod guide;
mod harness;
mod ingress;
mod languages;
mod laws;
mod lifecycle;
mod log_service;
mod matrix;
mod metrics;
mod modules;
mod native;
mod openapi;
mod operated;
mod probations;
mod remote;
mod served;
mod signing;
mod spine;
mod spread;
mod terminal;
mod trials;
mod tried;
mod verbs;
mod watched;

use harness::Test;

fn main() {
    teneral::trial_hook();
    harness::forget_what_cargo_said();
    if harness::child::run_if_asked(&[&spine::children(), matrix::CHILDREN].concat()) {
        return;
    }
    // One line a panic: the runner repeats the message, and a backtrace of a test says nothing more.
    std::panic::set_hook(Box::new(|panic| eprintln!("{panic}")));
    let arguments = libtest_mimic::Arguments::from_args();
    let tests: Vec<Test> = [
        applied::tests(),
        authoring::tests(),
        audit::tests(),
        canary::tests(),
        carts::tests(),
        certificates::tests(),
        checkpoints::tests(),
        configured::tests(),
        faults::tests(),
        ingress::tests(),
        guide::tests(),
        languages::tests(),
        laws::tests(),
        lifecycle::tests(),
        log_service::tests(),
        matrix::tests(),
        metrics::tests(),
        modules::tests(),
        native::tests(),
        openapi::tests(),
        operated::tests(),
        probations::tests(),
        remote::tests(),
        served::tests(),
        signing::tests(),
        verbs::tests(),
        watched::tests(),
        spine::tests(),
        spread::tests(),
        terminal::tests(),
        trials::tests(),
        tried::tests(),
    ]
    .into_iter()
    .flatten()
    .collect();
    libtest_mimic::run(&arguments, tests.into_iter().map(Test::into_trial).collect()).exit();
}
