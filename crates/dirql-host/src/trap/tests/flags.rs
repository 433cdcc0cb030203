use std::sync::atomic::{AtomicU32, Ordering};

use super::runner::Runner;
use super::twin::Asked;

const IF: u64 = 1 << 9;

/// pushfq; pop rax
const READ_FLAGS: [u8; 2] = [0x9C, 0x58];

#[test]
fn the_interrupt_flag_reads_as_it_is() {
    let runner = Runner::new();
    let mut registers = runner.registers();
    // pushfq; pop rbx; cli; pushfq; pop rcx; sti; pushfq; pop rdx
    runner.run(
        &[0x9C, 0x5B, 0xFA, 0x9C, 0x59, 0xFB, 0x9C, 0x5A],
        &mut registers,
    );
    let [_, after_cli, after_sti, before, ..] = registers.general;
    assert_eq!([before & IF, after_cli & IF, after_sti & IF], [IF, 0, IF]);
    assert_eq!(before & !IF, after_cli & !IF);
    assert!(runner.twin.interrupts.get());
}

#[test]
fn alignment_is_not_checked_in_kernel_mode() {
    let runner = Runner::new();
    let mut registers = runner.registers();
    // pushfq; or dword [rsp], 1 << 18; popfq; push rax; mov ebx, [rsp + 1]; pop rax
    let code = [
        0x9C, 0x81, 0x0C, 0x24, 0, 0, 4, 0, 0x9D, 0x50, 0x8B, 0x5C, 0x24, 0x01, 0x58,
    ];
    registers.general[0] = 0x0102_0304_0506_0708;
    runner.run(&code, &mut registers);
    assert_eq!(runner.twin.take_fault(), None);
    assert_eq!(registers.general[3], 0x0405_0607);
}

#[test]
fn popfq_after_cli_restores_the_flag_and_all_others() {
    let runner = Runner::new();
    let mut registers = runner.registers();
    registers.flags = 0x8D7 | 0x400;
    // pushfq; cli; cmp eax, eax; cld; popfq; and again
    for _ in 0..2 {
        runner.run(&[0x9C, 0xFA, 0x39, 0xC0, 0xFC, 0x9D], &mut registers);
        assert!(runner.twin.interrupts.get());
        assert_eq!(registers.flags & 0xCD5, 0xCD5);
    }
}

#[test]
fn nested_disabling_keeps_the_flag_clear_until_the_outer_restore() {
    let runner = Runner::new();
    let mut registers = runner.registers();
    // pushfq; cli; pushfq; cli; popfq; pushfq; pop rbx; popfq; pushfq; pop rcx
    runner.run(
        &[0x9C, 0xFA, 0x9C, 0xFA, 0x9D, 0x9C, 0x5B, 0x9D, 0x9C, 0x59],
        &mut registers,
    );
    assert_eq!(
        (registers.general[3] & IF, registers.general[1] & IF),
        (0, IF)
    );
}

#[test]
fn the_flag_is_followed_through_branches_calls_and_returns() {
    let runner = Runner::new();
    let mut code = vec![
        0xE8, 0x0B, 0x00, 0x00, 0x00, // 00: call 10
        0x9C, 0x5B, // 05: pushfq; pop rbx: back in the caller, found through the return
        0xE8, 0x0F, 0x00, 0x00, 0x00, // 07: call 1b
        0xEB, 0x14, // 0c: jmp 22
        0x90, 0x90, 0xFA, // 10: cli
        0x85, 0xC0, // 11: test eax, eax
        0x74, 0x03, // 13: jz 18
        0x0F, 0x0B, // 15: ud2
        0x90, // 17
        0xC3, // 18: ret
        0x90, 0x90, 0x9C, 0x59, // 1b: pushfq; pop rcx
        0x51, 0x9D, // 1d: push rcx; popfq
        0xF3, 0xC3, // 1f: rep ret
        0x90,
    ];
    code.extend([0xFB]); // 22: sti
    code.extend(READ_FLAGS);
    let mut registers = runner.registers();
    for _ in 0..2 {
        registers.general[0] = 0;
        runner.run(&code, &mut registers);
        let [rax, rcx, _, rbx, ..] = registers.general;
        assert_eq!([rax & IF, rcx & IF, rbx & IF], [IF, 0, 0]);
        assert_eq!(registers.general[4], runner.stack_pointer());
        assert_eq!(runner.twin.take_fault(), None);
    }
}

#[test]
fn the_flag_is_followed_through_computed_jumps_and_calls() {
    let runner = Runner::new();
    let base = runner.code_address();
    let code = [
        0xFA, // 00: cli
        0xFF, 0xD3, // 01: call rbx -> 08
        0xFF, 0x21, // 03: jmp [rcx] -> 0b
        0x0F, 0x0B, 0x90, // 05
        0x9C, 0x5F, // 08: pushfq; pop rdi
        0xC3, // 0a: ret
        0x9C, 0x5E, // 0b: pushfq; pop rsi
        0xFB, // 0d: sti
    ];
    let mut registers = runner.registers();
    registers.general[3] = base + 8;
    let pointer = runner.stack_pointer() - 0x1000;
    // SAFETY: this is inside the runner's stack, below what is in use.
    unsafe { std::ptr::with_exposed_provenance_mut::<u64>(pointer as usize).write(base + 0xB) };
    registers.general[1] = pointer;
    runner.run(&code, &mut registers);
    assert_eq!(
        (registers.general[7] & IF, registers.general[6] & IF),
        (0, 0)
    );
    assert_eq!(registers.general[4], runner.stack_pointer());
    assert_eq!(runner.twin.take_fault(), None);
}

#[test]
fn a_frame_for_iretq_sets_everything() {
    let runner = Runner::new();
    let base = runner.code_address();
    // cli; push ss; push rbx; push flags; push cs; push target; iretq
    let code = [
        0xFA, 0x6A, 0x2B, 0x53, 0x68, 0xD7, 0x0A, 0x00, 0x00, 0x6A, 0x33, 0x51, 0x48, 0xCF, 0x0F,
        0x0B,
    ];
    let mut registers = runner.registers();
    registers.general[1] = base + 16;
    registers.general[3] = runner.stack_pointer() - 0x800;
    runner.run(&code, &mut registers);
    assert_eq!(runner.twin.take_fault(), None);
    assert_eq!(registers.general[4], runner.stack_pointer() - 0x800);
    assert_eq!(registers.flags & 0xCD5, 0x8D5 & 0xAD7);
    assert!(runner.twin.interrupts.get());
}

#[test]
fn an_interrupt_between_sti_and_hlt_waits_for_hlt() {
    static ATTENDED_AT: AtomicU32 = AtomicU32::new(0);
    let runner = Runner::new();
    let twin = runner.twin;
    *twin.on_attend.borrow_mut() = Some(Box::new(move || {
        ATTENDED_AT.store(twin.asked.borrow().len() as u32, Ordering::Relaxed);
        Ok(())
    }));
    twin.attention.set(true);
    runner.run(&[0xFB, 0xF4], &mut runner.registers());
    assert_eq!(twin.take_asked(), [Asked::Halt]);
    assert_eq!(
        (twin.attended.get(), ATTENDED_AT.load(Ordering::Relaxed)),
        (1, 1)
    );
    twin.attention.set(true);
    runner.run(&[0xFB, 0x90, 0xF4], &mut runner.registers());
    assert_eq!(
        (twin.attended.get(), ATTENDED_AT.load(Ordering::Relaxed)),
        (2, 0)
    );
}

#[test]
fn a_last_call_out_of_the_image_returns_into_searched_code() {
    let runner = Runner::new();
    let base = runner.code_address();
    let mut code = vec![
        0xE8, 0x04, 0x00, 0x00, 0x00, // 00: call 09
        0x9C, 0x5B, // 05: pushfq; pop rbx
        0xEB, 0x04, // 07: jmp 0d
        0xFA, // 09: cli
        0xFF, 0xE1, // 0a: jmp rcx, to where the kernel would be
        0x90, 0xFB, // 0d: sti
        0xEB, 0x31, // 0e: jmp 41
    ];
    code.resize(0x40, 0x90);
    code.push(0xC3); // 40: ret, outside the image
    runner.twin.code.set((base, base + 0x40));
    let mut registers = runner.registers();
    registers.general[1] = base + 0x40;
    runner.run(&code, &mut registers);
    assert_eq!(
        (runner.twin.take_fault(), registers.general[3] & IF),
        (None, 0)
    );
}

#[test]
fn patches_end_with_the_code_that_they_were_made_for() {
    let runner = Runner::new();
    let mut registers = runner.registers();
    runner.run(&[0xFA, 0x9C, 0x5B, 0xFB], &mut registers);
    // The same place holds a real hlt now.
    runner.run(&[0x90, 0xF4, 0x5B, 0x53], &mut registers);
    assert_eq!(runner.twin.take_asked(), [Asked::Halt]);
}
