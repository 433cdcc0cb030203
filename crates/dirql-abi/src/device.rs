//! Driver and device objects.
//!
//! Source: WDK reference, wdm.DRIVER_OBJECT, wdm.DEVICE_OBJECT, "Specifying Device Types",
//! "Specifying Device Characteristics"; wdm.h.

use crate::dispatcher::{KDeviceQueue, KDeviceQueueEntry, KEvent};
use crate::dpc::KDpc;
use crate::layout::{layouts, named_values};
use crate::string::UnicodeString;

/// Entries of [`DriverObject::major_function`]: `IRP_MJ_MAXIMUM_FUNCTION + 1`.
pub const MAJOR_FUNCTIONS: usize = 28;

layouts! {
    /// A loaded driver. `DriverEntry` fills in its routines.
    struct DriverObject = "DRIVER_OBJECT", size 336 {
        /// [`io_type::IO_TYPE_DRIVER`].
        0 type_: i16 = "Type",
        2 size: i16 = "Size",
        4 padding4: u32,
        /// First device of the driver; the list goes on with `NextDevice`.
        8 device_object: u64 = "DeviceObject",
        /// [`driver_flags`].
        16 flags: u32 = "Flags",
        20 padding20: u32,
        24 driver_start: u64 = "DriverStart",
        32 driver_size: u32 = "DriverSize",
        36 padding36: u32,
        40 driver_section: u64 = "DriverSection",
        48 driver_extension: u64 = "DriverExtension",
        56 driver_name: UnicodeString = "DriverName",
        /// Points at the string `\REGISTRY\MACHINE\HARDWARE\DESCRIPTION\SYSTEM`.
        72 hardware_database: u64 = "HardwareDatabase",
        80 fast_io_dispatch: u64 = "FastIoDispatch",
        88 driver_init: u64 = "DriverInit",
        96 driver_start_io: u64 = "DriverStartIo",
        104 driver_unload: u64 = "DriverUnload",
        /// Dispatch routines by [`crate::irp::major`] code.
        112 major_function: [u64; MAJOR_FUNCTIONS] = "MajorFunction",
    }

    /// The part of a driver object that `DriverEntry` reaches through a pointer.
    struct DriverExtension = "DRIVER_EXTENSION", size 40 {
        0 driver_object: u64 = "DriverObject",
        8 add_device: u64 = "AddDevice",
        /// How often its reinitialization routine was called.
        16 count: u32 = "Count",
        20 padding20: u32,
        24 service_key_name: UnicodeString = "ServiceKeyName",
    }

    /// A device. The driver's own extension follows it in memory.
    ///
    /// 16-byte aligned and so 336 bytes on Windows; some headers give no alignment and
    /// come to 328.
    struct DeviceObject = "DEVICE_OBJECT", size 336, align(16) {
        /// [`io_type::IO_TYPE_DEVICE`].
        0 type_: i16 = "Type",
        /// Of this structure and the device extension together.
        2 size: u16 = "Size",
        4 reference_count: i32 = "ReferenceCount",
        8 driver_object: u64 = "DriverObject",
        /// Next device of the same driver.
        16 next_device: u64 = "NextDevice",
        /// The device that is attached on top of this one.
        24 attached_device: u64 = "AttachedDevice",
        /// What `StartIo` works on.
        32 current_irp: u64 = "CurrentIrp",
        40 timer: u64 = "Timer",
        /// [`device_flags`].
        48 flags: u32 = "Flags",
        /// [`characteristics`].
        52 characteristics: u32 = "Characteristics",
        56 vpb: u64 = "Vpb",
        64 device_extension: u64 = "DeviceExtension",
        /// [`device_type`].
        72 device_type: u32 = "DeviceType",
        /// Stack locations that an IRP for this device needs.
        76 stack_size: i8 = "StackSize",
        77 padding77: [u8; 3],
        /// A list entry of the file systems, or this device's wait for an adapter.
        80 queue: WaitContextBlock = "Queue.Wcb",
        /// Alignment of buffers, less 1.
        152 alignment_requirement: u32 = "AlignmentRequirement",
        156 padding156: u32,
        160 device_queue: KDeviceQueue = "DeviceQueue",
        /// The DPC behind `IoInitializeDpcRequest` and `IoRequestDpc`.
        200 dpc: KDpc = "Dpc",
        264 active_thread_count: u32 = "ActiveThreadCount",
        268 padding268: u32,
        272 security_descriptor: u64 = "SecurityDescriptor",
        280 device_lock: KEvent = "DeviceLock",
        304 sector_size: u16 = "SectorSize",
        306 spare1: u16 = "Spare1",
        308 padding308: u32,
        312 device_object_extension: u64 = "DeviceObjectExtension",
        320 reserved: u64 = "Reserved",
        328 padding328: u64,
    }

    /// A device's wait for map registers or for a controller.
    struct WaitContextBlock = "WAIT_CONTEXT_BLOCK", size 72 {
        0 wait_queue_entry: KDeviceQueueEntry = "WaitQueueEntry",
        24 device_routine: u64 = "DeviceRoutine",
        32 device_context: u64 = "DeviceContext",
        40 number_of_map_registers: u32 = "NumberOfMapRegisters",
        44 padding44: u32,
        48 device_object: u64 = "DeviceObject",
        56 current_irp: u64 = "CurrentIrp",
        64 buffer_chaining_dpc: u64 = "BufferChainingDpc",
    }

    /// A controller object, which serialises the devices of one controller.
    struct ControllerObject = "CONTROLLER_OBJECT", size 72 {
        /// [`io_type::IO_TYPE_CONTROLLER`].
        0 type_: i16 = "Type",
        2 size: i16 = "Size",
        4 padding4: u32,
        8 controller_extension: u64 = "ControllerExtension",
        16 device_wait_queue: KDeviceQueue = "DeviceWaitQueue",
        56 spare1: u32 = "Spare1",
        60 padding60: u32,
        64 spare2: i64 = "Spare2",
    }

    /// The mounted volume of a storage device.
    struct Vpb = "VPB", size 96 {
        /// [`io_type::IO_TYPE_VPB`].
        0 type_: i16 = "Type",
        2 size: i16 = "Size",
        4 flags: u16 = "Flags",
        6 volume_label_length: u16 = "VolumeLabelLength",
        8 device_object: u64 = "DeviceObject",
        16 real_device: u64 = "RealDevice",
        24 serial_number: u32 = "SerialNumber",
        28 reference_count: u32 = "ReferenceCount",
        32 volume_label: [u16; 32] = "VolumeLabel",
    }
}

named_values! {
    /// `Type` of the I/O manager's objects.
    mod io_type: i16 {
        IO_TYPE_ADAPTER = 1,
        IO_TYPE_CONTROLLER = 2,
        IO_TYPE_DEVICE = 3,
        IO_TYPE_DRIVER = 4,
        IO_TYPE_FILE = 5,
        IO_TYPE_IRP = 6,
        IO_TYPE_MASTER_ADAPTER = 7,
        IO_TYPE_OPEN_PACKET = 8,
        IO_TYPE_TIMER = 9,
        IO_TYPE_VPB = 10,
        IO_TYPE_ERROR_LOG = 11,
        IO_TYPE_ERROR_MESSAGE = 12,
        IO_TYPE_DEVICE_OBJECT_EXTENSION = 13,
    }

    /// Bits of `Flags` of a driver object.
    mod driver_flags: u32 {
        DRVO_UNLOAD_INVOKED = 0x0001,
        /// The driver has no `AddDevice`.
        DRVO_LEGACY_DRIVER = 0x0002,
        DRVO_BUILTIN_DRIVER = 0x0004,
        DRVO_REINIT_REGISTERED = 0x0008,
        DRVO_INITIALIZED = 0x0010,
        DRVO_BOOTREINIT_REGISTERED = 0x0020,
        DRVO_LEGACY_RESOURCES = 0x0040,
    }

    /// Bits of `Flags` of a device object.
    mod device_flags: u32 {
        DO_VERIFY_VOLUME = 0x0000_0002,
        /// Reads and writes are given a system buffer.
        DO_BUFFERED_IO = 0x0000_0004,
        DO_EXCLUSIVE = 0x0000_0008,
        /// Reads and writes are given a memory descriptor list.
        DO_DIRECT_IO = 0x0000_0010,
        DO_MAP_IO_BUFFER = 0x0000_0020,
        DO_DEVICE_HAS_NAME = 0x0000_0040,
        /// Set at creation; `AddDevice` has to clear it.
        DO_DEVICE_INITIALIZING = 0x0000_0080,
        DO_SYSTEM_BOOT_PARTITION = 0x0000_0100,
        DO_LONG_TERM_REQUESTS = 0x0000_0200,
        DO_NEVER_LAST_DEVICE = 0x0000_0400,
        DO_SHUTDOWN_REGISTERED = 0x0000_0800,
        DO_BUS_ENUMERATED_DEVICE = 0x0000_1000,
        /// Power requests arrive at `PASSIVE_LEVEL`.
        DO_POWER_PAGABLE = 0x0000_2000,
        DO_POWER_INRUSH = 0x0000_4000,
        DO_LOW_PRIORITY_FILESYSTEM = 0x0001_0000,
    }

    /// Bits of `Characteristics` of a device object.
    mod characteristics: u32 {
        FILE_REMOVABLE_MEDIA = 0x0000_0001,
        FILE_READ_ONLY_DEVICE = 0x0000_0002,
        FILE_FLOPPY_DISKETTE = 0x0000_0004,
        FILE_WRITE_ONCE_MEDIA = 0x0000_0008,
        FILE_REMOTE_DEVICE = 0x0000_0010,
        FILE_DEVICE_IS_MOUNTED = 0x0000_0020,
        FILE_VIRTUAL_VOLUME = 0x0000_0040,
        FILE_AUTOGENERATED_DEVICE_NAME = 0x0000_0080,
        FILE_DEVICE_SECURE_OPEN = 0x0000_0100,
        FILE_CHARACTERISTIC_PNP_DEVICE = 0x0000_0800,
        FILE_CHARACTERISTIC_TS_DEVICE = 0x0000_1000,
        FILE_CHARACTERISTIC_WEBDAV_DEVICE = 0x0000_2000,
    }

    /// `DEVICE_TYPE`. Values from 0x8000 belong to vendors.
    mod device_type: u32 {
        FILE_DEVICE_BEEP = 0x01,
        FILE_DEVICE_CD_ROM = 0x02,
        FILE_DEVICE_CD_ROM_FILE_SYSTEM = 0x03,
        FILE_DEVICE_CONTROLLER = 0x04,
        FILE_DEVICE_DATALINK = 0x05,
        FILE_DEVICE_DFS = 0x06,
        FILE_DEVICE_DISK = 0x07,
        FILE_DEVICE_DISK_FILE_SYSTEM = 0x08,
        FILE_DEVICE_FILE_SYSTEM = 0x09,
        FILE_DEVICE_INPORT_PORT = 0x0A,
        FILE_DEVICE_KEYBOARD = 0x0B,
        FILE_DEVICE_MAILSLOT = 0x0C,
        FILE_DEVICE_MIDI_IN = 0x0D,
        FILE_DEVICE_MIDI_OUT = 0x0E,
        FILE_DEVICE_MOUSE = 0x0F,
        FILE_DEVICE_MULTI_UNC_PROVIDER = 0x10,
        FILE_DEVICE_NAMED_PIPE = 0x11,
        FILE_DEVICE_NETWORK = 0x12,
        FILE_DEVICE_NETWORK_BROWSER = 0x13,
        FILE_DEVICE_NETWORK_FILE_SYSTEM = 0x14,
        FILE_DEVICE_NULL = 0x15,
        FILE_DEVICE_PARALLEL_PORT = 0x16,
        FILE_DEVICE_PHYSICAL_NETCARD = 0x17,
        FILE_DEVICE_PRINTER = 0x18,
        FILE_DEVICE_SCANNER = 0x19,
        FILE_DEVICE_SERIAL_MOUSE_PORT = 0x1A,
        FILE_DEVICE_SERIAL_PORT = 0x1B,
        FILE_DEVICE_SCREEN = 0x1C,
        FILE_DEVICE_SOUND = 0x1D,
        FILE_DEVICE_STREAMS = 0x1E,
        FILE_DEVICE_TAPE = 0x1F,
        FILE_DEVICE_TAPE_FILE_SYSTEM = 0x20,
        FILE_DEVICE_TRANSPORT = 0x21,
        FILE_DEVICE_UNKNOWN = 0x22,
        FILE_DEVICE_VIDEO = 0x23,
        FILE_DEVICE_VIRTUAL_DISK = 0x24,
        FILE_DEVICE_WAVE_IN = 0x25,
        FILE_DEVICE_WAVE_OUT = 0x26,
        FILE_DEVICE_8042_PORT = 0x27,
        FILE_DEVICE_NETWORK_REDIRECTOR = 0x28,
        FILE_DEVICE_BATTERY = 0x29,
        FILE_DEVICE_BUS_EXTENDER = 0x2A,
        FILE_DEVICE_MODEM = 0x2B,
        FILE_DEVICE_VDM = 0x2C,
        FILE_DEVICE_MASS_STORAGE = 0x2D,
        FILE_DEVICE_SMB = 0x2E,
        FILE_DEVICE_KS = 0x2F,
        FILE_DEVICE_CHANGER = 0x30,
        FILE_DEVICE_SMARTCARD = 0x31,
        FILE_DEVICE_ACPI = 0x32,
        FILE_DEVICE_DVD = 0x33,
        FILE_DEVICE_FULLSCREEN_VIDEO = 0x34,
        FILE_DEVICE_DFS_FILE_SYSTEM = 0x35,
        FILE_DEVICE_DFS_VOLUME = 0x36,
        FILE_DEVICE_SERENUM = 0x37,
        FILE_DEVICE_TERMSRV = 0x38,
        FILE_DEVICE_KSEC = 0x39,
        FILE_DEVICE_FIPS = 0x3A,
        FILE_DEVICE_INFINIBAND = 0x3B,
        FILE_DEVICE_VMBUS = 0x3E,
        FILE_DEVICE_CRYPT_PROVIDER = 0x3F,
        FILE_DEVICE_WPD = 0x40,
        FILE_DEVICE_BLUETOOTH = 0x41,
        FILE_DEVICE_MT_COMPOSITE = 0x42,
        FILE_DEVICE_MT_TRANSPORT = 0x43,
        FILE_DEVICE_BIOMETRIC = 0x44,
        FILE_DEVICE_PMI = 0x45,
    }

    /// `DEVICE_REGISTRY_PROPERTY` of `IoGetDeviceProperty`.
    #[expect(non_upper_case_globals, reason = "spelled as the enumeration of the headers")]
    mod device_property: u32 {
        DevicePropertyDeviceDescription = 0,
        DevicePropertyHardwareID = 1,
        DevicePropertyCompatibleIDs = 2,
        DevicePropertyBootConfiguration = 3,
        DevicePropertyBootConfigurationTranslated = 4,
        DevicePropertyClassName = 5,
        DevicePropertyClassGuid = 6,
        DevicePropertyDriverKeyName = 7,
        DevicePropertyManufacturer = 8,
        DevicePropertyFriendlyName = 9,
        DevicePropertyLocationInformation = 10,
        DevicePropertyPhysicalDeviceObjectName = 11,
        DevicePropertyBusTypeGuid = 12,
        DevicePropertyLegacyBusType = 13,
        DevicePropertyBusNumber = 14,
        DevicePropertyEnumeratorName = 15,
        DevicePropertyAddress = 16,
        DevicePropertyUINumber = 17,
        DevicePropertyInstallState = 18,
        DevicePropertyRemovalPolicy = 19,
    }
}
