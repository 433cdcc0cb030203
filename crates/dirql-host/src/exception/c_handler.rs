//! `__C_specific_handler`: the language handler of `__try`, for C and C++.
//!
//! Its data is a table of scopes, inner ones first. Looking for a handler, the filters of
//! the scopes around the instruction are called until one does not say "continue the
//! search". Unwinding, their `__finally` blocks are.
//!
//! Source: Microsoft, "x64 exception handling"; `winnt.h`, `SCOPE_TABLE_AMD64`.

use dirql_abi::exception::{
    DispatcherContext, ExceptionPointers, ExceptionRecord, ScopeRecord, exception_disposition,
    exception_flags,
};
use dirql_kernel::{CallSite, DriverPtr, Kernel, Stop, at};

use crate::exception::{Pending, after_return, unwind};
use crate::{ddi, run};

/// What a scope's handler address is if its filter is the constant
/// `EXCEPTION_EXECUTE_HANDLER`.
const EXECUTE_HANDLER: u32 = 1;

/// The arguments of a language handler.
#[derive(Clone, Copy, Debug)]
struct Arguments {
    record: u64,
    frame: u64,
    context: u64,
    dispatcher: DriverPtr<DispatcherContext>,
}

/// `EXCEPTION_DISPOSITION __C_specific_handler(ExceptionRecord, EstablisherFrame, ContextRecord,
/// DispatcherContext)`
pub(crate) extern "win64" fn c_specific_handler(
    record: u64,
    frame: u64,
    context: u64,
    dispatcher: u64,
) -> u64 {
    let arguments = Arguments {
        record,
        frame,
        context,
        dispatcher: DriverPtr::new(dispatcher),
    };
    // The tables and records are in the driver's memory. One that destroys them has destroyed
    // the way to its own handlers, so a failure ends the run.
    ddi::enter_directly(|kernel, site| handle(kernel, site, arguments).map(u64::from))
}

fn handle(kernel: &Kernel, site: CallSite, arguments: Arguments) -> Result<u32, Stop> {
    let dispatcher = kernel.read(arguments.dispatcher)?;
    let flags = kernel
        .read(DriverPtr::<ExceptionRecord>::new(arguments.record))?
        .exception_flags;
    let table = Scopes::new(kernel, &dispatcher)?;
    if flags & exception_flags::EXCEPTION_UNWINDING == 0 {
        search(kernel, site, arguments, &dispatcher, &table)
    } else {
        let target = flags & exception_flags::EXCEPTION_TARGET_UNWIND != 0;
        finish(kernel, arguments, &dispatcher, &table, target)?;
        Ok(exception_disposition::ExceptionContinueSearch)
    }
}

/// Asks the filters.
fn search(
    kernel: &Kernel,
    site: CallSite,
    arguments: Arguments,
    dispatcher: &DispatcherContext,
    table: &Scopes,
) -> Result<u32, Stop> {
    for index in dispatcher.scope_index..table.count {
        let scope = table.scope(kernel, index)?;
        if !table.is_in(&scope, dispatcher.control_pc) || scope.jump_target == 0 {
            continue;
        }
        let verdict = if scope.handler_address == EXECUTE_HANDLER {
            1
        } else {
            filter(arguments, table.address(scope.handler_address))
        };
        if verdict < 0 {
            return Ok(exception_disposition::ExceptionContinueExecution);
        }
        if verdict > 0 {
            let record = kernel.read(DriverPtr::<ExceptionRecord>::new(arguments.record))?;
            let request = unwind::Request {
                target_frame: arguments.frame,
                target_ip: table.address(scope.jump_target),
                record: arguments.record,
                return_value: u64::from(record.exception_code),
            };
            // Carried out when this has returned. Without a stack to return on there is
            // nothing to unwind.
            return match after_return(site, Pending::Unwind(request)) {
                Ok(()) => Ok(exception_disposition::ExceptionContinueSearch),
                Err(()) => Err(Stop::BadAddress(dirql_kernel::BadAddress {
                    address: site.stack_pointer,
                    write: true,
                })),
            };
        }
    }
    Ok(exception_disposition::ExceptionContinueSearch)
}

/// Calls the termination handlers, each once. A scope that holds the target is not left.
fn finish(
    kernel: &Kernel,
    arguments: Arguments,
    dispatcher: &DispatcherContext,
    table: &Scopes,
    target: bool,
) -> Result<(), Stop> {
    for index in dispatcher.scope_index..table.count {
        let scope = table.scope(kernel, index)?;
        let stays = target && table.is_in(&scope, dispatcher.target_ip);
        if !table.is_in(&scope, dispatcher.control_pc) || scope.jump_target != 0 || stays {
            continue;
        }
        // Should this one raise, it is not called again.
        kernel.write(
            at!(arguments.dispatcher, DispatcherContext, scope_index),
            index + 1,
        )?;
        run::platform().call_within(table.address(scope.handler_address), &[1, arguments.frame]);
    }
    Ok(())
}

/// Calls a filter expression.
fn filter(arguments: Arguments, routine: u64) -> i32 {
    let pointers = ExceptionPointers {
        exception_record: arguments.record,
        context_record: arguments.context,
    };
    let pointers = (&raw const pointers).expose_provenance() as u64;
    run::platform().call_within(routine, &[pointers, arguments.frame]) as i32
}

/// A frame's table of scopes.
struct Scopes {
    base: u64,
    first: DriverPtr<ScopeRecord>,
    count: u32,
}

impl Scopes {
    fn new(kernel: &Kernel, dispatcher: &DispatcherContext) -> Result<Self, Stop> {
        let count = kernel.read(DriverPtr::<u32>::new(dispatcher.handler_data))?;
        let first = DriverPtr::new(dispatcher.handler_data.wrapping_add(4));
        Ok(Self {
            base: dispatcher.image_base,
            first,
            count,
        })
    }

    fn scope(&self, kernel: &Kernel, index: u32) -> Result<ScopeRecord, Stop> {
        Ok(kernel.read(self.first.element(index as usize))?)
    }

    fn address(&self, rva: u32) -> u64 {
        self.base.wrapping_add(rva.into())
    }

    fn is_in(&self, scope: &ScopeRecord, address: u64) -> bool {
        (self.address(scope.begin_address)..self.address(scope.end_address)).contains(&address)
    }
}
