//! `IoConnectInterruptEx`.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use dirql_abi::interrupt::{
    FullySpecified, IoConnectInterruptParameters, LineBased, MessageBased, connect_version,
    interrupt_mode,
};
use dirql_abi::{Irql, NtStatus};

use super::Wish;
use super::connect::Plan;
use crate::at;
use crate::failure::CONNECT_EX_FAILURES;
use crate::hal::Source;
use crate::ke::InterruptKind;
use crate::ke::interrupt::Object;
use crate::readings::Reading;
use crate::stop::Ddi;
use crate::versions::{highest_connect_version, takes_connect_version};
use crate::{DriverPtr, Kernel};

type Parameters = DriverPtr<IoConnectInterruptParameters>;

/// What versions 2, 3 and 5 say of the ISR.
#[derive(Clone, Copy, Debug)]
pub(super) struct Assigned {
    pub(super) pdo: u64,
    pub(super) result: DriverPtr<u64>,
    pub(super) routine: u64,
    pub(super) context: u64,
    pub(super) lock: u64,
    pub(super) synchronize_irql: Irql,
    /// The ISR is to be called at PASSIVE_LEVEL, whatever the levels of the interrupts are.
    pub(super) passive: bool,
}

impl Assigned {
    fn is_complete(&self) -> bool {
        self.pdo != 0 && !self.result.is_null() && self.routine != 0
    }
}

/// Why a passive-level interrupt is refused.
pub(super) const NOT_PASSIVE: &str =
    "a passive-level interrupt is connected with a spin lock or a SynchronizeIrql";

/// Why a SynchronizeIrql is refused.
pub(super) fn too_low(synchronize_irql: Irql, highest: Irql) -> String {
    format!("SynchronizeIrql is {synchronize_irql}; the interrupts' highest level is {highest}")
}

impl Kernel {
    /// `NTSTATUS IoConnectInterruptEx(PIO_CONNECT_INTERRUPT_PARAMETERS)`
    ///
    /// Connects an ISR in the way that Version says, and writes back how it did: Version and
    /// the result pointer, nothing else. The pointer is NULL after a failure for which a result
    /// was to be stored.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: STATUS_INVALID_PARAMETER_1 for an unknown Version, which becomes the highest
    ///   known one; STATUS_INVALID_PARAMETER for a NULL PDO, routine or result, a level or mode
    ///   that is none, a conflict of sharing or mode, and a passive-level ISR with a spin
    ///   lock; STATUS_INVALID_PARAMETER_10 for an empty mask; STATUS_NOT_FOUND for a device
    ///   without interrupts or a vector of no device; STATUS_INVALID_DEVICE_REQUEST for a
    ///   line-based connect of several messages; STATUS_INSUFFICIENT_RESOURCES.
    /// - Findings: as for `IoConnectInterrupt`, and DQ0522 for a PDO that is none; DQ0410 no
    ///   place for the result.
    /// - Yields: at its end. A line that is asserted already interrupts before the return.
    /// - Source: WDK reference, iointex.WdmlibIoConnectInterruptEx and
    ///   wdm.IO_CONNECT_INTERRUPT_PARAMETERS; "Using Passive-Level Interrupt Service Routines".
    pub fn io_connect_interrupt_ex(&self, parameters: Parameters) -> Ddi<NtStatus> {
        let version = self.read(at!(parameters, IoConnectInterruptParameters, version))?;
        let windows = self.config().windows;
        if !takes_connect_version(windows, version) {
            let highest = highest_connect_version(windows);
            self.write(
                at!(parameters, IoConnectInterruptParameters, version),
                highest,
            )?;
            return Ok(NtStatus::INVALID_PARAMETER_1);
        }
        if let Some(status) = self.connect_fails(CONNECT_EX_FAILURES) {
            self.fail_connect(parameters, status)?;
            return Ok(status);
        }
        match version {
            connect_version::CONNECT_LINE_BASED => self.connect_line_based(parameters),
            connect_version::CONNECT_MESSAGE_BASED => self.connect_message_based(parameters, false),
            connect_version::CONNECT_MESSAGE_BASED_PASSIVE => {
                self.connect_message_based(parameters, true)
            }
            _ => self.connect_fully_specified(parameters, version),
        }
    }

    /// What a connect that is made to fail leaves in the block: no result, or, where it does not
    /// know the Version, the one that is known everywhere.
    fn fail_connect(&self, parameters: Parameters, status: NtStatus) -> Ddi<()> {
        if status == NtStatus::INVALID_PARAMETER_1 {
            let version = at!(parameters, IoConnectInterruptParameters, version);
            return Ok(self.write(version, connect_version::CONNECT_FULLY_SPECIFIED)?);
        }
        // The member is at the same place in all of them.
        let block = Self::block::<LineBased>(parameters);
        let result = DriverPtr::<u64>::new(self.read(at!(block, LineBased, interrupt_object))?);
        if !result.is_null() {
            self.write(result, 0)?;
        }
        Ok(())
    }

    /// The address of the block that follows Version.
    fn block<T>(parameters: Parameters) -> DriverPtr<T> {
        at!(parameters, IoConnectInterruptParameters, block_words).cast()
    }

    /// Versions 1 and 4. A driver built before there were groups passes 72 bytes, so Group is
    /// read for version 4 only.
    fn connect_fully_specified(&self, parameters: Parameters, version: u32) -> Ddi<NtStatus> {
        let block = Self::block::<FullySpecified>(parameters);
        let result = DriverPtr::new(self.read(at!(block, FullySpecified, interrupt_object))?);
        let pdo = self.read(at!(block, FullySpecified, physical_device_object))?;
        self.clear_result(result)?;
        self.check_pdo(pdo)?;
        if pdo == 0 || result.is_null() {
            return Ok(NtStatus::INVALID_PARAMETER);
        }
        let group = match version {
            connect_version::CONNECT_FULLY_SPECIFIED_GROUP => {
                self.read(at!(block, FullySpecified, group))?
            }
            _ => 0,
        };
        self.check_floating_save(self.read(at!(block, FullySpecified, floating_save))?)?;
        let irql = self.read(at!(block, FullySpecified, irql))?;
        let synchronize_irql = self.read(at!(block, FullySpecified, synchronize_irql))?;
        let asks_for_passive = irql == Irql::PASSIVE && synchronize_irql == Irql::PASSIVE;
        let wish = Wish {
            routine: self.read(at!(block, FullySpecified, service_routine))?,
            context: self.read(at!(block, FullySpecified, service_context))?,
            lock: self.read(at!(block, FullySpecified, spin_lock))?,
            vector: self.read(at!(block, FullySpecified, vector))?,
            irql,
            synchronize_irql,
            mode: self.read(at!(block, FullySpecified, interrupt_mode))?,
            shared: self.read(at!(block, FullySpecified, share_vector))? != 0,
            group,
            mask: self.read(at!(block, FullySpecified, processor_enable_mask))?,
            message: None,
            passive: asks_for_passive && self.has_passive_interrupts(),
            pdo,
        };
        match self.place(&wish)? {
            Ok(place) => self.connect_one(result, wish, &place, InterruptKind::Ex(version)),
            Err(status) => Ok(status),
        }
    }

    fn connect_line_based(&self, parameters: Parameters) -> Ddi<NtStatus> {
        let block = self.read(Self::block::<LineBased>(parameters))?;
        self.check_floating_save(block.floating_save)?;
        let wanted = Assigned {
            pdo: block.physical_device_object,
            result: DriverPtr::new(block.interrupt_object),
            routine: block.service_routine,
            context: block.service_context,
            lock: block.spin_lock,
            synchronize_irql: block.synchronize_irql,
            passive: false,
        };
        self.clear_result(wanted.result)?;
        self.check_pdo(wanted.pdo)?;
        if !wanted.is_complete() {
            return Ok(NtStatus::INVALID_PARAMETER);
        }
        self.connect_lines(wanted)
    }

    /// Versions 3 and 5: the messages, and without any the line, as version 2.
    fn connect_message_based(&self, parameters: Parameters, passive: bool) -> Ddi<NtStatus> {
        let block = self.read(Self::block::<MessageBased>(parameters))?;
        self.check_floating_save(block.floating_save)?;
        let mut wanted = Assigned {
            pdo: block.physical_device_object,
            result: DriverPtr::new(block.connection_context),
            routine: block.message_service_routine,
            context: block.service_context,
            lock: block.spin_lock,
            synchronize_irql: block.synchronize_irql,
            passive,
        };
        self.clear_result(wanted.result)?;
        self.check_pdo(wanted.pdo)?;
        if !wanted.is_complete() {
            return Ok(NtStatus::INVALID_PARAMETER);
        }
        let messages = self.assigned_messages(wanted.pdo);
        if !messages.is_empty() {
            return self.connect_messages(wanted, &messages);
        }
        if block.fall_back_service_routine == 0 {
            return Ok(NtStatus::NOT_FOUND);
        }
        wanted.routine = block.fall_back_service_routine;
        let version = at!(parameters, IoConnectInterruptParameters, version);
        let asked = self.read(version)?;
        // The ISR may run before the call returns, so what it returns is stored first.
        self.write(version, connect_version::CONNECT_LINE_BASED)?;
        let status = self.connect_lines(wanted)?;
        if !status.is_success() {
            self.write(version, asked)?;
        }
        Ok(status)
    }

    /// The sources that the device of a PDO was given.
    pub(super) fn sources_of_pdo(&self, pdo: u64) -> Vec<(u32, Source)> {
        let Some(device) = self.device_of_pdo(pdo) else {
            return Vec::new();
        };
        self.sources_of(device)
            .into_iter()
            .filter_map(|number| self.source(number).map(|source| (number, source)))
            .collect()
    }

    fn assigned_messages(&self, pdo: u64) -> Vec<(u32, Source)> {
        let mut sources = self.sources_of_pdo(pdo);
        sources.retain(|(_, source)| !source.is_a_line());
        sources
    }

    /// Connects one ISR to every line of the device, with one lock and the highest level.
    ///
    /// A single message counts as a line; the page refuses several only. A nonzero
    /// SynchronizeIrql below the highest level is raised to it, as the page of the structure
    /// says; the header calls it invalid, which is a [`Reading`]. Interrupts whose highest level is PASSIVE_LEVEL have
    /// a passive-level ISR, and then there is neither a spin lock nor another level.
    fn connect_lines(&self, wanted: Assigned) -> Ddi<NtStatus> {
        let sources = self.sources_of_pdo(wanted.pdo);
        if sources
            .iter()
            .filter(|(_, source)| !source.is_a_line())
            .count()
            > 1
        {
            return Ok(NtStatus::INVALID_DEVICE_REQUEST);
        }
        let Some(highest) = sources.iter().map(|(_, source)| source.irql()).max() else {
            return Ok(NtStatus::NOT_FOUND);
        };
        if self.refuses_level(wanted.synchronize_irql, highest) {
            self.refused_connect(too_low(wanted.synchronize_irql, highest))?;
            return Ok(NtStatus::INVALID_PARAMETER);
        }
        let passive = wanted.passive || highest == Irql::PASSIVE && self.has_passive_interrupts();
        if passive && (wanted.lock != 0 || wanted.synchronize_irql != Irql::PASSIVE) {
            self.refused_connect(NOT_PASSIVE.into())?;
            return Ok(NtStatus::INVALID_PARAMETER);
        }
        let synchronize_irql = if passive {
            Irql::PASSIVE
        } else {
            highest.max(wanted.synchronize_irql)
        };
        let wanted = Assigned { passive, ..wanted };
        let id = self.ke.interrupts.new_connection_id();
        let mut objects: Vec<Object> = Vec::new();
        let mut numbers = Vec::new();
        for (number, source) in sources {
            let wish = Self::assigned_wish(&wanted, &source, synchronize_irql, None);
            let place = match self.place(&wish)? {
                Ok(place) => place,
                Err(status) => return Ok(status),
            };
            let lock = objects.first().map(|first| first.isr.lock);
            let Some(made) = self.make_objects(wish, &place, id, lock)? else {
                return Ok(NtStatus::INSUFFICIENT_RESOURCES);
            };
            objects.extend(made);
            numbers.push(number);
        }
        let Some(first) = objects.first().map(|object| object.isr.object) else {
            return Ok(NtStatus::INSUFFICIENT_RESOURCES);
        };
        let kind = InterruptKind::Ex(connect_version::CONNECT_LINE_BASED);
        let plan = Plan {
            id,
            kind,
            handle: first,
            table_bytes: 0,
            pdo: wanted.pdo,
            objects,
            sources: numbers,
        };
        self.establish(wanted.result, plan)?;
        Ok(NtStatus::SUCCESS)
    }

    /// Whether a SynchronizeIrql is one that only the header calls invalid, and that counts.
    pub(super) fn refuses_level(&self, synchronize_irql: Irql, highest: Irql) -> bool {
        let is_low = synchronize_irql != Irql::PASSIVE && synchronize_irql < highest;
        let readings = self.config().readings;
        is_low && readings.has(Reading::LowSynchronizeIrqlIsInvalid)
    }

    /// The wish for an interrupt whose properties the system knows.
    pub(super) fn assigned_wish(
        wanted: &Assigned,
        source: &Source,
        synchronize_irql: Irql,
        message: Option<u32>,
    ) -> Wish {
        Wish {
            routine: wanted.routine,
            context: wanted.context,
            lock: wanted.lock,
            vector: u32::from(source.vector.0),
            irql: if wanted.passive {
                Irql::PASSIVE
            } else {
                source.irql()
            },
            synchronize_irql,
            mode: if source.is_latched() {
                interrupt_mode::Latched
            } else {
                interrupt_mode::LevelSensitive
            },
            shared: source.shared,
            group: source.group,
            mask: source.affinity,
            message,
            passive: wanted.passive,
            pdo: wanted.pdo,
        }
    }
}
