//! Which types of other crates are plain values on the wire: the derived schemas ask here, so that the crates that
//! plugins link need to know of no schema.
#![forbid(unsafe_code)]

fn main() {
    let strings = ["Addr", "Version", "Digest", "UpgradeId"];
    let config =
        strings.into_iter().fold(utoipa_config::Config::new(), |config, name| config.alias_for(name, "String"));
    config.alias_for("Duration", "u64").write_to_file();
}
