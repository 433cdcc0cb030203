//! The WMI library: a driver hands it its WMI requests and gets calls of its own routines.
//!
//! Source: WDK, "Calling WmiSystemControl to Handle WMI IRPs", IRP_MN_QUERY_ALL_DATA and
//! the other minor functions of IRP_MJ_SYSTEM_CONTROL; WDK reference, wmilib, wmistr.
//!
//! Where the pages leave a status open, the choice is ours and is said at the routine.

mod complete;

use alloc::vec::Vec;

use dirql_abi::NtStatus;
use dirql_abi::guid::Guid;
use dirql_abi::irp::{Irp, minor_wmi};
use dirql_abi::stack_parameters::StackParametersWmi;
use dirql_abi::string::UnicodeString;
use dirql_abi::wmi::{WNodeHeader, WmiGuidRegInfo, WmiLibContext, irp_disposition};

use super::{NONPAGED, tag};
use crate::ke::clock::START_SYSTEM_TIME;
use crate::{Ddi, DriverPtr, Kernel, at};

/// Bits of `Flags` of a WNODE_HEADER.
mod wnode {
    pub(super) const ALL_DATA: u32 = 0x01;
    pub(super) const SINGLE_INSTANCE: u32 = 0x02;
    pub(super) const EVENT_ITEM: u32 = 0x08;
    pub(super) const FIXED_INSTANCE_SIZE: u32 = 0x10;
    pub(super) const TOO_SMALL: u32 = 0x20;
    pub(super) const STATIC_INSTANCE_NAMES: u32 = 0x80;
}

/// `WMIREG_FLAG_INSTANCE_BASENAME`.
const INSTANCE_BASENAME: u32 = 0x08;
/// `WMIREG_FLAG_INSTANCE_PDO`.
const INSTANCE_PDO: u32 = 0x20;

/// `DataPath` of a registration request that asks for everything, `WMIREGISTER`.
const REGISTER: u64 = 0;

/// `WmiEventControl` of WMIENABLEDISABLECONTROL.
const EVENT_CONTROL: u64 = 0;
/// `WmiDataBlockControl` of WMIENABLEDISABLECONTROL.
const DATA_BLOCK_CONTROL: u64 = 1;

/// Size of a WNODE_TOO_SMALL.
const TOO_SMALL_SIZE: u32 = 56;
/// `SizeNeeded` of a WNODE_TOO_SMALL.
const SIZE_NEEDED: u64 = 48;

/// `DataBlockOffset` of a WNODE_ALL_DATA.
const ALL_DATA_OFFSET: u64 = 48;
/// `InstanceCount` of a WNODE_ALL_DATA.
const ALL_DATA_COUNT: u64 = 52;
/// `OffsetInstanceNameOffsets` of a WNODE_ALL_DATA.
const ALL_DATA_NAMES: u64 = 56;
/// `FixedInstanceSize`, or the first OFFSETINSTANCEDATAANDLENGTH, of a WNODE_ALL_DATA.
const ALL_DATA_LENGTHS: u64 = 60;

/// `InstanceIndex` of all WNODEs for one instance.
const INSTANCE_INDEX: u64 = 52;
/// Size of a WNODE_SINGLE_INSTANCE without data.
const SINGLE_INSTANCE_SIZE: u32 = 64;
/// `ItemId` of a WNODE_SINGLE_ITEM, `MethodId` of a WNODE_METHOD_ITEM.
const ITEM_ID: u64 = 56;
/// Size of a WNODE_SINGLE_ITEM or WNODE_METHOD_ITEM up to its data.
const ITEM_SIZE: u32 = 68;

/// Size of a WMIREGINFO without blocks.
const REG_INFO_SIZE: usize = 24;
/// Size of a WMIREGGUID.
const REG_GUID_SIZE: usize = 32;

/// A WMI request, as it is in the current stack location.
#[derive(Clone, Copy)]
struct WmiRequest {
    irp: u64,
    device: u64,
    minor: u8,
    /// The device that the request is meant for.
    provider: u64,
    path: u64,
    /// Bytes at `buffer`.
    room: u32,
    buffer: u64,
}

impl WmiRequest {
    /// The member at `offset` of the WNODE.
    fn field(&self, offset: u64) -> DriverPtr<u32> {
        DriverPtr::new(self.buffer.wrapping_add(offset))
    }

    /// Where `DataBlockOffset` of a WNODE for one instance is; the size of the data follows.
    fn data_fields(&self) -> u64 {
        match self.minor {
            minor_wmi::IRP_MN_CHANGE_SINGLE_ITEM | minor_wmi::IRP_MN_EXECUTE_METHOD => 60,
            _ => 56,
        }
    }

    /// Whether the driver's data goes back to who asked.
    fn has_output(&self) -> bool {
        matches!(
            self.minor,
            minor_wmi::IRP_MN_QUERY_ALL_DATA
                | minor_wmi::IRP_MN_QUERY_SINGLE_INSTANCE
                | minor_wmi::IRP_MN_EXECUTE_METHOD
        )
    }
}

/// What to do with a request: call the driver, or leave its completion to the driver with
/// this status and number of bytes.
enum Plan {
    Call(&'static str, u64, Vec<u64>),
    Answer(NtStatus, u64),
}

impl Plan {
    fn fail(status: NtStatus) -> Self {
        Self::Answer(status, 0)
    }
}

impl Kernel {
    /// `NTSTATUS WmiSystemControl(PWMILIB_CONTEXT, PDEVICE_OBJECT, PIRP, PSYSCTL_IRP_DISPOSITION)`
    ///
    /// Calls the driver's routine for a WMI request that is meant for the device.
    ///
    /// - IRQL: PASSIVE_LEVEL; so are the driver's routines.
    /// - Returns: what the driver's routine returned (disposition IrpProcessed); the status
    ///   that the request now has (IrpNotCompleted): of a registration request, or
    ///   WMI_GUID_NOT_FOUND, WMI_INSTANCE_NOT_FOUND, WMI_READ_ONLY and
    ///   INVALID_DEVICE_REQUEST for what the driver does not have, SUCCESS for enabling
    ///   without a routine for it, BUFFER_TOO_SMALL and INVALID_PARAMETER for a WNODE that
    ///   is not whole. SUCCESS for another device's request (IrpForward);
    ///   INVALID_DEVICE_REQUEST for a minor function that is not of WMI (IrpNotWmi): the
    ///   page does not say, and the request is left alone in both cases.
    /// - Findings: DQ0200 the routine returned at another level.
    /// - Source: WDK reference, wmilib.WmiSystemControl.
    ///
    /// # Errors
    /// An argument that is not memory; the bug check if device or request is none.
    pub fn wmi_system_control(
        &self,
        context: DriverPtr<WmiLibContext>,
        device: u64,
        irp: u64,
        disposition: DriverPtr<u32>,
    ) -> Ddi<NtStatus> {
        let request = self.wmi_request(device, irp)?;
        if !is_wmi(request.minor) {
            self.write(disposition, irp_disposition::IrpNotWmi)?;
            return Ok(NtStatus::INVALID_DEVICE_REQUEST);
        }
        if request.provider != device {
            self.write(disposition, irp_disposition::IrpForward)?;
            return Ok(NtStatus::SUCCESS);
        }
        let library = self.read(context)?;
        match self.wmi_plan(&library, &request)? {
            Plan::Call(kind, routine, arguments) => {
                // First, because the request may be completed by the driver's routine.
                self.write(disposition, irp_disposition::IrpProcessed)?;
                let status = self.call_at_same_level(kind, routine, &arguments)?;
                Ok(NtStatus(status as i32))
            }
            Plan::Answer(status, information) => {
                let pointer = DriverPtr::<Irp>::new(irp);
                self.write(at!(pointer, Irp, io_status.status), status)?;
                self.write(at!(pointer, Irp, io_status.information), information)?;
                self.write(disposition, irp_disposition::IrpNotCompleted)?;
                Ok(status)
            }
        }
    }

    fn wmi_request(&self, device: u64, irp: u64) -> Ddi<WmiRequest> {
        self.expect_device(device)?;
        self.expect_irp(irp, 3)?;
        let stack = self.read(self.current_location(irp)?)?;
        let wish = stack.parameters::<StackParametersWmi>();
        Ok(WmiRequest {
            irp,
            device,
            minor: stack.minor_function,
            provider: wish.provider_id,
            path: wish.data_path,
            room: wish.buffer_size,
            buffer: wish.buffer,
        })
    }

    fn wmi_plan(&self, library: &WmiLibContext, request: &WmiRequest) -> Ddi<Plan> {
        use minor_wmi::{
            IRP_MN_DISABLE_COLLECTION, IRP_MN_DISABLE_EVENTS, IRP_MN_ENABLE_COLLECTION,
            IRP_MN_ENABLE_EVENTS, IRP_MN_QUERY_ALL_DATA, IRP_MN_REGINFO, IRP_MN_REGINFO_EX,
        };
        if matches!(request.minor, IRP_MN_REGINFO | IRP_MN_REGINFO_EX) {
            return self.wmi_registration(library, request);
        }
        let Some((index, block)) = self.wmi_block(library, request.path)? else {
            return Ok(Plan::fail(NtStatus::WMI_GUID_NOT_FOUND));
        };
        match request.minor {
            IRP_MN_QUERY_ALL_DATA => self.wmi_query_all(library, request, index, &block),
            IRP_MN_ENABLE_EVENTS
            | IRP_MN_DISABLE_EVENTS
            | IRP_MN_ENABLE_COLLECTION
            | IRP_MN_DISABLE_COLLECTION => Ok(wmi_control(library, request, index)),
            _ => self.wmi_one_instance(library, request, index, &block),
        }
    }

    /// The driver's data block that the GUID at `path` stands for, with its index.
    fn wmi_block(&self, library: &WmiLibContext, path: u64) -> Ddi<Option<(u32, WmiGuidRegInfo)>> {
        let wanted = self.read(DriverPtr::<Guid>::new(path))?;
        let list = DriverPtr::<WmiGuidRegInfo>::new(library.guid_list);
        for index in 0..library.guid_count {
            let block = self.read(list.element(index as usize))?;
            if self.read(DriverPtr::<Guid>::new(block.guid))? == wanted {
                return Ok(Some((index, block)));
            }
        }
        Ok(None)
    }

    /// IRP_MN_QUERY_ALL_DATA: the lengths of the instances are collected behind the fixed
    /// part, in front of the data, where WmiCompleteRequest brings them into their form.
    fn wmi_query_all(
        &self,
        library: &WmiLibContext,
        request: &WmiRequest,
        index: u32,
        block: &WmiGuidRegInfo,
    ) -> Ddi<Plan> {
        if request.room < TOO_SMALL_SIZE {
            return Ok(Plan::fail(NtStatus::BUFFER_TOO_SMALL));
        }
        if library.query_wmi_data_block == 0 {
            return Ok(Plan::fail(NtStatus::INVALID_DEVICE_REQUEST));
        }
        let count = block.instance_count;
        let start = (ALL_DATA_LENGTHS + 8 * u64::from(count)).next_multiple_of(8);
        let Ok(offset) = u32::try_from(start) else {
            return Ok(Plan::fail(NtStatus::INVALID_PARAMETER));
        };
        let header = DriverPtr::<WNodeHeader>::new(request.buffer);
        let flags = wnode::ALL_DATA | wnode::STATIC_INSTANCE_NAMES;
        self.write(at!(header, WNodeHeader, flags), flags)?;
        self.write(request.field(ALL_DATA_OFFSET), offset)?;
        self.write(request.field(ALL_DATA_COUNT), count)?;
        let room = request.room.saturating_sub(offset);
        let (lengths, data) = if room == 0 {
            (0, 0)
        } else {
            self.write(request.field(ALL_DATA_NAMES), 0)?;
            let lengths = request.field(ALL_DATA_LENGTHS).address();
            self.zero(lengths, start - ALL_DATA_LENGTHS)?;
            (lengths, request.buffer.wrapping_add(start))
        };
        let arguments = [
            request.device,
            request.irp,
            index.into(),
            0,
            count.into(),
            lengths,
            room.into(),
            data,
        ];
        Ok(Plan::Call(
            "DpWmiQueryDataBlock",
            library.query_wmi_data_block,
            arguments.to_vec(),
        ))
    }

    /// The requests whose WNODE names one instance.
    fn wmi_one_instance(
        &self,
        library: &WmiLibContext,
        request: &WmiRequest,
        index: u32,
        block: &WmiGuidRegInfo,
    ) -> Ddi<Plan> {
        use minor_wmi::{
            IRP_MN_CHANGE_SINGLE_INSTANCE, IRP_MN_CHANGE_SINGLE_ITEM, IRP_MN_EXECUTE_METHOD,
        };
        let (kind, routine, without, smallest) = match request.minor {
            IRP_MN_CHANGE_SINGLE_INSTANCE => (
                "DpWmiSetDataBlock",
                library.set_wmi_data_block,
                NtStatus::WMI_READ_ONLY,
                SINGLE_INSTANCE_SIZE,
            ),
            IRP_MN_CHANGE_SINGLE_ITEM => (
                "DpWmiSetDataItem",
                library.set_wmi_data_item,
                NtStatus::WMI_READ_ONLY,
                ITEM_SIZE,
            ),
            IRP_MN_EXECUTE_METHOD => (
                "DpWmiExecuteMethod",
                library.execute_wmi_method,
                NtStatus::INVALID_DEVICE_REQUEST,
                ITEM_SIZE,
            ),
            _ => (
                "DpWmiQueryDataBlock",
                library.query_wmi_data_block,
                NtStatus::INVALID_DEVICE_REQUEST,
                SINGLE_INSTANCE_SIZE,
            ),
        };
        if request.room < smallest {
            return Ok(Plan::fail(NtStatus::BUFFER_TOO_SMALL));
        }
        let header = DriverPtr::<WNodeHeader>::new(request.buffer);
        let flags = self.read(at!(header, WNodeHeader, flags))?;
        let instance = self.read(request.field(INSTANCE_INDEX))?;
        if flags & wnode::STATIC_INSTANCE_NAMES == 0 || instance >= block.instance_count {
            return Ok(Plan::fail(NtStatus::WMI_INSTANCE_NOT_FOUND));
        }
        if routine == 0 {
            return Ok(Plan::fail(without));
        }
        let fields = request.data_fields();
        let offset = self.read(request.field(fields))?;
        let size = self.read(request.field(fields + 4))?;
        let room = request.room.saturating_sub(offset);
        let data = request.buffer.wrapping_add(offset.into());
        let mut arguments = alloc::vec![request.device, request.irp, index.into(), instance.into()];
        if matches!(
            request.minor,
            IRP_MN_CHANGE_SINGLE_ITEM | IRP_MN_EXECUTE_METHOD
        ) {
            arguments.push(self.read(request.field(ITEM_ID))?.into());
        }
        if request.minor == minor_wmi::IRP_MN_QUERY_SINGLE_INSTANCE {
            let (length, data) = if room == 0 {
                (0, 0)
            } else {
                (request.field(fields + 4).address(), data)
            };
            arguments.extend([1, length, room.into(), data]);
            return Ok(Plan::Call(kind, routine, arguments));
        }
        if offset < smallest && size != 0 || size > room {
            return Ok(Plan::fail(NtStatus::INVALID_PARAMETER));
        }
        arguments.push(size.into());
        if request.minor == IRP_MN_EXECUTE_METHOD {
            arguments.push(room.into());
        }
        arguments.push(data);
        Ok(Plan::Call(kind, routine, arguments))
    }

    /// IRP_MN_REGINFO and IRP_MN_REGINFO_EX: builds the WMIREGINFO.
    fn wmi_registration(&self, library: &WmiLibContext, request: &WmiRequest) -> Ddi<Plan> {
        if library.query_wmi_reg_info == 0 {
            return Ok(Plan::fail(NtStatus::INVALID_DEVICE_REQUEST));
        }
        // Flags, InstanceName, RegistryPath, MofResourceName and Pdo, 16 bytes for each.
        let scratch = self.pool_allocate(NONPAGED, 80, tag(b"WmiL"))?;
        if scratch == 0 {
            return Ok(Plan::fail(NtStatus::INSUFFICIENT_RESOURCES));
        }
        self.zero(scratch, 80)?;
        let [flags, name, path, mof, pdo] = [0, 16, 32, 48, 64].map(|offset| scratch + offset);
        let status = self.call_at_same_level(
            "DpWmiQueryReginfo",
            library.query_wmi_reg_info,
            &[request.device, flags, name, path, mof, pdo],
        )?;
        let status = NtStatus(status as i32);
        let flags = self.read(DriverPtr::<u32>::new(flags))?;
        let base_name = self.read(DriverPtr::<UnicodeString>::new(name))?;
        let path = self.read(DriverPtr::<u64>::new(path))?;
        let mof = self.read(DriverPtr::<UnicodeString>::new(mof))?;
        let pdo = self.read(DriverPtr::<u64>::new(pdo))?;
        self.pool_free(scratch, None)?;
        if status.0 < 0 {
            return Ok(Plan::fail(status));
        }
        let is_named = flags & INSTANCE_BASENAME != 0;
        let mut strings = Vec::new();
        if request.path == REGISTER {
            strings.push((8, self.counted_string(path)?));
            strings.push((12, self.counted_text(&mof)?));
        }
        let base = if is_named {
            self.counted_text(&base_name)?
        } else {
            Vec::new()
        };
        if is_named && base_name.buffer != 0 {
            self.pool_free(base_name.buffer, None)?;
        }
        let fixed = REG_INFO_SIZE + REG_GUID_SIZE * library.guid_count as usize;
        let behind: usize = strings.iter().map(|(_, text)| text.len()).sum();
        let Ok(size) = u32::try_from(fixed + behind + base.len()) else {
            return Ok(Plan::fail(NtStatus::INVALID_PARAMETER));
        };
        if request.room < size {
            return self.wmi_registration_too_small(request, size);
        }
        let mut info = alloc::vec![0_u8; fixed];
        put(&mut info, 0, size);
        put(&mut info, 16, library.guid_count);
        for (offset, text) in strings.iter().filter(|(_, text)| !text.is_empty()) {
            let here = info.len() as u32;
            put(&mut info, *offset, here);
            info.extend(text);
        }
        let instance_info = match (is_named, flags & INSTANCE_PDO != 0) {
            (true, _) => info.len() as u64,
            (false, true) => pdo,
            (false, false) => 0,
        };
        info.extend(&base);
        let list = DriverPtr::<WmiGuidRegInfo>::new(library.guid_list);
        for index in 0..library.guid_count as usize {
            let block = self.read(list.element(index))?;
            let start = REG_INFO_SIZE + index * REG_GUID_SIZE;
            let guid = self.read_bytes(block.guid, 16)?;
            info[start..start + 16].copy_from_slice(&guid);
            put(&mut info, start + 16, block.flags | flags);
            put(&mut info, start + 20, block.instance_count);
            info[start + 24..start + 32].copy_from_slice(&instance_info.to_le_bytes());
            // WMI drops these references when it has looked at the answer.
            if !is_named
                && flags & INSTANCE_PDO != 0
                && request.minor == minor_wmi::IRP_MN_REGINFO_EX
            {
                self.obf_reference_object(pdo)?;
            }
        }
        self.write_bytes(request.buffer, &info)?;
        Ok(Plan::Answer(NtStatus::SUCCESS, size.into()))
    }

    /// The answer to a registration request without room for it: the size needed.
    fn wmi_registration_too_small(&self, request: &WmiRequest, size: u32) -> Ddi<Plan> {
        if request.room < 4 {
            return Ok(Plan::fail(NtStatus::BUFFER_TOO_SMALL));
        }
        self.write(request.field(0), size)?;
        Ok(Plan::Answer(NtStatus::BUFFER_TOO_SMALL, 4))
    }

    /// As [`Kernel::counted_text`], for the UNICODE_STRING at `address`; nothing for NULL.
    fn counted_string(&self, address: u64) -> Ddi<Vec<u8>> {
        if address == 0 {
            return Ok(Vec::new());
        }
        let string = self.read(DriverPtr::<UnicodeString>::new(address))?;
        self.counted_text(&string)
    }

    /// A string as WMI counts it: a USHORT with the length in bytes, and the text. Nothing
    /// for a string without a buffer.
    fn counted_text(&self, string: &UnicodeString) -> Ddi<Vec<u8>> {
        if string.buffer == 0 {
            return Ok(Vec::new());
        }
        let length = string.length & !1;
        let text = self.read_bytes(string.buffer, length.into())?;
        Ok([&length.to_le_bytes()[..], &text[..]].concat())
    }

    /// `NTSTATUS WmiFireEvent(PDEVICE_OBJECT, LPCGUID, ULONG InstanceIndex, ULONG EventDataSize, PVOID EventData)`
    ///
    /// Sends an event of the driver's, and frees `data`.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: what IoWMIWriteEvent returned; INSUFFICIENT_RESOURCES without memory for
    ///   the event.
    /// - Findings: those of freeing pool.
    /// - Source: WDK reference, wmilib.WmiFireEvent.
    ///
    /// # Errors
    /// An argument that is not memory; data that is not pool; the bug check if the device
    /// is none.
    pub fn wmi_fire_event(
        &self,
        device: u64,
        guid: DriverPtr<Guid>,
        instance: u32,
        size: u32,
        data: u64,
    ) -> Ddi<NtStatus> {
        self.expect_device(device)?;
        let guid = self.read(guid)?;
        let size = if data == 0 { 0 } else { size };
        let whole = SINGLE_INSTANCE_SIZE.checked_add(size);
        let event = match whole {
            Some(whole) => self.pool_allocate(NONPAGED, whole.into(), tag(b"WmiL"))?,
            None => 0,
        };
        if event != 0 {
            self.zero(event, SINGLE_INSTANCE_SIZE.into())?;
            let header = WNodeHeader {
                buffer_size: SINGLE_INSTANCE_SIZE + size,
                provider_id: self.io_wmi_device_object_to_provider_id(device)?,
                time_stamp: (START_SYSTEM_TIME + self.time_100ns()) as i64,
                guid,
                flags: wnode::SINGLE_INSTANCE | wnode::EVENT_ITEM | wnode::STATIC_INSTANCE_NAMES,
                ..super::driver::zeroed()
            };
            self.write(DriverPtr::new(event), header)?;
            for (offset, value) in [(52, instance), (56, SINGLE_INSTANCE_SIZE), (60, size)] {
                self.write(DriverPtr::<u32>::new(event + offset), value)?;
            }
            let bytes = self.read_bytes(data, size as usize)?;
            self.write_bytes(event + u64::from(SINGLE_INSTANCE_SIZE), &bytes)?;
        }
        if data != 0 {
            self.pool_free(data, None)?;
        }
        if event == 0 {
            return Ok(NtStatus::INSUFFICIENT_RESOURCES);
        }
        self.io_wmi_write_event(event)
    }
}

/// The minor functions that are of WMI.
fn is_wmi(minor: u8) -> bool {
    minor <= minor_wmi::IRP_MN_EXECUTE_METHOD || minor == minor_wmi::IRP_MN_REGINFO_EX
}

/// Enabling and disabling. A driver without a routine for it has nothing to do.
fn wmi_control(library: &WmiLibContext, request: &WmiRequest, index: u32) -> Plan {
    use minor_wmi::{IRP_MN_DISABLE_EVENTS, IRP_MN_ENABLE_COLLECTION, IRP_MN_ENABLE_EVENTS};
    if library.wmi_function_control == 0 {
        return Plan::Answer(NtStatus::SUCCESS, 0);
    }
    let function = match request.minor {
        IRP_MN_ENABLE_EVENTS | IRP_MN_DISABLE_EVENTS => EVENT_CONTROL,
        _ => DATA_BLOCK_CONTROL,
    };
    let enable = matches!(
        request.minor,
        IRP_MN_ENABLE_EVENTS | IRP_MN_ENABLE_COLLECTION
    );
    let arguments = alloc::vec![
        request.device,
        request.irp,
        index.into(),
        function,
        enable.into()
    ];
    Plan::Call(
        "DpWmiFunctionControl",
        library.wmi_function_control,
        arguments,
    )
}

/// Writes a ULONG into a structure that is being built.
fn put(bytes: &mut [u8], offset: usize, value: u32) {
    bytes[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
}
