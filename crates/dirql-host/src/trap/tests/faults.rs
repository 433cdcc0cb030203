use dirql_kernel::mm::layout::{self, SHARED_DATA};

use super::runner::Runner;
use crate::trap::fault::{FaultAccess, FaultKind};

fn fault_of(runner: &Runner, code: &[u8], rax: u64) -> (FaultKind, FaultAccess, u64, u64) {
    let mut registers = runner.registers();
    registers.general[0] = rax;
    registers.general[1] = 0x1_0000_0002;
    runner.run(code, &mut registers);
    let fault = runner.twin.take_fault().expect("it faults");
    assert_eq!(runner.twin.stopped_at.get(), fault.instruction);
    (
        fault.kind,
        fault.access,
        fault.address,
        fault.instruction.wrapping_sub(runner.code_address()),
    )
}

#[test]
fn accesses_to_nothing_are_page_faults_with_their_address() {
    let runner = Runner::new();
    // nop; mov rbx, [rax] / mov [rax], rbx
    let read = [0x90, 0x48, 0x8B, 0x18];
    let write = [0x90, 0x48, 0x89, 0x18];
    for address in [
        0,
        0x10,
        0xFFFF_8000_0000_0000,
        SHARED_DATA - 8,
        SHARED_DATA + 0x1000,
    ] {
        assert_eq!(
            fault_of(&runner, &read, address),
            (FaultKind::Page, FaultAccess::Read, address, 1)
        );
        assert_eq!(
            fault_of(&runner, &write, address),
            (FaultKind::Page, FaultAccess::Write, address, 1)
        );
    }
}

#[test]
fn shared_data_is_read_and_never_written() {
    let runner = Runner::new();
    let mut registers = runner.registers();
    // mov rax, [absolute]: how drivers read the tick count
    let mut code = vec![0x48, 0xA1];
    code.extend((SHARED_DATA + 0x320).to_le_bytes());
    runner.run(&code, &mut registers);
    assert_eq!(registers.general[0], 0x2726_2524_2322_2120);
    code[1] = 0xA3;
    let (kind, access, address, _) = fault_of(&runner, &code, 0);
    assert_eq!(
        (kind, access, address),
        (FaultKind::Page, FaultAccess::Write, SHARED_DATA + 0x320)
    );
    // lock or dword [rax], ecx
    let locked = fault_of(&runner, &[0xF0, 0x09, 0x08], SHARED_DATA);
    assert_eq!(
        locked,
        (FaultKind::Page, FaultAccess::Write, SHARED_DATA, 0)
    );
}

#[test]
fn an_access_over_the_end_of_the_device_window_faults_there_and_touches_no_device() {
    let runner = Runner::new();
    for (code, access) in [
        ([0x48, 0x8B, 0x18], FaultAccess::Read),
        ([0x48, 0x01, 0x18], FaultAccess::Read),
    ] {
        let end = layout::DEVICE.end;
        assert_eq!(
            fault_of(&runner, &code, end - 4),
            (FaultKind::Page, access, end, 0)
        );
        assert_eq!(runner.twin.take_asked(), []);
    }
    let end = layout::DEVICE.end;
    assert_eq!(
        fault_of(&runner, &[0x48, 0x89, 0x18], end - 4),
        (FaultKind::Page, FaultAccess::Write, end, 0)
    );
    assert_eq!(runner.twin.take_asked(), []);
}

#[test]
fn an_exchange_that_cannot_be_written_back_changes_no_register() {
    let runner = Runner::new();
    runner.twin.read_only.set(layout::DEVICE.end);
    let mut registers = runner.registers();
    registers.general[0] = layout::DEVICE.end - 4;
    registers.general[3] = 0x77;
    let before = registers.general;
    // xadd [rax], rbx
    runner.run(&[0x48, 0x0F, 0xC1, 0x18], &mut registers);
    let fault = runner.twin.take_fault().unwrap();
    assert_eq!(
        (fault.access, fault.address),
        (FaultAccess::Write, layout::DEVICE.end)
    );
    assert_eq!(registers.general, before);
}

#[test]
fn addresses_that_are_none_are_protection_faults() {
    let runner = Runner::new();
    let wild = 0x1234_5678_9ABC_DEF0;
    assert_eq!(
        fault_of(&runner, &[0x8B, 0x18], wild),
        (FaultKind::GeneralProtection, FaultAccess::Read, wild, 0)
    );
    // movaps xmm0, [rax]: not aligned
    let place = runner.stack_pointer() + 8;
    let (kind, _, address, _) = fault_of(&runner, &[0x0F, 0x28, 0x00], place);
    assert_eq!((kind, address), (FaultKind::GeneralProtection, u64::MAX));
}

#[test]
fn software_interrupts_mean_what_they_mean_on_windows() {
    let runner = Runner::new();
    assert_eq!(fault_of(&runner, &[0x90, 0xCC], 0).0, FaultKind::Breakpoint);
    assert_eq!(fault_of(&runner, &[0x90, 0xCC], 0).3, 1);
    assert_eq!(fault_of(&runner, &[0x90, 0xCD, 0x03], 0).3, 1);
    assert_eq!(
        fault_of(&runner, &[0xCD, 0x29], 0).0,
        FaultKind::FailFast(2)
    );
    assert_eq!(fault_of(&runner, &[0xCD, 0x2C], 0).0, FaultKind::Assertion);
    assert_eq!(
        fault_of(&runner, &[0xCD, 0x2D, 0xCC], 9).0,
        FaultKind::Breakpoint
    );
    assert_eq!(
        fault_of(&runner, &[0xCD, 0x21], 0).0,
        FaultKind::GeneralProtection
    );
    let mut registers = runner.registers();
    registers.general[0] = 1;
    runner.run(&[0xCD, 0x2D, 0xCC, 0xB3, 0x01], &mut registers);
    assert_eq!(
        (runner.twin.take_fault(), registers.general[3]),
        (None, 1),
        "print and skip the int3"
    );
}

#[test]
fn invalid_instructions_and_divisions_are_told_apart() {
    let runner = Runner::new();
    assert_eq!(
        fault_of(&runner, &[0x0F, 0x0B], 0).0,
        FaultKind::InvalidOpcode
    );
    assert_eq!(fault_of(&runner, &[0x06], 0).0, FaultKind::InvalidOpcode);
    // xor edx, edx; div edx
    let divide = fault_of(&runner, &[0x31, 0xD2, 0xF7, 0xF2], 5);
    assert_eq!((divide.0, divide.3), (FaultKind::Divide, 2));
    // div dword [rax], in device memory that holds 0
    let divide = fault_of(&runner, &[0xF7, 0x30], layout::DEVICE.start);
    assert_eq!((divide.0, divide.3), (FaultKind::Divide, 0));
    // ldmxcsr [rax], with reserved bits
    runner.twin.device.borrow_mut()[..4].fill(0xFF);
    let control = fault_of(&runner, &[0x0F, 0xAE, 0x10], layout::DEVICE.start);
    assert_eq!((control.0, control.3), (FaultKind::GeneralProtection, 0));
}

#[test]
fn a_return_to_what_is_no_address_is_a_protection_fault() {
    let runner = Runner::new();
    let target = 0x5A5A_5A5A_5A5A_5A5A;
    // push rax; ret: what is left of a frame that was overrun
    let code = [0x50, 0xC3];
    let (kind, access, address, instruction) = fault_of(&runner, &code, target);
    assert_eq!(kind, FaultKind::GeneralProtection);
    // Some processors complain at the target, others at the instruction.
    let at_target = target.wrapping_sub(runner.code_address());
    match instruction {
        1 => assert_eq!((access, address), (FaultAccess::Read, u64::MAX)),
        _ => assert_eq!(
            (access, address, instruction),
            (FaultAccess::Execute, target, at_target)
        ),
    }
}

#[test]
fn a_jump_to_nowhere_is_told_with_its_target() {
    let runner = Runner::new();
    for target in [0, layout::DEVICE.start, runner.stack_pointer()] {
        let mut registers = runner.registers();
        registers.general[0] = target;
        runner.run(&[0xFF, 0xE0], &mut registers);
        let fault = runner.twin.take_fault().unwrap();
        assert_eq!(
            (fault.kind, fault.access),
            (FaultKind::Page, FaultAccess::Execute)
        );
        assert_eq!((fault.address, fault.instruction), (target, target));
    }
}

#[test]
fn a_fault_with_an_unusable_stack_is_handled_on_another_one() {
    let runner = Runner::new();
    let mut registers = runner.registers();
    registers.general[4] = 0x1000;
    // push rax
    runner.run(&[0x50], &mut registers);
    let fault = runner.twin.take_fault().unwrap();
    assert_eq!((fault.kind, fault.address), (FaultKind::Page, 0xFF8));
    assert_eq!(registers.general[4], 0x1000);
}

#[test]
fn a_push_into_the_guard_is_a_stack_overflow() {
    let runner = Runner::new();
    runner.twin.guard.set((0x1000, 0x2000));
    let mut registers = runner.registers();
    registers.general[4] = 0x2000;
    runner.run(&[0x50], &mut registers);
    let fault = runner.twin.take_fault().unwrap();
    assert_eq!(
        (fault.kind, fault.address),
        (FaultKind::StackOverflow, 0x1FF8)
    );
}

#[test]
fn an_interrupt_without_a_stack_is_a_stack_overflow() {
    let runner = Runner::new();
    runner.twin.attention.set(true);
    let mut registers = runner.registers();
    registers.general[4] = 0x1000;
    runner.run(&[0xEC], &mut registers);
    assert_eq!(
        runner.twin.take_fault_kind(),
        Some(FaultKind::StackOverflow)
    );
    assert_eq!(runner.twin.attended.get(), 0);
}

#[test]
fn accesses_that_are_not_carried_out_are_reported() {
    let runner = Runner::new();
    let mut registers = runner.registers();
    registers.general[0] = layout::DEVICE.start;
    // fxsave [rax]; mov bl, 1
    runner.run(&[0x0F, 0xAE, 0x00, 0xB3, 0x01], &mut registers);
    assert_eq!(
        runner.twin.unsupported.take(),
        ["fxsave with memory (0f ae 00)"]
    );
    assert_eq!(registers.general[3], 1);
}
