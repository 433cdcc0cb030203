//! Connecting, disconnecting and being called, against ISRs that are closures.

mod company;
mod disconnect;
mod ex;
mod message;
mod message_property;
mod old;
mod order;
mod passive;
mod property;
mod report;
mod route;
mod windows;

use dirql_abi::interrupt::{
    ConnectBlock, FullySpecified, IoConnectInterruptParameters, IoDisconnectInterruptParameters,
    IoReportInterruptActiveStateParameters, LineBased, MessageBased,
};
use dirql_abi::{Irql, NtStatus};
use zerocopy::FromZeros;

use crate::hal::testing::{Rig, Started};
use crate::{Ddi, DriverPtr, Kernel};

/// What a call of the Ex routine left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Answer {
    status: NtStatus,
    version: u32,
    result: u64,
}

/// What is in the result variable before a call: not what any call stores.
const UNTOUCHED: u64 = 0xEEEE;

/// The block of versions 1 and 4 as the pages say.
fn fully_specified(started: &Started, routine: u64) -> FullySpecified {
    let arguments = started.arguments(routine);
    let mut block = FullySpecified::new_zeroed();
    block.physical_device_object = started.pdo;
    block.service_routine = arguments.service_routine;
    block.service_context = arguments.service_context;
    block.synchronize_irql = arguments.synchronize_irql;
    block.share_vector = arguments.share_vector;
    block.vector = arguments.vector;
    block.irql = arguments.irql;
    block.interrupt_mode = arguments.interrupt_mode;
    block.processor_enable_mask = arguments.processor_enable_mask;
    block.group = started.grant().group;
    block
}

fn line_based(pdo: u64, routine: u64) -> LineBased {
    let mut block = LineBased::new_zeroed();
    block.physical_device_object = pdo;
    block.service_routine = routine;
    block.service_context = 0xC0;
    block
}

fn message_based(pdo: u64, routine: u64, fallback: u64) -> MessageBased {
    let mut block = MessageBased::new_zeroed();
    block.physical_device_object = pdo;
    block.message_service_routine = routine;
    block.service_context = 0xC0;
    block.fall_back_service_routine = fallback;
    block
}

/// A block whose second member, in all three the address of the result, is filled in.
fn parameters<T: ConnectBlock>(rig: &Rig, version: u32, block: &T) -> (u64, u64) {
    let (at, result) = (rig.bench.variable(80), rig.bench.variable(8));
    let mut image = IoConnectInterruptParameters::new(version, block);
    image.block_words[1] = result;
    rig.kernel()
        .write(DriverPtr::new(at), image)
        .expect("it is a variable");
    rig.kernel()
        .write(DriverPtr::new(result), UNTOUCHED)
        .expect("it is a variable");
    (at, result)
}

/// Calls the Ex routine on a thread.
fn connect_ex<T: ConnectBlock>(rig: &Rig, version: u32, block: &T) -> Answer {
    let (at, result) = parameters(rig, version, block);
    rig.bench.on_thread(move |kernel| {
        let status = kernel.io_connect_interrupt_ex(DriverPtr::new(at))?;
        Ok(Answer {
            status,
            version: kernel.read(DriverPtr::new(at))?,
            result: kernel.read(DriverPtr::new(result))?,
        })
    })
}

fn disconnect_ex(kernel: &Kernel, at: u64, version: u32, context: u64) -> Ddi<()> {
    let mut image = IoDisconnectInterruptParameters::new_zeroed();
    image.version = version;
    image.connection_context = context;
    kernel.write(DriverPtr::new(at), image)?;
    kernel.io_disconnect_interrupt_ex(DriverPtr::new(at))
}

fn report(kernel: &Kernel, at: u64, (version, context): (u32, u64), active: bool) -> Ddi<()> {
    let mut image = IoReportInterruptActiveStateParameters::new_zeroed();
    image.version = version;
    image.connection_context = context;
    kernel.write(DriverPtr::new(at), image)?;
    if active {
        kernel.io_report_interrupt_active(DriverPtr::new(at))
    } else {
        kernel.io_report_interrupt_inactive(DriverPtr::new(at))
    }
}

/// A failure that stored NULL and left Version alone.
fn refused(status: NtStatus, version: u32) -> Answer {
    Answer {
        status,
        version,
        result: 0,
    }
}

/// One level above a device's.
fn above(started: &Started) -> Irql {
    Irql(started.grant().irql.0 + 1)
}
