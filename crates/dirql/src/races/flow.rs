//! Whether what an instruction writes is made of what another one has read.

use std::collections::BTreeSet;

use iced_x86::{
    Decoder, DecoderOptions, Instruction, InstructionInfoFactory, OpAccess, OpKind, Register,
};

/// Bytes of code between the two, at most: further apart they are not one calculation.
const FAR: u64 = 256;

/// Whether the instruction at `write` writes something made of what the one at `read` has read.
/// `code` gives bytes at an address.
///
/// What is between is taken as it stands in memory, without its jumps: for a load and a store of
/// one statement that is what runs.
pub(super) fn is_derived(code: &dyn Fn(u64) -> Vec<u8>, read: u64, write: u64) -> bool {
    if write < read || write - read > FAR {
        return false;
    }
    let bytes = code(read);
    let mut decoder = Decoder::with_ip(64, &bytes, read, DecoderOptions::NONE);
    let mut factory = InstructionInfoFactory::new();
    let mut made_of = BTreeSet::new();
    while decoder.can_decode() {
        let instruction = decoder.decode();
        if instruction.is_invalid() || instruction.ip() > write {
            return false;
        }
        if instruction.ip() == write {
            return read == write || uses(&mut factory, &instruction, &made_of);
        }
        let info = factory.info(&instruction);
        let mut takes = instruction.ip() == read;
        let mut gives = Vec::new();
        for used in info.used_registers() {
            let register = used.register().full_register();
            match used.access() {
                OpAccess::Read | OpAccess::CondRead => takes |= made_of.contains(&register),
                OpAccess::Write | OpAccess::CondWrite => gives.push(register),
                OpAccess::ReadWrite | OpAccess::ReadCondWrite => {
                    takes |= made_of.contains(&register);
                    gives.push(register);
                }
                _ => {}
            }
        }
        for register in gives
            .into_iter()
            .filter(|register| *register != Register::RSP)
        {
            if takes {
                made_of.insert(register);
            } else {
                made_of.remove(&register);
            }
        }
    }
    false
}

/// Whether a store stores one of the registers.
fn uses(
    factory: &mut InstructionInfoFactory,
    store: &Instruction,
    registers: &BTreeSet<Register>,
) -> bool {
    let operands = 0..store.op_count();
    let source = operands
        .filter(|operand| store.op_kind(*operand) == OpKind::Register)
        .map(|operand| store.op_register(operand).full_register());
    if source.clone().any(|source| registers.contains(&source)) {
        return true;
    }
    // `stos` and `push` name what they store implicitly.
    store.op_count() == 0
        && factory
            .info(store)
            .used_registers()
            .iter()
            .any(|used| registers.contains(&used.register().full_register()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `mov eax, [rcx]` and so on, at 0x1000.
    fn derived(code: &[u8], read: u64, write: u64) -> bool {
        let at = |address: u64| code[(address - 0x1000) as usize..].to_vec();
        is_derived(&at, 0x1000 + read, 0x1000 + write)
    }

    #[test]
    fn a_sum_is_made_of_its_terms() {
        // mov eax, [rcx]; lea edx, [rax+1]; mov [rcx], edx
        assert!(derived(&[0x8B, 0x01, 0x8D, 0x50, 0x01, 0x89, 0x11], 0, 5));
        // add dword [rcx], 1
        assert!(derived(&[0x83, 0x01, 0x01], 0, 0));
    }

    #[test]
    fn a_constant_is_made_of_nothing() {
        // cmp dword [rcx], 0; mov dword [rcx], 1
        let code = [0x83, 0x39, 0x00, 0xC7, 0x01, 0x01, 0x00, 0x00, 0x00];
        assert!(!derived(&code, 0, 3));
        // mov eax, [rcx]; mov eax, 1; mov [rcx], eax
        let code = [0x8B, 0x01, 0xB8, 0x01, 0x00, 0x00, 0x00, 0x89, 0x01];
        assert!(!derived(&code, 0, 7));
    }

    #[test]
    fn what_is_far_away_or_before_is_another_calculation() {
        assert!(!derived(&[0x8B, 0x01, 0x89, 0x01], 2, 0));
        let mut code = vec![0x8B, 0x01];
        code.resize(300, 0x90);
        code.extend([0x89, 0x01]);
        assert!(!derived(&code, 0, 300));
    }
}
