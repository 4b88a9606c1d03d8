//! What the processes of a module write, read back in parts.
//!
//! Each process writes to a file of its own, and the file of the one before is kept beside it. A reader that asks on
//! with the name that it was told misses nothing when another process is started meanwhile, as `tail -F` does not.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::UNIX_EPOCH;
use teneral_control::api::wire::{ModuleOutput, OutputPart};

/// Largest part of one answer.
const PART_BYTES_MAX: u64 = 64 << 10;

/// What the file of the process before ends with.
pub(super) const BEFORE: &str = "log.1";

/// One process's output.
struct Kept {
    file: File,
    name: String,
    bytes: u64,
}

impl Kept {
    /// `None`: there is none.
    fn open(path: &Path) -> io::Result<Option<Self>> {
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let about = file.metadata()?;
        // A number of a file that was removed is given again; not at the same time.
        let born = about.created().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
        Ok(Some(Self { name: format!("{:x}-{:x}", about.ino(), born.as_nanos()), bytes: about.len(), file }))
    }

    fn part(mut self, from: u64, (last, lost): (bool, bool)) -> io::Result<ModuleOutput> {
        let from = from.min(self.bytes);
        self.file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        self.file.take(PART_BYTES_MAX.min(self.bytes - from)).read_to_end(&mut bytes)?;
        let is_end = last && from + bytes.len() as u64 == self.bytes;
        if !is_end {
            bytes.truncate(whole(&bytes));
        }
        let next = from + bytes.len() as u64;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Ok(ModuleOutput { file: self.name, from, next, text, ended: last && next == self.bytes, lost })
    }
}

/// Part of what the processes wrote whose latest writes there. `None`: none has written anything.
pub(super) fn read(latest: &Path, part: &OutputPart) -> io::Result<Option<ModuleOutput>> {
    // In this order: one that is set aside in between is found as the one before.
    let now = Kept::open(latest)?;
    let before = Kept::open(&latest.with_extension(BEFORE))?;
    let is_asked = |kept: &Kept| part.file.as_ref() == Some(&kept.name);
    let (kept, from, last, lost) = match (now, before) {
        (Some(now), _) if is_asked(&now) => (now, part.from, false, false),
        (_, Some(before)) if is_asked(&before) => (before, part.from, true, false),
        (_, Some(before)) if part.file.is_none() && part.previous => (before, part.from, true, false),
        (Some(now), _) if part.file.is_none() && !part.previous => (now, part.from, false, false),
        (Some(now), _) if part.file.is_some() => (now, 0, false, true),
        _ => return Ok(None),
    };
    kept.part(from, (last, lost)).map(Some)
}

/// How much of these are whole letters: one may be cut in two by their end, or not be written to its end yet.
fn whole(bytes: &[u8]) -> usize {
    let begins = |byte: &u8| byte & 0b1100_0000 != 0b1000_0000;
    let Some(last) = bytes.iter().rev().take(4).position(begins).map(|back| bytes.len() - 1 - back) else {
        return bytes.len();
    };
    let wanted = match bytes[last] {
        0b1100_0000..=0b1101_1111 => 2,
        0b1110_0000..=0b1110_1111 => 3,
        0b1111_0000..=0b1111_0111 => 4,
        _ => 1,
    };
    if last + wanted > bytes.len() { last } else { bytes.len() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn ask(latest: &Path, file: Option<&str>, from: u64) -> ModuleOutput {
        let part = OutputPart { file: file.map(str::to_owned), from, ..OutputPart::default() };
        read(latest, &part).expect("it is ours").expect("somebody wrote")
    }

    #[test]
    fn a_reader_that_asks_on_misses_nothing_of_the_process_before() {
        let dir = tempfile::tempdir().expect("a directory");
        let latest = dir.path().join("counter-1.0.0.log");
        assert_eq!(read(&latest, &OutputPart::default()).expect("it is ours"), None);
        fs::write(&latest, "one\n").expect("it is ours");
        let first = ask(&latest, None, 0);
        assert_eq!((&*first.text, first.next, first.ended), ("one\n", 4, false));
        fs::write(&latest, "one\ntwo\n").expect("it is ours");
        fs::rename(&latest, latest.with_extension(BEFORE)).expect("it is ours");
        fs::write(&latest, "three\n").expect("it is ours");
        let on = ask(&latest, Some(&first.file), first.next);
        assert_eq!((&*on.text, on.ended, on.lost, &on.file), ("two\n", true, false, &first.file));
        let after = ask(&latest, None, 0);
        assert_eq!((&*after.text, after.ended), ("three\n", false));
        let previous = OutputPart { previous: true, ..OutputPart::default() };
        assert_eq!(read(&latest, &previous).expect("it is ours").expect("it wrote").text, "one\ntwo\n");
        // One that nobody kept: from the first that is, and it is said.
        fs::remove_file(latest.with_extension(BEFORE)).expect("it is ours");
        let lost = ask(&latest, Some(&first.file), 8);
        assert_eq!((&*lost.text, lost.from, lost.lost), ("three\n", 0, true));
        assert_eq!(read(&latest, &previous).expect("it is ours"), None);
    }

    #[test]
    fn a_letter_is_not_cut_in_two() {
        let dir = tempfile::tempdir().expect("a directory");
        let latest = dir.path().join("counter-1.0.0.log");
        let text = "\u{10ffff}\u{20ac}\u{e4}b".repeat(20_000);
        fs::write(&latest, &text).expect("it is ours");
        let (mut read, mut from, mut file) = (String::new(), 0, None);
        loop {
            let part = ask(&latest, file.as_deref(), from);
            if part.text.is_empty() {
                break;
            }
            read.push_str(&part.text);
            (from, file) = (part.next, Some(part.file));
        }
        assert!(read == text, "{} of {} bytes", read.len(), text.len());
        for (bytes, are) in
            [(&b"a\xe2"[..], 1), (b"a\xe2\x82", 1), (b"a\xe2\x82\xac", 4), (b"a\xff", 2), (b"\x80\x80\x80\x80\x80", 5)]
        {
            assert_eq!(whole(bytes), are, "{bytes:?}");
        }
    }

    #[test]
    fn a_place_beyond_the_end_is_its_end() {
        let dir = tempfile::tempdir().expect("a directory");
        let latest = dir.path().join("counter-1.0.0.log");
        fs::write(&latest, "one\n").expect("it is ours");
        let part = ask(&latest, None, u64::MAX);
        assert_eq!((&*part.text, part.from, part.next), ("", 4, 4));
    }
}
