//! What an ELF file says, read without unsafe and without trust: every offset is checked by `object`.
//!
//! The dynamic segment is what the dynamic loader goes by, so what matters at load (needed libraries, search paths,
//! flags) is read from there, at the address where it will be mapped; the tables that sections lead to (symbols,
//! versions, relocations) must be the ones that it names. Section names only lead to the manifest.
//!
//! What is read and what is copied is bounded by the file's own length: parts of an honest file do not overlap, and
//! with parts that do, a few MiB could name terabytes.

use object::Endianness;
use object::elf;
use object::read::elf::{Dyn, FileHeader, ProgramHeader, SectionHeader, Sym};
use std::collections::BTreeSet;
use teneral_contract::manifest::MANIFEST_BYTES_MAX;

type Header = elf::FileHeader64<Endianness>;

/// What the checks look at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Elf {
    /// `e_type`.
    pub kind: u16,
    /// `e_machine`.
    pub machine: u16,
    /// The contents of the first two sections called `.teneral`, each cut where it is too long for any manifest.
    pub manifests: Vec<Vec<u8>>,
    /// Names that other libraries could bind to, and whether each is a function.
    pub exports: BTreeSet<(String, Export)>,
    /// Names that are looked up elsewhere.
    pub imports: BTreeSet<String>,
    /// `DT_NEEDED`, in order.
    pub needed: Vec<String>,
    /// `DT_RPATH`, `DT_RUNPATH`, `DT_AUDIT`, `DT_FILTER` and their like, with the tag's name.
    pub searches: Vec<(&'static str, String)>,
    /// Symbol versions that are needed, as `GLIBC_2.34`.
    pub versions: BTreeSet<String>,
    /// Memory and relocation traits that the gate refuses.
    pub traits: BTreeSet<Trait>,
    /// Constructors: entries of `DT_INIT_ARRAY`, and `DT_INIT`.
    pub constructors: u64,
    /// The GNU build-id note.
    pub build_id: Option<Vec<u8>>,
}

/// What an exported name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Export {
    /// A function.
    Function,
    /// Anything else.
    Other,
}

/// What no plugin may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trait {
    /// `DF_STATIC_TLS`: takes from a block of a few KiB that the whole process shares.
    StaticTls,
    /// Relocations in code.
    TextRelocations,
    /// No `PT_GNU_STACK`, or an executable one.
    ExecutableStack,
    /// A segment that is writable and executable.
    WritableCode,
    /// Code that runs to resolve a symbol, while the library is being relocated.
    IndirectFunctions,
}

/// Why the bytes are no ELF file that could be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ElfError {
    /// No ELF magic.
    #[error("no ELF file")]
    Magic,
    /// 32 bits, or big-endian.
    #[error("not ELF64 little-endian")]
    Class,
    /// An offset, a size or an index is out of range, or a table is missing.
    #[error("{part}: {why}")]
    Malformed {
        /// Which part of the file.
        part: &'static str,
        /// What is wrong with it.
        why: String,
    },
}

/// What may still be read of a file, in bytes.
struct Budget(usize);

impl Budget {
    fn take(&mut self, part: &'static str, bytes: usize) -> Result<(), ElfError> {
        self.0 = self.0.checked_sub(bytes).ok_or_else(|| malformed(part, "its parts overlap"))?;
        Ok(())
    }

    /// A copy of a name.
    fn text(&mut self, part: &'static str, name: &[u8]) -> Result<String, ElfError> {
        self.take(part, name.len() + 1)?;
        Ok(String::from_utf8_lossy(name).into_owned())
    }
}

fn malformed(part: &'static str, why: impl Into<String>) -> ElfError {
    ElfError::Malformed { part, why: why.into() }
}

fn bad<T>(part: &'static str, result: object::Result<T>) -> Result<T, ElfError> {
    result.map_err(|error| ElfError::Malformed { part, why: error.to_string() })
}

/// Reads what the checks look at.
///
/// # Errors
/// [`ElfError`] at the first thing that is out of range.
pub fn read(data: &[u8]) -> Result<Elf, ElfError> {
    if data.get(..4) != Some(&elf::ELFMAG[..]) {
        return Err(ElfError::Magic);
    }
    if data.get(4) != Some(&elf::ELFCLASS64) || data.get(5) != Some(&elf::ELFDATA2LSB) {
        return Err(ElfError::Class);
    }
    let header = bad("header", Header::parse(data))?;
    let endian = bad("header", header.endian())?;
    let mut found = Elf { kind: header.e_type(endian), machine: header.e_machine(endian), ..Elf::default() };
    let sections = bad("sections", header.sections(endian, data))?;
    let mut contents = Budget(data.len());
    for section in sections.iter() {
        // Looked at for every section, so that a truncated file is seen whichever part is missing.
        let bytes = bad("section", section.data(endian, data))?;
        contents.take("sections", bytes.len())?;
        if found.manifests.len() < 2 && bad("section name", sections.section_name(endian, section))? == b".teneral" {
            found.manifests.push(bytes[..bytes.len().min(MANIFEST_BYTES_MAX + HEADER_BYTES_MAX)].to_vec());
        }
        relocations(header, endian, data, section, &mut found)?;
    }
    let mut texts = Budget(data.len());
    let tables = segments(header, endian, data, &mut found, &mut texts)?;
    tables.hold(&sections, endian)?;
    symbols(&sections, endian, data, &mut found, &mut texts)?;
    versions(&sections, endian, data, &mut found, &mut texts)?;
    Ok(found)
}

/// More than what stands before and behind a manifest in its section.
const HEADER_BYTES_MAX: usize = 64;

/// Program headers of a file that a linker makes are a dozen.
const SEGMENTS_MAX: usize = 64;

/// Where the dynamic segment says that its tables are: what the dynamic loader reads.
#[derive(Default)]
struct Tables {
    /// By tag; each may stand there once.
    at: std::collections::BTreeMap<u32, u64>,
    /// `PT_LOAD` segments: address, offset in the file, bytes in the file.
    mapped: Vec<[u64; 3]>,
}

impl Tables {
    /// Where in the file an address lies.
    fn offset(&self, address: u64) -> Option<u64> {
        let holds = |[at, _, bytes]: &&[u64; 3]| address.checked_sub(*at).is_some_and(|into| into < *bytes);
        // What overlaps is mapped in order: the last one is seen.
        let [at, offset, _] = self.mapped.iter().rev().find(holds)?;
        (address - at).checked_add(*offset)
    }

    /// Refuses a section of these kinds that is not where the dynamic segment says, or has no section at all: nobody
    /// would see what is looked at here.
    fn hold(&self, sections: &object::read::elf::SectionTable<'_, Header>, endian: Endianness) -> Result<(), ElfError> {
        let of_kind = |kind: u32| sections.iter().filter(move |section| section.sh_type(endian) == kind);
        let is_at = |section: &elf::SectionHeader64<Endianness>, address: u64| {
            section.sh_addr(endian) == address && self.offset(address) == Some(section.sh_offset(endian))
        };
        for (kind, tag) in [(elf::SHT_DYNSYM, elf::DT_SYMTAB), (elf::SHT_GNU_VERNEED, elf::DT_VERNEED)] {
            let address = self.at.get(&tag).copied();
            let mut all = of_kind(kind);
            let same = match (all.next(), address) {
                (None, None) => true,
                (Some(section), Some(address)) => is_at(section, address) && all.next().is_none(),
                _ => false,
            };
            if !same {
                return Err(malformed("dynamic segment", "its tables are not the ones of the sections"));
            }
        }
        for tag in [elf::DT_RELA, elf::DT_JMPREL] {
            if let Some(address) = self.at.get(&tag).copied()
                && !of_kind(elf::SHT_RELA).any(|section| is_at(section, address))
            {
                return Err(malformed("dynamic segment", "its relocations are not the ones of the sections"));
            }
        }
        Ok(())
    }
}

fn relocations(
    header: &Header,
    endian: Endianness,
    data: &[u8],
    section: &elf::SectionHeader64<Endianness>,
    found: &mut Elf,
) -> Result<(), ElfError> {
    let Some((relocations, _)) = bad("relocations", section.rela(endian, data))? else { return Ok(()) };
    let indirect = match header.e_machine(endian) {
        elf::EM_AARCH64 => elf::R_AARCH64_IRELATIVE,
        _ => elf::R_X86_64_IRELATIVE,
    };
    if relocations.iter().any(|relocation| relocation.r_type(endian, false) == indirect) {
        found.traits.insert(Trait::IndirectFunctions);
    }
    Ok(())
}

fn segments(
    header: &Header,
    endian: Endianness,
    data: &[u8],
    found: &mut Elf,
    texts: &mut Budget,
) -> Result<Tables, ElfError> {
    let mut stack = None;
    let mut tables = Tables::default();
    let mut dynamics = Vec::new();
    let segments = bad("program headers", header.program_headers(endian, data))?;
    if segments.len() > SEGMENTS_MAX {
        return Err(malformed("program headers", format!("{} of them, over {SEGMENTS_MAX}", segments.len())));
    }
    for segment in segments {
        let flags = segment.p_flags(endian);
        if segment.data(endian, data).is_err() {
            return Err(malformed("segment", "it goes past the end of the file"));
        }
        match segment.p_type(endian) {
            elf::PT_GNU_STACK => stack = Some(flags),
            elf::PT_LOAD => {
                let place = [segment.p_vaddr(endian), segment.p_offset(endian), segment.p_filesz(endian)];
                tables.mapped.push(place);
                if flags & (elf::PF_W | elf::PF_X) == elf::PF_W | elf::PF_X {
                    found.traits.insert(Trait::WritableCode);
                }
            }
            elf::PT_DYNAMIC => dynamics.push(segment),
            elf::PT_NOTE => build_id(endian, data, segment, found)?,
            _ => {}
        }
    }
    for segment in &dynamics {
        // The dynamic loader reads it where it is mapped, not where the header says that it lies in the file.
        if dynamics.len() > 1 || tables.offset(segment.p_vaddr(endian)) != Some(segment.p_offset(endian)) {
            return Err(malformed("dynamic segment", "it is not the one that would be mapped"));
        }
        dynamic(header, endian, data, segment, found, texts, &mut tables)?;
    }
    // Without the header the kernel's default holds, and that is an executable stack.
    if stack.is_none_or(|flags| flags & elf::PF_X != 0) {
        found.traits.insert(Trait::ExecutableStack);
    }
    Ok(tables)
}

fn dynamic(
    header: &Header,
    endian: Endianness,
    data: &[u8],
    segment: &elf::ProgramHeader64<Endianness>,
    found: &mut Elf,
    texts: &mut Budget,
    tables: &mut Tables,
) -> Result<(), ElfError> {
    let entries = bad("dynamic segment", segment.dynamic(endian, data))?.unwrap_or_default();
    let strings = strings(header, endian, data, entries)?;
    let mut text = |entry: &elf::Dyn64<Endianness>| -> Result<String, ElfError> {
        texts.text("dynamic strings", bad("dynamic string", entry.string(endian, strings))?)
    };
    for entry in entries {
        let value = entry.d_val(endian);
        let tag = u32::try_from(entry.d_tag(endian)).unwrap_or(u32::MAX);
        let once = [elf::DT_STRTAB, elf::DT_STRSZ, elf::DT_SYMTAB, elf::DT_VERNEED, elf::DT_RELA, elf::DT_JMPREL];
        if once.contains(&tag) && tables.at.insert(tag, value).is_some() {
            return Err(malformed("dynamic segment", "it names a table twice"));
        }
        match tag {
            elf::DT_NULL => break,
            elf::DT_NEEDED => found.needed.push(text(entry)?),
            elf::DT_RPATH => found.searches.push(("RPATH", text(entry)?)),
            elf::DT_RUNPATH => found.searches.push(("RUNPATH", text(entry)?)),
            elf::DT_AUDIT => found.searches.push(("AUDIT", text(entry)?)),
            elf::DT_DEPAUDIT => found.searches.push(("DEPAUDIT", text(entry)?)),
            elf::DT_AUXILIARY => found.searches.push(("AUXILIARY", text(entry)?)),
            elf::DT_FILTER => found.searches.push(("FILTER", text(entry)?)),
            elf::DT_INIT => found.constructors += 1,
            elf::DT_INIT_ARRAYSZ => found.constructors += value / 8,
            elf::DT_TEXTREL => drop(found.traits.insert(Trait::TextRelocations)),
            elf::DT_FLAGS => {
                if value & u64::from(elf::DF_TEXTREL) != 0 {
                    found.traits.insert(Trait::TextRelocations);
                }
                if value & u64::from(elf::DF_STATIC_TLS) != 0 {
                    found.traits.insert(Trait::StaticTls);
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// The dynamic string table, found as the dynamic loader finds it: by address.
fn strings<'data>(
    header: &Header,
    endian: Endianness,
    data: &'data [u8],
    entries: &[elf::Dyn64<Endianness>],
) -> Result<object::StringTable<'data>, ElfError> {
    let find = |wanted: u32| {
        entries.iter().find(|entry| entry.d_tag(endian) == u64::from(wanted)).map(|entry| entry.d_val(endian))
    };
    let (Some(address), Some(size)) = (find(elf::DT_STRTAB), find(elf::DT_STRSZ)) else {
        return Ok(object::StringTable::default());
    };
    for segment in bad("program headers", header.program_headers(endian, data))? {
        if let Ok(Some(bytes)) = segment.data_range(endian, data, address, size) {
            return Ok(object::StringTable::new(bytes, 0, bytes.len() as u64));
        }
    }
    Err(malformed("dynamic strings", "they lie in no segment"))
}

fn build_id(
    endian: Endianness,
    data: &[u8],
    segment: &elf::ProgramHeader64<Endianness>,
    found: &mut Elf,
) -> Result<(), ElfError> {
    let Some(mut notes) = bad("notes", segment.notes(endian, data))? else { return Ok(()) };
    while let Some(note) = bad("note", notes.next())? {
        if note.name() == elf::ELF_NOTE_GNU && note.n_type(endian) == elf::NT_GNU_BUILD_ID {
            found.build_id = Some(note.desc().to_vec());
        }
    }
    Ok(())
}

fn symbols(
    sections: &object::read::elf::SectionTable<'_, Header>,
    endian: Endianness,
    data: &[u8],
    found: &mut Elf,
    texts: &mut Budget,
) -> Result<(), ElfError> {
    let table = bad("symbols", sections.symbols(endian, data, elf::SHT_DYNSYM))?;
    for symbol in table.iter() {
        if symbol.st_type() == elf::STT_GNU_IFUNC {
            found.traits.insert(Trait::IndirectFunctions);
        }
        let name = bad("symbol name", table.symbol_name(endian, symbol))?;
        if symbol.st_bind() == elf::STB_LOCAL || name.is_empty() {
            continue;
        }
        let name = texts.text("symbol names", name)?;
        if symbol.is_undefined(endian) {
            found.imports.insert(name);
        } else if matches!(symbol.st_visibility(), elf::STV_DEFAULT | elf::STV_PROTECTED) {
            let kind = if symbol.st_type() == elf::STT_FUNC { Export::Function } else { Export::Other };
            found.exports.insert((name, kind));
        }
    }
    Ok(())
}

fn versions(
    sections: &object::read::elf::SectionTable<'_, Header>,
    endian: Endianness,
    data: &[u8],
    found: &mut Elf,
    texts: &mut Budget,
) -> Result<(), ElfError> {
    let Some((mut needs, link)) = bad("symbol versions", sections.gnu_verneed(endian, data))? else { return Ok(()) };
    let strings = bad("symbol versions", sections.strings(endian, data, link))?;
    while let Some((_, mut auxiliaries)) = bad("symbol versions", needs.next())? {
        while let Some(auxiliary) = bad("symbol versions", auxiliaries.next())? {
            let name = bad("symbol version", auxiliary.name(endian, strings))?;
            found.versions.insert(texts.text("symbol versions", name)?);
        }
    }
    Ok(())
}
