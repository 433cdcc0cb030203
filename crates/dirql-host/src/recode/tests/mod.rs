//! A driver cannot tell whether its own code runs or a twin of it.

mod carried;

use std::cell::RefCell;
use std::rc::Rc;

use dirql_kernel::ke::{RunState, ThreadBody};
use dirql_kernel::{Access, Config, EventSink, Kernel, Platform};
use iced_x86::code_asm::*;

use crate::run;
use crate::{Footprints, Host, MemoryAccess, Role, Stops, Watch};

/// Bytes of memory that the code under test has in `rbp`.
const MEMORY: usize = 0x400;

/// Where it leaves its registers there.
const SAVED: i32 = 0x200;

/// What code left behind, and what was seen of it.
#[derive(Debug, PartialEq)]
struct Left {
    memory: Vec<u8>,
    accesses: Vec<MemoryAccess>,
    steps: u64,
    base: u64,
    buffer: u64,
    /// Instructions that are known to access devices, and have trapped when they did.
    trapped: usize,
}

/// Runs what `write` writes, with the address of its memory as the argument, as `watch` says.
fn play(watch: Option<Watch>, write: &dyn Fn(&mut CodeAssembler)) -> Left {
    play_with(watch, None, None, write)
}

/// As [`play`]; it is noted which blocks run, whose image is the one with an empty file, and `sink`
/// is told what happens.
fn play_with(
    watch: Option<Watch>,
    prints: Option<&'static Footprints>,
    sink: Option<Box<dyn EventSink>>,
    write: &dyn Fn(&mut CodeAssembler),
) -> Left {
    let host = Host::new(Config::default()).unwrap();
    host.kernel().set_event_sink(sink);
    if let Some(watch) = watch {
        host.watch(watch).unwrap();
    }
    let base = host.kernel().allocate_image(0x4000);
    if let Some(prints) = prints {
        host.leave_footprints(prints).unwrap();
        run::platform().add_heads(&[], &(base..base + 0x4000));
    }
    let mut assembler = CodeAssembler::new(64).unwrap();
    write(&mut assembler);
    let code = assembler.assemble(base).unwrap();
    host.kernel().write_bytes(base, &code).unwrap();
    run::platform().protect(base..base + 0x4000, Access::ReadExecute);
    let left = Rc::new(RefCell::new(None));
    let slot = left.clone();
    let body = move |kernel: &Kernel| {
        let buffer =
            kernel.ex_allocate_pool_with_tag(0, MEMORY as u64, u32::from_le_bytes(*b"tset"))?;
        let mut memory = vec![0; MEMORY];
        for (place, byte) in memory.iter_mut().enumerate() {
            *byte = (place as u8).wrapping_mul(37) ^ 0x5A;
        }
        kernel.write_bytes(buffer, &memory)?;
        let before = kernel.step();
        run::platform().call(base, &[buffer, 0x1122_3344_5566_7788]);
        let steps = kernel.step() - before;
        let memory = kernel.read_bytes(buffer, MEMORY)?;
        *slot.borrow_mut() = Some((memory, steps, buffer));
        Ok(())
    };
    host.kernel()
        .spawn_thread("test", 8, ThreadBody::Native(Box::new(body)));
    assert_eq!(host.run_until_idle(), RunState::Idle);
    let (memory, steps, buffer) = left.take().expect("the code came to its end");
    Left {
        memory,
        accesses: host.take_accesses(),
        steps,
        base,
        buffer,
        trapped: run::platform()
            .space
            .recoder()
            .map_or(0, |recoder| recoder.made_again.borrow().len()),
    }
}

fn record() -> Watch {
    Watch {
        record: true,
        stops: Stops::Nowhere,
    }
}

fn everywhere() -> Watch {
    Watch {
        record: false,
        stops: Stops::Everywhere,
    }
}

/// A small generator of numbers, so that a failure names its seed.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut value = self.0;
        value = (value ^ value >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        value = (value ^ value >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        (value ^ value >> 31) % limit
    }

    /// Any register but those that the program needs: `rsp`, `rbp`.
    fn register(&mut self) -> AsmRegister64 {
        const ALL: [AsmRegister64; 14] = [
            rax, rcx, rdx, rbx, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15,
        ];
        ALL[self.below(14) as usize]
    }

    fn place(&mut self) -> AsmMemoryOperand {
        rbp + 8 * self.below(48) as i32
    }
}

/// A program of random instructions that ends by saving its registers and flags.
fn program(seed: u64, a: &mut CodeAssembler) -> Result<(), iced_x86::IcedError> {
    let n = &mut Numbers(seed);
    let mut routine = a.create_label();
    for register in [rbx, rbp, rsi, rdi, r12, r13, r14, r15] {
        a.push(register)?;
    }
    a.sub(rsp, 0x28)?;
    a.mov(rbp, rcx)?;
    for register in [rax, rbx, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15] {
        a.mov(register, n.below(u64::MAX))?;
    }
    a.movups(xmm0, rbp + 0x40)?;
    a.movups(xmm5, rbp + 0x50)?;
    for _ in 0..20 + n.below(60) {
        instruction(n, a, routine)?;
    }
    a.pushfq()?;
    for (index, register) in [
        rax, rcx, rdx, rbx, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15,
    ]
    .into_iter()
    .enumerate()
    {
        a.mov(rbp + SAVED + 8 * index as i32, register)?;
    }
    a.pop(rax)?;
    a.and(eax, 0x8D5)?;
    a.mov(rbp + SAVED + 0x80, rax)?;
    a.movups(rbp + SAVED + 0x90, xmm0)?;
    a.movups(rbp + SAVED + 0xA0, xmm5)?;
    a.add(rsp, 0x28)?;
    for register in [r15, r14, r13, r12, rdi, rsi, rbp, rbx] {
        a.pop(register)?;
    }
    a.ret()?;
    // A routine that looks at its return address and takes an argument off the stack.
    a.set_label(&mut routine)?;
    a.mov(rax, qword_ptr(rsp))?;
    a.xor(rax, qword_ptr(rsp + 8))?;
    a.ret_1(8)
}

fn instruction(
    n: &mut Numbers,
    a: &mut CodeAssembler,
    routine: CodeLabel,
) -> Result<(), iced_x86::IcedError> {
    let (x, y, place) = (n.register(), n.register(), n.place());
    match n.below(30) {
        0 => a.add(x, y),
        1 => a.sub(x, place),
        2 => a.adc(qword_ptr(place), x),
        3 => a.xor(x, y),
        4 => a.imul_2(x, qword_ptr(place)),
        5 => a.lea(x, x + y * 4 + 77),
        6 => a.shl(x, n.below(64) as u32),
        7 => a.mov(place, x),
        8 => a.mov(x, qword_ptr(place)),
        9 => a.movzx(x, byte_ptr(place)),
        10 => a.cmovb(x, qword_ptr(place)),
        11 => a.sete(byte_ptr(place)),
        12 => a.lock().add(qword_ptr(place), x),
        13 => a.xchg(qword_ptr(place), x),
        14 => a.lock().cmpxchg(qword_ptr(place), x),
        15 => {
            a.push(x)?;
            a.pop(y)
        }
        16 => {
            a.pushfq()?;
            a.pop(x)
        }
        17 => {
            let mut over = a.create_label();
            match n.below(4) {
                0 => a.jb(over)?,
                1 => a.jge(over)?,
                2 => a.jp(over)?,
                _ => a.jne(over)?,
            }
            a.add(x, 12345)?;
            a.not(qword_ptr(place))?;
            a.set_label(&mut over)?;
            a.nop()
        }
        18 => {
            let mut again = a.create_label();
            a.mov(rcx, 1 + n.below(5))?;
            a.set_label(&mut again)?;
            a.add(rbx, rcx)?;
            a.loop_(again)
        }
        19 => {
            let mut over = a.create_label();
            a.jrcxz(over)?;
            a.inc(x)?;
            a.set_label(&mut over)?;
            a.nop()
        }
        20 => {
            a.push(y)?;
            a.call(routine)
        }
        21 => {
            a.push(y)?;
            a.lea(x, ptr(routine))?;
            a.call(x)
        }
        22 => {
            a.lea(x, ptr(routine))?;
            a.mov(place, x)?;
            a.push(y)?;
            a.call(qword_ptr(place))
        }
        23 => {
            let mut target = a.create_label();
            a.lea(x, ptr(target))?;
            a.push(x)?;
            a.ret()?;
            a.int3()?;
            a.set_label(&mut target)?;
            a.nop()
        }
        24 => {
            let mut target = a.create_label();
            a.lea(x, ptr(target))?;
            a.mov(place, x)?;
            a.jmp(qword_ptr(place))?;
            a.ud2()?;
            a.set_label(&mut target)?;
            a.nop()
        }
        25 => {
            a.cld()?;
            a.mov(rsi, rbp)?;
            a.lea(rdi, rbp + 0x100)?;
            a.mov(ecx, n.below(40) as u32)?;
            a.rep().movsb()
        }
        26 => a.movups(xmm0, place),
        27 => {
            a.movq(xmm5, x)?;
            a.paddq(xmm5, xmm0)
        }
        28 => {
            let (mut over, mut constant) = (a.create_label(), a.create_label());
            a.mov(x, qword_ptr(constant))?;
            a.jmp(over)?;
            a.set_label(&mut constant)?;
            a.dq(&[n.below(u64::MAX)])?;
            a.set_label(&mut over)?;
            a.nop()
        }
        _ => a.cmp(x, qword_ptr(place)),
    }
}

#[test]
fn random_programs_do_the_same_as_twins() {
    for seed in 0..60 {
        let write = |a: &mut CodeAssembler| program(seed, a).unwrap();
        let plain = play(None, &write);
        let both = Watch {
            record: true,
            stops: Stops::Everywhere,
        };
        for watch in [Watch::default(), record(), everywhere(), both] {
            let twin = play(Some(watch.clone()), &write);
            assert_eq!(twin.base, plain.base);
            let differs = (0..MEMORY).find(|at| twin.memory[*at] != plain.memory[*at]);
            assert_eq!(differs, None, "seed {seed}, {watch:?}");
        }
    }
}

#[test]
fn random_programs_do_the_same_where_every_byte_may_begin_a_block() {
    for seed in 0..60 {
        let write = |a: &mut CodeAssembler| program(seed, a).unwrap();
        let plain = play(None, &write);
        for watch in [None, Some(record()), Some(everywhere())] {
            let prints = Footprints::new([(Vec::new(), (0..0x4000).collect())]).unwrap();
            let twin = play_with(watch.clone(), Some(prints), None, &write);
            let differs = (0..MEMORY).find(|at| twin.memory[*at] != plain.memory[*at]);
            assert_eq!(differs, None, "seed {seed}, {watch:?}");
            assert_eq!(prints.ran(0, 0), [(Role::Callback, 0)], "seed {seed}");
        }
    }
}

#[test]
fn a_block_has_run_at_the_level_that_it_began_at() {
    let prints = Footprints::new([(Vec::new(), (0..0x40).collect())]).unwrap();
    let _ = play_with(None, Some(prints), None, &|a| {
        let mut over = a.create_label();
        a.mov(eax, 2).unwrap(); // at 0
        a.mov(cr8, rax).unwrap(); // at 5
        a.cmp(eax, 2).unwrap(); // at 9
        a.je(over).unwrap(); // at 14
        a.nop().unwrap(); // at 16
        a.set_label(&mut over).unwrap();
        a.xor(eax, eax).unwrap(); // at 17
        a.mov(cr8, rax).unwrap(); // at 19
        a.ret().unwrap(); // at 23
    });
    let ran = |block| {
        prints
            .ran(0, block)
            .into_iter()
            .map(move |(_, level)| (block, level))
    };
    let ran: Vec<(usize, u8)> = (0..0x40).flat_map(ran).collect();
    let expected = [(0, 0), (5, 0), (9, 2), (14, 2), (17, 2), (19, 2), (23, 0)];
    assert_eq!(ran, expected);
}

/// `mov rax, [rcx + 8]; add qword [rcx + 16], 1; lock inc dword [rcx]; ret`
fn three_accesses(a: &mut CodeAssembler) {
    a.mov(rax, qword_ptr(rcx + 8)).unwrap();
    a.add(qword_ptr(rcx + 16), 1).unwrap();
    a.lock().inc(dword_ptr(rcx)).unwrap();
    a.ret().unwrap();
}

#[test]
fn accesses_are_recorded_with_place_size_and_kind() {
    let left = play(Some(record()), &three_accesses);
    let seen: Vec<_> = left
        .accesses
        .iter()
        .map(|access| {
            let kind = (access.reads, access.writes, access.interlocked);
            (
                access.instruction - left.base,
                access.address - left.buffer,
                access.bytes,
                kind,
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            (0, 8, 8, (true, false, false)),
            (4, 16, 8, (true, true, false)),
            (9, 0, 4, (true, true, true)),
        ]
    );
}

#[test]
fn a_repeated_string_instruction_is_one_access_of_all_its_bytes() {
    let left = play(Some(record()), &|a| {
        a.push(rdi).unwrap();
        a.mov(rdi, rcx).unwrap();
        a.mov(ecx, 5).unwrap();
        a.rep().stosd().unwrap();
        a.pop(rdi).unwrap();
        a.ret().unwrap();
    });
    let [access] = left.accesses[..] else {
        panic!("{:?}", left.accesses)
    };
    assert_eq!((access.address, access.bytes), (left.buffer, 20));
    assert!(access.writes && !access.reads);
}

#[test]
fn more_records_than_the_buffer_has_room_for_are_kept() {
    let left = play(Some(record()), &|a| {
        let mut again = a.create_label();
        a.mov(edx, 10_000).unwrap();
        a.set_label(&mut again).unwrap();
        a.inc(qword_ptr(rcx)).unwrap();
        a.dec(edx).unwrap();
        a.jne(again).unwrap();
        a.ret().unwrap();
    });
    assert_eq!(left.accesses.len(), 10_000);
    assert!(
        left.accesses
            .iter()
            .all(|access| access.address == left.buffer)
    );
}

#[test]
fn each_instruction_is_a_yield_point_if_that_is_wanted() {
    let plain = play(None, &three_accesses);
    let twin = play(Some(everywhere()), &three_accesses);
    assert_eq!(twin.steps - plain.steps, 4);
}

#[test]
fn probes_that_are_passed_by_are_steps_as_those_that_record() {
    let rounds = |a: &mut CodeAssembler| {
        let mut again = a.create_label();
        a.mov(ecx, 1000).unwrap();
        a.set_label(&mut again).unwrap();
        a.nop().unwrap();
        a.dec(ecx).unwrap();
        a.jnz(again).unwrap();
        a.ret().unwrap();
    };
    let recording = Watch {
        record: true,
        ..everywhere()
    };
    let [steps, recorded] = [everywhere(), recording].map(|watch| play(Some(watch), &rounds).steps);
    assert!(steps > 3000, "{steps}");
    assert_eq!(steps, recorded);
}

#[test]
fn chosen_instructions_are_yield_points() {
    let plain = play(None, &three_accesses);
    let chosen = Stops::At([plain.base + 4, plain.base + 9].into());
    let twin = play(
        Some(Watch {
            record: false,
            stops: chosen,
        }),
        &three_accesses,
    );
    assert_eq!(twin.steps - plain.steps, 2);
}

#[test]
fn vector_registers_survive_probes() {
    if !std::arch::is_x86_feature_detected!("avx") {
        return;
    }
    let write = |a: &mut CodeAssembler| {
        a.vmovups(ymm3, ymmword_ptr(rcx)).unwrap();
        a.vmovups(ymm0, ymmword_ptr(rcx + 32)).unwrap();
        a.nop().unwrap();
        a.vmovups(ymmword_ptr(rcx + 0x100), ymm3).unwrap();
        a.vmovups(ymmword_ptr(rcx + 0x120), ymm0).unwrap();
        a.ret().unwrap();
    };
    assert_eq!(
        play(Some(everywhere()), &write).memory,
        play(None, &write).memory
    );
}

#[test]
fn a_routine_is_not_told_where_its_twin_is() {
    for watch in [None, Some(Watch::default()), Some(everywhere())] {
        let left = play(watch.clone(), &|a| {
            a.mov(qword_ptr(rcx), rax).unwrap();
            a.mov(qword_ptr(rcx + 8), r10).unwrap();
            a.mov(qword_ptr(rcx + 16), r11).unwrap();
            a.ret().unwrap();
        });
        assert_eq!(left.memory[..24], [0; 24], "{watch:?}");
    }
}
