//! What is known to differ: a test for each, with the reason. Ours is right by the document named,
//! or the document leaves it open.
//!
//! Not differences of the chips, and not compared: before its first initialisation an 8259 is not
//! defined; QEMU's messages lack the assert bit of level-triggered ones; virtual time stands still,
//! so characters do not time out in the UART and `edu` moves no memory; QEMU has no ECP.

use dirql_chips::edu::spec::register;
use dirql_chips::uart16550::Uart16550;
use dirql_chips::{Device, Effects, Region, Width};

use super::client::{Qemu, in8, out8, read32, select_configuration};
use super::script::{Chip, answers};
use super::{edu, ioapic, lapic, parport, pic, uart};

/// The script differs, and only at its last step.
fn assert_differs<C: Chip>(script: &[C::Step], why: &str) {
    let text = answers::<C>(&mut C::qemu(), script);
    let mut lines = text.lines();
    let last = lines.next_back().expect("a step");
    assert!(last.ends_with("<- differs"), "no longer: {why}\n{text}");
    let before = lines.find(|line| line.ends_with("<- differs"));
    assert_eq!(before, None, "another difference before: {why}\n{text}");
}

mod the_8259_pair {
    use super::assert_differs;
    use super::pic::{Pair, Step};

    #[test]
    fn an_edge_that_goes_low_takes_its_request_with_it() {
        assert_differs::<Pair>(
            &[Step::Line(3, true), Step::Line(3, false)],
            "8259A, Interrupt Sequence: the input must stay high until the acknowledgement",
        );
        assert_differs::<Pair>(
            &[Step::Line(11, true), Step::Poll(0xA0)],
            "the same at the cascade: the secondary chip's output goes low with its poll",
        );
    }

    #[test]
    fn a_line_is_looked_at_when_its_trigger_changes() {
        assert_differs::<Pair>(
            &[
                Step::Line(15, true),
                Step::Initialize {
                    base: 0x30,
                    automatic: false,
                    nested: false,
                },
                Step::Write(0x4D1, 0x80),
            ],
            "a high line is a request as soon as it is level-triggered; QEMU waits for a change",
        );
    }

    #[test]
    fn special_mask_mode_is_looked_at_at_once() {
        assert_differs::<Pair>(
            &[
                Step::Line(3, true),
                Step::Poll(0x20),
                Step::Write(0x21, 0x08),
                Step::Line(5, true),
                Step::Write(0x20, 0x68),
            ],
            "8259A, Special Mask Mode; QEMU waits for a change of a line or of a register",
        );
    }

    #[test]
    fn special_fully_nested_mode_is_looked_at_at_once() {
        assert_differs::<Pair>(
            &[
                Step::Write(0x20, 0x11),
                Step::Write(0x21, 0x30),
                Step::Write(0x21, 0x04),
                Step::Line(12, true),
                Step::Poll(0x20),
                Step::Line(5, true),
                Step::Write(0x21, 0x11),
            ],
            "8259A, Special Fully Nested Mode; QEMU waits for a change of a line or of a register",
        );
    }

    #[test]
    fn special_mask_mode_keeps_masked_inputs_in_service() {
        assert_differs::<Pair>(
            &[
                Step::Line(3, true),
                Step::Poll(0x20),
                Step::Write(0x21, 0x08),
                Step::Write(0x20, 0x68),
                Step::Write(0x20, 0x0B),
                Step::Write(0x20, 0x20),
                Step::Read(0x20),
            ],
            "8259A, End of Interrupt: no non-specific EOI for a masked input in special mask mode",
        );
    }

    #[test]
    fn initialisation_resets_the_edge_sense() {
        assert_differs::<Pair>(
            &[
                Step::Write(0x4D1, 0x04),
                Step::Line(10, true),
                Step::Write(0x20, 0x11),
                Step::Write(0x21, 0x30),
                Step::Write(0x21, 0x04),
                Step::Write(0x21, 0x01),
                Step::Write(0xA1, 0x00),
            ],
            "8259A, ICW1: an input must make a low-to-high transition; the cascade stayed high",
        );
    }
}

mod the_io_apic {
    use super::assert_differs;
    use super::ioapic::{Pins, Step};

    #[test]
    fn pin_0_is_a_pin() {
        assert_differs::<Pins>(
            &[Step::Entry(2, 0x50), Step::Pin(0, true)],
            "QEMU leads what arrives at pin 0 to pin 2, where a PC's timer is",
        );
    }

    #[test]
    fn pins_have_a_polarity() {
        assert_differs::<Pins>(
            &[
                Step::Pin(1, true),
                Step::Entry(1, 0x50 | 1 << 13),
                Step::Pin(1, false),
            ],
            "82093AA, Interrupt Input Pin Polarity, which QEMU does not look at",
        );
    }

    #[test]
    fn a_pin_is_looked_at_when_its_trigger_changes() {
        assert_differs::<Pins>(
            &[
                Step::Entry(1, 0x50 | 1 << 16),
                Step::Pin(1, true),
                Step::Entry(1, 0x50 | 1 << 15),
            ],
            "a high pin is a request as soon as it is level-triggered; QEMU waits for a change",
        );
    }
}

mod the_local_apic {
    use dirql_chips::lapic::spec::register;

    use super::assert_differs;
    use super::lapic::{Registers, Step};

    #[test]
    fn while_disabled_it_takes_no_fixed_interrupts() {
        assert_differs::<Registers>(
            &[
                Step::Write(register::SVR, 0xFF),
                Step::Message(0, 0x41),
                Step::Read(register::IRR + 0x20),
            ],
            "SDM, Local APIC State After It Has Been Software Disabled; QEMU's takes them",
        );
    }

    #[test]
    fn vectors_below_16_are_no_requests() {
        assert_differs::<Registers>(
            &[Step::Message(0, 0x05), Step::Read(register::IRR)],
            "SDM, Valid Interrupt Vectors: an error is recorded; QEMU's requests it",
        );
    }

    #[test]
    fn a_broadcast_reaches_every_cluster() {
        assert_differs::<Registers>(
            &[
                Step::Write(register::LDR, 0x1100_0000),
                Step::Write(register::DFR, 0x0FFF_FFFF),
                Step::Message(0xFF << 12 | 4, 0x41),
                Step::Read(register::IRR + 0x20),
            ],
            "SDM, Logical Destination Mode: all ones are every APIC; to QEMU they are cluster 15",
        );
    }

    #[test]
    fn the_spurious_vector_register_has_more_bits() {
        assert_differs::<Registers>(
            &[Step::Write(register::SVR, 0x3FF), Step::Read(register::SVR)],
            "SDM, Focus Processor Checking; QEMU has no focus processor",
        );
        assert_differs::<Registers>(
            &[Step::Read(register::VERSION)],
            "SDM, End-Of-Interrupt: broadcasts can be suppressed; QEMU's version says they cannot",
        );
    }

    #[test]
    fn the_arbitration_priority_follows_the_others() {
        assert_differs::<Registers>(
            &[Step::Write(register::TPR, 0x40), Step::Read(register::APR)],
            "SDM, Arbitration Priority Register; QEMU's is 0",
        );
    }

    #[test]
    fn disabling_masks_the_local_vector_table() {
        assert_differs::<Registers>(
            &[
                Step::Write(register::LVT_TIMER, 0x41),
                Step::Write(register::SVR, 0xFF),
                Step::Read(register::LVT_TIMER),
            ],
            "SDM, Local APIC State After It Has Been Software Disabled; QEMU's stays as it was",
        );
    }
}

mod the_uart {
    use super::uart::{Port, Step};
    use super::*;

    #[test]
    fn words_are_as_long_as_they_are() {
        assert_differs::<Port>(
            &[Step::Write(4, 0x10), Step::Write(0, 0x63), Step::Read(0)],
            "PC16550D, Line Control Register: five bits after reset; QEMU sends eight",
        );
    }

    #[test]
    fn fifo_control_needs_its_enable_bit() {
        assert_differs::<Port>(
            &[
                Step::Write(1, 0x02),
                Step::Read(2),
                Step::Write(2, 0x04),
                Step::Read(2),
            ],
            "PC16550D, FIFO Control Register: bit 0 must be 1 for the others to be programmed",
        );
    }

    #[test]
    fn clearing_an_empty_transmitter_does_not_interrupt() {
        assert_differs::<Port>(
            &[
                Step::Write(2, 0x01),
                Step::Write(1, 0x02),
                Step::Read(2),
                Step::Write(2, 0x05),
                Step::Read(2),
            ],
            "nothing became empty; QEMU interrupts",
        );
    }

    #[test]
    fn an_empty_receiver_reads_zero() {
        assert_differs::<Port>(
            &[
                Step::Write(4, 0x10),
                Step::Write(3, 0x03),
                Step::Write(0, 0x77),
                Step::Write(2, 0x01),
                Step::Write(2, 0x00),
                Step::Read(0),
            ],
            "no document says what is read; QEMU keeps the last character",
        );
    }

    fn ours(steps: &[(u64, u8)], register: u64) -> u8 {
        let (mut chip, mut out) = (Uart16550::new(), Effects::new());
        for &(register, value) in steps {
            chip.write(Region(0), register, Width::U8, value.into(), &mut out);
        }
        chip.read(Region(0), register, Width::U8, &mut out) as u8
    }

    fn theirs(qemu: &mut Qemu, steps: &[(u64, u8)], register: u64) -> u8 {
        qemu.run(&Port::power_up().1);
        for &(register, value) in steps {
            qemu.ask(out8(0x3F8 + register as u16, value));
        }
        qemu.ask(in8(0x3F8 + register as u16)).number() as u8
    }

    #[test]
    fn changes_of_the_modem_inputs_show_in_loopback() {
        // "The modem control interrupts are still operational in loopback."
        let steps = [(4, 0x1F), (4, 0x10)];
        let mut qemu = Port::qemu();
        assert_eq!(ours(&steps, 6) & 0x0F, 0x0F);
        assert_eq!(theirs(&mut qemu, &steps, 6) & 0x0F, 0);
    }

    #[test]
    fn reset_clears_modem_control_and_fifo_control() {
        let mut qemu = Port::qemu();
        qemu.ask(out8(0x3FA, 0x01));
        qemu.reset();
        let modem_control = qemu.ask(in8(0x3FC)).number();
        assert_eq!(modem_control, 0x08, "QEMU begins with OUT2 set");
        qemu.ask(out8(0x3F9, 0x02));
        assert_eq!(qemu.ask(in8(0x3FA)).number(), 0x02);
        assert_eq!(qemu.ask(in8(0x3FA)).number(), 0x01);
        qemu.ask(out8(0x3FA, 0x00));
        let interrupt = qemu.ask(in8(0x3FA)).number();
        assert_eq!(interrupt, 0x02, "its FIFOs had stayed enabled");
        assert_eq!(ours(&[], 4), 0);
    }

    #[test]
    fn out2_gates_the_line() {
        // The wiring of a PC. With the transmitter's interrupt enabled and OUT2 clear:
        let mut qemu = Port::qemu();
        qemu.run(&Port::power_up().1);
        assert_eq!(qemu.ask(out8(0x3F9, 0x02)).lines, [(4, true)]);
        let (mut chip, mut out) = (Uart16550::new(), Effects::new());
        chip.write(Region(0), 1, Width::U8, 2, &mut out);
        assert!(out.is_empty());
    }
}

mod the_parallel_port {
    use super::parport::{Port, Step};
    use super::*;

    #[test]
    fn the_printer_can_be_negotiated_with() {
        assert_differs::<Port>(
            &[Step::Control(0x06), Step::Read(1)],
            "IEEE 1284, Negotiation: it answers on the status lines; QEMU's printer does not",
        );
    }

    #[test]
    fn a_strobe_without_data_prints_nothing() {
        assert_differs::<Port>(
            &[
                Step::Data(0x41),
                Step::Control(0x2C),
                Step::Control(0x2D),
                Step::Printed,
            ],
            "the data lines are inputs; QEMU prints what was written before",
        );
    }

    #[test]
    fn a_printer_in_reset_is_busy() {
        assert_differs::<Port>(
            &[Step::Control(0x08), Step::Read(1)],
            "while nInit is low the printer takes nothing; QEMU's says that it is ready",
        );
    }

    #[test]
    fn a_printer_is_done_while_the_strobe_is_held() {
        // The byte is taken at the strobe's edge; QEMU's printer waits for the strobe's end.
        let (mut ours, commands) = Port::power_up();
        ours.run(&Step::Control(0x0D));
        ours.go_on();
        ours.go_on();
        assert_eq!(ours.run(&Step::Read(1)), "0xd8");
        let mut qemu = Port::qemu();
        qemu.run(&commands);
        qemu.ask(out8(0x37A, 0x0D));
        for _ in 0..3 {
            assert_eq!(qemu.ask(in8(0x379)).number(), 0x58);
        }
    }

    #[test]
    fn a_reset_loses_what_is_being_printed() {
        assert_differs::<Port>(
            &[
                Step::Data(0x41),
                Step::Control(0x0D),
                Step::Control(0x08),
                Step::Printed,
            ],
            "a byte is through when it is acknowledged; QEMU's printer has it at the strobe",
        );
    }

    #[test]
    fn registers_after_reset() {
        // SMSC data sheets: the data register and the time-out bit are cleared, bits 7:6 of the
        // control register read as zeros.
        let mut qemu = Port::qemu();
        qemu.reset();
        let registers = [0x378, 0x379, 0x37A].map(|port| qemu.ask(in8(port)).number());
        assert_eq!(registers, [0xFF, 0xD9, 0xCC]);
    }

    #[test]
    fn interrupts_follow_nack() {
        // QEMU's line rises with any write of the control register without strobe once interrupts
        // are enabled, and falls when the status is read.
        let mut qemu = Port::qemu();
        qemu.ask("irq_intercept_in ioapic");
        qemu.run(&Port::power_up().1);
        assert_eq!(qemu.ask(out8(0x37A, 0x1C)).lines, []);
        assert_eq!(qemu.ask(out8(0x37A, 0x1C)).lines, [(7, true)]);
        assert_eq!(qemu.ask(in8(0x379)).lines, [(7, false)]);
    }

    #[test]
    fn epp_cycles_need_a_port_of_the_host_behind_qemus() {
        // Without one, nothing is behind these ports, and no cycle times out.
        let mut qemu = Port::qemu();
        qemu.run(&Port::power_up().1);
        for port in 0x37B..=0x37F {
            qemu.ask(out8(port, 0x41));
            assert_eq!(qemu.ask(in8(port)).number(), 0xFF);
        }
        assert_eq!(qemu.ask(in8(0x379)).number(), 0xD8);
    }
}

mod the_edu_card {
    use super::edu::{Card, Step};
    use super::*;

    #[test]
    fn accesses_that_are_not_aligned_are_refused_whole() {
        assert_differs::<Card>(
            &[Step::Read(register::INTERRUPT_STATUS, true)],
            "only 4 bytes are allowed there; QEMU cuts the access in two and answers the first",
        );
    }

    #[test]
    fn an_asserted_line_is_back_after_message_mode() {
        assert_differs::<Card>(
            &[
                Step::Write(register::INTERRUPT_RAISE, 1),
                Step::Configure(0x40, 1 << 16),
                Step::Configure(0x40, 0),
            ],
            "PCI 3.0, Interrupt Status: it is the state inside; QEMU's forgets it",
        );
    }

    #[test]
    fn message_data_has_16_bits() {
        assert_differs::<Card>(
            &[
                Step::Configure(0x4C, 0x1234_5678),
                Step::Configuration(0x4C),
            ],
            "PCI 3.0, Message Data Register; QEMU's has 32",
        );
    }

    #[test]
    fn how_many_messages_are_given_reads_as_it_was_written() {
        assert_differs::<Card>(
            &[Step::Configure(0x40, 0x21 << 16), Step::Configuration(0x40)],
            "PCI 3.0, Multiple Message Enable: read and write; QEMU keeps what was asked for",
        );
    }

    #[test]
    fn parity_error_response_can_be_written() {
        assert_differs::<Card>(
            &[Step::Configure(0x04, 0x46), Step::Configuration(0x04)],
            "PCI 3.0, Device Control: devices that check parity have it; QEMU's reads zero",
        );
    }

    #[test]
    fn a_reset_forgets_the_registers() {
        let mut qemu = Card::qemu();
        let liveness = 0xFEA0_0004;
        Card::theirs(&mut qemu, &[Step::Write(register::LIVENESS, 1)]);
        qemu.reset();
        // The window is gone until it is placed again.
        for (offset, value) in [(0x10, 0xFEA0_0000_u32), (0x04, 6)] {
            qemu.ask(select_configuration(4, offset));
            qemu.ask(format!("outl 0xcfc {value:#x}"));
        }
        let value = qemu.ask(read32(liveness)).number();
        assert_eq!(value as u32, !1, "QEMU's card has no reset");
    }
}
