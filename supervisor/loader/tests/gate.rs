//! The gate against files that a careless or hostile author could hand in, made by the system's own C compiler.
//!
//! Each case must be refused by the check that is meant for it, and by no other: two causes never share one code.

mod fixture;

use fixture::{bytes_of, echo, gate, patched, refused};
use std::path::Path;
use teneral_contract::Digest;
use teneral_loader::{Gate, Policy, Release, UnsignedRecord};

fn release(digest: Digest) -> Release {
    Release { kind: "c-echo".into(), version: semver::Version::new(1, 0, 0), digest }
}

fn flags_are_refused(flags: &[&str], source_end: &str, code: &str) {
    let library = echo(flags, source_end);
    assert_eq!(refused(library.path()), code, "{flags:?} {source_end}");
}

#[test]
fn a_plain_c_actor_passes() {
    let library = echo(&[], "");
    let verified = gate().verify(library.path(), None).unwrap();
    assert_eq!(verified.manifest().kind, "c-echo");
    let again = gate().verify(library.path(), Some(&release(verified.digest()))).unwrap();
    assert_eq!(again.digest(), verified.digest());
}

#[test]
fn f01_a_missing_empty_short_or_truncated_file_is_refused() {
    assert_eq!(refused(Path::new("no/such/library.so")), "GATE-FILE");
    let library = echo(&[], "");
    let whole = bytes_of(library.path());
    assert_eq!(refused(patched(&[]).path()), "GATE-EMPTY");
    assert_eq!(refused(patched(&whole[..300]).path()), "GATE-ELF");
    assert_eq!(refused(patched(b"#!/bin/sh\n").path()), "GATE-ELF");
    // A truncated library loads without error: with a release record the digest catches it wherever the cut is.
    let digest = gate().verify(library.path(), None).unwrap().digest();
    for cut in [1, 8, 64, whole.len() / 2] {
        let file = patched(&whole[..whole.len() - cut]);
        let error = gate().verify(file.path(), Some(&release(digest))).unwrap_err();
        assert_eq!(error.code(), "GATE-DIGEST", "cut by {cut}");
    }
}

/// A module in Python, packed.
fn program() -> Vec<u8> {
    let manifest = r#"{"kind": "c-echo", "version": "1.0.0", "protocol": "http", "state": {"schema": 1}}"#;
    let manifest = teneral_contract::by_hand::read(manifest).unwrap();
    teneral_contract::program::pack(&manifest, b"#!/usr/bin/env python3\nprint()\n").unwrap()
}

#[test]
fn p11_a_program_is_let_in_by_its_manifest_and_refused_by_code_where_it_is_wrong() {
    let whole = program();
    let verified = gate().verify_bytes(whole.clone(), None).unwrap();
    assert!(verified.is_program());
    assert_eq!((&*verified.manifest().kind, verified.bytes()), ("c-echo", whole.len() as u64));
    let again = gate().verify_bytes(whole.clone(), Some(&release(verified.digest()))).unwrap();
    assert_eq!(again.digest(), verified.digest());
    let code = |bytes: Vec<u8>| gate().verify_bytes(bytes, None).unwrap_err().code();
    assert_eq!(code(whole[..whole.len() - 1].to_vec()), "GATE-PROGRAM", "cut off");
    assert_eq!(code([&whole[..], b"x"].concat()), "GATE-PROGRAM", "longer");
    let at = |find: &[u8]| whole.windows(find.len()).position(|part| part == find).unwrap();
    let patched = |find: &[u8], with: &[u8]| {
        let mut bytes = whole.clone();
        bytes[at(find)..][..with.len()].copy_from_slice(with);
        bytes
    };
    assert_eq!(code(patched(b"#!/usr", b"hello!")), "GATE-PROGRAM", "nothing that runs");
    assert_eq!(code(patched(b"\"schema\"", b"\"scheme\"")), "GATE-MANIFEST");
    assert_eq!(code(patched(b"\"any\"", b"\"all\"")), "GATE-MANIFEST");
    let mut long = whole.clone();
    long[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(code(long), "GATE-MANIFEST-SIZE");
    let other = Release { version: semver::Version::new(2, 0, 0), ..release(verified.digest()) };
    assert_eq!(gate().verify_bytes(whole.clone(), Some(&other)).unwrap_err().code(), "GATE-RECORD");
    let error = gate().verify_bytes(whole.clone(), Some(&release(Digest([1; 32])))).unwrap_err();
    assert_eq!(error.code(), "GATE-DIGEST");
    // An ELF program of another machine.
    let manifest = teneral_contract::program::read(&whole).unwrap().0;
    let mut elf = bytes_of(echo(&[], "").path());
    elf[18] = 0xF3; // e_machine: RISC-V
    assert_eq!(code(teneral_contract::program::pack(&manifest, &elf).unwrap()), "GATE-ARCH");
    // No library says that it is one.
    let claims = fixture::with_manifest(|json| {
        json.replacen('{', "{\"program\":{\"protocol\":\"http\",\"encoding\":\"json\"},", 1)
    });
    assert_eq!(refused(claims.path()), "GATE-MANIFEST");
}

#[test]
fn p12_a_program_is_never_loaded_into_a_process_and_runs_from_a_sealed_copy() {
    let verified = gate().verify_bytes(program(), None).unwrap();
    let copy = verified.program().unwrap().expect("it is one");
    let seals = rustix::fs::fcntl_get_seals(&copy).unwrap();
    assert!(seals.contains(rustix::fs::SealFlags::WRITE | rustix::fs::SealFlags::SHRINK), "{seals:?}");
    let mut text = String::new();
    std::io::Read::read_to_string(&mut std::fs::File::from(copy), &mut text).unwrap();
    assert_eq!(text, "#!/usr/bin/env python3\nprint()\n");
    static LOADER: teneral_loader::Loader = teneral_loader::Loader::new();
    let error = LOADER.load(verified, teneral_loader::LoaderLimits::standard()).unwrap_err();
    assert_eq!(error.code(), "LOAD-PROGRAM");
}

#[test]
fn f02_one_flipped_bit_at_any_of_64_offsets_is_refused() {
    let library = echo(&[], "");
    let whole = bytes_of(library.path());
    let digest = gate().verify(library.path(), None).unwrap().digest();
    for step in 0..64 {
        let mut bytes = whole.clone();
        let offset = step * (whole.len() - 1) / 63;
        bytes[offset] ^= 1 << (step % 8);
        let error = gate().verify_bytes(bytes, Some(&release(digest))).unwrap_err();
        assert_eq!(error.code(), "GATE-DIGEST", "bit {} of byte {offset}", step % 8);
    }
}

#[test]
fn f05_the_wrong_architecture_or_a_missing_library_is_refused_by_name() {
    let library = echo(&[], "");
    let mut bytes = bytes_of(library.path());
    bytes[18] = 0xF3; // e_machine: RISC-V
    let error = gate().verify_bytes(bytes, None).unwrap_err();
    assert_eq!(error.code(), "GATE-ARCH");
    assert!(error.to_string().contains("243"), "{error}");

    let needed = fixture::library("int helper(void) { return 1; }", &["-Wl,-soname,libhelper.so.1"]);
    let path = needed.path().to_str().unwrap();
    let library = echo(&["-Wl,--no-as-needed", path], "");
    let error = gate().verify(library.path(), None).unwrap_err();
    assert_eq!(error.code(), "GATE-NEEDED");
    assert!(error.to_string().contains("libhelper.so.1"), "{error}");
}

#[test]
fn f06_a_missing_or_an_additional_export_is_refused_by_name() {
    let library = echo(&["-Dteneral_entry=other_entry"], "");
    assert_eq!(refused(library.path()), "GATE-EXPORTS");
    let library = echo(&[], "__attribute__((visibility(\"default\"))) int also_here(void) { return 1; }");
    let error = gate().verify(library.path(), None).unwrap_err();
    assert_eq!(error.code(), "GATE-EXPORTS");
    assert!(error.to_string().contains("also_here"), "{error}");
}

#[test]
fn f07_another_abi_or_an_aborting_build_is_refused() {
    let newer = fixture::with_manifest(|json| json.replace("\"abi\":[1,0]", "\"abi\":[1,9]"));
    assert_eq!(refused(newer.path()), "GATE-ABI");
    let abort = fixture::with_manifest(|json| json.replace("\"panic\":\"none\"", "\"panic\":\"abort\""));
    assert_eq!(refused(abort.path()), "GATE-PANIC");
    let claims = fixture::with_manifest(|json| json.replace("\"panic\":\"none\"", "\"panic\":\"unwind\""));
    assert_eq!(refused(claims.path()), "GATE-PANIC");
}

// Invariant 9
#[test]
fn r1_the_digest_of_the_whole_file_is_compared_before_anything_is_read() {
    // Not even an ELF file, and still it is the digest that refuses it.
    let error = gate().verify_bytes(b"garbage".to_vec(), Some(&release(Digest([7; 32])))).unwrap_err();
    assert_eq!(error.code(), "GATE-DIGEST");
}

#[test]
fn links_fifos_devices_and_directories_are_refused_without_waiting() {
    let library = echo(&[], "");
    let dir = tempfile::tempdir().unwrap();
    let link = dir.path().join("link.so");
    std::os::unix::fs::symlink(library.path(), &link).unwrap();
    assert_eq!(refused(&link), "GATE-FILE");
    let fifo = dir.path().join("fifo.so");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
    assert_eq!(refused(&fifo), "GATE-FILE");
    assert_eq!(refused(dir.path()), "GATE-FILE");
    assert_eq!(refused(Path::new("/dev/null")), "GATE-FILE");
}

#[test]
fn r7_search_paths_and_libraries_off_the_list_are_refused() {
    flags_are_refused(&["-Wl,-rpath,/opt", "-Wl,--disable-new-dtags"], "", "GATE-RPATH");
    flags_are_refused(&["-Wl,-rpath,/opt", "-Wl,--enable-new-dtags"], "", "GATE-RPATH");
    flags_are_refused(&["-Wl,--no-as-needed", "-lresolv"], "", "GATE-NEEDED");
}

/// c-echo with its code segment marked writable: 56-byte program headers, `p_flags` at 4, X is 1 and W is 2.
fn writable_code() -> Vec<u8> {
    let mut bytes = bytes_of(echo(&[], "").path());
    let (table, count) = (usize::from(bytes[0x20]), usize::from(bytes[0x38]));
    for header in (0..count).map(|i| table + 56 * i) {
        if bytes[header] == 1 && bytes[header + 4] & 1 != 0 {
            bytes[header + 4] |= 2;
        }
    }
    bytes
}

#[test]
fn memory_that_no_plugin_may_have_is_refused() {
    flags_are_refused(&["-Wl,-z,execstack"], "", "GATE-EXEC-STACK");
    assert_eq!(gate().verify_bytes(writable_code(), None).unwrap_err().code(), "GATE-WX");
    let tls = "__thread int spot __attribute__((tls_model(\"initial-exec\"))); int *where(void) { return &spot; }";
    flags_are_refused(&[], tls, "GATE-STATIC-TLS");
    let ifunc = "static int one(void) { return 1; } static int (*pick(void))(void) { return one; } \
                 int picked(void) __attribute__((ifunc(\"pick\"))); int use(void) { return picked(); }";
    flags_are_refused(&[], ifunc, "GATE-IFUNC");
}

#[test]
fn a_manifest_that_is_missing_doubled_too_long_or_broken_has_a_code_of_its_own() {
    let none = fixture::library("int main(void) { return 0; }", &[]);
    assert_eq!(refused(none.path()), "GATE-NO-MANIFEST");
    let long = fixture::with_manifest(|json| format!("{json}{}", " ".repeat(1 << 20)));
    assert_eq!(refused(long.path()), "GATE-MANIFEST-SIZE");
    let unknown = fixture::with_manifest(|json| json.replacen('{', "{\"colour\":1,", 1));
    assert_eq!(refused(unknown.path()), "GATE-MANIFEST");
    let doubled = fixture::with_section(|section| [section, section].concat());
    assert_eq!(refused(doubled.path()), "GATE-TWO-MANIFESTS");
}

#[test]
fn a_glibc_from_the_future_and_a_file_over_the_limit_are_refused() {
    let library = echo(&[], "#include <stdlib.h>\nvoid *room(void) { return malloc(1); }");
    let policy = Policy { glibc: (2, 1), ..Policy::standard() };
    let error = Gate { policy, trust: UnsignedRecord }.verify(library.path(), None).unwrap_err();
    assert_eq!(error.code(), "GATE-GLIBC");
    let policy = Policy { bytes_max: 1000, ..Policy::standard() };
    let error = Gate { policy, trust: UnsignedRecord }.verify(library.path(), None).unwrap_err();
    assert_eq!(error.code(), "GATE-SIZE");
}

#[test]
fn a_record_for_another_kind_and_a_quarantined_digest_are_refused() {
    let library = echo(&[], "");
    let digest = gate().verify(library.path(), None).unwrap().digest();
    let other = Release { kind: "counter".into(), ..release(digest) };
    assert_eq!(gate().verify(library.path(), Some(&other)).unwrap_err().code(), "GATE-RECORD");
    let policy = Policy { quarantined: vec![(digest, "it hung".into())], ..Policy::standard() };
    let error = Gate { policy, trust: UnsignedRecord }.verify(library.path(), None).unwrap_err();
    assert_eq!(error.code(), "GATE-QUARANTINE");
}

/// Where a number stands in a file's header or tables, and what it is.
fn long_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

fn short_at(bytes: &[u8], at: usize) -> usize {
    u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap()).into()
}

#[test]
fn r18_parts_that_overlap_are_refused_before_they_are_copied() {
    let library = echo(&[], "");
    let mut bytes = bytes_of(library.path());
    let (table, count) = (long_at(&bytes, 40) as usize, short_at(&bytes, 60));
    let headers: Vec<[u8; 64]> = (0..count).map(|n| bytes[table + 64 * n..][..64].try_into().unwrap()).collect();
    let names = headers.iter().map(|header| &header[..4]).collect::<Vec<_>>();
    let gate_of = |bytes: Vec<u8>| gate().verify_bytes(bytes, None).unwrap_err();
    // 60,000 sections, each called as the manifest's is, each the whole file: 4 TB to copy.
    let manifest = (0..count).find(|n| {
        let strings = long_at(&headers[short_at(&bytes, 62)], 24) as usize;
        let name = strings + u32::from_le_bytes(names[*n].try_into().unwrap()) as usize;
        bytes[name..].starts_with(b".teneral\0")
    });
    let mut bomb = headers[manifest.unwrap()];
    bytes.resize(bytes.len().next_multiple_of(64), 0);
    let new_table = bytes.len();
    let length = (new_table + 64 * 60_000) as u64;
    bomb[24..32].copy_from_slice(&0_u64.to_le_bytes());
    bomb[32..40].copy_from_slice(&length.to_le_bytes());
    headers.iter().for_each(|header| bytes.extend_from_slice(header));
    (count..60_000).for_each(|_| bytes.extend_from_slice(&bomb));
    bytes[40..48].copy_from_slice(&(new_table as u64).to_le_bytes());
    bytes[60..62].copy_from_slice(&60_000_u16.to_le_bytes());
    let error = gate_of(bytes);
    assert_eq!(error.code(), "GATE-ELF");
    assert!(error.to_string().contains("sections: its parts overlap"), "{error}");
}

#[test]
fn a_decoy_beside_the_table_that_the_dynamic_loader_reads_is_refused() {
    let library = echo(&[], "");
    let whole = bytes_of(library.path());
    let refused = |bytes: Vec<u8>, what: &str| {
        let error = gate().verify_bytes(bytes, None).unwrap_err();
        assert_eq!(error.code(), "GATE-ELF", "{what}: {error}");
    };
    // A copy of the dynamic segment behind all else, to which only the header's offset leads.
    let (table, count) = (long_at(&whole, 32) as usize, short_at(&whole, 56));
    let dynamic = (0..count).map(|n| table + 56 * n).find(|at| whole[*at..*at + 4] == 2_u32.to_le_bytes()).unwrap();
    let (offset, length) = (long_at(&whole, dynamic + 8) as usize, long_at(&whole, dynamic + 32) as usize);
    let mut decoy = whole.clone();
    decoy.resize(decoy.len().next_multiple_of(16), 0);
    let copy = decoy.len() as u64;
    decoy.extend_from_within(offset..offset + length);
    decoy[dynamic + 8..dynamic + 16].copy_from_slice(&copy.to_le_bytes());
    refused(decoy, "the dynamic segment");
    // The same for the symbols, to which only the section leads.
    let (table, count) = (long_at(&whole, 40) as usize, short_at(&whole, 60));
    let symbols =
        (0..count).map(|n| table + 64 * n).find(|at| whole[*at + 4..*at + 8] == 11_u32.to_le_bytes()).unwrap();
    let (offset, length) = (long_at(&whole, symbols + 24) as usize, long_at(&whole, symbols + 32) as usize);
    let mut decoy = whole.clone();
    decoy.resize(decoy.len().next_multiple_of(16), 0);
    let copy = decoy.len() as u64;
    decoy.extend_from_within(offset..offset + length);
    decoy[symbols + 24..symbols + 32].copy_from_slice(&copy.to_le_bytes());
    refused(decoy, "the symbols");
}

#[test]
fn r16_the_reader_never_panics_on_damaged_files() {
    use rand::{Rng, SeedableRng};
    let seed = std::env::var("TENERAL_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(0x7e_4e_5a);
    println!("seed {seed} (TENERAL_SEED replays it)");
    let mut random = rand::rngs::SmallRng::seed_from_u64(seed);
    let whole = bytes_of(echo(&[], "").path());
    let mut refused = 0;
    for _ in 0..20_000 {
        let mut bytes = whole.clone();
        for _ in 0..random.random_range(1..8) {
            // Headers and tables are where offsets are: half of the damage goes there.
            let end = if random.random_bool(0.5) { 0x400.min(bytes.len()) } else { bytes.len() };
            let place = random.random_range(0..end);
            bytes[place] = if random.random_bool(0.3) { 0xff } else { random.random() };
        }
        if random.random_bool(0.2) {
            bytes.truncate(random.random_range(0..bytes.len()));
        }
        refused += u32::from(teneral_loader::elf::read(&bytes).is_err());
    }
    assert!(refused > 1000, "only {refused} of 20,000 damaged files were noticed: the damage misses the tables");
}
