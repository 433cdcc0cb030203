//! Requests: which there are, how large their buffers are, and who carries them out.
//!
//! Source: WDK reference, parallel.h: the pages of the IOCTL_INTERNAL_ codes. All have one
//! buffer for input and output.

use dirql_abi::NtStatus;
use dirql_abi::irp::{IoStackLocation, Irp};
use dirql_abi::parallel::ioctl::{
    IOCTL_INTERNAL_DESELECT_DEVICE, IOCTL_INTERNAL_DISABLE_END_OF_CHAIN_BUS_RESCAN,
    IOCTL_INTERNAL_ENABLE_END_OF_CHAIN_BUS_RESCAN, IOCTL_INTERNAL_GET_MORE_PARALLEL_PORT_INFO,
    IOCTL_INTERNAL_GET_PARALLEL_PNP_INFO, IOCTL_INTERNAL_GET_PARALLEL_PORT_INFO,
    IOCTL_INTERNAL_INIT_1284_3_BUS, IOCTL_INTERNAL_PARALLEL_CLEAR_CHIP_MODE,
    IOCTL_INTERNAL_PARALLEL_CONNECT_INTERRUPT, IOCTL_INTERNAL_PARALLEL_DISCONNECT_INTERRUPT,
    IOCTL_INTERNAL_PARALLEL_PORT_ALLOCATE, IOCTL_INTERNAL_PARALLEL_PORT_FREE,
    IOCTL_INTERNAL_PARALLEL_SET_CHIP_MODE, IOCTL_INTERNAL_REGISTER_FOR_REMOVAL_RELATIONS,
    IOCTL_INTERNAL_RELEASE_PARALLEL_PORT_INFO, IOCTL_INTERNAL_SELECT_DEVICE,
    IOCTL_INTERNAL_UNREGISTER_FOR_REMOVAL_RELATIONS,
};
use dirql_abi::parallel::{
    MoreParallelPortInformation, ParPortRemovalRelations, Parallel1284Command, ParallelChipMode,
    ParallelInterruptInformation, ParallelInterruptServiceRoutine, ParallelPnpInformation,
    ParallelPortInformation,
};
use dirql_abi::stack_parameters::StackParametersDeviceIoControl;
use dirql_rules::Place;

use super::State;
use crate::{Ddi, DriverPtr, Kernel, at};

/// A request that has come in.
#[derive(Clone, Debug)]
pub(super) struct Call {
    /// Of the port.
    pub(super) context: u64,
    pub(super) irp: u64,
    /// The system buffer.
    pub(super) buffer: u64,
    /// The file object, 0 for none.
    pub(super) file: u64,
    /// Where the client sent it.
    pub(super) place: Place,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It is completed with this status and so many bytes of output.
    Done(NtStatus, u64),
    /// It waits, and is marked so.
    Pending,
}

impl Answer {
    pub(super) const SUCCESS: Self = Self::Done(NtStatus::SUCCESS, 0);

    pub(super) const fn failed(status: NtStatus) -> Self {
        Self::Done(status, 0)
    }
}

/// A status for which a request is refused before its buffers are looked at.
type Gate = fn(&Kernel, u64) -> Ddi<Option<NtStatus>>;

struct Request {
    code: u32,
    /// Bytes that its buffers must have at least.
    input: usize,
    output: usize,
    gate: Gate,
    run: fn(&Kernel, &Call) -> Ddi<Answer>,
}

const fn request(
    code: u32,
    input: usize,
    output: usize,
    run: fn(&Kernel, &Call) -> Ddi<Answer>,
) -> Request {
    Request {
        code,
        input,
        output,
        gate: |_, _| Ok(None),
        run,
    }
}

/// Nothing pages here, and nothing looks at the end of the chain by itself: the requests about
/// that have nothing to do.
#[rustfmt::skip] // read as a table
const REQUESTS: &[Request] = &[
    //      code                                      input                                     output
    request(IOCTL_INTERNAL_PARALLEL_PORT_ALLOCATE,    0,                                        0, Kernel::port_allocate),
    request(IOCTL_INTERNAL_PARALLEL_PORT_FREE,        0,                                        0, Kernel::port_free_request),
    request(IOCTL_INTERNAL_GET_PARALLEL_PORT_INFO,    0, size_of::<ParallelPortInformation>(), Kernel::port_information),
    request(IOCTL_INTERNAL_GET_MORE_PARALLEL_PORT_INFO, 0, size_of::<MoreParallelPortInformation>(), Kernel::port_more_information),
    request(IOCTL_INTERNAL_GET_PARALLEL_PNP_INFO,     0, size_of::<ParallelPnpInformation>(),   Kernel::port_pnp_information),
    request(IOCTL_INTERNAL_RELEASE_PARALLEL_PORT_INFO, 0,                                       0, |_, _| Ok(Answer::SUCCESS)),
    request(IOCTL_INTERNAL_PARALLEL_SET_CHIP_MODE,    size_of::<ParallelChipMode>(),            0, Kernel::port_set_chip_mode),
    request(IOCTL_INTERNAL_PARALLEL_CLEAR_CHIP_MODE,  size_of::<ParallelChipMode>(),            0, Kernel::port_clear_chip_mode),
    request(IOCTL_INTERNAL_INIT_1284_3_BUS,           0,                                        0, Kernel::port_init_bus),
    request(IOCTL_INTERNAL_SELECT_DEVICE,             size_of::<Parallel1284Command>(),         0, Kernel::port_select),
    request(IOCTL_INTERNAL_DESELECT_DEVICE,           size_of::<Parallel1284Command>(),         0, Kernel::port_deselect),
    Request {
        gate: Kernel::port_connect_gate,
        ..request(IOCTL_INTERNAL_PARALLEL_CONNECT_INTERRUPT, size_of::<ParallelInterruptServiceRoutine>(), size_of::<ParallelInterruptInformation>(), Kernel::port_connect)
    },
    request(IOCTL_INTERNAL_PARALLEL_DISCONNECT_INTERRUPT, size_of::<ParallelInterruptServiceRoutine>(), 0, Kernel::port_disconnect),
    request(IOCTL_INTERNAL_REGISTER_FOR_REMOVAL_RELATIONS, size_of::<ParPortRemovalRelations>(), 0, Kernel::port_register_relation),
    request(IOCTL_INTERNAL_UNREGISTER_FOR_REMOVAL_RELATIONS, size_of::<ParPortRemovalRelations>(), 0, Kernel::port_unregister_relation),
    request(IOCTL_INTERNAL_DISABLE_END_OF_CHAIN_BUS_RESCAN, 0,                                  0, |_, _| Ok(Answer::SUCCESS)),
    request(IOCTL_INTERNAL_ENABLE_END_OF_CHAIN_BUS_RESCAN, 0,                                   0, |_, _| Ok(Answer::SUCCESS)),
];

impl Kernel {
    /// DispatchInternalDeviceControl.
    ///
    /// - Returns: STATUS_PENDING for an allocation or selection that waits;
    ///   STATUS_DELETE_PENDING once the port is gone; STATUS_DEVICE_NOT_READY while it is not
    ///   started, of which the pages say nothing; STATUS_INVALID_PARAMETER for a request that it
    ///   does not know; STATUS_BUFFER_TOO_SMALL. The rest is at each request.
    ///
    /// # Errors
    /// A buffer that is not memory.
    pub fn parport_internal_control(&self, device: u64, irp: u64) -> Ddi<NtStatus> {
        let stack = self.read(self.current_location(irp)?)?;
        match self.answer_port_request(device, irp, &stack)? {
            Answer::Done(status, information) => self.port_finish(irp, status, information),
            Answer::Pending => Ok(NtStatus::PENDING),
        }
    }

    /// DispatchDeviceControl: applications have no business with the port itself.
    ///
    /// # Errors
    /// As [`Kernel::iof_complete_request`].
    pub fn parport_device_control(&self, _device: u64, irp: u64) -> Ddi<NtStatus> {
        self.port_finish(irp, NtStatus::INVALID_PARAMETER, 0)
    }

    fn answer_port_request(&self, device: u64, irp: u64, stack: &IoStackLocation) -> Ddi<Answer> {
        let child = self.port_child(device);
        let context = child.map(|child| child.context);
        let Some(context) = context.or_else(|| self.port_of_device(device)) else {
            return Ok(Answer::failed(NtStatus::DELETE_PENDING));
        };
        match self.with_port(context, |port| port.state)? {
            State::Started | State::RemovePending(true) => {}
            State::Stopped | State::RemovePending(false) => {
                return Ok(Answer::failed(NtStatus::DEVICE_NOT_READY));
            }
            State::SurpriseRemoved => return Ok(Answer::failed(NtStatus::DELETE_PENDING)),
        }
        let control = stack.parameters::<StackParametersDeviceIoControl>();
        let call = Call {
            context,
            irp,
            buffer: self.read(at!(DriverPtr::<Irp>::new(irp), Irp, associated_irp))?,
            file: stack.file_object,
            place: self.sent_from(irp).unwrap_or_else(|| self.here()),
        };
        if let Some(child) = child {
            return self.answer_child_request((device, child), &call, &control);
        }
        let Some(request) = REQUESTS
            .iter()
            .find(|request| request.code == control.io_control_code)
        else {
            return Ok(Answer::failed(NtStatus::INVALID_PARAMETER));
        };
        if let Some(status) = (request.gate)(self, context)? {
            return Ok(Answer::failed(status));
        }
        let is_short = |length: u32, least: usize| (length as usize) < least;
        if is_short(control.input_buffer_length, request.input)
            || is_short(control.output_buffer_length, request.output)
        {
            return Ok(Answer::failed(NtStatus::BUFFER_TOO_SMALL));
        }
        (request.run)(self, &call)
    }

    /// Completes a request.
    pub(super) fn port_finish(
        &self,
        irp: u64,
        status: NtStatus,
        information: u64,
    ) -> Ddi<NtStatus> {
        let pointer = DriverPtr::<Irp>::new(irp);
        self.write(at!(pointer, Irp, io_status.status), status)?;
        self.write(at!(pointer, Irp, io_status.information), information)?;
        self.iof_complete_request(irp, 0)?;
        Ok(status)
    }
}
