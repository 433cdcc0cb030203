//! Mutexes (mutants).

use alloc::collections::BTreeMap;
use core::cell::RefCell;

use dirql_abi::NtStatus;
use dirql_abi::dispatcher::{KMutant, object_type};
use dirql_abi::list::ListEntry;
use dirql_abi::processor::kthread;
use dirql_rules::BugCheck;

use crate::at;
use crate::stop::{Ddi, Stop};
use crate::{DriverPtr, Kernel};

/// Bug check of a thread that ends while it owns a mutex: the thread, the mutex.
/// Source: Bug Check Code Reference, 0x4000008A.
const THREAD_TERMINATE_HELD_MUTEX: u32 = 0x4000_008A;

/// Source: ntstatus.h, STATUS_MUTANT_LIMIT_EXCEEDED.
const MUTANT_LIMIT_EXCEEDED: NtStatus = NtStatus(0xC000_0191_u32 as i32);

/// Which thread owns which mutex, by address.
#[derive(Default)]
pub(crate) struct Mutexes {
    owned: RefCell<BTreeMap<u64, u64>>,
}

impl Kernel {
    /// Mutexes in a range of memory that threads own.
    pub(crate) fn mutexes_owned_in(&self, range: &core::ops::Range<u64>) -> alloc::vec::Vec<u64> {
        let owned = self.ke.mutexes.owned.borrow();
        owned
            .range(range.clone())
            .map(|(mutex, _)| *mutex)
            .collect()
    }

    /// `VOID KeInitializeMutex(PRKMUTEX, ULONG)`: free; any IRQL.
    pub fn ke_initialize_mutex(&self, mutex: DriverPtr<KMutant>) -> Ddi<()> {
        self.initialize_mutant(mutex, 0, 1)
    }

    /// `VOID KeInitializeMutant(PRKMUTANT, BOOLEAN InitialOwner)`
    pub fn ke_initialize_mutant(&self, mutant: DriverPtr<KMutant>, owned: u8) -> Ddi<()> {
        if owned == 0 {
            return self.initialize_mutant(mutant, 0, 0);
        }
        self.initialize_mutant(mutant, self.current_kthread(), 0)
    }

    fn initialize_mutant(
        &self,
        mutant: DriverPtr<KMutant>,
        owner: u64,
        apc_disable: u8,
    ) -> Ddi<()> {
        self.check_resident(mutant.address(), "the mutex")?;
        let free = i32::from(owner == 0);
        self.write_header(
            mutant.address(),
            object_type::MutantObject,
            size_of::<KMutant>(),
            free,
        )?;
        self.write(at!(mutant, KMutant, owner_thread), owner)?;
        self.write(at!(mutant, KMutant, abandoned), 0)?;
        self.write(at!(mutant, KMutant, apc_disable), apc_disable)?;
        self.set_mutex_owner(mutant.address(), owner);
        self.link_mutant(mutant, owner)
    }

    /// Puts a mutant at the end of its owner's list.
    fn link_mutant(&self, mutant: DriverPtr<KMutant>, owner: u64) -> Ddi<()> {
        if owner == 0 {
            return Ok(());
        }
        let head = DriverPtr::<ListEntry>::new(owner + kthread::MUTANT_LIST_HEAD as u64);
        let links = at!(mutant, KMutant, mutant_list_entry);
        let last = self.read(at!(head, ListEntry, blink))?;
        self.write(
            links,
            ListEntry {
                flink: head.address(),
                blink: last,
            },
        )?;
        self.write(DriverPtr::<u64>::new(last), links.address())?;
        Ok(self.write(at!(head, ListEntry, blink), links.address())?)
    }

    /// Takes it off again, if it is there: an initialised mutant was laid out anew.
    fn unlink_mutant(&self, mutant: DriverPtr<KMutant>) -> Ddi<()> {
        let links = at!(mutant, KMutant, mutant_list_entry);
        let here = links.address();
        let ListEntry { flink, blink } = self.read(links)?;
        let (next, last) = (
            DriverPtr::<ListEntry>::new(flink),
            DriverPtr::<ListEntry>::new(blink),
        );
        let is_linked = self.read(next).is_ok_and(|next| next.blink == here)
            && self.read(last).is_ok_and(|last| last.flink == here);
        if is_linked {
            self.write(at!(last, ListEntry, flink), flink)?;
            self.write(at!(next, ListEntry, blink), blink)?;
        }
        Ok(())
    }

    fn set_mutex_owner(&self, mutex: u64, owner: u64) {
        let mut owned = self.ke.mutexes.owned.borrow_mut();
        if owner == 0 {
            owned.remove(&mutex);
        } else {
            owned.insert(mutex, owner);
        }
    }

    pub(crate) fn mutex_owner(&self, mutex: u64) -> Ddi<u64> {
        Ok(self.read(at!(DriverPtr::<KMutant>::new(mutex), KMutant, owner_thread))?)
    }

    /// A wait on the mutex is over: `kthread` owns it once more. Returns whether it was abandoned.
    ///
    /// # Errors
    /// STATUS_MUTANT_LIMIT_EXCEEDED is raised when it is owned 2 to the 31st times.
    pub(crate) fn take_mutex(&self, mutex: u64, kthread: u64) -> Ddi<bool> {
        let mutant = DriverPtr::<KMutant>::new(mutex);
        let state = Self::signal_state(mutex);
        let Some(count) = self.read(state)?.checked_sub(1) else {
            return Err(Stop::Exception {
                code: MUTANT_LIMIT_EXCEEDED,
                parameters: [0; 4],
            });
        };
        self.write(state, count)?;
        self.write(at!(mutant, KMutant, owner_thread), kthread)?;
        if count == 0 {
            self.set_mutex_owner(mutex, kthread);
            self.link_mutant(mutant, kthread)?;
            self.disable_apcs_for(mutant, kthread, -1)?;
        }
        let abandoned = self.read(at!(mutant, KMutant, abandoned))?;
        self.write(at!(mutant, KMutant, abandoned), 0)?;
        Ok(abandoned != 0)
    }

    /// Owning what `KeInitializeMutex` made disables normal kernel APCs.
    /// Source: WDK reference, wdm.KeWaitForSingleObject, Remarks.
    fn disable_apcs_for(&self, mutant: DriverPtr<KMutant>, owner: u64, by: i16) -> Ddi<()> {
        if owner == 0 || self.read(at!(mutant, KMutant, apc_disable))? == 0 {
            return Ok(());
        }
        let count = DriverPtr::<i16>::new(owner + kthread::KERNEL_APC_DISABLE as u64);
        let value = self.read(count)?.wrapping_add(by);
        Ok(self.write(count, value)?)
    }

    /// `LONG KeReleaseMutex(PRKMUTEX, BOOLEAN Wait)`
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: the signal state before; 0 when it is free now.
    /// - Raises STATUS_MUTANT_NOT_OWNED when another thread owns it.
    /// - Source: WDK reference, wdm.KeReleaseMutex.
    pub fn ke_release_mutex(&self, mutex: DriverPtr<KMutant>, _wait: u8) -> Ddi<i32> {
        let owner = self.mutex_owner(mutex.address())?;
        if owner == 0 || owner != self.current_kthread() {
            return Err(Stop::Exception {
                code: NtStatus::MUTANT_NOT_OWNED,
                parameters: [0; 4],
            });
        }
        let state = Self::signal_state(mutex.address());
        let before = self.read(state)?;
        self.write(state, before.wrapping_add(1))?;
        if before == 0 {
            self.write(at!(mutex, KMutant, owner_thread), 0)?;
            self.set_mutex_owner(mutex.address(), 0);
            self.unlink_mutant(mutex)?;
            self.disable_apcs_for(mutex, owner, 1)?;
            self.signal(mutex.address())?;
        }
        Ok(before)
    }

    /// `LONG KeReadStateMutex(PRKMUTEX)`: 1 when free.
    pub fn ke_read_state_mutex(&self, mutex: DriverPtr<KMutant>) -> Ddi<i32> {
        Ok(self.read(Self::signal_state(mutex.address()))?)
    }

    /// A thread ends: what `KeInitializeMutant` made is free and abandoned, what
    /// `KeInitializeMutex` made stops the system.
    pub(crate) fn abandon_mutexes(&self, thread: u64) -> Ddi<()> {
        let mutexes: alloc::vec::Vec<u64> = {
            let owned = self.ke.mutexes.owned.borrow();
            owned
                .iter()
                .filter(|(_, owner)| **owner == thread)
                .map(|(mutex, _)| *mutex)
                .collect()
        };
        for address in mutexes {
            self.set_mutex_owner(address, 0);
            let mutex = DriverPtr::<KMutant>::new(address);
            // The memory of a mutex that was never released may be gone.
            let Ok(image) = self.read(mutex) else {
                continue;
            };
            if image.header.type_ != object_type::MutantObject || image.owner_thread != thread {
                continue;
            }
            if image.apc_disable != 0 {
                let parameters = [thread, address, 0, 0];
                let bug_check = BugCheck::new(THREAD_TERMINATE_HELD_MUTEX, parameters);
                return Err(self.stop_system(bug_check));
            }
            self.write(at!(mutex, KMutant, owner_thread), 0)?;
            self.write(at!(mutex, KMutant, abandoned), 1)?;
            self.write(Self::signal_state(address), 1)?;
            self.signal(address)?;
        }
        Ok(())
    }
}
