//! Faults as the kernel sees them, and the other reasons why an instruction is not carried out.

pub(crate) use dirql_kernel::ke::{Fault, FaultAccess, FaultKind};

use super::registers::Registers;

/// What an unmasked floating-point exception is reported as. The kernel has no kind of its
/// own for it: no driver unmasks them.
pub(super) const FLOATING_POINT: FaultKind = FaultKind::GeneralProtection;

/// Why an instruction could not be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The processor would fault.
    Fault {
        /// What was accessed.
        address: u64,
        /// How.
        access: FaultAccess,
        /// Which fault.
        kind: FaultKind,
    },
    /// It has no meaning here, or it is not one that can be carried out.
    Unsupported,
}

impl Trouble {
    /// An access to something that is not memory of that kind.
    pub(super) const fn page(address: u64, access: FaultAccess) -> Self {
        Self::Fault {
            address,
            access,
            kind: FaultKind::Page,
        }
    }

    /// A fault that has nothing to do with an address.
    pub(super) const fn of(kind: FaultKind) -> Self {
        Self::Fault {
            address: 0,
            access: FaultAccess::Read,
            kind,
        }
    }
}

impl From<dirql_kernel::BadAddress> for Trouble {
    fn from(bad: dirql_kernel::BadAddress) -> Self {
        Self::page(
            bad.address,
            if bad.write {
                FaultAccess::Write
            } else {
                FaultAccess::Read
            },
        )
    }
}

/// The kernel's view of a fault of the instruction at which `registers` stand.
pub(super) fn fault_at(
    registers: &Registers<'_>,
    address: u64,
    access: FaultAccess,
    kind: FaultKind,
) -> Fault {
    Fault {
        address,
        access,
        instruction: registers.rip(),
        caller: 0,
        kind,
    }
}
