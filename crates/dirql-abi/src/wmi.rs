//! Windows Management Instrumentation, as the WMI library serves it to drivers.
//!
//! Source: WDK reference, wmilib.WMILIB_CONTEXT, wmilib.WmiSystemControl; wmilib.h, wmistr.h.

use crate::guid::Guid;
use crate::layout::{layouts, named_values};

layouts! {
    /// A driver's data blocks and its routines that serve them.
    struct WmiLibContext = "WMILIB_CONTEXT", size 64 {
        0 guid_count: u32 = "GuidCount",
        4 padding4: u32,
        /// Points at `guid_count` of [`WmiGuidRegInfo`].
        8 guid_list: u64 = "GuidList",
        16 query_wmi_reg_info: u64 = "QueryWmiRegInfo",
        24 query_wmi_data_block: u64 = "QueryWmiDataBlock",
        32 set_wmi_data_block: u64 = "SetWmiDataBlock",
        40 set_wmi_data_item: u64 = "SetWmiDataItem",
        48 execute_wmi_method: u64 = "ExecuteWmiMethod",
        56 wmi_function_control: u64 = "WmiFunctionControl",
    }

    /// One data block of a driver.
    struct WmiGuidRegInfo = "WMIGUIDREGINFO", size 16 {
        0 guid: u64 = "Guid",
        8 instance_count: u32 = "InstanceCount",
        12 flags: u32 = "Flags",
    }

    /// First part of every WMI buffer.
    struct WNodeHeader = "WNODE_HEADER", size 48 {
        0 buffer_size: u32 = "BufferSize",
        4 provider_id: u32 = "ProviderId",
        8 historical_context: u64 = "HistoricalContext",
        16 time_stamp: i64 = "TimeStamp",
        24 guid: Guid = "Guid",
        40 client_context: u32 = "ClientContext",
        44 flags: u32 = "Flags",
    }
}

named_values! {
    /// `SYSCTL_IRP_DISPOSITION`: what `WmiSystemControl` did with a request.
    #[expect(non_upper_case_globals, reason = "spelled as the enumeration of the headers")]
    mod irp_disposition: u32 {
        IrpProcessed = 0,
        IrpNotCompleted = 1,
        IrpNotWmi = 2,
        IrpForward = 3,
    }

    /// `Action` of `IoWMIRegistrationControl`.
    mod registration_action: u32 {
        WMIREG_ACTION_REGISTER = 1,
        WMIREG_ACTION_DEREGISTER = 2,
        WMIREG_ACTION_REREGISTER = 3,
        WMIREG_ACTION_UPDATE_GUIDS = 4,
        WMIREG_ACTION_BLOCK_IRPS = 5,
    }
}
