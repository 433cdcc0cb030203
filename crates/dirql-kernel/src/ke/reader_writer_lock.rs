//! EX_SPIN_LOCK: spin locks that readers share.
//!
//! A lock is a LONG in the driver's memory, 0 while it is free: bit 31 is set while a writer
//! holds it, bit 30 while one waits for readers to leave, and the rest counts readers. A writer
//! that waits keeps new readers out. Who holds a lock is kept beside.
//!
//! Source: WDK reference, "Reader/Writer Spin Locks", wdm.ExAcquireSpinLockShared,
//! wdm.ExAcquireSpinLockExclusive, wdm.ExTryConvertSharedSpinLockExclusive and their relatives.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;

use dirql_abi::Irql;
use dirql_rules::{Place, ids};

use crate::ke::ProcessorId;
use crate::ke::processor::Spin;
use crate::stop::Ddi;
use crate::{DriverPtr, Kernel};

/// A writer holds the lock.
const WRITER: u32 = 1 << 31;

/// A writer waits for the readers to leave.
const WRITER_WAITS: u32 = 1 << 30;

type Lock = DriverPtr<u32>;

/// A processor that holds such a lock.
#[derive(Clone, Debug)]
struct Held {
    lock: u64,
    processor: ProcessorId,
    writes: bool,
    /// The level before, if taking it raised the level.
    before: Option<Irql>,
    place: Place,
}

/// Who holds which; the latest is at the end.
#[derive(Default)]
pub(crate) struct ReaderWriterLocks {
    held: RefCell<Vec<Held>>,
}

impl Kernel {
    /// `KIRQL ExAcquireSpinLockShared(PEX_SPIN_LOCK)`, `ExAcquireSpinLockExclusive`
    ///
    /// Raises to DISPATCH_LEVEL and takes the lock, as a reader or as the writer.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: the level before.
    /// - Findings: DQ0110 if this processor waits for itself.
    /// - Yields: before the lock is taken.
    /// - Source: WDK reference, wdm.ExAcquireSpinLockExclusive.
    ///
    /// # Errors
    /// An argument that is not memory; the run ends after the finding.
    pub fn ex_acquire_spin_lock(&self, lock: Lock, writes: bool) -> Ddi<u8> {
        let old = self.enter_lock_level(Irql::DISPATCH)?;
        self.acquire_reader_writer(lock, writes, Some(old))?;
        Ok(old.0)
    }

    /// `VOID ExAcquireSpinLockSharedAtDpcLevel(PEX_SPIN_LOCK)`,
    /// `ExAcquireSpinLockExclusiveAtDpcLevel`: the level stays.
    ///
    /// - IRQL: at or above DISPATCH_LEVEL.
    /// - Findings and errors: as [`Kernel::ex_acquire_spin_lock`].
    /// - Source: WDK reference, wdm.ExAcquireSpinLockExclusiveAtDpcLevel.
    ///
    /// # Errors
    /// As there.
    pub fn ex_acquire_spin_lock_at_dpc_level(&self, lock: Lock, writes: bool) -> Ddi<()> {
        self.acquire_reader_writer(lock, writes, None)
    }

    /// `LOGICAL ExTryAcquireSpinLockSharedAtDpcLevel(PEX_SPIN_LOCK)`,
    /// `ExTryAcquireSpinLockExclusiveAtDpcLevel`: never waits.
    ///
    /// - IRQL: at or above DISPATCH_LEVEL.
    /// - Returns: TRUE if this processor has it now.
    /// - Source: WDK reference, wdm.ExTryAcquireSpinLockExclusiveAtDpcLevel.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn ex_try_acquire_spin_lock_at_dpc_level(&self, lock: Lock, writes: bool) -> Ddi<u32> {
        self.take_reader_writer(lock, writes, None).map(u32::from)
    }

    /// `LOGICAL ExTryConvertSharedSpinLockExclusive(PEX_SPIN_LOCK)`: the only reader becomes the
    /// writer.
    ///
    /// - IRQL: at or above DISPATCH_LEVEL.
    /// - Returns: FALSE, with nothing changed, if there are other readers.
    /// - Findings: DQ0112 if this processor is no reader.
    /// - Source: WDK reference, wdm.ExTryConvertSharedSpinLockExclusive.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn ex_try_convert_shared_spin_lock_exclusive(&self, lock: Lock) -> Ddi<u32> {
        let me = self.processor().id;
        let reads = self.held_reader_writer(lock.address(), me);
        if reads.is_none_or(|held| held.writes) {
            let message = format!(
                "the spin lock {:#x} is converted by a processor that does not hold it shared",
                lock.address()
            );
            self.find(ids::RELEASE_NOT_OWNED, message, None)?;
        }
        if self.read(lock)? & !WRITER_WAITS != 1 {
            return Ok(0);
        }
        let mut held = self.ke.reader_writer_locks.held.borrow_mut();
        if let Some(mine) = held
            .iter_mut()
            .rfind(|one| one.lock == lock.address() && one.processor == me)
        {
            mine.writes = true;
        }
        drop(held);
        self.write(lock, WRITER)?;
        Ok(1)
    }

    /// `VOID ExReleaseSpinLockShared(PEX_SPIN_LOCK, KIRQL OldIrql)`, `ExReleaseSpinLockExclusive`;
    /// without a level `ExReleaseSpinLockSharedFromDpcLevel`, `ExReleaseSpinLockExclusiveFromDpcLevel`
    ///
    /// - IRQL: DISPATCH_LEVEL, or at or above it without a level.
    /// - Findings: DQ0112 if this processor does not hold it so; DQ0114 if the level is not the one
    ///   before.
    /// - Yields: when the level is lowered.
    /// - Source: WDK reference, wdm.ExReleaseSpinLockExclusive.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn ex_release_spin_lock(&self, lock: Lock, writes: bool, new: Option<u8>) -> Ddi<()> {
        self.release_reader_writer(lock, writes, new)?;
        match new {
            Some(level) => self.leave_lock_level(level),
            None => Ok(()),
        }
    }

    /// Whether nothing keeps a reader or a writer out.
    pub(super) fn reader_writer_is_free(&self, lock: u64, writes: bool) -> bool {
        let in_the_way = if writes {
            !WRITER_WAITS
        } else {
            WRITER | WRITER_WAITS
        };
        self.read(Lock::new(lock))
            .is_ok_and(|word| word & in_the_way == 0)
    }

    /// Gives `found` each lock of this kind in a range of memory that is held, and where it was
    /// taken.
    pub(crate) fn reader_writer_locks_held_in(
        &self,
        range: &core::ops::Range<u64>,
        mut found: impl FnMut(u64, &Place),
    ) {
        let all = self.ke.reader_writer_locks.held.borrow();
        for held in all.iter().filter(|held| range.contains(&held.lock)) {
            found(held.lock, &held.place);
        }
    }

    /// Processors wait for each other: this one for the lock.
    pub(super) fn reader_writer_deadlock(&self, lock: u64) {
        let taken = {
            let held = self.ke.reader_writer_locks.held.borrow();
            held.iter().rfind(|held| held.lock == lock).cloned()
        };
        let message = format!(
            "this processor waits for the reader/writer spin lock {lock:#x}, which nobody will release"
        );
        let earlier = taken.map(|held| (String::from("it was taken here"), held.place));
        let _ = self.find_fatal(ids::DEADLOCK, message, earlier);
    }

    fn acquire_reader_writer(&self, lock: Lock, writes: bool, before: Option<Irql>) -> Ddi<()> {
        if self.is_exploring() {
            self.choose_before(Spin::ReaderWriter(lock.address(), writes), lock.address())?;
        }
        while !self.take_reader_writer(lock, writes, before)? {
            self.check_reader_writer_recursion(lock)?;
            if writes {
                let word = self.read(lock)?;
                self.write(lock, word | WRITER_WAITS)?;
            }
            self.spin(Spin::ReaderWriter(lock.address(), writes))?;
        }
        Ok(())
    }

    fn take_reader_writer(&self, lock: Lock, writes: bool, before: Option<Irql>) -> Ddi<bool> {
        let word = self.read(lock)?;
        if !self.reader_writer_is_free(lock.address(), writes) {
            return Ok(false);
        }
        self.take_lock(lock.address());
        // Another writer that waits asks again.
        self.write(lock, if writes { WRITER } else { word + 1 })?;
        let place = self.here();
        let mut held = self.ke.reader_writer_locks.held.borrow_mut();
        if word == 0 {
            // Also a lock that the driver initialised anew.
            held.retain(|held| held.lock != lock.address());
        }
        held.push(Held {
            lock: lock.address(),
            processor: self.processor().id,
            writes,
            before,
            place,
        });
        Ok(true)
    }

    fn release_reader_writer(&self, lock: Lock, writes: bool, new: Option<u8>) -> Ddi<()> {
        let me = self.processor().id;
        let mine = {
            let mut all = self.ke.reader_writer_locks.held.borrow_mut();
            let at = all
                .iter()
                .rposition(|held| held.lock == lock.address() && held.processor == me);
            at.map(|at| all.remove(at))
        };
        let word = self.read(lock)?;
        self.free_lock(lock.address());
        let left = if writes {
            word & !WRITER
        } else {
            word.wrapping_sub(1)
        };
        match mine {
            Some(held) if held.writes == writes => {
                self.write(lock, left)?;
                self.check_reader_writer_level(&held, new)
            }
            held => {
                let message = format!(
                    "the spin lock {:#x} was released as {} by a processor that does not hold it so",
                    lock.address(),
                    if writes { "exclusive" } else { "shared" }
                );
                let earlier = held.map(|held| (String::from("it was taken here"), held.place));
                self.find(ids::RELEASE_NOT_OWNED, message, earlier)
            }
        }
    }

    fn check_reader_writer_level(&self, held: &Held, new: Option<u8>) -> Ddi<()> {
        let before = held.before.map(|level| level.0);
        if before == new {
            return Ok(());
        }
        let level = |level: Option<u8>| {
            level.map_or_else(
                || String::from("a level that stays"),
                |level| format!("{}", Irql(level)),
            )
        };
        let message = format!(
            "the lock was taken with {} before and is released to {}",
            level(before),
            level(new)
        );
        let earlier = Some((String::from("it was taken here"), held.place.clone()));
        self.find(ids::RELEASE_LEVEL, message, earlier)
    }

    /// A reader may read again while no writer waits; everything else waits for itself.
    fn check_reader_writer_recursion(&self, lock: Lock) -> Ddi<()> {
        let Some(held) = self.held_reader_writer(lock.address(), self.processor().id) else {
            return Ok(());
        };
        Err(self.find_fatal(
            ids::SELF_DEADLOCK,
            String::from(
                "this processor waits for a reader/writer spin lock that it already holds",
            ),
            Some((String::from("it was taken here"), held.place)),
        ))
    }

    fn held_reader_writer(&self, lock: u64, processor: ProcessorId) -> Option<Held> {
        let held = self.ke.reader_writer_locks.held.borrow();
        held.iter()
            .rfind(|held| held.lock == lock && held.processor == processor)
            .cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::testing::Bench;

    fn bench() -> (Bench, Lock) {
        let bench = Bench::new(Config::default());
        let lock = Lock::new(bench.variable(4));
        (bench, lock)
    }

    #[test]
    fn readers_share_it_and_a_writer_has_it_alone() {
        let (bench, lock) = bench();
        bench.on_thread(move |kernel| {
            assert_eq!(kernel.ex_acquire_spin_lock(lock, false)?, 0);
            assert_eq!(kernel.irql(), Irql::DISPATCH);
            assert_eq!(
                kernel.ex_try_acquire_spin_lock_at_dpc_level(lock, false)?,
                1
            );
            assert_eq!(kernel.ex_try_acquire_spin_lock_at_dpc_level(lock, true)?, 0);
            assert_eq!(kernel.ex_try_convert_shared_spin_lock_exclusive(lock)?, 0);
            assert_eq!(kernel.read(lock)?, 2);
            kernel.ex_release_spin_lock(lock, false, None)?;
            assert_eq!(kernel.ex_try_convert_shared_spin_lock_exclusive(lock)?, 1);
            assert_eq!(kernel.read(lock)?, WRITER);
            assert_eq!(
                kernel.ex_try_acquire_spin_lock_at_dpc_level(lock, false)?,
                0
            );
            kernel.ex_release_spin_lock(lock, true, Some(0))?;
            assert_eq!((kernel.irql(), kernel.read(lock)?), (Irql::PASSIVE, 0));
            Ok(())
        });
        assert!(bench.rules().is_empty(), "{:?}", bench.kernel.findings());
    }

    #[test]
    fn a_writer_waits_for_readers_on_other_processors() {
        let bench = Bench::new(Config {
            processors: 2,
            ..Config::default()
        });
        let lock = Lock::new(bench.variable(4));
        let event = bench.kernel.new_event(0).unwrap().address();
        let other = move |kernel: &Kernel| {
            kernel.ke_set_system_affinity_thread(2)?;
            let old = kernel.ex_acquire_spin_lock(lock, false)?;
            kernel.ke_set_event(DriverPtr::new(event), 0, 0)?;
            for _ in 0..20 {
                kernel.yield_point()?;
            }
            kernel.ex_release_spin_lock(lock, false, Some(old))
        };
        bench.on_thread(move |kernel| {
            let body = crate::ke::ThreadBody::Native(alloc::boxed::Box::new(other));
            kernel.spawn_thread("reads", 8, body);
            kernel.ke_set_system_affinity_thread(1)?;
            kernel.wait_for(event, None)?;
            let old = kernel.ex_acquire_spin_lock(lock, true)?;
            assert_eq!(kernel.read(lock)?, WRITER);
            kernel.ex_release_spin_lock(lock, true, Some(old))
        });
        assert_eq!(bench.kernel.read(lock), Ok(0));
        assert!(bench.rules().is_empty(), "{:?}", bench.kernel.findings());
    }

    #[test]
    fn misuse_is_found() {
        let (bench, lock) = bench();
        bench.try_on_thread(move |kernel| {
            kernel.ke_raise_irql(2)?;
            kernel.ex_release_spin_lock(lock, true, None)?;
            kernel.ex_acquire_spin_lock_at_dpc_level(lock, false)?;
            kernel.ex_release_spin_lock(lock, false, Some(2))?;
            kernel.ex_acquire_spin_lock_at_dpc_level(lock, true)?;
            kernel.ex_acquire_spin_lock_at_dpc_level(lock, false)
        });
        assert_eq!(
            bench.rules(),
            [
                ids::RELEASE_NOT_OWNED,
                ids::RELEASE_LEVEL,
                ids::SELF_DEADLOCK
            ]
        );
    }
}
