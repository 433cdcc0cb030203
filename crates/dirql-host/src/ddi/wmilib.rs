//! The WMI library, wmilib.sys.

use dirql_abi::NtStatus;
use dirql_abi::guid::Guid;
use dirql_abi::wmi::WmiLibContext;
use dirql_kernel::DriverPtr;

use crate::ddi::exports;

exports! {
    fn WmiSystemControl(context: DriverPtr<WmiLibContext>, device: u64, irp: u64, disposition: DriverPtr<u32>) -> NtStatus
        = |k| k.wmi_system_control(context, device, irp, disposition);
    fn WmiCompleteRequest(device: u64, irp: u64, status: u32, used: u32, boost: u8) -> NtStatus
        = |k| k.wmi_complete_request(device, irp, NtStatus(status as i32), used, boost);
    fn WmiFireEvent(device: u64, guid: DriverPtr<Guid>, instance: u32, size: u32, data: u64) -> NtStatus
        = |k| k.wmi_fire_event(device, guid, instance, size, data);
}
