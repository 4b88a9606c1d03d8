//! The Rust mirror and `include/teneral.h` say the same: the header is compiled with the system's C compiler, and every
//! size, offset and constant is compared.
//!
//! A harness of its own, so that a machine without a C compiler reads "ignored: not run", never "ok".

use libtest_mimic::{Arguments, Failed, Trial};
use std::{collections::BTreeMap, mem, path::Path, process::Command};
use teneral_abi::*;

/// What both sides print: `sizeof tn_addr 32`, `offsetof tn_addr.path 16`, `value TN_OK 0`.
type Facts = BTreeMap<String, i64>;

#[derive(Default)]
struct Mirror {
    facts: Facts,
    program: String,
}

impl Mirror {
    fn fact(&mut self, name: String, value: i64, expression: &str) {
        self.program += &format!("  printf(\"{name} %lld\\n\", (long long)({expression}));\n");
        assert!(self.facts.insert(name, value).is_none(), "a fact is named once");
    }
}

fn int(value: usize) -> i64 {
    i64::try_from(value).expect("no struct is that large")
}

// The pattern names every field, so a field that is added to the mirror and not here does not compile.
macro_rules! layout {
    ($mirror:ident, $rust:ident = $c:literal { $($field:ident $(as $c_field:literal)?),* }) => {{
        fn _every_field_is_named(value: &$rust) {
            let $rust { $($field: _),* } = value;
        }
        $mirror.fact(concat!("sizeof ", $c).into(), int(mem::size_of::<$rust>()), concat!("sizeof(", $c, ")"));
        $({
            let name = c_name!($field $($c_field)?);
            let offset = int(mem::offset_of!($rust, $field));
            $mirror.fact(format!("offsetof {}.{name}", $c), offset, &format!("offsetof({}, {name})", $c));
        })*
    }};
}
macro_rules! c_name {
    ($field:ident) => {
        stringify!($field)
    };
    ($field:ident $c_field:literal) => {
        $c_field
    };
}
macro_rules! values {
    ($mirror:ident, $($rust:ident $(= $c:literal)?),*) => {
        $($mirror.fact(format!("value {}", c_name!($rust $($c)?)), i64::from($rust), c_name!($rust $($c)?));)*
    };
}

fn mirror() -> Mirror {
    let mut m = Mirror::default();
    layout!(m, TnBytes = "tn_bytes" { ptr, len });
    layout!(m, TnU128 = "tn_u128" { hi, lo });
    layout!(m, TnTag = "tn_tag" { variant, fingerprint });
    layout!(m, TnAddr = "tn_addr" { id, path });
    layout!(m, TnWriter = "tn_writer" { size, reserved, reserve, commit });
    layout!(m, TnHost = "tn_host" { size, magic, abi_major, abi_minor, reserved, get_extension, log });
    layout!(m, TnActorHost = "tn_actor_host" {
        size, reserved, tell, ask, after, cancel_timer, reply, spawn, stop, now, random
    });
    layout!(m, TnCall = "tn_call" {
        size, cause, index, status, tag, body, answer, answer_shape, epoch, call_id, reply, deadline_ns,
        this as "self", sender, trace_id, host, turn
    });
    layout!(m, TnClass = "tn_class" { size, state_schema, kind, create, restore, started, handle, save, destroy });
    layout!(m, TnPlugin = "tn_plugin" {
        size, magic, abi_major, abi_minor, class_count, classes, init, deinit, get_extension
    });
    layout!(m, TnJson = "tn_json" { size, reserved, message, args, reply, state, state_from });
    layout!(m, TnDowngrade = "tn_downgrade" { size, reserved, downgrade });
    values!(m, ABI_MAJOR = "TN_ABI_MAJOR", ABI_MINOR = "TN_ABI_MINOR", MAGIC = "TN_MAGIC");
    values!(m, MANIFEST_FORMAT = "TN_MANIFEST_FORMAT");
    values!(m, TN_OK, TN_PANIC, TN_FAILED, TN_DECODE, TN_UNKNOWN_MESSAGE, TN_SCHEMA, TN_LIMIT, TN_CLOSED);
    values!(m, TN_DENIED, TN_TIMEOUT, TN_INVALID);
    values!(m, TN_CAUSE_MESSAGE, TN_CAUSE_ANSWER, TN_CAUSE_TIMER, TN_CAUSE_STARTED, TN_CAUSE_DOWN);
    values!(m, TN_CAUSE_UNDELIVERED);
    values!(m, TN_STARTED_FRESH, TN_STARTED_UPGRADED, TN_STARTED_ROLLED_BACK, TN_STARTED_RESTARTED);
    for (c, rust) in [("TN_EXT_JSON", EXT_JSON), ("TN_EXT_DOWNGRADE", EXT_DOWNGRADE)] {
        m.fact(format!("value {c}"), 0, &format!("strcmp({c}, \"{rust}\")"));
    }
    m.fact("value TN_MANIFEST_MAGIC".into(), 0, "memcmp(TN_MANIFEST_MAGIC, \"TNRL\", 4)");
    m
}

/// What the C compiler says, or why it does not.
fn compiled(program: &str) -> Result<Facts, Failed> {
    let folder = tempfile::tempdir()?;
    let (source, binary) = (folder.path().join("layout.c"), folder.path().join("layout"));
    let includes = "#include <stdio.h>\n#include <string.h>\n#include \"teneral.h\"\n";
    std::fs::write(&source, format!("{includes}int main(void) {{\n{program}  return 0;\n}}\n"))?;
    let include = Path::new(env!("CARGO_MANIFEST_DIR")).join("include");
    let strict = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic"];
    let cc = Command::new("cc").args(strict).arg("-I").arg(include).arg(&source).arg("-o").arg(&binary).output()?;
    if !cc.status.success() {
        return Err(format!("cc: {}", String::from_utf8_lossy(&cc.stderr)).into());
    }
    let lines = String::from_utf8(Command::new(&binary).output()?.stdout)?;
    let fact = |line: &str| {
        let (name, value) = line.rsplit_once(' ').ok_or("a line is a name and a number")?;
        Ok((name.to_owned(), value.parse::<i64>()?))
    };
    lines.lines().map(fact).collect()
}

fn the_header_and_its_mirror_agree() -> Result<(), Failed> {
    let Mirror { facts, program } = mirror();
    let header = compiled(&program)?;
    let differing = facts.iter().filter(|(name, value)| header.get(*name) != Some(value));
    let differing: Vec<String> =
        differing.map(|(name, value)| format!("{name}: Rust {value}, C {:?}", header.get(name))).collect();
    if differing.is_empty() { Ok(()) } else { Err(differing.join("\n").into()) }
}

fn main() {
    let cc = Command::new("cc").arg("--version").output().is_ok();
    let trial = Trial::test("the_header_and_its_mirror_agree", the_header_and_its_mirror_agree)
        .with_kind(if cc { "" } else { "not run: no cc" })
        .with_ignored_flag(!cc);
    libtest_mimic::run(&Arguments::from_args(), vec![trial]).exit();
}
