//! Events as JSON has them.
//!
//! Addresses are strings, because a JSON number has 53 bits.

use dirql_kernel::Event;
use serde::Serialize;

use crate::names::{Names, Shown};
use crate::text::level_name;

/// The fields of an event, with its kind in `event`.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Record<'a> {
    Landmark {
        text: &'a str,
    },
    DdiEnter {
        name: &'a str,
        caller: String,
    },
    DdiLeave {
        name: &'a str,
        result: String,
    },
    Irql {
        from: u8,
        to: u8,
    },
    Line {
        line: u32,
        level: &'static str,
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
    WaitBegin {
        object: String,
    },
    WaitEnd {
        status: String,
    },
    RoutineEnter {
        kind: &'a str,
        routine: String,
    },
    RoutineLeave {
        kind: &'a str,
        result: String,
    },
    DeviceRead {
        address: String,
        port: bool,
        bytes: u64,
        value: String,
    },
    DeviceWrite {
        address: String,
        port: bool,
        bytes: u64,
        value: String,
    },
    Connection {
        object: String,
        vector: u8,
        connected: bool,
    },
    DebugPrint {
        text: &'a str,
    },
    Finding {
        rule: String,
        message: &'a str,
    },
}

impl<'a> Record<'a> {
    pub(crate) fn new(event: &'a Event, names: &dyn Names) -> Self {
        let code = |address: u64| Shown(address, names).to_string();
        match event {
            Event::Landmark(text) => Self::Landmark { text },
            Event::DdiEnter { name, caller } => Self::DdiEnter {
                name,
                caller: code(*caller),
            },
            Event::DdiLeave { name, result } => Self::DdiLeave {
                name,
                result: hex(*result),
            },
            Event::Irql { from, to } => Self::Irql {
                from: from.0,
                to: to.0,
            },
            Event::Line { gsi, level } => Self::Line {
                line: *gsi,
                level: level_name(*level),
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
            Event::LockWanted(lock) => Self::LockWanted { lock: hex(*lock) },
            Event::LockTaken(lock) => Self::LockTaken { lock: hex(*lock) },
            Event::LockReleased(lock) => Self::LockReleased { lock: hex(*lock) },
            Event::ThreadSwitch(thread) => Self::ThreadSwitch { thread: *thread },
            Event::WaitBegin(object) => Self::WaitBegin {
                object: hex(*object),
            },
            Event::WaitEnd(status) => Self::WaitEnd {
                status: status.to_string(),
            },
            Event::RoutineEnter { kind, routine } => Self::RoutineEnter {
                kind,
                routine: code(*routine),
            },
            Event::RoutineLeave { kind, result } => Self::RoutineLeave {
                kind,
                result: hex(*result),
            },
            Event::DeviceRead {
                address,
                port,
                width,
                value,
            } => Self::DeviceRead {
                address: hex(*address),
                port: *port,
                bytes: width.bytes(),
                value: hex(*value),
            },
            Event::DeviceWrite {
                address,
                port,
                width,
                value,
            } => Self::DeviceWrite {
                address: hex(*address),
                port: *port,
                bytes: width.bytes(),
                value: hex(*value),
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
            Event::DebugPrint(text) => Self::DebugPrint { text },
            Event::Finding(finding) => Self::Finding {
                rule: finding.rule.to_string(),
                message: &finding.message,
            },
        }
    }
}

fn hex(value: u64) -> String {
    format!("{value:#x}")
}
