//! Exceptions: raising, unwinding, looking at the stack.

use dirql_abi::NtStatus;
use dirql_abi::exception::{Context, ExceptionRecord};
use dirql_kernel::{CallSite, Ddi, DriverPtr, Kernel, Stop, at};

use crate::ddi::{Export, Nothing, enter_directly, exports};
use crate::exception::{Pending, after_return, c_handler, cpu, jump, unwind};
use crate::run;

exports! {
    fn ExRaiseStatus(status: i32) -> Nothing = |_k| Err(raise(NtStatus(status)));
    fn ExRaiseAccessViolation() -> Nothing = |_k| Err(raise(NtStatus::ACCESS_VIOLATION));
    fn ExRaiseDatatypeMisalignment() -> Nothing = |_k| Err(raise(NtStatus::DATATYPE_MISALIGNMENT));
    fn RtlLookupFunctionEntry(address: u64, base: DriverPtr<u64>, _history: u64) -> u64
        = |k| run::platform().lookup_function_entry(k, address, base);
    fn RtlPcToFileHeader(address: u64, base: DriverPtr<u64>) -> u64
        = |k| {
            let found = run::platform().image_at(address).map_or(0, |image| image.base());
            k.write(base, found)?;
            Ok(found)
        };
    fn RtlVirtualUnwind(
        _type: u32, base: u64, address: u64, _function: u64,
        context: DriverPtr<Context>, data: DriverPtr<u64>, frame: DriverPtr<u64>, _saved: u64,
    ) -> u64
        = |k| run::platform().virtual_unwind(k, base, address, context, data, frame);
}

/// Exports that are about the call itself.
pub(super) const DIRECT: &[Export] = &[
    Export {
        name: "__C_specific_handler",
        irql: None,
        shim: c_handler::c_specific_handler as *const (),
    },
    Export {
        name: "_local_unwind",
        irql: None,
        shim: local_unwind as *const (),
    },
    Export {
        name: "_setjmp",
        irql: None,
        shim: jump::set_jump as *const (),
    },
    Export {
        name: "_setjmpex",
        irql: None,
        shim: jump::set_jump as *const (),
    },
    Export {
        name: "longjmp",
        irql: None,
        shim: jump::long_jump as *const (),
    },
    Export {
        name: "RtlCaptureContext",
        irql: None,
        shim: cpu::capture_context as *const (),
    },
    Export {
        name: "ExRaiseException",
        irql: None,
        shim: raise_record as *const (),
    },
    Export {
        name: "RtlRaiseException",
        irql: None,
        shim: raise_record as *const (),
    },
    Export {
        name: "RtlRestoreContext",
        irql: None,
        shim: restore_context as *const (),
    },
    Export {
        name: "RtlUnwind",
        irql: None,
        shim: unwind as *const (),
    },
    Export {
        name: "RtlUnwindEx",
        irql: None,
        shim: unwind as *const (),
    },
];

fn raise(code: NtStatus) -> Stop {
    Stop::Exception {
        code,
        parameters: [0; 4],
    }
}

/// `VOID RtlRaiseException(PEXCEPTION_RECORD)`: raises the record where it was called.
extern "win64" fn raise_record(record: u64) -> u64 {
    enter_directly(|kernel: &Kernel, site| {
        let mut record = kernel.read(DriverPtr::<ExceptionRecord>::new(record))?;
        record.exception_address = site.return_address;
        after(site, Pending::Raise(record))
    })
}

/// `VOID RtlRestoreContext(PCONTEXT, PEXCEPTION_RECORD)`: goes on with the registers in the
/// context, or with those of the buffer if the record tells of a longjmp. Of a consolidated
/// unwinding nothing is left to be done here: RtlUnwindEx does it.
extern "win64" fn restore_context(context: u64, record: u64) -> u64 {
    enter_directly(|kernel: &Kernel, site| {
        let jump = match record {
            0 => None,
            record => Some(kernel.read(DriverPtr::<ExceptionRecord>::new(record))?),
        };
        let pending = match jump.filter(jump::is_jump) {
            None => Pending::Restore(context),
            Some(record) => Pending::Jump(jump::Request {
                buffer: record.exception_information[0],
                value: kernel.read(at!(DriverPtr::<Context>::new(context), Context, rax))? as u32,
                unwinds: false,
            }),
        };
        after(site, pending)
    })
}

/// Has `pending` carried out when the shim that was called from `site` returns.
fn after(site: CallSite, pending: Pending) -> Ddi<u64> {
    let no_stack = dirql_kernel::BadAddress {
        address: site.stack_pointer,
        write: true,
    };
    after_return(site, pending)
        .map(|()| 0)
        .map_err(|()| Stop::BadAddress(no_stack))
}

/// `VOID RtlUnwindEx(TargetFrame, TargetIp, ExceptionRecord, ReturnValue, OriginalContext,
/// HistoryTable)`; RtlUnwind has the first four. Where to start is known without a context.
extern "win64" fn unwind(target_frame: u64, target_ip: u64, record: u64, return_value: u64) -> u64 {
    enter_directly(|_: &Kernel, site| {
        let request = unwind::Request {
            target_frame,
            target_ip,
            record,
            return_value,
        };
        after(site, Pending::Unwind(request))
    })
}

/// `void _local_unwind(void *Frame, void *Target)`: leaves `__try` blocks of one function, by
/// running their `__finally` blocks on the way to the target. Source: Microsoft, "x64 exception
/// handling"; what a `return` or `goto` out of such a block compiles to.
extern "win64" fn local_unwind(target_frame: u64, target_ip: u64) -> u64 {
    enter_directly(|_: &Kernel, site| {
        let request = unwind::Request {
            target_frame,
            target_ip,
            record: 0,
            return_value: 0,
        };
        after(site, Pending::Unwind(request))
    })
}
