//! Remove locks.
//!
//! The lock itself is in the driver's device extension. Which tags hold it is kept here too,
//! as a checked build of Windows does, whatever the size that the driver passes.
//!
//! Source: WDK, "Using Remove Locks"; the pages of the routines.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use dirql_abi::NtStatus;
use dirql_abi::io::IoRemoveLock;
use dirql_rules::{Place, ids};

use crate::{Ddi, DriverPtr, Kernel, at};

type Lock = DriverPtr<IoRemoveLock>;

/// Who holds a remove lock: tags and where they were taken.
pub(super) struct Tags {
    held: Vec<(u64, Place)>,
    made: Place,
    /// Somebody has held it.
    used: bool,
    /// Somebody has waited until nobody did.
    awaited: bool,
}

impl Kernel {
    /// `VOID IoInitializeRemoveLockEx(PIO_REMOVE_LOCK, ULONG AllocateTag, ULONG MaxLockedMinutes, ULONG HighWatermark, ULONG RemlockSize)`
    ///
    /// Makes a lock that the device itself holds once.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Source: WDK reference, wdm.IoInitializeRemoveLock. The limits count on checked builds
    ///   of Windows only.
    ///
    /// # Errors
    /// The lock is not memory.
    pub fn io_initialize_remove_lock_ex(&self, lock: Lock) -> Ddi<()> {
        self.write(at!(lock, IoRemoveLock, removed), 0)?;
        self.write(at!(lock, IoRemoveLock, io_count), 1)?;
        self.ke_initialize_event(at!(lock, IoRemoveLock, remove_event), 1, 0)?;
        let tags = Tags {
            held: Vec::new(),
            made: self.here(),
            used: false,
            awaited: false,
        };
        self.io
            .remove_locks
            .borrow_mut()
            .insert(lock.address(), tags);
        Ok(())
    }

    /// `NTSTATUS IoAcquireRemoveLockEx(PIO_REMOVE_LOCK, PVOID Tag, PCSTR File, ULONG Line, ULONG RemlockSize)`
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: SUCCESS; DELETE_PENDING once the device is being removed.
    /// - Findings: DQ0215 the lock was not initialised.
    /// - Source: WDK reference, wdm.IoAcquireRemoveLock.
    ///
    /// # Errors
    /// The lock is not memory.
    pub fn io_acquire_remove_lock_ex(&self, lock: Lock, tag: u64) -> Ddi<NtStatus> {
        self.check_lock_known(lock)?;
        if self.read(at!(lock, IoRemoveLock, removed))? != 0 {
            return Ok(NtStatus::DELETE_PENDING);
        }
        self.change_count(lock, 1)?;
        let place = self.here();
        if let Some(tags) = self.io.remove_locks.borrow_mut().get_mut(&lock.address()) {
            tags.held.push((tag, place));
            tags.used = true;
        }
        Ok(NtStatus::SUCCESS)
    }

    /// `VOID IoReleaseRemoveLockEx(PIO_REMOVE_LOCK, PVOID Tag, ULONG RemlockSize)`
    ///
    /// The last release while the device is being removed lets
    /// [`Kernel::io_release_remove_lock_and_wait_ex`] go on.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Findings: DQ0215 released more often than taken, or with another tag.
    /// - Source: WDK reference, wdm.IoReleaseRemoveLock.
    ///
    /// # Errors
    /// The lock is not memory.
    pub fn io_release_remove_lock_ex(&self, lock: Lock, tag: u64) -> Ddi<()> {
        self.check_lock_known(lock)?;
        self.forget_tag(lock, tag)?;
        if self.change_count(lock, -1)? == 0 {
            self.ke_set_event(at!(lock, IoRemoveLock, remove_event), 0, 0)?;
        }
        Ok(())
    }

    /// `VOID IoReleaseRemoveLockAndWaitEx(PIO_REMOVE_LOCK, PVOID Tag, ULONG RemlockSize)`
    ///
    /// Refuses the lock from now on, releases it, and waits until nobody holds it.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Findings: as [`Kernel::io_release_remove_lock_ex`].
    /// - Yields: while it waits.
    /// - Source: WDK reference, wdm.IoReleaseRemoveLockAndWait.
    ///
    /// # Errors
    /// The lock is not memory.
    pub fn io_release_remove_lock_and_wait_ex(&self, lock: Lock, tag: u64) -> Ddi<()> {
        self.check_lock_known(lock)?;
        self.write(at!(lock, IoRemoveLock, removed), 1)?;
        if let Some(tags) = self.io.remove_locks.borrow_mut().get_mut(&lock.address()) {
            tags.awaited = true;
        }
        self.forget_tag(lock, tag)?;
        self.change_count(lock, -1)?;
        if self.change_count(lock, -1)? > 0 {
            self.wait_for(at!(lock, IoRemoveLock, remove_event).address(), None)?;
        }
        Ok(())
    }

    /// The memory of a device goes, with the remove locks in it.
    ///
    /// A device that is deleted before it was started, or without a request for its removal, has
    /// nobody to wait for.
    ///
    /// Findings: DQ0586 requests have held one, and nobody has waited for them.
    ///
    /// # Errors
    /// [`crate::Stop::Ended`] if the finding ends the run.
    pub(in crate::io) fn forget_remove_locks(
        &self,
        memory: &Range<u64>,
        is_removed: bool,
    ) -> Ddi<()> {
        let gone: Vec<(u64, Tags)> = {
            let mut locks = self.io.remove_locks.borrow_mut();
            let inside: Vec<u64> = locks.range(memory.clone()).map(|(lock, _)| *lock).collect();
            let take = |lock: u64| Some((lock, locks.remove(&lock)?));
            inside.into_iter().filter_map(take).collect()
        };
        for (lock, tags) in gone {
            if !is_removed || !tags.used || tags.awaited {
                continue;
            }
            let message = format!(
                "the device is deleted, and nobody has waited for those who hold its remove lock {lock:#x}"
            );
            let (text, place) = match tags.held.last() {
                Some((_, place)) => ("it was acquired here, and is held", place),
                None => ("it was initialised here", &tags.made),
            };
            let earlier = Some((String::from(text), place.clone()));
            self.find(ids::REMOVE_LOCK_NOT_AWAITED, message, earlier)?;
        }
        Ok(())
    }

    fn change_count(&self, lock: Lock, by: i32) -> Ddi<i32> {
        let count = at!(lock, IoRemoveLock, io_count);
        let value = self.read(count)?.wrapping_add(by);
        self.write(count, value)?;
        Ok(value)
    }

    fn forget_tag(&self, lock: Lock, tag: u64) -> Ddi<()> {
        let others = {
            let mut locks = self.io.remove_locks.borrow_mut();
            let Some(tags) = locks.get_mut(&lock.address()) else {
                return Ok(());
            };
            if let Some(at) = tags.held.iter().rposition(|(held, _)| *held == tag) {
                tags.held.remove(at);
                return Ok(());
            }
            tags.held.last().cloned()
        };
        let (message, earlier) = match others {
            Some((held, place)) => (
                format!("the remove lock was released with tag {tag:#x}, which does not hold it"),
                Some((format!("it was taken with tag {held:#x} here"), place)),
            ),
            None => (
                String::from("the remove lock was released and nobody holds it"),
                None,
            ),
        };
        self.find(ids::REMOVE_LOCK, message, earlier)
    }

    fn check_lock_known(&self, lock: Lock) -> Ddi<()> {
        if self.io.remove_locks.borrow().contains_key(&lock.address()) {
            return Ok(());
        }
        let message = format!("the remove lock {:#x} was not initialised", lock.address());
        self.find(ids::REMOVE_LOCK, message, None)
    }
}
