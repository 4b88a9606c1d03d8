//! What tests stand on: how a test is listed, and where the workspace lies.
//!
//! Tests are listed in tables by [`test`], which takes a function's name as the test's, so that no claim is written
//! twice and an unlisted one is dead code, which clippy refuses.

pub(crate) mod c;
pub(crate) mod child;
pub(crate) mod desk;
pub(crate) mod disk;
pub(crate) mod echo;
pub(crate) mod hosted;
pub(crate) mod house;
pub(crate) mod images;
pub(crate) mod libraries;
pub(crate) mod probe;
pub(crate) mod puppet;
pub(crate) mod served;

use libtest_mimic::{Completion, Failed, Trial};
use std::borrow::Cow;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A port of this machine that nobody listens on.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("a port is free").local_addr().expect("it is bound").port()
}

/// One listed test.
pub(crate) struct Test {
    name: Cow<'static, str>,
    run: Box<dyn FnOnce() -> Verdict + Send>,
}

/// What a test that did not panic says.
pub(crate) enum Verdict {
    /// The claim holds.
    Holds,
    /// What the test needs is not on this machine; never counted as a pass.
    NotRun(String),
}

impl From<()> for Verdict {
    fn from((): ()) -> Self {
        Self::Holds
    }
}

/// What a test needs and this machine does not have.
#[derive(Debug)]
pub(crate) struct Absent(pub(crate) &'static str);

impl From<Result<(), Absent>> for Verdict {
    fn from(ran: Result<(), Absent>) -> Self {
        ran.map_or_else(|Absent(what)| Self::NotRun(format!("no {what}")), Self::from)
    }
}

impl Test {
    pub(crate) fn into_trial(self) -> Trial {
        Trial::ignorable_test(self.name, move || -> Result<Completion, Failed> {
            Ok(match (self.run)() {
                Verdict::Holds => Completion::Completed,
                Verdict::NotRun(why) => Completion::ignored_with(format!("not run: {why}")),
            })
        })
    }
}

/// Lists `claim` under its own name.
pub(crate) fn test<F, V>(claim: F) -> Test
where
    F: FnOnce() -> V + Send + 'static,
    V: Into<Verdict>,
{
    let path = std::any::type_name::<F>();
    Test { name: path.rsplit("::").next().unwrap_or(path).into(), run: Box::new(move || claim().into()) }
}

/// Lists a claim under a name that is put together.
pub(crate) fn named<F, V>(name: String, claim: F) -> Test
where
    F: FnOnce() -> V + Send + 'static,
    V: Into<Verdict>,
{
    Test { name: name.into(), run: Box::new(move || claim().into()) }
}

/// The same claims where code is brought and upgraded over the control socket, each under its own name and that.
pub(crate) fn over_the_socket(tests: Vec<Test>) -> impl Iterator<Item = Test> {
    tests.into_iter().map(|Test { name, run }| {
        let name = format!("{name}_over_the_socket").into();
        Test { name, run: Box::new(move || house::over_the_socket(run)) }
    })
}

/// Begins anew without what cargo tells a test about its package: a cargo that a test starts would take it for its own.
/// `ring` is built anew for another package's name, and a macro looks for its configuration in another one's `OUT_DIR`.
pub(crate) fn forget_what_cargo_said() {
    let is_of_cargo =
        |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") || name == "OUT_DIR";
    let said: Vec<String> = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect();
    let said: Vec<String> = said.into_iter().filter(|name| is_of_cargo(name)).collect();
    if said.is_empty() {
        return;
    }
    let mut again = Command::new(std::env::current_exe().expect("a running binary has a path"));
    for name in &said {
        again.env_remove(name);
    }
    panic!("{}", again.args(std::env::args_os().skip(1)).exec());
}

/// The workspace's root.
pub(crate) fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().unwrap_or(root)
}
