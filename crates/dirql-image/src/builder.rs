//! Builds images for tests, well-formed ones and others.

/// One section under construction.
#[derive(Clone, Debug)]
pub(crate) struct TestSection {
    pub(crate) name: [u8; 8],
    pub(crate) rva: u32,
    pub(crate) virtual_size: u32,
    /// `None`: the length of `data` rounded up to the file alignment.
    pub(crate) raw_size: Option<u32>,
    /// `None`: after the previous one.
    pub(crate) raw_offset: Option<u32>,
    pub(crate) flags: u32,
    pub(crate) data: Vec<u8>,
}

/// An image under construction. Every header field can be set to anything.
#[derive(Clone, Debug)]
pub(crate) struct Pe {
    pub(crate) dos_signature: u16,
    pub(crate) nt_offset: u32,
    pub(crate) nt_signature: u32,
    pub(crate) machine: u16,
    /// `None`: as many as there are.
    pub(crate) section_count: Option<u16>,
    pub(crate) symbol_table: u32,
    pub(crate) symbols: u32,
    pub(crate) optional_size: u16,
    pub(crate) characteristics: u16,
    pub(crate) magic: u16,
    pub(crate) entry_point: u32,
    pub(crate) image_base: u64,
    pub(crate) section_alignment: u32,
    pub(crate) file_alignment: u32,
    pub(crate) size_of_image: u32,
    pub(crate) size_of_headers: u32,
    pub(crate) subsystem: u16,
    pub(crate) directory_count: u32,
    pub(crate) directories: [(u32, u32); 16],
    pub(crate) sections: Vec<TestSection>,
}

pub(crate) const CODE: u32 = 0x6000_0020;
pub(crate) const READ: u32 = 0x4000_0040;
pub(crate) const WRITE: u32 = 0xc000_0040;
pub(crate) const INIT: u32 = 0x6200_0020;
pub(crate) const DISCARD: u32 = 0x4200_0040;

/// Places in [`Pe::driver`].
pub(crate) mod at {
    pub(crate) const TEXT: u32 = 0x1000;
    pub(crate) const IMPORTS: u32 = 0x2000;
    pub(crate) const LOOKUP: u32 = 0x2080;
    pub(crate) const HAL_SLOTS: u32 = 0x20a8;
    pub(crate) const NAMES: u32 = 0x20c0;
    pub(crate) const EXPORTS: u32 = 0x2140;
    pub(crate) const LOAD_CONFIG: u32 = 0x2200;
    pub(crate) const UNWIND: u32 = 0x2340;
    pub(crate) const DELAY: u32 = 0x2380;
    pub(crate) const SLOTS: u32 = 0x2400;
    pub(crate) const DELAY_SLOTS: u32 = 0x2440;
    pub(crate) const COOKIE: u32 = 0x3000;
    pub(crate) const GUARD: u32 = 0x3008;
    pub(crate) const POINTER: u32 = 0x3040;
    pub(crate) const PDATA: u32 = 0x5000;
    pub(crate) const RELOC: u32 = 0x8000;
}

pub(crate) const BASE: u64 = 0x1_4000_0000;

impl Pe {
    /// Headers, and nothing else yet.
    pub(crate) fn empty() -> Self {
        Self {
            dos_signature: 0x5a4d,
            nt_offset: 0x40,
            nt_signature: 0x4550,
            machine: 0x8664,
            section_count: None,
            symbol_table: 0,
            symbols: 0,
            optional_size: 240,
            characteristics: 0x22,
            magic: 0x20b,
            entry_point: at::TEXT,
            image_base: BASE,
            section_alignment: 0x1000,
            file_alignment: 0x200,
            size_of_image: 0x9000,
            size_of_headers: 0x400,
            subsystem: 1,
            directory_count: 16,
            directories: [(0, 0); 16],
            sections: Vec::new(),
        }
    }

    /// A driver that has one of everything.
    pub(crate) fn driver() -> Self {
        let mut pe = Self::empty();
        pe.section(".text", 0x1000, 0x180, CODE, vec![0xcc; 0x180]);
        pe.section(".rdata", 0x2000, 0x600, READ, vec![0; 0x600]);
        pe.section(".data", 0x3000, 0x1800, WRITE, vec![0; 0x200]);
        pe.section(".pdata", 0x5000, 0x18, READ, vec![0; 0x18]);
        pe.section("PAGEtest", 0x6000, 0x20, CODE, vec![0x90; 0x20]);
        // More in the file than in memory: padding up to the file alignment.
        pe.section("INIT", 0x7000, 0x10, INIT, vec![0xf4; 0x400]);
        pe.section(".reloc", 0x8000, 0x20, DISCARD, vec![0; 0x20]);
        pe.imports();
        pe.delayed_imports();
        pe.exports();
        pe.load_config();
        pe.functions();
        pe.relocations();
        pe
    }

    fn section(&mut self, name: &str, rva: u32, virtual_size: u32, flags: u32, data: Vec<u8>) {
        let mut field = [0; 8];
        field[..name.len()].copy_from_slice(name.as_bytes());
        self.sections.push(TestSection {
            name: field,
            rva,
            virtual_size,
            raw_size: None,
            raw_offset: None,
            flags,
            data,
        });
    }

    /// ntoskrnl.exe: `DbgPrint`, #7. Hal.DLL, with one table only: `HalReturnToFirmware`.
    fn imports(&mut self) {
        self.directories[1] = (at::IMPORTS, 60);
        self.words(
            at::IMPORTS,
            &[at::LOOKUP, 0, 0, at::NAMES + 0x40, at::SLOTS],
        );
        self.words(
            at::IMPORTS + 20,
            &[0, 0, 0, at::NAMES + 0x50, at::HAL_SLOTS],
        );
        self.quads(at::LOOKUP, &[at::NAMES.into(), 1 << 63 | 7, 0]);
        self.quads(at::SLOTS, &[at::NAMES.into(), 1 << 63 | 7, 0]);
        self.quads(at::HAL_SLOTS, &[u64::from(at::NAMES) + 0x10, 0]);
        self.put(at::NAMES, b"\x42\x00DbgPrint\0");
        self.put(at::NAMES + 0x10, b"\x01\x00HalReturnToFirmware\0");
        self.put(at::NAMES + 0x40, b"ntoskrnl.exe\0");
        self.put(at::NAMES + 0x50, b"Hal.DLL\0");
    }

    /// extra.sys, delayed: `Late`.
    fn delayed_imports(&mut self) {
        self.directories[13] = (at::DELAY, 64);
        self.words(
            at::DELAY,
            &[
                1,
                at::NAMES + 0x60,
                0,
                at::DELAY_SLOTS,
                at::DELAY + 0x60,
                0,
                0,
            ],
        );
        self.quads(at::DELAY + 0x60, &[u64::from(at::NAMES) + 0x70, 0]);
        self.quads(at::DELAY_SLOTS, &[BASE + 0x1010, 0]);
        self.put(at::NAMES + 0x60, b"extra.sys\0");
        self.put(at::NAMES + 0x70, b"\0\0Late\0");
    }

    /// `Alpha` and `Also` are ordinal 5, ordinal 6 is unused, ordinal 7 has no name, `Forward` is
    /// ordinal 8 and leads to `other.Name`.
    fn exports(&mut self) {
        let e = at::EXPORTS;
        self.directories[0] = (e, 0xc0);
        self.words(e + 12, &[e + 0x60, 5, 4, 3, e + 0x28, e + 0x38, e + 0x44]);
        self.words(e + 0x28, &[0x1000, 0, 0x1020, e + 0x90]);
        self.words(e + 0x38, &[e + 0x70, e + 0x78, e + 0x80]);
        self.put(e + 0x44, &[0, 0, 0, 0, 3, 0]);
        self.put(e + 0x60, b"test.sys\0");
        self.put(e + 0x70, b"Alpha\0");
        self.put(e + 0x78, b"Also\0");
        self.put(e + 0x80, b"Forward\0");
        self.put(e + 0x90, b"other.Name\0");
    }

    fn load_config(&mut self) {
        let guard = |index: u64| BASE + u64::from(at::GUARD) + index * 8;
        self.directories[10] = (at::LOAD_CONFIG, 0x140);
        self.words(at::LOAD_CONFIG, &[0x140]);
        self.quads(at::LOAD_CONFIG + 0x58, &[BASE + u64::from(at::COOKIE)]);
        self.quads(
            at::LOAD_CONFIG + 0x70,
            &[guard(0), guard(1), BASE + 0x2480, 2],
        );
        self.words(at::LOAD_CONFIG + 0x90, &[0x1000_0500]);
        self.quads(at::LOAD_CONFIG + 0x118, &[guard(2), guard(3), guard(4)]);
        self.quads(at::COOKIE, &[0x2b99_2ddf_a232]);
    }

    /// Two functions, the second one first in the table.
    fn functions(&mut self) {
        self.directories[3] = (at::PDATA, 0x18);
        self.words(
            at::PDATA,
            &[0x1040, 0x1060, at::UNWIND, 0x1000, 0x1040, at::UNWIND],
        );
        // push rbx; sub rsp, 0x20
        self.put(at::UNWIND, &[1, 5, 2, 0, 5, 0x32, 1, 0x30]);
    }

    /// The pointer at 0x3040 and the 32-bit one at 0x3048, then padding.
    fn relocations(&mut self) {
        self.directories[5] = (at::RELOC, 0x20);
        self.words(at::RELOC, &[0x3000, 12]);
        self.put(at::RELOC + 8, &[0x40, 0xa0, 0, 0]);
        self.quads(at::POINTER, &[BASE + 0x1020]);
    }

    /// Writes into a section's data.
    pub(crate) fn put(&mut self, rva: u32, bytes: &[u8]) {
        let section = self
            .sections
            .iter_mut()
            .find(|section| (section.rva..section.rva + section.data.len() as u32).contains(&rva))
            .expect("a section is there");
        let start = (rva - section.rva) as usize;
        section.data[start..start + bytes.len()].copy_from_slice(bytes);
    }

    pub(crate) fn words(&mut self, rva: u32, words: &[u32]) {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.put(rva, &bytes);
    }

    pub(crate) fn quads(&mut self, rva: u32, quads: &[u64]) {
        let bytes: Vec<u8> = quads.iter().flat_map(|quad| quad.to_le_bytes()).collect();
        self.put(rva, &bytes);
    }

    pub(crate) fn build(&self) -> Vec<u8> {
        let mut file = vec![0; self.size_of_headers.min(0x10000) as usize];
        let mut raw_end = self.size_of_headers.min(0x10000);
        let mut table = Vec::new();
        for section in &self.sections {
            let alignment = self.file_alignment.max(1);
            let length = section.data.len() as u32;
            let raw_size = section
                .raw_size
                .unwrap_or(length.next_multiple_of(alignment));
            let raw_offset = section.raw_offset.unwrap_or(raw_end);
            let in_file = if section.data.is_empty() {
                (0, 0)
            } else {
                (raw_size, raw_offset)
            };
            table.extend_from_slice(&section.name);
            for word in [
                section.virtual_size,
                section.rva,
                in_file.0,
                in_file.1,
                0,
                0,
                0,
            ] {
                table.extend_from_slice(&word.to_le_bytes());
            }
            table.extend_from_slice(&section.flags.to_le_bytes());
            let start = raw_end as usize;
            raw_end = (raw_end + length).next_multiple_of(alignment);
            file.resize(raw_end as usize, 0);
            file[start..start + section.data.len()].copy_from_slice(&section.data);
        }
        let header = self.header();
        let table_start = self.nt_offset as usize + 24 + usize::from(self.optional_size);
        let end = (table_start + table.len()).max(header.len());
        file.resize(file.len().max(end), 0);
        file[..header.len()].copy_from_slice(&header);
        file[table_start..table_start + table.len()].copy_from_slice(&table);
        file
    }

    fn header(&self) -> Vec<u8> {
        let mut header = vec![0; self.nt_offset as usize];
        header[..2].copy_from_slice(&self.dos_signature.to_le_bytes());
        header[0x3c..0x40].copy_from_slice(&self.nt_offset.to_le_bytes());
        let nt = header.len();
        header.resize(nt + 24 + 240, 0);
        let count = self.section_count.unwrap_or(self.sections.len() as u16);
        let mut put =
            |at: usize, bytes: &[u8]| header[nt + at..nt + at + bytes.len()].copy_from_slice(bytes);
        put(0, &self.nt_signature.to_le_bytes());
        put(4, &self.machine.to_le_bytes());
        put(6, &count.to_le_bytes());
        put(8, &0x5eed_0001_u32.to_le_bytes());
        put(12, &self.symbol_table.to_le_bytes());
        put(16, &self.symbols.to_le_bytes());
        put(20, &self.optional_size.to_le_bytes());
        put(22, &self.characteristics.to_le_bytes());
        put(24, &self.magic.to_le_bytes());
        put(40, &self.entry_point.to_le_bytes());
        put(48, &self.image_base.to_le_bytes());
        put(56, &self.section_alignment.to_le_bytes());
        put(60, &self.file_alignment.to_le_bytes());
        put(72, &[6, 0, 1, 0]);
        put(80, &self.size_of_image.to_le_bytes());
        put(84, &self.size_of_headers.to_le_bytes());
        put(92, &self.subsystem.to_le_bytes());
        put(132, &self.directory_count.to_le_bytes());
        for (index, (rva, size)) in self.directories.iter().enumerate() {
            put(136 + index * 8, &rva.to_le_bytes());
            put(140 + index * 8, &size.to_le_bytes());
        }
        header
    }
}
