//! The kernel and the HAL as images: headers and an export directory, in sight of drivers.
//!
//! Drivers that look for the kernel on the list of loaded modules read its headers next, to find
//! what it exports without importing it. What they find is the same as an import is bound to.
//!
//! Variables are not exported here: each computer lays them out when something asks for them,
//! below the kernel, where no RVA leads.
//!
//! Source: PE Format, "Headers", "The .edata Section".

use dirql_kernel::io::SystemModule;

/// What an export leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Code of the module.
    Rva(u32),
    /// An export of another module, `MODULE.Name`.
    Forwarder(String),
}

const SIGNATURE_AT: usize = 0x80;
const SECTIONS_AT: usize = SIGNATURE_AT + 4 + 20 + OPTIONAL_HEADER;

/// Bytes of the optional header of a PE32+ image with 16 directories.
const OPTIONAL_HEADER: usize = 240;

const PAGE: u32 = 0x1000;

/// RVA of the export directory.
const EXPORTS: u32 = PAGE;

/// Bytes of the export directory's fixed part.
const DIRECTORY: u32 = 40;

/// Readable initialised data; code that is executed and read.
const DATA: u32 = 0x4000_0040;
const CODE: u32 = 0x6000_0020;

/// The bytes of `module` up to the end of its export directory. `code` bytes at the module's
/// end are its code, none for 0. The exports are sorted by name.
pub(crate) fn headers(module: &SystemModule, code: u32, exports: &[(&str, Target)]) -> Vec<u8> {
    let directory = export_directory(module.name, exports);
    let mut image = Image(vec![0; EXPORTS as usize]);
    image.put(0, b"MZ");
    image.words(0x3C, &[SIGNATURE_AT as u32]);

    let count = 1 + u16::from(code != 0);
    image.put(SIGNATURE_AT, b"PE\0\0");
    image.halves(SIGNATURE_AT + 4, &[0x8664, count]);
    // The optional header's size; executable, large address aware.
    image.halves(SIGNATURE_AT + 20, &[OPTIONAL_HEADER as u16, 0x0022]);

    let optional = SIGNATURE_AT + 24;
    let code_at = module.size - code;
    // PE32+, linker 14.0; sizes of code and data, entry point, base of code.
    image.halves(optional, &[0x020B, 14]);
    image.words(optional + 4, &[code, directory.len() as u32, 0, 0, code_at]);
    image.put(optional + 24, &module.base.to_le_bytes());
    image.words(optional + 32, &[PAGE, PAGE]);
    // Versions: system, image, subsystem.
    image.halves(optional + 40, &[10, 0, 10, 0, 10, 0]);
    // Sizes of image and headers, no checksum; the native subsystem.
    image.words(optional + 56, &[module.size, PAGE, 0, 1]);
    image.words(optional + 108, &[16, EXPORTS, directory.len() as u32]);

    image.section(0, ".edata", EXPORTS..code_at, DATA);
    if code != 0 {
        image.section(1, ".text", code_at..module.size, CODE);
    }
    image.0.extend(directory);
    image.0
}

fn export_directory(module: &str, exports: &[(&str, Target)]) -> Vec<u8> {
    let count = exports.len() as u32;
    let functions = EXPORTS + DIRECTORY;
    let names = functions + 4 * count;
    let ordinals = names + 4 * count;
    let mut texts = Vec::new();
    let mut text = |text: &str| {
        let rva = ordinals + 2 * count + texts.len() as u32;
        texts.extend(text.bytes().chain([0]));
        rva
    };
    let mut words = vec![
        0,
        0,
        0,
        text(module),
        1,
        count,
        count,
        functions,
        names,
        ordinals,
    ];
    words.extend(exports.iter().map(|(_, target)| match target {
        Target::Rva(rva) => *rva,
        Target::Forwarder(to) => text(to),
    }));
    words.extend(exports.iter().map(|(name, _)| text(name)));
    let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    bytes.extend((0..exports.len() as u16).flat_map(u16::to_le_bytes));
    bytes.extend(texts);
    bytes
}

struct Image(Vec<u8>);

impl Image {
    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn halves(&mut self, at: usize, values: &[u16]) {
        let bytes: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        self.put(at, &bytes);
    }

    fn words(&mut self, at: usize, values: &[u32]) {
        let bytes: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        self.put(at, &bytes);
    }

    fn section(&mut self, index: usize, name: &str, rva: std::ops::Range<u32>, flags: u32) {
        let at = SECTIONS_AT + 40 * index;
        let size = rva.end - rva.start;
        self.put(at, name.as_bytes());
        self.words(at + 8, &[size, rva.start, size, rva.start]);
        self.words(at + 36, &[flags]);
    }
}

#[cfg(test)]
mod tests {
    use dirql_image::{ExportTarget, Image};

    use super::*;

    #[test]
    fn the_headers_lead_to_what_imports_are_bound_to() {
        let [kernel, hal] = crate::thunk::MODULES else {
            panic!("there are a kernel and a HAL");
        };
        let host = crate::Host::new(dirql_kernel::Config::default()).unwrap();
        let target = |module: &SystemModule, name: &str| {
            let image = mapped(&host, module);
            let export = image.exports().by_name(name);
            export.map(|export| export.target.clone())
        };
        for name in [
            "IoConnectInterruptEx",
            "KeSetEvent",
            "HalGetInterruptVector",
        ] {
            let bound = host.kernel().system_routine(name).unwrap().unwrap();
            let rva = (bound - kernel.base) as u32;
            assert_eq!(target(kernel, name), Some(ExportTarget::Rva(rva)));
        }
        assert_eq!(target(kernel, "dirql:InvalidDeviceRequest"), None);
        assert_eq!(
            target(hal, "HalGetInterruptVector"),
            Some(ExportTarget::Forwarder(
                "NTOSKRNL.HalGetInterruptVector".into()
            ))
        );
        assert_eq!(target(hal, "KeSetEvent"), None);
    }

    /// What is mapped of `module`, read as if it were a file.
    fn mapped(host: &crate::Host, module: &SystemModule) -> Image {
        let mut file = host.kernel().read_bytes(module.base, 0x4_0000).unwrap();
        file.resize(module.size as usize, 0);
        Image::parse(&file).unwrap()
    }
}
