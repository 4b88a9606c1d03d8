//! What may be done to a rollout when, what is kept of it, and that it is read back as it was or not at all.
#![forbid(unsafe_code)]

use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};
use rand::{Rng, SeedableRng, rngs::StdRng};
use semver::Version;
use std::collections::BTreeSet;
use teneral_rollout::{
    Act, Attributes, CODES, HISTORY_MAX, Held, Phase, Rest, Rollout, RouteError, Said, Weight, Wish,
};

const NOBODY: Held = Held { actors: 0, deferred: 0, frozen: 0 };
const SPLIT: Phase = Phase::Moving { toward: Rest::Split };
const STEADY: Phase = Phase::Moving { toward: Rest::Steady };

fn version(text: &str) -> Version {
    text.parse().unwrap()
}

fn said(who: &str) -> Said {
    Said { who: who.to_owned(), at_unix_us: 7, why: "since".to_owned() }
}

fn wish(all: &[(&str, u8)]) -> Wish {
    let weights = all.iter().map(|(text, percent)| Weight { version: version(text), percent: *percent }).collect();
    Wish { weights, rules: Vec::new(), salt: None }
}

fn steady() -> Rollout {
    Rollout::new("cart", version("1.0.0")).unwrap()
}

fn settled(rollout: &Rollout) -> Rollout {
    rollout.settle(rollout.route().parts().revision, NOBODY, 8).unwrap()
}

fn set(rollout: &Rollout, all: &[(&str, u8)]) -> Result<Option<Rollout>, RouteError> {
    rollout.set(wish(all), said("ann"))
}

fn changed(change: Result<Option<Rollout>, RouteError>) -> Rollout {
    change.unwrap().expect("it is another route")
}

/// 1.0.0 with 90 and 2.0.0 with 10, everybody there.
fn split() -> Rollout {
    settled(&changed(set(&steady(), &[("1.0.0", 90), ("2.0.0", 10)])))
}

fn typed(rollout: &Rollout) -> String {
    let each = |weight: &Weight| format!("{}={}", weight.version, weight.percent);
    rollout.route().parts().weights.iter().map(each).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_canary_grows_and_is_promoted_and_the_next_one_comes_from_there() {
    let moving = changed(set(&steady(), &[("2.0.0", 10), ("1.0.0", 90)]));
    assert_eq!((moving.phase(), typed(&moving).as_str()), (SPLIT, "1.0.0=90 2.0.0=10"));
    let ten = settled(&moving);
    assert_eq!((ten.phase(), ten.stable()), (Phase::Split, &version("1.0.0")));
    let fifty = settled(&changed(set(&ten, &[("1.0.0", 50), ("2.0.0", 50)])));
    assert_eq!(fifty.route().parts().salt, ten.route().parts().salt, "one rollout, one salt");
    let promoted = changed(fifty.promote(said("bob")));
    assert_eq!((promoted.phase(), promoted.stable()), (STEADY, &version("1.0.0")));
    let whole = settled(&promoted);
    assert_eq!(
        (whole.phase(), whole.stable(), typed(&whole).as_str()),
        (Phase::Steady, &version("2.0.0"), "2.0.0=100")
    );
    let next = changed(set(&whole, &[("2.0.0", 99), ("3.0.0", 1)]));
    assert_ne!(next.route().parts().salt, ten.route().parts().salt, "another rollout, other guinea pigs");
    assert_eq!(next.stable(), &version("2.0.0"));
}

#[test]
fn a_rollout_may_go_to_an_older_version_and_says_which_is_the_stable_one_by_who_was_there() {
    let older = changed(set(&steady(), &[("0.9.0", 20), ("1.0.0", 80)]));
    assert_eq!((older.route().stable(), older.route().canary()), (&version("1.0.0"), Some(&version("0.9.0"))));
    let all = changed(set(&steady(), &[("2.0.0", 100)]));
    assert_eq!((all.phase(), all.stable()), (STEADY, &version("1.0.0")));
    let back = changed(all.abort(said("ann")));
    assert_eq!((back.phase(), typed(&back).as_str()), (STEADY, "1.0.0=100"));
}

#[test]
fn c4_while_actors_move_a_second_change_is_refused_with_who_moves_them_and_an_abort_supersedes() {
    let moving = changed(set(&steady(), &[("1.0.0", 90), ("2.0.0", 10)]));
    let refused = set(&moving, &[("1.0.0", 50), ("2.0.0", 50)]).unwrap_err();
    assert_eq!(refused.code(), "ROUTE-MOVING");
    let found = refused.to_string();
    assert!(found.contains("1.0.0=90 2.0.0=10") && found.contains("ann") && found.contains("revision 1"), "{found}");
    assert_eq!(moving.promote(said("bob")).unwrap_err().code(), "ROUTE-MOVING");
    assert_eq!(moving.follow(version("2.0.0"), said("bob")).unwrap_err().code(), "ROUTE-MOVING");
    let aborted = changed(moving.abort(said("bob")));
    assert_eq!((aborted.phase(), typed(&aborted).as_str()), (STEADY, "1.0.0=100"));
    assert_eq!(aborted.settle(1, NOBODY, 9).unwrap_err().code(), "ROUTE-STALE", "the move that was superseded");
    assert_eq!(set(&aborted, &[("1.0.0", 90), ("2.0.0", 10)]).unwrap_err().code(), "ROUTE-MOVING");
    assert_eq!(settled(&aborted).phase(), Phase::Steady);
    let promoted = changed(split().promote(said("ann")));
    let back = settled(&changed(promoted.abort(said("bob"))));
    assert_eq!((back.phase(), back.stable()), (Phase::Steady, &version("1.0.0")), "also out of a promotion");
}

#[test]
fn the_same_again_is_no_second_change() {
    let moving = changed(set(&steady(), &[("1.0.0", 90), ("2.0.0", 10)]));
    assert_eq!(set(&moving, &[("2.0.0", 10), ("1.0.0", 90)]), Ok(None));
    assert_eq!(set(&split(), &[("1.0.0", 90), ("2.0.0", 10)]), Ok(None));
    assert_eq!(set(&steady(), &[("1.0.0", 100)]), Ok(None));
    let promoted = changed(split().promote(said("ann")));
    assert_eq!(promoted.promote(said("ann")), Ok(None));
    let aborted = changed(split().abort(said("ann")));
    assert_eq!(aborted.abort(said("ann")), Ok(None));
    assert_eq!(aborted.promote(said("ann")).unwrap_err().code(), "ROUTE-MOVING", "back is not up");
}

#[test]
fn where_nothing_is_rolled_out_there_is_nothing_to_promote_or_abort() {
    let whole = settled(&changed(split().promote(said("ann"))));
    for rollout in [steady(), whole] {
        let refused = rollout.promote(said("ann")).unwrap_err();
        assert_eq!(refused.code(), "ROUTE-STEADY");
        assert!(refused.hint().contains(&format!("route set cart {}=90", rollout.stable())), "{}", refused.hint());
        assert_eq!(rollout.abort(said("ann")).unwrap_err().code(), "ROUTE-STEADY");
        assert_eq!(rollout.settle(0, NOBODY, 1).unwrap_err().code(), "ROUTE-STALE");
    }
}

#[test]
fn a_rollout_is_between_the_version_that_is_there_and_one_other() {
    assert_eq!(set(&steady(), &[("2.0.0", 90), ("3.0.0", 10)]).unwrap_err().code(), "ROUTE-STANDING");
    for other in [&[("1.0.0", 90), ("3.0.0", 10)][..], &[("3.0.0", 100)]] {
        assert_eq!(set(&split(), other).unwrap_err().code(), "ROUTE-SPLIT");
    }
    let salted = Wish { salt: Some("elsewhere".to_owned()), ..wish(&[("1.0.0", 50), ("2.0.0", 50)]) };
    assert_eq!(split().set(salted.clone(), said("ann")).unwrap_err().code(), "ROUTE-SALT-CHANGED");
    let begun = changed(steady().set(salted, said("ann")));
    assert_eq!(begun.route().parts().salt, "elsewhere", "a rollout may begin with the salt of another host's");
}

#[test]
fn the_default_may_be_set_past_a_route_only_where_nothing_is_rolled_out() {
    assert_eq!(split().follow(version("2.0.0"), said("ann")).unwrap_err().code(), "ROUTE-SHARED");
    assert_eq!(steady().follow(version("1.0.0"), said("ann")), Ok(None));
    let followed = changed(steady().follow(version("2.0.0"), said("ann")));
    assert_eq!((followed.phase(), followed.stable()), (Phase::Steady, &version("2.0.0")));
    assert!(set(&followed, &[("2.0.0", 90), ("3.0.0", 10)]).is_ok());
}

#[test]
fn a_version_has_left_when_nothing_holds_it_any_more() {
    let promoted = changed(split().promote(said("ann")));
    let busy = Held { actors: 3, deferred: 1, frozen: 0 };
    let refused = promoted.settle(2, busy, 9).unwrap_err();
    assert_eq!(refused, RouteError::Held { kind: "cart".to_owned(), held: busy });
    assert!(refused.to_string().contains("3 actors") && refused.to_string().contains("1 of them put off"));
    let frozen = Held { frozen: 2, ..NOBODY };
    assert_eq!(promoted.settle(2, frozen, 9).unwrap_err().code(), "ROUTE-HELD");
    assert_eq!(promoted.settle(2, NOBODY, 9).unwrap().phase(), Phase::Steady);
    let growing = changed(set(&split(), &[("1.0.0", 50), ("2.0.0", 50)]));
    assert!(growing.settle(2, frozen, 9).is_ok(), "two versions that share a kind both stay");
    assert_eq!(growing.settle(2, busy, 9).unwrap_err().code(), "ROUTE-HELD");
}

#[test]
fn c4_every_change_is_kept_with_who_when_and_why_and_what_was_dropped_is_said() {
    let mut rollout = split();
    rollout = settled(&changed(rollout.abort(said("bob"))));
    let kept: Vec<_> = rollout.history().cloned().collect();
    assert_eq!(kept.iter().map(|c| (c.revision, c.act)).collect::<Vec<_>>(), [(1, Act::Set), (2, Act::Abort)]);
    assert_eq!((kept[1].said.clone(), kept[1].settled_at_unix_us), (said("bob"), Some(8)));
    assert_eq!((kept[1].from.len(), kept[1].to.len()), (2, 1));
    for round in 0..HISTORY_MAX as u64 {
        let percent = 1 + (round % 2) as u8;
        rollout = settled(&changed(set(&rollout, &[("1.0.0", 100 - percent), ("2.0.0", percent)])));
    }
    assert_eq!((rollout.history().count(), rollout.dropped()), (HISTORY_MAX, 2));
    assert_eq!(rollout.history().next().map(|change| change.revision), Some(3));
    assert_eq!(rollout.route().parts().revision, 102);
}

/// A rollout after `steps` of a random operator, who is refused now and then.
fn wandered(seed: u64, steps: usize) -> Rollout {
    let mut random = StdRng::seed_from_u64(seed);
    let mut rollout = steady();
    for _ in 0..steps {
        let percent = random.random_range(0..=100);
        let (old, new) = (random.random_range(1..4), random.random_range(1..4));
        let pair = [(format!("{old}.0.0"), 100 - percent), (format!("{new}.0.0"), percent)];
        let pair: Vec<(&str, u8)> = pair.iter().map(|(text, percent)| (text.as_str(), *percent)).collect();
        let revision = rollout.route().parts().revision;
        let next = match random.random_range(0..6) {
            0 => set(&rollout, &pair),
            1 => set(&rollout, &[(pair[0].0, 100)]),
            2 => rollout.promote(said("ann")),
            3 => rollout.abort(said("bob")),
            4 => rollout.follow(version(pair[0].0), said("eve")),
            _ => rollout.settle(revision, NOBODY, 9).map(Some),
        };
        if let Ok(Some(next)) = next {
            rollout = next;
        }
    }
    rollout
}

#[test]
fn c2_a_rollout_that_is_written_and_read_back_sends_every_key_where_it_was() {
    for seed in 0..200 {
        let rollout = wandered(seed, 40);
        let back = Rollout::decode(&rollout.encode().unwrap()).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert_eq!(back, rollout, "seed {seed}");
        for key in 0..50 {
            let key = key.to_string();
            let explained = |rollout: &Rollout| rollout.route().explain(&key, &Attributes::NONE);
            assert_eq!(explained(&back), explained(&rollout), "seed {seed}");
        }
    }
}

#[test]
fn c4_whatever_an_operator_does_an_abort_is_always_had_until_one_version_has_the_kind() {
    for seed in 0..500 {
        let rollout = wandered(seed, 30);
        match (rollout.phase(), rollout.abort(said("eve"))) {
            (Phase::Steady, Err(refused)) => assert_eq!(refused.code(), "ROUTE-STEADY", "seed {seed}"),
            (_, Ok(next)) => {
                let at = next.as_ref().unwrap_or(&rollout);
                assert_eq!((at.route().canary(), at.route().stable()), (None, rollout.stable()), "seed {seed}");
                assert_eq!(settled(at).phase(), Phase::Steady, "seed {seed}");
            }
            (phase, Err(error)) => panic!("seed {seed}: {phase:?}: {error}"),
        }
    }
}

#[test]
fn who_is_astray_is_found_whatever_stopped_the_move() {
    let promoted = changed(split().promote(said("ann")));
    let keys: Vec<String> = (0..200).map(|key| key.to_string()).collect();
    let (old, new) = (version("1.0.0"), version("2.0.0"));
    let at = |key: &String| if key.len() < 3 { &new } else { &old };
    let none = Attributes::NONE;
    let running = || keys.iter().map(|key| (key.as_str(), &none, at(key)));
    let up = promoted.astray(running());
    assert_eq!(up.len(), 100);
    assert!(up.iter().all(|shift| shift.from == old) && up.is_sorted_by_key(|shift| shift.to.bucket));
    let down = changed(promoted.abort(said("bob"))).astray(running());
    assert_eq!(down.len(), 100);
    assert!(down.iter().all(|s| s.from == new) && down.is_sorted_by(|a, b| a.to.bucket >= b.to.bucket));
}

#[test]
fn c5_a_kept_route_with_a_flipped_bit_or_a_lost_end_is_refused() {
    let whole = wandered(3, 40).encode().unwrap();
    for bit in 0..whole.len() * 8 {
        let mut bent = whole.clone();
        bent[bit / 8] ^= 1 << (bit % 8);
        let code = Rollout::decode(&bent).unwrap_err().code();
        assert_eq!(code, if bent[0] > 1 { "ROUTE-NEWER" } else { "ROUTE-CORRUPT" }, "bit {bit}");
    }
    for end in 0..whole.len() {
        assert_eq!(Rollout::decode(&whole[..end]).unwrap_err().code(), "ROUTE-CORRUPT", "cut at {end}");
    }
}

/// With the checksum made right, so that what it says is looked at: a checksum is no proof of sense.
fn resealed(body: &[u8]) -> Vec<u8> {
    use sha2::Digest;
    let sum: [u8; 32] = sha2::Sha256::digest(body).into();
    [&[1][..], &sum[..16], body].concat()
}

#[test]
fn what_no_sequence_of_changes_could_have_made_is_refused_however_it_is_sealed() {
    let body = String::from_utf8(split().encode().unwrap()[17..].to_vec()).unwrap();
    assert!(Rollout::decode(&resealed(body.as_bytes())).is_ok());
    for (from, to) in [
        (r#""percent":90"#, r#""percent":91"#),
        (r#""stable":"1.0.0""#, r#""stable":"2.0.0""#),
        (r#""stable":"1.0.0""#, r#""stable":"one""#),
        (r#""phase":"split""#, r#""phase":"steady""#),
        (r#""dropped":0"#, r#""dropped":1"#),
        (r#""dropped":0"#, r#""dropped":18446744073709551615"#),
        (r#""revision":1"#, r#""revision":2"#),
        (r#""kind":"cart""#, r#""kind":"""#),
        (r#""kind":"cart""#, r#""kind":"cart","more":1"#),
    ] {
        let bent = body.replacen(from, to, 1);
        assert_ne!(bent, body, "{from}");
        assert_eq!(Rollout::decode(&resealed(bent.as_bytes())).map_err(|e| e.code()), Err("ROUTE-CORRUPT"), "{to}");
    }
}

/// The same in every run; nothing is written beside the sources.
fn seeded() -> Config {
    Config { rng_seed: RngSeed::Fixed(7), failure_persistence: None, ..Config::default() }
}

proptest! {
    #![proptest_config(seeded())]

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), seed in 0_u64..20) {
        prop_assert!(Rollout::decode(&bytes).is_err());
        prop_assert!(Rollout::decode(&resealed(&bytes)).is_err());
        // Real JSON with some of it overwritten: what is read all the same is a rollout that can be used.
        let mut body = wandered(seed, 12).encode().unwrap()[17..].to_vec();
        for (place, byte) in bytes.iter().take(3).enumerate() {
            let at = (usize::from(*byte) * 131 + place * 977) % body.len();
            body[at] = *bytes.last().unwrap_or(&b'0');
        }
        if let Ok(read) = Rollout::decode(&resealed(&body)) {
            prop_assert_eq!(&Rollout::decode(&read.encode().unwrap()).unwrap(), &read);
            _ = read.abort(said("ann"));
            _ = read.route().explain("7", &Attributes::NONE);
        }
    }
}

#[test]
fn every_code_has_one_title_and_every_refusal_a_code_of_the_list() {
    let codes: BTreeSet<_> = CODES.iter().map(|(code, _)| code).collect();
    let titles: BTreeSet<_> = CODES.iter().map(|(_, title)| title).collect();
    assert_eq!((codes.len(), titles.len()), (CODES.len(), CODES.len()));
    assert!(CODES.is_sorted());
    for error in
        [RouteError::Empty, RouteError::Key, RouteError::Revisions, Rollout::new("", version("1.0.0")).unwrap_err()]
    {
        assert!(codes.contains(&error.code()) && !error.hint().is_empty() && !error.now().is_empty());
    }
}
