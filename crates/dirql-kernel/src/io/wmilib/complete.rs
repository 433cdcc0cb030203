//! The end of a WMI request: what the driver has filled in becomes the answer.

use alloc::vec::Vec;

use dirql_abi::NtStatus;
use dirql_abi::irp::{Irp, minor_wmi};
use dirql_abi::wmi::WNodeHeader;

use super::{
    ALL_DATA_COUNT, ALL_DATA_LENGTHS, ALL_DATA_OFFSET, SIZE_NEEDED, TOO_SMALL_SIZE, WmiRequest,
    wnode,
};
use crate::ke::clock::START_SYSTEM_TIME;
use crate::{Ddi, DriverPtr, Kernel, at};

impl Kernel {
    /// `NTSTATUS WmiCompleteRequest(PDEVICE_OBJECT, PIRP, NTSTATUS, ULONG BufferUsed, CCHAR PriorityBoost)`
    ///
    /// Finishes the WNODE of a WMI request and completes the request.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: `status`; SUCCESS in place of BUFFER_TOO_SMALL if a WNODE_TOO_SMALL could
    ///   be made. A driver that says it has used more than the buffer holds gets the answer
    ///   that the buffer is too small (ours; the page does not say).
    /// - Findings: those of [`Kernel::iof_complete_request`].
    /// - Source: WDK reference, wmilib.WmiCompleteRequest.
    ///
    /// # Errors
    /// As [`Kernel::iof_complete_request`].
    pub fn wmi_complete_request(
        &self,
        device: u64,
        irp: u64,
        status: NtStatus,
        used: u32,
        boost: u8,
    ) -> Ddi<NtStatus> {
        let request = self.wmi_request(device, irp)?;
        let wants_data = status == NtStatus::BUFFER_TOO_SMALL || status.0 >= 0;
        let (status, information) = if request.has_output() && wants_data {
            self.wmi_finish(&request, status, used)?
        } else {
            (status, 0)
        };
        let pointer = DriverPtr::<Irp>::new(irp);
        self.write(at!(pointer, Irp, io_status.status), status)?;
        self.write(at!(pointer, Irp, io_status.information), information)?;
        self.iof_complete_request(irp, boost)?;
        Ok(status)
    }

    /// Fills in what belongs to the data: the status and the size of the WNODE.
    fn wmi_finish(
        &self,
        request: &WmiRequest,
        status: NtStatus,
        used: u32,
    ) -> Ddi<(NtStatus, u64)> {
        if request.room < TOO_SMALL_SIZE {
            return Ok((NtStatus::BUFFER_TOO_SMALL, 0));
        }
        let header = DriverPtr::<WNodeHeader>::new(request.buffer);
        self.write(
            at!(header, WNodeHeader, time_stamp),
            (START_SYSTEM_TIME + self.time_100ns()) as i64,
        )?;
        let is_all = request.minor == minor_wmi::IRP_MN_QUERY_ALL_DATA;
        let fields = if is_all {
            ALL_DATA_OFFSET
        } else {
            request.data_fields()
        };
        if fields + 8 > request.room.into() {
            return Ok((NtStatus::BUFFER_TOO_SMALL, 0));
        }
        let offset = self.read(request.field(fields))?;
        let size = offset.saturating_add(used);
        if status == NtStatus::BUFFER_TOO_SMALL || size > request.room {
            let flags = self.read(at!(header, WNodeHeader, flags))?;
            self.write(at!(header, WNodeHeader, flags), flags | wnode::TOO_SMALL)?;
            self.write(at!(header, WNodeHeader, buffer_size), TOO_SMALL_SIZE)?;
            self.write(request.field(SIZE_NEEDED), size)?;
            return Ok((NtStatus::SUCCESS, TOO_SMALL_SIZE.into()));
        }
        self.write(at!(header, WNodeHeader, buffer_size), size)?;
        if is_all {
            self.wmi_lay_out_instances(request, offset)?;
        } else {
            self.write(request.field(fields + 4), used)?;
        }
        Ok((status, size.into()))
    }

    /// Turns the lengths of all instances into the form of a WNODE_ALL_DATA: one size, or
    /// where each instance is and how long it is.
    fn wmi_lay_out_instances(&self, request: &WmiRequest, offset: u32) -> Ddi<()> {
        // The driver could have overwritten the count.
        let most = u64::from(offset).saturating_sub(ALL_DATA_LENGTHS) / 8;
        let count = u64::from(self.read(request.field(ALL_DATA_COUNT))?).min(most);
        let mut lengths = Vec::new();
        for index in 0..count {
            lengths.push(self.read(request.field(ALL_DATA_LENGTHS + 4 * index))?);
        }
        if let Some((&first, rest)) = lengths.split_first()
            && rest.iter().all(|length| *length == first)
        {
            let flags = at!(
                DriverPtr::<WNodeHeader>::new(request.buffer),
                WNodeHeader,
                flags
            );
            self.write(flags, self.read(flags)? | wnode::FIXED_INSTANCE_SIZE)?;
            return Ok(self.write(request.field(ALL_DATA_LENGTHS), first)?);
        }
        let mut next = offset;
        for (index, length) in (0_u64..).zip(lengths) {
            let pair = ALL_DATA_LENGTHS + 8 * index;
            self.write(request.field(pair), next)?;
            self.write(request.field(pair + 4), length)?;
            next = next
                .saturating_add(length)
                .checked_next_multiple_of(8)
                .unwrap_or(u32::MAX);
        }
        Ok(())
    }
}
