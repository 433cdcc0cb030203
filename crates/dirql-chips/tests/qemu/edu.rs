//! The `edu` card: configuration space, registers, line and message.
//!
//! QEMU's computes factorials in a thread; its answer is waited for. Its transfers take time, which
//! stands still, so there are none.

use dirql_chips::Width;
use dirql_chips::edu::{
    Edu,
    spec::{cause, description, register, status},
};
use dirql_chips::pci::{
    Function, Output, Outputs,
    spec::{command, offset},
};

use super::client::{Qemu, Reply, read32, select_configuration, write32};
use super::script::{Chip, Random};

const SLOT: u8 = 4;
const WINDOW: u32 = 0xFEA0_0000;
/// The ISA bridge, and its register that leads the four PCI pins to lines.
const BRIDGE: (u8, u8) = (1, 0x60);
const LINE: u8 = 10;
/// A place in memory for messages, and what is there while none came.
const MESSAGES: u32 = 0x0010_0000;
const NONE: u32 = 0xFFFF_FFFF;

/// Registers of configuration space; both have their message capability at 0x40.
mod configuration {
    pub(super) const COMMAND: u8 = 0x04;
    pub(super) const CACHE_LINE: u8 = 0x0C;
    pub(super) const WINDOW: u8 = 0x10;
    pub(super) const LINE: u8 = 0x3C;
    pub(super) const MESSAGE_CONTROL: u8 = 0x40;
    pub(super) const MESSAGE_ADDRESS: u8 = 0x44;
    pub(super) const MESSAGE_UPPER_ADDRESS: u8 = 0x48;
    pub(super) const MESSAGE_DATA: u8 = 0x4C;
}

const MESSAGE_ENABLE: u32 = 1 << 16;
/// Bits of the command register that both have.
const COMMAND_BITS: u32 = (command::WRITABLE & !command::PARITY) as u32;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Write(u64, u32),
    /// Reads 4 bytes, or 8.
    Read(u64, bool),
    /// Starts a factorial and waits for it.
    Factorial(u32),
    /// Writes 32 bits of configuration space.
    Configure(u8, u32),
    Configuration(u8),
    /// Writes ones to the window's address, reads it, and puts it back.
    Size,
}

/// Ours, and its line.
#[derive(Clone, Debug)]
pub(crate) struct Card {
    function: Function,
    is_high: bool,
    /// What the last message wrote.
    message: Option<u32>,
}

/// What brings the card to a known state from any other.
fn start() -> Vec<Step> {
    use configuration as at;
    let master = u32::from(command::MEMORY | command::BUS_MASTER);
    vec![
        Step::Configure(at::MESSAGE_CONTROL, 0),
        Step::Configure(at::COMMAND, 0),
        Step::Configure(at::WINDOW, WINDOW),
        Step::Configure(at::COMMAND, master),
        Step::Configure(at::CACHE_LINE, 0),
        Step::Configure(at::LINE, 0),
        Step::Configure(at::MESSAGE_ADDRESS, MESSAGES),
        Step::Configure(at::MESSAGE_UPPER_ADDRESS, 0),
        Step::Configure(at::MESSAGE_DATA, 0),
        Step::Write(register::STATUS, 0),
        Step::Write(register::INTERRUPT_ACKNOWLEDGE, u32::MAX),
        Step::Write(register::LIVENESS, 0),
        Step::Write(register::DMA_SOURCE, 0),
        Step::Write(register::DMA_DESTINATION, 0),
        Step::Write(register::DMA_COUNT, 0),
        Step::Factorial(1),
    ]
}

fn configure(slot: u8, at: u8, value: u32) -> [String; 2] {
    [
        select_configuration(slot, at),
        format!("outl 0xcfc {value:#x}"),
    ]
}

fn configuration_of(at: u8) -> [String; 2] {
    [select_configuration(SLOT, at), String::from("inl 0xcfc")]
}

fn address(register: u64) -> u64 {
    u64::from(WINDOW) + register
}

impl Card {
    fn settle(&mut self, mut out: Outputs) {
        while !out.is_empty() {
            for output in core::mem::take(&mut out) {
                match output {
                    Output::Line { asserted } => self.is_high = asserted,
                    Output::Message { write, .. } if write.address == MESSAGES.into() => {
                        self.message = Some(write.data);
                    }
                    Output::Timer { token, .. } => self.function.timer(token, &mut out),
                    _ => {}
                }
            }
        }
    }

    fn write(&mut self, register: u64, value: u32) {
        let mut out = Outputs::new();
        self.function
            .write(0, register, Width::U32, value.into(), &mut out);
        self.settle(out);
    }

    fn read(&mut self, register: u64, width: Width) -> u64 {
        let mut out = Outputs::new();
        let value = self.function.read(0, register, width, &mut out);
        self.settle(out);
        value
    }

    fn peek(&self, register: u64) -> u32 {
        self.clone().read(register, Width::U32) as u32
    }

    fn configuration(&self, at: u8) -> u32 {
        self.function.config().read32(at.into())
    }

    fn configure(&mut self, at: u8, value: u32) {
        let mut out = Outputs::new();
        self.function
            .write_config(at.into(), Width::U32, value.into(), &mut out);
        self.settle(out);
    }

    fn is_there(&self) -> bool {
        self.function.config().read16(offset::COMMAND) & command::MEMORY != 0
    }
}

impl Chip for Card {
    type Step = Step;
    const STEPS: usize = 40;

    fn qemu() -> Qemu {
        let mut qemu = Qemu::start_with_local_apic(&["-device", "edu,addr=4"]);
        let lines = u32::from_ne_bytes([LINE; 4]);
        qemu.run(&configure(BRIDGE.0, BRIDGE.1, lines));
        qemu.ask("irq_intercept_in ioapic");
        qemu
    }

    fn power_up() -> (Self, Vec<String>) {
        let function = Function::new(Box::new(Edu::default()), description());
        let mut ours = Self {
            function: function.expect("edu can be described"),
            is_high: false,
            message: None,
        };
        for step in start() {
            ours.run(&step);
        }
        // QEMU's is brought there by `theirs`, since it has to be waited for.
        (ours, Vec::new())
    }

    fn run(&mut self, step: &Step) -> String {
        let value = match *step {
            Step::Write(register, value) => {
                self.write(register, value);
                None
            }
            Step::Read(register, false) => Some(self.read(register, Width::U32)),
            Step::Read(register, true) => Some(self.read(register, Width::U64)),
            Step::Factorial(number) => {
                self.write(register::FACTORIAL, number);
                Some(self.read(register::FACTORIAL, Width::U32))
            }
            Step::Configure(at, value) => {
                self.configure(at, value);
                None
            }
            Step::Configuration(at) => Some(self.configuration(at).into()),
            Step::Size => {
                let before = self.configuration(configuration::WINDOW);
                self.configure(configuration::WINDOW, u32::MAX);
                let size = self.configuration(configuration::WINDOW);
                self.configure(configuration::WINDOW, before);
                Some(size.into())
            }
        };
        answer(value, self.is_high, self.message.take())
    }

    fn commands(step: &Step) -> Vec<String> {
        let mut commands = match *step {
            Step::Write(register, value) => vec![write32(address(register), value)],
            Step::Read(register, false) => vec![read32(address(register))],
            Step::Read(register, true) => vec![format!("readq {:#x}", address(register))],
            Step::Factorial(_) => vec![read32(address(register::FACTORIAL))],
            Step::Configure(at, value) => configure(SLOT, at, value).into(),
            Step::Configuration(at) => configuration_of(at).into(),
            // The answer is the last but what follows.
            Step::Size => configure(SLOT, configuration::WINDOW, u32::MAX)
                .into_iter()
                .chain(configuration_of(configuration::WINDOW))
                .collect(),
        };
        commands.push(read32(MESSAGES.into()));
        commands.push(write32(MESSAGES.into(), NONE));
        if matches!(step, Step::Size) {
            commands.extend(configure(SLOT, configuration::WINDOW, WINDOW));
        }
        commands
    }

    fn answer(&self, step: &Step, replies: &[Reply]) -> String {
        let at = match step {
            Step::Size => replies.len() - 4,
            _ => replies.len() - 2,
        };
        let reads = !matches!(step, Step::Write(..) | Step::Configure(..));
        let message = replies[at].number() as u32;
        answer(
            reads.then(|| replies[at - 1].number()),
            replies[at].levels & 1 << LINE != 0,
            (message != NONE).then_some(message),
        )
    }

    fn any_step(&self, random: &mut Random) -> Step {
        use configuration as at;
        let bits = 1 << random.below(4) | random.word() & 0x0101_0101;
        match random.below(18) {
            0..3 => Step::Write(register::INTERRUPT_RAISE, bits),
            3..6 => Step::Write(register::INTERRUPT_ACKNOWLEDGE, bits | random.word()),
            6 => Step::Write(register::STATUS, random.word()),
            7 => Step::Write(register::LIVENESS, random.word()),
            8 => Step::Factorial(random.below(40) as u32),
            9 => Step::Write(
                register::DMA_SOURCE + 8 * random.below(3),
                random.word() & !1,
            ),
            10 => Step::Read(4 * random.below(0x30), false),
            11 => Step::Read(register::FIRST_WIDE + 8 * random.below(6), true),
            12 => Step::Read(register::INTERRUPT_STATUS, false),
            13 => Step::Configure(
                at::COMMAND,
                random.word() & COMMAND_BITS | u32::from(command::MEMORY),
            ),
            14 => Step::Configure(at::MESSAGE_CONTROL, random.word() & MESSAGE_ENABLE),
            15 => {
                let word = random.word();
                let (register, value) = random.pick(&[
                    (at::CACHE_LINE, word),
                    (at::LINE, word),
                    (at::MESSAGE_ADDRESS, MESSAGES | word & 3),
                    (at::MESSAGE_UPPER_ADDRESS, word & 1),
                    (at::MESSAGE_DATA, word & 0xFFFF),
                    (at::COMMAND, word & COMMAND_BITS),
                ]);
                Step::Configure(register, value)
            }
            16 => Step::Configuration(4 * random.below(0x40) as u8),
            _ => Step::Size,
        }
    }

    fn is_comparable(&self, step: &Step) -> bool {
        let interrupts = self.peek(register::INTERRUPT_STATUS);
        match *step {
            Step::Factorial(_) => {
                let waits = self.peek(register::STATUS) & status::INTERRUPT != 0;
                self.is_there() && (!waits || interrupts & cause::FACTORIAL == 0)
            }
            Step::Write(..) | Step::Read(..) => self.is_there(),
            Step::Configure(configuration::MESSAGE_CONTROL, value) => {
                let before = self.configuration(configuration::MESSAGE_CONTROL);
                (before ^ value) & MESSAGE_ENABLE == 0 || interrupts == 0
            }
            Step::Configure(..) | Step::Configuration(_) | Step::Size => true,
        }
    }

    fn theirs(qemu: &mut Qemu, script: &[Step]) -> Vec<Vec<Reply>> {
        let start = start();
        let all: Vec<&Step> = start.iter().chain(script).collect();
        let mut replies = Vec::with_capacity(all.len());
        for part in all.chunk_by(|_, next| !matches!(next, Step::Factorial(_))) {
            if let Step::Factorial(number) = part[0] {
                compute(qemu, *number);
            }
            let steps: Vec<Vec<String>> = part.iter().map(|step| Self::commands(step)).collect();
            let mut of_part = qemu.run(&steps.concat()).into_iter();
            replies.extend(
                steps
                    .iter()
                    .map(|commands| of_part.by_ref().take(commands.len()).collect::<Vec<_>>()),
            );
        }
        replies.split_off(start.len())
    }
}

/// Has QEMU's compute a factorial and waits until it is done, and until it has interrupted if it is
/// to do that.
fn compute(qemu: &mut Qemu, number: u32) {
    qemu.ask(write32(address(register::FACTORIAL), number));
    let mut read = |register| qemu.ask(read32(address(register))).number() as u32;
    let state = loop {
        let state = read(register::STATUS);
        if state & status::COMPUTING == 0 {
            break state;
        }
    };
    while state & status::INTERRUPT != 0 && read(register::INTERRUPT_STATUS) & cause::FACTORIAL == 0
    {
    }
}

fn answer(value: Option<u64>, is_high: bool, message: Option<u32>) -> String {
    let mut text = value.map_or(String::from("-"), |value| format!("{value:#x}"));
    if is_high {
        text += " INTA#";
    }
    if let Some(data) = message {
        text += &format!(" message {data:#x}");
    }
    text
}
