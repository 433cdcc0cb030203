//! Loops of an image's code.

use crate::blocks::{Block, blocks, leads_to};
use crate::image::Image;

/// The RVA at which the innermost loop around an instruction begins: where a branch from behind it,
/// of the same function, leads to at or before it. `None` if it is in no loop.
#[must_use]
pub fn loop_around(image: &Image, rva: u32) -> Option<u32> {
    let blocks = blocks(image, []);
    let holds = |block: &&Block| (block.begin..block.end).contains(&rva);
    let function = blocks.iter().find(holds)?.function;
    let of_function = blocks.iter().filter(|block| block.function == function);
    let back = of_function.flat_map(|block| {
        let to = leads_to(image, block).into_iter();
        let back = to.filter(|to| *to <= block.begin);
        back.map(|to| (to, block.end))
    });
    back.filter(|(begin, end)| (*begin..*end).contains(&rva))
        .min_by_key(|(begin, end)| end - begin)
        .map(|(begin, _)| begin)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builder::{Pe, at};

    #[test]
    fn the_innermost_loop_around_an_instruction_begins_where_the_nearest_branch_leads_back_to() {
        // 0: xor eax, eax; 2: inc eax; 4: inc ecx; 6: cmp ecx, edx; 8: jne 4; a: test eax, eax;
        // c: jne 2; e: ret
        let mut pe = Pe::driver();
        pe.put(
            at::TEXT,
            &[
                0x31, 0xC0, 0xFF, 0xC0, 0xFF, 0xC1, 0x39, 0xD1, 0x75, 0xFA, 0x85, 0xC0, 0x75, 0xF4,
                0xC3,
            ],
        );
        let image = Image::parse(&pe.build()).expect("it is an image");
        let begins = |rva: u32| loop_around(&image, at::TEXT + rva).map(|rva| rva - at::TEXT);
        assert_eq!([2, 4, 6, 8, 0xA, 0xC].map(begins), {
            let (outer, inner) = (Some(2), Some(4));
            [outer, inner, inner, inner, outer, outer]
        });
        assert_eq!([0, 0xE, 0x100].map(begins), [None; 3]);
    }
}
