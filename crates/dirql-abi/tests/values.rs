//! Names, numbers and the few accessors: every boundary.

use dirql_abi::bugcheck::BugCheckCode;
use dirql_abi::guid::{GUID_MSIX_TABLE_CONFIG_INTERFACE, Guid};
use dirql_abi::interrupt::{
    FullySpecified, IoConnectInterruptParameters, IoInterruptMessageInfo, LineBased, MessageBased,
    connect_version,
};
use dirql_abi::io::{ControlCode, ctl_code};
use dirql_abi::irp::{IoStackLocation, major, minor_pnp};
use dirql_abi::memory::Mdl;
use dirql_abi::parallel::ioctl;
use dirql_abi::pci::PciSlotNumber;
use dirql_abi::processor::KSystemTime;
use dirql_abi::resource::{
    CmInterrupt, CmMessageRaw, CmPartialResourceDescriptor, CmRange, IoInterrupt,
    IoResourceDescriptor, interrupt_flags, resource_type, share_disposition,
};
use dirql_abi::stack_parameters::{StackParametersDeviceIoControl, StackParametersSetLock};
use dirql_abi::status::Severity;
use dirql_abi::{ALL_NAMED_VALUES, Irql, NtStatus, is_true};
use zerocopy::{FromBytes, FromZeros, IntoBytes};

#[test]
fn a_known_status_shows_its_name_and_an_unknown_one_its_number() {
    assert_eq!(
        NtStatus::INVALID_PARAMETER.to_string(),
        "STATUS_INVALID_PARAMETER (0xC000000D)"
    );
    assert_eq!(NtStatus::SUCCESS.to_string(), "STATUS_SUCCESS (0x00000000)");
    assert_eq!(NtStatus::from_bits(0xDEAD_BEEF).to_string(), "0xDEADBEEF");
    assert_eq!(NtStatus(-1).name(), None);
}

#[test]
fn every_status_is_found_by_number_and_by_name() {
    for (status, name) in NtStatus::TABLE {
        assert_eq!(status.name(), Some(*name));
        assert_eq!(NtStatus::from_name(name), Some(*status));
        assert_eq!(
            NtStatus::from_name(name.trim_start_matches("STATUS_")),
            Some(*status)
        );
    }
    assert_eq!(NtStatus::from_name("STATUS_STATUS_SUCCESS"), None);
    assert_eq!(NtStatus::from_name(""), None);
}

#[test]
fn severity_changes_at_each_quarter_of_the_range() {
    let at = |bits| {
        let status = NtStatus::from_bits(bits);
        (
            status.severity(),
            status.is_success(),
            status.is_warning(),
            status.is_error(),
        )
    };
    assert_eq!(at(0x0000_0000), (Severity::Success, true, false, false));
    assert_eq!(at(0x3FFF_FFFF), (Severity::Success, true, false, false));
    assert_eq!(
        at(0x4000_0000),
        (Severity::Informational, true, false, false)
    );
    assert_eq!(
        at(0x7FFF_FFFF),
        (Severity::Informational, true, false, false)
    );
    assert_eq!(at(0x8000_0000), (Severity::Warning, false, true, false));
    assert_eq!(at(0xBFFF_FFFF), (Severity::Warning, false, true, false));
    assert_eq!(at(0xC000_0000), (Severity::Error, false, false, true));
    assert_eq!(at(0xFFFF_FFFF), (Severity::Error, false, false, true));
    assert_eq!(NtStatus::from_bits(0xCFFF_0000).facility(), 0xFFF);
    assert_eq!(NtStatus::from_bits(0xF000_FFFF).facility(), 0);
}

#[test]
fn an_irql_shows_its_name_its_number_or_that_it_is_none() {
    let shown: Vec<String> = (0..=16).map(|level| Irql(level).to_string()).collect();
    assert_eq!(
        shown.join(", "),
        "PASSIVE_LEVEL, APC_LEVEL, DISPATCH_LEVEL, DIRQL 3, DIRQL 4, DIRQL 5, DIRQL 6, DIRQL 7, \
         DIRQL 8, DIRQL 9, DIRQL 10, DIRQL 11, SYNCH_LEVEL, CLOCK_LEVEL, IPI_LEVEL, HIGH_LEVEL, \
         IRQL 16"
    );
    assert!(Irql(15).is_valid());
    assert!(!Irql(16).is_valid());
    assert!(!Irql(255).is_valid());
}

#[test]
fn device_levels_are_those_of_vectors_0x30_to_0xbf() {
    let device = |vector| Irql::of_vector(vector).is_device();
    assert_eq!(
        [0x2F, 0x30, 0x3F, 0xB0, 0xBF, 0xC0].map(device),
        [false, true, true, true, true, false]
    );
    assert_eq!(Irql::of_vector(0xFF), Irql::HIGH);
    assert_eq!(Irql::of_vector(0x51), Irql(5));
}

#[test]
fn a_bug_check_shows_its_name() {
    assert_eq!(
        BugCheckCode(0xA).to_string(),
        "IRQL_NOT_LESS_OR_EQUAL (0xA)"
    );
    assert_eq!(
        BugCheckCode(0x1DB).to_string(),
        "IPI_WATCHDOG_TIMEOUT (0x1DB)"
    );
    assert_eq!(BugCheckCode(0xFFFF_FFFF).to_string(), "0xFFFFFFFF");
}

#[test]
fn a_guid_is_written_in_braces() {
    assert_eq!(
        GUID_MSIX_TABLE_CONFIG_INTERFACE.to_string(),
        "{1A6A460B-194F-455D-B34B-B84C5B05712B}"
    );
    assert_eq!(
        GUID_MSIX_TABLE_CONFIG_INTERFACE.name(),
        Some("GUID_MSIX_TABLE_CONFIG_INTERFACE")
    );
    let zero = Guid::new_zeroed();
    assert_eq!(zero.to_string(), "{00000000-0000-0000-0000-000000000000}");
    assert_eq!(zero.name(), None);
}

#[test]
fn every_byte_but_zero_is_true() {
    assert_eq!(
        (0..=u8::MAX)
            .filter(|byte| !is_true(*byte))
            .collect::<Vec<_>>(),
        [0]
    );
}

#[test]
fn a_control_code_is_cut_to_its_fields_and_taken_apart_again() {
    assert_eq!(ctl_code(u32::MAX, u32::MAX, u32::MAX, u32::MAX), u32::MAX);
    assert_eq!(ctl_code(0x1_0000, 0x1000, 4, 4), 0);
    assert_eq!(ctl_code(0x22, 0x801, 3, 2), 0x0022_A007);
    let parts = ControlCode {
        device_type: 0x22,
        access: 2,
        function: 0x801,
        method: 3,
    };
    assert_eq!(ControlCode::of(0x0022_A007), parts);
    for bit in 0..32 {
        let ControlCode {
            device_type,
            access,
            function,
            method,
        } = ControlCode::of(1 << bit);
        let again = ctl_code(
            device_type.into(),
            function.into(),
            method.into(),
            access.into(),
        );
        assert_eq!(again, 1 << bit);
    }
}

#[test]
fn parallel_port_codes_are_buffered_and_for_any_access() {
    for (code, name) in ioctl::TABLE {
        let ControlCode {
            device_type,
            access,
            method,
            ..
        } = ControlCode::of(*code);
        assert_eq!((device_type, access, method), (0x16, 0, 0), "{name}");
    }
    let functions: Vec<u16> = ioctl::TABLE
        .iter()
        .map(|(code, _)| ControlCode::of(*code).function)
        .collect();
    let expected = [
        11, 12, 13, 14, 15, 17, 18, 19, 20, 21, 22, 23, 24, 29, 30, 31, 32, 37, 38,
    ]
    .into_iter()
    .chain([40, 41, 42, 43, 44, 50, 51, 52, 53, 54, 55]);
    assert_eq!(functions, expected.collect::<Vec<u16>>());
}

#[test]
fn an_arm_of_a_stack_location_reads_back_and_spares_what_is_beyond() {
    let mut location = IoStackLocation::new_zeroed();
    location.parameter_bytes = [u64::MAX; 4];
    location.set_parameters(&StackParametersSetLock { lock: 2 });
    assert_eq!(location.parameters::<StackParametersSetLock>().lock, 2);
    assert_eq!(
        location.parameter_bytes,
        [0xFFFF_FFFF_FFFF_FF02, u64::MAX, u64::MAX, u64::MAX]
    );
    let io = location.parameters::<StackParametersDeviceIoControl>();
    assert_eq!(io.output_buffer_length, 0xFFFF_FF02);
    assert_eq!(io.type3_input_buffer, u64::MAX);
    assert_eq!(location.major_function, 0);
}

#[test]
fn function_codes_have_names() {
    assert_eq!(major::name(0x1B), Some("IRP_MJ_PNP"));
    assert_eq!(major::name(0x1C), None);
    assert_eq!(minor_pnp::name(0x0E), None);
    assert_eq!(minor_pnp::name(0), Some("IRP_MN_START_DEVICE"));
}

#[test]
fn a_connect_block_lies_eight_bytes_into_the_parameters() {
    let mut block = FullySpecified::new_zeroed();
    block.physical_device_object = 0x1111_2222_3333_4444;
    block.vector = 0x51;
    block.group = 3;
    let version = connect_version::CONNECT_FULLY_SPECIFIED_GROUP;
    let parameters = IoConnectInterruptParameters::new(version, &block);
    let bytes = parameters.as_bytes();
    assert_eq!(bytes[..4], [4, 0, 0, 0]);
    assert_eq!(bytes[8..16], 0x1111_2222_3333_4444_u64.to_le_bytes());
    assert_eq!(bytes[52..56], [0x51, 0, 0, 0]);
    assert_eq!(bytes[72..74], [3, 0]);
    assert_eq!(parameters.block::<FullySpecified>(), block);
}

/// The blocks overlay: a retry that does not clear the block carries old bytes over.
#[test]
fn a_fall_back_routine_is_read_as_irql_and_mode_by_a_careless_retry() {
    let mut message = MessageBased::new_zeroed();
    message.message_service_routine = 0xAAAA;
    message.fall_back_service_routine = 0x0000_0001_0000_0007;
    let parameters =
        IoConnectInterruptParameters::new(connect_version::CONNECT_MESSAGE_BASED, &message);
    let full = parameters.block::<FullySpecified>();
    assert_eq!(full.service_routine, 0xAAAA);
    assert_eq!(full.irql, Irql(7));
    assert_eq!(full.interrupt_mode, 1);
    assert_eq!(parameters.block::<LineBased>().service_routine, 0xAAAA);
}

#[test]
fn entries_of_the_message_table_follow_its_head() {
    assert_eq!(IoInterruptMessageInfo::entry_offset(0), 8);
    assert_eq!(IoInterruptMessageInfo::entry_offset(1), 56);
    assert_eq!(
        IoInterruptMessageInfo::entry_offset(u32::MAX),
        8 + 48 * u64::from(u32::MAX)
    );
}

#[test]
fn a_line_and_a_translated_message_have_one_layout_and_a_raw_message_another() {
    let flags = interrupt_flags::CM_RESOURCE_INTERRUPT_MESSAGE
        | interrupt_flags::CM_RESOURCE_INTERRUPT_LATCHED;
    let raw = CmMessageRaw {
        group: 0,
        message_count: 4,
        vector: 0xFFFF_FFFE,
        affinity: 3,
    };
    let descriptor = CmPartialResourceDescriptor::new(
        resource_type::CmResourceTypeInterrupt,
        share_disposition::CmResourceShareDeviceExclusive,
        flags,
        &raw,
    );
    assert_eq!(
        descriptor.as_bytes(),
        [
            2, 1, 3, 0, 0, 0, 4, 0, 0xFE, 0xFF, 0xFF, 0xFF, 3, 0, 0, 0, 0, 0, 0, 0
        ]
    );
    let line = descriptor.arm::<CmInterrupt>();
    assert_eq!((line.level, line.group), (0, 4));
    let vector = line.vector;
    assert_eq!(vector, 0xFFFF_FFFE);
    assert_eq!(descriptor.arm::<CmMessageRaw>(), raw);
}

#[test]
fn a_short_arm_leaves_the_rest_of_a_descriptor_zero() {
    let range = CmRange {
        start: u64::MAX,
        length: u32::MAX,
    };
    let descriptor = CmPartialResourceDescriptor::new(3, 1, 0, &range);
    assert_eq!(descriptor.u[..12], [0xFF; 12]);
    assert_eq!(descriptor.u[12..], [0; 4]);
}

#[test]
fn a_requirement_reads_back() {
    let arm = IoInterrupt {
        minimum_vector: 0xFFFF_FFFB,
        maximum_vector: 0xFFFF_FFFE,
        affinity_policy: 4,
        group: 1,
        priority_policy: 2,
        targeted_processors: 0xF0,
    };
    let descriptor = IoResourceDescriptor::new(0, 2, 1, 7, &arm);
    assert_eq!(descriptor.arm::<IoInterrupt>(), arm);
    let bytes = descriptor.as_bytes();
    assert_eq!(bytes[..8], [0, 2, 1, 0, 7, 0, 0, 0]);
    assert_eq!(bytes[16..20], [4, 0, 1, 0]);
    assert_eq!(IoResourceDescriptor::read_from_bytes(bytes), Ok(descriptor));
}

#[test]
fn a_descriptor_may_lie_anywhere() {
    let mut bytes = [0; 21];
    bytes[1] = 2;
    bytes[13] = 0x80;
    let descriptor = CmPartialResourceDescriptor::read_from_bytes(&bytes[1..]).unwrap();
    assert_eq!(descriptor.type_, 2);
    let affinity = descriptor.arm::<CmInterrupt>().affinity;
    assert_eq!(affinity, 0x80);
}

#[test]
fn a_system_time_has_its_high_part_twice() {
    for value in [0, 1, u64::from(u32::MAX), 1 << 32, u64::MAX] {
        let time = KSystemTime::new(value);
        assert_eq!(time.high1_time, time.high2_time);
        assert_eq!(time.value(), value);
    }
}

#[test]
fn pages_of_a_buffer_count_its_offset() {
    let cases = [
        (0, 0, 0),
        (0, 1, 1),
        (0, 4096, 1),
        (0, 4097, 2),
        (4095, 1, 1),
        (4095, 2, 2),
        (1, 0, 1),
        (4095, u32::MAX, 0x10_0001),
    ];
    for (offset, count, pages) in cases {
        assert_eq!(Mdl::pages(offset, count), pages, "{offset} {count}");
    }
}

#[test]
fn a_slot_number_is_cut_to_its_fields() {
    let slot = PciSlotNumber::new(31, 7);
    assert_eq!(
        (slot.as_ulong, slot.device(), slot.function()),
        (0xFF, 31, 7)
    );
    let slot = PciSlotNumber::new(32, 8);
    assert_eq!(slot.as_ulong, 0);
    let slot = PciSlotNumber {
        as_ulong: 0xFFFF_FF21,
    };
    assert_eq!((slot.device(), slot.function()), (1, 1));
}

#[test]
fn a_layout_names_the_member_at_an_offset() {
    let name = |offset| {
        IoStackLocation::LAYOUT
            .field_at(offset)
            .map(|field| field.member)
    };
    assert_eq!(name(0), Some(Some("MajorFunction")));
    assert_eq!(name(4), Some(None));
    assert_eq!(name(39), Some(Some("Parameters")));
    assert_eq!(name(40), Some(Some("DeviceObject")));
    assert_eq!(name(71), Some(Some("Context")));
    assert_eq!(name(72), None);
    assert_eq!(name(usize::MAX), None);
}

#[test]
fn no_enumeration_names_a_value_twice() {
    for (module, enumerations) in ALL_NAMED_VALUES {
        for (enumeration, values) in *enumerations {
            let mut seen: Vec<i64> = values.iter().map(|(value, _)| *value).collect();
            seen.sort_unstable();
            seen.dedup();
            assert_eq!(seen.len(), values.len(), "{module}::{enumeration}");
        }
    }
}
