//! Which version a key gets, and who moves when that changes.
#![forbid(unsafe_code)]

use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};
use rand::{Rng, SeedableRng, rngs::StdRng};
use semver::Version;
use std::collections::{BTreeMap, BTreeSet};
use teneral_rollout::{
    Attribute, Attributes, BUCKETS, By, Parts, Route, RouteError, Rule, Said, Weight, bucket, difference,
};

fn version(text: &str) -> Version {
    text.parse().unwrap()
}

fn weights(all: &[(&str, u8)]) -> Vec<Weight> {
    all.iter().map(|(text, percent)| Weight { version: version(text), percent: *percent }).collect()
}

fn parts(salt: &str, all: &[(&str, u8)], rules: &[Rule]) -> Parts {
    let said = Said { who: "ann".to_owned(), at_unix_us: 1, why: "a try".to_owned() };
    Parts { revision: 1, salt: salt.to_owned(), weights: weights(all), rules: rules.to_vec(), said }
}

fn route(salt: &str, all: &[(&str, u8)]) -> Route {
    Route::new(parts(salt, all, &[])).unwrap()
}

/// 1.0.0 and 2.0.0, the newer one with so many percent.
fn canary(salt: &str, percent: u8) -> Route {
    route(salt, &[("1.0.0", 100 - percent), ("2.0.0", percent)])
}

fn rule(attribute: &str, value: &str, to: &str) -> Rule {
    Rule { attribute: attribute.parse().unwrap(), value: value.to_owned(), version: version(to) }
}

fn known(all: &[(&str, &str)]) -> Attributes {
    let all: BTreeMap<Attribute, String> =
        all.iter().map(|(name, value)| (name.parse().unwrap(), (*value).to_owned())).collect();
    all.try_into().unwrap()
}

/// So many keys of many forms, the same for the same seed.
fn keys(seed: u64, count: usize) -> Vec<String> {
    let mut random = StdRng::seed_from_u64(seed);
    let form = |at: usize, number: u64| match at % 3 {
        0 => format!("{at}"),
        1 => format!("user-{number:x}@example.org"),
        _ => format!("{number}"),
    };
    (0..count).map(|at| form(at, random.random())).collect()
}

fn on_canary<'a>(route: &Route, keys: &'a [String]) -> BTreeSet<&'a str> {
    let newer = version("2.0.0");
    keys.iter().map(String::as_str).filter(|key| *route.version_of(key, &Attributes::NONE) == newer).collect()
}

const ANNS: &str = "cart/2.0.0/1";

/// docs/canary.md has the same ones; they may never change.
#[test]
fn c2_a_key_has_the_bucket_that_anybodys_sha256_gives_it() {
    let vectors = [
        (ANNS, "ann", 8506),
        (ANNS, "bob", 534),
        (ANNS, "7", 7236),
        (ANNS, "ann@example.org", 4333),
        ("cart/2.0.0/3", "ann", 3453),
        ("cart/2.0.0/3", "7", 1674),
        ("a", "bc", 8685),
        ("ab", "c", 7811),
        ("éclair", "žlutý", 4340),
    ];
    let document = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/canary.md")).unwrap();
    for (salt, key, expected) in vectors {
        assert_eq!(bucket(salt, key), expected, "{salt} {key}");
        assert!(document.contains(&format!("| `{salt}` | `{key}` | {expected} |")), "docs/canary.md has {salt} {key}");
    }
}

/// The same in every run; nothing is written beside the sources.
fn seeded() -> Config {
    Config { rng_seed: RngSeed::Fixed(7), failure_persistence: None, ..Config::default() }
}

proptest! {
    #![proptest_config(seeded())]

    #[test]
    fn c1_a_growing_canary_keeps_whom_it_has_and_a_shrinking_one_gives_back_the_last_first(
        salt in "[a-z0-9/.]{1,20}",
        key in "[^\\p{Cc}]{1,40}",
        (less, more) in (0_u8..=100).prop_flat_map(|more| (0..=more, Just(more))),
    ) {
        let (small, large) = (canary(&salt, less), canary(&salt, more));
        let newer = version("2.0.0");
        let has = |route: &Route| *route.version_of(&key, &Attributes::NONE) == newer;
        prop_assert!(!has(&small) || has(&large), "{key} was taken at {less} % and given back at {more} %");
        let place = bucket(&salt, &key);
        prop_assert_eq!(has(&small), place < u16::from(less) * 100);
        prop_assert_eq!(has(&large), place < u16::from(more) * 100);
    }

    #[test]
    fn what_explain_says_is_what_a_key_gets(
        key in "[^\\p{Cc}]{1,40}",
        percent in 0_u8..=100,
        tenant in proptest::option::of("[a-c]"),
    ) {
        let rules = [rule("tenant", "a", "2.0.0"), rule("tenant", "b", "1.0.0"), rule("key", "7", "2.0.0")];
        let shares = [("1.0.0", 100 - percent), ("2.0.0", percent)];
        let route = Route::new(parts("s", &shares, &rules)).unwrap();
        let known = tenant.as_deref().map_or(Attributes::NONE, |tenant| known(&[("tenant", tenant)]));
        let said = route.explain(&key, &known);
        prop_assert_eq!(&said.version, route.version_of(&key, &known));
        prop_assert_eq!(said.bucket, bucket("s", &key));
        match said.by {
            By::Rule { number, rule } => prop_assert_eq!(&rule, &rules[number - 1]),
            By::Bucket { first, last } => prop_assert!((first..=last).contains(&said.bucket) && last < BUCKETS),
        }
    }
}

/// Six standard deviations of a binomial: a hash that deals evenly is past them once in a thousand million times, and
/// these keys are the same in every run.
fn within(found: usize, of: usize, share: f64) -> bool {
    let (n, found) = (of as f64, found as f64);
    (found - n * share).abs() <= 6.0 * (n * share * (1.0 - share)).sqrt()
}

#[test]
fn c3_a_canary_gets_its_share_of_the_keys() {
    let keys = keys(1, 20_000);
    for (salt, percent) in [("a", 1), ("b", 10), ("c", 33), ("d", 50), ("e", 90), (ANNS, 10)] {
        let got = on_canary(&canary(salt, percent), &keys).len();
        assert!(within(got, keys.len(), f64::from(percent) / 100.0), "{percent} % with {salt}: {got}");
    }
    assert!(on_canary(&canary("a", 0), &keys).is_empty());
    assert_eq!(on_canary(&canary("a", 100), &keys).len(), keys.len());
    let used: BTreeSet<u16> = keys.iter().map(|key| bucket("a", key)).collect();
    assert!(used.len() > 8_000, "nearly every bucket is used: {}", used.len());
}

#[test]
fn c3_who_goes_first_in_one_rollout_says_nothing_of_the_next() {
    let keys = keys(2, 20_000);
    let first = on_canary(&canary("cart/2.0.0/1", 10), &keys);
    let second = on_canary(&canary("cart/3.0.0/4", 10), &keys);
    let both = first.intersection(&second).count();
    assert!(within(both, keys.len(), 0.01), "a tenth of a tenth is in both: {both}");
}

#[test]
fn the_first_rule_that_matches_decides_before_any_bucket() {
    let rules = [
        rule("header:X-Ring", "beta", "2.0.0"),
        rule("tenant", "acme", "1.0.0"),
        rule("key", "7", "2.0.0"),
        rule("tenant", "initech", "2.0.0"),
    ];
    let route = Route::new(parts("s", &[("1.0.0", 100), ("2.0.0", 0)], &rules)).unwrap();
    let number = |key: &str, known: &Attributes| match route.explain(key, known).by {
        By::Rule { number, .. } => Some(number),
        By::Bucket { .. } => None,
    };
    assert_eq!(number("7", &known(&[("header:x-ring", "beta"), ("tenant", "acme")])), Some(1));
    assert_eq!(number("7", &known(&[("tenant", "acme")])), Some(2));
    assert_eq!(number("7", &Attributes::NONE), Some(3));
    assert_eq!(number("8", &known(&[("tenant", "initech")])), Some(4));
    assert_eq!(number("8", &known(&[("tenant", "Initech")])), None, "a value is compared to the byte");
    assert_eq!(number("8", &known(&[("header:x-other", "beta")])), None);
    let said = route.explain("8", &Attributes::NONE);
    assert_eq!((said.version, said.by), (version("1.0.0"), By::Bucket { first: 0, last: 9_999 }));
}

#[test]
fn a_change_names_exactly_those_whose_version_changes() {
    let keys = keys(3, 3_000);
    let none = Attributes::NONE;
    let all = || keys.iter().map(|key| (key.as_str(), &none));
    let (ten, fifty) = (canary("s", 10), canary("s", 50));
    assert!(difference(&ten, &ten, all()).is_empty());
    let moved = difference(&ten, &fifty, all());
    let (before, after) = (on_canary(&ten, &keys), on_canary(&fifty, &keys));
    let expected: BTreeSet<&str> = after.difference(&before).copied().collect();
    assert_eq!(moved.iter().map(|shift| shift.key.as_str()).collect::<BTreeSet<_>>(), expected);
    assert_eq!(moved.len(), expected.len(), "each once");
    for shift in &moved {
        assert_eq!((&shift.from, &shift.to.version), (&version("1.0.0"), &version("2.0.0")));
    }
}

/// At any moment of a move the canary has what some weight between the two would give it.
#[test]
fn a_move_goes_up_and_down_in_the_order_of_buckets() {
    let keys = keys(4, 3_000);
    let none = Attributes::NONE;
    let all = || keys.iter().map(|key| (key.as_str(), &none));
    let (ten, fifty, whole) = (canary("s", 10), canary("s", 50), route("s", &[("2.0.0", 100)]));
    let buckets = |old: &Route, new: &Route| -> Vec<u16> {
        difference(old, new, all()).iter().map(|shift| shift.to.bucket).collect()
    };
    let (up, down) = (buckets(&ten, &fifty), buckets(&fifty, &ten));
    assert!(up.is_sorted() && !up.is_empty());
    assert!(down.is_sorted_by(|a, b| a >= b) && down.len() == up.len());
    assert!(buckets(&fifty, &whole).is_sorted(), "a promotion goes on where the canary ends");
    assert!(buckets(&fifty, &route("s", &[("1.0.0", 100)])).is_sorted_by(|a, b| a >= b));
}

#[test]
fn those_who_leave_the_canary_go_first() {
    let keys = keys(5, 500);
    let tenants = [known(&[("tenant", "acme")]), Attributes::NONE];
    let all = || keys.iter().enumerate().map(|(at, key)| (key.as_str(), &tenants[at % 2]));
    let away = Route::new(parts("s", &[("1.0.0", 50), ("2.0.0", 50)], &[rule("tenant", "acme", "1.0.0")])).unwrap();
    let moved = difference(&canary("s", 30), &away, all());
    let newer = version("2.0.0");
    assert!(moved.is_sorted_by_key(|shift| shift.to.version == newer));
    assert!(moved.iter().any(|s| s.to.version == newer) && moved.iter().any(|s| s.to.version != newer));
}

#[test]
fn a_route_that_cannot_be_meant_is_refused_with_what_is_wrong_with_it() {
    let code = |parts: Parts| Route::new(parts).unwrap_err().code();
    let half = [("1.0.0", 50), ("2.0.0", 50)];
    assert_eq!(code(parts("s", &[], &[])), "ROUTE-EMPTY");
    assert_eq!(code(parts("s", &[("1.0.0", 90), ("2.0.0", 9)], &[])), "ROUTE-SUM");
    assert_eq!(code(parts("s", &[("1.0.0", 255), ("2.0.0", 255)], &[])), "ROUTE-SUM");
    assert_eq!(code(parts("s", &[("1.0.0", 50), ("1.0.0", 50)], &[])), "ROUTE-TWICE");
    assert_eq!(code(parts("s", &[("1.0.0", 50), ("2.0.0", 25), ("3.0.0", 25)], &[])), "ROUTE-VERSIONS");
    assert_eq!(code(parts("", &half, &[])), "ROUTE-SALT");
    assert_eq!(code(parts("a\0", &half, &[])), "ROUTE-SALT");
    assert_eq!(code(parts(&"s".repeat(257), &half, &[])), "ROUTE-SALT");
    assert_eq!(code(parts("s", &half, &[rule("tenant", "acme", "3.0.0")])), "ROUTE-RULE-VERSION");
    let twice = [rule("tenant", "acme", "1.0.0"), rule("tenant", "acme", "2.0.0")];
    assert_eq!(code(parts("s", &half, &twice)), "ROUTE-RULE-TWICE");
    assert_eq!(code(parts("s", &half, &[rule("tenant", "", "1.0.0")])), "ROUTE-VALUE");
    assert_eq!(code(parts("s", &half, &[rule("tenant", "a\n", "1.0.0")])), "ROUTE-VALUE");
    let many: Vec<Rule> = (0..65).map(|number| rule("tenant", &number.to_string(), "2.0.0")).collect();
    assert_eq!(code(parts("s", &half, &many)), "ROUTE-RULES");
    let mut long = parts("s", &half, &[]);
    long.said.why = "w".repeat(1_025);
    assert_eq!(code(long), "ROUTE-SAID");
    let sum = Route::new(parts("s", &[("1.0.0", 90), ("2.0.0", 9)], &[])).unwrap_err();
    assert_eq!(sum.to_string(), "1.0.0=90 2.0.0=9 sums to 99, want 100");
}

#[test]
fn an_attribute_is_one_of_those_that_there_are() {
    for text in ["", "Tenant", "header:", "header:a b", "header:a:b", "cookie:x", "header", &"h".repeat(100)] {
        assert_eq!(text.parse::<Attribute>().unwrap_err().code(), "ROUTE-ATTRIBUTE", "{text:?}");
    }
    assert_eq!("header:X-Ring".parse::<Attribute>().unwrap().to_string(), "header:x-ring");
    let all = |count: usize| -> BTreeMap<Attribute, String> {
        (0..count).map(|at| (Attribute::Header(format!("h{at}")), "v".to_owned())).collect()
    };
    assert!(Attributes::try_from(all(16)).is_ok());
    assert_eq!(Attributes::try_from(all(17)).unwrap_err().code(), "ROUTE-ATTRIBUTES");
    let key = BTreeMap::from([(Attribute::Key, "7".to_owned())]);
    assert_eq!(Attributes::try_from(key).unwrap_err(), RouteError::Key);
    let long = BTreeMap::from([(Attribute::Tenant, "t".repeat(257))]);
    assert_eq!(Attributes::try_from(long).unwrap_err().code(), "ROUTE-VALUE");
}
