//! What the class driver of parallel devices hands out: routines by which a client sends bytes to
//! a child's device and reads what it has, without touching the port itself.
//!
//! Forward there is compatibility mode, reverse nibble and byte mode. The port's communication mode
//! is left as it is, but for byte mode while bytes are read. What the pages leave open is in note
//! N0183.
//!
//! Sources: WDK, "Connecting to a Parallel Device", "Setting and Clearing a Communication Mode for
//! a Parallel Device", "Reading and Writing a Parallel Device"; the page of
//! IOCTL_INTERNAL_PARCLASS_CONNECT and those of the routines; ntddpar.h for the names of modes.

use alloc::format;

use dirql_abi::NtStatus;
use dirql_abi::parallel::chip_mode::ECR_BYTE_MODE;
use dirql_abi::parallel::hardware_capabilities::PPT_BYTE_PRESENT;
use dirql_abi::parallel::{ParClassInformation, Parallel1284Command};

use super::children::Child;
use super::chip::Hardware;
use super::ieee1284::{Negotiation, Reverse};
use super::request::{Answer, Call};
use super::select::Command;
use crate::{Ddi, DriverPtr, Kernel};

/// Bits of the masks of modes, as in ntddpar.h.
mod mode {
    pub(super) const CENTRONICS: u16 = 0x0001;
    pub(super) const IEEE_COMPATIBILITY: u16 = 0x0002;
    pub(super) const NIBBLE: u16 = 0x0004;
    pub(super) const BYTE_BIDIR: u16 = 0x0010;
}

/// What of the masks is compatibility mode.
const FORWARD: u16 = mode::CENTRONICS | mode::IEEE_COMPATIBILITY;

/// SAFE_MODE of PARALLEL_SAFETY.
const SAFE_MODE: u32 = 0;

/// What the chip can do in reverse, the fastest first, and its bit of the masks.
fn reverse_protocols(hardware: &Hardware) -> impl Iterator<Item = (Reverse, u16)> {
    let byte = (Reverse::Byte, mode::BYTE_BIDIR);
    let has_byte = hardware.can(PPT_BYTE_PRESENT);
    let nibble = (Reverse::Nibble, mode::NIBBLE);
    has_byte.then_some(byte).into_iter().chain([nibble])
}

/// How a client and a child's device talk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Talk {
    /// What was negotiated for reading; without that, nibble mode.
    reverse: Option<Reverse>,
    /// The device is in it now.
    is_reverse: bool,
}

impl Kernel {
    /// `IOCTL_INTERNAL_PARCLASS_CONNECT`: the routines, and what is known of the port.
    pub(super) fn class_connect(&self, device: u64, child: Child, call: &Call) -> Ddi<Answer> {
        let hardware = self.with_port(child.context, |port| port.hardware)?;
        let (fifo_depth, fifo_width) = hardware.fifo();
        let information = ParClassInformation {
            controller: hardware.registers.base,
            ecr_controller: hardware.extended.unwrap_or_default().base,
            span_of_controller: hardware.registers.length,
            padding20: 0,
            determine_ieee_modes: self.kernel_routine("dirql:ParclassDetermineModes"),
            negotiate_ieee_mode: self.kernel_routine("dirql:ParclassNegotiate"),
            terminate_ieee_mode: self.kernel_routine("dirql:ParclassTerminate"),
            ieee_fwd_to_rev_mode: self.kernel_routine("dirql:ParclassForwardToReverse"),
            ieee_rev_to_fwd_mode: self.kernel_routine("dirql:ParclassReverseToForward"),
            parallel_read: self.kernel_routine("dirql:ParclassRead"),
            parallel_write: self.kernel_routine("dirql:ParclassWrite"),
            parclass_context: device,
            hardware_capabilities: hardware.capabilities,
            fifo_depth,
            fifo_width,
            padding100: 0,
            parallel_tryselect: self.kernel_routine("dirql:ParclassTrySelect"),
            parallel_de_select: self.kernel_routine("dirql:ParclassDeselect"),
        };
        self.write(DriverPtr::new(call.buffer), information)?;
        let bytes = size_of::<ParClassInformation>() as u64;
        Ok(Answer::Done(NtStatus::SUCCESS, bytes))
    }

    /// `USHORT DetermineIeeeModes(PVOID Context)`
    ///
    /// Which of the modes the device has. It is asked for each, and is in compatibility mode
    /// afterwards.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL, for whoever has the port.
    /// - Findings: DQ0470 called above DISPATCH_LEVEL; DQ0475 nobody has the port.
    /// - Source: WDK reference, PDETERMINE_IEEE_MODES.
    ///
    /// # Errors
    /// A context that is no child's.
    pub fn parclass_determine_modes(&self, context: u64) -> Ddi<u16> {
        let (_, hardware) = self.class_child(context, "DetermineIeeeModes")?;
        self.to_forward(context, &hardware)?;
        let mut modes = mode::CENTRONICS;
        for (reverse, bit) in reverse_protocols(&hardware) {
            match self.negotiate(&hardware, reverse)? {
                Negotiation::Begun => {
                    self.terminate(&hardware)?;
                    modes |= mode::IEEE_COMPATIBILITY | bit;
                }
                Negotiation::Refused => modes |= mode::IEEE_COMPATIBILITY,
                Negotiation::NoAnswer => break,
            }
        }
        Ok(modes)
    }

    /// `NTSTATUS NegotiateIeeeMode(PVOID Context, USHORT ModeMaskFwd, USHORT ModeMaskRev,
    /// PARALLEL_SAFETY ModeSafety, BOOLEAN IsForward)`
    ///
    /// Chooses the fastest mode of each mask, and brings the device into one of the two.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL, for whoever has the port.
    /// - Returns: STATUS_DEVICE_PROTOCOL_ERROR if the device is in a reverse mode already;
    ///   STATUS_INVALID_PARAMETER for another safety than SAFE_MODE; STATUS_UNSUCCESSFUL if there
    ///   is nothing of a mask that is not empty, or the mask of the direction is empty.
    /// - Findings: as for `DetermineIeeeModes`.
    /// - Source: WDK reference, PNEGOTIATE_IEEE_MODE. Statuses but the first are ours.
    ///
    /// # Errors
    /// A context that is no child's.
    pub fn parclass_negotiate(
        &self,
        context: u64,
        (forward, reverse): (u16, u16),
        safety: u32,
        is_forward: u8,
    ) -> Ddi<NtStatus> {
        let (child, hardware) = self.class_child(context, "NegotiateIeeeMode")?;
        if safety != SAFE_MODE {
            return Ok(NtStatus::INVALID_PARAMETER);
        }
        if child.talk.is_reverse {
            return Ok(NtStatus::DEVICE_PROTOCOL_ERROR);
        }
        let is_reverse = is_forward == 0;
        let wants_forward = forward != 0 || !is_reverse;
        let wants_reverse = reverse != 0 || is_reverse;
        if wants_forward && forward & FORWARD == 0 {
            return Ok(NtStatus::UNSUCCESSFUL);
        }
        let chosen = self.begin_fastest(&hardware, reverse)?;
        if wants_reverse && chosen.is_none() {
            return Ok(NtStatus::UNSUCCESSFUL);
        }
        if chosen.is_some() && !is_reverse {
            self.terminate(&hardware)?;
        }
        let talk = Talk {
            reverse: chosen,
            is_reverse,
        };
        self.set_talk(context, talk);
        Ok(NtStatus::SUCCESS)
    }

    /// The fastest mode of a mask that the device takes; the device is in it then.
    fn begin_fastest(&self, hardware: &Hardware, mask: u16) -> Ddi<Option<Reverse>> {
        for (reverse, bit) in reverse_protocols(hardware) {
            if mask & bit != 0 && self.negotiate(hardware, reverse)? == Negotiation::Begun {
                return Ok(Some(reverse));
            }
        }
        Ok(None)
    }

    /// `NTSTATUS TerminateIeeeMode(PVOID Context)`: back to compatibility mode, and what was
    /// negotiated is forgotten.
    ///
    /// - IRQL, findings: as for `DetermineIeeeModes`.
    /// - Source: WDK reference, PTERMINATE_IEEE_MODE.
    ///
    /// # Errors
    /// A context that is no child's.
    pub fn parclass_terminate(&self, context: u64) -> Ddi<NtStatus> {
        let (_, hardware) = self.class_child(context, "TerminateIeeeMode")?;
        self.forget_modes(context, &hardware)?;
        Ok(NtStatus::SUCCESS)
    }

    /// `IOCTL_INTERNAL_DISCONNECT_IDLE`: as [`Kernel::parclass_terminate`].
    pub(super) fn class_disconnect_idle(
        &self,
        device: u64,
        child: Child,
        call: &Call,
    ) -> Ddi<Answer> {
        let what = "IOCTL_INTERNAL_DISCONNECT_IDLE was sent";
        self.expect_allocated(child.context, what, call.place.clone())?;
        let hardware = self.with_port(child.context, |port| port.hardware)?;
        self.forget_modes(device, &hardware)?;
        Ok(Answer::SUCCESS)
    }

    fn forget_modes(&self, device: u64, hardware: &Hardware) -> Ddi<()> {
        self.to_forward(device, hardware)?;
        self.set_talk(device, Talk::default());
        Ok(())
    }

    /// `NTSTATUS IeeeFwdToRevMode(PVOID Context)`: into the reverse mode that was negotiated.
    ///
    /// - IRQL, findings: as for `DetermineIeeeModes`.
    /// - Returns: STATUS_UNSUCCESSFUL if the device does not take the mode.
    /// - Source: WDK reference, PPARALLEL_IEEE_FWD_TO_REV.
    ///
    /// # Errors
    /// A context that is no child's.
    pub fn parclass_forward_to_reverse(&self, context: u64) -> Ddi<NtStatus> {
        let (_, hardware) = self.class_child(context, "IeeeFwdToRevMode")?;
        Ok(match self.to_reverse(context, &hardware)? {
            Some(_) => NtStatus::SUCCESS,
            None => NtStatus::UNSUCCESSFUL,
        })
    }

    /// `NTSTATUS IeeeRevToFwdMode(PVOID Context)`: back to compatibility mode.
    ///
    /// - IRQL, findings: as for `DetermineIeeeModes`.
    /// - Source: WDK reference, PPARALLEL_IEEE_REV_TO_FWD.
    ///
    /// # Errors
    /// A context that is no child's.
    pub fn parclass_reverse_to_forward(&self, context: u64) -> Ddi<NtStatus> {
        let (_, hardware) = self.class_child(context, "IeeeRevToFwdMode")?;
        self.to_forward(context, &hardware)?;
        Ok(NtStatus::SUCCESS)
    }

    /// `NTSTATUS ParallelRead(PVOID Context, PVOID Buffer, ULONG NumBytesToRead,
    /// PULONG NumBytesRead, UCHAR Channel)`
    ///
    /// Reads what the device has, up to as many bytes.
    ///
    /// - IRQL, findings: as for `DetermineIeeeModes`.
    /// - Returns: STATUS_SUCCESS, also with fewer bytes; STATUS_UNSUCCESSFUL if the device does
    ///   not take the mode.
    /// - Source: WDK reference, PPARALLEL_READ.
    ///
    /// # Errors
    /// A context that is no child's; a buffer that is not memory.
    pub fn parclass_read(
        &self,
        context: u64,
        buffer: DriverPtr<u8>,
        most: u32,
        read: DriverPtr<u32>,
    ) -> Ddi<NtStatus> {
        let (child, hardware) = self.class_child(context, "ParallelRead")?;
        self.write(read, 0)?;
        let Some(mode) = self.to_reverse(context, &hardware)? else {
            return Ok(NtStatus::UNSUCCESSFUL);
        };
        let chip_mode = self.with_port(child.context, |port| port.mode)?;
        if mode == Reverse::Byte {
            self.set_ecr(&hardware, ECR_BYTE_MODE)?;
        }
        let mut count = 0;
        while count < most
            && let Some(byte) = self.take_byte(&hardware, mode)?
        {
            self.write(buffer.element(count as usize), byte)?;
            count += 1;
        }
        if mode == Reverse::Byte {
            self.set_ecr(&hardware, chip_mode)?;
        }
        self.write(read, count)?;
        Ok(NtStatus::SUCCESS)
    }

    /// `NTSTATUS ParallelWrite(PVOID Context, PVOID Buffer, ULONG NumBytesToWrite,
    /// PULONG NumBytesWritten, UCHAR Channel)`
    ///
    /// - IRQL, findings: as for `DetermineIeeeModes`.
    /// - Returns: STATUS_DEVICE_BUSY if the device stays busy for 35 ms; what it took until then
    ///   is counted.
    /// - Source: WDK reference, PPARALLEL_WRITE.
    ///
    /// # Errors
    /// A context that is no child's; a buffer that is not memory.
    pub fn parclass_write(
        &self,
        context: u64,
        buffer: DriverPtr<u8>,
        length: u32,
        written: DriverPtr<u32>,
    ) -> Ddi<NtStatus> {
        let (_, hardware) = self.class_child(context, "ParallelWrite")?;
        self.write(written, 0)?;
        self.to_forward(context, &hardware)?;
        for count in 0..length {
            let byte = self.read(buffer.element(count as usize))?;
            if !self.strobe_byte(&hardware, byte)? {
                self.write(written, count)?;
                return Ok(NtStatus::DEVICE_BUSY);
            }
        }
        self.write(written, length)?;
        Ok(NtStatus::SUCCESS)
    }

    /// `NTSTATUS ParallelTryselect(PVOID Context, PARALLEL_1284_COMMAND Command)`: as
    /// [`Kernel::parport_try_select`], with the command itself.
    ///
    /// # Errors
    /// A context that is no child's.
    pub fn parclass_try_select(&self, context: u64, command: u64) -> Ddi<NtStatus> {
        self.expect_low_level("ParallelTryselect")?;
        let port = self.child_of(context)?.context;
        self.try_select_device(port, Command::of(by_value(command)))
    }

    /// `NTSTATUS ParallelDeSelect(PVOID Context, PARALLEL_1284_COMMAND Command)`: as
    /// [`Kernel::parport_deselect`], with the command itself.
    ///
    /// # Errors
    /// A context that is no child's.
    pub fn parclass_deselect(&self, context: u64, command: u64) -> Ddi<NtStatus> {
        self.expect_low_level("ParallelDeSelect")?;
        let port = self.child_of(context)?.context;
        self.deselect_and_free(port, Command::of(by_value(command)))
    }

    fn child_of(&self, context: u64) -> Ddi<Child> {
        self.port_child(context)
            .ok_or_else(|| self.not_a_port(context))
    }

    /// The child and its port's chip, for a routine that drives the lines.
    fn class_child(&self, context: u64, name: &str) -> Ddi<(Child, Hardware)> {
        self.expect_low_level(name)?;
        let child = self.child_of(context)?;
        let what = format!("{name} was called");
        self.expect_allocated(child.context, &what, self.here())?;
        let hardware = self.with_port(child.context, |port| port.hardware)?;
        Ok((child, hardware))
    }

    fn set_talk(&self, device: u64, talk: Talk) {
        if let Some(child) = self.parport.children.borrow_mut().get_mut(&device) {
            child.talk = talk;
        }
    }

    fn to_forward(&self, device: u64, hardware: &Hardware) -> Ddi<()> {
        let talk = self.child_of(device)?.talk;
        if talk.is_reverse {
            self.terminate(hardware)?;
            let is_reverse = false;
            self.set_talk(device, Talk { is_reverse, ..talk });
        }
        Ok(())
    }

    /// The mode in which the device is then; `None` if it does not take it.
    fn to_reverse(&self, device: u64, hardware: &Hardware) -> Ddi<Option<Reverse>> {
        let talk = self.child_of(device)?.talk;
        let mode = talk.reverse.unwrap_or(Reverse::Nibble);
        if !talk.is_reverse {
            if self.negotiate(hardware, mode)? != Negotiation::Begun {
                return Ok(None);
            }
            let is_reverse = true;
            self.set_talk(device, Talk { is_reverse, ..talk });
        }
        Ok(Some(mode))
    }
}

/// A structure of eight bytes, as Win64 passes it.
fn by_value(register: u64) -> Parallel1284Command {
    zerocopy::transmute!(register.to_le_bytes())
}
