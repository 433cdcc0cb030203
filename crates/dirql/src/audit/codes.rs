//! Device control codes that a driver probably knows, from the numbers that its code compares
//! with.
//!
//! Compilers turn a `switch` over codes into comparisons with some of them and subtractions of
//! distances, so a number that is found stands for those that follow it, too. A wrong guess costs
//! a request that the driver refuses.

use std::collections::BTreeSet;

use dirql_image::Image;
use iced_x86::{Decoder, DecoderOptions, Instruction, Mnemonic, OpKind};

/// Codes at most; a driver with more of them is sent these.
const MOST: usize = 24;

/// Functions that follow one that was found.
const NEIGHBOURS: u32 = 3;

/// The codes that the code of these images compares with.
pub(super) fn guess<'i>(images: impl Iterator<Item = &'i [u8]>) -> Vec<u32> {
    let mut found = BTreeSet::new();
    for bytes in images {
        // What is wrong with an image is said when it is loaded.
        if let Ok(image) = Image::parse(bytes) {
            collect(&image, &mut found);
        }
    }
    let mut codes = found.clone();
    for code in &found {
        codes.extend((1..=NEIGHBOURS).map(|step| code + 4 * step));
    }
    // Those that were seen count before those that may follow them.
    let rest = codes.difference(&found).copied();
    found.iter().copied().chain(rest).take(MOST).collect()
}

fn collect(image: &Image, found: &mut BTreeSet<u32>) {
    let Ok(laid_out) = image.lay_out(0) else {
        return;
    };
    let bytes = laid_out.bytes();
    // Not every compiler lists its functions. What is decoded out of step gives wrong guesses.
    for section in image.sections().iter().filter(|s| s.is_executable()) {
        let range = section.range();
        let Some(code) = bytes.get(range.start as usize..range.end as usize) else {
            continue;
        };
        let decoder = Decoder::with_ip(64, code, range.start.into(), DecoderOptions::NONE);
        found.extend(
            decoder
                .into_iter()
                .filter_map(|instruction| compared(&instruction)),
        );
    }
}

/// The control code that an instruction compares with or subtracts, if that is what it does.
fn compared(instruction: &Instruction) -> Option<u32> {
    let compares = matches!(
        instruction.mnemonic(),
        Mnemonic::Cmp | Mnemonic::Sub | Mnemonic::Add
    );
    if !compares || instruction.op1_kind() != OpKind::Immediate32 {
        return None;
    }
    let number = instruction.immediate32();
    // Compilers add the negative number to subtract a positive one.
    let code = if instruction.mnemonic() == Mnemonic::Add {
        number.wrapping_neg()
    } else {
        number
    };
    is_plausible(code).then_some(code)
}

/// `CTL_CODE(DeviceType, Function, Method, Access)`: a type of device that Microsoft or a vendor
/// gives out, and not a status or an address.
///
/// Source: "Defining I/O Control Codes".
const fn is_plausible(code: u32) -> bool {
    let kind = code >> 16;
    matches!(kind, 0x01..=0xFF | 0x8000..=0x9FFF)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(name: &str) -> Vec<u8> {
        let path = format!(
            "{}/../../samples/{name}/{name}.sys",
            env!("CARGO_MANIFEST_DIR")
        );
        std::fs::read(path).unwrap()
    }

    #[test]
    fn the_codes_of_samples_are_found() {
        let codes = guess(std::iter::once(&sample("edu-dma")[..]));
        assert!(
            codes.contains(&0x22_2000) && codes.contains(&0x22_2004),
            "{codes:x?}"
        );
        let codes = guess(std::iter::once(&sample("nvme-msix")[..]));
        assert!(codes.contains(&0x7_2400), "{codes:x?}");
    }

    #[test]
    fn what_is_no_image_has_none() {
        assert_eq!(guess(std::iter::once(&b"MZ"[..])), [0_u32; 0]);
    }
}
