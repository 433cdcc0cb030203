//! Random scripts, run on our chip and on QEMU's.
//!
//! A script's number decides what is in it, for good. `DIRQL_QEMU_SCRIPTS=N` runs N scripts per
//! chip in place of those that every run of the tests runs.

use core::fmt::{Debug, Write as _};

use super::client::{Qemu, Reply};

/// A chip of ours beside QEMU's.
pub(crate) trait Chip: Sized {
    /// Something done to a chip from outside.
    type Step: Clone + Debug;

    /// How many steps a script has.
    const STEPS: usize;

    /// A QEMU that has the chip, and what is to be watched is watched.
    fn qemu() -> Qemu;

    /// Ours after power-up, and the commands that bring QEMU's there.
    fn power_up() -> (Self, Vec<String>);

    /// Does the step on ours. Returns what it answers.
    fn run(&mut self, step: &Self::Step) -> String;

    /// What makes QEMU do the step.
    fn commands(step: &Self::Step) -> Vec<String>;

    /// What QEMU's answers, in the words of [`Chip::run`]. `self` is ours after the step, for
    /// what of it is known to differ.
    fn answer(&self, step: &Self::Step, replies: &[Reply]) -> String;

    /// Any step.
    fn any_step(&self, random: &mut Random) -> Self::Step;

    /// Whether the two are to answer alike. What is not compared is listed in [`super::known`].
    fn is_comparable(&self, step: &Self::Step) -> bool;

    /// Asks QEMU's for a whole script. A chip that works on its own has its own way.
    fn theirs(qemu: &mut Qemu, script: &[Self::Step]) -> Vec<Vec<Reply>> {
        let mut commands = Self::power_up().1;
        let begin = commands.len();
        let lengths: Vec<usize> = script
            .iter()
            .map(|step| {
                let of_step = Self::commands(step);
                let length = of_step.len();
                commands.extend(of_step);
                length
            })
            .collect();
        let replies = qemu.run(&commands);
        let mut rest = &replies[begin..];
        lengths
            .iter()
            .map(|&length| {
                let (now, later) = rest.split_at(length);
                rest = later;
                now.to_vec()
            })
            .collect()
    }
}

/// Numbers that follow from a seed: SplitMix64 (Steele, Lea and Flood, "Fast Splittable
/// Pseudorandom Number Generators", 2014, figure 17).
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// Any byte.
    pub(crate) fn byte(&mut self) -> u8 {
        self.next() as u8
    }

    /// Any 32 bits.
    pub(crate) fn word(&mut self) -> u32 {
        self.next() as u32
    }

    /// True once in `times`.
    pub(crate) fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// One of them.
    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

/// Script number `number` of the chip: steps that can be compared.
fn script<C: Chip>(number: u64) -> Vec<C::Step> {
    let mut random = Random::new(number);
    let (mut ours, _) = C::power_up();
    let mut script = Vec::with_capacity(C::STEPS);
    for _ in 0..C::STEPS {
        let step = ours.any_step(&mut random);
        if ours.is_comparable(&step) {
            ours.run(&step);
            script.push(step);
        }
    }
    script
}

/// Whether every step can be compared, which leaving others out may have changed.
fn is_comparable<C: Chip>(script: &[C::Step]) -> bool {
    let (mut ours, _) = C::power_up();
    script.iter().all(|step| {
        let comparable = ours.is_comparable(step);
        ours.run(step);
        comparable
    })
}

/// A line per step: what was done, what ours answers, and what QEMU's does if that differs.
pub(crate) fn answers<C: Chip>(qemu: &mut Qemu, script: &[C::Step]) -> String {
    let mut text = String::new();
    let (mut ours, _) = C::power_up();
    for (step, replies) in script.iter().zip(C::theirs(qemu, script)) {
        let answer = ours.run(step);
        let other = ours.answer(step, &replies);
        let _ = write!(text, "{step:?}: {answer}");
        if other != answer {
            let _ = write!(text, "; QEMU: {other} <- differs");
        }
        text.push('\n');
    }
    text
}

/// Whether every answer is the same, without the text.
fn agrees<C: Chip>(qemu: &mut Qemu, script: &[C::Step]) -> bool {
    let (mut ours, _) = C::power_up();
    let theirs = C::theirs(qemu, script);
    script
        .iter()
        .zip(theirs)
        .all(|(step, replies)| ours.run(step) == ours.answer(step, &replies))
}

/// Leaves steps out for as long as the two differ.
fn shrink<C: Chip>(qemu: &mut Qemu, mut script: Vec<C::Step>) -> Vec<C::Step> {
    let mut length = script.len() / 2;
    while length > 0 {
        let mut at = 0;
        while at < script.len() {
            let mut shorter = script.clone();
            shorter.drain(at..(at + length).min(script.len()));
            if is_comparable::<C>(&shorter) && !agrees::<C>(qemu, &shorter) {
                script = shorter;
            } else {
                at += length;
            }
        }
        length /= 2;
    }
    script
}

/// Runs scripts `0..count`, or as many as the environment says.
pub(crate) fn compare<C: Chip>(count: u64) {
    let count = match std::env::var("DIRQL_QEMU_SCRIPTS") {
        Ok(text) => text.parse().expect("DIRQL_QEMU_SCRIPTS is a number"),
        Err(_) => count,
    };
    let mut qemu = C::qemu();
    let mut steps = 0;
    for number in 0..count {
        let script = script::<C>(number);
        steps += script.len() as u64;
        if !agrees::<C>(&mut qemu, &script) {
            let shorter = shrink::<C>(&mut qemu, script);
            panic!("script {number}:\n{}", answers::<C>(&mut qemu, &shorter));
        }
    }
    // A script of which nothing could be compared would pass.
    let wanted = count * C::STEPS as u64 / 2;
    assert!(steps >= wanted, "only {steps} steps were compared");
}
