//! `IoConnectInterruptEx`.

use alloc::vec::Vec;

use dirql_abi::{Irql, NtStatus};
use dirql_abi::interrupt::{FullySpecified, IoConnectInterruptParameters, LineBased, MessageBased, connect_version, interrupt_mode};

use super::connect::Place;
use super::{Wish, highest_version};
use crate::at;
use crate::hal::{Source, SourceKind};
use crate::ke::InterruptKind;
use crate::stop::Ddi;
use crate::{DriverPtr, Kernel};

type Parameters = DriverPtr<IoConnectInterruptParameters>;

/// What versions 2 and 3 say of the ISR.
#[derive(Clone, Copy, Debug)]
pub(super) struct Assigned {
    pub(super) pdo: u64,
    pub(super) result: DriverPtr<u64>,
    pub(super) routine: u64,
    pub(super) context: u64,
    pub(super) lock: u64,
    pub(super) synchronize_irql: Irql,
}

impl Kernel {
    /// `NTSTATUS IoConnectInterruptEx(PIO_CONNECT_INTERRUPT_PARAMETERS)`
    ///
    /// Connects an ISR in the way that Version says, and writes back how it did: Version and
    /// the result pointer, nothing else.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: STATUS_INVALID_PARAMETER_1 for an unknown Version, which becomes the highest
    ///   known one; STATUS_INVALID_PARAMETER for a NULL PDO, routine or result;
    ///   STATUS_INVALID_PARAMETER_10 for an empty mask; STATUS_NOT_FOUND for a device without
    ///   interrupts or a vector of no device; STATUS_INVALID_DEVICE_REQUEST for a line-based
    ///   connect of several messages; STATUS_INSUFFICIENT_RESOURCES.
    /// - Findings: DQ0101, DQ0133, DQ0135.
    /// - Yields: at its end. A line that is asserted already interrupts before the return.
    /// - Source: WDK reference, iointex.WdmlibIoConnectInterruptEx and
    ///   wdm.IO_CONNECT_INTERRUPT_PARAMETERS.
    pub fn io_connect_interrupt_ex(&self, parameters: Parameters) -> Ddi<NtStatus> {
        let version = self.read(at!(parameters, IoConnectInterruptParameters, version))?;
        let highest = highest_version(self.config().windows);
        if version < connect_version::CONNECT_FULLY_SPECIFIED || version > highest {
            self.write(at!(parameters, IoConnectInterruptParameters, version), highest)?;
            return Ok(NtStatus::INVALID_PARAMETER_1);
        }
        match version {
            connect_version::CONNECT_LINE_BASED => self.connect_line_based(parameters),
            connect_version::CONNECT_MESSAGE_BASED => self.connect_message_based(parameters),
            _ => self.connect_fully_specified(parameters, version),
        }
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
        if pdo == 0 || result.is_null() {
            return Ok(NtStatus::INVALID_PARAMETER);
        }
        self.write(result, 0)?;
        let group = match version {
            connect_version::CONNECT_FULLY_SPECIFIED_GROUP => self.read(at!(block, FullySpecified, group))?,
            _ => 0,
        };
        let wish = Wish {
            routine: self.read(at!(block, FullySpecified, service_routine))?,
            context: self.read(at!(block, FullySpecified, service_context))?,
            lock: self.read(at!(block, FullySpecified, spin_lock))?,
            vector: self.read(at!(block, FullySpecified, vector))?,
            irql: self.read(at!(block, FullySpecified, irql))?,
            synchronize_irql: self.read(at!(block, FullySpecified, synchronize_irql))?,
            mode: self.read(at!(block, FullySpecified, interrupt_mode))?,
            shared: self.read(at!(block, FullySpecified, share_vector))? != 0,
            group,
            mask: self.read(at!(block, FullySpecified, processor_enable_mask))?,
            message: None,
        };
        match self.place(&wish)? {
            Ok(place) => self.connect_one(result, wish, &place, InterruptKind::Ex(version), pdo),
            Err(status) => Ok(status),
        }
    }

    fn connect_line_based(&self, parameters: Parameters) -> Ddi<NtStatus> {
        let block = self.read(Self::block::<LineBased>(parameters))?;
        let wanted = Assigned {
            pdo: block.physical_device_object,
            result: DriverPtr::new(block.interrupt_object),
            routine: block.service_routine,
            context: block.service_context,
            lock: block.spin_lock,
            synchronize_irql: block.synchronize_irql,
        };
        self.connect_lines(wanted)
    }

    fn connect_message_based(&self, parameters: Parameters) -> Ddi<NtStatus> {
        let block = self.read(Self::block::<MessageBased>(parameters))?;
        let mut wanted = Assigned {
            pdo: block.physical_device_object,
            result: DriverPtr::new(block.connection_context),
            routine: block.message_service_routine,
            context: block.service_context,
            lock: block.spin_lock,
            synchronize_irql: block.synchronize_irql,
        };
        if wanted.pdo == 0 || wanted.result.is_null() || wanted.routine == 0 {
            return Ok(NtStatus::INVALID_PARAMETER);
        }
        let messages = self.assigned_messages(wanted.pdo);
        if !messages.is_empty() {
            return self.connect_messages(wanted, &messages);
        }
        if block.fall_back_service_routine == 0 {
            self.write(wanted.result, 0)?;
            return Ok(NtStatus::NOT_FOUND);
        }
        wanted.routine = block.fall_back_service_routine;
        let version = at!(parameters, IoConnectInterruptParameters, version);
        // The ISR may run before the call returns, so what it returns is stored first.
        self.write(version, connect_version::CONNECT_LINE_BASED)?;
        let status = self.connect_lines(wanted)?;
        if !status.is_success() {
            self.write(version, connect_version::CONNECT_MESSAGE_BASED)?;
        }
        Ok(status)
    }

    /// The sources that the device of a PDO was given.
    pub(super) fn sources_of_pdo(&self, pdo: u64) -> Vec<(u32, Source)> {
        let Some(device) = self.device_of_pdo(pdo) else { return Vec::new() };
        self.sources_of(device)
            .into_iter()
            .filter_map(|number| self.source(number).map(|source| (number, source)))
            .collect()
    }

    fn assigned_messages(&self, pdo: u64) -> Vec<(u32, Source)> {
        let mut sources = self.sources_of_pdo(pdo);
        sources.retain(|(_, source)| matches!(source.kind, SourceKind::Message { .. }));
        sources
    }

    /// Connects one ISR to every line of the device, with one lock and the highest level.
    ///
    /// A single message counts as a line; the page refuses several only. A nonzero
    /// SynchronizeIrql below the highest level is raised to it, as the page of the structure
    /// says; the header calls it invalid.
    fn connect_lines(&self, wanted: Assigned) -> Ddi<NtStatus> {
        if wanted.pdo == 0 || wanted.result.is_null() || wanted.routine == 0 {
            return Ok(NtStatus::INVALID_PARAMETER);
        }
        self.write(wanted.result, 0)?;
        let sources = self.sources_of_pdo(wanted.pdo);
        let messages =
            sources.iter().filter(|(_, source)| matches!(source.kind, SourceKind::Message { .. })).count();
        if messages > 1 {
            return Ok(NtStatus::INVALID_DEVICE_REQUEST);
        }
        let Some(highest) = sources.iter().map(|(_, source)| source.irql()).max() else {
            return Ok(NtStatus::NOT_FOUND);
        };
        let synchronize_irql = highest.max(wanted.synchronize_irql);
        if synchronize_irql > Irql::HIGH {
            return Ok(NtStatus::INVALID_PARAMETER);
        }
        let id = self.ke.interrupts.new_connection_id();
        let mut objects = Vec::new();
        let mut numbers = Vec::new();
        for (number, source) in sources {
            let wish = Self::assigned_wish(&wanted, &source, synchronize_irql, None);
            let place = match self.place(&wish)? {
                Ok(place) => Place { sources: alloc::vec![number], ..place },
                Err(status) => return Ok(status),
            };
            let lock = objects.first().map(|first: &crate::ke::interrupt::Object| first.isr.lock);
            objects.extend(self.make_objects(wish, &place, id, lock)?);
            numbers.push(number);
        }
        let Some(first) = objects.first().map(|object| object.isr.object) else {
            return Ok(NtStatus::INSUFFICIENT_RESOURCES);
        };
        self.write(wanted.result, first)?;
        let kind = InterruptKind::Ex(connect_version::CONNECT_LINE_BASED);
        self.establish(id, kind, first, wanted.pdo, &objects, numbers)?;
        Ok(NtStatus::SUCCESS)
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
            irql: source.irql(),
            synchronize_irql,
            mode: if source.is_latched() { interrupt_mode::Latched } else { interrupt_mode::LevelSensitive },
            shared: source.shared,
            group: source.group,
            mask: source.affinity,
            message,
        }
    }
}
