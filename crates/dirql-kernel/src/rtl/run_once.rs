//! One-time initialisation.
//!
//! An RTL_RUN_ONCE is a pointer in the driver's memory: its two low bits are the state, the rest
//! is the context once it is there.
//!
//! Source: WDK reference, ntddk.RtlRunOnceBeginInitialize, ntddk.RtlRunOnceComplete,
//! ntddk.RtlRunOnceExecuteOnce.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::cell::RefCell;

use dirql_abi::NtStatus;

use crate::{Ddi, DriverPtr, Kernel};

/// The state: nothing has happened, one thread is at it, several may be, done.
const NOTHING: u64 = 0;
const BUSY: u64 = 1;
const BUSY_SEVERAL: u64 = 3;
const DONE: u64 = 2;
const STATE: u64 = 3;

/// `RTL_RUN_ONCE_` flags.
const CHECK_ONLY: u32 = 1;
const ASYNC: u32 = 2;
const INIT_FAILED: u32 = 4;

/// The events of threads that wait, by the address of what they wait for.
pub(super) type RunOnceWaiters = RefCell<BTreeMap<u64, Vec<u64>>>;

impl Kernel {
    /// `VOID RtlRunOnceInitialize(PRTL_RUN_ONCE)`
    ///
    /// - Source: WDK reference, ntddk.RtlRunOnceInitialize.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn rtl_run_once_initialize(&self, once: DriverPtr<u64>) -> Ddi<()> {
        Ok(self.write(once, NOTHING)?)
    }

    /// `NTSTATUS RtlRunOnceBeginInitialize(PRTL_RUN_ONCE, ULONG Flags, PVOID *Context)`
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Returns: SUCCESS with the context once it is done; PENDING to whoever is to do it;
    ///   UNSUCCESSFUL if it is not done and only that was asked; INVALID_PARAMETER_2 for flags
    ///   that exclude each other; INVALID_OWNER if it was begun in the other manner.
    /// - Yields: while another thread is at it.
    /// - Source: WDK reference, ntddk.RtlRunOnceBeginInitialize.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn rtl_run_once_begin_initialize(
        &self,
        once: DriverPtr<u64>,
        flags: u32,
        context: DriverPtr<u64>,
    ) -> Ddi<NtStatus> {
        if flags & !(CHECK_ONLY | ASYNC) != 0 || flags == CHECK_ONLY | ASYNC {
            return Ok(NtStatus::INVALID_PARAMETER_2);
        }
        loop {
            let word = self.read(once)?;
            match word & STATE {
                DONE => {
                    if !context.is_null() {
                        self.write(context, word & !STATE)?;
                    }
                    return Ok(NtStatus::SUCCESS);
                }
                _ if flags & CHECK_ONLY != 0 => return Ok(NtStatus::UNSUCCESSFUL),
                NOTHING if flags & ASYNC != 0 => {
                    self.write(once, BUSY_SEVERAL)?;
                    return Ok(NtStatus::PENDING);
                }
                NOTHING => {
                    self.write(once, BUSY)?;
                    return Ok(NtStatus::PENDING);
                }
                BUSY_SEVERAL if flags & ASYNC != 0 => return Ok(NtStatus::PENDING),
                BUSY if flags & ASYNC == 0 => self.wait_for_run_once(once)?,
                _ => return Ok(NtStatus::INVALID_OWNER),
            }
        }
    }

    /// `NTSTATUS RtlRunOnceComplete(PRTL_RUN_ONCE, ULONG Flags, PVOID Context)`
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Returns: SUCCESS; UNSUCCESSFUL if nothing was begun, or another thread was first;
    ///   INVALID_OWNER if it was begun in the other manner; INVALID_PARAMETER_2,
    ///   INVALID_PARAMETER_3 for a context whose low bits are set, or one after failure.
    /// - Source: WDK reference, ntddk.RtlRunOnceComplete.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn rtl_run_once_complete(
        &self,
        once: DriverPtr<u64>,
        flags: u32,
        context: u64,
    ) -> Ddi<NtStatus> {
        let failed = flags & INIT_FAILED != 0;
        if flags & !(ASYNC | INIT_FAILED) != 0 || flags == ASYNC | INIT_FAILED {
            return Ok(NtStatus::INVALID_PARAMETER_2);
        }
        if context & STATE != 0 || failed && context != 0 {
            return Ok(NtStatus::INVALID_PARAMETER_3);
        }
        let done = if failed { NOTHING } else { context | DONE };
        match self.read(once)? & STATE {
            BUSY if flags & ASYNC == 0 => {
                self.write(once, done)?;
                let waiters = self.rtl.run_once.borrow_mut().remove(&once.address());
                for event in waiters.into_iter().flatten() {
                    self.ke_set_event(DriverPtr::new(event), 0, 0)?;
                }
                Ok(NtStatus::SUCCESS)
            }
            BUSY_SEVERAL if flags & ASYNC != 0 => {
                self.write(once, done)?;
                Ok(NtStatus::SUCCESS)
            }
            BUSY | BUSY_SEVERAL => Ok(NtStatus::INVALID_OWNER),
            _ => Ok(NtStatus::UNSUCCESSFUL),
        }
    }

    /// `NTSTATUS RtlRunOnceExecuteOnce(PRTL_RUN_ONCE, PRTL_RUN_ONCE_INIT_FN, PVOID Parameter, PVOID *Context)`
    ///
    /// Calls `InitFn(RunOnce, Parameter, Context)` unless that was done already.
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Returns: SUCCESS; UNSUCCESSFUL if the routine returned 0.
    /// - Yields: while another thread is at it, and inside the routine.
    /// - Source: WDK reference, ntddk.RtlRunOnceExecuteOnce.
    ///
    /// # Errors
    /// An argument that is not memory; as the routine.
    pub fn rtl_run_once_execute_once(
        &self,
        once: DriverPtr<u64>,
        routine: u64,
        parameter: u64,
        context: DriverPtr<u64>,
    ) -> Ddi<NtStatus> {
        let begun = self.rtl_run_once_begin_initialize(once, 0, context)?;
        if begun != NtStatus::PENDING {
            return Ok(begun);
        }
        let arguments = [once.address(), parameter, context.address()];
        let done = self.call_at_same_level("RunOnceInitialization", routine, &arguments)? as u32;
        if done == 0 {
            self.rtl_run_once_complete(once, INIT_FAILED, 0)?;
            return Ok(NtStatus::UNSUCCESSFUL);
        }
        let value = if context.is_null() {
            0
        } else {
            self.read(context)?
        };
        self.rtl_run_once_complete(once, 0, value)
    }

    fn wait_for_run_once(&self, once: DriverPtr<u64>) -> Ddi<()> {
        let event = self.take_event()?;
        self.rtl
            .run_once
            .borrow_mut()
            .entry(once.address())
            .or_default()
            .push(event);
        self.wait_for(event, None)?;
        self.give_event(event);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::testing::Bench;

    #[test]
    fn the_routine_runs_once_and_everybody_gets_its_context() {
        let bench = Bench::new(Config::default());
        let once = DriverPtr::<u64>::new(bench.variable(8));
        let calls = DriverPtr::<u32>::new(bench.variable(4));
        let routine = bench.routine(move |kernel, arguments| {
            let count = kernel.read(calls)?;
            kernel.write(calls, count + 1)?;
            kernel.write(DriverPtr::new(arguments[2]), arguments[1])?;
            // Somebody else comes while this one is at it.
            let event = kernel.new_event(1)?;
            kernel.wait_for(event.address(), Some(10_000))?;
            Ok(1)
        });
        let (first, second) = (bench.variable(8), bench.variable(8));
        bench.on_thread(move |kernel| {
            let body = move |kernel: &Kernel| {
                let status = kernel.rtl_run_once_execute_once(
                    once,
                    routine,
                    0x100,
                    DriverPtr::new(second),
                )?;
                assert_eq!(status, NtStatus::SUCCESS);
                Ok(())
            };
            let body = crate::ke::ThreadBody::Native(alloc::boxed::Box::new(body));
            kernel.spawn_thread("second", 8, body);
            kernel.rtl_run_once_execute_once(once, routine, 0x100, DriverPtr::new(first))
        });
        assert_eq!(bench.kernel.read(calls), Ok(1));
        for context in [first, second] {
            assert_eq!(bench.kernel.read(DriverPtr::<u64>::new(context)), Ok(0x100));
        }
    }

    #[test]
    fn flags_and_states_that_do_not_fit_are_refused() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let once = DriverPtr::<u64>::new(bench.variable(8));
        let begin = |flags| kernel.rtl_run_once_begin_initialize(once, flags, DriverPtr::NULL);
        let complete = |flags, context| kernel.rtl_run_once_complete(once, flags, context);
        assert_eq!(begin(3), Ok(NtStatus::INVALID_PARAMETER_2));
        assert_eq!(begin(CHECK_ONLY), Ok(NtStatus::UNSUCCESSFUL));
        assert_eq!(complete(0, 0), Ok(NtStatus::UNSUCCESSFUL));
        assert_eq!(begin(ASYNC), Ok(NtStatus::PENDING));
        assert_eq!(begin(ASYNC), Ok(NtStatus::PENDING));
        assert_eq!(begin(0), Ok(NtStatus::INVALID_OWNER));
        assert_eq!(complete(0, 0), Ok(NtStatus::INVALID_OWNER));
        assert_eq!(complete(ASYNC, 1), Ok(NtStatus::INVALID_PARAMETER_3));
        assert_eq!(complete(ASYNC, 16), Ok(NtStatus::SUCCESS));
        assert_eq!(complete(ASYNC, 16), Ok(NtStatus::UNSUCCESSFUL));
        assert_eq!(begin(0), Ok(NtStatus::SUCCESS));
    }
}
