use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;
use snapbox::{assert_data_eq, str};

use super::*;

/// A port with a clock: the timers that it asked for, and the time.
struct Bench {
    uart: Uart16550,
    now: u64,
    timers: Vec<(u64, u32)>,
}

impl Bench {
    fn new() -> Self {
        Self {
            uart: Uart16550::new(),
            now: 0,
            timers: vec![],
        }
    }

    /// Keeps timers; the rest as text.
    fn absorb(&mut self, out: Effects) -> String {
        let mut text = String::new();
        for effect in out {
            match effect {
                Effect::Timer { after_100ns, token } => {
                    self.timers.push((self.now + after_100ns, token));
                }
                Effect::StopTimer { token } => self.timers.retain(|(_, other)| *other != token),
                Effect::Interrupt {
                    level: Level::High, ..
                } => text += " IRQ",
                Effect::Interrupt {
                    level: Level::Low, ..
                } => text += " no IRQ",
                Effect::Output(bytes) => text += &format!(" out {bytes:02x?}"),
                Effect::Serial(SerialOutput::Break) => text += " break",
                Effect::Serial(SerialOutput::Modem { dtr, rts }) => {
                    text += &format!(" dtr={} rts={}", u8::from(dtr), u8::from(rts));
                }
                other => panic!("{other:?}"),
            }
        }
        text
    }

    /// Lets the next timer fire; `None` if there is none.
    fn fire(&mut self) -> Option<String> {
        let next = (0..self.timers.len()).min_by_key(|&index| self.timers[index].0)?;
        let (when, token) = self.timers.remove(next);
        self.now = when;
        let mut out = vec![];
        self.uart.timer(token, &mut out);
        Some(self.absorb(out))
    }

    fn step(&mut self, step: &str) -> String {
        let hex = |text: &str| u64::from_str_radix(text, 16).expect("hexadecimal");
        let words: Vec<&str> = step.split(' ').collect();
        let mut out = vec![];
        let mut text = match *words {
            ["r", port] => {
                format!(
                    " {:02x}",
                    self.uart.read(Region(0), hex(port), Width::U8, &mut out)
                )
            }
            ["w", port, value] => {
                self.uart
                    .write(Region(0), hex(port), Width::U8, hex(value), &mut out);
                String::new()
            }
            ["rx", ref bytes @ ..] => {
                let bytes = bytes.iter().map(|byte| hex(byte) as u8).collect();
                assert!(self.uart.stimulate(&Stimulus::Receive(bytes), &mut out));
                String::new()
            }
            ["offer", ref bytes @ ..] => {
                let bytes = bytes.iter().map(|byte| hex(byte) as u8).collect();
                assert!(self.uart.stimulate(&Stimulus::Offer(bytes), &mut out));
                String::new()
            }
            ["break"] => self.serial(SerialEvent::Break, &mut out),
            ["parity", byte] => self.serial(SerialEvent::ParityError(hex(byte) as u8), &mut out),
            ["framing", byte] => self.serial(SerialEvent::FramingError(hex(byte) as u8), &mut out),
            ["modem", lines] => {
                let has = |name| lines.split('+').any(|line| line == name);
                let lines = ModemLines {
                    cts: has("cts"),
                    dsr: has("dsr"),
                    ri: has("ri"),
                    dcd: has("dcd"),
                };
                self.serial(SerialEvent::Modem(lines), &mut out)
            }
            // One timer; then all until nothing is left to happen.
            ["tick"] => self.fire().expect("a timer"),
            ["settle"] => {
                let mut text = String::new();
                while let Some(more) = self.fire() {
                    text += &more;
                }
                text
            }
            _ => panic!("no step {step:?}"),
        };
        text += &self.absorb(out);
        text
    }

    fn serial(&mut self, event: SerialEvent, out: &mut Effects) -> String {
        assert!(self.uart.stimulate(&Stimulus::Serial(event), out));
        String::new()
    }
}

/// Runs steps: `r PORT`, `w PORT VALUE`, `rx BYTES`, `tick` for one timer, `settle` for all.
fn script(steps: &str) -> String {
    let (mut bench, mut text) = (Bench::new(), String::new());
    for step in steps.split(", ") {
        let line = format!("{step:<10} ->{}", bench.step(step));
        text += &line;
        text.push('\n');
    }
    text
}

#[test]
fn registers_after_reset() {
    assert_data_eq!(
        script("r 0, r 1, r 2, r 3, r 4, r 5, r 6, r 7, w 3 80, r 0, r 1"),
        str![[r#"
r 0        -> 00
r 1        -> 00
r 2        -> 01
r 3        -> 00
r 4        -> 00
r 5        -> 60
r 6        -> b0
r 7        -> 00
w 3 80     ->
r 0        -> 0c
r 1        -> 00

"#]]
    );
}

#[test]
fn the_divisor_is_behind_dlab() {
    assert_data_eq!(
        script(
            "w 3 83, w 0 34, w 1 12, r 0, r 1, w 3 3, r 1, w 1 ff, r 1, r 3, w 7 5a, r 7, w 4 ff, r 4"
        ),
        str![[r#"
w 3 83     ->
w 0 34     ->
w 1 12     ->
r 0        -> 34
r 1        -> 12
w 3 3      ->
r 1        -> 00
w 1 ff     ->
r 1        -> 0f
r 3        -> 03
w 7 5a     ->
r 7        -> 5a
w 4 ff     ->
r 4        -> 1f

"#]]
    );
}

#[test]
fn the_holding_register_empties_into_the_shift_register() {
    assert_data_eq!(
        script("w 3 3, w 0 41, r 5, w 0 42, r 5, tick, r 5, tick, r 5"),
        str![[r#"
w 3 3      ->
w 0 41     ->
r 5        -> 20
w 0 42     ->
r 5        -> 00
tick       -> out [41]
r 5        -> 20
tick       -> out [42]
r 5        -> 60

"#]]
    );
}

#[test]
fn the_transmitter_interrupt_ends_with_reading_the_id_or_writing() {
    assert_data_eq!(
        script(
            "w 4 8, w 1 2, r 2, r 2, w 1 2, w 1 0, w 1 2, w 0 41, r 2, w 0 42, settle, r 2, r 2"
        ),
        str![[r#"
w 4 8      ->
w 1 2      -> IRQ
r 2        -> 02 no IRQ
r 2        -> 01
w 1 2      ->
w 1 0      ->
w 1 2      -> IRQ
w 0 41     ->
r 2        -> 02 no IRQ
w 0 42     ->
settle     -> out [01] IRQ out [02]
r 2        -> 02 no IRQ
r 2        -> 01

"#]]
    );
}

#[test]
fn a_single_character_in_the_fifo_delays_the_empty_indication() {
    assert_data_eq!(
        script("w 3 3, w 2 1, w 0 41, r 5, tick, r 5, tick, r 5"),
        str![[r#"
w 3 3      ->
w 2 1      ->
w 0 41     ->
r 5        -> 00
tick       ->
r 5        -> 20
tick       -> out [41]
r 5        -> 60

"#]]
    );
    assert_data_eq!(
        script("w 3 3, w 2 1, w 0 41, w 0 42, w 0 43, r 5, tick, r 5, tick, tick, r 5, tick, r 5"),
        str![[r#"
w 3 3      ->
w 2 1      ->
w 0 41     ->
w 0 42     ->
w 0 43     ->
r 5        -> 00
tick       ->
r 5        -> 00
tick       -> out [41]
tick       -> out [42]
r 5        -> 20
tick       -> out [43]
r 5        -> 60

"#]]
    );
}

#[test]
fn the_transmit_fifo_holds_16_beside_the_shift_register() {
    let mut bench = Bench::new();
    let _ = bench.step("w 3 3");
    let _ = bench.step("w 2 1");
    for byte in 0..18 {
        let _ = bench.step(&format!("w 0 {byte:x}"));
    }
    let sent: Vec<String> = (0u8..18)
        .filter(|&byte| byte != 1)
        .map(|b| format!(" out [{b:02x}]"))
        .collect();
    assert_eq!(
        bench.step("settle"),
        sent.concat(),
        "the oldest in the FIFO gave way"
    );
}

#[test]
fn a_character_takes_its_bits() {
    let time = |line_control: &str, divisor: &str| {
        let mut bench = Bench::new();
        for step in [
            "w 3 80",
            &format!("w 0 {divisor}"),
            &format!("w 3 {line_control}"),
            "w 0 41",
        ] {
            let _ = bench.step(step);
        }
        bench.timers[0].0
    };
    // 1,843,200 Hz / 16 / 12 is 9600 baud: 1041.67 of 100 ns for a bit.
    assert_eq!(time("3", "c"), 10_417, "8N1, 10 bits");
    assert_eq!(time("7", "c"), 11_459, "8N2, 11 bits");
    assert_eq!(time("1b", "c"), 11_459, "8E1, 11 bits");
    assert_eq!(time("0", "c"), 7_292, "5N1, 7 bits");
    assert_eq!(time("4", "c"), 7_813, "5 bits and one and a half stop bits");
    assert_eq!(time("3", "1"), 869, "115,200 baud");
    assert_eq!(time("3", "0"), 56_888_889, "0 is 65,536");
}

#[test]
fn received_data_interrupts_and_overrun_loses_the_older_character() {
    assert_data_eq!(
        script(
            "w 3 3, w 4 8, w 1 5, rx 41 42 43, tick, r 2, r 5, tick, r 2, r 5, r 2, r 0, tick, r 5, r 0, r 0"
        ),
        str![[r#"
w 3 3      ->
w 4 8      ->
w 1 5      ->
rx 41 42 43 ->
tick       -> IRQ
r 2        -> 04
r 5        -> 61
tick       ->
r 2        -> 06
r 5        -> 63
r 2        -> 04
r 0        -> 42 no IRQ
tick       -> IRQ
r 5        -> 61
r 0        -> 43 no IRQ
r 0        -> 43

"#]]
    );
}

#[test]
fn the_fifo_interrupts_at_its_trigger_level() {
    assert_data_eq!(
        script(
            "w 3 3, w 4 8, w 1 1, w 2 41, rx 1 2 3 4 5, tick, tick, tick, r 2, tick, r 2, tick, r 0, r 0, r 2"
        ),
        str![[r#"
w 3 3      ->
w 4 8      ->
w 1 1      ->
w 2 41     ->
rx 1 2 3 4 5 ->
tick       ->
tick       ->
tick       ->
r 2        -> c1
tick       -> IRQ
r 2        -> c4
tick       ->
r 0        -> 01
r 0        -> 02 no IRQ
r 2        -> c1

"#]]
    );
}

#[test]
fn characters_left_in_the_fifo_time_out() {
    assert_data_eq!(
        script(
            "w 3 3, w 4 8, w 1 1, w 2 c1, rx 1 2, settle, r 2, r 0, r 2, settle, r 2, r 0, settle, r 2"
        ),
        str![[r#"
w 3 3      ->
w 4 8      ->
w 1 1      ->
w 2 c1     ->
rx 1 2     ->
settle     -> IRQ
r 2        -> cc
r 0        -> 01 no IRQ
r 2        -> c1
settle     -> IRQ
r 2        -> cc
r 0        -> 02 no IRQ
settle     ->
r 2        -> c1

"#]]
    );
}

#[test]
fn a_time_out_is_four_character_times_from_the_last_that_came_or_was_read() {
    let mut bench = Bench::new();
    for step in ["w 3 3", "w 4 8", "w 1 1", "w 2 c1", "rx 1 2"] {
        let _ = bench.step(step);
    }
    assert_eq!([bench.step("tick"), bench.step("tick")], ["", ""]);
    let last = bench.now;
    assert_eq!(last, 2 * 10_417);
    assert_eq!(bench.timers.len(), 1, "the first character's is stopped");
    assert_eq!(bench.step("tick"), " IRQ");
    assert_eq!(bench.now, last + 41_667);
}

#[test]
fn a_full_fifo_keeps_what_it_has() {
    let mut bench = Bench::new();
    let _ = bench.step("w 3 3");
    let _ = bench.step("w 2 1");
    for byte in 0..17 {
        let _ = bench.step(&format!("rx {byte:x}"));
    }
    let _ = bench.step("settle");
    assert_eq!(bench.step("r 5"), " 63");
    assert_eq!(bench.step("r 5"), " 61", "reading clears the overrun");
    for byte in 0..16 {
        assert_eq!(bench.step("r 0"), format!(" {byte:02x}"));
    }
    assert_eq!([bench.step("r 5"), bench.step("r 0")], [" 60", " 00"]);
}

#[test]
fn errors_show_when_their_character_is_next() {
    assert_data_eq!(
        script(
            "w 3 3, w 4 8, w 1 4, w 2 1, rx 1, parity 2, framing 3, break, settle, r 5, r 0, r 2, r 5, r 2, r 0, r 5, r 0, r 5, r 0, r 5"
        ),
        str![[r#"
w 3 3      ->
w 4 8      ->
w 1 4      ->
w 2 1      ->
rx 1       ->
parity 2   ->
framing 3  ->
break      ->
settle     ->
r 5        -> e1
r 0        -> 01 IRQ
r 2        -> c6
r 5        -> e5 no IRQ
r 2        -> c1
r 0        -> 02 IRQ
r 5        -> e9 no IRQ
r 0        -> 03 IRQ
r 5        -> f9 no IRQ
r 0        -> 00
r 5        -> 60

"#]]
    );
}

#[test]
fn without_fifos_there_is_no_fifo_error_bit() {
    assert_data_eq!(
        script("parity 2, settle, r 5, r 5"),
        str![[r#"
parity 2   ->
settle     ->
r 5        -> 65
r 5        -> 61

"#]]
    );
}

#[test]
fn out2_lets_the_interrupt_through() {
    assert_data_eq!(
        script("w 1 2, r 5, w 4 8, w 4 0, r 2, w 4 8"),
        str![[r#"
w 1 2      ->
r 5        -> 60
w 4 8      -> IRQ
w 4 0      -> no IRQ
r 2        -> 02
w 4 8      ->

"#]]
    );
}

#[test]
fn loopback_connects_the_ends_and_closes_the_gate() {
    assert_data_eq!(
        script(
            "w 3 3, w 1 1, w 4 18, w 0 41, rx 99, settle, r 2, r 0, w 4 1a, r 6, r 6, w 4 1f, r 6, w 4 1b, r 6, w 4 8"
        ),
        str![[r#"
w 3 3      ->
w 1 1      ->
w 4 18     ->
w 0 41     ->
rx 99      ->
settle     ->
r 2        -> 04
r 0        -> 41
w 4 1a     ->
r 6        -> 93
r 6        -> 90
w 4 1f     ->
r 6        -> f2
w 4 1b     ->
r 6        -> b4
w 4 8      ->

"#]]
    );
}

#[test]
fn changes_of_modem_inputs_interrupt_until_the_status_is_read() {
    assert_data_eq!(
        script(
            "w 4 8, w 1 8, modem cts+dsr+dcd, modem dsr+dcd, r 2, r 6, r 2, modem dsr+dcd+ri, modem dsr+dcd, r 6, modem cts, r 6"
        ),
        str![[r#"
w 4 8      ->
w 1 8      ->
modem cts+dsr+dcd ->
modem dsr+dcd -> IRQ
r 2        -> 00
r 6        -> a1 no IRQ
r 2        -> 01
modem dsr+dcd+ri ->
modem dsr+dcd -> IRQ
r 6        -> a4 no IRQ
modem cts  -> IRQ
r 6        -> 1b no IRQ

"#]]
    );
}

#[test]
fn the_highest_interrupt_is_named_first() {
    assert_data_eq!(
        script(
            "w 3 3, w 1 f, w 4 8, parity 1, modem dsr, settle, r 2, r 5, r 2, r 0, r 2, r 2, r 6, r 2"
        ),
        str![[r#"
w 3 3      ->
w 1 f      ->
w 4 8      -> IRQ
parity 1   ->
modem dsr  ->
settle     ->
r 2        -> 06
r 5        -> 65
r 2        -> 04
r 0        -> 01
r 2        -> 02
r 2        -> 00
r 6        -> 29 no IRQ
r 2        -> 01

"#]]
    );
}

#[test]
fn fifo_control_clears_and_needs_its_enable_bit() {
    assert_data_eq!(
        script(
            "w 3 3, w 2 c0, r 2, w 2 1, r 2, rx 1 2, settle, r 5, w 2 2, r 2, w 2 1, rx 1, settle, r 5, w 2 3, r 5, settle"
        ),
        str![[r#"
w 3 3      ->
w 2 c0     ->
r 2        -> 01
w 2 1      ->
r 2        -> c1
rx 1 2     ->
settle     ->
r 5        -> 61
w 2 2      ->
r 2        -> 01
w 2 1      ->
rx 1       ->
settle     ->
r 5        -> 61
w 2 3      ->
r 5        -> 60
settle     ->

"#]]
    );
}

#[test]
fn clearing_the_transmit_fifo_leaves_the_shift_register() {
    assert_data_eq!(
        script("w 3 3, w 2 1, w 0 41, w 0 42, w 0 43, w 2 5, r 5, settle, r 5"),
        str![[r#"
w 3 3      ->
w 2 1      ->
w 0 41     ->
w 0 42     ->
w 0 43     ->
w 2 5      ->
r 5        -> 20
settle     -> out [41]
r 5        -> 60

"#]]
    );
}

#[test]
fn enabling_fifos_interrupts_at_once_and_forgets_the_last_character() {
    assert_data_eq!(
        script("w 4 8, w 1 2, r 2, rx 1f, settle, r 0, r 0, w 2 1, r 2, r 0, w 2 5, r 2"),
        str![[r#"
w 4 8      ->
w 1 2      -> IRQ
r 2        -> 02 no IRQ
rx 1f      ->
settle     ->
r 0        -> 1f
r 0        -> 1f
w 2 1      -> IRQ
r 2        -> c2 no IRQ
r 0        -> 00
w 2 5      ->
r 2        -> c1

"#]]
    );
}

#[test]
fn a_write_during_the_delay_keeps_the_fifo_filled() {
    assert_data_eq!(
        script("w 3 3, w 2 1, w 0 41, w 0 42, tick, r 5, settle, r 5"),
        str![[r#"
w 3 3      ->
w 2 1      ->
w 0 41     ->
w 0 42     ->
tick       ->
r 5        -> 00
settle     -> out [41] out [42]
r 5        -> 60

"#]]
    );
}

#[test]
fn words_are_as_long_as_the_line_control_says() {
    assert_data_eq!(
        script("w 3 0, w 0 ff, rx ff, settle, r 0, w 3 2, w 0 ff, settle"),
        str![[r#"
w 3 0      ->
w 0 ff     ->
rx ff      ->
settle     -> out [1f]
r 0        -> 1f
w 3 2      ->
w 0 ff     ->
settle     -> out [7f]

"#]]
    );
}

#[test]
fn wide_accesses_are_several_ports() {
    let (mut uart, mut out) = (Uart16550::new(), vec![]);
    uart.write(Region(0), 3, Width::U16, 0x0803, &mut out);
    assert_eq!(uart.read(Region(0), 3, Width::U32, &mut out), 0xB060_0803);
    assert_eq!(uart.read(Region(0), 7, Width::U16, &mut out), 0xFF00);
    assert_eq!(uart.read(Region(0), 8, Width::U8, &mut out), 0xFF);
    assert_eq!(
        uart.read(Region(0), u64::MAX, Width::U64, &mut out),
        u64::MAX
    );
    assert_eq!(uart.read(Region(1), 5, Width::U8, &mut out), 0xFF);
    uart.write(Region(0), u64::MAX, Width::U64, u64::MAX, &mut out);
    assert_eq!(out, []);
}

#[derive(Clone, Debug)]
enum Step {
    Read(u64, u8),
    Write(u64, u8, u64),
    Timer(u32),
    Outside(Stimulus),
}

fn step() -> impl Strategy<Value = Step> {
    let lines = any::<(bool, bool, bool, bool)>();
    let modem =
        lines.prop_map(|(cts, dsr, ri, dcd)| SerialEvent::Modem(ModemLines { cts, dsr, ri, dcd }));
    let serial = prop_oneof![
        Just(SerialEvent::Break),
        any::<u8>().prop_map(SerialEvent::ParityError),
        any::<u8>().prop_map(SerialEvent::FramingError),
        modem,
    ];
    let stimulus = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..20).prop_map(Stimulus::Receive),
        serial.prop_map(Stimulus::Serial),
        (0u16..2).prop_map(Stimulus::Interrupt),
        Just(Stimulus::Press),
    ];
    prop_oneof![
        4 => (0u64..9, 0u8..4).prop_map(|(port, width)| Step::Read(port, width)),
        6 => (0u64..8, any::<u8>()).prop_map(|(port, value)| Step::Write(port, 0, value.into())),
        1 => (any::<u64>(), 0u8..4, any::<u64>()).prop_map(|(p, w, value)| Step::Write(p, w, value)),
        5 => (0u32..4, 0u32..20).prop_map(|(kind, generation)| Step::Timer(generation << 2 | kind)),
        3 => stimulus.prop_map(Step::Outside),
    ]
}

fn apply(uart: &mut Uart16550, step: &Step) -> (u64, Effects) {
    const WIDTHS: [Width; 4] = [Width::U8, Width::U16, Width::U32, Width::U64];
    let (mut out, mut value) = (vec![], 0);
    match *step {
        Step::Read(port, width) => {
            value = uart.read(Region(0), port, WIDTHS[usize::from(width)], &mut out);
        }
        Step::Write(port, width, value) => {
            uart.write(Region(0), port, WIDTHS[usize::from(width)], value, &mut out);
        }
        Step::Timer(token) => uart.timer(token, &mut out),
        Step::Outside(ref stimulus) => value = u64::from(uart.stimulate(stimulus, &mut out)),
    }
    (value, out)
}

#[test]
fn the_other_end_sends_what_it_has_while_rts_asks_for_it() {
    assert_data_eq!(
        script(
            "w 3 3, offer 41 42 43, w 4 2, tick, r 0, w 4 0, settle, r 0, settle, w 4 12, settle, w 4 2, settle, r 0"
        ),
        str![[r#"
w 3 3      ->
offer 41 42 43 ->
w 4 2      -> dtr=0 rts=1
tick       ->
r 0        -> 41
w 4 0      -> dtr=0 rts=0
settle     ->
r 0        -> 42
settle     ->
w 4 12     ->
settle     ->
w 4 2      -> dtr=0 rts=1
settle     ->
r 0        -> 43

"#]]
    );
}

#[test]
fn a_break_leaves_once_each_time_it_begins() {
    assert_data_eq!(
        script("w 3 43, w 3 43, w 3 3, w 3 40"),
        str![[r#"
w 3 43     -> break
w 3 43     ->
w 3 3      ->
w 3 40     -> break

"#]]
    );
}

proptest! {
    #[test]
    fn any_script_keeps_the_invariants(steps in prop::collection::vec(step(), 0..80)) {
        let (mut uart, mut high) = (Uart16550::new(), false);
        for step in &steps {
            let mut copy = uart.clone();
            let (one, other) = (apply(&mut uart, step), apply(&mut copy, step));
            prop_assert_eq!(&one, &other);
            prop_assert_eq!(&uart, &copy);
            for effect in one.1 {
                if let Effect::Interrupt { level, .. } = effect {
                    prop_assert_ne!(level == Level::High, high, "each is a change");
                    high = !high;
                }
            }
            prop_assert_eq!(high, uart.is_asserted);
            let gate = uart.modem_control & (modem::OUT2 | modem::LOOP) == modem::OUT2;
            prop_assert_eq!(high, gate && uart.interrupt_id() != interrupt::NONE);
            let room = if uart.has_fifos { 16 } else { 1 };
            prop_assert!(uart.receiver.len() <= room);
        }
        let mut out = vec![];
        uart.reset(&mut out);
        let released = out.iter().any(|effect| matches!(effect, Effect::Interrupt { .. }));
        prop_assert_eq!(released, high, "reset releases the line");
        out.clear();
        uart.set_inputs(ModemLines { cts: true, dsr: true, dcd: true, ri: false });
        uart.modem_status &= !input::DELTAS;
        prop_assert_eq!(uart, Uart16550::new());
    }

    /// Every character written comes out once, in order, if nothing is overwritten or cleared.
    #[test]
    fn what_goes_in_comes_out(bytes: Vec<u8>, fifos: bool) {
        let mut bench = Bench::new();
        let _ = bench.step("w 3 3");
        let _ = bench.step(if fifos { "w 2 1" } else { "w 2 0" });
        let mut sent = String::new();
        for byte in &bytes {
            while bench.uart.line_status() & status::HOLDING_EMPTY == 0 {
                sent += &bench.fire().expect("a busy transmitter has a timer");
            }
            sent += &bench.step(&format!("w 0 {byte:x}"));
        }
        sent += &bench.step("settle");
        let expected: String = bytes.iter().map(|byte| format!(" out [{byte:02x}]")).collect();
        prop_assert_eq!(sent, expected);
        prop_assert!(bench.uart.transmitter.is_idle());
    }
}
