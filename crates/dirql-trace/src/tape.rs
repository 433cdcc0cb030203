//! Events in few bytes, in the order in which they came.
//!
//! An event is a kind and up to six numbers. What its stamp has in common with the one before is
//! left out, and numbers take as many bytes as they need: some ten bytes an event. Chunks are
//! complete in themselves, so that the oldest can be dropped.

use std::collections::VecDeque;

use dirql_abi::{Irql, NtStatus};
use dirql_chips::{Level, MessageWrite, Vector, Width};
use dirql_kernel::ke::{Choice, ClockAction, ProcessorId, ThreadId};
use dirql_kernel::{Event, Stamp};
use dirql_rules::{Context, Finding, ids};

/// Events of a chunk.
const CHUNK: usize = 4096;

/// Bytes that an event takes at most: kind, what differs, stamp, numbers.
const MOST_BYTES: usize = 2 + 5 * 10 + NUMBERS * 10;

/// Numbers that an event has at most.
const NUMBERS: usize = 6;

/// What an event is made of.
type Numbers = [u64; NUMBERS];

#[derive(Debug, Default)]
struct Chunk {
    bytes: Vec<u8>,
    events: usize,
    /// What drivers printed and scenarios said.
    texts: Vec<Box<str>>,
}

/// The last events of a run: at least so many as one has asked for, and less than a chunk more.
#[derive(Debug, Default)]
pub(crate) struct Tape {
    chunks: VecDeque<Chunk>,
    /// Events in all chunks.
    kept: usize,
    last: Stamp,
    /// Names of exports and kinds of routines.
    names: Names,
    /// Each finding is there once in a run, so these need no bound.
    findings: Vec<Finding>,
}

/// Texts of the program, which are told apart by where they are.
#[derive(Debug)]
struct Names {
    all: Vec<&'static str>,
    /// For the low bits of an address, who was there last.
    recent: Box<[u32; 256]>,
}

impl Default for Names {
    fn default() -> Self {
        Self {
            all: Vec::new(),
            recent: Box::new([0; 256]),
        }
    }
}

impl Names {
    fn number(&mut self, name: &'static str) -> u64 {
        let slot = (name.as_ptr().addr() >> 2 ^ name.len()) & 0xFF;
        let recent = self.recent[slot];
        if self
            .all
            .get(recent as usize)
            .is_some_and(|known| std::ptr::eq(*known, name))
        {
            return recent.into();
        }
        let known = self.all.iter().position(|known| *known == name);
        let number = known.unwrap_or_else(|| {
            self.all.push(name);
            self.all.len() - 1
        });
        self.recent[slot] = number as u32;
        number as u64
    }
}

impl Tape {
    /// Adds an event; of those before it at least `keep` stay, if there were so many.
    pub(crate) fn push(&mut self, stamp: Stamp, event: &Event, keep: usize) {
        if self.chunks.back().is_none_or(|last| last.events == CHUNK) {
            self.begin_chunk(keep);
        }
        let Some(chunk) = self.chunks.back_mut() else {
            return;
        };
        let (kind, numbers, count) =
            take_apart(event, &mut self.names, &mut chunk.texts, &mut self.findings);
        let bytes = &mut chunk.bytes;
        bytes.reserve(MOST_BYTES);
        let last = self.last;
        let differs = u8::from(stamp.step != last.step)
            | u8::from(stamp.time_100ns != last.time_100ns) << 1
            | u8::from(stamp.processor != last.processor) << 2
            | u8::from(stamp.irql != last.irql) << 3
            | u8::from(stamp.context != last.context) << 4;
        bytes.extend_from_slice(&[kind, differs]);
        if differs & 1 != 0 {
            put(bytes, stamp.step.wrapping_sub(last.step));
        }
        if differs & 2 != 0 {
            put(bytes, stamp.time_100ns.wrapping_sub(last.time_100ns));
        }
        if differs & 4 != 0 {
            put(bytes, stamp.processor.into());
        }
        if differs & 8 != 0 {
            bytes.push(stamp.irql);
        }
        if differs & 16 != 0 {
            put(bytes, context_number(stamp.context));
        }
        for number in &numbers[..count] {
            put(bytes, *number);
        }
        chunk.events += 1;
        self.kept += 1;
        self.last = stamp;
    }

    /// Begins a chunk, and drops the first one if what is behind it is enough.
    fn begin_chunk(&mut self, keep: usize) {
        if let Some(first) = self.chunks.front()
            && self.kept - first.events >= keep
            && let Some(first) = self.chunks.pop_front()
        {
            self.kept -= first.events;
            let mut chunk = first;
            chunk.bytes.clear();
            chunk.texts.clear();
            chunk.events = 0;
            self.chunks.push_back(chunk);
        } else {
            self.chunks.push_back(Chunk::default());
        }
        self.last = Stamp::default();
    }

    /// Events that it has.
    pub(crate) const fn len(&self) -> usize {
        self.kept
    }

    /// Forgets all events.
    pub(crate) fn clear(&mut self) {
        self.chunks.clear();
        self.kept = 0;
    }

    /// Tells the last `count` events to `each`, oldest first.
    pub(crate) fn play(&self, count: usize, mut each: impl FnMut(Stamp, Event)) {
        let mut skip = self.kept.saturating_sub(count);
        for chunk in &self.chunks {
            if skip >= chunk.events {
                skip -= chunk.events;
                continue;
            }
            let mut stamp = Stamp::default();
            let mut reader = Reader(&chunk.bytes);
            for number in 0..chunk.events {
                let event = self.read(&mut reader, &mut stamp, &chunk.texts);
                if number >= skip {
                    each(stamp, event);
                }
            }
            skip = 0;
        }
    }

    fn read(&self, reader: &mut Reader<'_>, stamp: &mut Stamp, texts: &[Box<str>]) -> Event {
        let (kind, differs) = (reader.byte(), reader.byte());
        if differs & 1 != 0 {
            stamp.step = stamp.step.wrapping_add(reader.take());
        }
        if differs & 2 != 0 {
            stamp.time_100ns = stamp.time_100ns.wrapping_add(reader.take());
        }
        if differs & 4 != 0 {
            stamp.processor = reader.take() as u16;
        }
        if differs & 8 != 0 {
            stamp.irql = reader.byte();
        }
        if differs & 16 != 0 {
            stamp.context = context_of(reader.take());
        }
        let mut take = || reader.take();
        let name = |number: u64| self.names.all.get(number as usize).copied().unwrap_or("");
        let text = |number: u64| {
            texts
                .get(number as usize)
                .map_or("", |text| text)
                .to_owned()
        };
        put_together(kind, &mut take, &name, &text, &self.findings)
    }
}

/// Puts a number into as many bytes as it needs, seven bits in each.
#[inline]
fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    fn take(&mut self) -> u64 {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte();
            number |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                break;
            }
        }
        number
    }
}

/// What runs, as a number.
pub(crate) fn context_number(context: Context) -> u64 {
    match context {
        Context::Bench => 0,
        Context::Thread(thread) => 1 | u64::from(thread) << 3,
        Context::Isr(vector) => 2 | u64::from(vector) << 3,
        Context::Dpc => 3,
        Context::CriticalSection => 4,
        Context::Idle => 5,
    }
}

fn context_of(number: u64) -> Context {
    match number & 7 {
        1 => Context::Thread((number >> 3) as u32),
        2 => Context::Isr((number >> 3) as u8),
        3 => Context::Dpc,
        4 => Context::CriticalSection,
        5 => Context::Idle,
        _ => Context::Bench,
    }
}

fn width_of(number: u64) -> Width {
    match number {
        1 => Width::U8,
        2 => Width::U16,
        4 => Width::U32,
        _ => Width::U64,
    }
}

fn action_numbers(action: ClockAction) -> [u64; 3] {
    match action {
        ClockAction::WaitTimeout(thread) => [0, thread.0.into(), 0],
        ClockAction::Timer(timer) => [1, timer, 0],
        ClockAction::Device { device, token } => [2, device.into(), token.into()],
        ClockAction::IoTimers => [3, 0, 0],
    }
}

fn action_of([kind, first, second]: [u64; 3]) -> ClockAction {
    match kind {
        0 => ClockAction::WaitTimeout(ThreadId(first as u32)),
        1 => ClockAction::Timer(first),
        2 => ClockAction::Device {
            device: first as u32,
            token: second as u32,
        },
        _ => ClockAction::IoTimers,
    }
}

/// The choice with its three numbers.
fn choice_numbers(choice: Choice) -> [u64; 4] {
    match choice {
        Choice::Processor(processor) => [0, processor.0.into(), 0, 0],
        Choice::OtherThread(processor) => [1, processor.0.into(), 0, 0],
        Choice::Arrival { processor, vector } => [2, processor.0.into(), vector.0.into(), 0],
        Choice::Delay(action) => {
            let [kind, first, second] = action_numbers(action);
            [3 + kind, first, second, 0]
        }
    }
}

fn choice_of([kind, first, second, _]: [u64; 4]) -> Choice {
    let processor = ProcessorId(first as u16);
    match kind {
        0 => Choice::Processor(processor),
        1 => Choice::OtherThread(processor),
        2 => Choice::Arrival {
            processor,
            vector: Vector(second as u8),
        },
        _ => Choice::Delay(action_of([kind - 3, first, second])),
    }
}

/// An event's kind, its numbers, and how many there are.
#[rustfmt::skip] // read as a table
fn take_apart(
    event: &Event,
    names: &mut Names,
    texts: &mut Vec<Box<str>>,
    findings: &mut Vec<Finding>,
) -> (u8, Numbers, usize) {
    let mut text = |text: &str| {
        texts.push(text.into());
        texts.len() as u64 - 1
    };
    match event {
        Event::Landmark(words) => few(0, &[text(words)]),
        Event::DdiEnter { name, caller } => few(1, &[names.number(name), *caller]),
        Event::DdiLeave { name, result } => few(2, &[names.number(name), *result]),
        Event::Irql { from, to } => few(3, &[from.0.into(), to.0.into()]),
        Event::Line { gsi, level } => few(4, &[(*gsi).into(), u64::from(*level == Level::High)]),
        Event::LineMasked { gsi, masked } => few(5, &[(*gsi).into(), (*masked).into()]),
        Event::EntryMasked { device, entry, masked } => few(6, &[(*device).into(), (*entry).into(), (*masked).into()]),
        Event::Message(message) => few(7, &[message.address, message.data.into()]),
        Event::Pending { target, vector } => few(8, &[(*target).into(), vector.0.into()]),
        Event::Delivered(vector) => few(9, &[vector.0.into()]),
        Event::EndOfInterrupt(vector) => few(10, &[vector.0.into()]),
        Event::IsrEnter { vector, object, routine } => few(11, &[vector.0.into(), *object, *routine]),
        Event::IsrLeave { vector, claimed } => few(12, &[vector.0.into(), (*claimed).into()]),
        Event::DpcQueued { dpc, target } => few(13, &[*dpc, (*target).into()]),
        Event::DpcEnter { dpc, routine } => few(14, &[*dpc, *routine]),
        Event::DpcLeave { dpc } => few(15, &[*dpc]),
        Event::LockWanted(lock) => few(16, &[*lock]),
        Event::LockTaken(lock) => few(17, &[*lock]),
        Event::LockReleased(lock) => few(18, &[*lock]),
        // 0 stands for the idle loop.
        Event::ThreadSwitch(thread) => few(19, &[thread.map_or(0, |thread| u64::from(thread) + 1)]),
        Event::ThreadBegin(thread) => few(20, &[(*thread).into()]),
        Event::ThreadEnd(thread) => few(21, &[(*thread).into()]),
        Event::Switch { choice, options, address, after_call } => {
            let [kind, first, second, _] = choice_numbers(*choice);
            let flags = u64::from(*options) << 1 | u64::from(*after_call);
            few(22, &[kind, first, second, flags, *address])
        }
        Event::DelayOver(action) => few(23, &action_numbers(*action)),
        Event::WaitBegin(object) => few(24, &[*object]),
        Event::WaitEnd(status) => few(25, &[u64::from(status.0.cast_unsigned())]),
        Event::RoutineEnter { kind, routine } => few(26, &[names.number(kind), *routine]),
        Event::RoutineLeave { kind, result } => few(27, &[names.number(kind), *result]),
        Event::DeviceRead { address, port, width, value, instruction } =>
            few(28, &[*address, (*port).into(), width.bytes(), *value, *instruction]),
        Event::DeviceWrite { address, port, width, value, instruction } =>
            few(29, &[*address, (*port).into(), width.bytes(), *value, *instruction]),
        Event::Connection { object, vector, connected } => few(30, &[*object, vector.0.into(), (*connected).into()]),
        Event::DebugPrint(words) => few(31, &[text(words)]),
        Event::Finding(finding) => {
            findings.push(finding.clone());
            few(32, &[findings.len() as u64 - 1])
        }
        // A run has at most one.
        Event::BugCheck { text: words, place } => {
            findings.push(Finding { rule: ids::BUG_CHECK, message: words.clone(), place: place.clone(), earlier: None });
            few(33, &[findings.len() as u64 - 1])
        }
    }
}

#[inline]
fn few(kind: u8, some: &[u64]) -> (u8, Numbers, usize) {
    let mut numbers = [0; NUMBERS];
    numbers[..some.len()].copy_from_slice(some);
    (kind, numbers, some.len())
}

/// The reverse: `take` gives the numbers in order.
#[rustfmt::skip] // read as a table
fn put_together(
    kind: u8,
    take: &mut dyn FnMut() -> u64,
    name: &dyn Fn(u64) -> &'static str,
    text: &dyn Fn(u64) -> String,
    findings: &[Finding],
) -> Event {
    match kind {
        0 => Event::Landmark(text(take())),
        1 => Event::DdiEnter { name: name(take()), caller: take() },
        2 => Event::DdiLeave { name: name(take()), result: take() },
        3 => Event::Irql { from: Irql(take() as u8), to: Irql(take() as u8) },
        4 => Event::Line { gsi: take() as u32, level: if take() == 0 { Level::Low } else { Level::High } },
        5 => Event::LineMasked { gsi: take() as u32, masked: take() != 0 },
        6 => Event::EntryMasked { device: take() as u32, entry: take() as u32, masked: take() != 0 },
        7 => Event::Message(MessageWrite { address: take(), data: take() as u32 }),
        8 => Event::Pending { target: take() as u16, vector: Vector(take() as u8) },
        9 => Event::Delivered(Vector(take() as u8)),
        10 => Event::EndOfInterrupt(Vector(take() as u8)),
        11 => Event::IsrEnter { vector: Vector(take() as u8), object: take(), routine: take() },
        12 => Event::IsrLeave { vector: Vector(take() as u8), claimed: take() != 0 },
        13 => Event::DpcQueued { dpc: take(), target: take() as u16 },
        14 => Event::DpcEnter { dpc: take(), routine: take() },
        15 => Event::DpcLeave { dpc: take() },
        16 => Event::LockWanted(take()),
        17 => Event::LockTaken(take()),
        18 => Event::LockReleased(take()),
        19 => Event::ThreadSwitch(take().checked_sub(1).map(|thread| thread as u32)),
        20 => Event::ThreadBegin(take() as u32),
        21 => Event::ThreadEnd(take() as u32),
        22 => {
            let choice = choice_of([take(), take(), take(), 0]);
            let flags = take();
            Event::Switch { choice, options: (flags >> 1) as u16, address: take(), after_call: flags & 1 != 0 }
        }
        23 => Event::DelayOver(action_of([take(), take(), take()])),
        24 => Event::WaitBegin(take()),
        25 => Event::WaitEnd(NtStatus((take() as u32).cast_signed())),
        26 => Event::RoutineEnter { kind: name(take()), routine: take() },
        27 => Event::RoutineLeave { kind: name(take()), result: take() },
        28 => Event::DeviceRead { address: take(), port: take() != 0, width: width_of(take()), value: take(), instruction: take() },
        29 => Event::DeviceWrite { address: take(), port: take() != 0, width: width_of(take()), value: take(), instruction: take() },
        30 => Event::Connection { object: take(), vector: Vector(take() as u8), connected: take() != 0 },
        31 => Event::DebugPrint(text(take())),
        33 => {
            let finding = findings.get(take() as usize).cloned();
            let (text, place) = finding.map_or_else(Default::default, |finding| (finding.message, finding.place));
            Event::BugCheck { text, place }
        }
        _ => {
            let number = take() as usize;
            let lost = || Event::DebugPrint(String::new());
            findings.get(number).cloned().map_or_else(lost, Event::Finding)
        }
    }
}
