//! What a greeter does, one message at a time and without a host.
#![forbid(unsafe_code)]

use teneral_actor::Actor;
use teneral_testkit::run;

use greeter_api::{Forget, Greet, Greeting, Start};
use greeter_v1::Greeter;

fn greet(actor: &mut Greeter, name: &str) -> Greeting {
    run(actor, Greet { name: name.to_owned() }).expect("it greets").reply()
}

#[test]
fn it_greets_by_name_and_counts() {
    let mut actor = Greeter::init(Start {}).expect("it starts");
    assert_eq!(greet(&mut actor, "Ada"), Greeting { text: "Hello, Ada!".to_owned(), greeted: 1 });
    assert_eq!(greet(&mut actor, "Joe").greeted, 2);
}

#[test]
fn it_counts_from_nothing_again_when_it_is_told_to() {
    let mut actor = Greeter::init(Start {}).expect("it starts");
    greet(&mut actor, "Ada");
    run(&mut actor, Forget {}).expect("it forgets");
    assert_eq!(greet(&mut actor, "Ada").greeted, 1);
}
