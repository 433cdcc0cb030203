use alloc::format;
use alloc::string::String;
use alloc::vec;

use proptest::prelude::*;
use snapbox::{assert_data_eq, str};

use super::spec::description;
use super::*;
use crate::pci::{self, Function, Output};

/// Runs steps on a bare device and shows what each gave: `read OFFSET`, `write OFFSET VALUE`,
/// with `8` after the word for 8 bytes, `timer`, `dma-timer`, `data BYTES`. Numbers are hexadecimal.
fn script(steps: &str) -> String {
    let (mut edu, mut text) = (Edu::default(), String::new());
    let hex = |text: &str| u64::from_str_radix(text, 16).expect("hexadecimal");
    for step in steps.split(", ") {
        let mut out = Effects::new();
        let words: Vec<&str> = step.split(' ').collect();
        let mut line = match *words {
            ["read", at] => format!(" {:#x}", edu.read(Region(0), hex(at), Width::U32, &mut out)),
            ["read8", at] => format!(" {:#x}", edu.read(Region(0), hex(at), Width::U64, &mut out)),
            ["write", at, value] => {
                edu.write(Region(0), hex(at), Width::U32, hex(value), &mut out);
                String::new()
            }
            ["write8", at, value] => {
                edu.write(Region(0), hex(at), Width::U64, hex(value), &mut out);
                String::new()
            }
            ["timer"] => {
                edu.timer(token::FACTORIAL, &mut out);
                String::new()
            }
            ["dma-timer"] => {
                edu.timer(token::DMA, &mut out);
                String::new()
            }
            ["data", count] => {
                edu.dma_data(token::DMA, &vec![0xA5; hex(count) as usize], &mut out);
                String::new()
            }
            _ => panic!("no step {step:?}"),
        };
        for effect in &out {
            line += &match effect {
                Effect::Interrupt {
                    level: Level::High, ..
                } => String::from(" raise"),
                Effect::Interrupt {
                    level: Level::Low, ..
                } => String::from(" lower"),
                Effect::Timer { after_100ns, token } => format!(" timer {token} in {after_100ns}"),
                Effect::DmaRead {
                    address, length, ..
                } => format!(" read {length} at {address:#x}"),
                Effect::DmaWrite { address, bytes } => {
                    format!(
                        " write {} at {address:#x}, first {:#x}",
                        bytes.len(),
                        bytes[0]
                    )
                }
                Effect::Output(_) => String::from(" output"),
                Effect::StopTimer { token } => format!(" no timer {token}"),
                Effect::Serial(_) => String::from(" serial"),
            };
        }
        text += &format!("{step:<22} ->{line}\n");
    }
    text
}

#[test]
fn identification_and_liveness() {
    assert_data_eq!(
        script("read 0, write 0 5, read 0, read 4, write 4 12345678, read 4, read 60, read 64"),
        str![[r#"
read 0                 -> 0x10000ed
write 0 5              ->
read 0                 -> 0x10000ed
read 4                 -> 0x0
write 4 12345678       ->
read 4                 -> 0xedcba987
read 60                -> 0xffffffff
read 64                -> 0xffffffff

"#]]
    );
}

#[test]
fn a_factorial_takes_time_and_may_interrupt() {
    assert_data_eq!(
        script(
            "write 8 5, read 20, write 8 6, timer, read 8, read 20, write 20 ff, read 20, write 8 c, timer, read 24, read 8"
        ),
        str![[r#"
write 8 5              -> timer 0 in 10
read 20                -> 0x1
write 8 6              ->
timer                  ->
read 8                 -> 0x78
read 20                -> 0x0
write 20 ff            ->
read 20                -> 0x80
write 8 c              -> timer 0 in 10
timer                  -> raise
read 24                -> 0x1
read 8                 -> 0x1c8cfc00

"#]]
    );
}

#[test]
fn a_timer_nobody_waits_for_does_nothing() {
    assert_data_eq!(
        script("timer, dma-timer, data 4, read 8"),
        str![[r#"
timer                  ->
dma-timer              ->
data 4                 ->
read 8                 -> 0x0

"#]]
    );
}

#[test]
fn interrupts_are_raised_and_acknowledged_by_bits() {
    assert_data_eq!(
        script(
            "write 60 0, write 60 5, write 60 8, write 60 0, read 24, write 64 1, write 64 c, read 24, write 64 1"
        ),
        str![[r#"
write 60 0             ->
write 60 5             -> raise
write 60 8             -> raise
write 60 0             -> raise
read 24                -> 0xd
write 64 1             ->
write 64 c             -> lower
read 24                -> 0x0
write 64 1             -> lower

"#]]
    );
}

#[test]
fn dma_goes_in_and_out_of_the_buffer() {
    assert_data_eq!(
        script(
            "write 80 1000, write8 88 40010, write 90 64, write 98 1, read 98, write 90 1, dma-timer, \
             read 98, data 64, read 98, write 80 40010, write 88 2000, write 90 2, write 98 7, dma-timer, \
             read 98, read 24"
        ),
        str![[r#"
write 80 1000          ->
write8 88 40010        ->
write 90 64            ->
write 98 1             -> timer 1 in 1000000
read 98                -> 0x1
write 90 1             ->
dma-timer              -> read 100 at 0x1000
read 98                -> 0x1
data 64                ->
read 98                -> 0x0
write 80 40010         ->
write 88 2000          ->
write 90 2             ->
write 98 7             -> timer 1 in 1000000
dma-timer              -> write 2 at 0x2000, first 0xa5 raise
read 98                -> 0x6
read 24                -> 0x100

"#]]
    );
}

#[test]
fn a_transfer_asks_for_memory_once() {
    assert_data_eq!(
        script("write 88 40000, write 90 1, write 98 1, dma-timer, dma-timer, data 1, data 1"),
        str![[r#"
write 88 40000         ->
write 90 1             ->
write 98 1             -> timer 1 in 1000000
dma-timer              -> read 1 at 0x0
dma-timer              ->
data 1                 ->
data 1                 ->

"#]]
    );
}

#[test]
fn dma_addresses_have_28_bits() {
    assert_data_eq!(
        script("write8 80 123456789, write 88 40000, write 90 1, write 98 1, dma-timer"),
        str![[r#"
write8 80 123456789    ->
write 88 40000         ->
write 90 1             ->
write 98 1             -> timer 1 in 1000000
dma-timer              -> read 1 at 0x3456789

"#]]
    );
}

#[test]
fn a_transfer_outside_the_buffer_moves_nothing_and_completes() {
    for (own, count) in [
        ("3ffff", "1"),
        ("40000", "1001"),
        ("40fff", "2"),
        ("41000", "1"),
        ("40000", "0"),
        ("ffffffffffffffff", "ffffffffffffffff"),
    ] {
        let text = script(&format!(
            "write8 88 {own}, write8 90 {count}, write 98 5, dma-timer, read 98"
        ));
        let end: Vec<&str> = text.lines().skip(3).collect();
        assert_eq!(
            end,
            [
                "dma-timer              -> raise",
                "read 98                -> 0x4"
            ],
            "{own}+{count}"
        );
    }
    let text = script("write 88 40fff, write 90 1, write 98 5, dma-timer");
    assert!(
        text.ends_with("dma-timer              -> read 1 at 0x0\n"),
        "the last byte is inside: {text}"
    );
}

#[test]
fn bytes_that_memory_did_not_bring_are_ones() {
    assert_data_eq!(
        script(
            "write 88 40000, write 90 2, write 98 1, dma-timer, data 0, write 80 40000, write 98 3, dma-timer"
        ),
        str![[r#"
write 88 40000         ->
write 90 2             ->
write 98 1             -> timer 1 in 1000000
dma-timer              -> read 2 at 0x0
data 0                 ->
write 80 40000         ->
write 98 3             -> timer 1 in 1000000
dma-timer              -> write 2 at 0x40000, first 0xff

"#]]
    );
}

#[test]
fn a_command_without_start_is_ignored_and_halves_are_zero_extended() {
    assert_data_eq!(
        script(
            "write 98 6, read 98, write8 80 1122334455667788, read8 80, read 84, write 80 1, read8 80"
        ),
        str![[r#"
write 98 6             ->
read 98                -> 0x0
write8 80 1122334455667788 ->
read8 80               -> 0x1122334455667788
read 84                -> 0xffffffff
write 80 1             ->
read8 80               -> 0x1

"#]]
    );
}

#[test]
fn widths_are_4_below_0x80_and_4_or_8_above() {
    let mut edu = Edu::default();
    let mut out = Effects::new();
    let read = |edu: &mut Edu, at, width| edu.read(Region(0), at, width, &mut Effects::new());
    assert_eq!(read(&mut edu, 0, Width::U8), 0xFF);
    assert_eq!(read(&mut edu, 0, Width::U16), 0xFFFF);
    assert_eq!(read(&mut edu, 0, Width::U64), u64::MAX);
    assert_eq!(read(&mut edu, 0x80, Width::U16), 0xFFFF);
    assert_eq!(read(&mut edu, 0x80, Width::U64), 0);
    edu.write(Region(0), 4, Width::U8, 0, &mut out);
    edu.write(Region(0), 4, Width::U64, 0, &mut out);
    edu.write(Region(1), 4, Width::U32, 0, &mut out);
    assert_eq!((edu, out), (Edu::default(), vec![]));
}

#[test]
fn factorials_are_modulo_two_to_the_32() {
    let plain = |number: u32| (1..=u64::from(number)).fold(1, |product, n| product * n % (1 << 32));
    for number in 0..100 {
        assert_eq!(u64::from(factorial(number)), plain(number), "{number}!");
    }
    assert_eq!(factorial(u32::MAX), 0);
}

#[test]
fn on_the_bus_it_is_1234_11e8_with_one_message() {
    let function = Function::new(Box::new(Edu::default()), description()).expect("valid");
    let config = function.config();
    assert_eq!(config.read32(0), 0x11E8_1234);
    assert_eq!(config.read32(8), 0x00FF_0010);
    assert_eq!(config.read8(pci::spec::offset::INTERRUPT_PIN), 1);
    let msi = u16::from(config.read8(pci::spec::offset::CAPABILITIES));
    assert_eq!(
        config.read32(msi),
        0x0080_0005,
        "one 64-bit message, no masks, last in the list"
    );
}

#[test]
fn an_uncaused_interrupt_leaves_the_status_alone() {
    let mut function = Function::new(Box::new(Edu::default()), description()).expect("valid");
    let mut out = vec![];
    assert!(function.stimulate(&Stimulus::Interrupt(0), &mut out));
    assert_eq!(
        out,
        [
            Output::Line { asserted: true },
            Output::Line { asserted: false }
        ]
    );
    assert!(!function.stimulate(&Stimulus::Interrupt(1), &mut out));
    assert!(!function.stimulate(&Stimulus::Press, &mut out));
}

proptest! {
    #[test]
    fn any_script_is_repeatable_and_reset_equals_new(
        steps in prop::collection::vec((0u8..6, 0u64..0xA0, 0u64..4, any::<u64>()), 0..60)
    ) {
        let mut edu = Edu::default();
        for (kind, at, width, value) in steps {
            let width = [Width::U8, Width::U16, Width::U32, Width::U64][width as usize];
            let step = |edu: &mut Edu| {
                let mut out = Effects::new();
                // Most offsets at the registers, many values small.
                let (near, small) = (at & !3, value >> (value & 63));
                let read = match kind {
                    0 => edu.read(Region(0), near, width, &mut out),
                    1 => edu.read(Region(0), value, width, &mut out),
                    2 => { edu.write(Region(0), near, Width::U32, small, &mut out); 0 }
                    3 => { edu.write(Region(0), near, width, BUFFER + small % 0x2000, &mut out); 0 }
                    4 => { edu.timer(small as u32, &mut out); 0 }
                    _ => { edu.dma_data(1, &vec![1; (value % 5000) as usize], &mut out); 0 }
                };
                (read, out)
            };
            let mut copy = edu.clone();
            let (one, other) = (step(&mut edu), step(&mut copy));
            prop_assert_eq!(one, other);
            prop_assert_eq!(&edu, &copy);
        }
        edu.reset(&mut Effects::new());
        prop_assert_eq!(edu, Edu::default());
    }
}
