//! Selecting devices of a daisy chain.
//!
//! Sources: IEEE 1284.3-2000, "Command packet protocol (CPP)"; WDK, "Selecting and Deselecting an
//! IEEE 1284 Device"; the pages of IOCTL_INTERNAL_SELECT_DEVICE and its counterpart.

use alloc::format;

use dirql_abi::NtStatus;
use dirql_abi::parallel::command_flags::{
    PAR_END_OF_CHAIN_DEVICE, PAR_HAVE_PORT_KEEP_PORT, PAR_LEGACY_ZIP_DEVICE,
};
use dirql_abi::parallel::hardware_capabilities::PPT_1284_3_PRESENT;
use dirql_abi::parallel::{CONTROL_OFFSET, DATA_OFFSET, Parallel1284Command, STATUS_OFFSET};
use dirql_chips::parport::spec::{control, status};
use dirql_rules::{Place, ids};

use super::chip::Hardware;
use super::request::{Answer, Call};
use crate::{Ddi, DriverPtr, Kernel};

/// The most devices that get an address. Windows XP and later have 2 where Windows 2000 had 4;
/// the page of PARALLEL_1284_COMMAND has it the other way round.
const MOST_DEVICES: u32 = 2;

/// The ID of whatever is at the end of the chain.
pub(super) const END_OF_CHAIN: u8 = 4;

/// The ID of an old Zip drive.
const ZIP: u8 = 5;

/// Bytes before a command, and the lines at which devices answer.
const PACKET: [u8; 4] = [0xAA, 0x55, 0x00, 0xFF];
const PACKET_END: u8 = 0xFF;

/// Commands; those for a device have its address in the low bits.
mod cpp {
    pub(super) const ASSIGN: u8 = 0x00;
    pub(super) const SELECT: u8 = 0xE0;
    pub(super) const DESELECT: u8 = 0x30;
}

/// A PARALLEL_1284_COMMAND.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Command {
    id: u8,
    flags: u32,
}

/// What a command asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Device(u8),
    EndOfChain,
    Zip,
    Nothing,
}

impl Command {
    pub(super) const END_OF_CHAIN: Self = Self {
        id: END_OF_CHAIN,
        flags: PAR_END_OF_CHAIN_DEVICE,
    };

    /// That device, for somebody who has the port.
    pub(super) const fn keeping(id: u8) -> Self {
        Self {
            id,
            flags: PAR_HAVE_PORT_KEEP_PORT,
        }
    }

    pub(super) const fn of(command: Parallel1284Command) -> Self {
        Self {
            id: command.id,
            flags: command.command_flags,
        }
    }

    /// The caller has the port and keeps it.
    pub(super) const fn keeps_port(self) -> bool {
        self.flags & PAR_HAVE_PORT_KEEP_PORT != 0
    }

    /// "Greater than the number of daisy-chain devices" is no device; the one that is equal is
    /// the end of the chain.
    fn wanted(self, devices: u32) -> Wanted {
        if self.flags & PAR_LEGACY_ZIP_DEVICE != 0 || self.id == ZIP {
            return Wanted::Zip;
        }
        if self.flags & PAR_END_OF_CHAIN_DEVICE != 0
            || self.id == END_OF_CHAIN
            || u32::from(self.id) == devices
        {
            return Wanted::EndOfChain;
        }
        if u32::from(self.id) < devices {
            return Wanted::Device(self.id);
        }
        Wanted::Nothing
    }
}

impl Kernel {
    fn command_at(&self, address: u64) -> Ddi<Command> {
        let command = self.read(DriverPtr::<Parallel1284Command>::new(address))?;
        Ok(Command::of(command))
    }

    /// `IOCTL_INTERNAL_SELECT_DEVICE`: as an allocation, and then the selection.
    ///
    /// - Returns: STATUS_INVALID_PARAMETER for an ID that no device has; STATUS_UNSUCCESSFUL if
    ///   the device does not answer, and the port is free again then.
    /// - Findings: DQ0475 the port is to be kept and nobody has it.
    pub(super) fn port_select(&self, call: &Call) -> Ddi<Answer> {
        let command = self.command_at(call.buffer)?;
        if !self.is_a_device(call.context, command)? {
            return Ok(Answer::failed(NtStatus::INVALID_PARAMETER));
        }
        if command.keeps_port() {
            self.expect_owned(call)?;
            let status = self.select_device(call.context, command)?;
            return Ok(Answer::Done(status, 0));
        }
        match self.take_port_or_wait(call, Some(command))? {
            Answer::SUCCESS => {}
            other => return Ok(other),
        }
        let status = self.select_device(call.context, command)?;
        if !status.is_success() {
            self.free_port(call.context, &call.place)?;
        }
        Ok(Answer::Done(status, 0))
    }

    /// `IOCTL_INTERNAL_DESELECT_DEVICE`: the deselection, and the port is freed unless the
    /// caller keeps it.
    pub(super) fn port_deselect(&self, call: &Call) -> Ddi<Answer> {
        let command = self.command_at(call.buffer)?;
        if !self.is_a_device(call.context, command)? {
            return Ok(Answer::failed(NtStatus::INVALID_PARAMETER));
        }
        let status = self.deselect_device(call.context, command)?;
        if !command.keeps_port() {
            self.free_port(call.context, &call.place)?;
        }
        Ok(Answer::Done(status, 0))
    }

    /// `IOCTL_INTERNAL_INIT_1284_3_BUS`: gives the devices of the chain their addresses again.
    pub(super) fn port_init_bus(&self, call: &Call) -> Ddi<Answer> {
        self.find_chain(call.context)?;
        Ok(Answer::SUCCESS)
    }

    /// `NTSTATUS TrySelectDevice(PVOID Context, PVOID Command)`
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: STATUS_PENDING if the port has an owner and is not to be kept; nothing is
    ///   queued. Else as the request.
    /// - Findings: DQ0470 called above DISPATCH_LEVEL.
    /// - Source: WDK reference, PPARALLEL_TRY_SELECT_ROUTINE.
    ///
    /// # Errors
    /// A context that is no port's; a command that is not memory.
    pub fn parport_try_select(&self, context: u64, command: u64) -> Ddi<NtStatus> {
        self.expect_low_level("TrySelectDevice")?;
        let command = self.command_at(command)?;
        self.try_select_device(context, command)
    }

    pub(super) fn try_select_device(&self, context: u64, command: Command) -> Ddi<NtStatus> {
        if !self.is_a_device(context, command)? {
            return Ok(NtStatus::INVALID_PARAMETER);
        }
        if command.keeps_port() {
            return self.select_device(context, command);
        }
        let place = self.here();
        if !self.with_port_locked(context, |port| port.queue.try_take(place))? {
            return Ok(NtStatus::PENDING);
        }
        let status = self.select_device(context, command)?;
        if !status.is_success() {
            self.free_port(context, &self.here())?;
        }
        Ok(status)
    }

    /// `NTSTATUS DeselectDevice(PVOID Context, PVOID Command)`
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: as the request.
    /// - Findings: DQ0470 called above DISPATCH_LEVEL; DQ0471 nobody has allocated the port.
    /// - Source: WDK reference, PPARALLEL_DESELECT_ROUTINE.
    ///
    /// # Errors
    /// A context that is no port's; a command that is not memory.
    pub fn parport_deselect(&self, context: u64, command: u64) -> Ddi<NtStatus> {
        self.expect_low_level("DeselectDevice")?;
        let command = self.command_at(command)?;
        self.deselect_and_free(context, command)
    }

    pub(super) fn deselect_and_free(&self, context: u64, command: Command) -> Ddi<NtStatus> {
        if !self.is_a_device(context, command)? {
            return Ok(NtStatus::INVALID_PARAMETER);
        }
        let status = self.deselect_device(context, command)?;
        if !command.keeps_port() {
            self.free_port(context, &self.here())?;
        }
        Ok(status)
    }

    fn is_a_device(&self, context: u64, command: Command) -> Ddi<bool> {
        let devices = self.with_port(context, |port| port.chain_devices)?;
        Ok(command.wanted(devices) != Wanted::Nothing)
    }

    fn expect_owned(&self, call: &Call) -> Ddi<()> {
        let what = "a device is to be selected with PAR_HAVE_PORT_KEEP_PORT";
        self.expect_allocated(call.context, what, call.place.clone())
    }

    /// - Findings: DQ0475 nobody has allocated the port, whose lines `what` uses.
    pub(super) fn expect_allocated(&self, context: u64, what: &str, place: Place) -> Ddi<()> {
        if !self.with_port(context, |port| port.queue.is_free())? {
            return Ok(());
        }
        let port = self.port_text(context);
        let message = format!("{what} and nobody has allocated {port}");
        self.find_at(ids::PORT_NOT_OWNED, message, place, None)
    }

    /// Has the computer talk to a device, for the port's owner.
    pub(super) fn select_device(&self, context: u64, command: Command) -> Ddi<NtStatus> {
        let (hardware, selected, devices) = self.with_port(context, |port| {
            (port.hardware, port.selected, port.chain_devices)
        })?;
        let wanted = match command.wanted(devices) {
            Wanted::Device(id) => Some(id),
            Wanted::EndOfChain if selected.is_none() => return Ok(NtStatus::SUCCESS),
            Wanted::EndOfChain => None,
            // No drive of that kind can be plugged in here, so none answers.
            Wanted::Zip => return Ok(NtStatus::UNSUCCESSFUL),
            Wanted::Nothing => return Ok(NtStatus::INVALID_PARAMETER),
        };
        let byte = wanted.map_or(cpp::DESELECT, |id| cpp::SELECT | id);
        let answered = self.send_command(&hardware, byte, wanted.is_some())?;
        if !answered {
            return Ok(NtStatus::UNSUCCESSFUL);
        }
        self.with_port(context, |port| port.selected = wanted)?;
        Ok(NtStatus::SUCCESS)
    }

    /// Has the computer talk to the end of the chain.
    fn deselect_device(&self, context: u64, command: Command) -> Ddi<NtStatus> {
        let devices = self.with_port(context, |port| port.chain_devices)?;
        if command.wanted(devices) == Wanted::Zip {
            return Ok(NtStatus::UNSUCCESSFUL);
        }
        self.select_device(context, Command::END_OF_CHAIN)
    }

    /// Gives the devices of the chain addresses; how many there are is in the port then.
    pub(super) fn find_chain(&self, context: u64) -> Ddi<()> {
        let hardware = self.with_port(context, |port| port.hardware)?;
        let before = self.read_register(&hardware, CONTROL_OFFSET)?;
        let mut devices = 0;
        if self.begin_packet(&hardware)? {
            let mut is_last = false;
            while devices < MOST_DEVICES && !is_last {
                self.write_register(&hardware, DATA_OFFSET, cpp::ASSIGN | devices as u8)?;
                devices += 1;
                // The last device raises Busy before it gets its address.
                let lines = self.read_register(&hardware, STATUS_OFFSET)?;
                is_last = lines & status::NOT_BUSY == 0;
                self.strobe(&hardware)?;
            }
        }
        self.end_packet(&hardware, before)?;
        self.with_port(context, |port| {
            port.chain_devices = devices;
            port.selected = None;
            if devices == 0 {
                port.hardware.capabilities &= !PPT_1284_3_PRESENT;
            } else {
                port.hardware.capabilities |= PPT_1284_3_PRESENT;
            }
        })
    }

    /// One packet; whether nFault, while the command is strobed, is as `expected`.
    fn send_command(&self, hardware: &Hardware, command: u8, expected: bool) -> Ddi<bool> {
        let before = self.read_register(hardware, CONTROL_OFFSET)?;
        let mut answered = self.begin_packet(hardware)?;
        if answered {
            self.write_register(hardware, DATA_OFFSET, command)?;
            let lines = self.strobe(hardware)?;
            answered = (lines & status::NOT_FAULT != 0) == expected;
        }
        self.end_packet(hardware, before)?;
        Ok(answered)
    }

    /// The bytes before a command. Whether a device answers.
    fn begin_packet(&self, hardware: &Hardware) -> Ddi<bool> {
        const SEEN: u8 = status::NOT_BUSY | status::PAPER_END | status::SELECT | status::NOT_FAULT;
        const READY: u8 = status::PAPER_END | status::SELECT;
        self.write_register(hardware, CONTROL_OFFSET, control::NOT_INIT)?;
        for byte in PACKET {
            self.write_register(hardware, DATA_OFFSET, byte)?;
        }
        let first = self.read_register(hardware, STATUS_OFFSET)? & SEEN;
        self.write_register(hardware, DATA_OFFSET, 0x87)?;
        let second = self.read_register(hardware, STATUS_OFFSET)? & SEEN;
        self.write_register(hardware, DATA_OFFSET, 0x78)?;
        let third = self.read_register(hardware, STATUS_OFFSET)? & READY;
        Ok(first == SEEN && second == status::SELECT | status::NOT_FAULT && third == READY)
    }

    /// Strobes what is on the data lines; the status lines meanwhile.
    fn strobe(&self, hardware: &Hardware) -> Ddi<u8> {
        let strobed = control::NOT_INIT | control::STROBE;
        self.write_register(hardware, CONTROL_OFFSET, strobed)?;
        let lines = self.read_register(hardware, STATUS_OFFSET)?;
        self.write_register(hardware, CONTROL_OFFSET, control::NOT_INIT)?;
        Ok(lines)
    }

    fn end_packet(&self, hardware: &Hardware, control: u8) -> Ddi<()> {
        self.write_register(hardware, DATA_OFFSET, PACKET_END)?;
        self.write_register(hardware, CONTROL_OFFSET, control)
    }
}
