//! Requests: making and freeing them.
//!
//! Source: wdm.IRP; WDK, "Creating IRPs for Lower-Level Drivers".

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use core::cell::{Cell, RefCell};

use dirql_abi::NtStatus;
use dirql_abi::device::io_type;
use dirql_abi::irp::{IoStackLocation, Irp, irp_allocation_flags};
use dirql_rules::{BugCheck, Place, ids};

use super::driver::zeroed;
use super::list;
use crate::{Ddi, DriverPtr, Kernel, Stop, at};

/// Bytes of a stack location.
pub(super) const LOCATION: u64 = size_of::<IoStackLocation>() as u64;

/// Who made a request, and so who gets rid of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// IoAllocateIrp: the driver frees it.
    Allocated,
    /// IoInitializeIrp, in memory of the driver's own.
    Initialized,
    /// IoBuildAsynchronousFsdRequest: the driver frees it.
    Asynchronous,
    /// IoBuildDeviceIoControlRequest, IoBuildSynchronousFsdRequest: the I/O manager frees it
    /// at the end of completion.
    Threaded,
    /// A request of the bench or of plug and play and power management.
    Manager,
}

/// How far a request is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Its owner has it.
    Owned,
    /// It was sent to a driver, whose dispatch routine this is, and has not come back.
    Sent(u64),
    /// It came back all the way.
    Completed(Place),
    /// It was freed.
    Freed(Place),
}

/// What is kept about a request.
#[derive(Clone, Debug)]
pub(super) struct Record {
    /// Different for each use of the same memory.
    pub(super) serial: u64,
    pub(super) origin: Origin,
    pub(super) progress: Progress,
    pub(super) made: Place,
    /// Bytes of the buffer that data is copied to at completion.
    pub(super) output_length: u64,
}

/// All requests by address. A freed one stays until its memory is used again.
#[derive(Default)]
pub(super) struct Irps {
    pub(super) records: RefCell<BTreeMap<u64, Record>>,
    serial: Cell<u64>,
}

impl Kernel {
    /// Gives `found` each request in a range of memory that was sent and has not come back, and where
    /// it was made.
    pub(crate) fn irps_sent_in(
        &self,
        range: &core::ops::Range<u64>,
        mut found: impl FnMut(u64, &Place),
    ) {
        let records = self.io.irps.records.borrow();
        for (irp, record) in records.range(range.clone()) {
            if matches!(record.progress, Progress::Sent(_)) {
                found(*irp, &record.made);
            }
        }
    }
}

/// `IoSizeOfIrp`: bytes of a request with so many stack locations.
pub(super) const fn size_of_irp(locations: u8) -> u64 {
    size_of::<Irp>() as u64 + locations as u64 * LOCATION
}

impl Kernel {
    /// A new request with so many stack locations, in pool; 0 if there is no memory.
    pub(super) fn new_irp(&self, locations: u8, origin: Origin) -> Ddi<u64> {
        let bytes = size_of_irp(locations);
        let irp = self.allocate_zeroed(bytes, super::tag(b"Irp "))?;
        if irp != 0 {
            self.initialize_irp(irp, bytes, locations)?;
            let flags = irp_allocation_flags::IRP_ALLOCATED_FIXED_SIZE;
            self.write(
                at!(DriverPtr::<Irp>::new(irp), Irp, allocation_flags),
                flags,
            )?;
            self.record_irp(irp, origin);
        }
        Ok(irp)
    }

    fn initialize_irp(&self, irp: u64, bytes: u64, locations: u8) -> Ddi<()> {
        self.zero(irp, bytes)?;
        let pointer = DriverPtr::<Irp>::new(irp);
        let body = Irp {
            type_: io_type::IO_TYPE_IRP,
            size: bytes.min(u64::from(u16::MAX)) as u16,
            stack_count: locations as i8,
            current_location: (locations as i8).wrapping_add(1),
            current_stack_location: irp + size_of_irp(locations),
            ..zeroed()
        };
        self.write(pointer, body)?;
        list::initialize(self, at!(pointer, Irp, thread_list_entry).address())
    }

    fn record_irp(&self, irp: u64, origin: Origin) {
        let serial = self.io.irps.serial.get() + 1;
        self.io.irps.serial.set(serial);
        let record = Record {
            serial,
            origin,
            progress: Progress::Owned,
            made: self.here(),
            output_length: 0,
        };
        self.io.irps.records.borrow_mut().insert(irp, record);
    }

    pub(super) fn irp_record(&self, irp: u64) -> Option<Record> {
        self.io.irps.records.borrow().get(&irp).cloned()
    }

    pub(super) fn set_progress(&self, irp: u64, progress: Progress) {
        if let Some(record) = self.io.irps.records.borrow_mut().get_mut(&irp) {
            record.progress = progress;
        }
    }

    /// How many bytes the caller's buffer takes.
    pub(super) fn set_output_length(&self, irp: u64, bytes: u64) {
        if let Some(record) = self.io.irps.records.borrow_mut().get_mut(&irp) {
            record.output_length = bytes;
        }
    }

    /// Gives the memory of a request back.
    pub(super) fn release_irp(&self, irp: u64) -> Ddi<()> {
        let place = self.here();
        self.set_progress(irp, Progress::Freed(place));
        self.io.activities.forget(irp);
        self.write(at!(DriverPtr::<Irp>::new(irp), Irp, type_), 0)?;
        self.pool_free(irp, None)
    }

    /// `PIRP IoAllocateIrp(CCHAR StackSize, BOOLEAN ChargeQuota)`
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: a request with all stack locations zero, or NULL.
    /// - Source: WDK reference, wdm.IoAllocateIrp. Quota is not modelled.
    ///
    /// # Errors
    /// None that a driver can cause.
    pub fn io_allocate_irp(&self, stack_size: u8, _charge_quota: u8) -> Ddi<u64> {
        if stack_size as i8 <= 0 {
            return Ok(0);
        }
        self.new_irp(stack_size, Origin::Allocated)
    }

    /// `VOID IoInitializeIrp(PIRP Irp, USHORT PacketSize, CCHAR StackSize)`
    ///
    /// Makes memory of the driver's a request.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Findings: DQ0206 the packet is smaller than its stack locations need; the request came
    ///   from IoAllocateIrp, which the page forbids.
    /// - Source: WDK reference, wdm.IoInitializeIrp, Remarks.
    ///
    /// # Errors
    /// The packet is not memory.
    pub fn io_initialize_irp(&self, irp: u64, packet_size: u16, stack_size: u8) -> Ddi<()> {
        let needed = size_of_irp(stack_size);
        if u64::from(packet_size) < needed || stack_size as i8 <= 0 {
            let message = format!(
                "a packet of {packet_size} bytes does not hold {stack_size} stack locations, which take {needed}"
            );
            return Err(self.refuse(ids::IRP_MISUSE, message, None));
        }
        let record = self
            .irp_record(irp)
            .filter(|record| !matches!(record.progress, Progress::Freed(_)));
        if let Some(record) = record
            && record.origin != Origin::Initialized
        {
            let message = format!(
                "IoInitializeIrp was given {irp:#x}, which the I/O manager made; IoReuseIrp is for that"
            );
            self.find(
                ids::IRP_MISUSE,
                message,
                Some((String::from("it was made here"), record.made)),
            )?;
        }
        self.initialize_irp(irp, u64::from(packet_size), stack_size)?;
        self.record_irp(irp, Origin::Initialized);
        Ok(())
    }

    /// `VOID IoReuseIrp(PIRP Irp, NTSTATUS Status)`
    ///
    /// Makes a request of the driver's own as good as new, with `Status` in its status block.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Findings: DQ0206 not a request of the driver's own, or still with another driver.
    /// - Source: WDK reference, wdm.IoReuseIrp, Remarks.
    ///
    /// # Errors
    /// The request is not memory; the bug check after a finding.
    pub fn io_reuse_irp(&self, irp: u64, status: u32) -> Ddi<()> {
        let record = self.expect_irp(irp, 1)?;
        if matches!(record.origin, Origin::Threaded | Origin::Manager) {
            let message = format!("IoReuseIrp was given {irp:#x}, which the I/O manager frees");
            self.find(
                ids::IRP_MISUSE,
                message,
                Some((String::from("it was made here"), record.made.clone())),
            )?;
        }
        self.check_not_busy(irp, "reused")?;
        let pointer = DriverPtr::<Irp>::new(irp);
        let old = self.read(pointer)?;
        self.initialize_irp(
            irp,
            u64::from(old.size).max(size_of::<Irp>() as u64),
            old.stack_count as u8,
        )?;
        self.write(at!(pointer, Irp, allocation_flags), old.allocation_flags)?;
        self.write(at!(pointer, Irp, io_status.status), NtStatus(status as i32))?;
        self.record_irp(irp, record.origin);
        Ok(())
    }

    /// `VOID IoFreeIrp(PIRP Irp)`
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Findings: DQ0170 freed before (bug check 0x44); DQ0206 made by IoInitializeIrp, or
    ///   freed by the I/O manager itself, or still with another driver.
    /// - Source: WDK reference, wdm.IoFreeIrp; Bug check 0xC9, parameters 1 and 2.
    ///
    /// # Errors
    /// The bug check after a finding.
    pub fn io_free_irp(&self, irp: u64) -> Ddi<()> {
        let record = self.expect_irp(irp, 1)?;
        match record.origin {
            Origin::Allocated | Origin::Asynchronous => {}
            Origin::Initialized => {
                let message = format!(
                    "IoFreeIrp was given {irp:#x}, which lies in memory of the driver's own"
                );
                self.find(
                    ids::IRP_MISUSE,
                    message,
                    Some((String::from("it was made here"), record.made)),
                )?;
                return Ok(());
            }
            Origin::Threaded | Origin::Manager => {
                let message = format!(
                    "IoFreeIrp was given {irp:#x}, which the I/O manager frees when it is completed"
                );
                self.find(
                    ids::IRP_MISUSE,
                    message,
                    Some((String::from("it was made here"), record.made)),
                )?;
                return Err(BugCheck::new(0xC9, [2, irp, 0, 0]).into());
            }
        }
        self.check_not_busy(irp, "freed")?;
        self.release_irp(irp)
    }

    /// A finding if a driver below still has the request.
    fn check_not_busy(&self, irp: u64, what: &str) -> Ddi<()> {
        let pointer = DriverPtr::<Irp>::new(irp);
        let location = self.read(at!(pointer, Irp, current_location))?;
        let count = self.read(at!(pointer, Irp, stack_count))?;
        if location <= count
            && matches!(
                self.irp_record(irp),
                Some(Record {
                    progress: Progress::Sent(_),
                    ..
                })
            )
        {
            let message = format!(
                "the IRP {irp:#x} was {what} while a lower driver has it, at stack location {location} of {count}"
            );
            self.find(ids::IRP_MISUSE, message, None)?;
        }
        Ok(())
    }

    /// What is known of a request that a driver hands over, or the bug check for one that is
    /// none: 0xC9 with `code`, or 0x44 if it was one.
    pub(super) fn expect_irp(&self, irp: u64, code: u64) -> Ddi<Record> {
        match self.irp_record(irp) {
            Some(Record {
                progress: Progress::Freed(place),
                ..
            }) => {
                let message = format!("the IRP {irp:#x} was used after it was freed");
                let earlier = Some((String::from("it was freed here"), place));
                self.find(ids::IRP_COMPLETED_TWICE, message, earlier)?;
                Err(BugCheck::new(0x44, [irp, 0, 0, 0]).into())
            }
            Some(record) => Ok(record),
            None => {
                self.find(ids::IRP_MISUSE, format!("{irp:#x} is not an IRP"), None)?;
                Err(Stop::BugCheck(BugCheck::new(0xC9, [code, irp, 0, 0])))
            }
        }
    }

    /// A request of the power manager's; 0 without memory.
    pub(crate) fn allocated_irp_for(&self, device: u64) -> Ddi<u64> {
        self.irp_for(device, Origin::Allocated)
    }

    /// Frees a request of the power manager's.
    pub(crate) fn free_power_irp(&self, irp: u64) -> Ddi<()> {
        self.release_irp(irp)
    }

    /// The address of a request's current stack location, a claim.
    pub(crate) fn current_location(&self, irp: u64) -> Ddi<DriverPtr<IoStackLocation>> {
        Ok(DriverPtr::new(self.read(at!(
            DriverPtr::<Irp>::new(irp),
            Irp,
            current_stack_location
        ))?))
    }

    /// The address of the location that the next driver will see.
    pub(crate) fn next_location(&self, irp: u64) -> Ddi<DriverPtr<IoStackLocation>> {
        Ok(DriverPtr::new(
            self.current_location(irp)?.address().wrapping_sub(LOCATION),
        ))
    }
}
