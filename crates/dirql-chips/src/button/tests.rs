use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use proptest::prelude::*;
use snapbox::{assert_data_eq, str};

use super::*;

fn step(button: &mut Button, step: &str, out: &mut Effects) -> u64 {
    match step {
        "press" => u64::from(button.stimulate(&Stimulus::Press, out)),
        "release" => u64::from(button.stimulate(&Stimulus::Release, out)),
        "glitch" => u64::from(button.stimulate(&Stimulus::Interrupt(0), out)),
        "glitch2" => u64::from(button.stimulate(&Stimulus::Interrupt(1), out)),
        "ack" => acknowledge(button, 1, out),
        "ack2" => acknowledge(button, 2, out),
        "ack12" => acknowledge(button, 3, out),
        "read" => button.read(Region(0), 0, Width::U32, out),
        _ => panic!("no step {step:?}"),
    }
}

fn acknowledge(button: &mut Button, lines: u64, out: &mut Effects) -> u64 {
    button.write(Region(0), 2, Width::U8, lines, out);
    1
}

fn script(steps: &str) -> String {
    script_on(Button::new(), steps)
}

fn script_on(mut button: Button, steps: &str) -> String {
    let mut text = String::new();
    for word in steps.split(' ') {
        let mut out = Effects::new();
        let value = step(&mut button, word, &mut out);
        let lines: Vec<&str> = out
            .iter()
            .map(|effect| match effect {
                Effect::Interrupt {
                    source: 0,
                    level: Level::High,
                } => " high",
                Effect::Interrupt {
                    source: 0,
                    level: Level::Low,
                } => " low",
                Effect::Interrupt {
                    source: 1,
                    level: Level::High,
                } => " high2",
                Effect::Interrupt {
                    source: 1,
                    level: Level::Low,
                } => " low2",
                other => panic!("{other:?}"),
            })
            .collect();
        let value = if word == "read" {
            format!(" {value:#x}")
        } else {
            String::new()
        };
        text += &format!("{word:<8}->{value}{}\n", lines.concat());
    }
    text
}

#[test]
fn the_line_is_asserted_from_press_to_release() {
    assert_data_eq!(
        script("read press read release read release"),
        str![[r#"
read    -> 0x0
press   -> high
read    -> 0x103
release -> low
read    -> 0x100
release ->

"#]]
    );
}

#[test]
fn an_acknowledgement_drops_the_line_until_the_next_press() {
    assert_data_eq!(
        script("press ack read ack press read release"),
        str![[r#"
press   -> high
ack     -> low
read    -> 0x101
ack     ->
press   -> high
read    -> 0x203
release -> low

"#]]
    );
}

#[test]
fn a_glitch_is_an_edge_whatever_the_line_is() {
    assert_data_eq!(
        script("glitch press glitch read"),
        str![[r#"
glitch  -> high low
press   -> high
glitch  -> low high
read    -> 0x103

"#]]
    );
}

#[test]
fn a_release_asserts_the_second_line_until_it_is_acknowledged() {
    assert_data_eq!(
        script_on(
            Button::with_release_line(),
            "read press read ack release read ack2 read release press read ack12 read"
        ),
        str![[r#"
read    -> 0x0
press   -> high
read    -> 0x103
ack     -> low
release -> high2
read    -> 0x104
ack2    -> low2
read    -> 0x100
release -> high2
press   -> high
read    -> 0x207
ack12   -> low low2
read    -> 0x201

"#]]
    );
}

#[test]
fn a_release_before_the_acknowledgement_drops_the_first_line() {
    assert_data_eq!(
        script_on(
            Button::with_release_line(),
            "press release read ack read ack2 read"
        ),
        str![[r#"
press   -> high
release -> low high2
read    -> 0x104
ack     ->
read    -> 0x104
ack2    -> low2
read    -> 0x100

"#]]
    );
}

#[test]
fn a_glitch_on_the_second_line_needs_a_second_line() {
    assert_data_eq!(
        script_on(Button::with_release_line(), "glitch2 release glitch2 read"),
        str![[r#"
glitch2 -> high2 low2
release -> high2
glitch2 -> low2 high2
read    -> 0x4

"#]]
    );
    let mut out = Effects::new();
    for (mut button, source, known) in [
        (Button::new(), 1, false),
        (Button::with_release_line(), 1, true),
        (Button::with_release_line(), 2, false),
    ] {
        let answer = button.stimulate(&Stimulus::Interrupt(source), &mut out);
        assert_eq!(answer, known, "{source}");
    }
}

/// Acknowledges as the ISR of a driver for two lines does, and says what it claimed.
#[test]
fn a_press_and_release_leave_enough_for_either_isr() {
    for first in [0u8, 1] {
        let mut button = Button::with_release_line();
        let mut out = Effects::new();
        let _ = button.stimulate(&Stimulus::Press, &mut out);
        let _ = button.stimulate(&Stimulus::Release, &mut out);
        let (mut seen, mut events) = (0, Vec::new());
        for line in [first, 1 - first] {
            let status = button.read(Region(0), 0, Width::U8, &mut out) as u8;
            let asserted = status & 2 << line != 0;
            if asserted {
                button.write(Region(0), 2, Width::U8, 1 << line, &mut out);
            }
            let presses = button.read(Region(0), 1, Width::U8, &mut out) as u8;
            events.extend((seen..presses).map(|_| 0));
            seen = presses;
            if asserted && line == 1 {
                events.push(1);
            }
        }
        assert_eq!(events, [0, 1], "line {first} first");
        assert_eq!(button.read(Region(0), 0, Width::U8, &mut out), 0);
    }
}

#[test]
fn any_width_that_covers_the_acknowledge_byte_acknowledges() {
    for (offset, width, value, drops) in [
        (0, Width::U32, 0x0001_0000, true),
        (0, Width::U64, 0x0001_0000, true),
        (1, Width::U16, 0x0100, true),
        (2, Width::U16, 0x0001, true),
        (2, Width::U8, 0x02, false),
        (0, Width::U16, 0xFFFF, false),
        (3, Width::U8, 0xFF, false),
        (0, Width::U8, 0x0001_0000, false),
        (0, Width::U16, 0x0001_0000, false),
        (u64::MAX, Width::U64, u64::MAX, false),
    ] {
        let (mut button, mut out) = (Button::new(), Effects::new());
        let _ = button.stimulate(&Stimulus::Press, &mut out);
        out.clear();
        button.write(Region(0), offset, width, value, &mut out);
        assert_eq!(!out.is_empty(), drops, "{width:?} {value:#x} at {offset}");
    }
}

#[test]
fn outside_of_the_window_there_are_ones() {
    let (mut button, mut out) = (Button::new(), Effects::new());
    assert_eq!(button.read(Region(0), 3, Width::U16, &mut out), 0xFF00);
    assert_eq!(
        button.read(Region(0), 0, Width::U64, &mut out),
        0xFFFF_FFFF_0000_0000
    );
    assert_eq!(button.read(Region(1), 0, Width::U8, &mut out), 0xFF);
    assert_eq!(
        button.read(Region(0), u64::MAX, Width::U64, &mut out),
        u64::MAX
    );
}

proptest! {
    #[test]
    fn any_script_is_repeatable_and_reset_equals_new(
        two_lines: bool,
        steps in prop::collection::vec(
            prop::sample::select(&[
                "press", "release", "glitch", "glitch2", "ack", "ack2", "ack12", "read",
            ]),
            0..40,
        )
    ) {
        let new = if two_lines { Button::with_release_line() } else { Button::new() };
        let (mut button, mut high) = (new.clone(), [false; 2]);
        for word in steps {
            let (mut copy, mut one, mut other) = (button.clone(), Effects::new(), Effects::new());
            prop_assert_eq!(step(&mut button, word, &mut one), step(&mut copy, word, &mut other));
            prop_assert_eq!(&one, &other);
            prop_assert_eq!(&button, &copy);
            for effect in one {
                let Effect::Interrupt { source, level } = effect else {
                    panic!("{effect:?}");
                };
                prop_assert!(two_lines || source == 0);
                let now = level == Level::High;
                prop_assert_ne!(now, high[usize::from(source)], "each effect is a change");
                high[usize::from(source)] = now;
            }
        }
        let mut out = Effects::new();
        button.reset(&mut out);
        let asserted = high.iter().filter(|&&high| high).count();
        prop_assert_eq!(out.len(), asserted, "reset releases each line");
        prop_assert_eq!(button, new);
    }
}
