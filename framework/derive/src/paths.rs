//! Where the derived code finds the contract.
//!
//! An author depends on `teneral-actor` or on `teneral` alone; both re-export the contract as `contract`. Which one is
//! there stands in the author's `Cargo.toml`, so no attribute has to say it.

use proc_macro2::TokenStream;
use quote::quote;
use std::path::Path;

/// The path of the contract crate, as seen by the crate that is being compiled.
pub(crate) fn contract() -> TokenStream {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR")
        .and_then(|folder| std::fs::read_to_string(Path::new(&folder).join("Cargo.toml")).ok())
        .unwrap_or_default();
    if names(&manifest, "teneral-contract") {
        quote!(::teneral_contract)
    } else if names(&manifest, "teneral-actor") {
        quote!(::teneral_actor::contract)
    } else if names(&manifest, "teneral-testkit") {
        quote!(::teneral_testkit::contract)
    } else if names(&manifest, "teneral") {
        quote!(::teneral::contract)
    } else {
        quote!(::teneral_contract)
    }
}

/// Whether a `Cargo.toml` depends on `name`: as a key (`name = ..`, `name.workspace = ..`) or as a section's last part.
fn names(manifest: &str, name: &str) -> bool {
    manifest.lines().map(str::trim).any(|line| match line.strip_prefix('[') {
        Some(section) => section.trim_end_matches(']').rsplit_once("dependencies.").is_some_and(|(_, key)| key == name),
        None => {
            let rest = line.trim_start_matches('"').strip_prefix(name).map(|rest| rest.trim_start_matches(['"', ' ']));
            rest.is_some_and(|rest| rest.starts_with(['=', '.']))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn a_dependency_is_seen_in_each_of_its_forms() {
        assert!(names("[dependencies]\nteneral-actor = \"1\"", "teneral-actor"));
        assert!(names("[dependencies]\nteneral-actor.workspace = true", "teneral-actor"));
        assert!(names("[target.'cfg(unix)'.dependencies.teneral-actor]\nversion = \"1\"", "teneral-actor"));
        assert!(!names("[dependencies]\nteneral-actor = \"1\"", "teneral"));
        assert!(!names("name = \"teneral\"\n# teneral = 1", "teneral"));
    }
}
