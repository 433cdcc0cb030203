use std::arch::asm;
use std::ptr;

use super::Random;
use super::runner::{Registers, Runner};
use crate::trap::Context;

fn random_registers(runner: &Runner, random: &mut Random) -> Registers {
    let mut registers = runner.registers();
    for (number, register) in registers.general.iter_mut().enumerate() {
        if number != 4 {
            *register = random.next();
        }
    }
    registers.general[4] -= random.below(0x100);
    registers.flags = 2 | random.next() & 0xCD5;
    // x87 registers, XMM, and everything that the processor has behind the header.
    for range in [32..160, 160..416, 576..832, 1088..2688] {
        registers.vectors[range].fill_with(|| random.next() as u8);
    }
    for register in 0..8 {
        registers.vectors[32 + 16 * register + 10..][..6].fill(0);
    }
    // All x87 registers in use, top of stack 3.
    registers.vectors[2..6].copy_from_slice(&[0x00, 0x18, 0xFF, 0x00]);
    registers.vectors[24..28].copy_from_slice(&0x5F80_u32.to_le_bytes());
    registers
}

/// Changes every register that a call may change, and some memory below the stack pointer.
fn wreck() {
    let mut rubbish = [0x5A_u8; 0x800];
    std::hint::black_box(&mut rubbish);
    // SAFETY: everything that is changed is declared; the zeroing of the upper halves is what
    // the string routines of the C library do.
    unsafe {
        asm!("std", "cmp eax, eax", "cld", "pcmpeqd xmm0, xmm0", "movaps xmm15, xmm0", out("xmm0") _, out("xmm15") _);
    }
    if std::arch::is_x86_feature_detected!("avx") {
        // SAFETY: the processor has AVX.
        unsafe { asm!("vzeroall", clobber_abi("sysv64")) };
    }
}

#[test]
fn interrupted_code_finds_every_register_as_it_was() {
    let runner = Runner::new();
    let mut random = Random(2);
    *runner.twin.on_attend.borrow_mut() = Some(Box::new(|| {
        wreck();
        Ok(())
    }));
    runner.load(&[0xEE]); // out dx, al
    for round in 0..500 {
        let before = random_registers(&runner, &mut random);
        let mut after = before.clone();
        runner.twin.attention.set(true);
        runner.go(&mut after);
        assert_eq!(runner.twin.attended.get(), round + 1);
        assert_eq!(after.general, before.general);
        assert_eq!(after.flags & 0xCD5, before.flags & 0xCD5);
        assert!(
            after.vector_content() == undisturbed(&runner, &before),
            "round {round}"
        );
    }
}

/// What is in the vector registers after the same code without an interruption.
fn undisturbed(runner: &Runner, before: &Registers) -> Vec<u8> {
    let mut registers = before.clone();
    runner.twin.attention.set(false);
    runner.go(&mut registers);
    registers.vector_content()
}

#[test]
fn the_red_zone_is_left_alone() {
    let runner = Runner::new();
    let mut registers = runner.registers();
    let zone = registers.general[4] - 128;
    // SAFETY: this is inside the runner's stack, below what is in use.
    unsafe {
        ptr::write_bytes(
            ptr::with_exposed_provenance_mut::<u8>(zone as usize),
            0xC5,
            128,
        )
    };
    runner.twin.attention.set(true);
    runner.run(&[0xEE], &mut registers);
    assert_eq!(runner.twin.attended.get(), 1);
    // SAFETY: as above.
    let after = unsafe { ptr::with_exposed_provenance::<[u8; 128]>(zone as usize).read() };
    assert_eq!(after, [0xC5; 128]);
}

#[test]
fn driver_code_that_runs_meanwhile_can_trap_and_be_interrupted() {
    let runner = Runner::new();
    let twin = runner.twin;
    // out dx, al; jmp behind; at 16: in al, dx; ret
    let mut code = vec![0xEE, 0xEB, 0x10];
    code.resize(16, 0x90);
    code.extend([0xEC, 0xC3, 0x90]);
    let routine = runner.code_address() + 16;
    *twin.on_attend.borrow_mut() = Some(Box::new(move || {
        let depth = twin.attended.get();
        if depth < 5 {
            twin.attention.set(true);
            let routine = ptr::with_exposed_provenance::<()>(routine as usize);
            // SAFETY: the code at this address is a Win64 routine without arguments.
            let routine =
                unsafe { std::mem::transmute::<*const (), extern "win64" fn() -> u64>(routine) };
            routine();
        }
        Ok(())
    }));
    let mut random = Random(3);
    let before = random_registers(&runner, &mut random);
    let mut after = before.clone();
    twin.attention.set(true);
    runner.run(&code, &mut after);
    assert_eq!((twin.attended.get(), twin.take_asked().len()), (5, 5));
    assert_eq!(after.general, before.general);
}

#[test]
fn what_stops_a_strand_can_change_its_registers() {
    let runner = Runner::new();
    let mut random = Random(4);
    let before = random_registers(&runner, &mut random);
    let stack_pointer = runner.stack_pointer() - 0x3000;
    let seen = std::rc::Rc::new(std::cell::Cell::new(0));
    let sees = seen.clone();
    *runner.twin.on_stop.borrow_mut() = Some(Box::new(move |context: &mut Context| {
        sees.set(context.xmm(9));
        for (number, register) in context.general.iter_mut().enumerate() {
            *register = 0x1111 * (number as u64 + 1);
        }
        context.general[4] = stack_pointer;
        // Nested-task and the trap flag do not survive; they would stop the stopping.
        context.flags = 0x4797;
        context.set_xmm(9, 0x99);
    }));
    let mut after = before.clone();
    runner.run(&[0x0F, 0x0B], &mut after);
    let xmm = |registers: &Registers, number: usize| {
        u128::from_le_bytes(
            registers.vectors[160 + 16 * number..][..16]
                .try_into()
                .unwrap(),
        )
    };
    assert_eq!(
        (runner.twin.stops.get(), runner.twin.stopped_at.get()),
        (1, runner.code_address())
    );
    assert_eq!(seen.get(), xmm(&before, 9));
    assert_eq!((xmm(&after, 9), xmm(&after, 8)), (0x99, xmm(&before, 8)));
    let mut expected: [u64; 16] = std::array::from_fn(|number| 0x1111 * (number as u64 + 1));
    expected[4] = stack_pointer;
    assert_eq!(after.general, expected);
    assert_eq!(after.flags & 0x4FD5, 0x0695);
}

#[test]
fn vector_registers_that_were_not_in_use_can_be_set() {
    let runner = Runner::new();
    *runner.twin.on_stop.borrow_mut() = Some(Box::new(|context: &mut Context| {
        assert_eq!(context.xmm(3), 0);
        context.set_xmm(3, u128::MAX);
    }));
    let mut registers = runner.registers();
    // Everything in its initial state.
    registers.vectors[512..520].fill(0);
    runner.run(&[0x0F, 0x0B], &mut registers);
    assert_eq!(
        registers.vectors[160 + 48..][..17],
        [[0xFF; 16].as_slice(), &[0]].concat()
    );
}
