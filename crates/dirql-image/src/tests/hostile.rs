//! Files made to break the reader.

use proptest::prelude::*;

use crate::builder::Pe;
use crate::unwind::Registers;
use crate::{Image, PAGE};

/// Uses all there is of an image.
fn exercise(image: &Image) {
    assert!(image.mapped_size().is_multiple_of(PAGE));
    let mut next = 0;
    for region in image.regions() {
        assert_eq!(region.rva, next, "regions have no gaps");
        next += region.size;
    }
    assert_eq!(next, image.mapped_size());
    for base in [image.preferred_base(), 0x1_0000, 0x7fff_0000_0000] {
        let Ok(mut laid_out) = image.lay_out(base) else {
            continue;
        };
        laid_out.bind(|import| import.slot.into());
        laid_out.set_security_cookie(1);
        laid_out.set_guard_pointers(2, 3);
        assert_eq!(laid_out.bytes().len(), image.mapped_size() as usize);
        for function in image.functions().iter().take(64) {
            let _ = image.unwind_info(function);
            for rva in [function.begin, function.begin + 1, function.end - 1] {
                let mut registers = Registers::at(base + u64::from(rva));
                let _ = image.unwind(base, &mut registers, Some);
            }
        }
    }
}

fn check(file: &[u8]) {
    if let Ok(image) = Image::parse(file) {
        exercise(&image);
    }
}

#[test]
fn a_file_cut_at_any_length_is_an_error() {
    let file = Pe::driver().build();
    for length in 0..file.len() {
        let error = Image::parse(&file[..length]).expect_err("the last section is cut");
        assert!(!error.to_string().is_empty());
    }
    exercise(&Image::parse(&file).unwrap());
}

#[test]
fn any_byte_may_have_any_extreme_value() {
    let file = Pe::driver().build();
    // Code and padding do not matter.
    for offset in (0..0x400).chain(0x600..file.len()) {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut changed = file.clone();
            changed[offset] = value;
            // The two high bytes of SizeOfImage would make this test copy gigabytes.
            if !(0x40 + 82..0x40 + 84).contains(&offset) {
                check(&changed);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn noise_is_read_without_a_panic(file in proptest::collection::vec(any::<u8>(), 0..2048)) {
        check(&file);
    }

    #[test]
    fn changed_words_are_read_without_a_panic(
        changes in proptest::collection::vec((0usize..0x1800, word()), 1..12),
    ) {
        let mut file = Pe::driver().build();
        for (offset, word) in changes {
            for (byte, to) in word.to_le_bytes().into_iter().zip(&mut file[offset & !3..]) {
                *to = byte;
            }
        }
        // Stay small: the size is tested elsewhere.
        file[0x40 + 82] = 0;
        file[0x40 + 83] = 0;
        check(&file);
    }
}

/// Words that are likely to mean something.
fn word() -> impl Strategy<Value = u32> {
    prop_oneof![
        any::<u32>(),
        0u32..0x9100,
        Just(0),
        Just(u32::MAX),
        (0u32..32).prop_map(|bit| 1 << bit),
        (0u32..32).prop_map(|bit| (1 << bit) - 1),
        (0x2000u32..0x2600).prop_map(|rva| rva & !7),
    ]
}
