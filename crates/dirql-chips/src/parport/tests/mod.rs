mod chain;
mod ecp;
mod epp;
mod host;
mod modes;
mod properties;
mod standard;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::peer::Peripheral;
use super::*;

const EVERYTHING: Features = Features {
    byte: true,
    epp: true,
    ecp: true,
    line: 7,
    trigger: Trigger::Edge,
};

fn printer() -> Peer {
    Peer::Peripheral(Peripheral::printer())
}

fn script_peer() -> Peer {
    Peer::Peripheral(Peripheral::script())
}

/// A port with the time around it.
#[derive(Clone)]
struct Bench {
    port: ParallelPort,
    now: u64,
    /// When, and which token; in the order in which they were asked for.
    timers: Vec<(u64, u32)>,
    /// What the peer put out.
    sent: Vec<u8>,
    /// Rising edges of the line.
    interrupts: usize,
    line: bool,
}

impl Bench {
    fn new(peer: Peer) -> Self {
        Self::with(EVERYTHING, peer)
    }

    fn with(features: Features, peer: Peer) -> Self {
        Self {
            port: ParallelPort::new(features, peer),
            now: 0,
            timers: Vec::new(),
            sent: Vec::new(),
            interrupts: 0,
            line: false,
        }
    }

    /// Carries effects out and says what was to be seen of them.
    fn absorb(&mut self, out: Effects) -> String {
        let mut text = String::new();
        for effect in out {
            match effect {
                Effect::Interrupt { source, level } => {
                    assert_eq!(source, 0);
                    let high = level == Level::High;
                    assert_ne!(high, self.line, "each effect is a change");
                    self.line = high;
                    self.interrupts += usize::from(high);
                    text += if high { " high" } else { " low" };
                }
                Effect::Timer { after_100ns, token } => {
                    self.timers.push((self.now + after_100ns, token));
                }
                Effect::Output(bytes) => {
                    text += &format!(" {:?}", String::from_utf8_lossy(&bytes));
                    self.sent.extend(bytes);
                }
                other => panic!("{other:?}"),
            }
        }
        text
    }

    /// Lets the next timer pass. False if there is none.
    fn tick(&mut self, text: &mut String) -> bool {
        let next = (0..self.timers.len()).min_by_key(|&index| self.timers[index].0);
        let Some(next) = next else { return false };
        let (due, token) = self.timers.remove(next);
        self.now = due;
        let mut out = Effects::new();
        self.port.timer(token, &mut out);
        *text += &self.absorb(out);
        true
    }

    /// Lets all timers pass.
    fn run(&mut self) -> String {
        let mut text = String::new();
        for _ in 0..10_000 {
            if !self.tick(&mut text) {
                return text;
            }
        }
        panic!("timers never end");
    }

    fn write_at(&mut self, region: u8, offset: u64, value: u8) -> String {
        let mut out = Effects::new();
        self.port
            .write(Region(region), offset, Width::U8, value.into(), &mut out);
        self.absorb(out)
    }

    fn read_at(&mut self, region: u8, offset: u64) -> (u8, String) {
        let mut out = Effects::new();
        let value = self.port.read(Region(region), offset, Width::U8, &mut out);
        (value as u8, self.absorb(out))
    }

    fn stimulate(&mut self, stimulus: &Stimulus) -> String {
        let mut out = Effects::new();
        let known = self.port.stimulate(stimulus, &mut out);
        let text = self.absorb(out);
        if known { text } else { text + " unknown" }
    }
}

/// Names of registers in scripts.
fn place(name: &str) -> (u8, u64) {
    match name {
        "data" => (0, 0),
        "status" => (0, 1),
        "control" => (0, 2),
        "eppa" => (0, 3),
        "epp" => (0, 4),
        "fifo" => (1, 0),
        "cfgb" => (1, 1),
        "ecr" => (1, 2),
        _ => panic!("no register {name:?}"),
    }
}

/// `register` reads, `register=value` writes, `tick` and `run` let time pass.
fn step(bench: &mut Bench, word: &str) -> String {
    match word.split_once('=') {
        Some(("receive", text)) => bench.stimulate(&Stimulus::Receive(text.as_bytes().to_vec())),
        Some((name, value)) => {
            let (region, offset) = place(name);
            let value = u8::from_str_radix(value, 16).expect("hexadecimal");
            bench.write_at(region, offset, value)
        }
        None => match word {
            "press" => bench.stimulate(&Stimulus::Press),
            "release" => bench.stimulate(&Stimulus::Release),
            "glitch" => bench.stimulate(&Stimulus::Interrupt(0)),
            "run" => bench.run(),
            "tick" => {
                let mut text = String::new();
                let before = bench.now;
                bench.tick(&mut text);
                format!(" +{}{text}", bench.now - before)
            }
            name => {
                let (region, offset) = place(name);
                let (value, text) = bench.read_at(region, offset);
                format!(" {value:02x}{text}")
            }
        },
    }
}

fn script_on(bench: &mut Bench, steps: &str) -> String {
    let mut text = String::new();
    for word in steps.split_whitespace() {
        text += &format!("{word:<12}->{}\n", step(bench, word));
    }
    text
}

fn script(peer: Peer, steps: &str) -> String {
    script_on(&mut Bench::new(peer), steps)
}
