//! The checksum of a PE file.
//!
//! Source: PE Format, "CheckSum", which names the routine (`CheckSumMappedFile` of ImageHlp): the
//! 16-bit words of the file, without the checksum itself, added with end-around carry, plus the
//! length of the file.

/// Offset of `CheckSum` from the signature.
const CHECKSUM: u64 = 24 + 64;

/// The checksum of `file`, whose signature is at `nt_offset`.
pub(crate) fn compute(file: &[u8], nt_offset: u64) -> u32 {
    let skipped = (nt_offset + CHECKSUM) as usize;
    let (words, odd) = file.as_chunks::<2>();
    let all: u64 = words.iter().map(word).sum();
    let own: u64 = [skipped / 2, skipped / 2 + 1]
        .iter()
        .filter_map(|place| words.get(*place).map(word))
        .sum();
    let last: u64 = odd.iter().map(|byte| u64::from(*byte)).sum();
    let mut sum = all - own + last;
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    // Both are truncated by definition: the field has 32 bits.
    (sum as u32).wrapping_add(file.len() as u32)
}

fn word(bytes: &[u8; 2]) -> u64 {
    u64::from(u16::from_le_bytes(*bytes))
}
