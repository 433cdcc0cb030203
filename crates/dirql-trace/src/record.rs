//! Events in words: what a trace file says, and what is read from one.
//!
//! Addresses are strings, because a JSON number has 53 bits, and because they are names where
//! somebody knows them.
#![expect(
    missing_docs,
    reason = "each field is described where the event is, in dirql_kernel::Event"
)]

use std::borrow::Cow;

use dirql_kernel::Event;
use dirql_kernel::ke::{Choice, ClockAction};
use dirql_rules::{Finding, Place};
use serde::{Deserialize, Serialize};

use crate::names::{Names, Shown, ShownCall, context};
use crate::text::level_name;

type Text<'a> = Cow<'a, str>;

/// The fields of an event, with its kind in `event`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Record<'a> {
    Landmark {
        text: Text<'a>,
    },
    DdiEnter {
        name: Text<'a>,
        caller: String,
    },
    DdiLeave {
        name: Text<'a>,
        result: String,
    },
    Irql {
        from: u8,
        to: u8,
    },
    Line {
        line: u32,
        level: Text<'a>,
    },
    LineMasked {
        line: u32,
        masked: bool,
    },
    EntryMasked {
        device: u32,
        entry: u32,
        masked: bool,
    },
    Message {
        address: String,
        data: u32,
    },
    Pending {
        target: u16,
        vector: u8,
    },
    Delivered {
        vector: u8,
    },
    EndOfInterrupt {
        vector: u8,
    },
    IsrEnter {
        vector: u8,
        object: String,
        routine: String,
    },
    IsrLeave {
        vector: u8,
        claimed: bool,
    },
    DpcQueued {
        dpc: String,
        target: u16,
    },
    DpcEnter {
        dpc: String,
        routine: String,
    },
    DpcLeave {
        dpc: String,
    },
    LockWanted {
        lock: String,
    },
    LockTaken {
        lock: String,
    },
    LockReleased {
        lock: String,
    },
    ThreadSwitch {
        thread: Option<u32>,
    },
    ThreadBegin {
        thread: u32,
    },
    ThreadEnd {
        thread: u32,
    },
    /// The schedule has a switch here.
    Switch {
        /// What happens: `processor`, `other_thread`, `arrival` or `delay`.
        choice: Text<'a>,
        /// The processor that goes on, or that the vector arrives at.
        target: Option<u16>,
        /// The vector that arrives.
        vector: Option<u8>,
        /// The delay that is over.
        delay: Option<String>,
        options: u16,
        /// Where driver code waits for it.
        at: Option<String>,
    },
    DelayOver {
        delay: String,
    },
    WaitBegin {
        object: String,
    },
    WaitEnd {
        status: String,
    },
    RoutineEnter {
        kind: Text<'a>,
        routine: String,
    },
    RoutineLeave {
        kind: Text<'a>,
        result: String,
    },
    DeviceRead {
        address: String,
        port: bool,
        bytes: u64,
        value: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<String>,
    },
    DeviceWrite {
        address: String,
        port: bool,
        bytes: u64,
        value: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<String>,
    },
    Connection {
        object: String,
        vector: u8,
        connected: bool,
    },
    DebugPrint {
        text: Text<'a>,
    },
    Finding {
        rule: String,
        message: Text<'a>,
        /// Absent in traces of older versions.
        #[serde(default)]
        place: Option<PlaceRecord>,
        #[serde(default)]
        earlier: Option<PlaceRecord>,
    },
    BugCheck {
        text: Text<'a>,
        place: PlaceRecord,
    },
}

/// One of the places of a finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaceRecord {
    /// What happened there; of the earlier place only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub what: Option<String>,
    pub step: u64,
    pub processor: u16,
    pub irql: u8,
    pub context: String,
    /// The export that was called.
    pub ddi: Option<String>,
    /// The driver's code.
    pub at: Option<String>,
}

impl PlaceRecord {
    fn new(place: &Place, what: Option<&str>, names: &dyn Names) -> Self {
        let at = if place.ddi.is_some() {
            ShownCall(place.address, names).known()
        } else {
            Shown(place.address, names).known()
        };
        Self {
            what: what.map(Into::into),
            step: place.step,
            processor: place.processor,
            irql: place.irql,
            context: context(place.context),
            ddi: place.ddi.map(Into::into),
            at,
        }
    }
}

impl<'a> Record<'a> {
    /// An event with its addresses as `names` says them.
    pub fn new(event: &'a Event, names: &dyn Names) -> Self {
        let code = |address: u64| Shown(address, names).to_string();
        match event {
            Event::Landmark(text) => Self::Landmark { text: text.into() },
            Event::DdiEnter { name, caller } => Self::DdiEnter {
                name: (*name).into(),
                caller: ShownCall(*caller, names).to_string(),
            },
            Event::DdiLeave { name, result } => Self::DdiLeave {
                name: (*name).into(),
                result: hex(*result),
            },
            Event::Irql { from, to } => Self::Irql {
                from: from.0,
                to: to.0,
            },
            Event::Line { gsi, level } => Self::Line {
                line: *gsi,
                level: level_name(*level).into(),
            },
            Event::LineMasked { gsi, masked } => Self::LineMasked {
                line: *gsi,
                masked: *masked,
            },
            Event::EntryMasked {
                device,
                entry,
                masked,
            } => Self::EntryMasked {
                device: *device,
                entry: *entry,
                masked: *masked,
            },
            Event::Message(message) => Self::Message {
                address: hex(message.address),
                data: message.data,
            },
            Event::Pending { target, vector } => Self::Pending {
                target: *target,
                vector: vector.0,
            },
            Event::Delivered(vector) => Self::Delivered { vector: vector.0 },
            Event::EndOfInterrupt(vector) => Self::EndOfInterrupt { vector: vector.0 },
            Event::IsrEnter {
                vector,
                object,
                routine,
            } => Self::IsrEnter {
                vector: vector.0,
                object: hex(*object),
                routine: code(*routine),
            },
            Event::IsrLeave { vector, claimed } => Self::IsrLeave {
                vector: vector.0,
                claimed: *claimed,
            },
            Event::DpcQueued { dpc, target } => Self::DpcQueued {
                dpc: hex(*dpc),
                target: *target,
            },
            Event::DpcEnter { dpc, routine } => Self::DpcEnter {
                dpc: hex(*dpc),
                routine: code(*routine),
            },
            Event::DpcLeave { dpc } => Self::DpcLeave { dpc: hex(*dpc) },
            Event::LockWanted(lock) => Self::LockWanted { lock: code(*lock) },
            Event::LockTaken(lock) => Self::LockTaken { lock: code(*lock) },
            Event::LockReleased(lock) => Self::LockReleased { lock: code(*lock) },
            Event::ThreadSwitch(thread) => Self::ThreadSwitch { thread: *thread },
            Event::ThreadBegin(thread) => Self::ThreadBegin { thread: *thread },
            Event::ThreadEnd(thread) => Self::ThreadEnd { thread: *thread },
            Event::Switch {
                choice,
                options,
                address,
                after_call: true,
            } => switch(*choice, *options, ShownCall(*address, names).known()),
            Event::Switch {
                choice,
                options,
                address,
                after_call: false,
            } => switch(*choice, *options, Shown(*address, names).known()),
            Event::DelayOver(action) => Self::DelayOver {
                delay: delay(*action),
            },
            Event::WaitBegin(object) => Self::WaitBegin {
                object: hex(*object),
            },
            Event::WaitEnd(status) => Self::WaitEnd {
                status: status.to_string(),
            },
            Event::RoutineEnter { kind, routine } => Self::RoutineEnter {
                kind: (*kind).into(),
                routine: code(*routine),
            },
            Event::RoutineLeave { kind, result } => Self::RoutineLeave {
                kind: (*kind).into(),
                result: hex(*result),
            },
            Event::DeviceRead {
                address,
                port,
                width,
                value,
                instruction,
            } => Self::DeviceRead {
                address: hex(*address),
                port: *port,
                bytes: width.bytes(),
                value: hex(*value),
                at: Shown(*instruction, names).known(),
            },
            Event::DeviceWrite {
                address,
                port,
                width,
                value,
                instruction,
            } => Self::DeviceWrite {
                address: hex(*address),
                port: *port,
                bytes: width.bytes(),
                value: hex(*value),
                at: Shown(*instruction, names).known(),
            },
            Event::Connection {
                object,
                vector,
                connected,
            } => Self::Connection {
                object: hex(*object),
                vector: vector.0,
                connected: *connected,
            },
            Event::DebugPrint(text) => Self::DebugPrint { text: text.into() },
            Event::Finding(finding) => found(finding, names),
            Event::BugCheck { text, place } => Self::BugCheck {
                text: text.into(),
                place: PlaceRecord::new(place, None, names),
            },
        }
    }

    /// The driver's code that the event is about, in words.
    #[must_use]
    pub fn place(&self) -> Option<&str> {
        match self {
            Self::DdiEnter { caller: at, .. }
            | Self::IsrEnter { routine: at, .. }
            | Self::DpcEnter { routine: at, .. }
            | Self::RoutineEnter { routine: at, .. }
            | Self::Switch { at: Some(at), .. }
            | Self::DeviceRead { at: Some(at), .. }
            | Self::DeviceWrite { at: Some(at), .. } => Some(at),
            Self::Finding {
                place: Some(place), ..
            }
            | Self::BugCheck { place, .. } => place.at.as_deref(),
            _ => None,
        }
    }
}

fn found<'a>(finding: &'a Finding, names: &dyn Names) -> Record<'a> {
    Record::Finding {
        rule: finding.rule.to_string(),
        message: (&*finding.message).into(),
        place: Some(PlaceRecord::new(&finding.place, None, names)),
        earlier: finding
            .earlier
            .as_ref()
            .map(|(what, place)| PlaceRecord::new(place, Some(what), names)),
    }
}

fn switch<'a>(choice: Choice, options: u16, at: Option<String>) -> Record<'a> {
    let (mut target, mut vector_of, mut delay_of) = (None, None, None);
    let choice = match choice {
        Choice::Processor(processor) => {
            target = Some(processor.0);
            "processor"
        }
        Choice::OtherThread(processor) => {
            target = Some(processor.0);
            "other_thread"
        }
        Choice::Arrival { processor, vector } => {
            target = Some(processor.0);
            vector_of = Some(vector.0);
            "arrival"
        }
        Choice::Delay(action) => {
            delay_of = Some(delay(action));
            "delay"
        }
    };
    Record::Switch {
        choice: choice.into(),
        target,
        vector: vector_of,
        delay: delay_of,
        options,
        at,
    }
}

/// A delay in words.
fn delay(action: ClockAction) -> String {
    match action {
        ClockAction::WaitTimeout(thread) => format!("wait of thread {}", thread.0),
        ClockAction::Timer(timer) => format!("timer {timer:#x}"),
        ClockAction::Device { device, .. } => format!("device {device}"),
        ClockAction::IoTimers => "I/O timers".into(),
    }
}

fn hex(value: u64) -> String {
    format!("{value:#x}")
}
