//! What happened, as typed events.

use alloc::string::String;

use dirql_abi::{Irql, NtStatus};
use dirql_chips::{Level, MessageWrite, Vector, Width};
use dirql_rules::{Context, Finding, Place};

use crate::ke::{Choice, ClockAction};

/// When and where an event happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// Number of yield points passed so far.
    pub step: u64,
    /// Virtual time, 100 ns units since the start of the run.
    pub time_100ns: u64,
    /// Processor index.
    pub processor: u16,
    /// IRQL of that processor, 0..=15.
    pub irql: u8,
    /// What it was running.
    pub context: Context,
}

/// One thing that happened. Addresses are virtual addresses of the simulated computer,
/// which are the same in every run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The bench passed a landmark (a scenario step).
    Landmark(String),
    /// A driver called a DDI; `caller` is the return address.
    DdiEnter {
        /// Exported name.
        name: &'static str,
        /// Return address in the driver.
        caller: u64,
    },
    /// The DDI returned.
    DdiLeave {
        /// Exported name.
        name: &'static str,
        /// What `rax` holds.
        result: u64,
    },
    /// The processor's IRQL changed.
    Irql {
        /// Before.
        from: Irql,
        /// After.
        to: Irql,
    },
    /// A device's line changed.
    Line {
        /// System-wide number of the line.
        gsi: u32,
        /// Its level now (high is asserted).
        level: Level,
    },
    /// A line's pin at the IO-APIC was masked (`true`) or unmasked.
    LineMasked {
        /// System-wide number of the line.
        gsi: u32,
        /// Which way.
        masked: bool,
    },
    /// A driver masked (`true`) or unmasked an entry of a device's MSI-X table.
    EntryMasked {
        /// Which device of the machine.
        device: u32,
        /// The entry.
        entry: u32,
        /// Which way.
        masked: bool,
    },
    /// A device sent a message.
    Message(MessageWrite),
    /// An interrupt became pending at a processor.
    Pending {
        /// Which processor.
        target: u16,
        /// Its vector.
        vector: Vector,
    },
    /// A processor took an interrupt.
    Delivered(Vector),
    /// A processor ended an interrupt.
    EndOfInterrupt(Vector),
    /// An ISR was entered.
    IsrEnter {
        /// Vector.
        vector: Vector,
        /// Address of the interrupt object.
        object: u64,
        /// Address of the routine.
        routine: u64,
    },
    /// An ISR returned.
    IsrLeave {
        /// Vector.
        vector: Vector,
        /// Whether it claimed the interrupt.
        claimed: bool,
    },
    /// A DPC was queued.
    DpcQueued {
        /// Address of the KDPC.
        dpc: u64,
        /// Its processor.
        target: u16,
    },
    /// A DPC routine was entered.
    DpcEnter {
        /// Address of the KDPC.
        dpc: u64,
        /// Address of the routine.
        routine: u64,
    },
    /// A DPC routine returned.
    DpcLeave {
        /// Address of the KDPC.
        dpc: u64,
    },
    /// A processor wants a lock that another holds.
    LockWanted(u64),
    /// A lock was taken.
    LockTaken(u64),
    /// A lock was released.
    LockReleased(u64),
    /// A processor went on with another thread (`None`: idle).
    ThreadSwitch(Option<u32>),
    /// A thread runs for the first time.
    ThreadBegin(u32),
    /// A thread has come to its end.
    ThreadEnd(u32),
    /// Something else happens than what would have happened by itself: where the schedule of the
    /// run has a switch.
    Switch {
        /// What happens.
        choice: Choice,
        /// How many things could have.
        options: u16,
        /// The driver's instruction that has to wait, or the one after the call that has; 0 if
        /// that is unknown.
        address: u64,
        /// Whether it is the one after a call.
        after_call: bool,
    },
    /// A delay is over.
    DelayOver(ClockAction),
    /// A thread began to wait on an object.
    WaitBegin(u64),
    /// The wait ended.
    WaitEnd(NtStatus),
    /// A driver's routine (not an ISR or DPC) was called by the kernel.
    RoutineEnter {
        /// What kind, for example `"DispatchPnp"`.
        kind: &'static str,
        /// Address.
        routine: u64,
    },
    /// The routine returned.
    RoutineLeave {
        /// What kind.
        kind: &'static str,
        /// What it returned.
        result: u64,
    },
    /// A driver read a device register or port.
    DeviceRead {
        /// Physical address, or port number.
        address: u64,
        /// Whether `address` is a port.
        port: bool,
        /// Width.
        width: Width,
        /// Value read.
        value: u64,
        /// The driver's instruction that did it; 0 if a routine of the kernel did.
        instruction: u64,
    },
    /// A driver wrote a device register or port.
    DeviceWrite {
        /// Physical address, or port number.
        address: u64,
        /// Whether `address` is a port.
        port: bool,
        /// Width.
        width: Width,
        /// Value written.
        value: u64,
        /// The driver's instruction that did it; 0 if a routine of the kernel did.
        instruction: u64,
    },
    /// An interrupt object was connected (`true`) or disconnected.
    Connection {
        /// Address of the interrupt object.
        object: u64,
        /// Vector.
        vector: Vector,
        /// Which way.
        connected: bool,
    },
    /// The driver printed a line.
    DebugPrint(String),
    /// A finding was recorded.
    Finding(Finding),
    /// The system stopped, which ends the run.
    BugCheck {
        /// Code and parameters in words.
        text: String,
        /// Where.
        place: Place,
    },
}

/// Whoever wants to know what happens.
pub trait EventSink {
    /// Called in order, on the thread of the run; must not call the kernel.
    fn record(&mut self, stamp: Stamp, event: &Event);
}
