//! Files by handle.

use dirql_abi::irp::{IoStatusBlock, major};
use dirql_abi::object::ObjectAttributes;
use dirql_abi::string::UnicodeString;
use dirql_abi::{NtStatus, is_true};
use dirql_kernel::DriverPtr;
use dirql_kernel::io::{Completion, CreateRequest, DirectoryRequest};
use dirql_kernel::rtl::CountedString;

use super::{exports, routines};

type Attributes = DriverPtr<ObjectAttributes>;
type Block = DriverPtr<IoStatusBlock>;
type Handle = DriverPtr<u64>;

/// `FILE_OPEN`.
const OPEN: u32 = dirql_abi::io::create_disposition::FILE_OPEN;

const fn completion(event: u64, apc_routine: u64, status_block: Block) -> Completion {
    Completion {
        event,
        apc_routine,
        status_block,
    }
}

exports! {
    fn IoCreateFile(
        handle: Handle, access: u32, attributes: Attributes, block: Block, _size: u64, file_attributes: u32,
        share: u32, disposition: u32, options: u32, _ea: u64, _ea_length: u32, _kind: u32, _extra: u64, _flags: u32,
    ) -> NtStatus = |k| k.zw_create_file(handle, attributes, block, CreateRequest {
        access, attributes: file_attributes, share, disposition, options,
    });
    fn ZwCreateFile(
        handle: Handle, access: u32, attributes: Attributes, block: Block, _size: u64, file_attributes: u32,
        share: u32, disposition: u32, options: u32, _ea: u64, _ea_length: u32,
    ) -> NtStatus = |k| k.zw_create_file(handle, attributes, block, CreateRequest {
        access, attributes: file_attributes, share, disposition, options,
    });
    fn ZwOpenFile(handle: Handle, access: u32, attributes: Attributes, block: Block, share: u32, options: u32) -> NtStatus
        = |k| k.zw_create_file(handle, attributes, block, CreateRequest {
            access, attributes: 0, share, disposition: OPEN, options,
        });
    fn ZwReadFile(
        handle: u64, event: u64, apc: u64, _context: u64, block: Block, buffer: u64, length: u32,
        offset: DriverPtr<i64>, _key: u64,
    ) -> NtStatus = |k| k.zw_transfer_file(
        handle, major::IRP_MJ_READ, completion(event, apc, block), buffer, length, offset,
    );
    fn ZwWriteFile(
        handle: u64, event: u64, apc: u64, _context: u64, block: Block, buffer: u64, length: u32,
        offset: DriverPtr<i64>, _key: u64,
    ) -> NtStatus = |k| k.zw_transfer_file(
        handle, major::IRP_MJ_WRITE, completion(event, apc, block), buffer, length, offset,
    );
    fn ZwDeviceIoControlFile(
        handle: u64, event: u64, apc: u64, _context: u64, block: Block, code: u32,
        input: u64, input_length: u32, output: u64, output_length: u32,
    ) -> NtStatus = |k| k.zw_control_file(
        handle, major::IRP_MJ_DEVICE_CONTROL, completion(event, apc, block), code, (input, input_length), (output, output_length),
    );
    fn ZwQueryInformationFile(handle: u64, block: Block, buffer: u64, length: u32, class: u32) -> NtStatus
        = |k| k.zw_information_file(handle, false, block, (buffer, length), class);
    fn ZwSetInformationFile(handle: u64, block: Block, buffer: u64, length: u32, class: u32) -> NtStatus
        = |k| k.zw_information_file(handle, true, block, (buffer, length), class);
    fn ZwFlushBuffersFile(handle: u64, block: Block) -> NtStatus = |k| k.zw_flush_buffers_file(handle, block);
    fn ZwFsControlFile(
        handle: u64, event: u64, apc: u64, _context: u64, block: Block, code: u32,
        input: u64, input_length: u32, output: u64, output_length: u32,
    ) -> NtStatus = |k| k.zw_control_file(
        handle, major::IRP_MJ_FILE_SYSTEM_CONTROL, completion(event, apc, block), code, (input, input_length), (output, output_length),
    );
    fn ZwQueryVolumeInformationFile(handle: u64, block: Block, buffer: u64, length: u32, class: u32) -> NtStatus
        = |k| k.zw_query_volume_information_file(handle, block, (buffer, length), class);
    fn ZwQueryDirectoryFile(
        handle: u64, event: u64, apc: u64, _context: u64, block: Block, buffer: u64, length: u32, class: u32,
        single: u8, name: DriverPtr<CountedString>, restart: u8,
    ) -> NtStatus = |k| k.zw_query_directory_file(handle, completion(event, apc, block), DirectoryRequest {
        buffer: (buffer, length), class, single: is_true(single), name, restart: is_true(restart),
    });
    fn ZwDeleteFile(attributes: Attributes) -> NtStatus = |k| k.zw_delete_file(attributes);
    fn ZwQueryFullAttributesFile(attributes: Attributes, result: DriverPtr<[u8; 56]>) -> NtStatus
        = |k| k.zw_query_full_attributes_file(attributes, result);
    fn ZwCancelIoFile(handle: u64, block: Block) -> NtStatus = |k| k.zw_cancel_io_file(handle, block);
    fn IoVolumeDeviceToDosName(device: u64, name: DriverPtr<UnicodeString>) -> NtStatus
        = |k| k.io_volume_device_to_dos_name(device, name);
    fn RtlVolumeDeviceToDosName(device: u64, name: DriverPtr<UnicodeString>) -> NtStatus
        = |k| k.io_volume_device_to_dos_name(device, name);
    fn IoQueryFileDosDeviceName(file: u64, result: DriverPtr<u64>) -> NtStatus
        = |k| k.io_query_file_dos_device_name(file, result);
    fn IoGetFileObjectGenericMapping() -> u64 = |k| k.io_get_file_object_generic_mapping();
    fn IoCheckDesiredAccess(desired: DriverPtr<u32>, granted: u32) -> NtStatus
        = |k| k.io_check_desired_access(desired, granted);
    fn ZwLoadDriver(name: DriverPtr<UnicodeString>) -> NtStatus = |k| k.zw_load_driver(name);
    fn ZwUnloadDriver(name: DriverPtr<UnicodeString>) -> NtStatus = |k| k.zw_unload_driver(name);
    fn IoCreateFileSpecifyDeviceObjectHint(
        handle: Handle, access: u32, attributes: Attributes, block: Block, _size: u64, file_attributes: u32,
        share: u32, disposition: u32, options: u32, _ea: u64, _ea_length: u32, _kind: u32, _extra: u64, _flags: u32,
        device: u64,
    ) -> NtStatus = |k| {
        if device != 0 {
            k.no_device_hint()?;
        }
        k.zw_create_file(handle, attributes, block, CreateRequest {
            access, attributes: file_attributes, share, disposition, options,
        })
    };
}

routines! {
    fn VolumeRequest(device: u64, irp: u64) -> NtStatus = |k| k.volume_request(device, irp);
}
