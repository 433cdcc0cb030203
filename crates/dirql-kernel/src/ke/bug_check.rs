//! Bug checks that drivers ask for, and the kernel debugger that is not there.

use dirql_abi::NtStatus;
use dirql_rules::BugCheck;

use crate::Kernel;
use crate::stop::Ddi;

impl Kernel {
    /// `VOID KeBugCheckEx(ULONG, ULONG_PTR, ULONG_PTR, ULONG_PTR, ULONG_PTR)`, also behind
    /// `KeBugCheck`: the system stops. Any IRQL. Source: WDK reference, wdm.KeBugCheckEx.
    pub fn ke_bug_check_ex(&self, code: u32, parameters: [u64; 4]) -> Ddi<()> {
        Err(BugCheck::new(code, parameters).into())
    }

    /// `NTSTATUS KdChangeOption(...)`: no debugger is connected.
    pub fn kd_change_option(&self) -> Ddi<NtStatus> {
        Ok(NtStatus::DEBUGGER_INACTIVE)
    }
}
