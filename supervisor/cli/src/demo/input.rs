//! The input: any file as lines, streamed in passes; and a second counter of its lines that shares no code with it.
//!
//! A line ends at LF, at CRLF or at a lone CR, or where the file ends. It is bytes: nothing is said about its encoding.
//! A line over [`LINE_BYTES_MAX`] is cut into pieces of that size, each a line of its own, so that a file without any
//! line end streams too and no message meets the mailbox's limit. The file is opened once and read to the length that
//! it had then: a log that grows or is rotated meanwhile gives the same lines in every pass.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Longest line that is sent as one message, in bytes.
pub(crate) const LINE_BYTES_MAX: usize = 64 << 10;

const CHUNK_BYTES: usize = 256 << 10;

/// Why a file cannot be streamed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InputError {
    #[error("cannot open the input {path}")]
    Open { path: PathBuf, source: io::Error },
    #[error("the input {path} is {found}, not a regular file")]
    NotAFile { path: PathBuf, found: &'static str },
    #[error("the input {path} is empty: there is no line to stream")]
    Empty { path: PathBuf },
    #[error("the input {path} was cut short while it was read: it had {expected_bytes} bytes, now {found_bytes}")]
    Shrunk { path: PathBuf, expected_bytes: u64, found_bytes: u64 },
    #[error("cannot read the input {path}")]
    Read { path: PathBuf, source: io::Error },
}

impl InputError {
    /// The stable code.
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::Open { .. } => "DEMO-INPUT-OPEN",
            Self::NotAFile { .. } => "DEMO-INPUT-KIND",
            Self::Empty { .. } => "DEMO-INPUT-EMPTY",
            Self::Shrunk { .. } => "DEMO-INPUT-CHANGED",
            Self::Read { .. } => "DEMO-INPUT-READ",
        }
    }
}

/// An open input.
#[derive(Debug)]
pub(crate) struct Input {
    path: PathBuf,
    file: File,
    bytes: u64,
}

/// How far the stream came: `passes` times the whole input, then its first `tail_bytes`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Streamed {
    pub(crate) passes: u64,
    pub(crate) tail_bytes: u64,
}

impl Input {
    /// Opens `path` and fixes how much of it is read.
    pub(crate) fn open(path: &Path) -> Result<Self, InputError> {
        // Looked at before it is opened: opening a pipe would wait for its writer.
        let at_open = |source| InputError::Open { path: path.to_owned(), source };
        let found = kind_of(&std::fs::metadata(path).map_err(at_open)?);
        if let Some(found) = found {
            return Err(InputError::NotAFile { path: path.to_owned(), found });
        }
        let file = File::open(path).map_err(at_open)?;
        let bytes = file.metadata().map_err(at_open)?.len();
        if bytes == 0 {
            return Err(InputError::Empty { path: path.to_owned() });
        }
        Ok(Self { path: path.to_owned(), file, bytes })
    }

    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How long a line is on average, as the first of them tell, with its end; at least 1.
    pub(crate) fn mean_line_bytes(&self) -> Result<u64, InputError> {
        const LOOK_BYTES: u64 = 1 << 20;
        let mut splitter = Splitter::new(BufReader::with_capacity(CHUNK_BYTES, self.pass()?));
        let mut lines = 0;
        while splitter.consumed_bytes < LOOK_BYTES
            && splitter.next_line().map_err(|source| self.read_error(source))?.is_some()
        {
            lines += 1;
        }
        Ok((splitter.consumed_bytes / lines.max(1)).max(1))
    }

    /// Gives the first `lines` lines of the endlessly repeated input to `take`, which returns `None` to end early.
    pub(crate) fn stream(
        &self,
        lines: u64,
        mut take: impl FnMut(Vec<u8>) -> Option<()>,
    ) -> Result<Streamed, InputError> {
        let mut left = lines;
        for passes in 0.. {
            let mut splitter = Splitter::new(BufReader::with_capacity(CHUNK_BYTES, self.pass()?));
            while let Some(line) = splitter.next_line().map_err(|source| self.read_error(source))? {
                left -= 1;
                if take(line).is_none() || left == 0 {
                    return Ok(Streamed { passes, tail_bytes: splitter.consumed_bytes });
                }
            }
            self.is_whole(splitter.consumed_bytes)?;
        }
        unreachable!("the passes end where the lines do")
    }

    /// Counts lines of the whole input and of its first `prefix_bytes`, byte by byte.
    ///
    /// It shares nothing with [`Input::stream`] but the file and the rule: no splitter, no buffer of a line, no search.
    pub(crate) fn count(&self, prefix_bytes: u64) -> Result<(u64, u64), InputError> {
        let mut counter = Counter::default();
        let mut prefix = 0;
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut pass = self.pass()?;
        let mut read_bytes = 0;
        loop {
            let read = pass.read(&mut chunk).map_err(|source| self.read_error(source))?;
            for byte in &chunk[..read] {
                counter.byte(*byte);
                read_bytes += 1;
                if read_bytes == prefix_bytes {
                    prefix = counter.lines_so_far();
                }
            }
            if read == 0 {
                self.is_whole(read_bytes)?;
                return Ok((counter.lines_so_far(), prefix));
            }
        }
    }

    fn pass(&self) -> Result<impl Read, InputError> {
        let mut file = &self.file;
        file.seek(SeekFrom::Start(0)).map_err(|source| self.read_error(source))?;
        Ok(file.take(self.bytes))
    }

    fn is_whole(&self, found_bytes: u64) -> Result<(), InputError> {
        let expected_bytes = self.bytes;
        if found_bytes == expected_bytes {
            return Ok(());
        }
        Err(InputError::Shrunk { path: self.path.clone(), expected_bytes, found_bytes })
    }

    fn read_error(&self, source: io::Error) -> InputError {
        InputError::Read { path: self.path.clone(), source }
    }
}

fn kind_of(metadata: &std::fs::Metadata) -> Option<&'static str> {
    match metadata.file_type() {
        kind if kind.is_file() => None,
        kind if kind.is_dir() => Some("a directory"),
        _ => Some("a device, a pipe or a socket"),
    }
}

/// Cuts a reader into lines.
struct Splitter<R> {
    reader: R,
    consumed_bytes: u64,
    after_cr: bool,
}

impl<R: BufRead> Splitter<R> {
    fn new(reader: R) -> Self {
        Self { reader, consumed_bytes: 0, after_cr: false }
    }

    fn next_line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        loop {
            let buffer = self.reader.fill_buf()?;
            if buffer.is_empty() {
                return Ok((!line.is_empty()).then_some(line));
            }
            if self.after_cr && buffer[0] == b'\n' {
                // The second half of a CRLF whose first half ended the line before.
                self.after_cr = false;
                self.consume(1);
                continue;
            }
            self.after_cr = false;
            let room = buffer.len().min(LINE_BYTES_MAX - line.len());
            let end = memchr::memchr2(b'\n', b'\r', &buffer[..room]);
            let kept = end.unwrap_or(room);
            line.extend_from_slice(&buffer[..kept]);
            if let Some(end) = end {
                self.after_cr = buffer[end] == b'\r';
                self.consume(end + 1);
                return Ok(Some(line));
            }
            self.consume(room);
            if line.len() == LINE_BYTES_MAX {
                self.end_after_full_piece()?;
                return Ok(Some(line));
            }
        }
    }

    /// A line that fills its last piece ends with that piece: its line end must not make an empty line more.
    fn end_after_full_piece(&mut self) -> io::Result<()> {
        let Some(byte) = self.reader.fill_buf()?.first().copied() else { return Ok(()) };
        if matches!(byte, b'\n' | b'\r') {
            self.after_cr = byte == b'\r';
            self.consume(1);
        }
        Ok(())
    }

    fn consume(&mut self, bytes: usize) {
        self.reader.consume(bytes);
        self.consumed_bytes += bytes as u64;
    }
}

/// Counts lines one byte at a time.
#[derive(Default)]
struct Counter {
    ended: u64,
    column: u64,
    last: Option<u8>,
}

impl Counter {
    fn byte(&mut self, byte: u8) {
        match (self.last, byte) {
            (Some(b'\r'), b'\n') => {}
            (_, b'\n' | b'\r') => {
                self.ended += pieces(self.column).max(1);
                self.column = 0;
            }
            _ => self.column += 1,
        }
        self.last = Some(byte);
    }

    const fn lines_so_far(&self) -> u64 {
        self.ended + pieces(self.column)
    }
}

const fn pieces(column: u64) -> u64 {
    column.div_ceil(LINE_BYTES_MAX as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(bytes: &[u8]) -> (tempfile::NamedTempFile, Input) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        let input = Input::open(file.path()).unwrap();
        (file, input)
    }

    fn lines(input: &Input, count: u64) -> (Vec<Vec<u8>>, Streamed) {
        let mut lines = Vec::new();
        let streamed = input.stream(count, |line| {
            lines.push(line);
            Some(())
        });
        (lines, streamed.unwrap())
    }

    #[test]
    fn lf_crlf_cr_and_the_end_of_the_file_end_a_line() {
        let (_file, input) = input(b"a\nb\r\nc\rd\n\n\r\n\xff\xfe");
        let (found, streamed) = lines(&input, 7);
        assert_eq!(found, [&b"a"[..], b"b", b"c", b"d", b"", b"", b"\xff\xfe"]);
        assert_eq!(streamed, Streamed { passes: 0, tail_bytes: input.bytes() });
        assert_eq!(input.count(streamed.tail_bytes).unwrap(), (7, 7));
    }

    #[test]
    fn the_input_is_repeated_up_to_the_line() {
        let (_file, input) = input(b"a\r\nb\r\nc");
        let (found, streamed) = lines(&input, 8);
        assert_eq!(found.len(), 8);
        assert_eq!(found[7], b"b");
        let (whole, tail) = input.count(streamed.tail_bytes).unwrap();
        assert_eq!((streamed.passes, whole, tail), (2, 3, 2));
    }

    #[test]
    fn a_long_line_is_cut_and_both_counters_agree_at_every_length() {
        for extra in [0, 1, LINE_BYTES_MAX - 1, LINE_BYTES_MAX, LINE_BYTES_MAX + 1] {
            for end in [&b""[..], b"\n", b"\r", b"\r\n", b"\r\nx", b"\n\n"] {
                let mut bytes = vec![b'x'; LINE_BYTES_MAX + extra];
                bytes.extend_from_slice(end);
                let (_file, input) = input(&bytes);
                let (whole, _) = input.count(0).unwrap();
                let (found, streamed) = lines(&input, whole);
                assert_eq!(input.count(streamed.tail_bytes).unwrap(), (whole, whole), "{extra} {end:?}");
                let kept: usize = found.iter().map(Vec::len).sum();
                let ends = bytes.iter().filter(|byte| **byte != b'x').count();
                assert_eq!(kept, bytes.len() - ends, "{extra} {end:?}");
                let (_, next) = lines(&input, whole + 1);
                assert_eq!(next.passes, 1, "{extra} {end:?}");
            }
        }
    }

    #[test]
    fn random_bytes_count_alike_at_every_prefix() {
        let mut seed = 20_261_124_u64;
        println!("seed {seed}");
        for _ in 0..200 {
            let mut bytes = vec![];
            for _ in 0..40 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                bytes.push(b"\r\n\r\nab\xff\0"[(seed >> 33) as usize % 8]);
            }
            let (_file, input) = input(&bytes);
            let (whole, _) = input.count(0).unwrap();
            for count in 1..=whole {
                let (found, streamed) = lines(&input, count);
                assert_eq!(found.len() as u64, count);
                assert_eq!(input.count(streamed.tail_bytes).unwrap(), (whole, count), "{bytes:?}");
            }
        }
    }

    #[test]
    fn what_is_no_file_with_a_line_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let missing = Input::open(&dir.path().join("no")).unwrap_err();
        assert!(matches!(missing, InputError::Open { .. }), "{missing}");
        let directory = Input::open(dir.path()).unwrap_err();
        assert!(directory.to_string().ends_with("is a directory, not a regular file"), "{directory}");
        let device = Input::open(Path::new("/dev/null")).unwrap_err();
        assert!(matches!(device, InputError::NotAFile { .. }), "{device}");
        std::fs::write(dir.path().join("empty"), b"").unwrap();
        let empty = Input::open(&dir.path().join("empty")).unwrap_err();
        assert!(matches!(empty, InputError::Empty { .. }), "{empty}");
    }

    #[test]
    fn a_file_that_shrinks_is_an_error_and_one_that_grows_is_read_as_it_was() {
        let (file, input) = input(b"a\nb\nc\n");
        std::fs::write(file.path(), b"a\nb\nc\nd\n").unwrap();
        assert_eq!(input.count(0).unwrap().0, 3);
        assert_eq!(lines(&input, 5).0[3], b"a");
        std::fs::write(file.path(), b"a\n").unwrap();
        assert!(matches!(input.count(0), Err(InputError::Shrunk { .. })));
        assert!(matches!(input.stream(9, |_| Some(())), Err(InputError::Shrunk { .. })));
    }
}
