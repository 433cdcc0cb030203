use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use proptest::prelude::*;
use snapbox::{assert_data_eq, str};

use super::spec::{Lvt, LvtEntry, Shorthand, register};
use super::*;
use crate::device::Width;

fn enabled(id: u8) -> Lapic {
    let mut lapic = Lapic::new(id);
    lapic.set_enabled(true, Vector(0xFF));
    lapic
}

fn hex(vector: Option<Vector>) -> String {
    vector.map_or(String::new(), |vector| format!("{:#04x}", vector.0))
}

/// Runs steps on an enabled APIC. Each line of the answer is a step, what it gave, and then the
/// processor priority and the deliverable vector.
fn script(steps: &str) -> String {
    let mut lapic = enabled(0);
    let mut text = String::new();
    for step in steps.split(", ") {
        let words: Vec<&str> = step.split(' ').collect();
        let vector = |text: &str| Vector(u8::from_str_radix(text, 16).expect("hexadecimal"));
        let result = match *words {
            ["edge", number] => format!("{:?}", lapic.accept(vector(number), Trigger::Edge)),
            ["level", number] => format!("{:?}", lapic.accept(vector(number), Trigger::Level)),
            ["tpr", class] => {
                lapic.set_tpr_class(vector(class).0);
                String::new()
            }
            ["ack"] => hex(lapic.acknowledge()),
            ["eoi"] => hex(lapic.end_of_interrupt()),
            ["disable"] => {
                lapic.set_enabled(false, Vector(0xFF));
                String::new()
            }
            ["enable"] => {
                lapic.set_enabled(true, Vector(0xFF));
                String::new()
            }
            _ => panic!("no step {step:?}"),
        };
        let line = format!(
            "{step:<9} -> {result:<13} ppr {:02x} next {}",
            lapic.ppr(),
            hex(lapic.deliverable())
        );
        text += line.trim_end();
        text.push('\n');
    }
    text
}

#[test]
fn the_highest_class_goes_first_and_nests() {
    assert_data_eq!(
        script("edge 51, edge 91, edge 92, ack, ack, eoi, ack, eoi, ack, eoi"),
        str![[r#"
edge 51   -> Requested     ppr 00 next 0x51
edge 91   -> Requested     ppr 00 next 0x91
edge 92   -> Requested     ppr 00 next 0x92
ack       -> 0x92          ppr 90 next
ack       ->               ppr 90 next
eoi       ->               ppr 00 next 0x91
ack       -> 0x91          ppr 90 next
eoi       ->               ppr 00 next 0x51
ack       -> 0x51          ppr 50 next
eoi       ->               ppr 00 next

"#]]
    );
}

#[test]
fn a_vector_of_the_class_in_the_tpr_waits() {
    assert_data_eq!(
        script("tpr 5, edge 5f, edge 60, ack, eoi, ack, tpr 4, ack"),
        str![[r#"
tpr 5     ->               ppr 50 next
edge 5f   -> Requested     ppr 50 next
edge 60   -> Requested     ppr 50 next 0x60
ack       -> 0x60          ppr 60 next
eoi       ->               ppr 50 next
ack       ->               ppr 50 next
tpr 4     ->               ppr 40 next 0x5f
ack       -> 0x5f          ppr 50 next

"#]]
    );
}

#[test]
fn two_requests_of_one_vector_merge_unless_the_first_is_in_service() {
    assert_data_eq!(
        script("edge 51, edge 51, ack, edge 51, edge 51, eoi, ack"),
        str![[r#"
edge 51   -> Requested     ppr 00 next 0x51
edge 51   -> Merged        ppr 00 next 0x51
ack       -> 0x51          ppr 50 next
edge 51   -> Requested     ppr 50 next
edge 51   -> Merged        ppr 50 next
eoi       ->               ppr 00 next 0x51
ack       -> 0x51          ppr 50 next

"#]]
    );
}

#[test]
fn only_the_end_of_a_level_vector_is_broadcast() {
    assert_data_eq!(
        script("level 51, edge 61, ack, ack, eoi, ack, eoi, eoi"),
        str![[r#"
level 51  -> Requested     ppr 00 next 0x51
edge 61   -> Requested     ppr 00 next 0x61
ack       -> 0x61          ppr 60 next
ack       ->               ppr 60 next
eoi       ->               ppr 00 next 0x51
ack       -> 0x51          ppr 50 next
eoi       -> 0x51          ppr 00 next
eoi       ->               ppr 00 next

"#]]
    );
}

#[test]
fn software_can_keep_ends_from_the_io_apics() {
    let mut lapic = enabled(0);
    let suppress = u64::from(lapic.spurious.with_broadcasts_suppressed(true).into_bits());
    assert_eq!(lapic.read(register::VERSION, Width::U32) >> 24 & 1, 1);
    assert_eq!(lapic.write(register::SVR, Width::U32, suppress), None);
    assert_eq!(lapic.read(register::SVR, Width::U32), 0x11FF);
    let _ = lapic.accept(Vector(0x51), Trigger::Level);
    assert_eq!(lapic.acknowledge(), Some(Vector(0x51)));
    assert_eq!(lapic.write(register::EOI, Width::U32, 0), None);
    assert!(
        !lapic.in_service().contains(Vector(0x51)),
        "it has ended all the same"
    );

    // The entry waits for its own EOI register.
    let mut io_apic = crate::IoApic::default();
    let entry = crate::ioapic::spec::RedirectionEntry::new()
        .with_vector(0x51)
        .with_trigger(Trigger::Level);
    assert_eq!(io_apic.set_entry(3, entry), None);
    assert!(io_apic.drive(3, Level::High).is_some());
    assert_eq!(io_apic.drive(3, Level::High), None);
    let eoi = crate::ioapic::spec::offset::EOI;
    assert_eq!(io_apic.write(eoi, Width::U32, 0x51).len(), 1);
}

#[test]
fn a_disabled_apic_holds_what_it_has_and_takes_nothing() {
    assert_data_eq!(
        script("edge 51, disable, ack, edge 61, enable, ack"),
        str![[r#"
edge 51   -> Requested     ppr 00 next 0x51
disable   ->               ppr 00 next
ack       ->               ppr 00 next
edge 61   -> Disabled      ppr 00 next
enable    ->               ppr 00 next 0x51
ack       -> 0x51          ppr 50 next

"#]]
    );
}

#[test]
fn vectors_below_16_are_errors() {
    assert_data_eq!(
        script("edge 0f, edge 10, level 00, tpr 1, tpr 0, ack"),
        str![[r#"
edge 0f   -> IllegalVector ppr 00 next
edge 10   -> Requested     ppr 00 next 0x10
level 00  -> IllegalVector ppr 00 next 0x10
tpr 1     ->               ppr 10 next
tpr 0     ->               ppr 00 next 0x10
ack       -> 0x10          ppr 10 next

"#]]
    );
}

#[test]
fn the_task_priority_class_has_four_bits() {
    let mut lapic = enabled(0);
    lapic.set_tpr_class(0x1F);
    assert_eq!(lapic.tpr_class(), 15);
    let _ = lapic.accept(Vector(0xFF), Trigger::Edge);
    assert_eq!(
        lapic.deliverable(),
        None,
        "class 15 in the TPR stops everything"
    );
}

#[test]
fn an_error_shows_when_the_error_status_register_is_written() {
    let mut lapic = enabled(0);
    let _ = lapic.write(register::LVT_ERROR, Width::U32, 0xE1);
    let _ = lapic.accept(Vector(3), Trigger::Edge);
    assert_eq!(lapic.deliverable(), Some(Vector(0xE1)));
    assert_eq!(lapic.read(register::ESR, Width::U32), 0);
    let _ = lapic.write(register::ESR, Width::U32, 0);
    assert_eq!(lapic.read(register::ESR, Width::U32), 0x40);
    let _ = lapic.write(register::ESR, Width::U32, 0);
    assert_eq!(lapic.read(register::ESR, Width::U32), 0);
}

#[test]
fn physical_and_logical_destinations() {
    let mut lapic = enabled(5);
    lapic.set_logical_id(0b0010_0000);
    let physical = |lapic: &Lapic, id| lapic.matches(id, DestinationMode::Physical);
    assert!(physical(&lapic, 5) && physical(&lapic, 0xFF) && !physical(&lapic, 4));
    let logical = |lapic: &Lapic, mask| lapic.matches(mask, DestinationMode::Logical);
    assert!(logical(&lapic, 0x20) && logical(&lapic, 0xFF) && logical(&lapic, 0x30));
    assert!(!logical(&lapic, 0x10) && !logical(&lapic, 0));

    // Cluster 2, member bit 1.
    let _ = lapic.write(register::DFR, Width::U32, 0x0FFF_FFFF);
    lapic.set_logical_id(0x22);
    assert!(logical(&lapic, 0x22) && logical(&lapic, 0x2F) && logical(&lapic, 0xFF));
    assert!(!logical(&lapic, 0x21) && !logical(&lapic, 0x12));
}

#[test]
fn registers_show_the_state() {
    let mut lapic = enabled(0x12);
    let _ = lapic.accept(Vector(0x31), Trigger::Level);
    let _ = lapic.accept(Vector(0xA0), Trigger::Edge);
    let _ = lapic.acknowledge();
    let read = |lapic: &mut Lapic, offset| lapic.read(offset, Width::U32);
    assert_eq!(read(&mut lapic, register::ID), 0x1200_0000);
    assert_eq!(read(&mut lapic, register::VERSION), 0x0105_0014);
    assert_eq!(read(&mut lapic, register::IRR + 0x10), 1 << 0x11);
    assert_eq!(read(&mut lapic, register::TMR + 0x10), 1 << 0x11);
    assert_eq!(read(&mut lapic, register::ISR + 0x50), 1);
    assert_eq!(read(&mut lapic, register::PPR), 0xA0);
    assert_eq!(read(&mut lapic, register::SVR), 0x1FF);
    assert_eq!(read(&mut lapic, register::DFR), 0xFFFF_FFFF);
    assert_eq!(read(&mut lapic, register::LVT_TIMER), 0x1_0000);
    assert_eq!(lapic.read(register::ID, Width::U64), 0, "32 bits only");
    assert_eq!(
        lapic.read(register::ID + 4, Width::U32),
        0,
        "multiples of 16 only"
    );
}

#[test]
fn the_tpr_register_and_cr8_are_one() {
    let mut lapic = enabled(0);
    let _ = lapic.write(register::TPR, Width::U32, 0x57);
    assert_eq!((lapic.tpr_class(), lapic.ppr()), (5, 0x57));
    lapic.set_tpr_class(5);
    assert_eq!(lapic.tpr(), 0x50);
}

#[test]
fn writing_the_command_sends() {
    let mut lapic = enabled(1);
    let _ = lapic.write(register::ICR_HIGH, Width::U32, 0x0300_0000);
    let sent = lapic.write(register::ICR_LOW, Width::U32, 0x0000_00D1);
    let Some(Output::Ipi(ipi)) = sent else {
        panic!("nothing sent: {sent:?}")
    };
    assert_eq!(ipi.message, InterruptMessage::fixed(3, Vector(0xD1)));
    assert!(ipi.reaches(&enabled(3)) && !ipi.reaches(&enabled(1)));

    let sent = lapic.write(register::ICR_LOW, Width::U32, 0x000C_00D1);
    let Some(Output::Ipi(ipi)) = sent else {
        panic!("nothing sent: {sent:?}")
    };
    assert_eq!(ipi.shorthand, Shorthand::Others);
    assert!(ipi.reaches(&enabled(3)) && !ipi.reaches(&enabled(1)));

    assert_eq!(
        lapic.write(register::ICR_LOW, Width::U32, 0x0004_00D1),
        None
    );
    assert_eq!(lapic.deliverable(), Some(Vector(0xD1)), "to itself");
    assert_eq!(
        lapic.write(register::ICR_LOW, Width::U32, 0x0000_000F),
        None
    );
    let _ = lapic.write(register::ESR, Width::U32, 0);
    assert_eq!(
        lapic.read(register::ESR, Width::U32),
        0x20,
        "send illegal vector"
    );
}

#[test]
fn the_end_of_interrupt_register_ends() {
    let mut lapic = enabled(0);
    let _ = lapic.accept(Vector(0x51), Trigger::Level);
    let _ = lapic.acknowledge();
    let ended = lapic.write(register::EOI, Width::U32, 0);
    assert_eq!(ended, Some(Output::EndOfInterrupt(Vector(0x51))));
    assert!(lapic.in_service().highest().is_none());
}

#[test]
fn the_trigger_of_the_last_request_counts() {
    let mut lapic = enabled(0);
    let _ = lapic.accept(Vector(0x51), Trigger::Level);
    let _ = lapic.accept(Vector(0x51), Trigger::Edge);
    let _ = lapic.acknowledge();
    assert_eq!(lapic.end_of_interrupt(), None, "edge-triggered now");
}

#[test]
fn an_error_interrupts_once_until_the_status_is_written() {
    let mut lapic = enabled(0);
    let _ = lapic.write(register::LVT_ERROR, Width::U32, 0xE1);
    let errors_until_served = |lapic: &mut Lapic| {
        let _ = lapic.accept(Vector(3), Trigger::Edge);
        let served = lapic.acknowledge();
        let _ = lapic.end_of_interrupt();
        served
    };
    assert_eq!(errors_until_served(&mut lapic), Some(Vector(0xE1)));
    assert_eq!(errors_until_served(&mut lapic), None);
    let _ = lapic.write(register::ESR, Width::U32, 0);
    assert_eq!(errors_until_served(&mut lapic), Some(Vector(0xE1)));
}

#[test]
fn init_is_sent_and_its_de_assert_is_not() {
    let mut lapic = enabled(0);
    let sent = |lapic: &mut Lapic, low| lapic.write(register::ICR_LOW, Width::U32, low).is_some();
    assert!(sent(&mut lapic, 0x000C_4500), "assert, edge");
    assert!(sent(&mut lapic, 0x000C_C500), "assert, level");
    assert!(!sent(&mut lapic, 0x000C_8500), "de-assert, level");
    assert!(
        sent(&mut lapic, 0x000C_4608),
        "startup: a vector below 16 is a page"
    );
    assert!(!sent(&mut lapic, 0x000C_4300), "reserved");
    assert!(!sent(&mut lapic, 0x000C_4700), "ExtINT");
}

#[test]
fn the_timer_fires_once_or_again_and_again() {
    let mut lapic = enabled(0);
    let _ = lapic.write(register::LVT_TIMER, Width::U32, 0x40);
    let _ = lapic.write(register::INITIAL_COUNT, Width::U32, 10);
    assert_eq!(lapic.clocks_to_timer(), Some(20), "reset divides by 2");
    lapic.advance(19);
    assert_eq!(lapic.read(register::CURRENT_COUNT, Width::U32), 1);
    assert_eq!(lapic.deliverable(), None);
    lapic.advance(1);
    assert_eq!(lapic.acknowledge(), Some(Vector(0x40)));
    assert_eq!(lapic.clocks_to_timer(), None);

    let _ = lapic.end_of_interrupt();
    let _ = lapic.write(register::LVT_TIMER, Width::U32, 0x2_0040);
    let _ = lapic.write(register::DIVIDE, Width::U32, 0xB);
    let _ = lapic.write(register::INITIAL_COUNT, Width::U32, 10);
    lapic.advance(25);
    assert_eq!(lapic.acknowledge(), Some(Vector(0x40)));
    assert_eq!(
        lapic.clocks_to_timer(),
        Some(5),
        "two periods and a half have passed"
    );
}

#[test]
fn local_pins_follow_their_table_entries() {
    let mut lapic = enabled(0);
    assert_eq!(
        lapic.drive(LocalPin::Lint1, Level::High),
        None,
        "masked after reset"
    );
    let _ = lapic.drive(LocalPin::Lint1, Level::Low);
    let _ = lapic.write(register::LVT_TIMER + 0x40, Width::U32, 0x400);
    assert_eq!(
        lapic.drive(LocalPin::Lint1, Level::High),
        Some(Reception::Nmi)
    );
    assert_eq!(
        lapic.drive(LocalPin::Lint1, Level::High),
        None,
        "NMI is an edge"
    );

    let _ = lapic.write(register::LVT_TIMER + 0x30, Width::U32, 0x700);
    assert!(!lapic.wants_ext_int());
    assert_eq!(lapic.drive(LocalPin::Lint0, Level::High), None);
    assert!(lapic.wants_ext_int());
}

#[test]
fn a_level_at_lint0_is_delivered_again_after_each_end() {
    let mut lapic = enabled(0);
    let _ = lapic.write(register::LVT_TIMER + 0x30, Width::U32, 0x8051);
    let got = lapic.drive(LocalPin::Lint0, Level::High);
    assert_eq!(got, Some(Reception::Vector(Acceptance::Requested)));
    assert_eq!(lapic.acknowledge(), Some(Vector(0x51)));
    assert_eq!(lapic.deliverable(), None);
    assert_eq!(
        lapic.drive(LocalPin::Lint0, Level::High),
        None,
        "awaits its end"
    );
    assert_eq!(lapic.end_of_interrupt(), Some(Vector(0x51)));
    assert_eq!(lapic.acknowledge(), Some(Vector(0x51)), "still high");
    let _ = lapic.drive(LocalPin::Lint0, Level::Low);
    let _ = lapic.end_of_interrupt();
    assert_eq!(lapic.deliverable(), None);
}

#[test]
fn disabling_masks_the_local_vector_table() {
    let mut lapic = enabled(0);
    let _ = lapic.write(register::LVT_TIMER, Width::U32, 0x40);
    lapic.set_enabled(false, Vector(0xFF));
    assert!(LvtEntry::from_bits(lapic.read(register::LVT_TIMER, Width::U32) as u32).masked());
    let _ = lapic.write(register::LVT_TIMER, Width::U32, 0x40);
    assert!(
        lapic.lvt[Lvt::Timer as usize].masked(),
        "cannot be unmasked while disabled"
    );
}

#[test]
fn arbitration_prefers_the_focus_then_the_lowest_priority() {
    let mut lapics = [enabled(0), enabled(1), enabled(2)];
    lapics[0].set_tpr_class(5);
    let winner = |lapics: &[Lapic]| arbitrate(lapics, Vector(0x61)).map(Lapic::id);
    assert_eq!(winner(&lapics), Some(1));
    let _ = lapics[0].accept(Vector(0x61), Trigger::Edge);
    assert_eq!(winner(&lapics), Some(0), "focus");
    let _ = lapics[0].write(register::SVR, Width::U32, 0x3FF);
    assert_eq!(winner(&lapics), Some(1), "focus checking disabled");
    lapics[0] = Lapic::new(0);
    lapics[1].set_enabled(false, Vector(0xFF));
    assert_eq!(winner(&lapics), Some(2), "a disabled one takes no part");
    assert_eq!(winner(&[]), None);
}

#[test]
fn a_disabled_apic_still_takes_nmi() {
    let mut lapic = Lapic::new(0);
    let nmi = InterruptMessage {
        delivery: DeliveryMode::Nmi,
        ..InterruptMessage::fixed(0, Vector(0))
    };
    assert_eq!(lapic.receive(nmi), Reception::Nmi);
    let fixed = InterruptMessage::fixed(0, Vector(0x51));
    assert_eq!(
        lapic.receive(fixed),
        Reception::Vector(Acceptance::Disabled)
    );
}

#[derive(Clone, Debug)]
enum Step {
    Read(u64, u8),
    Write(u64, u8, u64),
    Accept(u8, bool),
    Acknowledge,
    End,
    Class(u8),
    Pin(bool, bool),
    Advance(u64),
}

fn offset() -> impl Strategy<Value = u64> {
    prop_oneof![
        (0u64..0x40).prop_map(|register| register << 4),
        any::<u64>()
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (offset(), 0u8..4).prop_map(|(offset, width)| Step::Read(offset, width)),
        (offset(), 0u8..4, any::<u64>()).prop_map(|(o, w, value)| Step::Write(o, w, value)),
        (offset(), any::<u32>()).prop_map(|(o, value)| Step::Write(o, 2, value.into())),
        any::<(u8, bool)>().prop_map(|(vector, level)| Step::Accept(vector, level)),
        Just(Step::Acknowledge),
        Just(Step::End),
        any::<u8>().prop_map(Step::Class),
        any::<(bool, bool)>().prop_map(|(pin, level)| Step::Pin(pin, level)),
        any::<u64>().prop_map(Step::Advance),
    ]
}

fn apply(lapic: &mut Lapic, step: &Step) -> String {
    const WIDTHS: [Width; 4] = [Width::U8, Width::U16, Width::U32, Width::U64];
    match *step {
        Step::Read(offset, width) => format!("{}", lapic.read(offset, WIDTHS[usize::from(width)])),
        Step::Write(offset, width, value) => {
            format!(
                "{:?}",
                lapic.write(offset, WIDTHS[usize::from(width)], value)
            )
        }
        Step::Accept(vector, level) => {
            let trigger = if level { Trigger::Level } else { Trigger::Edge };
            format!("{:?}", lapic.accept(Vector(vector), trigger))
        }
        Step::Acknowledge => format!("{:?}", lapic.acknowledge()),
        Step::End => format!("{:?}", lapic.end_of_interrupt()),
        Step::Class(class) => {
            lapic.set_tpr_class(class);
            String::new()
        }
        Step::Pin(second, high) => {
            let pin = if second {
                LocalPin::Lint1
            } else {
                LocalPin::Lint0
            };
            format!(
                "{:?}",
                lapic.drive(pin, if high { Level::High } else { Level::Low })
            )
        }
        Step::Advance(clocks) => {
            lapic.advance(clocks);
            String::new()
        }
    }
}

fn assert_invariants(lapic: &Lapic) {
    assert_eq!(lapic.highest_irr, number(lapic.irr.highest()));
    assert_eq!(lapic.highest_isr, number(lapic.isr.highest()));
    for set in [lapic.irr, lapic.isr, lapic.tmr] {
        assert_eq!(set.register(0) & 0xFFFF, 0, "a vector below 16");
    }
    assert!(lapic.ppr >> 4 == (lapic.tpr >> 4).max(lapic.highest_isr >> 4));
}

proptest! {
    #[test]
    fn any_script_keeps_the_invariants(steps in prop::collection::vec(step(), 0..60)) {
        let mut lapic = enabled(7);
        for step in &steps {
            let mut copy = lapic.clone();
            let (one, other) = (apply(&mut lapic, step), apply(&mut copy, step));
            prop_assert_eq!(one, other);
            prop_assert_eq!(&lapic, &copy);
            assert_invariants(&lapic);
        }
        lapic.pins = [Level::Low; 2];
        lapic.reset();
        let expected = Lapic { x2apic_id: 7, ..Lapic::new(lapic.id()) };
        prop_assert_eq!(&lapic, &expected);
    }

    /// Against the SDM's words, with plain sets and no cache.
    #[test]
    fn delivery_follows_the_priorities(
        steps in prop::collection::vec((0u8..4, 0x10u8..), 0..200)
    ) {
        use alloc::collections::BTreeSet;
        let mut lapic = enabled(0);
        let (mut irr, mut isr, mut class) = (BTreeSet::new(), BTreeSet::new(), 0u8);
        for (kind, number) in steps {
            match kind {
                0 => {
                    let _ = lapic.accept(Vector(number), Trigger::Edge);
                    irr.insert(number);
                }
                1 => {
                    class = number & 0xF;
                    lapic.set_tpr_class(class);
                }
                2 => {
                    let above = class.max(isr.last().copied().unwrap_or(0) >> 4);
                    let expected = irr.last().copied().filter(|vector| vector >> 4 > above);
                    prop_assert_eq!(lapic.acknowledge(), expected.map(Vector));
                    if let Some(vector) = expected {
                        irr.remove(&vector);
                        isr.insert(vector);
                    }
                }
                _ => {
                    isr.pop_last();
                    prop_assert_eq!(lapic.end_of_interrupt(), None);
                }
            }
        }
    }
}
