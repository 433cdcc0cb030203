//! Error log entries.
//!
//! Source: WDK, "Logging Errors", "Filling In an Error Log Packet"; the pages of the routines.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use dirql_abi::NtStatus;
use dirql_abi::io::IoErrorLogPacket;
use dirql_rules::ids;

use crate::{Ddi, DriverPtr, Kernel};

/// `ERROR_LOG_MAXIMUM_SIZE`: bytes of an entry at most, with its strings.
const LARGEST: u8 = 240;

/// What a driver wrote to the system's event log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorLogEntry {
    /// Service name of the driver, if it is known.
    pub driver: Option<String>,
    /// `ErrorCode`: an event ID, defined by the driver's message file.
    pub code: NtStatus,
    /// `FinalStatus`.
    pub final_status: NtStatus,
    /// `UniqueErrorValue`: where in the driver.
    pub unique_value: u32,
    /// The insertion strings.
    pub strings: Vec<String>,
    /// The dump data.
    pub data: Vec<u8>,
}

#[derive(Default)]
pub(super) struct ErrorLog {
    /// Entries that were allocated and not written: by address, object and size.
    open: BTreeMap<u64, (u64, u8)>,
    written: Vec<ErrorLogEntry>,
}

impl Kernel {
    /// `PVOID IoAllocateErrorLogEntry(PVOID IoObject, UCHAR EntrySize)`
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: the entry, zeroed, or NULL: without memory, for more than 240 bytes, or for
    ///   an object that is neither a device nor a driver.
    /// - Source: WDK reference, wdm.IoAllocateErrorLogEntry.
    ///
    /// # Errors
    /// None that a driver can cause.
    pub fn io_allocate_error_log_entry(&self, object: u64, bytes: u8) -> Ddi<u64> {
        let known = self.is_device(object) || self.with_driver(object, |_| ()).is_some();
        if !known || bytes > LARGEST || usize::from(bytes) < size_of::<IoErrorLogPacket>() {
            return Ok(0);
        }
        let entry = self.allocate_zeroed(bytes.into(), super::tag(b"IoEr"))?;
        if entry != 0 {
            self.io
                .error_log
                .borrow_mut()
                .open
                .insert(entry, (object, bytes));
        }
        Ok(entry)
    }

    /// `VOID IoWriteErrorLogEntry(PVOID ElEntry)`
    ///
    /// Takes the entry; the caller does not own it any more.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Findings: DQ0218 not an entry, or written already.
    /// - Source: WDK reference, wdm.IoWriteErrorLogEntry.
    ///
    /// # Errors
    /// None but the run's end.
    pub fn io_write_error_log_entry(&self, entry: u64) -> Ddi<()> {
        let open = self.io.error_log.borrow_mut().open.remove(&entry);
        let Some((object, bytes)) = open else {
            let message =
                alloc::format!("{entry:#x} is not an error log entry, or was written already");
            return self.find(ids::ERROR_LOG_ENTRY, message, self.given_back(entry));
        };
        let packet = self.read(DriverPtr::<IoErrorLogPacket>::new(entry))?;
        let raw = self.read_bytes(entry, bytes.into())?;
        let header = size_of::<IoErrorLogPacket>();
        let dump = usize::from(packet.dump_data_size);
        let data = raw.get(header..header + dump).unwrap_or_default().to_vec();
        let driver = self.driver_of_device(object).unwrap_or(object);
        let written = ErrorLogEntry {
            driver: self.driver_name(driver),
            code: packet.error_code,
            final_status: packet.final_status,
            unique_value: packet.unique_error_value,
            strings: strings(&raw, packet.string_offset.into(), packet.number_of_strings),
            data,
        };
        self.io.error_log.borrow_mut().written.push(written);
        self.pool_free(entry, None)
    }

    /// `VOID IoFreeErrorLogEntry(PVOID ElEntry)`
    ///
    /// Gives back an entry that is not written.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Findings: DQ0218 as [`Kernel::io_write_error_log_entry`].
    /// - Source: WDK reference, wdm.IoFreeErrorLogEntry.
    ///
    /// # Errors
    /// None but the run's end.
    pub fn io_free_error_log_entry(&self, entry: u64) -> Ddi<()> {
        let open = self.io.error_log.borrow_mut().open.remove(&entry);
        if open.is_none() {
            let message =
                alloc::format!("{entry:#x} is not an error log entry, or was written already");
            return self.find(ids::ERROR_LOG_ENTRY, message, self.given_back(entry));
        }
        self.pool_free(entry, None)
    }

    /// What drivers wrote to the event log, in order.
    #[must_use]
    pub fn error_log(&self) -> Vec<ErrorLogEntry> {
        self.io.error_log.borrow().written.clone()
    }
}

/// The zero-terminated strings of an entry.
fn strings(raw: &[u8], offset: usize, count: u16) -> Vec<String> {
    let mut units = raw
        .get(offset..)
        .unwrap_or_default()
        .chunks_exact(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    (0..count)
        .map(|_| {
            let text: Vec<u16> = units.by_ref().take_while(|unit| *unit != 0).collect();
            String::from_utf16_lossy(&text)
        })
        .collect()
}
