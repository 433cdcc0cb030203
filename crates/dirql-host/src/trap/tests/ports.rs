use dirql_chips::Width;

use super::runner::Runner;
use super::twin::Asked;
use crate::trap::fault::FaultKind;
use crate::trap::trap_time_stamp_counter;

#[test]
fn in_reads_all_widths_and_keeps_what_the_width_does_not_cover() {
    let runner = Runner::new();
    let forms: [(&[u8], u16, Width, u64); 6] = [
        (&[0xE4, 0x60], 0x60, Width::U8, 0xFFFF_FFFF_FFFF_FF60),
        (&[0x66, 0xE5, 0x61], 0x61, Width::U16, 0xFFFF_FFFF_FFFF_6162),
        (&[0xE5, 0x62], 0x62, Width::U32, 0x6262_6264),
        (&[0xEC], 0x3F8, Width::U8, 0xFFFF_FFFF_FFFF_FFFB),
        (&[0x66, 0xED], 0x3F8, Width::U16, 0xFFFF_FFFF_FFFF_FBFC),
        (&[0xED], 0x3F8, Width::U32, 0xFBFB_FBFD),
    ];
    for (code, port, width, expected) in forms {
        let mut registers = runner.registers();
        registers.general[0] = u64::MAX;
        registers.general[2] = 0xABCD_0000 | 0x3F8;
        runner.run(code, &mut registers);
        assert_eq!(runner.twin.take_asked(), [Asked::ReadPort(port, width)]);
        assert_eq!(registers.general[0], expected, "{code:x?}");
        assert_eq!(registers.general[2], 0xABCD_03F8);
    }
}

#[test]
fn out_writes_all_widths() {
    let runner = Runner::new();
    let forms: [(&[u8], u16, Width, u64); 6] = [
        (&[0xE6, 0x80], 0x80, Width::U8, 0x44),
        (&[0x66, 0xE7, 0x80], 0x80, Width::U16, 0x3344),
        (&[0xE7, 0x80], 0x80, Width::U32, 0x1122_3344),
        (&[0xEE], 0xCF8, Width::U8, 0x44),
        (&[0x66, 0xEF], 0xCF8, Width::U16, 0x3344),
        (&[0xEF], 0xCF8, Width::U32, 0x1122_3344),
    ];
    for (code, port, width, value) in forms {
        let mut registers = runner.registers();
        registers.general[0] = 0x9988_7766_1122_3344;
        registers.general[2] = 0xFFFF_0CF8;
        runner.run(code, &mut registers);
        assert_eq!(
            runner.twin.take_asked(),
            [Asked::WritePort(port, width, value)],
            "{code:x?}"
        );
        assert_eq!(registers.general[0], 0x9988_7766_1122_3344);
    }
}

#[test]
fn the_current_irql_is_read_and_written_in_every_register() {
    let runner = Runner::new();
    for register in (0..16_u8).filter(|register| *register != 4) {
        let (rex, low) = (0x44 | register >> 3, 0xC0 | register & 7);
        let mut registers = runner.registers();
        registers.general[usize::from(register)] = 11;
        runner.run(&[rex, 0x0F, 0x22, low], &mut registers);
        assert_eq!(runner.twin.cr8.get(), 11);
        runner.twin.cr8.set(2);
        runner.run(&[rex, 0x0F, 0x20, low], &mut registers);
        assert_eq!(registers.general[usize::from(register)], 2);
    }
}

#[test]
fn sixteen_is_no_irql_and_fifteen_is() {
    let runner = Runner::new();
    let mut registers = runner.registers();
    registers.general[0] = 15;
    runner.run(&[0x44, 0x0F, 0x22, 0xC0], &mut registers);
    assert_eq!(
        (runner.twin.cr8.get(), runner.twin.take_fault()),
        (15, None)
    );
    registers.general[0] = 16;
    runner.run(&[0x44, 0x0F, 0x22, 0xC0], &mut registers);
    assert_eq!(
        (runner.twin.cr8.get(), runner.twin.take_fault_kind()),
        (15, Some(FaultKind::GeneralProtection))
    );
}

#[test]
fn control_registers_read_as_those_of_a_running_system() {
    let runner = Runner::new();
    for (control, expected) in [(0, 0x8005_0031_u64), (2, 0), (3, 0x1A_A000), (4, 0x6F8)] {
        let mut registers = runner.registers();
        registers.general[7] = u64::MAX;
        runner.run(&[0x0F, 0x20, 0xC7 | control << 3], &mut registers);
        assert_eq!(registers.general[7], expected, "cr{control}");
        // Writing back what was read is how caches and translations are flushed.
        runner.run(&[0x0F, 0x22, 0xC7 | control << 3], &mut registers);
        assert_eq!(
            runner.twin.unsupported.take().len(),
            usize::from(control == 2)
        );
    }
}

#[test]
fn another_value_for_a_control_register_is_reported_and_skipped() {
    let runner = Runner::new();
    let mut registers = runner.registers();
    registers.general[0] = 0x8004_0031;
    registers.general[3] = 0;
    runner.run(&[0x0F, 0x22, 0xC0, 0xB3, 0x01], &mut registers);
    assert_eq!(runner.twin.unsupported.take(), ["mov (0f 22 c0)"]);
    assert_eq!(registers.general[3], 1, "the instruction behind it ran");
}

#[test]
fn privileged_instructions_without_a_meaning_are_named() {
    let runner = Runner::new();
    let mut registers = runner.registers();
    registers.general[0] = runner.stack_pointer();
    runner.run(
        &[0x0F, 0x01, 0x10, 0x0F, 0x01, 0xF8, 0x0F, 0x01, 0xD1],
        &mut registers,
    );
    let expected = [
        "lgdt with memory (0f 01 10)",
        "swapgs (0f 01 f8)",
        "xsetbv (0f 01 d1)",
    ];
    assert_eq!(runner.twin.unsupported.take(), expected);
}

#[test]
fn caches_and_translations_need_nothing_done() {
    let runner = Runner::new();
    let mut registers = runner.registers();
    // wbinvd, invd, invlpg [rax], clts, monitor, mwait, clac, stac
    let code = [
        0x0F, 0x09, 0x0F, 0x08, 0x0F, 0x01, 0x38, 0x0F, 0x06, 0x0F, 0x01, 0xC8, 0x0F, 0x01, 0xC9,
        0x0F, 0x01, 0xCA, 0x0F, 0x01, 0xCB, 0xB3, 0x01,
    ];
    runner.run(&code, &mut registers);
    assert_eq!(registers.general[3], 1);
    assert_eq!(
        (
            runner.twin.take_fault(),
            runner.twin.unsupported.take().len()
        ),
        (None, 0)
    );
}

#[test]
fn model_specific_registers_are_the_kernels() {
    let runner = Runner::new();
    let mut registers = runner.registers();
    registers.general[1] = 0xFFFF_FFFF_0000_001B;
    runner.run(&[0x0F, 0x32], &mut registers);
    assert_eq!(
        (registers.general[0], registers.general[2]),
        (0x9ABC_DEF0, 0x1234_5678)
    );
    registers.general[0] = 0xFFFF_FFFF_0000_0001;
    registers.general[2] = 0xFFFF_FFFF_0000_0002;
    runner.run(&[0x0F, 0x30], &mut registers);
    assert_eq!(
        runner.twin.take_asked(),
        [Asked::WriteMsr(0x1B, 0x2_0000_0001)]
    );
    registers.general[1] = 0x1C;
    for code in [[0x0F, 0x32], [0x0F, 0x30]] {
        runner.run(&code, &mut registers);
        assert_eq!(
            runner.twin.take_fault_kind(),
            Some(FaultKind::GeneralProtection)
        );
    }
}

#[test]
fn performance_counters_stand_still() {
    let runner = Runner::new();
    let mut registers = runner.registers();
    registers.general[0] = 5;
    registers.general[1] = 7;
    runner.run(&[0x0F, 0x33], &mut registers);
    // Linux may let programs read them, and then they do not trap.
    if runner.twin.take_fault().is_none() {
        registers.general[1] = 8;
        runner.run(&[0x0F, 0x33], &mut registers);
        assert_eq!(
            runner.twin.take_fault_kind(),
            Some(FaultKind::GeneralProtection)
        );
    }
}

#[test]
fn halt_is_the_kernels() {
    let runner = Runner::new();
    runner.run(&[0xF4], &mut runner.registers());
    assert_eq!(runner.twin.take_asked(), [Asked::Halt]);
}

#[test]
fn the_time_stamp_counter_is_the_kernels_when_asked_for() {
    let runner = Runner::new();
    runner.load(&[0x0F, 0x31, 0x0F, 0x01, 0xF9]); // rdtsc; rdtscp
    let mut registers = runner.registers();
    trap_time_stamp_counter(true).unwrap();
    runner.go(&mut registers);
    trap_time_stamp_counter(false).unwrap();
    assert_eq!(
        (registers.general[0], registers.general[2]),
        (0x3333_4444, 0x1111_2222)
    );
    assert_eq!(registers.general[1], 0);
}
