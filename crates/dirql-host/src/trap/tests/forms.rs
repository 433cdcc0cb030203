//! Every encoding with a memory operand, on ordinary memory and on a device that holds the
//! same bytes: registers, flags, vectors and memory must come out alike.

use std::collections::{BTreeMap, BTreeSet};

use dirql_chips::Width;
use dirql_kernel::mm::layout;
use iced_x86::{Code, Instruction, InstructionInfoFactory, Mnemonic};

use super::Random;
use super::runner::{Registers, Runner};
use super::twin::Asked;
use crate::trap::decode::{classify, decode};
use crate::trap::fault::FaultKind;
use crate::trap::operation::{MemoryOperation, Operation, Segment};
use crate::trap::stub::{NoStub, Stubs};

/// Bytes around the operand, which is near the middle.
const BUFFER: usize = 0x1000;
const MIDDLE: u64 = 0x800;

/// Registers that can hold the address, with their number in the ModRM byte.
const BASES: [u8; 4] = [3, 6, 7, 1];

#[repr(align(4096))]
struct Buffer([u8; BUFFER]);

/// An encoding up to its ModRM byte, which has a base register and a displacement of 8 bits.
struct Encoding {
    start: Vec<u8>,
    reg: u8,
}

impl Encoding {
    fn with_base(&self, base: u8) -> Vec<u8> {
        let mut bytes = self.start.clone();
        bytes.push(0x40 | self.reg << 3 | base);
        // No displacement, then an immediate as long as any.
        bytes.extend([0x00, 0x05, 0x03, 0x02, 0x01, 0x05, 0x03, 0x02, 0x01]);
        bytes.truncate(15);
        bytes
    }
}

fn legacy(encodings: &mut Vec<Encoding>) {
    let prefixes: [&[u8]; 8] = [
        &[],
        &[0x66],
        &[0xF2],
        &[0xF3],
        &[0xF0],
        &[0xF0, 0x66],
        &[0x66, 0xF2],
        &[0x66, 0xF3],
    ];
    let rexes: [&[u8]; 4] = [&[], &[0x40], &[0x48], &[0x4C]];
    let maps: [&[u8]; 4] = [&[], &[0x0F], &[0x0F, 0x38], &[0x0F, 0x3A]];
    for map in maps {
        for opcode in 0..=0xFF {
            if map.is_empty() && is_prefix(opcode) {
                continue;
            }
            for prefix in prefixes {
                for rex in rexes {
                    for reg in 0..8 {
                        let start = [prefix, rex, map, &[opcode]].concat();
                        encodings.push(Encoding { start, reg });
                    }
                }
            }
        }
    }
}

/// Prefixes, escapes, and the forms whose address is in the instruction.
fn is_prefix(opcode: u8) -> bool {
    matches!(opcode, 0x0F | 0x26 | 0x2E | 0x36 | 0x3E | 0x40..=0x4F | 0x62 | 0x64..=0x67 | 0xC4 | 0xC5)
        || matches!(opcode, 0xA0..=0xA3 | 0xF0 | 0xF2 | 0xF3)
}

fn vex(encodings: &mut Vec<Encoding>, random: &mut Random) {
    for map in 1..=3 {
        for control in 0..=0xFF_u8 {
            // A third of the values of vvvv is enough.
            if control >> 3 & 0xF != 0xF && random.below(3) != 0 {
                continue;
            }
            for opcode in 0..=0xFF {
                let reg = random.below(8) as u8;
                let high = (random.below(2) as u8) << 7;
                encodings.push(Encoding {
                    start: vec![0xC4, 0x60 | high | map, control, opcode],
                    reg,
                });
            }
        }
    }
}

fn evex(encodings: &mut Vec<Encoding>, random: &mut Random) {
    for map in [1, 2, 3, 5, 6] {
        for prefix in 0..4 {
            for w in [0, 0x80] {
                for length_and_broadcast in (0..8).map(|bits| bits << 4) {
                    for opcode in 0..=0xFF {
                        // Low registers, and those from 8 and from 16 on.
                        let registers = [0xF0, 0x70, 0xE0][random.below(3) as usize];
                        let vvvv = if random.below(2) == 0 {
                            0xF
                        } else {
                            random.below(16) as u8
                        };
                        let start = vec![
                            0x62,
                            registers | map,
                            w | vvvv << 3 | 4 | prefix,
                            length_and_broadcast | 8,
                            opcode,
                        ];
                        encodings.push(Encoding {
                            start,
                            reg: random.below(8) as u8,
                        });
                    }
                }
            }
        }
    }
}

/// Whether the instruction reads or writes `base` for another reason than its address: then
/// it still uses it when another register has the address.
fn uses_besides(encoding: &Encoding, base: u8) -> Option<bool> {
    let other = if base == BASES[0] { BASES[1] } else { BASES[0] };
    let instruction = decode(&encoding.with_base(other), 0)?;
    let mut factory = InstructionInfoFactory::new();
    let used = factory.info(&instruction).used_registers().iter();
    let mut used = used
        .map(|used| used.register())
        .filter(|register| register.is_gpr());
    Some(used.any(|register| register.full_register().number() == usize::from(base)))
}

/// What of an instruction's outcome must be the same.
#[derive(PartialEq, Eq)]
struct Outcome {
    fault: Option<FaultKind>,
    general: [u64; 16],
    flags: u64,
    memory: Vec<u8>,
    vectors: Vec<u8>,
}

struct Case<'a> {
    runner: &'a Runner,
    base: u8,
    registers: Registers,
    memory: Vec<u8>,
    /// Of the operand in its 64 bytes.
    offset: u64,
}

impl Case<'_> {
    fn native(&self, buffer: &mut Buffer) -> Outcome {
        buffer.0.copy_from_slice(&self.memory);
        let place = buffer.0.as_mut_ptr().expose_provenance() as u64;
        self.run(place, |_| {}, || buffer.0.to_vec())
    }

    fn on_device(&self) -> Outcome {
        let twin = self.runner.twin;
        twin.device.borrow_mut()[..BUFFER].copy_from_slice(&self.memory);
        self.run(
            layout::DEVICE.start,
            |_| {},
            || twin.device.borrow()[..BUFFER].to_vec(),
        )
    }

    fn run(
        &self,
        place: u64,
        prepare: impl Fn(&mut Registers),
        memory: impl Fn() -> Vec<u8>,
    ) -> Outcome {
        let mut registers = self.registers.clone();
        registers.general[usize::from(self.base)] = place + MIDDLE + self.offset;
        prepare(&mut registers);
        self.runner.go(&mut registers);
        let fault = self.runner.twin.take_fault_kind();
        let base = &mut registers.general[usize::from(self.base)];
        *base = base.wrapping_sub(place);
        Outcome {
            fault,
            general: registers.general,
            flags: registers.flags & 0xCD5,
            memory: memory(),
            vectors: registers.vector_content(),
        }
    }
}

fn random_case<'a>(
    runner: &'a Runner,
    random: &mut Random,
    base: u8,
    operation: &MemoryOperation,
) -> Case<'a> {
    let mut registers = runner.registers();
    for (number, register) in registers.general.iter_mut().enumerate() {
        // Small numbers find the edges of shifts, divisions and comparisons.
        let value = if random.below(3) == 0 {
            random.below(40)
        } else {
            random.next()
        };
        *register = if number == 4 { *register } else { value };
    }
    if let Some(index) = operation.bit_index {
        // The stack pointer cannot be small: then its alignment decides.
        if operation.stand_in.is_none() {
            registers.general[usize::from(index)] = random.below(2048).wrapping_sub(1024);
        }
    }
    registers.flags = 2 | random.next() & 0x8D5;
    registers.vectors[160..416].fill_with(|| random.next() as u8);
    registers.vectors[576..832].fill_with(|| random.next() as u8);
    registers.vectors[1088..2688].fill_with(|| random.next() as u8);
    for register in 0..8 {
        registers.vectors[32 + 16 * register..][..10].fill_with(|| random.next() as u8);
    }
    let mut memory: Vec<u8> = (0..BUFFER).map(|_| random.next() as u8).collect();
    if random.below(4) == 0 {
        // What is compared with the accumulator is equal to it now and then.
        memory[MIDDLE as usize..][..8].copy_from_slice(&registers.general[0].to_le_bytes());
    }
    let offset = [0, 0, random.below(64)][random.below(3) as usize];
    Case {
        runner,
        base,
        registers,
        memory,
        offset,
    }
}

/// Bit strings indexed by the stack pointer reach too far for a buffer.
fn reaches_too_far(operation: &MemoryOperation) -> bool {
    operation.bit_index.is_some() && operation.bit_index == operation.stand_in
}

struct Checker<'a> {
    runner: &'a Runner,
    stubs: Stubs,
    random: Random,
    buffer: Box<Buffer>,
    /// How often each was run without a fault.
    done: BTreeMap<Code, u32>,
    failures: BTreeSet<String>,
}

impl Checker<'_> {
    fn check(&mut self, encoding: &Encoding, most: u32) {
        let Some(base) = BASES
            .into_iter()
            .find(|base| uses_besides(encoding, *base) == Some(false))
        else {
            return;
        };
        let bytes = encoding.with_base(base);
        let Some(instruction) = decode(&bytes, 0) else {
            return;
        };
        if self
            .done
            .get(&instruction.code())
            .is_some_and(|done| *done >= most)
        {
            return;
        }
        let operation = match classify(&instruction, &self.stubs) {
            Err(NoStub::Full) => {
                self.stubs.clear();
                classify(&instruction, &self.stubs)
            }
            other => other,
        };
        let Ok(Operation::Memory(operation)) = operation else {
            return;
        };
        if reaches_too_far(&operation) || instruction.mnemonic() == Mnemonic::Prefetchw {
            return;
        }
        self.runner.load(&bytes[..instruction.len()]);
        let case = random_case(self.runner, &mut self.random, base, &operation);
        let native = case.native(&mut self.buffer);
        let carried_out = case.on_device();
        if native.fault.is_none() {
            *self.done.entry(instruction.code()).or_default() += 1;
        }
        if native != carried_out {
            self.failures
                .insert(difference(&instruction, &native, &carried_out));
        }
    }
}

fn difference(instruction: &Instruction, native: &Outcome, carried_out: &Outcome) -> String {
    let mut parts = Vec::new();
    if native.fault != carried_out.fault {
        parts.push(format!("{:?} / {:?}", native.fault, carried_out.fault));
    }
    if native.general != carried_out.general {
        parts.push(format!(
            "{:x?} / {:x?}",
            native.general, carried_out.general
        ));
    }
    if native.flags != carried_out.flags {
        parts.push(format!(
            "flags {:x} / {:x}",
            native.flags, carried_out.flags
        ));
    }
    for (what, left, right) in [
        ("memory", &native.memory, &carried_out.memory),
        ("vectors", &native.vectors, &carried_out.vectors),
    ] {
        let different = left
            .iter()
            .zip(right)
            .enumerate()
            .find(|(_, (left, right))| left != right);
        parts.extend(
            different.map(|(at, (left, right))| format!("{what} at {at:#x}: {left:x} / {right:x}")),
        );
    }
    format!("{:?}: {}", instruction.code(), parts.join(", "))
}

fn check_all(encodings: &[Encoding], seed: u64, most: u32, least_forms: usize) {
    let runner = Runner::new();
    runner.twin.recording.set(false);
    let mut checker = Checker {
        runner: &runner,
        stubs: Stubs::new().unwrap(),
        random: Random(seed),
        buffer: Box::new(Buffer([0; BUFFER])),
        done: BTreeMap::new(),
        failures: BTreeSet::new(),
    };
    for encoding in encodings {
        checker.check(encoding, most);
    }
    assert!(checker.failures.is_empty(), "{:#?}", checker.failures);
    assert!(
        checker.done.len() >= least_forms,
        "{} forms",
        checker.done.len()
    );
}

#[test]
fn legacy_instructions_do_on_devices_what_they_do_in_memory() {
    let mut encodings = Vec::new();
    legacy(&mut encodings);
    check_all(&encodings, 4, 40, 400);
}

#[test]
fn vex_instructions_do_on_devices_what_they_do_in_memory() {
    let has_avx = std::arch::is_x86_feature_detected!("avx2");
    let mut encodings = Vec::new();
    vex(&mut encodings, &mut Random(5));
    check_all(&encodings, 6, 12, if has_avx { 400 } else { 0 });
}

#[test]
fn evex_instructions_do_on_devices_what_they_do_in_memory() {
    let has_avx512 = std::arch::is_x86_feature_detected!("avx512f");
    let mut encodings = Vec::new();
    evex(&mut encodings, &mut Random(7));
    check_all(&encodings, 8, 12, if has_avx512 { 400 } else { 0 });
}

/// Runs `code` with rbx at `offset` of device memory and says what the device saw.
fn seen(code: &[u8], offset: u64) -> Vec<Asked> {
    let runner = Runner::new();
    let mut registers = runner.registers();
    registers.general[3] = layout::DEVICE.start + offset;
    runner.run(code, &mut registers);
    assert_eq!(runner.twin.take_fault(), None);
    runner.twin.take_asked()
}

const fn at(offset: u64) -> u64 {
    layout::DEVICE_PHYSICAL + offset
}

#[test]
fn a_device_sees_one_access_for_an_aligned_operand() {
    assert_eq!(
        seen(&[0x8B, 0x03], 0x10),
        [Asked::ReadDevice(at(0x10), Width::U32)]
    );
    assert_eq!(
        seen(&[0x0F, 0xB6, 0x03], 0x11),
        [Asked::ReadDevice(at(0x11), Width::U8)]
    );
    assert_eq!(
        seen(&[0x48, 0xC7, 0x03, 0xFE, 0xFF, 0xFF, 0xFF], 8),
        [Asked::WriteDevice(at(8), Width::U64, !1)]
    );
    // lock or [rbx], ecx: read, then write
    let update = [
        Asked::ReadDevice(at(4), Width::U32),
        Asked::WriteDevice(at(4), Width::U32, 0),
    ];
    assert_eq!(seen(&[0xF0, 0x09, 0x0B], 4), update);
    // lock cmpxchg [rbx], ecx writes even when it compares unequal, but here it is equal
    assert_eq!(seen(&[0xF0, 0x0F, 0xB1, 0x0B], 4), update);
}

#[test]
fn wide_and_misaligned_operands_are_split_upwards() {
    use Asked::{ReadDevice, WriteDevice};
    // movups xmm0, [rbx]
    let halves = [
        ReadDevice(at(0x20), Width::U64),
        ReadDevice(at(0x28), Width::U64),
    ];
    assert_eq!(seen(&[0x0F, 0x10, 0x03], 0x20), halves);
    let bytes = [
        ReadDevice(at(1), Width::U8),
        ReadDevice(at(2), Width::U16),
        ReadDevice(at(4), Width::U8),
    ];
    assert_eq!(seen(&[0x8B, 0x03], 1), bytes);
    let words = [
        WriteDevice(at(6), Width::U16, 0),
        WriteDevice(at(8), Width::U16, 0),
    ];
    assert_eq!(seen(&[0x89, 0x03], 6), words);
}

#[test]
fn a_bit_string_selects_the_operand() {
    let runner = Runner::new();
    let mut registers = runner.registers();
    registers.general[3] = layout::DEVICE.start + 0x100;
    registers.general[1] = 0_u64.wrapping_sub(33);
    runner.run(&[0x0F, 0xAB, 0x0B], &mut registers); // bts [rbx], ecx
    let expected = [
        Asked::ReadDevice(at(0xF8), Width::U32),
        Asked::WriteDevice(at(0xF8), Width::U32, 0x8000_0000),
    ];
    assert_eq!(runner.twin.take_asked(), expected);
    assert_eq!(registers.general[1], 0_u64.wrapping_sub(33));
}

#[test]
fn memory_operands_of_push_pop_call_and_jmp_can_be_device_memory() {
    let runner = Runner::new();
    let target = runner.code_address() + 8;
    runner.twin.device.borrow_mut()[..8].copy_from_slice(&target.to_le_bytes());
    let mut registers = runner.registers();
    registers.general[3] = layout::DEVICE.start;
    // push [rbx]; pop [rbx + 8]; nops; at 8: the end
    runner.run(&[0xFF, 0x33, 0x8F, 0x43, 0x08], &mut registers);
    assert_eq!(runner.twin.device.borrow()[8..16], target.to_le_bytes());
    assert_eq!(registers.general[4], runner.stack_pointer());
    // jmp [rbx] / call [rbx]
    runner.run(
        &[0xFF, 0x23, 0x0F, 0x0B, 0x90, 0x90, 0x90, 0x90],
        &mut registers,
    );
    assert_eq!(
        (runner.twin.take_fault(), registers.general[4]),
        (None, runner.stack_pointer())
    );
    runner.run(
        &[0xFF, 0x13, 0x0F, 0x0B, 0x90, 0x90, 0x90, 0x90, 0x59],
        &mut registers,
    );
    assert_eq!(
        (runner.twin.take_fault(), registers.general[1]),
        (None, runner.code_address() + 2)
    );
    // xlatb
    registers.general[0] = 1;
    runner.run(&[0xD7], &mut registers);
    assert_eq!(registers.general[0], target >> 8 & 0xFF);
}

#[test]
fn addresses_are_computed_as_the_processor_does() {
    let runner = Runner::new();
    runner.twin.device.borrow_mut()[0x123] = 0x77;
    let place = layout::DEVICE.start + 0x123;
    // mov cl, [rax + 4 * rdx - 0x10], where rdx is negative
    let mut registers = runner.registers();
    registers.general[2] = 0_u64.wrapping_sub(5);
    registers.general[0] = place + 20 + 0x10;
    runner.run(&[0x8A, 0x4C, 0x90, 0xF0], &mut registers);
    assert_eq!(registers.general[1] & 0xFF, 0x77);
    // mov al, [absolute]; mov [absolute], al
    let mut code = vec![0xA0];
    code.extend(place.to_le_bytes());
    code.push(0xA2);
    code.extend((place + 1).to_le_bytes());
    runner.run(&code, &mut registers);
    assert_eq!(
        (
            registers.general[0] & 0xFF,
            runner.twin.device.borrow()[0x124]
        ),
        (0x77, 0x77)
    );
    // mov [rax], rsp; mov rcx, [rax]; and the stack pointer itself: xchg [rax], rsp; xchg [rax], rsp
    registers.general[0] = layout::DEVICE.start;
    runner.run(
        &[
            0x48, 0x89, 0x20, 0x48, 0x8B, 0x08, 0x48, 0x87, 0x20, 0x48, 0x87, 0x20,
        ],
        &mut registers,
    );
    assert_eq!(
        (registers.general[1], registers.general[4]),
        (runner.stack_pointer(), runner.stack_pointer())
    );
}

#[test]
fn segments_move_the_address() {
    let runner = Runner::new();
    runner.twin.device.borrow_mut()[5] = 0x55;
    for (prefix, segment) in [(0x64, Segment::Fs), (0x65, Segment::Gs)] {
        if segment == Segment::Gs {
            // SAFETY: nothing of Rust or the C library uses gs; ARCH_SET_GS.
            unsafe { libc::syscall(libc::SYS_arch_prctl, 0x1001, 0x7000) };
            assert_eq!(segment.base(), 0x7000);
        }
        let mut registers = runner.registers();
        registers.general[3] = (layout::DEVICE.start + 5).wrapping_sub(segment.base());
        runner.run(&[prefix, 0x8A, 0x03], &mut registers); // mov al, fs:[rbx]
        assert_eq!(
            (runner.twin.take_fault(), registers.general[0]),
            (None, 0x55)
        );
    }
    // SAFETY: as above.
    unsafe { libc::syscall(libc::SYS_arch_prctl, 0x1001, 0) };
}

#[test]
fn an_operand_on_two_targets_is_put_together() {
    let runner = Runner::new();
    let mut registers = runner.registers();
    let shared = layout::SHARED_DATA + 0xFFC;
    registers.general[3] = shared;
    runner.run(&[0x8B, 0x03], &mut registers);
    assert_eq!(registers.general[0], 0xFFFE_FDFC);
    runner.run(&[0x48, 0x8B, 0x03], &mut registers);
    let fault = runner.twin.take_fault().unwrap();
    assert_eq!(fault.address, layout::SHARED_DATA + 0x1000);
}

#[test]
fn code_that_changes_is_decoded_again() {
    let runner = Runner::new();
    let mut registers = runner.registers();
    registers.general[3] = layout::DEVICE.start;
    runner.run(&[0x8B, 0x03], &mut registers);
    // SAFETY: the runner's code, which does not run now.
    unsafe {
        std::ptr::with_exposed_provenance_mut::<u8>(runner.code_address() as usize).write(0x89)
    };
    runner.twin.take_asked();
    runner.go(&mut registers);
    assert_eq!(
        runner.twin.take_asked(),
        [Asked::WriteDevice(at(0), Width::U32, 0)]
    );
}
