//! Puts every page of `docs/errors` into the binary, by its code: `teneral explain` cannot lack one.
#![forbid(unsafe_code)]

use std::path::Path;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors").canonicalize()?;
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={}", pages.display());
    let mut files = fs::read_dir(&pages)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    files.retain(|file| file.extension().is_some_and(|ending| ending == "md") && !file.ends_with("README.md"));
    // By code: of whole names A-B.md would come before A.md.
    files.sort_unstable_by_key(|file| file.file_stem().map(ToOwned::to_owned));
    let rows = files.iter().filter_map(|file| {
        let code = file.file_stem()?.to_str()?;
        Some(format!("({code:?}, include_str!({:?})),\n", file.to_str()?))
    });
    let table = format!("&[\n{}]", rows.collect::<String>());
    let out = env::var_os("OUT_DIR").ok_or_else(|| io::Error::other("cargo sets OUT_DIR"))?;
    fs::write(Path::new(&out).join("pages.rs"), table)
}
