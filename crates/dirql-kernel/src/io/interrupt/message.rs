//! Connecting all messages of a device at once.

use alloc::vec::Vec;

use dirql_abi::interrupt::{
    IoInterruptMessageInfo, IoInterruptMessageInfoEntry, connect_version, interrupt_mode,
};
use dirql_abi::{Irql, NtStatus};
use zerocopy::FromZeros;

use super::connect::Plan;
use super::connect_ex::{Assigned, NOT_PASSIVE, too_low};
use crate::hal::Source;
use crate::ke::InterruptKind;
use crate::ke::interrupt::Object;
use crate::stop::Ddi;
use crate::{DriverPtr, Kernel};

/// Lock and level of the ISR for each message.
///
/// Source: wdm.h, comments on IO_INTERRUPT_MESSAGE_INFO; the reference pages describe the
/// rows without a driver's lock loosely. A level that is given and lower than the highest is
/// raised to it, as for lines.
#[derive(Clone, Copy, Debug)]
struct Levels {
    /// The level of all messages; `None`: each has its own.
    common: Option<Irql>,
}

impl Levels {
    fn new(lock: u64, synchronize_irql: Irql, highest: Irql) -> Self {
        let is_common = lock != 0 || synchronize_irql != Irql::PASSIVE;
        Self {
            common: is_common.then_some(synchronize_irql.max(highest)),
        }
    }

    fn of(self, source: &Source) -> Irql {
        self.common.unwrap_or(source.irql())
    }
}

impl Kernel {
    /// Connects the message ISR to every message and gives the driver the message table.
    ///
    /// Without a lock of the driver each message has its own, so that two messages can run at
    /// the same time.
    pub(super) fn connect_messages(
        &self,
        wanted: Assigned,
        messages: &[(u32, Source)],
    ) -> Ddi<NtStatus> {
        if wanted.passive && (wanted.lock != 0 || wanted.synchronize_irql != Irql::PASSIVE) {
            self.refused_connect(NOT_PASSIVE.into())?;
            return Ok(NtStatus::INVALID_PARAMETER);
        }
        let highest = messages
            .iter()
            .map(|(_, source)| source.irql())
            .max()
            .unwrap_or(Irql::PASSIVE);
        if self.refuses_level(wanted.synchronize_irql, highest) {
            self.refused_connect(too_low(wanted.synchronize_irql, highest))?;
            return Ok(NtStatus::INVALID_PARAMETER);
        }
        let levels = Levels::new(wanted.lock, wanted.synchronize_irql, highest);
        let id = self.ke.interrupts.new_connection_id();
        let mut objects: Vec<Object> = Vec::new();
        let mut entries = Vec::new();
        for (message, (_, source)) in messages.iter().enumerate() {
            let level = if wanted.passive {
                Irql::PASSIVE
            } else {
                levels.of(source)
            };
            let wish = Self::assigned_wish(&wanted, source, level, Some(message as u32));
            let place = match self.place(&wish)? {
                Ok(place) => place,
                Err(status) => return Ok(status),
            };
            let Some(made) = self.make_objects(wish, &place, id, None)? else {
                return Ok(NtStatus::INSUFFICIENT_RESOURCES);
            };
            let Some(first) = made.first() else {
                return Ok(NtStatus::INSUFFICIENT_RESOURCES);
            };
            entries.push(self.message_entry(first, source));
            objects.extend(made);
        }
        let table_bytes = IoInterruptMessageInfo::entry_offset(entries.len() as u32);
        let handle = self.interrupt_memory(table_bytes)?;
        if handle == 0 {
            return Ok(NtStatus::INSUFFICIENT_RESOURCES);
        }
        self.write_message_table(handle, levels, &entries)?;
        let version = match wanted.passive {
            true => connect_version::CONNECT_MESSAGE_BASED_PASSIVE,
            false => connect_version::CONNECT_MESSAGE_BASED,
        };
        let kind = InterruptKind::Ex(version);
        let sources = messages.iter().map(|(number, _)| *number).collect();
        let plan = Plan {
            id,
            kind,
            handle,
            table_bytes,
            pdo: wanted.pdo,
            objects,
            sources,
        };
        self.establish(wanted.result, plan)?;
        Ok(NtStatus::SUCCESS)
    }

    fn message_entry(&self, object: &Object, source: &Source) -> IoInterruptMessageInfoEntry {
        let write = self.message_write(source);
        let mut entry = IoInterruptMessageInfoEntry::new_zeroed();
        entry.message_address = write.address;
        entry.target_processor_set = source.affinity;
        entry.interrupt_object = object.isr.object;
        entry.message_data = write.data;
        entry.vector = u32::from(source.vector.0);
        entry.irql = source.irql();
        entry.mode = interrupt_mode::Latched;
        entry
    }

    fn write_message_table(
        &self,
        table: u64,
        levels: Levels,
        entries: &[IoInterruptMessageInfoEntry],
    ) -> Ddi<()> {
        let mut header = IoInterruptMessageInfo::new_zeroed();
        header.unified_irql = levels.common.unwrap_or(Irql::PASSIVE);
        header.message_count = entries.len() as u32;
        self.write(DriverPtr::new(table), header)?;
        for (index, entry) in entries.iter().enumerate() {
            let at = table + IoInterruptMessageInfo::entry_offset(index as u32);
            self.write(DriverPtr::new(at), *entry)?;
        }
        Ok(())
    }
}
