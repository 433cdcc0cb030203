//! Instructions that read the processor's time-stamp counter.
//!
//! Source: Intel SDM volume 2, "RDTSC" and "RDTSCP".

use crate::image::Image;

const RDTSC: &[u8] = &[0x0F, 0x31];
const RDTSCP: &[u8] = &[0x0F, 0x01, 0xF9];

/// Whether an image may read the time-stamp counter: whether the bytes of such an instruction are
/// anywhere in its code, which they can be by chance.
#[must_use]
pub fn may_read_time_stamps(image: &Image) -> bool {
    let Ok(laid_out) = image.lay_out(0) else {
        return false;
    };
    let sections = image.sections().iter();
    let mut code = sections.filter(|section| section.is_executable());
    code.any(|section| {
        let range = section.range();
        let bytes = laid_out
            .bytes()
            .get(range.start as usize..range.end as usize);
        let bytes = bytes.unwrap_or_default();
        let has = |instruction: &[u8]| {
            bytes
                .windows(instruction.len())
                .any(|window| window == instruction)
        };
        has(RDTSC) || has(RDTSCP)
    })
}
