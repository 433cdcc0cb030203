//! The parallel port with a printer: its ports, and what is printed.
//!
//! The printers of both go on when the status is read and the strobe is off, which is how QEMU's
//! counts time.

use core::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use dirql_chips::parport::peer::{Peer, Peripheral};
use dirql_chips::parport::spec::{control, register};
use dirql_chips::parport::{Features, ParallelPort};
use dirql_chips::{Device, Effect, Effects, Region, Trigger, Width};

use super::client::{Qemu, Reply, in8, out8, temporary};
use super::script::{Chip, Random};

const BASE: u16 = 0x378;
/// A printer that is selected and not in reset, and no strobe.
const READY: u8 = control::NOT_INIT | control::SELECT_IN;
/// Registers of the standard port.
const DATA: u8 = register::DATA as u8;
const STATUS: u8 = register::STATUS as u8;
const CONTROL: u8 = register::CONTROL as u8;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Data(u8),
    Control(u8),
    Read(u8),
    /// What has been printed since it was last asked for.
    Printed,
}

/// Ours.
#[derive(Clone, Debug)]
pub(crate) struct Port {
    chip: ParallelPort,
    /// The printer's next delay.
    delay: Option<u32>,
    printed: Vec<u8>,
}

/// Where QEMU's printer prints.
fn paper() -> PathBuf {
    temporary("paper")
}

impl Port {
    fn settle(&mut self, out: Effects) {
        for effect in out {
            match effect {
                Effect::Timer { token, .. } => self.delay = Some(token),
                Effect::StopTimer { token } => {
                    self.delay = self.delay.filter(|other| *other != token)
                }
                Effect::Output(bytes) => self.printed.extend(bytes),
                // QEMU's follow another rule.
                Effect::Interrupt { .. } => {}
                Effect::DmaRead { .. } | Effect::DmaWrite { .. } | Effect::Serial(_) => {
                    unreachable!("no DMA, and no serial port")
                }
            }
        }
    }

    fn write(&mut self, register: u8, value: u8) {
        let mut out = Effects::new();
        self.chip.write(
            Region(0),
            register.into(),
            Width::U8,
            value.into(),
            &mut out,
        );
        self.settle(out);
    }

    fn read(&mut self, register: u8) -> u8 {
        let mut out = Effects::new();
        let value = self
            .chip
            .read(Region(0), register.into(), Width::U8, &mut out) as u8;
        self.settle(out);
        if register == STATUS && self.peek(CONTROL) & control::STROBE == 0 {
            self.go_on();
        }
        value
    }

    fn peek(&self, register: u8) -> u8 {
        let mut out = Effects::new();
        let mut copy = self.chip.clone();
        copy.read(Region(0), register.into(), Width::U8, &mut out) as u8
    }

    /// Lets the printer's delay pass.
    pub(crate) fn go_on(&mut self) {
        if let Some(token) = self.delay.take() {
            let mut out = Effects::new();
            self.chip.timer(token, &mut out);
            self.settle(out);
        }
    }

    /// What the two printers agree on.
    fn is_usual(&self, value: u8) -> bool {
        let has = |bit: u8| value & bit != 0;
        let before = self.peek(CONTROL);
        let strobes = has(control::STROBE) && before & control::STROBE == 0;
        let holds = has(control::STROBE) && before & control::STROBE != 0;
        let selects = has(control::SELECT_IN) && has(control::NOT_INIT);
        let negotiates = has(control::AUTO_FEED) && !has(control::SELECT_IN);
        let is_working = self.delay.is_some();
        let prints = selects && !has(control::DIRECTION) && !is_working;
        !negotiates
            && (!strobes || prints)
            && (!holds || selects)
            && (has(control::NOT_INIT) || !is_working)
    }
}

impl Chip for Port {
    type Step = Step;
    const STEPS: usize = 48;

    fn qemu() -> Qemu {
        let file = format!("file,id=paper,append=on,path={}", paper().display());
        Qemu::start(&[
            "-chardev",
            &file,
            "-device",
            "isa-parallel,chardev=paper,iobase=0x378,irq=7",
        ])
        .with_file(paper())
    }

    fn power_up() -> (Self, Vec<String>) {
        let features = Features {
            byte: true,
            epp: false,
            ecp: false,
            line: 7,
            trigger: Trigger::Edge,
        };
        let mut ours = Self {
            chip: ParallelPort::new(features, Peer::Peripheral(Peripheral::printer())),
            delay: None,
            printed: Vec::new(),
        };
        let start = [(CONTROL, 0), (CONTROL, READY), (DATA, 0)];
        let commands = start.map(|(register, value)| {
            ours.write(register, value);
            out8(BASE + u16::from(register), value)
        });
        (ours, commands.into())
    }

    fn run(&mut self, step: &Step) -> String {
        match *step {
            Step::Data(value) => self.write(DATA, value),
            Step::Control(value) => self.write(CONTROL, value),
            Step::Read(register) => return byte(self.read(register)),
            Step::Printed => return hex(&core::mem::take(&mut self.printed)),
        }
        String::from("-")
    }

    fn commands(step: &Step) -> Vec<String> {
        match *step {
            Step::Data(value) => vec![out8(BASE, value)],
            Step::Control(value) => vec![out8(BASE + 2, value)],
            Step::Read(register) => vec![in8(BASE + u16::from(register))],
            Step::Printed => Vec::new(),
        }
    }

    fn answer(&self, step: &Step, replies: &[Reply]) -> String {
        match *step {
            Step::Data(_) | Step::Control(_) => String::from("-"),
            // Bits 7:6 do not exist here and are ones there.
            Step::Read(CONTROL) => byte(replies[0].number() as u8 & control::ALL),
            Step::Read(_) => byte(replies[0].number() as u8),
            Step::Printed => replies[0].value.clone(),
        }
    }

    fn any_step(&self, random: &mut Random) -> Step {
        match random.below(16) {
            0..3 => Step::Data(random.byte()),
            3..6 => Step::Control(READY | u8::from(random.once_in(2))),
            6 => Step::Control(random.byte() & 0x3F),
            7 => Step::Control(READY | random.byte() & 0x3F),
            8 if random.once_in(2) => Step::Printed,
            8..14 => Step::Read(STATUS),
            _ => Step::Read(random.below(3) as u8),
        }
    }

    fn is_comparable(&self, step: &Step) -> bool {
        match *step {
            Step::Control(value) => self.is_usual(value),
            Step::Read(STATUS) => self.peek(CONTROL) & control::NOT_INIT != 0,
            Step::Printed => self.delay.is_none(),
            Step::Data(_) | Step::Read(_) => true,
        }
    }

    /// What is printed is in a file by the time that the port's write is answered.
    fn theirs(qemu: &mut Qemu, script: &[Step]) -> Vec<Vec<Reply>> {
        qemu.run(&Self::power_up().1);
        fs::write(paper(), []).expect("a file for temporary use");
        let mut replies = Vec::with_capacity(script.len());
        for part in script.split_inclusive(|step| matches!(step, Step::Printed)) {
            let commands: Vec<String> = part.iter().flat_map(Self::commands).collect();
            replies.extend(qemu.run(&commands).into_iter().map(|reply| vec![reply]));
            if matches!(part.last(), Some(Step::Printed)) {
                let printed = fs::read(paper()).expect("QEMU's printer made it");
                fs::write(paper(), []).expect("a file for temporary use");
                replies.push(vec![Reply {
                    value: hex(&printed),
                    ..Reply::default()
                }]);
            }
        }
        replies
    }
}

fn byte(value: u8) -> String {
    format!("{value:#04x}")
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::from("printed"), |mut text, byte| {
            let _ = write!(text, " {byte:02x}");
            text
        })
}
