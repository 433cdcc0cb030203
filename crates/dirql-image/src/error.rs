//! Why an image is refused.

use std::fmt;

use crate::names;

/// What a field may hold, for error messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Allowed {
    /// Exactly this value.
    Exactly(u64),
    /// Any value up to and including this one.
    AtMost(u64),
    /// Any value from this one up.
    AtLeast(u64),
    /// Both bounds are included.
    Between(u64, u64),
    /// A multiple of this value.
    MultipleOf(u64),
    /// A power of two within these bounds, both included.
    PowerOfTwo(u64, u64),
    /// A rule that takes words.
    Rule(&'static str),
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Exactly(value) => write!(f, "must be {value:#x}"),
            Self::AtMost(value) => write!(f, "must be at most {value:#x}"),
            Self::AtLeast(value) => write!(f, "must be at least {value:#x}"),
            Self::Between(low, high) => write!(f, "must be {low:#x}..={high:#x}"),
            Self::MultipleOf(value) => write!(f, "must be a multiple of {value:#x}"),
            Self::PowerOfTwo(low, high) => {
                write!(f, "must be a power of two in {low:#x}..={high:#x}")
            }
            Self::Rule(rule) => f.write_str(rule),
        }
    }
}

/// Where an offset counts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// The start of the file.
    File,
    /// The start of the loaded image: the offset is an RVA.
    Image,
    /// The start of a stream, table or record of a PDB.
    Stream,
}

impl fmt::Display for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File => "file offset",
            Self::Image => "RVA",
            Self::Stream => "stream offset",
        })
    }
}

/// Which part of the image a [`ImageError::Field`] belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part {
    /// The MS-DOS, COFF or optional header.
    Header,
    /// An entry of the data directory table.
    Directory,
    /// A section header.
    Section {
        /// Position in the section table, from 0.
        index: usize,
        /// As the header names it.
        name: Box<str>,
    },
    /// A base relocation block.
    Relocations {
        /// RVA of the block.
        block: u32,
    },
    /// An import descriptor or one of its entries.
    Imports {
        /// The module's name, or the descriptor's number while that is unknown.
        module: Box<str>,
    },
    /// The export directory.
    Exports,
    /// The load configuration directory.
    LoadConfig,
    /// The debug directory.
    Debug,
    /// A PDB.
    Pdb,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header => f.write_str("header"),
            Self::Directory => f.write_str("data directory"),
            Self::Section { index, name } => write!(f, "section {index} ({name})"),
            Self::Relocations { block } => write!(f, "relocation block at RVA {block:#x}"),
            Self::Imports { module } => write!(f, "import of {module}"),
            Self::Exports => f.write_str("export directory"),
            Self::LoadConfig => f.write_str("load configuration"),
            Self::Debug => f.write_str("debug directory"),
            Self::Pdb => f.write_str("PDB"),
        }
    }
}

/// Why bytes are not a driver image that can be made ready to run.
///
/// Each variant names the field it is about, spelled as in the PE Format document and `winnt.h`,
/// with what was found there and what may be there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The file or the image ends inside a field or table.
    #[error("{field} at {space} {offset:#x} takes {needed:#x} bytes, {available:#x} are there")]
    Truncated {
        /// The field or table.
        field: &'static str,
        /// What `offset` counts from.
        space: Space,
        /// Where the field starts.
        offset: u64,
        /// Its length in bytes.
        needed: u64,
        /// Bytes between `offset` and the end.
        available: u64,
    },
    /// A field holds what it may not hold.
    #[error("{part}: {field} is {found:#x}, {allowed}")]
    Field {
        /// Where the field is.
        part: Part,
        /// Its name.
        field: &'static str,
        /// Its value.
        found: u64,
        /// What it may hold.
        allowed: Allowed,
    },
    /// The file does not begin with `MZ`.
    #[error("e_magic is {found:#06x}, must be 0x5a4d (MZ): this is not a PE file")]
    DosSignature {
        /// The first two bytes.
        found: u16,
    },
    /// The PE header does not begin with `PE\0\0`.
    #[error("Signature is {found:#010x}, must be 0x00004550 (PE): this is not a PE file")]
    NtSignature {
        /// The four bytes at `e_lfanew`.
        found: u32,
    },
    /// The image is for another processor.
    #[error("Machine is {found:#06x}{}, must be 0x8664 (AMD64)", names::in_brackets(names::machine(*.found)))]
    Machine {
        /// The COFF header's field.
        found: u16,
    },
    /// The image is a 32-bit one.
    #[error("Magic is 0x010b (PE32), must be 0x020b (PE32+): the driver is built for 32 bits")]
    Pe32,
    /// The image is not for kernel mode.
    #[error("Subsystem is {found}{}, must be 1 (native): this is not a driver", names::in_brackets(names::subsystem(*.found)))]
    Subsystem {
        /// The optional header's field.
        found: u16,
    },
    /// The image holds code for the common language runtime.
    #[error("the COM descriptor directory is present: .NET code does not run in the kernel")]
    Managed,
    /// A name is longer than any real one, or not ended.
    #[error("{part}: {field} at RVA {rva:#x} does not end within {limit} bytes")]
    NameTooLong {
        /// Where the name is used.
        part: Part,
        /// Which name.
        field: &'static str,
        /// Where it starts.
        rva: u32,
        /// Longest accepted length in bytes, without the NUL.
        limit: usize,
    },
    /// A name holds something else than printable ASCII.
    #[error("{part}: {field} at RVA {rva:#x} holds byte {found:#04x}, must be printable ASCII")]
    NameCharacter {
        /// Where the name is used.
        part: Part,
        /// Which name.
        field: &'static str,
        /// Where it starts.
        rva: u32,
        /// The first byte that is refused.
        found: u8,
    },
    /// A table has more entries, or more text, than this crate reads.
    #[error("{part}: more than {limit} {what}")]
    TooMany {
        /// Where the table is.
        part: Part,
        /// What is counted.
        what: &'static str,
        /// How many are read at most.
        limit: usize,
    },
    /// The image has no relocations and can run nowhere but at its preferred base.
    #[error(
        "the relocations are stripped: the image runs at {preferred:#x} only, not at {base:#x}"
    )]
    RelocationsStripped {
        /// `ImageBase`.
        preferred: u64,
        /// Where it was to be placed.
        base: u64,
    },
    /// A base that no image can have.
    #[error("base {base:#x} {allowed}")]
    Base {
        /// Where the image was to be placed.
        base: u64,
        /// What the base may be.
        allowed: Allowed,
    },
    /// A 32-bit field would have to hold an address above 4 GiB.
    #[error("the HIGHLOW relocation at RVA {rva:#x} makes {value:#x}, which does not fit 32 bits")]
    Relocation32 {
        /// Where the field is.
        rva: u32,
        /// What it would have to hold.
        value: u64,
    },
}
