use alloc::format;
use alloc::string::String;

use proptest::prelude::*;
use snapbox::{assert_data_eq, str};

use super::spec::{DEFAULT_PINS, VERSION, index, offset};
use super::*;
use crate::device::Width;
use crate::message::{DeliveryMode, DestinationMode};
use crate::wire::Polarity;

const PIN: u8 = 3;

fn entry(trigger: Trigger) -> RedirectionEntry {
    RedirectionEntry::new()
        .with_vector(0x51)
        .with_trigger(trigger)
}

/// Runs steps on one pin, unmasked and programmed to vector 0x51 with `trigger`.
fn script(trigger: Trigger, steps: &str) -> String {
    let mut chip = IoApic::default();
    assert_eq!(chip.set_entry(PIN, entry(trigger)), None);
    let mut text = String::new();
    for step in steps.split(' ') {
        let out: Vec<MessageOut> = match step {
            "high" => chip.drive(PIN, Level::High).into_iter().collect(),
            "low" => chip.drive(PIN, Level::Low).into_iter().collect(),
            "eoi" => chip.end_of_interrupt(Vector(0x51)),
            "other-eoi" => chip.end_of_interrupt(Vector(0x52)),
            "mask" => chip.set_mask(PIN, true).into_iter().collect(),
            "unmask" => chip.set_mask(PIN, false).into_iter().collect(),
            "edge" | "level" => {
                let trigger = if step == "edge" {
                    Trigger::Edge
                } else {
                    Trigger::Level
                };
                let entry = chip.entry(PIN).expect("exists").with_trigger(trigger);
                chip.set_entry(PIN, entry).into_iter().collect()
            }
            "active-low" => {
                let entry = chip
                    .entry(PIN)
                    .expect("exists")
                    .with_polarity(Polarity::ActiveLow);
                chip.set_entry(PIN, entry).into_iter().collect()
            }
            _ => panic!("no step {step:?}"),
        };
        let remote = chip.entry(PIN).expect("exists").remote_irr();
        let out: String = out
            .iter()
            .map(|out| format!(" {:#x}", out.message.vector.0))
            .collect();
        let line = format!(
            "{step:<10} ->{out}{}",
            if remote { "  (remote IRR)" } else { "" }
        );
        text += line.trim_end();
        text.push('\n');
    }
    text
}

#[test]
fn an_edge_is_delivered_once() {
    assert_data_eq!(
        script(Trigger::Edge, "high high eoi low high"),
        str![[r#"
high       -> 0x51
high       ->
eoi        ->
low        ->
high       -> 0x51

"#]]
    );
}

#[test]
fn an_edge_while_masked_is_lost() {
    assert_data_eq!(
        script(Trigger::Edge, "mask high unmask high low high"),
        str![[r#"
mask       ->
high       ->
unmask     ->
high       ->
low        ->
high       -> 0x51

"#]]
    );
}

#[test]
fn a_level_while_masked_is_kept() {
    assert_data_eq!(
        script(
            Trigger::Level,
            "mask high unmask low eoi mask high low unmask"
        ),
        str![[r#"
mask       ->
high       ->
unmask     -> 0x51  (remote IRR)
low        ->  (remote IRR)
eoi        ->
mask       ->
high       ->
low        ->
unmask     ->

"#]]
    );
}

#[test]
fn a_level_still_high_at_eoi_is_delivered_again() {
    assert_data_eq!(
        script(Trigger::Level, "high high other-eoi eoi low eoi eoi"),
        str![[r#"
high       -> 0x51  (remote IRR)
high       ->  (remote IRR)
other-eoi  ->  (remote IRR)
eoi        -> 0x51  (remote IRR)
low        ->  (remote IRR)
eoi        ->
eoi        ->

"#]]
    );
}

#[test]
fn a_level_that_drops_and_returns_before_eoi_is_delivered_at_eoi() {
    assert_data_eq!(
        script(Trigger::Level, "high low high eoi"),
        str![[r#"
high       -> 0x51  (remote IRR)
low        ->  (remote IRR)
high       ->  (remote IRR)
eoi        -> 0x51  (remote IRR)

"#]]
    );
}

#[test]
fn masking_between_delivery_and_eoi_keeps_remote_irr() {
    assert_data_eq!(
        script(Trigger::Level, "high mask unmask eoi"),
        str![[r#"
high       -> 0x51  (remote IRR)
mask       ->  (remote IRR)
unmask     ->  (remote IRR)
eoi        -> 0x51  (remote IRR)

"#]]
    );
    assert_data_eq!(
        script(Trigger::Level, "high mask eoi unmask"),
        str![[r#"
high       -> 0x51  (remote IRR)
mask       ->  (remote IRR)
eoi        ->
unmask     -> 0x51  (remote IRR)

"#]]
    );
}

#[test]
fn becoming_edge_triggered_clears_remote_irr() {
    assert_data_eq!(
        script(Trigger::Level, "high edge level"),
        str![[r#"
high       -> 0x51  (remote IRR)
edge       ->
level      -> 0x51  (remote IRR)

"#]]
    );
}

#[test]
fn polarity_decides_which_level_is_active() {
    assert_data_eq!(
        script(Trigger::Level, "active-low high eoi low"),
        str![[r#"
active-low -> 0x51  (remote IRR)
high       ->  (remote IRR)
eoi        ->
low        -> 0x51  (remote IRR)

"#]]
    );
    assert_data_eq!(
        script(Trigger::Edge, "active-low high low"),
        str![[r#"
active-low ->
high       ->
low        -> 0x51

"#]]
    );
}

#[test]
fn two_pins_of_one_vector_end_together() {
    let mut chip = IoApic::new(0, 240);
    for pin in [7, 200] {
        let _ = chip.set_entry(pin, entry(Trigger::Level));
        let _ = chip.drive(pin, Level::High);
    }
    let again = chip.end_of_interrupt(Vector(0x51));
    assert!(again.iter().map(|out| out.pin).eq([7, 200]));
    let _ = chip.drive(7, Level::Low);
    let again = chip.end_of_interrupt(Vector(0x51));
    assert!(again.iter().map(|out| out.pin).eq([200]));
}

#[test]
fn the_message_is_what_the_entry_says() {
    let mut chip = IoApic::default();
    let entry = entry(Trigger::Level)
        .with_destination(0x0F)
        .with_destination_mode(DestinationMode::Logical)
        .with_delivery(DeliveryMode::LowestPriority);
    let _ = chip.set_entry(PIN, entry);
    let out = chip.drive(PIN, Level::High).expect("unmasked");
    assert_eq!(out.pin, PIN);
    assert_eq!(out.message.destination, 0x0F);
    assert_eq!(out.message.destination_mode, DestinationMode::Logical);
    assert_eq!(out.message.delivery, DeliveryMode::LowestPriority);
    assert_eq!(out.message.trigger, Trigger::Level);
}

#[test]
fn pins_that_do_not_exist_do_nothing() {
    let mut chip = IoApic::default();
    assert_eq!(chip.drive(DEFAULT_PINS, Level::High), None);
    assert_eq!(chip.set_entry(DEFAULT_PINS, entry(Trigger::Level)), None);
    assert_eq!(chip.entry(DEFAULT_PINS), None);
    assert!(chip.entry(DEFAULT_PINS - 1).is_some());
    assert_eq!(IoApic::new(0, 0).pin_count(), 1);
    assert_eq!(IoApic::new(0, 255).pin_count(), 240);
}

fn window(chip: &mut IoApic, index: u8) -> u64 {
    let _ = chip.write(offset::IOREGSEL, Width::U32, index.into());
    chip.read(offset::IOWIN, Width::U32)
}

#[test]
fn the_window_shows_identification_and_version() {
    let mut chip = IoApic::new(2, 24);
    assert_eq!(window(&mut chip, index::ID), 0x0200_0000);
    assert_eq!(
        window(&mut chip, index::VERSION),
        0x0017_0000 | u64::from(VERSION)
    );
    assert_eq!(window(&mut chip, index::REDIRECTION), 0x1_0000, "masked");
    assert_eq!(
        window(&mut chip, index::REDIRECTION + 48),
        0,
        "24 pins only"
    );
    assert_eq!(window(&mut chip, 0x0F), 0);
    let _ = window(&mut chip, index::ID);
    let _ = chip.write(offset::IOWIN, Width::U32, 0xFFFF_FFFF);
    assert_eq!(window(&mut chip, index::ID), 0x0F00_0000, "four bits");
    assert_eq!(window(&mut chip, index::ARBITRATION), 0x0F00_0000);
}

#[test]
fn an_entry_is_written_in_halves() {
    let mut chip = IoApic::default();
    let _ = chip.drive(PIN, Level::High);
    let low = index::REDIRECTION + 2 * PIN;
    let _ = chip.write(offset::IOREGSEL, Width::U8, (low + 1).into());
    assert!(
        chip.write(offset::IOWIN, Width::U32, 0x0400_0000)
            .is_empty()
    );
    let _ = chip.write(offset::IOREGSEL, Width::U8, low.into());
    let out = chip.write(offset::IOWIN, Width::U32, 0x8051);
    assert_eq!(out.len(), 1, "unmasked with the level high");
    assert_eq!(out[0].message.destination, 4);
    assert_eq!(window(&mut chip, low), 0xC051, "remote IRR reads back");
    assert_eq!(window(&mut chip, low + 1), 0x0400_0000);
    let again = chip.write(offset::EOI, Width::U32, 0x51);
    assert_eq!(again.len(), 1);
}

#[test]
fn read_only_and_reserved_bits_stay() {
    let mut chip = IoApic::default();
    let _ = chip.set_entry(PIN, RedirectionEntry::from_bits(u64::MAX));
    let entry = chip.entry(PIN).expect("exists").into_bits();
    assert_eq!(
        entry, 0xFF00_0000_0001_AFFF,
        "bits 12 and 14 cannot be written"
    );
}

#[test]
fn the_window_takes_32_bit_accesses_only() {
    let mut chip = IoApic::default();
    let _ = chip.write(offset::IOREGSEL, Width::U32, 0x10);
    for width in [Width::U8, Width::U16, Width::U64] {
        assert!(chip.write(offset::IOWIN, width, 0x51).is_empty());
        assert_eq!(chip.read(offset::IOWIN, width), 0);
    }
    assert_eq!(chip, {
        let mut fresh = IoApic::default();
        let _ = fresh.write(offset::IOREGSEL, Width::U32, 0x10);
        fresh
    });
}

#[derive(Clone, Debug)]
enum Step {
    Drive(u8, bool),
    Read(u64, u8),
    Write(u64, u8, u64),
    Register(u8, u32),
    End(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0u8..30, any::<bool>()).prop_map(|(pin, high)| Step::Drive(pin, high)),
        (0u64..0x50, 0u8..4).prop_map(|(offset, width)| Step::Read(offset, width)),
        any::<(u64, u64)>().prop_map(|(o, value)| Step::Write(o, 2, value)),
        (0u64..0x50, 0u8..4, any::<u64>()).prop_map(|(o, w, value)| Step::Write(o, w, value)),
        any::<(u8, u32)>().prop_map(|(index, value)| Step::Register(index, value)),
        (0x10u8..0x50, 0u32..0x1_0000).prop_map(|(index, value)| Step::Register(index, value)),
        any::<u8>().prop_map(Step::End),
    ]
}

fn apply(chip: &mut IoApic, step: &Step) -> String {
    const WIDTHS: [Width; 4] = [Width::U8, Width::U16, Width::U32, Width::U64];
    match *step {
        Step::Drive(pin, high) => {
            format!(
                "{:?}",
                chip.drive(pin, if high { Level::High } else { Level::Low })
            )
        }
        Step::Read(offset, width) => format!("{}", chip.read(offset, WIDTHS[usize::from(width)])),
        Step::Write(offset, width, value) => {
            format!(
                "{:?}",
                chip.write(offset, WIDTHS[usize::from(width)], value)
            )
        }
        Step::Register(index, value) => {
            let _ = chip.write(offset::IOREGSEL, Width::U32, index.into());
            format!("{:?}", chip.write(offset::IOWIN, Width::U32, value.into()))
        }
        Step::End(vector) => format!("{:?}", chip.end_of_interrupt(Vector(vector))),
    }
}

/// No level is lost: an active, unmasked, level-triggered pin always awaits an end.
fn assert_invariants(chip: &IoApic) {
    for number in 0..chip.pin_count() {
        let pin = chip.pins[usize::from(number)];
        let awaiting = chip.is_awaiting(number);
        assert!(!pin.entry.remote_irr() && !pin.entry.send_pending());
        match pin.entry.trigger() {
            Trigger::Edge => assert!(!awaiting),
            Trigger::Level => assert!(awaiting || pin.entry.masked() || !pin.is_active()),
        }
    }
}

proptest! {
    #[test]
    fn any_script_keeps_the_invariants(steps in prop::collection::vec(step(), 0..80)) {
        let mut chip = IoApic::default();
        for step in &steps {
            let mut copy = chip.clone();
            let (one, other) = (apply(&mut chip, step), apply(&mut copy, step));
            prop_assert_eq!(one, other);
            prop_assert_eq!(&chip, &copy);
            assert_invariants(&chip);
        }
        let levels: Vec<Level> = (0..chip.pin_count()).map(|pin| chip.level(pin)).collect();
        chip.reset();
        prop_assert!(levels.iter().copied().eq((0..chip.pin_count()).map(|pin| chip.level(pin))));
        for pin in 0..chip.pin_count() {
            let _ = chip.drive(pin, Level::Low);
        }
        prop_assert_eq!(&chip, &IoApic::new(chip.id, DEFAULT_PINS));
    }
}
