//! From bytes to operations.

use dirql_chips::Width;
use iced_x86::{
    Code, Decoder, DecoderOptions, Instruction, InstructionInfoFactory, InstructionInfoOptions,
    MemorySize, Mnemonic, OpAccess, OpKind, Register,
};

use super::operation::{
    Address, MemoryOperation, Operand, Operation, Port, Repeat, Segment, StringKind,
    StringOperation,
};
use super::stub::{BUFFER, NoStub, Stubs};

/// Decodes the instruction at `address`. `None` if the bytes are not one, or end early.
pub(super) fn decode(bytes: &[u8], address: u64) -> Option<Instruction> {
    let mut decoder = Decoder::with_ip(64, bytes, address, DecoderOptions::NONE);
    let instruction = decoder.decode();
    (!instruction.is_invalid()).then_some(instruction)
}

/// What to do when `instruction` traps.
///
/// # Errors
/// [`NoStub::Full`] if it needs a stub and there is no room for one.
pub(super) fn classify(instruction: &Instruction, stubs: &Stubs) -> Result<Operation, NoStub> {
    if let Some(operation) = privileged(instruction) {
        return Ok(operation);
    }
    if let Some(operation) = string(instruction) {
        return Ok(Operation::String(operation));
    }
    if let Some(operation) = transfer(instruction) {
        return Ok(operation);
    }
    memory(instruction, stubs)
}

fn privileged(instruction: &Instruction) -> Option<Operation> {
    use Operation as Op;
    let fixed = Port::Fixed(instruction.immediate8());
    Some(match instruction.code() {
        Code::In_AL_imm8 => Op::In(fixed, Width::U8),
        Code::In_AX_imm8 => Op::In(fixed, Width::U16),
        Code::In_EAX_imm8 => Op::In(fixed, Width::U32),
        Code::In_AL_DX => Op::In(Port::Dx, Width::U8),
        Code::In_AX_DX => Op::In(Port::Dx, Width::U16),
        Code::In_EAX_DX => Op::In(Port::Dx, Width::U32),
        Code::Out_imm8_AL => Op::Out(fixed, Width::U8),
        Code::Out_imm8_AX => Op::Out(fixed, Width::U16),
        Code::Out_imm8_EAX => Op::Out(fixed, Width::U32),
        Code::Out_DX_AL => Op::Out(Port::Dx, Width::U8),
        Code::Out_DX_AX => Op::Out(Port::Dx, Width::U16),
        Code::Out_DX_EAX => Op::Out(Port::Dx, Width::U32),
        Code::Mov_r64_cr => Op::ReadControl {
            control: number_of(instruction.op1_register()),
            register: general(instruction.op0_register())?,
        },
        Code::Mov_cr_r64 => Op::WriteControl {
            control: number_of(instruction.op0_register()),
            register: general(instruction.op1_register())?,
        },
        Code::Mov_r64_dr => Op::ReadDebug {
            debug: number_of(instruction.op1_register()),
            register: general(instruction.op0_register())?,
        },
        Code::Mov_dr_r64 => Op::Unsupported,
        Code::Cli => Op::ClearInterruptFlag,
        Code::Sti => Op::SetInterruptFlag,
        Code::Pushfq => Op::PushFlags,
        Code::Popfq => Op::PopFlags,
        Code::Iretq => Op::ReturnFromInterrupt,
        Code::Hlt => Op::Halt,
        Code::Rdmsr => Op::ReadMsr,
        Code::Wrmsr => Op::WriteMsr,
        Code::Rdtsc => Op::ReadTsc,
        Code::Rdtscp => Op::ReadTscAndProcessor,
        Code::Rdpmc => Op::ReadPerformanceCounter,
        Code::Int3 => Op::Interrupt(3),
        Code::Int_imm8 => Op::Interrupt(instruction.immediate8()),
        _ => return by_mnemonic(instruction.mnemonic()),
    })
}

fn by_mnemonic(mnemonic: Mnemonic) -> Option<Operation> {
    use Mnemonic as M;
    Some(match mnemonic {
        // There are no caches, translations or debug registers to keep, and a processor may
        // end a wait for a store at any time.
        M::Invlpg
        | M::Wbinvd
        | M::Wbnoinvd
        | M::Invd
        | M::Invpcid
        | M::Clts
        | M::Clac
        | M::Stac => Operation::Nothing,
        M::Monitor | M::Mwait | M::Monitorx | M::Mwaitx => Operation::Nothing,
        M::Clflush | M::Clflushopt | M::Clwb | M::Cldemote => Operation::Nothing,
        M::Lgdt
        | M::Lidt
        | M::Lldt
        | M::Ltr
        | M::Lmsw
        | M::Sgdt
        | M::Sidt
        | M::Sldt
        | M::Str
        | M::Smsw => Operation::Unsupported,
        M::Swapgs
        | M::Xsetbv
        | M::Sysretq
        | M::Sysret
        | M::Sysexit
        | M::Sysexitq
        | M::Iret
        | M::Iretd
        | M::Rsm => Operation::Unsupported,
        M::Vmxon
        | M::Vmxoff
        | M::Vmlaunch
        | M::Vmresume
        | M::Vmptrld
        | M::Vmptrst
        | M::Vmclear
        | M::Vmread
        | M::Vmwrite
        | M::Vmrun
        | M::Vmload
        | M::Vmsave
        | M::Stgi
        | M::Clgi
        | M::Invept
        | M::Invvpid
        | M::Invlpga => Operation::Unsupported,
        _ => return None,
    })
}

fn string(instruction: &Instruction) -> Option<StringOperation> {
    let (kind, width) = match instruction.code() {
        Code::Movsb_m8_m8 => (StringKind::Move, Width::U8),
        Code::Movsw_m16_m16 => (StringKind::Move, Width::U16),
        Code::Movsd_m32_m32 => (StringKind::Move, Width::U32),
        Code::Movsq_m64_m64 => (StringKind::Move, Width::U64),
        Code::Stosb_m8_AL => (StringKind::Store, Width::U8),
        Code::Stosw_m16_AX => (StringKind::Store, Width::U16),
        Code::Stosd_m32_EAX => (StringKind::Store, Width::U32),
        Code::Stosq_m64_RAX => (StringKind::Store, Width::U64),
        Code::Lodsb_AL_m8 => (StringKind::Load, Width::U8),
        Code::Lodsw_AX_m16 => (StringKind::Load, Width::U16),
        Code::Lodsd_EAX_m32 => (StringKind::Load, Width::U32),
        Code::Lodsq_RAX_m64 => (StringKind::Load, Width::U64),
        Code::Cmpsb_m8_m8 => (StringKind::Compare, Width::U8),
        Code::Cmpsw_m16_m16 => (StringKind::Compare, Width::U16),
        Code::Cmpsd_m32_m32 => (StringKind::Compare, Width::U32),
        Code::Cmpsq_m64_m64 => (StringKind::Compare, Width::U64),
        Code::Scasb_AL_m8 => (StringKind::Scan, Width::U8),
        Code::Scasw_AX_m16 => (StringKind::Scan, Width::U16),
        Code::Scasd_EAX_m32 => (StringKind::Scan, Width::U32),
        Code::Scasq_RAX_m64 => (StringKind::Scan, Width::U64),
        Code::Insb_m8_DX => (StringKind::In, Width::U8),
        Code::Insw_m16_DX => (StringKind::In, Width::U16),
        Code::Insd_m32_DX => (StringKind::In, Width::U32),
        Code::Outsb_DX_m8 => (StringKind::Out, Width::U8),
        Code::Outsw_DX_m16 => (StringKind::Out, Width::U16),
        Code::Outsd_DX_m32 => (StringKind::Out, Width::U32),
        _ => return None,
    };
    let repeat = if instruction.has_repne_prefix() {
        Repeat::WhileUnequal
    } else if instruction.has_rep_prefix() {
        Repeat::WhileEqual
    } else {
        Repeat::Once
    };
    let short = instruction
        .op_kinds()
        .any(|kind| matches!(kind, OpKind::MemorySegESI | OpKind::MemoryESEDI));
    Some(StringOperation {
        kind,
        width,
        repeat,
        segment: segment(instruction.segment_prefix()),
        short,
    })
}

/// Instructions that also use the stack or the instruction pointer.
fn transfer(instruction: &Instruction) -> Option<Operation> {
    let memory = instruction.op0_kind() == OpKind::Memory;
    let target = || {
        if memory {
            Some(Operand::Memory(address(instruction)?))
        } else {
            general(instruction.op0_register()).map(Operand::Register)
        }
    };
    Some(match instruction.code() {
        Code::Push_rm64 if memory => Operation::Push(address(instruction)?, Width::U64),
        Code::Push_rm16 if memory => Operation::Push(address(instruction)?, Width::U16),
        Code::Pop_rm64 if memory => Operation::Pop(address(instruction)?, Width::U64),
        Code::Pop_rm16 if memory => Operation::Pop(address(instruction)?, Width::U16),
        Code::Jmp_rm64 => Operation::Jump(target()?),
        Code::Call_rm64 => Operation::Call(target()?),
        Code::Retnq => Operation::Return(0),
        Code::Retnq_imm16 => Operation::Return(instruction.immediate16()),
        Code::Xlat_m8 => Operation::Translate(Address {
            index: None,
            ..address(instruction)?
        }),
        _ => return None,
    })
}

fn memory(instruction: &Instruction, stubs: &Stubs) -> Result<Operation, NoStub> {
    let memory_operands = instruction
        .op_kinds()
        .filter(|kind| is_memory(*kind))
        .count();
    if memory_operands == 0 || instruction.mnemonic() == Mnemonic::Lea {
        return Ok(Operation::Ordinary);
    }
    let Some(operation) = runnable(instruction) else {
        return Ok(Operation::Unsupported);
    };
    let mut copy = *instruction;
    if let Some(stand_in) = operation.stand_in {
        replace_stack_pointer(&mut copy, stand_in);
    }
    match stubs.add(copy) {
        Ok(stub) => Ok(Operation::Memory(MemoryOperation { stub, ..operation })),
        Err(NoStub::NotEncodable) => Ok(Operation::Unsupported),
        Err(NoStub::Full) => Err(NoStub::Full),
    }
}

const fn is_memory(kind: OpKind) -> bool {
    matches!(
        kind,
        OpKind::Memory
            | OpKind::MemorySegSI
            | OpKind::MemorySegESI
            | OpKind::MemorySegRSI
            | OpKind::MemorySegDI
            | OpKind::MemorySegEDI
            | OpKind::MemorySegRDI
            | OpKind::MemoryESDI
            | OpKind::MemoryESEDI
            | OpKind::MemoryESRDI
    )
}

/// Whether an instruction can be run with a buffer in place of its memory operand; all but
/// the stub.
///
/// Not those with two memory operands, with addresses in vector registers, with a mask that
/// leaves parts of the operand alone, with more than 64 bytes, or that load a segment
/// register or jump, or with the x87 environment.
fn runnable(instruction: &Instruction) -> Option<MemoryOperation> {
    let others_are_not = instruction
        .op_kinds()
        .filter(|kind| is_memory(*kind))
        .eq([OpKind::Memory]);
    let size = instruction.memory_size().size();
    let masked = instruction.op_mask() != Register::None || has_mask_operand(instruction);
    if !others_are_not || instruction.is_vsib() || masked || size == 0 || size > BUFFER {
        return None;
    }
    if is_fpu_environment(instruction)
        || instruction.is_jmp_far_indirect()
        || instruction.is_call_far_indirect()
        || loads_segment(instruction)
    {
        return None;
    }
    let mut factory = InstructionInfoFactory::new();
    let info = factory.info_options(instruction, InstructionInfoOptions::NO_MEMORY_USAGE);
    let operand = instruction
        .op_kinds()
        .position(|kind| kind == OpKind::Memory)?;
    // What is read or written only sometimes is so always: a locked instruction writes its
    // operand back even if the comparison fails (Intel SDM volume 2, CMPXCHG), and a
    // conditional move reads its source in either case.
    let (reads, writes) = match info.op_access(operand as u32) {
        OpAccess::Read | OpAccess::CondRead => (true, false),
        OpAccess::Write => (false, true),
        OpAccess::CondWrite => return None,
        OpAccess::ReadWrite | OpAccess::ReadCondWrite => (true, true),
        OpAccess::None | OpAccess::NoMemAccess => (false, false),
    };
    let used = info
        .used_registers()
        .iter()
        .filter_map(|used| general(used.register()));
    let used: u32 = used.fold(1 << super::registers::RSP, |set, register| {
        set | 1 << register
    });
    let stand_in = uses_stack_pointer(instruction).then(|| (!used).trailing_zeros() as u8);
    let bit_index = bit_index(instruction).map(|register| match stand_in {
        Some(stand_in) if register == super::registers::RSP => stand_in,
        _ => register,
    });
    Some(MemoryOperation {
        address: address(instruction)?,
        size: size as u8,
        reads,
        writes,
        vector: uses_vectors(instruction),
        stand_in,
        bit_index,
        stub: 0,
    })
}

/// Their operand has the address of the last x87 instruction, which would be a stub's.
fn is_fpu_environment(instruction: &Instruction) -> bool {
    matches!(
        instruction.mnemonic(),
        Mnemonic::Fldenv | Mnemonic::Fnstenv | Mnemonic::Fstenv
    )
}

/// `vmaskmov` and its relatives.
fn has_mask_operand(instruction: &Instruction) -> bool {
    use Mnemonic as M;
    matches!(
        instruction.mnemonic(),
        M::Vmaskmovps
            | M::Vmaskmovpd
            | M::Vpmaskmovd
            | M::Vpmaskmovq
            | M::Maskmovq
            | M::Maskmovdqu
            | M::Vmaskmovdqu
    )
}

fn loads_segment(instruction: &Instruction) -> bool {
    use Mnemonic as M;
    let into_segment = instruction.op0_kind() == OpKind::Register
        && instruction.op0_register().is_segment_register();
    into_segment
        || matches!(
            instruction.mnemonic(),
            M::Lss | M::Lfs | M::Lgs | M::Les | M::Lds
        )
}

/// Whether an instruction may use more than general registers and flags: all do that are
/// not known to come from the integer part of the processor.
fn uses_vectors(instruction: &Instruction) -> bool {
    use iced_x86::CpuidFeature as F;
    let integer = |feature: &F| {
        matches!(
            feature,
            F::INTEL8086
                | F::INTEL186
                | F::INTEL286
                | F::INTEL386
                | F::INTEL486
                | F::X64
                | F::CMOV
                | F::CX8
        ) || matches!(
            feature,
            F::CMPXCHG16B | F::MOVBE | F::BMI1 | F::BMI2 | F::ADX | F::LZCNT | F::POPCNT
        )
    };
    // MOVNTI came with SSE2.
    instruction.mnemonic() != Mnemonic::Movnti && !instruction.cpuid_features().iter().all(integer)
}

fn uses_stack_pointer(instruction: &Instruction) -> bool {
    let registers = (0..instruction.op_count())
        .filter(|operand| instruction.op_kind(*operand) == OpKind::Register);
    let mut registers = registers.map(|operand| instruction.op_register(operand));
    registers.any(|register| register.full_register() == Register::RSP)
}

/// Puts the register with number `stand_in` wherever an operand is a part of `rsp`.
fn replace_stack_pointer(instruction: &mut Instruction, stand_in: u8) {
    for operand in 0..instruction.op_count() {
        if instruction.op_kind(operand) != OpKind::Register {
            continue;
        }
        let register = instruction.op_register(operand);
        if register.full_register() != Register::RSP {
            continue;
        }
        let family = match register.size() {
            1 => LOW_BYTES[usize::from(stand_in & 15)],
            2 => Register::AX + u32::from(stand_in),
            4 => Register::EAX + u32::from(stand_in),
            _ => Register::RAX + u32::from(stand_in),
        };
        instruction.set_op_register(operand, family);
    }
}

/// The low bytes of the general registers; the enumeration has AH to BH in between.
const LOW_BYTES: [Register; 16] = [
    Register::AL,
    Register::CL,
    Register::DL,
    Register::BL,
    Register::SPL,
    Register::BPL,
    Register::SIL,
    Register::DIL,
    Register::R8L,
    Register::R9L,
    Register::R10L,
    Register::R11L,
    Register::R12L,
    Register::R13L,
    Register::R14L,
    Register::R15L,
];

/// The register with the bit number, for the forms where it also moves the address.
fn bit_index(instruction: &Instruction) -> Option<u8> {
    let is_bit_string = matches!(
        instruction.code(),
        Code::Bt_rm16_r16
            | Code::Bt_rm32_r32
            | Code::Bt_rm64_r64
            | Code::Bts_rm16_r16
            | Code::Bts_rm32_r32
            | Code::Bts_rm64_r64
            | Code::Btr_rm16_r16
            | Code::Btr_rm32_r32
            | Code::Btr_rm64_r64
            | Code::Btc_rm16_r16
            | Code::Btc_rm32_r32
            | Code::Btc_rm64_r64
    );
    is_bit_string.then(|| general(instruction.op1_register()))?
}

/// How the memory operand's address is computed. `None` for addresses in vector registers.
fn address(instruction: &Instruction) -> Option<Address> {
    let (base, index) = (instruction.memory_base(), instruction.memory_index());
    let relative = matches!(base, Register::RIP | Register::EIP);
    let part = |register: Register| match register {
        Register::None => Some(None),
        register => general(register).map(Some),
    };
    let absolute_short =
        base == Register::None && index == Register::None && instruction.memory_displ_size() == 4;
    Some(Address {
        base: if relative { None } else { part(base)? },
        index: part(index)?,
        scale: instruction.memory_index_scale().trailing_zeros() as u8,
        short: base.size() == 4 || index.size() == 4 || absolute_short,
        segment: segment(instruction.segment_prefix()),
        displacement: instruction.memory_displacement64(),
    })
}

fn segment(prefix: Register) -> Segment {
    match prefix {
        Register::FS => Segment::Fs,
        Register::GS => Segment::Gs,
        _ => Segment::Flat,
    }
}

/// The number of the general register that `register` is a part of.
fn general(register: Register) -> Option<u8> {
    register
        .is_gpr()
        .then(|| number_of(register.full_register()))
}

fn number_of(register: Register) -> u8 {
    register.number() as u8
}

/// For messages: the name and the bytes of what could not be carried out.
pub(super) fn describe(bytes: &[u8], address: u64) -> String {
    let Some(instruction) = decode(bytes, address) else {
        return String::from("bytes that are no instruction");
    };
    let mut text = format!("{:?}", instruction.mnemonic()).to_lowercase();
    if instruction.memory_size() != MemorySize::Unknown {
        text.push_str(" with memory");
    }
    let bytes: Vec<String> = bytes
        .iter()
        .take(instruction.len())
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("{text} ({})", bytes.join(" "))
}
