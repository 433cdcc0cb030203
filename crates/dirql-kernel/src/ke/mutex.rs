//! Mutexes (mutants).

use dirql_abi::NtStatus;
use dirql_abi::dispatcher::{KMutant, object_type};

use crate::at;
use crate::stop::{Ddi, Stop};
use crate::{DriverPtr, Kernel};

impl Kernel {
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

    fn initialize_mutant(&self, mutant: DriverPtr<KMutant>, owner: u64, apc_disable: u8) -> Ddi<()> {
        let free = i32::from(owner == 0);
        self.write_header(mutant.address(), object_type::MutantObject, size_of::<KMutant>(), free)?;
        self.write(at!(mutant, KMutant, owner_thread), owner)?;
        self.write(at!(mutant, KMutant, abandoned), 0)?;
        Ok(self.write(at!(mutant, KMutant, apc_disable), apc_disable)?)
    }

    pub(crate) fn mutex_owner(&self, mutex: u64) -> Ddi<u64> {
        Ok(self.read(at!(DriverPtr::<KMutant>::new(mutex), KMutant, owner_thread))?)
    }

    /// A wait on the mutex is over: `kthread` owns it once more. Returns whether it was abandoned.
    pub(crate) fn take_mutex(&self, mutex: u64, kthread: u64) -> Ddi<bool> {
        let mutant = DriverPtr::<KMutant>::new(mutex);
        let state = Self::signal_state(mutex);
        let count = self.read(state)?;
        self.write(state, count.wrapping_sub(1))?;
        self.write(at!(mutant, KMutant, owner_thread), kthread)?;
        let abandoned = self.read(at!(mutant, KMutant, abandoned))?;
        self.write(at!(mutant, KMutant, abandoned), 0)?;
        Ok(abandoned != 0)
    }

    /// `LONG KeReleaseMutex(PRKMUTEX, BOOLEAN Wait)`
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: the signal state before; 0 when it is free now.
    /// - Raises STATUS_MUTANT_NOT_OWNED when another thread owns it.
    /// - Source: WDK reference, wdm.KeReleaseMutex.
    pub fn ke_release_mutex(&self, mutex: DriverPtr<KMutant>, _wait: u8) -> Ddi<i32> {
        if self.mutex_owner(mutex.address())? != self.current_kthread() {
            return Err(Stop::Exception { code: NtStatus::MUTANT_NOT_OWNED, parameters: [0; 4] });
        }
        let state = Self::signal_state(mutex.address());
        let before = self.read(state)?;
        self.write(state, before.wrapping_add(1))?;
        if before == 0 {
            self.write(at!(mutex, KMutant, owner_thread), 0)?;
            self.signal(mutex.address())?;
        }
        Ok(before)
    }

    /// `LONG KeReadStateMutex(PRKMUTEX)`: 1 when free.
    pub fn ke_read_state_mutex(&self, mutex: DriverPtr<KMutant>) -> Ddi<i32> {
        Ok(self.read(Self::signal_state(mutex.address()))?)
    }
}
