//! Instructions that use registers beyond those of SSE: x87, MMX, AVX and what came after it.
//!
//! The kernel saves such registers around nothing that it calls. SSE's belong to whoever is called,
//! as the general ones do.
//!
//! Source: "Using Floating Point or MMX in a WDM Driver"; "Using Extended Processor Features in
//! Windows Drivers".

use iced_x86::{
    CpuidFeature, Decoder, DecoderOptions, EncodingKind, Instruction, Mnemonic, OpKind,
};

use crate::image::Image;

/// Whether an instruction uses registers beyond those of SSE.
#[must_use]
pub fn uses_extended_state(instruction: &Instruction) -> bool {
    if instruction.encoding() == EncodingKind::Legacy {
        return instruction.cpuid_features().iter().any(|feature| {
            matches!(
                feature,
                CpuidFeature::FPU | CpuidFeature::FPU287 | CpuidFeature::FPU387 | CpuidFeature::MMX
            )
        });
    }
    // Instructions of BMI are encoded in the same manner and use general registers.
    let is_vector = |operand: u32| {
        let register = instruction.op_register(operand);
        instruction.op_kind(operand) == OpKind::Register
            && (register.is_vector_register() || register.is_k())
    };
    matches!(
        instruction.mnemonic(),
        Mnemonic::Vzeroupper | Mnemonic::Vzeroall
    ) || (0..instruction.op_count()).any(is_vector)
}

/// Whether a function of an image does so. Those without unwind data are left out: where they end,
/// and what lies between them, is not known for sure.
#[must_use]
pub fn has_extended_code(image: &Image) -> bool {
    let Ok(laid_out) = image.lay_out(0) else {
        return false;
    };
    image.functions().iter().any(|function| {
        let range = function.begin as usize..function.end as usize;
        let code = laid_out.bytes().get(range).unwrap_or_default();
        Decoder::new(64, code, DecoderOptions::NONE)
            .into_iter()
            .any(|instruction| uses_extended_state(&instruction))
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn uses(bytes: &[u8]) -> bool {
        uses_extended_state(&Decoder::new(64, bytes, DecoderOptions::NONE).decode())
    }

    #[test]
    fn registers_beyond_those_of_sse_are_told_apart() {
        assert!(uses(&[0xC5, 0xFD, 0xEF, 0xC0])); // vpxor ymm0, ymm0, ymm0
        assert!(uses(&[0xC5, 0xF9, 0xEF, 0xC0])); // vpxor xmm0, xmm0, xmm0: clears what is above
        assert!(uses(&[0xC5, 0xF8, 0x77])); // vzeroupper
        assert!(uses(&[0xD9, 0xEE])); // fldz
        assert!(uses(&[0x0F, 0xEF, 0xC0])); // pxor mm0, mm0
        assert!(!uses(&[0x66, 0x0F, 0xEF, 0xC0])); // pxor xmm0, xmm0
        assert!(!uses(&[0xC4, 0xE2, 0x78, 0xF2, 0xC0])); // andn eax, eax, eax
        assert!(!uses(&[0x0F, 0xAE, 0xE8])); // lfence
        assert!(!uses(&[0x90]));
    }

    fn has(path: &str) -> bool {
        let path = format!("{}/../../{path}", env!("CARGO_MANIFEST_DIR"));
        let bytes = std::fs::read(path).expect("it is there");
        has_extended_code(&Image::parse(&bytes).expect("it is an image"))
    }

    #[test]
    fn only_images_with_such_code_have_it() {
        assert!(has("tests/contract/driver/rules.sys"));
        let samples = format!("{}/../../samples", env!("CARGO_MANIFEST_DIR"));
        for folder in std::fs::read_dir(samples).expect("they are there") {
            let name = folder.expect("it can be listed").file_name();
            let name = name.to_string_lossy();
            let path = format!("samples/{name}/{name}.sys");
            let is_there = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("../..")
                .join(&path);
            assert!(!is_there.exists() || !has(&path), "{path}");
        }
    }
}
