//! Cells and ractor actors, each handed to the other's world.

use crate::support::*;
use ractor::{Actor, ActorProcessingErr, ActorRef, ActorRuntime};
use std::sync::mpsc;
use teneral_contract::{AskError, Message, Shape, Wire};
use teneral_runtime::bridge::{Ask, Gone, Incoming, Stand, Stead};
use teneral_runtime::{ActorOptions, Start, StartArgs};

#[test]
fn a_ractor_actor_stands_for_a_cell_and_ends_with_it() {
    let world = World::new();
    let actor = world.start("a", &world.probe(1).arc());
    let stand = world.wait(Stand::start(&world.runtime, actor.clone(), 4)).expect("it starts");
    for number in 0..20 {
        world.wait(stand.tell(Put { sender: 1, number })).expect("it stands");
    }
    let (port, answer) = ractor::concurrency::oneshot();
    let ask = Ask { reply: Log::FINGERPRINT, timeout: GENEROUS, port: port.into() };
    world.wait(stand.ask(Seen, ask)).expect("it stands");
    let (shape, body) = world.wait(answer).expect("an answer").expect("a good one");
    assert_eq!(Log::decode(shape, &body).expect("a log").numbers(), (0..20).collect::<Vec<_>>());
    world.wait(actor.stop("enough", GENEROUS)).expect("it stops");
    world.wait(stand.actor().wait(None)).expect("the stand ends with it");
    assert_eq!(world.wait(stand.tell(Put { sender: 1, number: 20 })), Err(Gone::Stopped));
}

#[test]
fn stopping_the_stand_leaves_the_cell_as_it_is() {
    let world = World::new();
    let actor = world.start("a", &world.probe(1).arc());
    let stand = world.wait(Stand::start(&world.runtime, actor.clone(), 4)).expect("it starts");
    world.wait(stand.actor().stop_and_wait(None, None)).expect("it stops");
    assert!(world.seen(&actor).entries.is_empty());
}

#[derive(Debug, Message)]
enum Messages {
    Put(Put),
    Seen(Seen),
}

/// A ractor actor that remembers, and replies unless it is empty.
struct Remembers(mpsc::Sender<u32>);

impl Actor for Remembers {
    type Msg = Incoming<Messages>;
    type State = Log;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Self::Msg>, (): ()) -> Result<Log, ActorProcessingErr> {
        Ok(Log::default())
    }

    async fn handle(
        &self,
        _: ActorRef<Self::Msg>,
        incoming: Incoming<Messages>,
        log: &mut Log,
    ) -> Result<(), ActorProcessingErr> {
        match (incoming.message, incoming.reply) {
            (Messages::Put(Put { sender, number }), _) => {
                log.entries.push(Entry { sender, number, by: 0 });
                self.0.send(number)?;
            }
            (Messages::Seen(Seen), Some(reply)) if !log.entries.is_empty() => reply.send(log)?,
            (Messages::Seen(Seen), _) => {}
        }
        Ok(())
    }
}

#[test]
fn a_cell_hands_its_messages_to_a_ractor_actor_in_order_and_brings_the_reply_back() {
    let world = World::new();
    let (heard, hears) = mpsc::channel();
    let inside = world.handle().enter();
    let (target, _) = ActorRuntime::spawn_instant(None, Remembers(heard), ()).expect("it starts");
    drop(inside);
    let stead = Stead::new("remembers", "1.0.0", target.clone(), 2).expect("a kind and a version");
    let name = teneral_contract::Addr::new("remembers/a").expect("an address");
    let args = StartArgs { shape: teneral_contract::shape::fingerprint(&UNIT), bytes: Vec::new() };
    let start = Start { addr: name.clone(), provider: stead, args, options: ActorOptions::permanent() };
    let cell = world.runtime.start(start).expect("it starts");
    let silent = world.wait(cell.ask(Seen, GENEROUS));
    assert!(matches!(silent, Err(AskError::Failed(_))), "{silent:?}");
    // An actor tells it by its address, as it would any other.
    let probe = world.start("a", &world.probe(1).arc());
    let tells = world.script(move |turn| (0..10).try_for_each(|number| turn.tell(&name, &Put { sender: 1, number })));
    world.wait(probe.tell(tells)).expect("it is accepted");
    let heard: Vec<_> = (0..10).map(|_| hears.recv_timeout(GENEROUS).expect("it comes")).collect();
    assert_eq!(heard, (0..10).collect::<Vec<_>>());
    assert_eq!(world.seen(&cell).numbers(), heard);
    world.wait(target.stop_and_wait(None, None)).expect("it stops");
    let gone = world.wait(cell.ask(Seen, GENEROUS));
    assert!(matches!(gone, Err(AskError::Failed(_))), "{gone:?}");
}

const UNIT: teneral_contract::Node = teneral_contract::Node::Leaf("unit");
