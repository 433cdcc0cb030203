//! The checksum of a PE file.
//!
//! Source: PE Format, "CheckSum", which names the routine (`CheckSumMappedFile` of ImageHlp): the
//! 16-bit words of the file, without the checksum itself, added with end-around carry, plus the
//! length of the file.

/// Offset of `CheckSum` from the signature.
const CHECKSUM: u64 = 24 + 64;

/// The checksum of `file`, whose signature is at `nt_offset`.
pub(crate) fn compute(file: &[u8], nt_offset: u64) -> u32 {
    let skipped = nt_offset + CHECKSUM;
    let mut sum: u64 = 0;
    for (offset, pair) in (0u64..).step_by(2).zip(file.chunks(2)) {
        if offset == skipped || offset == skipped + 2 {
            continue;
        }
        let word = match *pair {
            [low, high] => u16::from_le_bytes([low, high]),
            [low] => u16::from(low),
            _ => 0,
        };
        sum += u64::from(word);
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    // Both are truncated by definition: the field has 32 bits.
    (sum as u32).wrapping_add(file.len() as u32)
}
