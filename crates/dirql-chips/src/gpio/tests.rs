use alloc::format;
use alloc::string::String;

use proptest::prelude::*;
use snapbox::{assert_data_eq, str};

use super::*;

fn effects(out: Effects) -> String {
    let text = out.into_iter().map(|effect| match effect {
        Effect::Interrupt { source, level } => {
            format!(" {source}{}", if level == Level::High { "+" } else { "-" })
        }
        other => panic!("{other:?}"),
    });
    text.collect()
}

fn offset(name: &str) -> u64 {
    match name {
        "id" => register::IDENTIFICATION,
        "pins" => register::PINS,
        "levels" => register::LEVELS,
        "direction" => register::DIRECTION,
        "output" => register::OUTPUT,
        "enabled" => register::ENABLED,
        "trigger" => register::TRIGGER,
        "active" => register::ACTIVE,
        "both" => register::BOTH,
        "status" => register::STATUS,
        _ => panic!("no register {name:?}"),
    }
}

/// `register` reads, `register=value` writes, `+n` and `-n` drive pin n, `~n` is a glitch.
fn step(gpio: &mut Gpio, word: &str, out: &mut Effects) -> Option<u64> {
    let pin = || word[1..].parse().expect("a pin");
    if let Some((name, value)) = word.split_once('=') {
        let value = u64::from_str_radix(value, 16).expect("hexadecimal");
        gpio.write(Region(0), offset(name), Width::U32, value, out);
        return None;
    }
    let stimulus = match &word[..1] {
        "+" => Stimulus::Pin {
            pin: pin(),
            level: Level::High,
        },
        "-" => Stimulus::Pin {
            pin: pin(),
            level: Level::Low,
        },
        "~" => Stimulus::Interrupt(pin()),
        _ => return Some(gpio.read(Region(0), offset(word), Width::U32, out)),
    };
    assert!(gpio.stimulate(&stimulus, out));
    None
}

fn script(mut gpio: Gpio, steps: &str) -> String {
    let mut text = String::new();
    for word in steps.split_whitespace() {
        let mut out = Effects::new();
        let value = step(&mut gpio, word, &mut out);
        let value = value.map_or(String::new(), |value| format!(" {value:x}"));
        text += &format!("{word:<12}->{value}{}\n", effects(out));
    }
    text
}

#[test]
fn registers_after_power_up() {
    assert_data_eq!(
        script(
            Gpio::new(4, Wiring::Each),
            "id pins levels direction output enabled trigger active both status"
        ),
        str![[r#"
id          -> 4f495047
pins        -> 4
levels      -> 0
direction   -> 0
output      -> 0
enabled     -> 0
trigger     -> 0
active      -> 0
both        -> 0
status      -> 0

"#]]
    );
}

#[test]
fn an_edge_interrupts_until_its_status_is_cleared() {
    assert_data_eq!(
        script(
            Gpio::new(4, Wiring::Each),
            "enabled=f active=5 +0 +1 status -0 -1 status status=1 status=2 ~2 status=4 ~3 status"
        ),
        str![[r#"
enabled=f   ->
active=5    ->
+0          -> 0+
+1          ->
status      -> 1
-0          ->
-1          -> 1+
status      -> 3
status=1    -> 0-
status=2    -> 1-
~2          -> 2+
status=4    -> 2-
~3          -> 3+
status      -> 8

"#]]
    );
}

#[test]
fn both_edges_interrupt() {
    assert_data_eq!(
        script(
            Gpio::new(1, Wiring::Each),
            "enabled=1 both=1 +0 status=1 -0 status=1 active=1 +0 status=1 -0"
        ),
        str![[r#"
enabled=1   ->
both=1      ->
+0          -> 0+
status=1    -> 0-
-0          -> 0+
status=1    -> 0-
active=1    ->
+0          -> 0+
status=1    -> 0-
-0          -> 0+

"#]]
    );
}

#[test]
fn a_level_interrupts_again_while_it_lasts() {
    assert_data_eq!(
        script(
            Gpio::new(2, Wiring::Each),
            "trigger=3 active=3 status enabled=3 +1 status=2 -1 status=2 active=1 +1 status=2"
        ),
        str![[r#"
trigger=3   ->
active=3    ->
status      -> 3
enabled=3   -> 0+ 1+
+1          ->
status=2    ->
-1          ->
status=2    -> 1-
active=1    -> 1+
+1          ->
status=2    -> 1-

"#]]
    );
}

#[test]
fn what_happened_is_kept_while_a_pin_is_disabled() {
    assert_data_eq!(
        script(
            Gpio::new(2, Wiring::Each),
            "active=3 +0 status enabled=1 enabled=0 enabled=3 status=1"
        ),
        str![[r#"
active=3    ->
+0          ->
status      -> 1
enabled=1   -> 0+
enabled=0   -> 0-
enabled=3   -> 0+
status=1    -> 0-

"#]]
    );
}

#[test]
fn all_pins_can_share_a_line() {
    assert_data_eq!(
        script(
            Gpio::new(32, Wiring::Shared),
            "enabled=80000001 active=ffffffff +31 +0 status status=80000000 status=1"
        ),
        str![[r#"
enabled=80000001->
active=ffffffff->
+31         -> 0+
+0          ->
status      -> 80000001
status=80000000->
status=1    -> 0-

"#]]
    );
}

#[test]
fn outputs_are_pins_too() {
    assert_data_eq!(
        script(
            Gpio::new(2, Wiring::Each),
            "enabled=3 active=3 output=1 levels direction=1 levels +0 -0 levels output=0 levels direction=0 +0"
        ),
        str![[r#"
enabled=3   ->
active=3    ->
output=1    ->
levels      -> 0
direction=1 -> 0+
levels      -> 1
+0          ->
-0          ->
levels      -> 1
output=0    ->
levels      -> 0
direction=0 ->
+0          ->

"#]]
    );
}

#[test]
fn pins_that_do_not_exist_are_not_there() {
    let mut gpio = Gpio::new(2, Wiring::Each);
    let mut out = Effects::new();
    for register in (register::DIRECTION..=register::STATUS).step_by(4) {
        gpio.write(Region(0), register, Width::U32, 0xFFFF_FFFC, &mut out);
        assert_eq!(gpio.read(Region(0), register, Width::U32, &mut out), 0);
    }
    for stimulus in [
        Stimulus::Interrupt(2),
        Stimulus::Pin {
            pin: 2,
            level: Level::High,
        },
        Stimulus::Receive(alloc::vec![1]),
    ] {
        assert!(!gpio.stimulate(&stimulus, &mut out));
    }
    assert!(out.is_empty());
    assert_eq!(Gpio::new(0, Wiring::Each), Gpio::new(1, Wiring::Each));
    assert_eq!(Gpio::new(33, Wiring::Each), Gpio::new(32, Wiring::Each));
}

#[test]
fn other_accesses_are_ignored() {
    let mut gpio = Gpio::new(2, Wiring::Each);
    let mut out = Effects::new();
    for (region, offset, width) in [
        (1, register::PINS, Width::U32),
        (0, register::PINS, Width::U16),
        (0, register::PINS, Width::U64),
        (0, 0x28, Width::U32),
        (0, u64::MAX, Width::U32),
    ] {
        gpio.write(Region(region), offset, width, 3, &mut out);
        let read = gpio.read(Region(region), offset, width, &mut out);
        assert_eq!(read, width.ones(), "{region} {offset:#x} {width:?}");
    }
    assert_eq!(gpio, Gpio::new(2, Wiring::Each));
}

#[test]
fn press_and_release_are_pin_0() {
    let mut gpio = Gpio::new(2, Wiring::Each);
    let mut out = Effects::new();
    assert!(gpio.stimulate(&Stimulus::Press, &mut out));
    assert_eq!(gpio.levels, 1);
    gpio.reset(&mut out);
    assert_eq!(gpio.levels, 1, "who presses does not notice a reset");
    assert!(gpio.stimulate(&Stimulus::Release, &mut out));
    assert_eq!(gpio.levels, 0);
}

proptest! {
    #[test]
    fn any_script_keeps_the_invariants(
        pins in 1..=32u8,
        shared: bool,
        steps in prop::collection::vec((0..0x30u64, any::<u32>(), 0..40u16, 0..4u8), 0..60),
    ) {
        let wiring = if shared { Wiring::Shared } else { Wiring::Each };
        let mut gpio = Gpio::new(pins, wiring);
        let mut high = [false; 32];
        for (offset, value, pin, kind) in steps {
            let mut out = Effects::new();
            match kind {
                0 => gpio.write(Region(0), offset & !3, Width::U32, value.into(), &mut out),
                1 => { gpio.stimulate(&Stimulus::Interrupt(pin), &mut out); }
                _ => {
                    let level = if kind == 2 { Level::High } else { Level::Low };
                    gpio.stimulate(&Stimulus::Pin { pin, level }, &mut out);
                }
            }
            for effect in out {
                let Effect::Interrupt { source, level } = effect else { panic!("{effect:?}") };
                prop_assert!(source < u16::from(pins) && (!shared || source == 0));
                let now = level == Level::High;
                prop_assert_ne!(now, high[usize::from(source)], "each effect is a change");
                high[usize::from(source)] = now;
            }
            let pending = gpio.status & gpio.enabled;
            let expected = if shared { u32::from(pending != 0) } else { pending };
            prop_assert_eq!(gpio.asserted, expected);
        }
        let (mut out, inputs) = (Effects::new(), gpio.inputs);
        gpio.reset(&mut out);
        prop_assert_eq!(out.len(), high.iter().filter(|&&high| high).count());
        prop_assert_eq!(gpio, Gpio { inputs, levels: inputs, ..Gpio::new(pins, wiring) });
    }
}
