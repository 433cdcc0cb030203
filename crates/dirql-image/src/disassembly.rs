//! Instructions as an assembler writes them, with names for what they refer to.
//!
//! The form is Microsoft's assembler's, with `0x` before hexadecimal numbers.

use iced_x86::{Decoder, DecoderOptions, Formatter as _, Instruction, MasmFormatter};

use crate::image::Image;

/// The longest instruction, in bytes.
const LONGEST: usize = 15;

/// Bytes that are decoded for one listing, at most: functions are longer, but nobody reads that
/// far from a place of interest.
const MOST_BYTES: u32 = 64 * 1024;

/// An instruction of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Where it is, counted from the image base.
    pub rva: u32,
    /// As an assembler writes it.
    pub text: String,
}

/// Up to `before` instructions in front of the one at `rva`, that one, and up to `after` behind
/// it. `file` is what `image` was parsed from, `start` where the function begins, and `name` says
/// what is at an RVA. Empty where there is no code.
///
/// Instructions are decoded from `start` on; if that does not come out at `rva`, from there.
#[must_use]
pub fn listing(
    image: &Image,
    file: &[u8],
    start: u32,
    rva: u32,
    (before, after): (usize, usize),
    name: impl Fn(u32) -> Option<String>,
) -> Vec<Line> {
    let start = if rva.wrapping_sub(start) < MOST_BYTES {
        start
    } else {
        rva
    };
    let end = rva.saturating_add(((after + 1) * LONGEST) as u32);
    let mut lines = decoded(image, file, start..end, &name);
    let mut place = lines.iter().position(|line| line.rva == rva);
    if place.is_none() {
        lines = decoded(image, file, rva..end, &name);
        place = lines.iter().position(|line| line.rva == rva);
    }
    let Some(place) = place else {
        return Vec::new();
    };
    lines.truncate(place + 1 + after);
    lines.split_off(place.saturating_sub(before))
}

fn decoded(
    image: &Image,
    file: &[u8],
    range: std::ops::Range<u32>,
    name: &impl Fn(u32) -> Option<String>,
) -> Vec<Line> {
    let Some(bytes) = bytes(image, file, &range) else {
        return Vec::new();
    };
    let mut formatter = MasmFormatter::new();
    let options = formatter.options_mut();
    options.set_hex_prefix("0x");
    options.set_hex_suffix("");
    options.set_branch_leading_zeros(false);
    options.set_space_after_operand_separator(true);
    let mut decoder = Decoder::with_ip(64, bytes, range.start.into(), DecoderOptions::NONE);
    let mut lines = Vec::new();
    while decoder.can_decode() {
        let instruction = decoder.decode();
        if instruction.is_invalid() {
            break;
        }
        let mut text = String::new();
        formatter.format(&instruction, &mut text);
        if let Some(name) = referred(&instruction).and_then(|rva| named(image, rva, name)) {
            text.push_str("  ; ");
            text.push_str(&name);
        }
        lines.push(Line {
            rva: instruction.ip() as u32,
            text,
        });
    }
    lines
}

/// The address that an instruction names, if it names one.
fn referred(instruction: &Instruction) -> Option<u32> {
    let address = if instruction.is_ip_rel_memory_operand() {
        instruction.ip_rel_memory_address()
    } else if instruction.is_call_near() || instruction.is_jmp_short_or_near() {
        instruction.near_branch_target()
    } else {
        return None;
    };
    u32::try_from(address).ok()
}

/// What is at an RVA: an import by the name of its routine, else what `name` says.
fn named(image: &Image, rva: u32, name: &impl Fn(u32) -> Option<String>) -> Option<String> {
    let import = image.imports().find(|import| import.slot == rva);
    import.map_or_else(|| name(rva), |import| Some(import.symbol.to_string()))
}

/// The bytes of the file that lie at a range of RVAs, as far as they lie in one section.
fn bytes<'f>(image: &Image, file: &'f [u8], range: &std::ops::Range<u32>) -> Option<&'f [u8]> {
    let section = image.section_at(range.start)?;
    let offset = range.start - section.rva();
    let first = section.raw_offset.checked_add(offset)? as usize;
    let left = section.raw_size.checked_sub(offset)?;
    let last = first + (range.len().min(left as usize));
    file.get(first..last)
}
