use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use proptest::prelude::*;
use snapbox::{assert_data_eq, str};

use super::*;

/// Both chips as an operating system sets them up: vectors 0x30 and 0x38, nothing masked.
const SETUP: &str = "20=11 21=30 21=4 21=1 a0=11 a1=38 a1=2 a1=1";

/// Runs steps after [`SETUP`]: `PORT=VALUE` writes, `PORT?` reads, `up N` and `down N` drive a line,
/// `ack`. Numbers are hexadecimal. Shows whether the pair asks for the processor.
fn script(steps: &str) -> String {
    let mut pair = Pic8259::new();
    for word in SETUP.split(' ') {
        let _ = apply(&mut pair, word);
    }
    let mut text = String::new();
    for step in steps.split(", ") {
        let value = apply(&mut pair, step);
        let asks = if pair.output() == Level::High {
            " INT"
        } else {
            ""
        };
        text += &format!("{step:<7} ->{value}{asks}\n");
    }
    text
}

fn apply(pair: &mut Pic8259, step: &str) -> String {
    let hex = |text: &str| u16::from_str_radix(text, 16).expect("hexadecimal");
    if let Some((port, value)) = step.split_once('=') {
        let answer = pair.write(hex(port), Width::U8, hex(value).into());
        assert_eq!(answer, Some(()));
    } else if let Some(port) = step.strip_suffix('?') {
        return format!(
            " {:02x}",
            pair.read(hex(port), Width::U8).expect("a port of the pair")
        );
    } else if let Some(line) = step.strip_prefix("up ") {
        pair.drive(hex(line) as u8, Level::High);
    } else if let Some(line) = step.strip_prefix("down ") {
        pair.drive(hex(line) as u8, Level::Low);
    } else {
        assert_eq!(step, "ack");
        return format!(" {:#x}", pair.acknowledge().0);
    }
    String::new()
}

#[test]
fn the_lowest_number_has_the_highest_priority_and_nests() {
    assert_data_eq!(
        script("up 5, up 3, ack, 20?, up 1, ack, 20=b, 20?, 20=20, 20=20, ack, 20=20"),
        str![[r#"
up 5    -> INT
up 3    -> INT
ack     -> 0x33
20?     -> 20
up 1    -> INT
ack     -> 0x31
20=b    ->
20?     -> 0a
20=20   ->
20=20   -> INT
ack     -> 0x35
20=20   ->

"#]]
    );
}

#[test]
fn an_edge_is_taken_once_and_a_level_again_after_its_end() {
    assert_data_eq!(
        script("up 5, ack, 20=20, down 5, 4d0=20, 4d0?, up 5, ack, 20=20, ack, down 5, 20=20"),
        str![[r#"
up 5    -> INT
ack     -> 0x35
20=20   ->
down 5  ->
4d0=20  ->
4d0?    -> 20
up 5    -> INT
ack     -> 0x35
20=20   -> INT
ack     -> 0x35
down 5  ->
20=20   ->

"#]]
    );
}

#[test]
fn a_request_that_goes_away_is_acknowledged_as_input_7() {
    assert_data_eq!(
        script("up 5, down 5, ack, 20=b, 20?, up 9, down 9, ack"),
        str![[r#"
up 5    -> INT
down 5  ->
ack     -> 0x37
20=b    ->
20?     -> 00
up 9    -> INT
down 9  ->
ack     -> 0x37

"#]]
    );
}

#[test]
fn the_mask_holds_a_request_back() {
    assert_data_eq!(
        script("21=20, up 5, 20?, 21?, 21=0, ack"),
        str![[r#"
21=20   ->
up 5    ->
20?     -> 20
21?     -> 20
21=0    -> INT
ack     -> 0x35

"#]]
    );
}

#[test]
fn the_secondary_chip_needs_two_ends() {
    assert_data_eq!(
        script("up c, up a, ack, 20=b, a0=b, 20?, a0?, a0=20, 20=20, ack, a0=20, 20=20"),
        str![[r#"
up c    -> INT
up a    -> INT
ack     -> 0x3a
20=b    ->
a0=b    ->
20?     -> 04
a0?     -> 04
a0=20   ->
20=20   -> INT
ack     -> 0x3c
a0=20   ->
20=20   ->

"#]]
    );
}

#[test]
fn special_fully_nested_mode_lets_a_higher_secondary_request_through() {
    assert_data_eq!(
        script("up c, ack, up a, a0?"),
        str![[r#"
up c    -> INT
ack     -> 0x3c
up a    ->
a0?     -> 04

"#]]
    );
    assert_data_eq!(
        script("20=11, 21=30, 21=4, 21=11, up c, ack, up a, ack"),
        str![[r#"
20=11   ->
21=30   ->
21=4    ->
21=11   ->
up c    -> INT
ack     -> 0x3c
up a    -> INT
ack     -> 0x3a

"#]]
    );
}

#[test]
fn rotation_makes_the_ended_input_the_lowest() {
    assert_data_eq!(
        script(
            "up 3, ack, 20=a0, down 3, up 3, up 4, ack, 20=20, 20=c6, up 6, up 7, ack, 20=67, ack, 20=e3"
        ),
        str![[r#"
up 3    -> INT
ack     -> 0x33
20=a0   ->
down 3  ->
up 3    -> INT
up 4    -> INT
ack     -> 0x34
20=20   -> INT
20=c6   -> INT
up 6    -> INT
up 7    -> INT
ack     -> 0x37
20=67   -> INT
ack     -> 0x33
20=e3   -> INT

"#]]
    );
}

#[test]
fn automatic_end_keeps_nothing_in_service() {
    assert_data_eq!(
        script(
            "20=11, 21=30, 21=4, 21=3, up 5, ack, 20=b, 20?, 20=80, down 5, up 5, ack, down 5, up 5, up 6, ack"
        ),
        str![[r#"
20=11   ->
21=30   ->
21=4    ->
21=3    ->
up 5    -> INT
ack     -> 0x35
20=b    ->
20?     -> 00
20=80   ->
down 5  ->
up 5    -> INT
ack     -> 0x35
down 5  ->
up 5    -> INT
up 6    -> INT
ack     -> 0x36 INT

"#]]
    );
}

#[test]
fn special_mask_mode_lets_lower_requests_through() {
    assert_data_eq!(
        script("up 3, ack, up 5, 21=8, 20=68, ack, 20=20, 20=20, 20=b, 20?, 20=63, 20?, 20=48"),
        str![[r#"
up 3    -> INT
ack     -> 0x33
up 5    ->
21=8    ->
20=68   -> INT
ack     -> 0x35
20=20   ->
20=20   ->
20=b    ->
20?     -> 08
20=63   ->
20?     -> 00
20=48   ->

"#]]
    );
}

#[test]
fn a_poll_acknowledges() {
    assert_data_eq!(
        script("20=c, 20?, up 5, 20=c, 21?, 21?, 20=b, 20?"),
        str![[r#"
20=c    ->
20?     -> 00
up 5    -> INT
20=c    -> INT
21?     -> 85
21?     -> 00
20=b    ->
20?     -> 20

"#]]
    );
}

#[test]
fn initialisation_forgets_edges_and_mask_but_not_levels() {
    assert_data_eq!(
        script("4d0=40, 21=ff, up 5, up 6, 20=11, 20?, 21=50, 21=4, 21=1, 21?, ack"),
        str![[r#"
4d0=40  ->
21=ff   ->
up 5    ->
up 6    ->
20=11   -> INT
20?     -> 40 INT
21=50   -> INT
21=4    -> INT
21=1    -> INT
21?     -> 00 INT
ack     -> 0x56

"#]]
    );
}

#[test]
fn initialisation_words_may_be_fewer() {
    // Single, no fourth word: the second word ends it.
    assert_data_eq!(
        script(
            "20=12, 21=57, 21=aa, 21?, 20=13, 21=58, 21=3, 21=bb, 21?, 20=10, 21=60, 21=4, 21=cc, 21?"
        ),
        str![[r#"
20=12   ->
21=57   ->
21=aa   ->
21?     -> aa
20=13   ->
21=58   ->
21=3    ->
21=bb   ->
21?     -> bb
20=10   ->
21=60   ->
21=4    ->
21=cc   ->
21?     -> cc

"#]]
    );
}

#[test]
fn a_change_of_the_trigger_makes_no_edge_and_forgets_one() {
    assert_data_eq!(
        script("up 5, 4d0=20, 4d0=0, down 5, 4d0=20, up 5, 4d0=0"),
        str![[r#"
up 5    -> INT
4d0=20  -> INT
4d0=0   ->
down 5  ->
4d0=20  ->
up 5    -> INT
4d0=0   ->

"#]]
    );
}

#[test]
fn the_vector_base_has_five_bits() {
    assert_data_eq!(
        script("20=11, 21=57, 21=4, 21=1, up 1, ack"),
        str![[r#"
20=11   ->
21=57   ->
21=4    ->
21=1    ->
up 1    -> INT
ack     -> 0x51

"#]]
    );
}

#[test]
fn rotation_at_automatic_ends_can_be_switched_off() {
    assert_data_eq!(
        script("20=13, 21=30, 21=3, 20=80, 20=0, up 5, ack, down 5, up 5, up 6, ack"),
        str![[r#"
20=13   ->
21=30   ->
21=3    ->
20=80   ->
20=0    ->
up 5    -> INT
ack     -> 0x35
down 5  ->
up 5    -> INT
up 6    -> INT
ack     -> 0x35 INT

"#]]
    );
}

#[test]
fn a_second_request_of_the_secondary_chip_is_another_edge() {
    assert_data_eq!(
        script("a0=11, a1=38, a1=2, a1=3, up 8, up 9, ack, 20=20, ack, 20=20"),
        str![[r#"
a0=11   ->
a1=38   ->
a1=2    ->
a1=3    ->
up 8    -> INT
up 9    -> INT
ack     -> 0x38
20=20   -> INT
ack     -> 0x39
20=20   ->

"#]]
    );
}

#[test]
fn not_every_line_can_be_level_triggered() {
    assert_data_eq!(
        script("4d0=ff, 4d0?, 4d1=ff, 4d1?"),
        str![[r#"
4d0=ff  ->
4d0?    -> f8
4d1=ff  ->
4d1?    -> de

"#]]
    );
}

#[test]
fn other_ports_and_lines_are_not_ours() {
    let mut pair = Pic8259::new();
    for number in [0x1F, 0x22, 0x9F, 0xA2, 0x4CF, 0x4D2, 0, 0xFFFF] {
        assert_eq!(pair.read(number, Width::U8), None);
        assert_eq!(pair.write(number, Width::U8, 0), None);
    }
    for line in [2, 16, 255] {
        pair.drive(line, Level::High);
    }
    assert_eq!(pair, Pic8259::new());
    assert_eq!(
        pair.read(0x21, Width::U16),
        Some(0xFFFF),
        "the second port is nobody's"
    );
    assert_eq!(pair.write(0x20, Width::U16, 0xAA00 | 0x20), Some(()));
    assert_eq!(pair.read(0x21, Width::U8), Some(0xAA));
}

#[derive(Clone, Debug)]
enum Step {
    Drive(u8, bool),
    Write(u16, u8),
    Read(u16),
    Acknowledge,
}

const PORTS: [u16; 6] = [0x20, 0x21, 0xA0, 0xA1, 0x4D0, 0x4D1];

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u8..17, any::<bool>()).prop_map(|(line, high)| Step::Drive(line, high)),
        3 => (prop::sample::select(&PORTS), any::<u8>()).prop_map(|(port, value)| Step::Write(port, value)),
        2 => prop::sample::select(&PORTS).prop_map(Step::Read),
        2 => Just(Step::Acknowledge),
    ]
}

fn run(pair: &mut Pic8259, step: &Step) -> Option<u64> {
    match *step {
        Step::Drive(line, high) => {
            pair.drive(line, if high { Level::High } else { Level::Low });
            None
        }
        Step::Write(port, value) => pair.write(port, Width::U8, value.into()).map(|()| 0),
        Step::Read(port) => pair.read(port, Width::U8),
        Step::Acknowledge => Some(pair.acknowledge().0.into()),
    }
}

proptest! {
    #[test]
    fn any_script_keeps_the_invariants(
        set_up: bool,
        steps in prop::collection::vec(step(), 0..80),
    ) {
        let mut pair = Pic8259::new();
        for word in SETUP.split(' ').filter(|_| set_up) {
            let _ = apply(&mut pair, word);
        }
        for step in &steps {
            let mut copy = pair.clone();
            prop_assert_eq!(run(&mut pair, step), run(&mut copy, step));
            prop_assert_eq!(&pair, &copy);
            let mut settled = pair.clone();
            settled.update_cascade();
            prop_assert_eq!(&pair, &settled, "the cascade is as the secondary chip says");
        }
        for line in 0..16 {
            pair.drive(line, Level::Low);
        }
        pair.reset();
        prop_assert_eq!(pair, Pic8259::new());
    }

    /// Every line that is high at the start is taken once, in order of priority.
    #[test]
    fn nothing_is_lost(lines: Vec<bool>) {
        let mut pair = Pic8259::new();
        for word in SETUP.split(' ') {
            let _ = apply(&mut pair, word);
        }
        let mut expected: Vec<u8> = (0..16u8)
            .zip(&lines)
            .filter(|&(line, &high)| high && line != 2)
            .map(|(line, _)| line)
            .collect();
        for &line in &expected {
            pair.drive(line, Level::High);
        }
        let mut taken = Vec::new();
        while pair.output() == Level::High {
            let line = pair.acknowledge().0 - 0x30;
            taken.push(line);
            if line >= 8 {
                let _ = pair.write(0xA0, Width::U8, 0x20);
            }
            let _ = pair.write(0x20, Width::U8, 0x20);
        }
        // The secondary chip's eight lines come between lines 1 and 3.
        expected.sort_by_key(|&line| if (3..8).contains(&line) { 16 + line } else { line });
        prop_assert_eq!(taken, expected);
    }
}
