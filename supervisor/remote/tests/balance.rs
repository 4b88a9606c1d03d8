//! The balancer, as a function: what may be chosen, who is, for how long whom it is held against that its work failed,
//! and how much is done twice.
#![forbid(unsafe_code)]

use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use teneral_remote::balance::{
    Balancer, EndpointId, Event, Health, Outcome, OutlierPolicy, Policy, RetryBudget, RetryPolicy, Standing, Strategy,
    Told, key_of,
};

const START: Duration = Duration::from_secs(1000);

/// Long after whoever came at the start had a slow one.
const LATER: Duration = Duration::from_secs(1010);

fn of(strategy: Strategy, weights: &[u32]) -> Balancer {
    with(Policy { strategy, ..Policy::standard() }, weights)
}

fn with(policy: Policy, weights: &[u32]) -> Balancer {
    let mut balancer = Balancer::new(policy, 7);
    for (number, weight) in (1..).zip(weights) {
        balancer.on(joined(number, *weight), START);
    }
    balancer
}

fn joined(number: u64, weight: u32) -> Event {
    Event::Joined { endpoint: EndpointId(number), name: format!("endpoint {number}"), weight }
}

fn anybody(_: EndpointId) -> bool {
    true
}

#[track_caller]
fn chosen(balancer: &mut Balancer, now: Duration) -> u64 {
    balancer.choose(0, now, anybody).expect("there is one").0
}

fn fails(balancer: &mut Balancer, number: u64, times: usize, now: Duration) -> Vec<Told> {
    let mut told = Vec::new();
    for _ in 0..times {
        balancer.on(Event::Began(EndpointId(number)), now);
        told.extend(balancer.on(Event::Ended(EndpointId(number), Outcome::Failed), now));
    }
    told
}

fn standing(balancer: &Balancer, number: u64, now: Duration) -> Standing {
    let seen = balancer.seen(now).into_iter().find(|seen| seen.endpoint == EndpointId(number));
    seen.expect("it is there").standing
}

fn pending(balancer: &Balancer, number: u64) -> usize {
    let seen = balancer.seen(LATER).into_iter().find(|seen| seen.endpoint == EndpointId(number));
    seen.expect("it is there").pending
}

#[test]
fn p20_of_two_by_chance_the_one_with_less_pending_is_chosen() {
    let mut balancer = of(Strategy::TwoChoices, &[1, 1]);
    // One of the two does not come to an end with anything.
    for _ in 0..500 {
        if chosen(&mut balancer, LATER) == 2 {
            balancer.on(Event::Ended(EndpointId(2), Outcome::Answered), LATER);
        }
    }
    assert_eq!(pending(&balancer, 1), 1, "it has got one piece of work, and no more while the other one is free");
    let mut balancer = of(Strategy::TwoChoices, &[1; 10]);
    for _ in 0..1000 {
        chosen(&mut balancer, LATER);
    }
    let most = (1..=10).map(|number| pending(&balancer, number)).max();
    assert!(most <= Some(105), "of a thousand pieces none of ten has many more than a hundred: {most:?}");
}

#[test]
fn p20_a_weight_counts_in_two_choices_as_well() {
    let mut balancer = of(Strategy::TwoChoices, &[3, 1]);
    for _ in 0..400 {
        chosen(&mut balancer, LATER);
    }
    assert!((295..=305).contains(&pending(&balancer, 1)), "{}", pending(&balancer, 1));
}

#[test]
fn one_after_the_other_is_chosen_and_as_often_as_its_weight_says() {
    let mut balancer = of(Strategy::RoundRobin, &[5, 1, 1]);
    let six: Vec<u64> = (0..6).map(|_| chosen(&mut balancer, LATER)).collect();
    assert_eq!(six, [1, 2, 3, 1, 2, 3], "weights do not count");
    let mut balancer = of(Strategy::Weighted, &[5, 1, 1]);
    let seven: Vec<u64> = (0..7).map(|_| chosen(&mut balancer, LATER)).collect();
    assert_eq!(seven, [1, 1, 2, 1, 3, 1, 1], "smoothly: as nginx has it");
}

#[test]
fn p21_a_key_has_the_endpoint_that_it_had_in_every_version_of_this_program() {
    let mut balancer = of(Strategy::Hash, &[1, 1, 1, 1]);
    let mut choose = |key: &str| balancer.choose(key_of(key.as_bytes()), LATER, anybody).expect("there is one").0;
    let found: Vec<u64> = ["", "a", "b", "web-1", "web-2", "web-3", "log/7", "\u{fc}"].map(&mut choose).to_vec();
    // As another program has them, which is written from the comments in strategy.rs.
    assert_eq!(found, [3, 2, 1, 4, 3, 4, 4, 4], "whoever changes the hash moves everybody's keys");
    assert_eq!([key_of(b""), key_of(b"web-1")], [0x08c6_cf75_4507_2008, 0x74f0_affc_8889_e377]);
}

#[test]
fn who_drains_gets_no_new_work_and_is_said_to_be_empty_once_it_is() {
    let mut balancer = of(Strategy::RoundRobin, &[1, 1]);
    while pending(&balancer, 1) < 2 {
        chosen(&mut balancer, LATER);
    }
    assert_eq!(balancer.on(Event::Drains(EndpointId(1)), LATER), [], "something is pending there");
    assert_eq!((0..10).map(|_| chosen(&mut balancer, LATER)).collect::<BTreeSet<_>>(), BTreeSet::from([2]));
    assert_eq!(balancer.on(Event::Ended(EndpointId(1), Outcome::Answered), LATER), []);
    let emptied = [Told::Emptied(EndpointId(1))];
    assert_eq!(balancer.on(Event::Ended(EndpointId(1), Outcome::GivenUp), LATER), emptied);
    let mut balancer = of(Strategy::RoundRobin, &[1]);
    assert_eq!(balancer.on(Event::Drains(EndpointId(1)), LATER), emptied, "nothing was there");
    assert_eq!(balancer.on(Event::Drains(EndpointId(1)), LATER), [], "it is said once");
    assert_eq!(balancer.choose(0, LATER, anybody), None, "there is nobody else");
}

#[test]
fn who_comes_gets_less_than_its_share_at_first_and_all_of_it_in_the_end() {
    let mut balancer = of(Strategy::RoundRobin, &[1]);
    balancer.on(joined(2, 1), LATER);
    assert_eq!(standing(&balancer, 2, LATER), Standing::SlowStart { percent: 10 });
    let mut of_ten = |now| (0..11).filter(|_| chosen(&mut balancer, now) == 2).count();
    assert_eq!(of_ten(LATER), 1, "a tenth of what the other one gets");
    assert_eq!(of_ten(LATER + Duration::from_secs(1)), 4, "half of it, after half of the time");
    assert_eq!(standing(&balancer, 2, LATER + Duration::from_secs(2)), Standing::Serving);
}

#[test]
fn p22_whose_work_fails_is_ejected_for_longer_each_time_and_forgiven_when_it_is_good() {
    let mut balancer = of(Strategy::RoundRobin, &[1, 1]);
    assert_eq!(fails(&mut balancer, 1, 4, LATER), []);
    balancer.on(Event::Ended(EndpointId(1), Outcome::Answered), LATER);
    assert_eq!(fails(&mut balancer, 1, 4, LATER), [], "one that was answered begins the row anew");
    let mut now = LATER + Duration::from_secs(60);
    for seconds in [1, 2, 3] {
        let until = now + Duration::from_secs(seconds);
        assert_eq!(fails(&mut balancer, 1, 5, now), [Told::Ejected(EndpointId(1), until)]);
        assert_eq!(standing(&balancer, 1, now), Standing::Ejected { until });
        assert_eq!((0..5).map(|_| chosen(&mut balancer, now)).collect::<BTreeSet<_>>(), BTreeSet::from([2]));
        now = until;
        assert_eq!(standing(&balancer, 1, now), Standing::SlowStart { percent: 10 }, "it is tried again, gently");
    }
    now += Duration::from_secs(600);
    let until = now + Duration::from_secs(1);
    assert_eq!(fails(&mut balancer, 1, 5, now), [Told::Ejected(EndpointId(1), until)]);
}

#[test]
fn p22_half_of_what_it_did_failing_ejects_as_well_and_little_work_says_nothing() {
    let mut balancer = of(Strategy::RoundRobin, &[1, 1]);
    let mut told = Vec::new();
    for number in 0..19 {
        let outcome = if number % 2 == 0 { Outcome::Failed } else { Outcome::Answered };
        told.extend(balancer.on(Event::Ended(EndpointId(1), outcome), LATER));
    }
    assert_eq!(told, [], "nineteen are too few");
    let until = LATER + Duration::from_secs(1);
    let twentieth = balancer.on(Event::Ended(EndpointId(1), Outcome::Answered), LATER);
    assert_eq!(twentieth, [Told::Ejected(EndpointId(1), until)]);
}

#[test]
fn p22_no_more_than_the_stated_share_is_ejected() {
    let mut balancer = of(Strategy::TwoChoices, &[1; 5]);
    let ejected: usize = (1..=5).map(|number| fails(&mut balancer, number, 20, LATER).len()).sum();
    assert_eq!(ejected, 2, "two of five are forty percent, three would be sixty");
    let mut balancer = of(Strategy::TwoChoices, &[1]);
    assert_eq!(fails(&mut balancer, 1, 20, LATER), [], "the only one stays");
}

#[test]
fn p22_when_most_are_said_to_be_ill_all_are_chosen_from_but_never_who_is_gone() {
    let mut balancer = of(Strategy::RoundRobin, &[1; 4]);
    let mut look = |numbers: &[u64], health| {
        for number in numbers {
            balancer.on(Event::Looked(EndpointId(*number), health), LATER);
        }
        (0..40).filter_map(|_| balancer.choose(0, LATER, anybody)).map(|id| id.0).collect::<BTreeSet<_>>()
    };
    assert_eq!(look(&[1, 2], Health::NotServing), BTreeSet::from([3, 4]), "half are well");
    assert_eq!(look(&[3], Health::NotServing), BTreeSet::from([1, 2, 3, 4]), "a quarter is: nobody believes that");
    assert_eq!(look(&[3, 4], Health::Gone), BTreeSet::from([1, 2]), "a fact is a fact");
    assert_eq!(look(&[1, 2], Health::Gone), BTreeSet::new());
    assert_eq!(look(&[4], Health::Serving), BTreeSet::from([4]));
}

#[test]
fn what_is_not_usable_for_a_piece_of_work_is_not_chosen_for_it() {
    let mut balancer = of(Strategy::TwoChoices, &[1; 3]);
    for _ in 0..20 {
        assert_eq!(balancer.choose(0, LATER, |id| id.0 == 2), Some(EndpointId(2)));
    }
    assert_eq!(balancer.choose(0, LATER, |_| false), None);
    assert!(balancer.could_choose(LATER, |id| id.0 == 2));
    assert!(!balancer.could_choose(LATER, |_| false));
}

#[test]
fn there_are_no_more_endpoints_than_there_may_be_and_what_is_unknown_is_nothing() {
    let mut balancer = with(Policy { endpoints_max: 2, ..Policy::standard() }, &[1, 1]);
    assert_eq!(balancer.on(joined(3, 1), LATER), [Told::TooMany(EndpointId(3))]);
    assert_eq!(balancer.on(joined(2, 4), LATER), [], "it is there already");
    balancer.on(Event::Left(EndpointId(1)), LATER);
    assert_eq!(balancer.on(joined(3, 1), LATER), []);
    let stranger = EndpointId(9);
    for event in [Event::Left(stranger), Event::Drains(stranger), Event::Ended(stranger, Outcome::Failed)] {
        assert_eq!(balancer.on(event, LATER), []);
    }
}

#[test]
fn p23_what_is_done_twice_is_a_share_of_the_calls_and_a_floor_for_whoever_calls_seldom() {
    let mut budget = RetryBudget::new(RetryPolicy::standard());
    let had = |now: Duration, budget: &mut RetryBudget| (0..10_000).filter(|_| budget.retry(now)).count();
    assert_eq!(had(START, &mut budget), 100, "ten a second for ten seconds");
    for _ in 0..1000 {
        budget.called(START);
    }
    assert_eq!(had(START, &mut budget), 200, "a fifth of the calls besides");
    assert_eq!(had(START + Duration::from_secs(5), &mut budget), 0);
    assert_eq!(had(START + Duration::from_secs(20), &mut budget), 100, "what is long ago does not count");
}

/// What may happen to a balancer.
fn events() -> impl proptest::strategy::Strategy<Value = Vec<(u8, u64, u64)>> {
    prop::collection::vec((0_u8..9, 1_u64..6, 0_u64..3000), 1..200)
}

/// The same as a plain account: who has what pending, who is there.
#[derive(Default)]
struct Account {
    pending: BTreeMap<u64, usize>,
    drains: BTreeSet<u64>,
    gone: BTreeSet<u64>,
    failed: BTreeSet<u64>,
}

impl Account {
    /// One event, to the balancer and to the account.
    fn step(&mut self, balancer: &mut Balancer, (what, number, passes): (u8, u64, u64), now: Duration) {
        let id = EndpointId(number);
        let is_there = self.pending.contains_key(&number);
        match what {
            0 => {
                balancer.on(joined(number, (passes % 5) as u32), now);
                self.pending.entry(number).or_default();
            }
            1 => {
                balancer.on(Event::Left(id), now);
                self.pending.remove(&number);
                self.drains.remove(&number);
                self.gone.remove(&number);
            }
            2 if is_there => {
                let told = balancer.on(Event::Drains(id), now);
                let is_new = self.drains.insert(number);
                assert_eq!(told.len(), usize::from(is_new && self.pending[&number] == 0));
            }
            3 | 4 if self.pending.get(&number).is_some_and(|pending| *pending > 0) => {
                let outcome = if what == 3 { Outcome::Answered } else { Outcome::Failed };
                if what == 4 {
                    self.failed.insert(number);
                }
                let told = balancer.on(Event::Ended(id, outcome), now);
                let left = self.pending.get_mut(&number).expect("it is there");
                *left -= 1;
                let empty = self.drains.contains(&number) && *left == 0;
                assert_eq!(told.contains(&Told::Emptied(id)), empty);
            }
            5 => {
                balancer.on(Event::Looked(id, Health::Gone), now);
                if is_there {
                    self.gone.insert(number);
                }
            }
            6 => {
                balancer.on(Event::Looked(id, Health::Serving), now);
                self.gone.remove(&number);
            }
            _ => self.chooses(balancer, passes, now),
        }
    }

    fn chooses(&mut self, balancer: &mut Balancer, key: u64, now: Duration) {
        let is_open = |number: &u64| !self.drains.contains(number) && !self.gone.contains(number);
        let open: BTreeSet<u64> = self.pending.keys().copied().filter(is_open).collect();
        match balancer.choose(key, now, anybody) {
            Some(EndpointId(chosen)) => {
                assert!(open.contains(&chosen), "{chosen} of {open:?}");
                *self.pending.get_mut(&chosen).expect("it is there") += 1;
            }
            None => assert!(open.is_empty(), "somebody could be chosen: {open:?}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn p20_whatever_happens_nobody_is_chosen_who_drains_or_is_gone_and_the_account_of_what_is_pending_is_right(
        strategy in prop::sample::select(vec![
            Strategy::TwoChoices, Strategy::RoundRobin, Strategy::Weighted, Strategy::Hash,
        ]),
        events in events(),
        seed in any::<u64>(),
    ) {
        let mut balancer = Balancer::new(Policy { strategy, ..Policy::standard() }, seed);
        let (mut account, mut now) = (Account::default(), START);
        for (what, number, passes) in events {
            now += Duration::from_millis(passes);
            account.step(&mut balancer, (what, number, passes), now);
            let seen: BTreeMap<u64, usize> =
                balancer.seen(now).into_iter().map(|seen| (seen.endpoint.0, seen.pending)).collect();
            prop_assert_eq!(&seen, &account.pending);
            let ejected = balancer.seen(now).iter().filter(|s| matches!(s.standing, Standing::Ejected { .. })).count();
            prop_assert!(ejected <= account.failed.len(), "nobody is ejected who failed nothing");
        }
    }

    #[test]
    fn p21_when_an_endpoint_comes_or_goes_only_its_own_keys_move(
        count in 2_u64..12, gone in any::<u64>(), seed in any::<u64>(),
    ) {
        let gone = EndpointId(1 + gone % count);
        let mut balancer = of(Strategy::Hash, &vec![1; count as usize]);
        let keys: Vec<u64> = (0..400).map(|number: u64| key_of(&(seed ^ number).to_le_bytes())).collect();
        let all = |balancer: &mut Balancer| -> Vec<EndpointId> {
            keys.iter().map(|key| balancer.choose(*key, LATER, anybody).expect("there is one")).collect()
        };
        let before = all(&mut balancer);
        balancer.on(Event::Looked(gone, Health::Gone), LATER);
        for (was, is) in before.iter().zip(all(&mut balancer)) {
            prop_assert!(is != gone && (*was == is || *was == gone), "{:?} {:?}", was, is);
        }
        balancer.on(Event::Looked(gone, Health::Serving), LATER);
        prop_assert_eq!(&all(&mut balancer), &before, "and they come back to it");
        let share = before.iter().filter(|id| **id == gone).count() as f64 / 400.0 * count as f64;
        prop_assert!((0.3..2.0).contains(&share), "each has about its share: {}", share);
    }

    #[test]
    fn each_is_chosen_exactly_as_often_as_its_weight_says(weights in prop::collection::vec(1_u32..20, 1..8)) {
        let mut balancer = of(Strategy::Weighted, &weights);
        let whole: u32 = weights.iter().sum();
        for _ in 0..3 {
            let mut counts = vec![0_u32; weights.len()];
            for _ in 0..whole {
                counts[chosen(&mut balancer, LATER) as usize - 1] += 1;
            }
            prop_assert_eq!(&counts, &weights);
        }
    }

    #[test]
    fn the_same_events_at_the_same_times_give_the_same_choices(
        seed in any::<u64>(), ends in prop::collection::vec(any::<bool>(), 1..100),
    ) {
        let run = || {
            let mut balancer = Balancer::new(Policy::standard(), seed);
            (1..=4).for_each(|number| drop(balancer.on(joined(number, 1), START)));
            let choices: Vec<_> = ends.iter().map(|ends| {
                let chosen = balancer.choose(0, LATER, anybody);
                if let Some(chosen) = chosen.filter(|_| *ends) {
                    balancer.on(Event::Ended(chosen, Outcome::Failed), LATER);
                }
                chosen
            }).collect();
            choices
        };
        prop_assert_eq!(run(), run());
    }

    #[test]
    fn p22_a_share_of_those_who_are_there_is_never_passed(
        count in 1_u64..20, percent in 0_u32..=100, fail in prop::collection::vec((1_u64..20, 0_u64..2000), 1..200),
    ) {
        let standard = OutlierPolicy::standard();
        let outliers = OutlierPolicy { ejected_percent_max: percent, consecutive_failures: 1, ..standard };
        let mut balancer = with(Policy { outliers, ..Policy::standard() }, &vec![1; count as usize]);
        let mut now = LATER;
        for (number, passes) in fail {
            now += Duration::from_millis(passes);
            fails(&mut balancer, number, 1, now);
            let ejected = balancer.seen(now).iter().filter(|s| matches!(s.standing, Standing::Ejected { .. })).count();
            prop_assert!(ejected as u64 * 100 <= count * u64::from(percent), "{} of {}", ejected, count);
        }
    }

    #[test]
    fn p23_within_any_window_no_more_is_done_twice_than_its_share_and_its_floor(
        steps in prop::collection::vec((0_u64..400, any::<bool>()), 1..400),
        percent in 0_u32..50, floor in 0_u32..5,
    ) {
        let policy = RetryPolicy { percent, floor_per_second: floor, window: Duration::from_secs(10) };
        let (mut budget, mut now) = (RetryBudget::new(policy), START);
        let (mut calls, mut retries): (Vec<Duration>, Vec<Duration>) = (Vec::new(), Vec::new());
        for (passes, calls_now) in steps {
            now += Duration::from_millis(passes);
            if calls_now {
                budget.called(now);
                calls.push(now);
            } else if budget.retry(now) {
                retries.push(now);
                // Nine slots and what is over of the tenth are looked at; never more than ten.
                let within = |times: &[Duration], window| times.iter().filter(|at| now - **at < window).count() as u64;
                let done = within(&retries, Duration::from_secs(9));
                let may = u64::from(floor) * 10 + within(&calls, Duration::from_secs(10)) * u64::from(percent) / 100;
                prop_assert!(done <= may, "{} retries, {} may be", done, may);
            }
        }
    }
}
