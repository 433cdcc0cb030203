//! Symbolic links of the object namespace.
//!
//! Source: WDK, "Introduction to MS-DOS Device Names"; the pages of the routines.

use dirql_abi::NtStatus;
use dirql_abi::string::UnicodeString;

use crate::{Ddi, DriverPtr, Kernel};

impl Kernel {
    /// `NTSTATUS IoCreateSymbolicLink(PUNICODE_STRING SymbolicLinkName, PUNICODE_STRING DeviceName)`
    ///
    /// Makes one name stand for another. The target need not exist.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS; OBJECT_NAME_COLLISION and the other statuses of naming.
    /// - Source: WDK reference, wdm.IoCreateSymbolicLink. Links made with
    ///   IoCreateUnprotectedSymbolicLink are the same here: there is no security to differ.
    ///
    /// # Errors
    /// A string that is not memory.
    pub fn io_create_symbolic_link(
        &self,
        link: DriverPtr<UnicodeString>,
        target: DriverPtr<UnicodeString>,
    ) -> Ddi<NtStatus> {
        let (link, target) = (self.text_of(link)?, self.text_of(target)?);
        Ok(self
            .link_insert(&link, &target)
            .err()
            .unwrap_or(NtStatus::SUCCESS))
    }

    /// `NTSTATUS IoDeleteSymbolicLink(PUNICODE_STRING SymbolicLinkName)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS; OBJECT_NAME_NOT_FOUND; OBJECT_TYPE_MISMATCH.
    /// - Source: WDK reference, wdm.IoDeleteSymbolicLink.
    ///
    /// # Errors
    /// A string that is not memory.
    pub fn io_delete_symbolic_link(&self, link: DriverPtr<UnicodeString>) -> Ddi<NtStatus> {
        let link = self.text_of(link)?;
        if self.link_remove(&link) {
            return Ok(NtStatus::SUCCESS);
        }
        Ok(match self.name_resolve(&link) {
            Ok(_) => NtStatus::OBJECT_TYPE_MISMATCH,
            Err(status) => status,
        })
    }
}
