use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use proptest::prelude::*;
use snapbox::{assert_data_eq, str};

use super::super::{Ipi, VectorSet};
use super::*;
use crate::device::Width;
use crate::wire::Trigger;

/// Enabled by software, in x2APIC mode.
fn x2apic(id: u32) -> Lapic {
    let mut lapic = Lapic::with_x2apic_id(id);
    lapic.set_enabled(true, Vector(0xFF));
    lapic
        .set_apic_base(BASE | base::ENABLED | base::X2APIC)
        .expect("from xAPIC mode");
    lapic
}

fn message_of(output: Result<Option<Output>, GeneralProtection>) -> Ipi {
    match output {
        Ok(Some(Output::Ipi(ipi))) => ipi,
        other => panic!("{other:?}"),
    }
}

#[test]
fn modes_follow_each_other_as_the_sdm_says() {
    let modes = [Mode::Disabled, Mode::XApic, Mode::X2Apic];
    let bits = |mode| match mode {
        Mode::Disabled => 0,
        Mode::XApic => base::ENABLED,
        Mode::X2Apic => base::ENABLED | base::X2APIC,
    };
    let mut text = String::new();
    for from in modes {
        for to in modes {
            let mut lapic = Lapic::with_x2apic_id(3);
            lapic.mode = from;
            let result = lapic.set_apic_base(BASE | bits(to));
            let mode = lapic.mode();
            assert_eq!(lapic.apic_base(false), BASE | bits(mode));
            text += &format!("{from:?} -> {to:?}: {mode:?} {}\n", result.is_ok());
        }
    }
    assert_data_eq!(
        text,
        str![[r#"
Disabled -> Disabled: Disabled true
Disabled -> XApic: XApic true
Disabled -> X2Apic: Disabled false
XApic -> Disabled: Disabled true
XApic -> XApic: XApic true
XApic -> X2Apic: X2Apic true
X2Apic -> Disabled: Disabled true
X2Apic -> XApic: X2Apic false
X2Apic -> X2Apic: X2Apic true

"#]]
    );
}

#[test]
fn the_base_register_has_reserved_bits() {
    for value in [
        BASE | base::X2APIC,
        BASE | base::ENABLED | 1 << 9,
        BASE | base::ENABLED | 1,
        BASE | base::ENABLED | 1 << 36,
        (BASE + 0x1000) | base::ENABLED,
        base::ENABLED,
    ] {
        let mut lapic = Lapic::new(0);
        let refused = Err(GeneralProtection { msr: msr::BASE });
        assert_eq!(lapic.set_apic_base(value), refused, "{value:#x}");
        assert_eq!(lapic, Lapic::new(0));
    }
    let mut lapic = Lapic::new(0);
    assert_eq!(lapic.apic_base(true), 0xFEE0_0900);
    assert_eq!(lapic.set_apic_base(0xFEE0_0800), Ok(()));
    assert_eq!(lapic.apic_base(true), 0xFEE0_0900, "read only");
}

#[test]
fn only_one_kind_of_access_works_in_each_mode() {
    let mut lapic = x2apic(5);
    assert_eq!(lapic.read(register::VERSION, Width::U32), 0xFFFF_FFFF);
    assert_eq!(lapic.read(register::VERSION, Width::U64), u64::MAX);
    assert_eq!(lapic.write(register::TPR, Width::U32, 0x80), None);
    assert_eq!(lapic.tpr(), 0);
    assert_eq!(lapic.read_msr(0x803), Ok(0x0105_0014));
    let mut lapic = Lapic::new(5);
    for number in msr::FIRST..=msr::LAST {
        let refused = GeneralProtection { msr: number };
        assert_eq!(lapic.read_msr(number), Err(refused));
        assert_eq!(lapic.write_msr(number, 0), Err(refused));
    }
}

#[test]
fn entering_the_mode_keeps_the_state_but_the_ids() {
    let mut lapic = Lapic::with_x2apic_id(0x123);
    lapic.set_enabled(true, Vector(0xE1));
    lapic.set_logical_id(0x40);
    lapic.set_tpr_class(3);
    let _ = lapic.accept(Vector(0x51), Trigger::Level);
    let _ = lapic.accept(Vector(0x31), Trigger::Edge);
    let _ = lapic.acknowledge();
    assert_eq!((lapic.id(), lapic.x2apic_id()), (0x23, 0x123));
    let before = lapic.clone();
    lapic
        .set_apic_base(BASE | base::ENABLED | base::X2APIC)
        .expect("from xAPIC mode");
    for (number, expected) in [
        (0x802, 0x123),
        (0x80D, 0x0012_0008),
        (0x808, 0x30),
        (0x80A, 0x50),
        (0x80F, 0x1E1),
        (0x812, 1 << 17),
        (0x81A, 1 << 17),
        (0x821, 1 << 17),
    ] {
        assert_eq!(lapic.read_msr(number), Ok(expected), "{number:#x}");
    }
    assert_eq!(lapic.end_of_interrupt(), Some(Vector(0x51)));
    assert_ne!(lapic, before);
}

#[test]
fn disabling_forgets() {
    let mut lapic = x2apic(0x105);
    let _ = lapic.accept(Vector(0x51), Trigger::Edge);
    lapic.set_apic_base(BASE).expect("from any mode");
    assert!(!lapic.matches(5, DestinationMode::Physical));
    assert!(!lapic.matches(BROADCAST, DestinationMode::Physical));
    assert!(!lapic.matches_wide(WIDE_BROADCAST, DestinationMode::Physical));
    assert_eq!(lapic.irr(), &VectorSet::EMPTY);
    lapic
        .set_apic_base(BASE | base::ENABLED)
        .expect("from disabled");
    assert_eq!(lapic, Lapic::with_x2apic_id(0x105));
    let mut lapic = x2apic(0x105);
    lapic.reset();
    assert_eq!(lapic, Lapic::with_x2apic_id(0x105));
}

/// A row for each register that is there: whether it can be read, and which bits can be set.
#[test]
fn each_register_has_its_accesses_and_reserved_bits() {
    let mut text = String::new();
    for number in msr::FIRST - 1..=msr::LAST + 1 {
        let lapic = x2apic(1);
        let readable = lapic.clone().read_msr(number).is_ok();
        let bits = (0..64).filter(|bit| lapic.clone().write_msr(number, 1 << bit).is_ok());
        let bits = bits.fold(0u64, |bits, bit| bits | 1 << bit);
        let writable = lapic.clone().write_msr(number, 0).is_ok();
        if readable || writable {
            let read = if readable { "read" } else { "" };
            let write = if writable {
                format!("write {bits:x}")
            } else {
                String::new()
            };
            text += &format!("{number:x} {read:4} {write}\n").replace(" \n", "\n");
        }
    }
    assert_data_eq!(
        text,
        str![[r#"
802 read
803 read
808 read write ff
80a read
80b      write 0
80d read
80f read write 13ff
810 read
811 read
812 read
813 read
814 read
815 read
816 read
817 read
818 read
819 read
81a read
81b read
81c read
81d read
81e read
81f read
820 read
821 read
822 read
823 read
824 read
825 read
826 read
827 read
828 read write 0
830 read write ffffffff000ccfff
832 read write 310ff
833 read write 117ff
834 read write 117ff
835 read write 1f7ff
836 read write 1f7ff
837 read write 110ff
838 read write ffffffff
839 read
83e read write b
83f      write ff

"#]]
    );
}

#[test]
fn a_command_has_32_bits_of_destination() {
    let mut lapic = x2apic(1);
    let ipi = message_of(lapic.write_msr(msr::ICR, 0x0000_0100_0000_0051));
    assert_eq!(
        ipi.message,
        InterruptMessage::fixed_wide(0x100, Vector(0x51))
    );
    assert!(ipi.reaches(&x2apic(0x100)));
    assert!(!ipi.reaches(&x2apic(0)));
    assert_eq!(lapic.read_msr(msr::ICR), Ok(0x0000_0100_0000_0051));
    // Logical: cluster 0x10, members 1 and 2.
    let ipi = message_of(lapic.write_msr(msr::ICR, 0x0010_0006_0000_0851));
    let reached: Vec<u32> = (0..0x200).filter(|&id| ipi.reaches(&x2apic(id))).collect();
    assert_eq!(reached, [0x101, 0x102]);
    let ipi = message_of(lapic.write_msr(msr::ICR, 0xFFFF_FFFF_0000_0051));
    assert!((0..0x200).all(|id| ipi.reaches(&x2apic(id))));
    // "All but self" goes by IDs that differ in their upper bits only.
    let ipi = message_of(lapic.write_msr(msr::ICR, 0x000C_0051));
    assert_eq!(ipi.shorthand, Shorthand::Others);
    assert!(ipi.reaches(&x2apic(0x101)) && !ipi.reaches(&x2apic(1)));
}

#[test]
fn self_ipi_is_a_fixed_edge_interrupt_that_the_command_does_not_show() {
    let mut lapic = x2apic(1);
    let _ = lapic.write_msr(msr::ICR, 0x0000_0007_0000_0041);
    assert_eq!(lapic.write_msr(msr::SELF_IPI, 0x51), Ok(None));
    assert!(lapic.irr().contains(Vector(0x51)) && !lapic.tmr().contains(Vector(0x51)));
    assert_eq!(lapic.read_msr(msr::ICR), Ok(0x0000_0007_0000_0041));
    assert_eq!(lapic.write_msr(msr::SELF_IPI, 0x0F), Ok(None));
    assert_eq!(lapic.write_msr(0x828, 0), Ok(None));
    assert_eq!(lapic.read_msr(0x828), Ok(0x20), "send illegal vector");
    for number in [msr::SELF_IPI, 0x80B] {
        let refused = Err(GeneralProtection { msr: number });
        assert_eq!(lapic.read_msr(number), refused);
    }
}

#[test]
fn the_end_of_interrupt_register_ends() {
    let mut lapic = x2apic(1);
    let _ = lapic.accept(Vector(0x51), Trigger::Level);
    let _ = lapic.acknowledge();
    assert!(lapic.write_msr(0x80B, 1).is_err(), "only 0 may be written");
    let ended = Output::EndOfInterrupt(Vector(0x51));
    assert_eq!(lapic.write_msr(0x80B, 0), Ok(Some(ended)));
}

#[test]
fn processors_255_and_256_have_addresses() {
    let machine: Vec<Lapic> = (0..=0x100).map(x2apic).collect();
    for id in 0..=0x100 {
        let message = InterruptMessage::fixed_wide(id, Vector(0x51));
        let mut reached = machine.iter().filter(|lapic| lapic.is_addressed(&message));
        assert_eq!(reached.next().map(Lapic::x2apic_id), Some(id));
        assert_eq!(reached.next(), None);
    }
    // Devices that know 8 bits only cannot name 255: it is everybody.
    let message = InterruptMessage::fixed(0xFF, Vector(0x51));
    assert!(machine.iter().all(|lapic| lapic.is_addressed(&message)));
    let message = InterruptMessage::fixed(0, Vector(0x51));
    assert!(machine[0].is_addressed(&message) && !machine[0x100].is_addressed(&message));
}

#[test]
fn wide_destinations_in_xapic_mode() {
    let mut lapic = Lapic::with_x2apic_id(0x1FF);
    lapic.set_logical_id(0x01);
    for (destination, mode, expected) in [
        (0xFF, DestinationMode::Physical, true),
        (0x1FF, DestinationMode::Physical, false),
        (WIDE_BROADCAST, DestinationMode::Physical, true),
        (0x01, DestinationMode::Logical, true),
        (0x101, DestinationMode::Logical, false),
    ] {
        assert_eq!(
            lapic.matches_wide(destination, mode),
            expected,
            "{destination:#x} {mode:?}"
        );
    }
}

#[test]
fn clusters_have_16_members() {
    for id in [0, 0xF, 0x10, 0xFF, 0x100, 0xFFFF_FFFE] {
        let lapic = x2apic(id);
        assert_eq!(lapic.logical_x2apic_id() & 0xFFFF, 1 << (id & 0xF));
        // The cluster's number has 16 bits in the logical ID.
        assert_eq!(lapic.logical_x2apic_id() >> 16, id >> 4 & 0xFFFF);
    }
    let low = x2apic(2);
    let narrow = InterruptMessage {
        destination: 0x0C,
        destination_mode: DestinationMode::Logical,
        ..InterruptMessage::fixed(0, Vector(0x51))
    };
    assert!(low.is_addressed(&narrow) && !x2apic(0x12).is_addressed(&narrow));
    assert!(!x2apic(1).is_addressed(&narrow));
}

#[test]
fn errors_are_text() {
    assert_eq!(
        format!("{}", GeneralProtection { msr: 0x80E }),
        "this access to model-specific register 0x80e is a general protection fault"
    );
}

proptest! {
    #[test]
    fn any_accesses_are_repeatable_and_refusals_change_nothing(
        accesses in prop::collection::vec(
            (0x7FFu32..0x841, prop_oneof![any::<u64>(), 0..0x1000u64, Just(0)], any::<bool>()),
            0..60,
        ),
    ) {
        let mut lapic = x2apic(0x123);
        for (number, value, write) in accesses {
            let before = lapic.clone();
            let mut copy = lapic.clone();
            let refused = if write {
                let written = lapic.write_msr(number, value);
                prop_assert_eq!(written, copy.write_msr(number, value));
                written.is_err()
            } else {
                let read = lapic.read_msr(number);
                prop_assert_eq!(read, copy.read_msr(number));
                read.is_err()
            };
            prop_assert_eq!(&lapic, &copy);
            prop_assert!(!refused || lapic == before);
            if let Ok(read) = lapic.clone().read_msr(number)
                && write && !refused && ![msr::ICR, 0x828, 0x838].contains(&number)
            {
                // What can be read back reads back, but for bits that are read only.
                let masked = (0x832..=0x837).contains(&number);
                prop_assert!(masked || read == value, "{number:#x} {value:#x} {read:#x}");
            }
        }
    }
}
