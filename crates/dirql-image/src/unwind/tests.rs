//! Tests of unwinding one frame.

use std::collections::BTreeMap;

use super::{
    Code, Frame, FrameRegister, Gpr, Guard, Handler, MAX_CHAIN, Operation, Registers, Scope, Tail,
    UnwindError, UnwindInfo, Xmm,
};
use crate::builder::{BASE, Pe, at};
use crate::{Function, Image};

const RBX: Gpr = Gpr::new(3);
const RSI: Gpr = Gpr::new(6);
const R12: Gpr = Gpr::new(12);
const RETURN: u64 = 0xffff_f800_0000_1234;
const STACK: u64 = 0x7000_0000;

/// One function at RVA 0x1000, 0x80 bytes long, with this code and this `UNWIND_INFO`.
fn image(code: &[u8], info: &[u8]) -> Image {
    let mut pe = Pe::driver();
    pe.put(at::TEXT, code);
    pe.put(at::UNWIND, info);
    pe.words(at::PDATA, &[0x1000, 0x1080, at::UNWIND, 0, 0, 0]);
    Image::parse(&pe.build()).unwrap()
}

/// A stack that holds these words from [`STACK`] on.
fn stack(words: &[u64]) -> impl Fn(u64) -> Option<u64> {
    let map: BTreeMap<u64, u64> = (STACK..).step_by(8).zip(words.iter().copied()).collect();
    move |address| map.get(&address).copied()
}

fn at_offset(offset: u64) -> Registers {
    let mut registers = Registers::at(BASE + 0x1000 + offset);
    registers.set_gpr(Gpr::RSP, STACK);
    registers
}

fn unwind(image: &Image, registers: &mut Registers, words: &[u64]) -> Frame {
    image.unwind(BASE, registers, stack(words)).unwrap()
}

/// `push rbx; push r12; sub rsp, 0x10; nop…; add rsp, 0x10; pop r12; pop rbx; ret`
const PLAIN: [u8; 19] = [
    0x53, 0x41, 0x54, 0x48, 0x83, 0xec, 0x10, 0x90, 0x90, 0x90, 0x90, 0x48, 0x83, 0xc4, 0x10, 0x41,
    0x5c, 0x5b, 0xc3,
];
const PLAIN_INFO: [u8; 10] = [1, 7, 3, 0, 7, 0x12, 3, 0xc0, 1, 0x30];

#[test]
fn every_place_of_a_function_unwinds_to_its_caller() {
    let image = image(&PLAIN, &PLAIN_INFO);
    // offset of the instruction, what is on the stack above the stack pointer
    let cases: &[(u64, &[u64])] = &[
        (0, &[RETURN]),
        (1, &[0xb, RETURN]),
        (3, &[0x12, 0xb, RETURN]),
        (7, &[0, 0, 0x12, 0xb, RETURN]),
        (10, &[0, 0, 0x12, 0xb, RETURN]),
        (11, &[0, 0, 0x12, 0xb, RETURN]),
        (15, &[0x12, 0xb, RETURN]),
        (17, &[0xb, RETURN]),
        (18, &[RETURN]),
    ];
    for (offset, words) in cases {
        let mut registers = at_offset(*offset);
        registers.set_gpr(RBX, 0xb);
        registers.set_gpr(R12, 0x12);
        let frame = unwind(&image, &mut registers, words);
        assert_eq!(registers.rip, RETURN, "at {offset}");
        assert_eq!(
            registers.rsp(),
            STACK + 8 * words.len() as u64,
            "at {offset}"
        );
        assert_eq!(registers.gpr(RBX), 0xb, "at {offset}");
        assert_eq!(registers.gpr(R12), 0x12, "at {offset}");
        assert_eq!(frame.establisher, STACK);
        assert_eq!(frame.handler, None);
    }
}

#[test]
fn it_is_said_where_registers_were_saved() {
    let image = image(&PLAIN, &PLAIN_INFO);
    let frame = unwind(&image, &mut at_offset(7), &[0, 0, 0x12, 0xb, RETURN]);
    assert_eq!(frame.saved.gpr(R12), Some(STACK + 16));
    assert_eq!(frame.saved.gpr(RBX), Some(STACK + 24));
    assert_eq!(frame.saved.gpr(RSI), None);
}

#[test]
fn a_leaf_has_only_its_return_address() {
    let image = image(&PLAIN, &PLAIN_INFO);
    let mut registers = at_offset(0x80);
    let frame = unwind(&image, &mut registers, &[RETURN]);
    assert_eq!((registers.rip, registers.rsp()), (RETURN, STACK + 8));
    assert_eq!(frame.function, None);
}

#[test]
fn registers_are_unchanged_when_the_stack_cannot_be_read() {
    let image = image(&PLAIN, &PLAIN_INFO);
    let mut registers = at_offset(7);
    let before = registers;
    let error = image
        .unwind(BASE, &mut registers, stack(&[0, 0, 0x12]))
        .unwrap_err();
    assert_eq!(
        error,
        UnwindError::Stack {
            address: STACK + 24
        }
    );
    assert_eq!(registers, before);
}

/// `push rbp; sub rsp, 0x40; lea rbp, [rsp+0x20]; movaps [rsp+0x30], xmm6; mov [rsp+0x18], rsi`
const FRAMED: [u8; 20] = [
    0x55, 0x48, 0x83, 0xec, 0x40, 0x48, 0x8d, 0x6c, 0x24, 0x20, 0x0f, 0x29, 0x74, 0x24, 0x30, 0x48,
    0x89, 0x74, 0x24, 0x18,
];
const FRAMED_INFO: [u8; 18] = [
    1, 20, 7, 0x25, 20, 0x64, 3, 0, 15, 0x68, 3, 0, 10, 0x03, 5, 0x72, 1, 0x50,
];

/// The fixed part of the frame, then rbp and the return address.
const FRAMED_STACK: [u64; 10] = [0, 0, 0, 0x51, 0, 0, 0x6a, 0x6b, 0xbb, RETURN];

#[test]
fn a_frame_register_finds_the_frame_wherever_the_stack_pointer_is() {
    let image = image(&FRAMED, &FRAMED_INFO);
    let mut registers = at_offset(20);
    registers.set_gpr(Gpr::RSP, STACK - 0x1000);
    registers.set_gpr(Gpr::RBP, STACK + 0x20);
    let frame = unwind(&image, &mut registers, &FRAMED_STACK);
    assert_eq!(frame.establisher, STACK);
    assert_eq!(registers.rip, RETURN);
    assert_eq!(registers.rsp(), STACK + 80);
    assert_eq!(registers.gpr(Gpr::RBP), 0xbb);
    assert_eq!(registers.gpr(RSI), 0x51);
    assert_eq!(registers.xmm(Xmm::new(6)), 0x6b_0000_0000_0000_006a);
    assert_eq!(frame.saved.xmm(Xmm::new(6)), Some(STACK + 0x30));
}

#[test]
fn before_it_is_set_the_frame_register_is_not_used() {
    let image = image(&FRAMED, &FRAMED_INFO);
    let mut registers = at_offset(5);
    registers.set_gpr(Gpr::RBP, 0xdead);
    registers.set_gpr(RSI, 0x77);
    let frame = unwind(&image, &mut registers, &FRAMED_STACK);
    assert_eq!(frame.establisher, STACK);
    assert_eq!((registers.rip, registers.gpr(Gpr::RBP)), (RETURN, 0xbb));
    assert_eq!(registers.gpr(RSI), 0x77);
}

#[test]
fn in_a_prologue_only_what_ran_is_undone() {
    let image = image(&FRAMED, &FRAMED_INFO);
    let mut registers = at_offset(15);
    registers.set_gpr(Gpr::RBP, STACK + 0x20);
    registers.set_gpr(RSI, 0x77);
    unwind(&image, &mut registers, &FRAMED_STACK);
    assert_eq!(registers.gpr(RSI), 0x77, "not saved yet");
    assert_eq!(registers.xmm(Xmm::new(6)) as u64, 0x6a, "saved");
}

/// What is left of an epilogue, at the end of the prologue of `PLAIN_INFO`'s function.
fn epilogue(code: &[u8], info: &[u8], words: &[u64]) -> Option<Registers> {
    let mut all = PLAIN[..7].to_vec();
    all.extend_from_slice(code);
    let image = image(&all, info);
    let mut registers = at_offset(7);
    registers.set_gpr(Gpr::RBP, STACK + 0x10);
    registers.set_gpr(R12, STACK + 0x10);
    image.unwind(BASE, &mut registers, stack(words)).ok()?;
    (registers.rip == RETURN).then_some(registers)
}

#[test]
fn epilogues_end_with_a_return_or_a_jump_out() {
    let words = [RETURN];
    let is = |code: &[u8]| epilogue(code, &PLAIN_INFO, &words).is_some();
    assert!(is(&[0xc3]), "ret");
    assert!(is(&[0xc2, 8, 0]), "ret 8");
    assert!(is(&[0xf3, 0xc3]), "rep ret");
    assert!(is(&[0xf2, 0xc3]), "bnd ret");
    assert!(is(&[0xff, 0x25, 0, 0, 0, 0]), "jmp [rip]");
    assert!(is(&[0x48, 0xff, 0xe0]), "jmp rax");
    assert!(is(&[0x49, 0xff, 0xe2]), "jmp r10");
    assert!(is(&[0xeb, 0x77]), "jmp 0x1080, past the end");
    assert!(!is(&[0xeb, 0x76]), "jmp 0x107f, inside");
    assert!(is(&[0xeb, 0xf7]), "jmp 0x1000, to the start");
    assert!(!is(&[0xeb, 0xf8]), "jmp 0x1001, inside");
    assert!(is(&[0xe9, 0x00, 0x10, 0, 0]), "jmp 0x200c");
    assert!(is(&[0xe9, 0, 0, 0, 0x80]), "jmp out of the image");
    assert!(!is(&[0xe9, 0, 0, 0, 0]), "jmp 0x100c, inside");
    assert!(!is(&[0xff, 0xe0]), "jmp rax without the prefix is a switch");
    assert!(!is(&[0x48, 0xff, 0xd0]), "call rax");
    assert!(!is(&[0x90, 0xc3]), "nop; ret");
}

#[test]
fn epilogues_drop_the_frame_and_pop() {
    let with = |code: &[u8], info: &[u8], words: &[u64]| epilogue(code, info, words);
    let far: Vec<u64> = (0..32).chain([0xb, RETURN]).collect();
    let add_far = with(
        &[0x48, 0x81, 0xc4, 0, 1, 0, 0, 0x5b, 0xc3],
        &PLAIN_INFO,
        &far,
    )
    .unwrap();
    assert_eq!((add_far.gpr(RBX), add_far.rsp()), (0xb, STACK + 0x110));
    let framed = [&[1, 7, 3, 0x05][..], &PLAIN_INFO[4..]].concat();
    let near = [0, 0, 0xb, RETURN];
    // lea rsp, [rbp + 0] and lea rsp, [rbp + 0x00000000]
    for code in [
        &[0x48, 0x8d, 0x65, 0, 0x5b, 0xc3][..],
        &[0x48, 0x8d, 0xa5, 0, 0, 0, 0, 0x5b, 0xc3],
    ] {
        assert_eq!(with(code, &framed, &near).unwrap().gpr(RBX), 0xb);
    }
    let framed = [&[1, 7, 3, 0x0c][..], &PLAIN_INFO[4..]].concat();
    // lea rsp, [r12 + 0] and lea rsp, [r12 + 0x00000000]
    let codes = [
        &[0x49, 0x8d, 0x64, 0x24, 0, 0x5b, 0xc3][..],
        &[0x49, 0x8d, 0xa4, 0x24, 0, 0, 0, 0, 0x5b, 0xc3],
    ];
    for code in codes {
        assert_eq!(with(code, &framed, &near).unwrap().gpr(RBX), 0xb);
    }
    // lea with another register than the frame register is ordinary code.
    assert_eq!(
        with(&[0x48, 0x8d, 0x65, 0, 0x5b, 0xc3], &framed, &near),
        None
    );
}

#[test]
fn handlers_apply_outside_of_prologue_and_epilogue() {
    let mut info = PLAIN_INFO.to_vec();
    info[0] = 1 | 1 << 3 | 2 << 3;
    info.extend_from_slice(&[0, 0]);
    info.extend_from_slice(&0x1077_u32.to_le_bytes());
    let image = image(&PLAIN, &info);
    let words = [0, 0, 0x12, 0xb, RETURN];
    let expected = Handler {
        rva: 0x1077,
        data: at::UNWIND + 16,
        on_exception: true,
        on_unwind: true,
    };
    let handler = |offset, words: &[u64]| unwind(&image, &mut at_offset(offset), words).handler;
    assert_eq!(handler(7, &words), Some(expected));
    assert_eq!(handler(3, &words[2..]), None);
    assert_eq!(handler(11, &words), None);
}

#[test]
fn a_machine_frame_holds_the_whole_way_back() {
    for (error_code, info) in [(0, [1, 0, 1, 0, 0, 0x0a]), (1, [1, 0, 1, 0, 0, 0x1a])] {
        let image = image(&[0x90], &info);
        let mut registers = at_offset(0);
        let words = [0xe, RETURN, 0x10, 0x202, 0x5555_0000, 0x18];
        unwind(&image, &mut registers, &words[1 - error_code..]);
        assert_eq!((registers.rip, registers.rsp()), (RETURN, 0x5555_0000));
    }
}

#[test]
fn a_chained_stretch_undoes_its_function_too() {
    let mut pe = Pe::driver();
    // The stretch saves rsi in the frame of the function that it is part of.
    pe.put(at::UNWIND, &[1 | 4 << 3, 5, 2, 0, 5, 0x64, 0, 0]);
    pe.words(at::UNWIND + 8, &[0x1000, 0x1040, at::UNWIND + 0x20]);
    pe.put(
        at::UNWIND + 0x20,
        &[1 | 1 << 3, 7, 3, 0, 7, 0x12, 3, 0xc0, 1, 0x30, 0, 0],
    );
    pe.words(at::UNWIND + 0x2c, &[0x1234]);
    pe.words(
        at::PDATA,
        &[
            0x1000,
            0x1040,
            at::UNWIND + 0x20,
            0x1040,
            0x1060,
            at::UNWIND,
        ],
    );
    let image = Image::parse(&pe.build()).unwrap();
    let mut registers = at_offset(0x50);
    let frame = unwind(&image, &mut registers, &[0x51, 0, 0x12, 0xb, RETURN]);
    assert_eq!(registers.gpr(RSI), 0x51);
    assert_eq!((registers.gpr(R12), registers.gpr(RBX)), (0x12, 0xb));
    assert_eq!(registers.rip, RETURN);
    assert_eq!(frame.function.map(|function| function.begin), Some(0x1000));
    assert_eq!(frame.handler.map(|handler| handler.rva), Some(0x1234));
}

#[test]
fn jumps_between_stretches_of_a_function_do_not_leave_it() {
    let mut pe = Pe::driver();
    // At 0x1010: jmp 0x1050, which is the chained stretch.
    pe.put(0x1010, &[0xeb, 0x3e]);
    pe.put(at::UNWIND, &[1 | 4 << 3, 0, 0, 0]);
    pe.words(at::UNWIND + 4, &[0x1000, 0x1040, at::UNWIND + 0x20]);
    pe.put(at::UNWIND + 0x20, &[1, 1, 1, 0, 1, 0x30]);
    pe.words(
        at::PDATA,
        &[
            0x1000,
            0x1040,
            at::UNWIND + 0x20,
            0x1040,
            0x1060,
            at::UNWIND,
        ],
    );
    let image = Image::parse(&pe.build()).unwrap();
    let mut registers = at_offset(0x10);
    unwind(&image, &mut registers, &[0xb, RETURN]);
    assert_eq!((registers.rip, registers.gpr(RBX)), (RETURN, 0xb));
}

#[test]
fn chains_that_do_not_end_are_errors() {
    let mut info = vec![1 | 4 << 3, 0, 0, 0];
    for word in [0x1000u32, 0x1080, at::UNWIND] {
        info.extend_from_slice(&word.to_le_bytes());
    }
    let image = image(&[0x90], &info);
    let error = image
        .unwind(BASE, &mut at_offset(0), stack(&[RETURN]))
        .unwrap_err();
    assert_eq!(error, UnwindError::Chain { begin: 0x1000 });
    assert_eq!(
        error.to_string(),
        format!(
            "unwind information of the function at RVA 0x1000 is chained more than {MAX_CHAIN} times"
        ),
    );
}

#[test]
fn an_entry_may_share_the_data_of_another() {
    let mut pe = Pe::driver();
    pe.words(at::PDATA, &[0x1040, 0x1060, (at::PDATA + 12) | 1]);
    let image = Image::parse(&pe.build()).unwrap();
    let function = *image.function_at(0x1040).unwrap();
    assert_eq!(image.unwind_info(&function).unwrap().codes.len(), 2);
    let mut pe = Pe::driver();
    pe.words(at::PDATA, &[0x1040, 0x1060, at::PDATA | 1]);
    let image = Image::parse(&pe.build()).unwrap();
    let function = *image.function_at(0x1040).unwrap();
    assert!(matches!(
        image.unwind_info(&function),
        Err(UnwindError::Chain { .. })
    ));
}

fn info(bytes: &[u8]) -> Result<UnwindInfo, UnwindError> {
    let image = image(&[0x90], bytes);
    image.unwind_info(&Function {
        begin: 0x1000,
        end: 0x1080,
        unwind_info: at::UNWIND,
    })
}

#[test]
fn all_operations_are_read() {
    let info = info(&[
        1, 60, 14, 0x15, 60, 0x19, 0, 0, 1, 0, 50, 0x65, 0x10, 0, 0x20, 0, 40, 0x11, 0, 0, 0x10, 0,
        30, 0x01, 0, 1, 20, 0xf2, 0, 0, 10, 0x03,
    ])
    .unwrap();
    let operations: Vec<Operation> = info.codes.iter().map(|code| code.operation).collect();
    assert_eq!(
        operations,
        [
            Operation::SaveXmm(Xmm::new(1), 0x1_0000),
            Operation::Save(RSI, 0x20_0010),
            Operation::Allocate(0x10_0000),
            Operation::Allocate(0x800),
            Operation::Allocate(0x80),
            Operation::Push(Gpr::new(0)),
            Operation::SetFrame,
        ],
    );
    assert_eq!(
        info.codes[4],
        Code {
            offset: 20,
            operation: Operation::Allocate(0x80)
        }
    );
    assert_eq!(
        info.frame,
        Some(FrameRegister {
            register: Gpr::RBP,
            offset: 0x10
        })
    );
    assert_eq!(info.tail, Tail::None);
}

#[test]
fn version_2_lists_epilogues() {
    // Length 6, one at the very end, one 0x123 bytes before it, padding.
    let info = info(&[2, 1, 4, 0, 6, 0x16, 0x23, 0x16, 0, 0x06, 1, 0x30]).unwrap();
    assert_eq!((info.epilogue_size, &*info.epilogues), (6, &[6, 0x123][..]));
    assert_eq!(info.codes.len(), 1);
}

#[test]
fn malformed_unwind_data_is_named() {
    let text = |bytes: &[u8]| info(bytes).unwrap_err().to_string();
    let place = "unwind information at RVA 0x2340";
    assert_eq!(
        text(&[0, 0, 0, 0]),
        format!("{place}: Version is 0, must be 1 or 2")
    );
    assert_eq!(
        text(&[3, 0, 0, 0]),
        format!("{place}: Version is 3, must be 1 or 2")
    );
    assert_eq!(
        text(&[1 | 5 << 3, 0, 0, 0]),
        format!("{place}: Flags is 0x5, CHAININFO (0x4) stands alone"),
    );
    assert_eq!(
        text(&[1, 0, 1, 0, 0, 0x06]),
        format!("{place}: UnwindOp is 6 with OpInfo 0, which nothing defines"),
    );
    assert_eq!(
        text(&[1, 0, 1, 0, 0, 0x21]),
        format!("{place}: UnwindOp is 1 with OpInfo 2, which nothing defines"),
    );
    assert_eq!(
        text(&[1, 0, 1, 0, 0, 0x2a]),
        format!("{place}: UnwindOp is 10 with OpInfo 2, which nothing defines"),
    );
    assert_eq!(
        text(&[1, 0, 2, 0, 0, 0x11, 1, 1]),
        format!("{place}: the last operation goes past CountOfCodes"),
    );
}

#[test]
fn unwind_data_past_the_end_is_an_error() {
    let mut pe = Pe::driver();
    pe.sections[6].data.resize(0x1000, 0);
    pe.sections[6].virtual_size = 0x1000;
    pe.put(0x8ffc, &[1, 0, 1, 0]);
    pe.words(at::PDATA, &[0x1000, 0x1080, 0x8ffc, 0, 0, 0]);
    let image = Image::parse(&pe.build()).unwrap();
    let error = image
        .unwind(BASE, &mut at_offset(0), stack(&[RETURN]))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "UnwindCode at RVA 0x9000 takes 0x2 bytes, 0x0 are there"
    );
}

#[test]
fn scopes_say_what_guards_a_stretch() {
    let mut pe = Pe::driver();
    pe.words(0x2500, &[3, 0x1000, 0x1010, 1, 0x1030]);
    pe.words(
        0x2514,
        &[0x1010, 0x1018, 0x1040, 0x1031, 0x1018, 0x1020, 0x1050, 0],
    );
    pe.sections[6].virtual_size = 0x1000;
    pe.sections[6].data.resize(0x1000, 0);
    pe.words(0x8fe0, &[1]);
    pe.words(0x8ff0, &[1]);
    let image = Image::parse(&pe.build()).unwrap();
    let scope = |begin, end, guard| Scope { begin, end, guard };
    assert_eq!(
        image.scopes(0x2500).unwrap(),
        [
            scope(0x1000, 0x1010, Guard::Always { target: 0x1030 }),
            scope(
                0x1010,
                0x1018,
                Guard::Except {
                    filter: 0x1040,
                    target: 0x1031
                }
            ),
            scope(0x1018, 0x1020, Guard::Finally { routine: 0x1050 }),
        ],
    );
    assert_eq!(image.scopes(0x8fe0).unwrap().len(), 1);
    assert_eq!(
        image.scopes(0x8ff0).unwrap_err().to_string(),
        "scope table at RVA 0x8ff4 takes 0x10 bytes, 0xc are there",
    );
}

#[test]
fn more_pops_than_registers_are_no_epilogue() {
    let is = |count: usize| {
        let code: Vec<u8> = std::iter::repeat_n(0x58, count).chain([0xc3]).collect();
        let words: Vec<u64> = (0..count as u64).chain([RETURN]).collect();
        epilogue(&code, &PLAIN_INFO, &words).is_some()
    };
    assert!(is(16));
    assert!(!is(17));
}

#[test]
fn epilogues_at_the_end_of_the_image_are_read_no_further() {
    let mut pe = Pe::driver();
    pe.sections[6].data.resize(0x1000, 0x90);
    pe.sections[6].virtual_size = 0x1000;
    pe.words(at::PDATA, &[0x8ff0, 0x9000, at::UNWIND, 0, 0, 0]);
    pe.put(at::UNWIND, &[1, 0, 0, 0]);
    pe.put(0x8fff, &[0x48]);
    let image = Image::parse(&pe.build()).unwrap();
    let mut registers = at_offset(0x7fff);
    unwind(&image, &mut registers, &[RETURN]);
    assert_eq!(registers.rip, RETURN);
}
