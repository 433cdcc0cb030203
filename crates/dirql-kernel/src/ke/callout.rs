//! Calls on a larger stack, and attaching to a process.
//!
//! Source: WDK reference, ntddk.KeExpandKernelStackAndCallout, ntifs.KeStackAttachProcess.

use dirql_abi::{Irql, NtStatus};

use crate::stop::Ddi;
use crate::{DriverPtr, Kernel};

/// `MAXIMUM_EXPANSION_SIZE`: KERNEL_LARGE_STACK_SIZE less half a page.
const MOST_BYTES: u64 = 0x1_2000 - 0x800;

/// Bytes of a KAPC_STATE.
const STATE_BYTES: u64 = 48;

/// Where a KAPC_STATE has the process.
const STATE_PROCESS: u64 = 32;

impl Kernel {
    /// `NTSTATUS KeExpandKernelStackAndCallout(PEXPAND_STACK_CALLOUT, PVOID Parameter, SIZE_T Size)`,
    /// also `KeExpandKernelStackAndCalloutEx`
    ///
    /// Calls `Callout(Parameter)` with at least so much stack. A thread's stack here is as large as
    /// the largest that this routine gives.
    ///
    /// - IRQL: at or below APC_LEVEL; DISPATCH_LEVEL for the newer one without waiting.
    /// - Returns: SUCCESS after the call; INVALID_PARAMETER_3 for more than there can be;
    ///   NO_MEMORY if the thread has used too much of its stack.
    /// - Source: WDK reference, ntddk.KeExpandKernelStackAndCallout.
    ///
    /// # Errors
    /// As the routine.
    pub fn ke_expand_kernel_stack_and_callout(
        &self,
        callout: u64,
        parameter: u64,
        bytes: u64,
    ) -> Ddi<NtStatus> {
        if bytes > MOST_BYTES {
            return Ok(NtStatus::INVALID_PARAMETER_3);
        }
        if self.io_get_remaining_stack_size()? < bytes {
            return Ok(NtStatus::NO_MEMORY);
        }
        self.call_at_same_level("ExpandedStackCall", callout, &[parameter])?;
        Ok(NtStatus::SUCCESS)
    }

    /// `VOID KeStackAttachProcess(PRKPROCESS, PRKAPC_STATE)`
    ///
    /// Every thread has the same address space, whatever its process; what changes is which one is
    /// the current. `state` gets the process that `KeUnstackDetachProcess` goes back to.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Source: WDK reference, ntifs.KeStackAttachProcess; bug check 0x5.
    ///
    /// # Errors
    /// A state that is not memory; bug check 0x5 in a DPC.
    pub fn ke_stack_attach_process(&self, process: u64, state: u64) -> Ddi<()> {
        self.check_may_attach(process)?;
        self.write_bytes(state, &[0; STATE_BYTES as usize])?;
        let before = self.attach_to(process);
        Ok(self.write(DriverPtr::new(state + STATE_PROCESS), before)?)
    }

    /// `VOID KeAttachProcess(PRKPROCESS)`, which KeDetachProcess ends: as
    /// [`Kernel::ke_stack_attach_process`], without a state to come back to.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Source: WDK reference, ntifs.KeAttachProcess; bug check 0x5.
    ///
    /// # Errors
    /// Bug check 0x5 in a DPC, and in a thread that is attached to another process.
    pub fn ke_attach_process(&self, process: u64) -> Ddi<()> {
        self.check_may_attach(process)?;
        if process == self.current_process() {
            return Ok(());
        }
        match self.attach_to(process) {
            0 => Ok(()),
            attached => {
                let code = dirql_abi::bugcheck::code::INVALID_PROCESS_ATTACH_ATTEMPT;
                Err(dirql_rules::BugCheck::new(code, [process, attached, 1, 0]).into())
            }
        }
    }

    /// `VOID KeDetachProcess(VOID)`: does nothing in a thread that is not attached.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Source: WDK reference, ntifs.KeDetachProcess.
    pub fn ke_detach_process(&self) {
        self.attach_to(0);
    }

    /// A DPC has no address space of its own to leave.
    fn check_may_attach(&self, process: u64) -> Ddi<()> {
        if self.irql() >= Irql::DISPATCH && self.processor().dpc.running.get().is_some() {
            let code = dirql_abi::bugcheck::code::INVALID_PROCESS_ATTACH_ATTEMPT;
            return Err(dirql_rules::BugCheck::new(code, [process, 0, 0, 1]).into());
        }
        Ok(())
    }

    /// `VOID KeUnstackDetachProcess(PRKAPC_STATE)`
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Source: WDK reference, ntifs.KeUnstackDetachProcess.
    ///
    /// # Errors
    /// A state that is not memory.
    pub fn ke_unstack_detach_process(&self, state: u64) -> Ddi<()> {
        let before = self.read(DriverPtr::<u64>::new(state + STATE_PROCESS))?;
        self.attach_to(before);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::testing::Bench;

    #[test]
    fn the_routine_is_called_unless_nobody_has_so_much_stack() {
        let bench = Bench::new(Config::default());
        let called = DriverPtr::<u64>::new(bench.variable(8));
        let callout = bench.routine(move |kernel, arguments| {
            kernel.write(called, arguments[0])?;
            Ok(0)
        });
        let too_much = bench
            .kernel
            .ke_expand_kernel_stack_and_callout(callout, 5, MOST_BYTES + 1);
        assert_eq!(too_much, Ok(NtStatus::INVALID_PARAMETER_3));
        let done = bench
            .kernel
            .ke_expand_kernel_stack_and_callout(callout, 5, 0);
        assert_eq!(done, Ok(NtStatus::SUCCESS));
        assert_eq!(bench.kernel.read(called), Ok(5));
    }

    #[test]
    fn attaching_changes_the_current_process_until_the_thread_detaches() {
        let bench = Bench::new(Config::default());
        let state = bench.variable(STATE_BYTES);
        let seen = bench.on_thread(move |kernel| {
            let thread = kernel.current_kthread();
            let system = kernel.current_process();
            let other = kernel.as_application(|| kernel.process_of_thread(thread));
            kernel.ke_stack_attach_process(other, state).unwrap();
            let attached = kernel.current_process() == other;
            kernel.ke_attach_process(other).unwrap();
            let refused = kernel.ke_attach_process(system).is_err();
            kernel.ke_unstack_detach_process(state).unwrap();
            let detached = kernel.current_process() == system;
            kernel.ke_detach_process();
            Ok((attached, refused, detached))
        });
        assert_eq!(seen, (true, true, true));
    }
}
