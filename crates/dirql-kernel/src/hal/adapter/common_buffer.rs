//! Common buffers: memory that driver and device share for as long as they want.
//!
//! Source: WDK reference, "Using Common Buffer System DMA", wdm.PALLOCATE_COMMON_BUFFER,
//! wdm.PFREE_COMMON_BUFFER.

use alloc::format;

use dirql_rules::ids;

use super::CommonBuffer;
use crate::mm::{Reach, RunKind, layout};
use crate::{Ddi, DriverPtr, Kernel};

impl Kernel {
    /// `PVOID AllocateCommonBuffer(PDMA_ADAPTER, ULONG Length, PPHYSICAL_ADDRESS LogicalAddress,
    /// BOOLEAN CacheEnabled)`, also `HalAllocateCommonBuffer`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: contiguous pages that the device reaches, and their address for it in
    ///   `*logical`; NULL if there are none.
    /// - Findings: DQ0440 if it is no adapter.
    /// - Source: WDK reference, wdm.PALLOCATE_COMMON_BUFFER.
    ///
    /// # Errors
    /// [`crate::Stop::Ended`] after the finding.
    pub fn allocate_common_buffer(
        &self,
        adapter: u64,
        bytes: u32,
        logical: DriverPtr<u64>,
    ) -> Ddi<u64> {
        self.allocate_common_buffer_below(adapter, u64::MAX, bytes, logical)
    }

    /// As [`Kernel::allocate_common_buffer`], up to the physical address `highest`.
    pub(super) fn allocate_common_buffer_below(
        &self,
        adapter: u64,
        highest: u64,
        bytes: u32,
        logical: DriverPtr<u64>,
    ) -> Ddi<u64> {
        self.expect_adapter(adapter)?;
        let reach = self.with_adapter(adapter, |state| state.reach).unwrap_or(0);
        let reach = Reach::up_to(reach.min(highest));
        let address = self.allocate_run(RunKind::CommonBuffer, bytes.into(), reach);
        let Some(physical) = layout::physical(address) else {
            return Ok(0);
        };
        self.write(logical, physical)?;
        let buffer = CommonBuffer {
            bytes,
            place: self.here(),
        };
        self.with_adapter(adapter, |state| state.common.insert(address, buffer));
        Ok(address)
    }

    /// `VOID FreeCommonBuffer(PDMA_ADAPTER, ULONG Length, PHYSICAL_ADDRESS LogicalAddress, PVOID
    /// VirtualAddress, BOOLEAN CacheEnabled)`, also `HalFreeCommonBuffer`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Findings: DQ0440 if the arguments are not those of one allocation from this adapter.
    /// - Source: WDK reference, wdm.PFREE_COMMON_BUFFER.
    ///
    /// # Errors
    /// [`crate::Stop::Ended`] if there is no such buffer.
    pub fn free_common_buffer(
        &self,
        adapter: u64,
        bytes: u32,
        logical: u64,
        address: u64,
    ) -> Ddi<()> {
        self.expect_adapter(adapter)?;
        let freed = self.with_adapter(adapter, |state| state.common.remove(&address));
        let Some(buffer) = freed.flatten() else {
            let message = format!(
                "{address:#x} was freed as a common buffer of an adapter that did not give it"
            );
            return Err(self.refuse(ids::DMA_ADAPTER, message, None));
        };
        if buffer.bytes != bytes || layout::physical(address) != Some(logical) {
            let message = format!(
                "the common buffer of {:#x} bytes at {address:#x} was freed as {bytes:#x} bytes at logical address {logical:#x}",
                buffer.bytes
            );
            self.find(
                ids::DMA_ADAPTER,
                message,
                Some(("allocated here".into(), buffer.place)),
            )?;
        }
        self.free_run(RunKind::CommonBuffer, address, None)
    }
}
