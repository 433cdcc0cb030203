//! Bitmaps, versions, dates, security descriptors, images.

use dirql_abi::NtStatus;
use dirql_abi::registry::RtlOsVersionInfoExW;
use dirql_kernel::DriverPtr;
use dirql_kernel::rtl::{Acl, CountedString, Part, RtlBitmap, SecurityDescriptor};

use crate::exception::frames_of_caller;
use crate::run;

use super::{Nothing, exports};

type Map = DriverPtr<RtlBitmap>;
type Descriptor = DriverPtr<SecurityDescriptor>;
type Time = DriverPtr<i64>;
type Fields = DriverPtr<[i16; 8]>;

exports! {
    fn RtlAreBitsClear(map: Map, start: u32, length: u32) -> u8 = |k| k.rtl_are_bits(map, start, length, false);
    fn RtlAreBitsSet(map: Map, start: u32, length: u32) -> u8 = |k| k.rtl_are_bits(map, start, length, true);
    fn RtlClearAllBits(map: Map) -> Nothing = |k| k.rtl_change_all_bits(map, false).map(Nothing::from);
    fn RtlClearBit(map: Map, index: u32) -> Nothing = |k| k.rtl_change_bits(map, index, 1, false).map(Nothing::from);
    fn RtlClearBits(map: Map, start: u32, number: u32) -> Nothing
        = |k| k.rtl_change_bits(map, start, number, false).map(Nothing::from);
    fn RtlFindClearBits(map: Map, number: u32, hint: u32) -> u32 = |k| k.rtl_find_bits(map, number, hint, false);
    fn RtlFindClearBitsAndSet(map: Map, number: u32, hint: u32) -> u32
        = |k| k.rtl_find_bits_and_change(map, number, hint, false);
    fn RtlFindFirstRunClear(map: Map, start: DriverPtr<u32>) -> u32 = |k| k.rtl_find_run_clear(map, 0, start);
    fn RtlFindLeastSignificantBit(set: u64) -> u8 = |k| k.rtl_find_least_significant_bit(set).map(|bit| bit as u8);
    fn RtlFindClearRuns(map: Map, runs: DriverPtr<[u32; 2]>, room: u32, longest: u8) -> u32
        = |k| k.rtl_find_clear_runs(map, runs, room, longest);
    fn RtlFindLongestRunClear(map: Map, start: DriverPtr<u32>) -> u32
        = |k| k.rtl_find_longest_run_clear(map, start);
    fn RtlFindMostSignificantBit(set: u64) -> u8 = |k| k.rtl_find_most_significant_bit(set).map(|bit| bit as u8);
    fn RtlFindNextForwardRunClear(map: Map, from: u32, start: DriverPtr<u32>) -> u32
        = |k| k.rtl_find_run_clear(map, from, start);
    fn RtlFindSetBits(map: Map, number: u32, hint: u32) -> u32 = |k| k.rtl_find_bits(map, number, hint, true);
    fn RtlFindSetBitsAndClear(map: Map, number: u32, hint: u32) -> u32
        = |k| k.rtl_find_bits_and_change(map, number, hint, true);
    fn RtlInitializeBitMap(map: Map, buffer: u64, size: u32) -> Nothing
        = |k| k.rtl_initialize_bit_map(map, buffer, size).map(Nothing::from);
    fn RtlNumberOfClearBits(map: Map) -> u32 = |k| k.rtl_number_of_bits(map, false);
    fn RtlNumberOfSetBits(map: Map) -> u32 = |k| k.rtl_number_of_bits(map, true);
    fn RtlSetAllBits(map: Map) -> Nothing = |k| k.rtl_change_all_bits(map, true).map(Nothing::from);
    fn RtlSetBit(map: Map, index: u32) -> Nothing = |k| k.rtl_change_bits(map, index, 1, true).map(Nothing::from);
    fn RtlSetBits(map: Map, start: u32, number: u32) -> Nothing
        = |k| k.rtl_change_bits(map, start, number, true).map(Nothing::from);
    fn RtlTestBit(map: Map, index: u32) -> u8 = |k| k.rtl_test_bit(map, index);

    fn RtlGetVersion(information: DriverPtr<RtlOsVersionInfoExW>) -> NtStatus = |k| k.rtl_get_version(information);
    fn RtlIsNtDdiVersionAvailable(version: u32) -> u8 = |k| k.rtl_is_nt_ddi_version_available(version);
    fn RtlVerifyVersionInfo(information: DriverPtr<RtlOsVersionInfoExW>, types: u32, conditions: u64) -> NtStatus
        = |k| k.rtl_verify_version_info(information, types, conditions);
    fn VerSetConditionMask(conditions: u64, types: u32, condition: u8) -> u64
        = |k| k.ver_set_condition_mask(conditions, types, condition);

    fn RtlSecondsSince1970ToTime(seconds: u32, time: Time) -> Nothing
        = |k| k.rtl_seconds_since_to_time(seconds, time, 1970).map(Nothing::from);
    fn RtlSecondsSince1980ToTime(seconds: u32, time: Time) -> Nothing
        = |k| k.rtl_seconds_since_to_time(seconds, time, 1980).map(Nothing::from);
    fn RtlTimeFieldsToTime(fields: Fields, time: Time) -> u8 = |k| k.rtl_time_fields_to_time(fields, time);
    fn RtlTimeToSecondsSince1970(time: Time, seconds: DriverPtr<u32>) -> u8
        = |k| k.rtl_time_to_seconds_since(time, seconds, 1970);
    fn RtlTimeToSecondsSince1980(time: Time, seconds: DriverPtr<u32>) -> u8
        = |k| k.rtl_time_to_seconds_since(time, seconds, 1980);
    // The computer's time zone is UTC.
    fn RtlSystemTimeToLocalTime(system: DriverPtr<u64>, local: DriverPtr<u64>) -> NtStatus
        = |k| k.ex_system_time_to_local_time(system, local).map(|()| NtStatus::SUCCESS);
    fn RtlLocalTimeToSystemTime(local: DriverPtr<u64>, system: DriverPtr<u64>) -> NtStatus
        = |k| k.ex_local_time_to_system_time(local, system).map(|()| NtStatus::SUCCESS);
    fn RtlTimeToTimeFields(time: Time, fields: Fields) -> Nothing
        = |k| k.rtl_time_to_time_fields(time, fields).map(Nothing::from);

    fn RtlAbsoluteToSelfRelativeSD(from: Descriptor, to: u64, length: DriverPtr<u32>) -> NtStatus
        = |k| k.rtl_absolute_to_self_relative_sd(from, to, length);
    fn RtlAddAccessAllowedAce(acl: DriverPtr<Acl>, revision: u32, access: u32, sid: u64) -> NtStatus
        = |k| k.rtl_add_access_allowed_ace(acl, revision, access, sid);
    fn RtlAddAccessAllowedAceEx(acl: DriverPtr<Acl>, revision: u32, flags: u32, access: u32, sid: u64) -> NtStatus
        = |k| k.rtl_add_access_allowed_ace_ex(acl, revision, flags, access, sid);
    fn RtlAddAce(acl: DriverPtr<Acl>, revision: u32, index: u32, list: u64, bytes: u32) -> NtStatus
        = |k| k.rtl_add_ace(acl, revision, index, list, bytes);
    fn RtlDeleteAce(acl: DriverPtr<Acl>, index: u32) -> NtStatus = |k| k.rtl_delete_ace(acl, index);
    fn RtlGetAce(acl: DriverPtr<Acl>, index: u32, entry: DriverPtr<u64>) -> NtStatus
        = |k| k.rtl_get_ace(acl, index, entry);
    fn RtlConvertSidToUnicodeString(to: DriverPtr<CountedString>, sid: u64, allocate: u8) -> NtStatus
        = |k| k.rtl_convert_sid_to_unicode_string(to, sid, allocate);
    fn RtlSubAuthorityCountSid(sid: u64) -> u64 = |k| k.rtl_sub_authority_count_sid(sid);
    fn RtlCopySid(room: u32, to: u64, from: u64) -> NtStatus = |k| k.rtl_copy_sid(room, to, from);
    fn RtlCreateAcl(acl: DriverPtr<Acl>, length: u32, revision: u32) -> NtStatus
        = |k| k.rtl_create_acl(acl, length, revision);
    fn RtlCreateSecurityDescriptor(descriptor: Descriptor, revision: u32) -> NtStatus
        = |k| k.rtl_create_security_descriptor(descriptor, revision);
    fn RtlEqualSid(one: u64, other: u64) -> u8 = |k| k.rtl_equal_sid(one, other);
    fn RtlGetDaclSecurityDescriptor(descriptor: Descriptor, present: DriverPtr<u8>, acl: DriverPtr<u64>, defaulted: DriverPtr<u8>) -> NtStatus
        = |k| k.rtl_get_security_part(descriptor, Part::Dacl, present, acl, defaulted);
    fn RtlGetGroupSecurityDescriptor(descriptor: Descriptor, sid: DriverPtr<u64>, defaulted: DriverPtr<u8>) -> NtStatus
        = |k| k.rtl_get_security_part(descriptor, Part::Group, DriverPtr::NULL, sid, defaulted);
    fn RtlGetOwnerSecurityDescriptor(descriptor: Descriptor, sid: DriverPtr<u64>, defaulted: DriverPtr<u8>) -> NtStatus
        = |k| k.rtl_get_security_part(descriptor, Part::Owner, DriverPtr::NULL, sid, defaulted);
    fn RtlGetSaclSecurityDescriptor(descriptor: Descriptor, present: DriverPtr<u8>, acl: DriverPtr<u64>, defaulted: DriverPtr<u8>) -> NtStatus
        = |k| k.rtl_get_security_part(descriptor, Part::Sacl, present, acl, defaulted);
    fn RtlInitializeSid(sid: u64, authority: DriverPtr<[u8; 6]>, count: u8) -> NtStatus
        = |k| k.rtl_initialize_sid(sid, authority, count);
    fn RtlLengthRequiredSid(count: u32) -> u32 = |k| k.rtl_length_required_sid(count);
    fn RtlLengthSecurityDescriptor(descriptor: Descriptor) -> u32
        = |k| k.rtl_length_security_descriptor(descriptor);
    fn RtlLengthSid(sid: u64) -> u32 = |k| k.rtl_length_sid(sid);
    fn RtlSetDaclSecurityDescriptor(descriptor: Descriptor, present: u8, acl: u64, defaulted: u8) -> NtStatus
        = |k| k.rtl_set_security_part(descriptor, Part::Dacl, present, acl, defaulted);
    fn RtlSetGroupSecurityDescriptor(descriptor: Descriptor, sid: u64, defaulted: u8) -> NtStatus
        = |k| k.rtl_set_security_part(descriptor, Part::Group, 1, sid, defaulted);
    fn RtlSetOwnerSecurityDescriptor(descriptor: Descriptor, sid: u64, defaulted: u8) -> NtStatus
        = |k| k.rtl_set_security_part(descriptor, Part::Owner, 1, sid, defaulted);
    fn RtlSetSaclSecurityDescriptor(descriptor: Descriptor, present: u8, acl: u64, defaulted: u8) -> NtStatus
        = |k| k.rtl_set_security_part(descriptor, Part::Sacl, present, acl, defaulted);
    fn RtlSubAuthoritySid(sid: u64, index: u32) -> u64 = |k| k.rtl_sub_authority_sid(sid, index);
    fn RtlValidSecurityDescriptor(descriptor: Descriptor) -> u8
        = |k| k.rtl_valid_security_descriptor(descriptor);
    fn RtlValidSid(sid: u64) -> u8 = |k| k.rtl_valid_sid(sid);

    fn RtlCaptureStackBackTrace(skip: u32, capture: u32, frames: DriverPtr<u64>, hash: DriverPtr<u32>) -> u16
        = |k| {
            let found = frames_of_caller(run::platform());
            k.rtl_capture_stack_back_trace(skip, capture, frames, hash, &found)
        };
    fn RtlFindMessage(base: u64, table: u32, language: u32, message: u32, entry: DriverPtr<u64>) -> NtStatus
        = |k| k.rtl_find_message(base, table, language, message, entry);
    fn RtlHashUnicodeString(string: DriverPtr<CountedString>, ignore_case: u8, algorithm: u32, hash: DriverPtr<u32>) -> NtStatus
        = |k| k.rtl_hash_unicode_string(string, ignore_case, algorithm, hash);
    fn RtlImageDirectoryEntryToData(base: u64, mapped: u8, entry: u16, size: DriverPtr<u32>) -> u64
        = |k| k.rtl_image_directory_entry_to_data(base, mapped, entry, size);
    fn RtlImageNtHeader(base: u64) -> u64 = |k| k.rtl_image_nt_header(base);
    fn RtlRandom(seed: DriverPtr<u32>) -> u32 = |k| k.rtl_random(seed);
    fn RtlRandomEx(seed: DriverPtr<u32>) -> u32 = |k| k.rtl_random(seed);
}
