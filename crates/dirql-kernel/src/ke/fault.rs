//! What Windows would make of a fault.

use alloc::format;

use dirql_abi::bugcheck::code;
use dirql_abi::{Irql, NtStatus};
use dirql_rules::{BugCheck, Place, ids};

use crate::mm::layout;
use crate::stop::{BadAddress, Stop};
use crate::{Kernel, Outcome};

/// How memory was accessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultAccess {
    /// A load.
    Read,
    /// A store.
    Write,
    /// An instruction fetch.
    Execute,
}

/// What kind of fault it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// An address that is not mapped, or not for this access.
    Page,
    /// A non-canonical address or a privileged operation that has no meaning here.
    GeneralProtection,
    /// An instruction that does not exist.
    InvalidOpcode,
    /// A division by zero or an overflowing quotient.
    Divide,
    /// The stack's guard page.
    StackOverflow,
    /// `int3`.
    Breakpoint,
    /// `int 0x2C`.
    Assertion,
    /// `int 0x29` with its code.
    FailFast(u32),
}

/// A fault of driver code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The address that was accessed.
    pub address: u64,
    /// How.
    pub access: FaultAccess,
    /// Address of the instruction.
    pub instruction: u64,
    /// For a jump to where no code is: the address after the call that led there, as the stack
    /// has it, or after the last call of the routine whose return did; 0 if the stack has none.
    pub caller: u64,
    /// What kind.
    pub kind: FaultKind,
}

/// Parameters of the bug checks for pages: how the memory was accessed.
const fn access_code(access: FaultAccess) -> u64 {
    match access {
        FaultAccess::Read => 0,
        FaultAccess::Write => 1,
        FaultAccess::Execute => 8,
    }
}

impl Kernel {
    /// What a fault in driver code comes to: an exception that its `__except` may handle, or
    /// a bug check.
    ///
    /// Source: Bug Check Code Reference, 0x0A, 0xD1, 0x50, 0x7F, 0xFC, 0x139; 0xD5 and 0xD6, which
    /// pool with pages of its own gives.
    pub fn fault(&self, fault: &Fault) -> Stop {
        let place = self.place_of(fault);
        let bug_check = match fault.kind {
            FaultKind::Page => match self.page_fault(fault) {
                Ok(bug_check) => bug_check,
                Err(exception) => return exception,
            },
            FaultKind::GeneralProtection => {
                // Windows reports no address for it.
                return Stop::Exception {
                    code: NtStatus::ACCESS_VIOLATION,
                    parameters: [0, u64::MAX, 0, 0],
                };
            }
            FaultKind::InvalidOpcode => {
                return Stop::Exception {
                    code: NtStatus::ILLEGAL_INSTRUCTION,
                    parameters: [0; 4],
                };
            }
            FaultKind::Divide => {
                return Stop::Exception {
                    code: NtStatus::INTEGER_DIVIDE_BY_ZERO,
                    parameters: [0; 4],
                };
            }
            FaultKind::Breakpoint => {
                let _ = self.find_at(
                    ids::DRIVER_BREAKPOINT,
                    format!("the driver executed a breakpoint at {}", self.irql()),
                    place,
                    None,
                );
                return Stop::Exception {
                    code: NtStatus::BREAKPOINT,
                    parameters: [0; 4],
                };
            }
            FaultKind::Assertion => {
                return Stop::Exception {
                    code: NtStatus::ASSERTION_FAILURE,
                    parameters: [0; 4],
                };
            }
            FaultKind::StackOverflow => {
                // A double fault: there is no stack left to push the first one on.
                BugCheck::new(
                    code::UNEXPECTED_KERNEL_MODE_TRAP,
                    [8, fault.address, 0, fault.instruction],
                )
            }
            FaultKind::FailFast(code) => BugCheck::new(
                code::KERNEL_SECURITY_CHECK_FAILURE,
                [u64::from(code), 0, 0, 0],
            ),
        };
        self.end(Outcome::BugCheck { bug_check, place });
        Stop::Ended
    }

    /// Where a fault happened. No line of the driver is where a call through a bad pointer leads;
    /// the line is that of the call. Its instruction ends one byte before the return address.
    fn place_of(&self, fault: &Fault) -> Place {
        self.here_at(match fault.caller {
            0 => fault.instruction,
            caller => caller - 1,
        })
    }

    /// What a call through a null pointer comes to, made for a driver by the kernel.
    pub(crate) fn call_of_nothing(&self) -> Stop {
        let (address, access) = (0, FaultAccess::Execute);
        self.fault(&Fault {
            address,
            access,
            instruction: 0,
            caller: 0,
            kind: FaultKind::Page,
        })
    }

    fn page_fault(&self, fault: &Fault) -> Result<BugCheck, Stop> {
        let irql = self.irql();
        if let Some(code) = self.find_in_pool(fault.address, self.place_of(fault)) {
            let access = access_code(fault.access);
            let parameters = [fault.address, access, fault.instruction, 0];
            return Ok(BugCheck::new(code, parameters));
        }
        let is_code = fault.access == FaultAccess::Execute;
        let is_of_system = fault.address > layout::HIGHEST_USER_ADDRESS;
        if is_code && is_of_system && self.platform().read(fault.address, &mut [0]).is_ok() {
            let code = code::ATTEMPTED_EXECUTE_OF_NOEXECUTE_MEMORY;
            // The page table entry, which comes second on Windows, is no address's business here.
            return Ok(BugCheck::new(code, [fault.address, 0, 0, 0]));
        }
        if irql >= Irql::DISPATCH {
            self.find_pageable(fault.address, self.place_of(fault));
            let parameters = [
                fault.address,
                u64::from(irql.0),
                access_code(fault.access),
                fault.instruction,
            ];
            return Ok(BugCheck::new(
                code::DRIVER_IRQL_NOT_LESS_OR_EQUAL,
                parameters,
            ));
        }
        if is_of_system {
            let parameters = [
                fault.address,
                access_code(fault.access),
                fault.instruction,
                0,
            ];
            return Ok(BugCheck::new(code::PAGE_FAULT_IN_NONPAGED_AREA, parameters));
        }
        Err(Stop::Exception {
            code: NtStatus::ACCESS_VIOLATION,
            parameters: [access_code(fault.access), fault.address, 0, 0],
        })
    }

    /// Says so if what cannot be accessed is a pageable section. The bug check follows.
    fn find_pageable(&self, address: u64, place: Place) {
        if self.is_pageable(address) {
            let message = format!(
                "{address:#x} is pageable and was touched at {}",
                self.irql()
            );
            let raised = self.raised_here();
            let _ = self.find_at(ids::PAGEABLE_TOUCHED, message, place, raised);
        }
    }

    /// Says so if what cannot be accessed is pool that was freed, or lies past the end of a
    /// block. Returns the bug check's code.
    fn find_in_pool(&self, address: u64, place: Place) -> Option<u32> {
        let (block, freed) = self.pool_at(address)?;
        let what = format!(
            "{} bytes of pool at {:#x}, tag {},",
            block.bytes,
            block.address,
            self.pool_tag_text(block.tag)
        );
        let offset = address.wrapping_sub(block.address);
        match freed {
            Some(freed) => {
                let message =
                    format!("{what} were accessed at offset {offset:#x} after they were freed");
                let earlier = Some(("freed here".into(), freed));
                let _ = self.find_at(ids::USE_AFTER_FREE, message, place, earlier);
                Some(code::DRIVER_PAGE_FAULT_IN_FREED_SPECIAL_POOL)
            }
            None if address >= block.address + block.bytes => {
                let message = format!("{what} were accessed past the end, at offset {offset:#x}");
                let earlier = Some(("allocated here".into(), block.place));
                let _ = self.find_at(ids::POOL_OVERRUN, message, place, earlier);
                Some(code::DRIVER_PAGE_FAULT_BEYOND_END_OF_ALLOCATION)
            }
            None => None,
        }
    }

    /// What a bad driver pointer comes to inside a kernel routine.
    pub fn bad_address(&self, bad: BadAddress) -> Stop {
        let irql = self.irql();
        let place = self.here();
        let write = u64::from(bad.write);
        if let Some(code) = self.find_in_pool(bad.address, place.clone()) {
            let parameters = [bad.address, write, place.address, 0];
            return Stop::BugCheck(BugCheck::new(code, parameters));
        }
        let bug_check = if irql >= Irql::DISPATCH {
            self.find_pageable(bad.address, place.clone());
            let parameters = [bad.address, u64::from(irql.0), write, place.address];
            BugCheck::new(code::IRQL_NOT_LESS_OR_EQUAL, parameters)
        } else if bad.address > layout::HIGHEST_USER_ADDRESS {
            BugCheck::new(
                code::PAGE_FAULT_IN_NONPAGED_AREA,
                [bad.address, write, place.address, 0],
            )
        } else {
            return Stop::Exception {
                code: NtStatus::ACCESS_VIOLATION,
                parameters: [write, bad.address, 0, 0],
            };
        };
        Stop::BugCheck(bug_check)
    }

    /// The bug check for an exception that nobody handled, in a system thread (0x7E) or where
    /// no thread runs (0x1E).
    pub fn unhandled_exception(&self, code: NtStatus, parameters: [u64; 4]) -> BugCheck {
        let address = self.here().address;
        let values = [parameters[0], parameters[1]];
        if self.irql() < Irql::DISPATCH && self.current_thread().is_some() {
            let code = code.0 as i64 as u64;
            BugCheck::of_exception(
                code::SYSTEM_THREAD_EXCEPTION_NOT_HANDLED,
                [code, address, 0, 0],
                values,
            )
        } else {
            let code = code.0 as i64 as u64;
            BugCheck::of_exception(
                code::KMODE_EXCEPTION_NOT_HANDLED,
                [code, address, parameters[0], parameters[1]],
                values,
            )
        }
    }
}
