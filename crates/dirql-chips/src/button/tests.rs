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
        "ack" => {
            button.write(Region(0), 2, Width::U8, 1, out);
            1
        }
        "read" => button.read(Region(0), 0, Width::U32, out),
        _ => panic!("no step {step:?}"),
    }
}

fn script(steps: &str) -> String {
    let (mut button, mut text) = (Button::new(), String::new());
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
        steps in prop::collection::vec(prop::sample::select(&["press", "release", "glitch", "ack", "read"]), 0..40)
    ) {
        let (mut button, mut high) = (Button::new(), false);
        for word in steps {
            let (mut copy, mut one, mut other) = (button.clone(), Effects::new(), Effects::new());
            prop_assert_eq!(step(&mut button, word, &mut one), step(&mut copy, word, &mut other));
            prop_assert_eq!(&one, &other);
            prop_assert_eq!(&button, &copy);
            for effect in one {
                let now = effect == Effect::Interrupt { source: 0, level: Level::High };
                prop_assert_ne!(now, high, "each effect is a change");
                high = now;
            }
        }
        let mut out = Effects::new();
        button.reset(&mut out);
        prop_assert_eq!(!out.is_empty(), high, "reset releases the line");
        prop_assert_eq!(button, Button::new());
    }
}
