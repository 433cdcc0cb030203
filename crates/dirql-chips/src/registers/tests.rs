use alloc::format;
use alloc::string::String;

use snapbox::{assert_data_eq, str};

use super::*;

const DEVICE: &str = "register status at=0x0 reset=0x80 read_only=0x80 clear_by_one=0xf;
    register mask at=0x4; register command at=0x8 width=1; register data at=0x9 width=1 reset=7 clear_by_read=3;
    on write command bits=0x1 after=100 set status=0x1;
    on write command bits=0x2 set status=0x2 clear status=0x1;
    on read data set mask=0x10;
    interrupt status=0xf enable=mask";

/// `r OFFSET WIDTH`, `w OFFSET WIDTH VALUE`, `t TOKEN`: what it gives and what leaves it.
fn script(description: &str, lines: &str) -> String {
    let mut device = Registers::new(description.parse().expect("a description"));
    let mut text = String::new();
    for line in lines.split(';').map(str::trim) {
        let mut out = Effects::new();
        let words: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| u64::from_str_radix(words[at], 16).expect("a number");
        let width = |at| Width::from_bytes(number(at)).expect("a width");
        text += line;
        match words[0] {
            "r" => {
                let value = device.read(Region(0), number(1), width(2), &mut out);
                text += &format!(" -> {value:#x}");
            }
            "w" => device.write(Region(0), number(1), width(2), number(3), &mut out),
            "t" => device.timer(number(1) as u32, &mut out),
            _ => device.reset(&mut out),
        }
        for effect in out {
            text += &match effect {
                Effect::Interrupt { source, level } => format!(" {source}:{level:?}"),
                Effect::Timer { after_100ns, token } => format!(" timer {token} in {after_100ns}"),
                effect => format!(" {effect:?}"),
            };
        }
        text += "\n";
    }
    text
}

#[test]
fn bits_behave_as_described() {
    assert_data_eq!(
        script(
            DEVICE,
            "r 0 4; w 0 4 ffffff70; r 0 4; w 4 4 1; w 8 1 1; t 0; r 0 4; w 0 4 1; r 0 4; r 9 1; r 9 1; r 4 4"
        ),
        str![[r#"
r 0 4 -> 0x80
w 0 4 ffffff70
r 0 4 -> 0xfffffff0
w 4 4 1
w 8 1 1 timer 0 in 100
t 0 0:High
r 0 4 -> 0xfffffff1
w 0 4 1 0:Low
r 0 4 -> 0x80
r 9 1 -> 0x7
r 9 1 -> 0x4
r 4 4 -> 0x11

"#]]
    );
}

#[test]
fn a_source_is_asserted_only_while_it_is_enabled() {
    assert_data_eq!(
        script(DEVICE, "w 8 1 2; w 4 4 2; w 4 4 0; w 4 4 2; reset; r 0 4"),
        str![[r#"
w 8 1 2
w 4 4 2 0:High
w 4 4 0 0:Low
w 4 4 2 0:High
reset 0:Low
r 0 4 -> 0x80

"#]]
    );
}

#[test]
fn where_nothing_is_described_ones_are_read() {
    assert_data_eq!(
        script(DEVICE, "r 0 2; r 2 2; w c 4 5; r c 4"),
        str![[r#"
r 0 2 -> 0xffff
r 2 2 -> 0xffff
w c 4 5
r c 4 -> 0xffffffff

"#]]
    );
}

#[test]
fn what_is_wrong_with_a_description_is_said() {
    let wrong = |text: &str| match text.parse::<Layout>() {
        Ok(_) => "fine\n".into(),
        Err(error) => format!("{error}\n"),
    };
    let texts = [
        "",
        "registre a",
        "register",
        "register a at=0x",
        "register a width=3",
        "register a; register a at=8",
        "register a; register b at=2",
        "register a; on write b set a=1",
        "register a; on read a bits=1 set a=1",
        "register a; on write a",
        "register a; interrupt a",
        "register a; interrupt a=1 enable=b",
        "interrupt a=1; register a",
    ];
    let all: String = texts.iter().map(|text| wrong(text)).collect();
    assert_data_eq!(
        all,
        str![[r#"
fine
`registre a` is no statement about registers; one begins with register, on or interrupt
`register` ends too early
`at=0x` means nothing here, or its value is none
`width=3` means nothing here, or its value is none
the register `a` is there twice, or where another one is
the register `b` is there twice, or where another one is
no register is called `b`
`bits=1` means nothing here, or its value is none
`on write a` ends too early
`a` means nothing here, or its value is none
no register is called `b`
fine

"#]]
    );
}
