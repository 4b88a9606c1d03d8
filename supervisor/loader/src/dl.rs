//! The dynamic loader, as little of it as is needed: open, look up, and prove what was opened.
//!
//! glibc compares names before files: a path or a `/proc/self/fd/N` that was used before hands back the OLD library
//! without a word (measured). So a name is used once, `RTLD_NOLOAD` must find nothing under it, and afterwards the
//! symbol must lie in the very file that was checked. Libraries are never unloaded (`RTLD_NODELETE`): a Rust library
//! that touched `thread::current` crashes the host when it goes (rust-lang/rust 91979).

use rustix::fd::{AsRawFd, BorrowedFd};
use std::ffi::{CStr, CString, c_void};
use std::os::fd::OwnedFd;
use std::ptr::NonNull;

/// Whether a library is loaded under `name` already.
pub(crate) fn is_open(name: &CStr) -> bool {
    // SAFETY: `name` is NUL-terminated; NOLOAD maps nothing and runs nothing. The handle only raises a count.
    let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_NOLOAD) };
    !handle.is_null()
}

/// A mapped library; it stays so for ever.
pub(crate) struct Handle(NonNull<c_void>);

/// Maps the library.
///
/// # Safety
/// The library's constructors run: its bytes have passed the gate.
pub(crate) unsafe fn open(name: &CStr) -> Result<Handle, String> {
    let flags = libc::RTLD_NOW | libc::RTLD_LOCAL | libc::RTLD_NODELETE;
    // SAFETY: `name` is NUL-terminated; that constructors run is the caller's business.
    let handle = unsafe { libc::dlopen(name.as_ptr(), flags) };
    NonNull::new(handle).map(Handle).ok_or_else(last_error)
}

/// Looks up `symbol` in a library.
pub(crate) fn symbol(handle: &Handle, symbol: &CStr) -> Result<*mut c_void, String> {
    // SAFETY: the handle is open and stays so for ever (NODELETE, never closed); `symbol` is NUL-terminated.
    let found = unsafe { libc::dlsym(handle.0.as_ptr(), symbol.as_ptr()) };
    if found.is_null() { Err(last_error()) } else { Ok(found) }
}

fn last_error() -> String {
    // SAFETY: dlerror returns null or a NUL-terminated text that is valid until this thread's next dl call.
    let text = unsafe { libc::dlerror() };
    if text.is_null() {
        return "the dynamic loader gave no reason".into();
    }
    // SAFETY: as above; copied before any other call.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// The name under which `dlopen` finds an open file.
pub(crate) fn name_of(file: &OwnedFd) -> CString {
    CString::new(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap_or_default()
}

/// Device and inode of an open file, as `/proc/self/maps` writes them.
pub(crate) fn identity_of(file: BorrowedFd<'_>) -> std::io::Result<Identity> {
    let stat = rustix::fs::fstat(file)?;
    Ok(Identity { major: rustix::fs::major(stat.st_dev), minor: rustix::fs::minor(stat.st_dev), inode: stat.st_ino })
}

/// Which file backs a mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    major: u32,
    minor: u32,
    inode: u64,
}

impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:02x}:{:02x} inode {}", self.major, self.minor, self.inode)
    }
}

/// Which file the code at `address` was mapped from.
pub(crate) fn identity_at(address: usize) -> std::io::Result<Option<Identity>> {
    // Bytes: any other file of the process may have a name that is no text.
    let maps = std::fs::read("/proc/self/maps")?;
    Ok(String::from_utf8_lossy(&maps).lines().find_map(|line| parse(line, address)))
}

// `7f1c-7f1d r-xp 00000000 00:01 1234    /memfd:counter (deleted)`
fn parse(line: &str, address: usize) -> Option<Identity> {
    let mut words = line.split_ascii_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let range = usize::from_str_radix(start, 16).ok()?..usize::from_str_radix(end, 16).ok()?;
    if !range.contains(&address) {
        return None;
    }
    let (major, minor) = words.nth(2)?.split_once(':')?;
    let (major, minor) = (u32::from_str_radix(major, 16).ok()?, u32::from_str_radix(minor, 16).ok()?);
    Some(Identity { major, minor, inode: words.next()?.parse().ok()? })
}

/// The GNU build-id note of the image that the code at `address` belongs to, as it lies in memory.
pub(crate) fn build_id_at(address: usize) -> Option<Vec<u8>> {
    let mut wanted = Wanted { address, build_id: None };
    // SAFETY: `note_of` is called on this thread during this call only, each time with a valid info and our `Wanted`.
    unsafe { libc::dl_iterate_phdr(Some(note_of), (&raw mut wanted).cast()) };
    wanted.build_id
}

struct Wanted {
    address: usize,
    build_id: Option<Vec<u8>>,
}

/// Stops (1) at the image that holds the address, with its note if it has one.
unsafe extern "C" fn note_of(info: *mut libc::dl_phdr_info, _size: usize, wanted: *mut c_void) -> i32 {
    // SAFETY: `dl_iterate_phdr` passes a valid info, and what `build_id_at` gave it.
    let (info, wanted) = unsafe { (&*info, &mut *wanted.cast::<Wanted>()) };
    if info.dlpi_phdr.is_null() {
        return 0;
    }
    // SAFETY: not null, and the header table of a mapped image, `dlpi_phnum` entries long.
    let segments = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)) };
    // Addresses of an image wrap: its bias may be negative.
    let start = |segment: &libc::Elf64_Phdr| (info.dlpi_addr as usize).wrapping_add(segment.p_vaddr as usize);
    let holds = |segment: &libc::Elf64_Phdr| {
        segment.p_type == libc::PT_LOAD && wanted.address.wrapping_sub(start(segment)) < segment.p_memsz as usize
    };
    if !segments.iter().any(holds) {
        return 0;
    }
    let notes = segments.iter().filter(|segment| segment.p_type == libc::PT_NOTE);
    wanted.build_id = notes.filter(|note| is_mapped(note, segments)).find_map(|note| {
        // SAFETY: the segment lies inside a loaded one, so it is mapped; images are never unmapped.
        let bytes = unsafe { std::slice::from_raw_parts(start(note) as *const u8, note.p_memsz as usize) };
        gnu_build_id(bytes)
    });
    1
}

/// Whether a segment lies inside one that is loaded.
fn is_mapped(inner: &libc::Elf64_Phdr, segments: &[libc::Elf64_Phdr]) -> bool {
    let end = |segment: &libc::Elf64_Phdr| segment.p_vaddr.saturating_add(segment.p_memsz);
    let loads = segments.iter().filter(|segment| segment.p_type == libc::PT_LOAD);
    loads.into_iter().any(|load| load.p_vaddr <= inner.p_vaddr && end(inner) <= end(load))
}

/// The build id in a segment of notes: `namesz descsz type name desc`, each padded to 4 bytes.
fn gnu_build_id(mut notes: &[u8]) -> Option<Vec<u8>> {
    const GNU_BUILD_ID: usize = 3;
    let padded = |len: usize| len.checked_next_multiple_of(4);
    while notes.len() >= 12 {
        let (header, rest) = notes.split_at(12);
        let word =
            |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]) as usize;
        let (name, desc, kind) = (word(0), word(4), word(8));
        let desc_at = padded(name)?;
        let id = rest.get(desc_at..desc_at.checked_add(desc)?)?;
        if kind == GNU_BUILD_ID && rest.get(..name)? == b"GNU\0" {
            return Some(id.to_vec());
        }
        notes = rest.get(desc_at.checked_add(padded(desc)?)?..)?;
    }
    None
}

/// The glibc that runs, as (major, minor).
pub(crate) fn glibc_version() -> (u32, u32) {
    // SAFETY: returns a static NUL-terminated text such as "2.36".
    let text = unsafe { CStr::from_ptr(libc::gnu_get_libc_version()) }.to_string_lossy();
    let mut numbers = text.split('.').map_while(|number| number.parse().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_map_gives_the_file_behind_an_address() {
        let line = "7f00-7f80 r-xp 00000000 00:1f 4711                     /memfd:counter (deleted)";
        assert_eq!(parse(line, 0x7f10), Some(Identity { major: 0, minor: 0x1f, inode: 4711 }));
        assert_eq!(parse(line, 0x7f80), None);
        assert_eq!(parse("garbage", 0), None);
    }

    #[test]
    fn the_build_id_in_memory_is_the_one_in_the_file() {
        let program = std::fs::read("/proc/self/exe").unwrap();
        let in_file = crate::elf::read(&program).unwrap().build_id;
        assert!(in_file.is_some(), "the linker writes one");
        assert_eq!(build_id_at(build_id_at as *const () as usize), in_file);
        assert_eq!(build_id_at(0), None, "nobody's address");
    }

    #[test]
    fn notes_that_are_cut_short_or_lie_about_their_length_have_no_build_id() {
        let note = |name: u32, desc: u32, rest: &[u8]| {
            let mut bytes = [name.to_le_bytes(), desc.to_le_bytes(), 3_u32.to_le_bytes()].concat();
            bytes.extend_from_slice(rest);
            bytes
        };
        assert_eq!(gnu_build_id(&note(4, 3, b"GNU\0abc\0")), Some(b"abc".to_vec()));
        let other = note(4, 1, b"XYZ\0a\0\0\0");
        assert_eq!(gnu_build_id(&[other, note(4, 2, b"GNU\0ab\0\0")].concat()), Some(b"ab".to_vec()));
        for broken in
            [note(4, 4, b"GNU\0ab"), note(u32::MAX, 4, b"GNU\0"), note(4, u32::MAX, b"GNU\0abcd"), vec![0; 11]]
        {
            assert_eq!(gnu_build_id(&broken), None);
        }
    }

    #[test]
    fn code_of_this_program_lies_in_this_program() {
        let own = std::fs::File::open("/proc/self/exe").unwrap();
        let here = identity_at(identity_at as *const () as usize).unwrap().unwrap();
        assert_eq!(here.inode, identity_of(std::os::fd::AsFd::as_fd(&own)).unwrap().inode);
    }
}
