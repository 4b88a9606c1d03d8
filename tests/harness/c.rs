//! Libraries in plain C that differ from c-echo in one thing each: an edit, a flag, a line of the manifest.
//!
//! Rust's own tools refuse to build most of what a host must survive; a C compiler builds anything.

use super::{Absent, root};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::{NamedTempFile, TempDir};
use teneral::contract::constjson::crc32;

/// The source of a library.
#[derive(Clone)]
pub(crate) struct Source {
    code: String,
    manifest: Value,
    /// The shapes that the code knows by name.
    shapes: String,
    flags: Vec<String>,
}

/// Whether there is a C compiler.
pub(crate) fn compiler() -> Result<(), Absent> {
    let asked = Command::new("cc").arg("--version").stdout(Stdio::null()).status();
    asked.map(drop).map_err(|_| Absent("C compiler called cc"))
}

impl Source {
    /// This source; `MANIFEST` in it is that manifest.
    pub(crate) fn new(code: String, manifest: Value) -> Self {
        Self { code, manifest, shapes: String::new(), flags: Vec::new() }
    }

    /// c-echo, in that major version.
    pub(crate) fn c_echo(major: u32) -> Self {
        let read = |file: &str| {
            let path = root().join(format!("actors/c-echo/v{major}")).join(file);
            std::fs::read_to_string(path).expect("c-echo's source is ours")
        };
        let header = read("manifest.h");
        let literal =
            |line: &str| Some(line.trim().trim_end_matches(" \\").strip_prefix('"')?.strip_suffix('"')?.to_owned());
        let json = header.lines().filter_map(literal).collect::<String>().replace("\\\"", "\"");
        let manifest = serde_json::from_str(&json).expect("c-echo's manifest is JSON");
        let shapes = header.lines().filter(|line| line.starts_with("#define F_")).collect::<Vec<_>>().join("\n");
        Self { code: read("c_echo.c"), manifest, shapes, flags: Vec::new() }
    }

    /// A library that is no plugin.
    pub(crate) fn alone(code: &str) -> Self {
        Self::new(code.to_owned(), Value::Null)
    }

    /// With `new` in place of `old`, which must be there.
    #[track_caller]
    pub(crate) fn edit(mut self, old: &str, new: &str) -> Self {
        assert!(self.code.contains(old), "the source has no {old:?}");
        self.code = self.code.replace(old, new);
        self
    }

    /// With this at its end.
    pub(crate) fn end(mut self, code: &str) -> Self {
        self.code = format!("{}\n{code}\n", self.code);
        self
    }

    /// With this argument to the compiler.
    pub(crate) fn flag(mut self, flag: impl Into<String>) -> Self {
        self.flags.push(flag.into());
        self
    }

    /// With this instead in the manifest: `says("/abi/1", 9)`.
    #[track_caller]
    pub(crate) fn says(mut self, pointer: &str, value: impl Into<Value>) -> Self {
        *self.manifest.pointer_mut(pointer).expect("the manifest has that") = value.into();
        self
    }

    /// With this version.
    pub(crate) fn version(self, version: &str) -> Self {
        self.says("/version", version)
    }

    /// Its manifest as JSON.
    pub(crate) fn manifest(&self) -> String {
        self.manifest.to_string()
    }

    /// The library.
    pub(crate) fn build(&self) -> Result<NamedTempFile, Absent> {
        compiler()?;
        let dir = TempDir::with_prefix("teneral-c-").expect("a temporary directory");
        let json = self.manifest();
        let quoted = json.replace('\\', "\\\\").replace('"', "\\\"");
        let header = format!(
            "#define MANIFEST \"{quoted}\"\n#define MANIFEST_CRC {}u\n{}\n",
            crc32(json.as_bytes()),
            self.shapes
        );
        std::fs::write(dir.path().join("manifest.h"), header).expect("it is writable");
        std::fs::write(dir.path().join("plugin.c"), &self.code).expect("it is writable");
        let library = NamedTempFile::with_suffix(".so").expect("a temporary file");
        let mut compile = Command::new("cc");
        compile.args(["-std=gnu11", "-O1", "-shared", "-fPIC", "-fvisibility=hidden", "-o"]).arg(library.path());
        compile.arg(dir.path().join("plugin.c")).arg("-I").arg(root().join("framework/abi/include")).args(&self.flags);
        let built = compile.output().expect("the compiler that has just said its version");
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        Ok(library)
    }
}

/// A file with these bytes.
pub(crate) fn file(bytes: &[u8]) -> NamedTempFile {
    let file = NamedTempFile::with_suffix(".so").expect("a temporary file");
    std::fs::write(file.path(), bytes).expect("it is writable");
    file
}

/// A file's bytes.
pub(crate) fn bytes(path: &Path) -> Vec<u8> {
    std::fs::read(path).expect("it is there")
}
