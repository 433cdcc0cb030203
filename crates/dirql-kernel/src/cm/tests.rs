//! Tests of the registry's routines together.

use alloc::string::String;
use alloc::vec::Vec;

use dirql_abi::NtStatus;
use dirql_abi::object::ObjectAttributes;
use dirql_abi::registry::{
    RtlQueryRegistryTable, key_information_class, key_value_information_class,
    query_registry_flags as flag,
};
use dirql_rules::ids;
use zerocopy::FromZeros;

use crate::testing::Bench;
use crate::{Config, DriverPtr};

const SERVICE: &str = r"\Registry\Machine\System\CurrentControlSet\Services\edu";

fn bench() -> Bench {
    let bench = Bench::new(Config::default());
    assert!(bench.kernel.registry_create(SERVICE));
    bench
}

fn wide(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn terminated(bench: &Bench, text: &str) -> u64 {
    let bytes = [wide(text), alloc::vec![0, 0]].concat();
    let at = bench.variable(bytes.len() as u64);
    bench.kernel.write_bytes(at, &bytes).unwrap();
    at
}

fn attributes(bench: &Bench, root: u64, name: &str) -> DriverPtr<ObjectAttributes> {
    let pointer = DriverPtr::new(bench.variable(48));
    let mut value = ObjectAttributes::new_zeroed();
    value.root_directory = root;
    value.object_name = bench.unicode(name);
    bench.kernel.write(pointer, value).unwrap();
    pointer
}

fn open(bench: &Bench, root: u64, name: &str) -> Result<u64, NtStatus> {
    let handle = DriverPtr::<u64>::new(bench.variable(8));
    match bench
        .kernel
        .zw_open_key(handle, 0, attributes(bench, root, name))
        .unwrap()
    {
        NtStatus::SUCCESS => Ok(bench.kernel.read(handle).unwrap()),
        status => Err(status),
    }
}

fn create(bench: &Bench, root: u64, name: &str) -> Result<(u64, u32), NtStatus> {
    let handle = DriverPtr::<u64>::new(bench.variable(8));
    let disposition = DriverPtr::<u32>::new(bench.variable(4));
    let attributes = attributes(bench, root, name);
    let status =
        bench
            .kernel
            .zw_create_key(handle, 0, attributes, 0, DriverPtr::NULL, 0, disposition);
    match status.unwrap() {
        NtStatus::SUCCESS => Ok((
            bench.kernel.read(handle).unwrap(),
            bench.kernel.read(disposition).unwrap(),
        )),
        status => Err(status),
    }
}

fn set(bench: &Bench, key: u64, name: &str, value_type: u32, data: &[u8]) {
    let buffer = bench.variable(data.len() as u64);
    bench.kernel.write_bytes(buffer, data).unwrap();
    let name = DriverPtr::new(bench.unicode(name));
    let status = bench
        .kernel
        .zw_set_value_key(key, name, 0, value_type, buffer, data.len() as u32);
    assert_eq!(status, Ok(NtStatus::SUCCESS));
}

/// Queries with a buffer of `length` bytes: status, bytes needed, bytes written.
fn query(bench: &Bench, key: u64, name: &str, class: u32, length: u32) -> (NtStatus, u32, Vec<u8>) {
    let buffer = bench.variable(256);
    let needed = DriverPtr::<u32>::new(bench.variable(4));
    let name = DriverPtr::new(bench.unicode(name));
    let status = bench
        .kernel
        .zw_query_value_key(key, name, class, buffer, length, needed)
        .unwrap();
    let needed = bench.kernel.read(needed).unwrap();
    let bytes = bench
        .kernel
        .read_bytes(buffer, length.min(needed) as usize)
        .unwrap();
    (status, needed, bytes)
}

#[test]
fn keys_are_opened_by_path_or_below_an_open_one() {
    let bench = bench();
    let key = open(&bench, 0, SERVICE).unwrap();
    assert_eq!(
        open(&bench, key, "Parameters"),
        Err(NtStatus::OBJECT_NAME_NOT_FOUND)
    );
    let (parameters, disposition) = create(&bench, key, "Parameters").unwrap();
    assert_eq!(disposition, 1);
    assert_eq!(create(&bench, key, "parameters").unwrap().1, 2);
    assert!(open(&bench, 0, &alloc::format!(r"{SERVICE}\PARAMETERS")).is_ok());
    assert_eq!(
        open(&bench, key, r"\Parameters"),
        Err(NtStatus::OBJECT_PATH_SYNTAX_BAD)
    );
    assert_eq!(
        open(&bench, 0, "Registry"),
        Err(NtStatus::OBJECT_PATH_SYNTAX_BAD)
    );
    assert_eq!(
        open(&bench, 0, r"\Device\x"),
        Err(NtStatus::OBJECT_TYPE_MISMATCH)
    );
    assert_eq!(open(&bench, 0x1234, "x"), Err(NtStatus::INVALID_HANDLE));
    assert_eq!(bench.kernel.zw_close(parameters), Ok(NtStatus::SUCCESS));
    assert_eq!(open(&bench, parameters, ""), Err(NtStatus::INVALID_HANDLE));
}

#[test]
fn a_deleted_key_is_good_for_closing() {
    let bench = bench();
    let kernel = &bench.kernel;
    let key = open(&bench, 0, SERVICE).unwrap();
    let (child, _) = create(&bench, key, "a").unwrap();
    assert_eq!(kernel.zw_delete_key(key), Ok(NtStatus::CANNOT_DELETE));
    assert_eq!(kernel.zw_delete_key(child), Ok(NtStatus::SUCCESS));
    assert_eq!(kernel.zw_delete_key(child), Ok(NtStatus::KEY_DELETED));
    assert_eq!(kernel.zw_flush_key(child), Ok(NtStatus::KEY_DELETED));
    assert_eq!(kernel.zw_close(child), Ok(NtStatus::SUCCESS));
    assert_eq!(kernel.zw_flush_key(key), Ok(NtStatus::SUCCESS));
}

#[test]
fn a_value_is_told_in_each_class_and_cut_to_the_buffer() {
    let bench = bench();
    let key = open(&bench, 0, SERVICE).unwrap();
    set(&bench, key, "Abc", 4, &[7, 0, 0, 0]);
    let class = key_value_information_class::KeyValuePartialInformation;
    let partial = [0, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 7, 0, 0, 0];
    assert_eq!(
        query(&bench, key, "ABC", class, 16),
        (NtStatus::SUCCESS, 16, partial.to_vec())
    );
    assert_eq!(
        query(&bench, key, "Abc", class, 15),
        (NtStatus::BUFFER_OVERFLOW, 16, partial[..15].to_vec())
    );
    assert_eq!(
        query(&bench, key, "Abc", class, 12),
        (NtStatus::BUFFER_OVERFLOW, 16, partial[..12].to_vec())
    );
    assert_eq!(
        query(&bench, key, "Abc", class, 11),
        (NtStatus::BUFFER_TOO_SMALL, 16, alloc::vec![0; 11])
    );
    let full = [
        &[0, 0, 0, 0, 4, 0, 0, 0, 28, 0, 0, 0, 4, 0, 0, 0, 6, 0, 0, 0][..],
        &wide("Abc"),
        &[0, 0, 7, 0, 0, 0],
    ]
    .concat();
    let class = key_value_information_class::KeyValueFullInformation;
    assert_eq!(
        query(&bench, key, "Abc", class, 64),
        (NtStatus::SUCCESS, 32, full)
    );
    let class = key_value_information_class::KeyValuePartialInformationAlign64;
    assert_eq!(query(&bench, key, "Abc", class, 64).1, 12);
    let class = key_value_information_class::KeyValueBasicInformation;
    assert_eq!(query(&bench, key, "Abc", class, 64).1, 18);
    assert_eq!(
        query(&bench, key, "Abc", 99, 64).0,
        NtStatus::INVALID_PARAMETER
    );
    assert_eq!(
        query(&bench, key, "None", 2, 64).0,
        NtStatus::OBJECT_NAME_NOT_FOUND
    );
}

#[test]
fn children_come_by_name_and_values_by_age() {
    let bench = bench();
    let kernel = &bench.kernel;
    let key = open(&bench, 0, SERVICE).unwrap();
    for name in ["b", "A", "c"] {
        create(&bench, key, name).unwrap();
        set(&bench, key, name, 1, &[]);
    }
    let buffer = bench.variable(64);
    let needed = DriverPtr::<u32>::new(bench.variable(4));
    let text = |offset: u64| {
        let bytes = kernel.read_bytes(buffer + offset, 2).unwrap();
        char::from(bytes[0])
    };
    let class = key_information_class::KeyBasicInformation;
    let mut names = String::new();
    for index in 0..3 {
        assert_eq!(
            kernel.zw_enumerate_key(key, index, class, buffer, 64, needed),
            Ok(NtStatus::SUCCESS)
        );
        names.push(text(16));
    }
    assert_eq!(
        kernel.zw_enumerate_key(key, 3, class, buffer, 64, needed),
        Ok(NtStatus::NO_MORE_ENTRIES)
    );
    for index in 0..3 {
        let status = kernel.zw_enumerate_value_key(key, index, 0, buffer, 64, needed);
        assert_eq!(status, Ok(NtStatus::SUCCESS));
        names.push(text(12));
    }
    assert_eq!(names, "AbcbAc");
    let class = key_information_class::KeyFullInformation;
    assert_eq!(
        kernel.zw_query_key(key, class, buffer, 64, needed),
        Ok(NtStatus::SUCCESS)
    );
    let full: [u32; 11] = kernel.read(DriverPtr::new(buffer)).unwrap();
    assert_eq!((full[3], full[5], full[8]), (u32::MAX, 3, 3));
    assert_eq!(kernel.read(needed), Ok(44));
    let class = key_information_class::KeyNameInformation;
    assert_eq!(
        kernel.zw_query_key(key, class, buffer, 3, needed),
        Ok(NtStatus::BUFFER_TOO_SMALL)
    );
    assert_eq!(kernel.read(needed), Ok(4 + 2 * SERVICE.len() as u32));
}

#[test]
fn a_deleted_value_is_gone() {
    let bench = bench();
    let key = open(&bench, 0, SERVICE).unwrap();
    set(&bench, key, "x", 1, &[]);
    let name = DriverPtr::new(bench.unicode("X"));
    assert_eq!(
        bench.kernel.zw_delete_value_key(key, name),
        Ok(NtStatus::SUCCESS)
    );
    assert_eq!(
        bench.kernel.zw_delete_value_key(key, name),
        Ok(NtStatus::OBJECT_NAME_NOT_FOUND)
    );
}

#[test]
fn the_run_time_library_writes_checks_and_deletes_by_path() {
    let bench = bench();
    let kernel = &bench.kernel;
    let path = terminated(&bench, r"edu\Parameters");
    let name = terminated(&bench, "Speed");
    let data = bench.variable(4);
    kernel.write_bytes(data, &[9, 0, 0, 0]).unwrap();
    assert_eq!(
        kernel.rtl_check_registry_key(1, path),
        Ok(NtStatus::OBJECT_NAME_NOT_FOUND)
    );
    assert_eq!(
        kernel.rtl_write_registry_value(1, path, name, 4, data, 4),
        Ok(NtStatus::SUCCESS)
    );
    assert_eq!(
        kernel.rtl_check_registry_key(1, path),
        Ok(NtStatus::SUCCESS)
    );
    let full = alloc::format!(r"{SERVICE}\Parameters");
    assert_eq!(
        kernel.registry_get(&full, "speed"),
        Some((4, alloc::vec![9, 0, 0, 0]))
    );
    let absolute = terminated(&bench, &full);
    assert_eq!(
        kernel.rtl_delete_registry_value(0, absolute, name),
        Ok(NtStatus::SUCCESS)
    );
    assert_eq!(
        kernel.rtl_delete_registry_value(0, absolute, name),
        Ok(NtStatus::OBJECT_NAME_NOT_FOUND)
    );
    let deep = terminated(&bench, r"none\deeper");
    assert_eq!(
        kernel.rtl_create_registry_key(1, deep),
        Ok(NtStatus::OBJECT_NAME_NOT_FOUND)
    );
    assert_eq!(
        kernel.rtl_check_registry_key(6, path),
        Ok(NtStatus::INVALID_PARAMETER)
    );
    let key = open(&bench, 0, &full).unwrap();
    assert_eq!(
        kernel.rtl_write_registry_value(0x4000_0000, key, name, 4, data, 4),
        Ok(NtStatus::SUCCESS)
    );
}

/// One row and the end of a table.
fn table(bench: &Bench, row: RtlQueryRegistryTable) -> DriverPtr<RtlQueryRegistryTable> {
    let pointer = DriverPtr::new(bench.variable(112));
    bench.kernel.write(pointer, row).unwrap();
    pointer
}

fn row(bench: &Bench, flags: u32, name: &str) -> RtlQueryRegistryTable {
    let mut row = RtlQueryRegistryTable::new_zeroed();
    row.flags = flags;
    row.name = terminated(bench, name);
    row
}

fn run(bench: &Bench, row: RtlQueryRegistryTable) -> NtStatus {
    let path = terminated(bench, "edu");
    bench
        .kernel
        .rtl_query_registry_values(1, path, table(bench, row), 5, 0)
        .unwrap()
}

#[test]
fn a_direct_row_stores_a_number_a_string_or_bytes() {
    let bench = bench();
    let kernel = &bench.kernel;
    let text = [wide("edu"), alloc::vec![0, 0]].concat();
    kernel.registry_set(SERVICE, "Number", 4, &[7, 0, 0, 0]);
    kernel.registry_set(SERVICE, "Text", 1, &text);
    kernel.registry_set(SERVICE, "Bytes", 3, &[1, 2, 3, 4, 5]);
    let direct = |name: &str, target| {
        let mut row = row(&bench, flag::RTL_QUERY_REGISTRY_DIRECT, name);
        row.entry_context = target;
        run(&bench, row)
    };
    let number = bench.variable(4);
    assert_eq!(direct("Number", number), NtStatus::SUCCESS);
    assert_eq!(kernel.read_bytes(number, 4).unwrap(), [7, 0, 0, 0]);
    let string = bench.variable(16);
    assert_eq!(direct("Text", string), NtStatus::SUCCESS);
    assert_eq!(kernel.text_of(DriverPtr::new(string)).unwrap(), "edu");
    kernel
        .rtl_free_unicode_string(DriverPtr::new(string))
        .unwrap();
    let buffer = bench.variable(16);
    for (room, status, expected) in [
        (
            5i32,
            NtStatus::SUCCESS,
            &[5, 0, 0, 0, 3, 0, 0, 0, 1, 2, 3, 4, 5][..],
        ),
        (-5, NtStatus::SUCCESS, &[1, 2, 3, 4, 5]),
        (4, NtStatus::BUFFER_TOO_SMALL, &[4, 0, 0, 0]),
        (-4, NtStatus::BUFFER_TOO_SMALL, &[0xFC, 0xFF, 0xFF, 0xFF]),
    ] {
        kernel.write(DriverPtr::new(buffer), room).unwrap();
        assert_eq!(direct("Bytes", buffer), status);
        assert_eq!(kernel.read_bytes(buffer, expected.len()).unwrap(), expected);
    }
}

#[test]
fn a_missing_value_is_the_default_nothing_or_an_error() {
    let bench = bench();
    let kernel = &bench.kernel;
    let number = bench.variable(4);
    let default = bench.variable(4);
    kernel.write_bytes(default, &[3, 0, 0, 0]).unwrap();
    let mut row = row(&bench, flag::RTL_QUERY_REGISTRY_DIRECT, "None");
    row.entry_context = number;
    assert_eq!(run(&bench, row), NtStatus::SUCCESS);
    assert_eq!(kernel.read_bytes(number, 1).unwrap(), [0]);
    row.default_type = 4;
    row.default_data = default;
    row.default_length = 4;
    assert_eq!(run(&bench, row), NtStatus::SUCCESS);
    assert_eq!(kernel.read_bytes(number, 1).unwrap(), [3]);
    row.flags |= flag::RTL_QUERY_REGISTRY_REQUIRED;
    assert_eq!(run(&bench, row), NtStatus::OBJECT_NAME_NOT_FOUND);
    row.flags |= flag::RTL_QUERY_REGISTRY_SUBKEY;
    assert_eq!(run(&bench, row), NtStatus::INVALID_PARAMETER);
}

#[test]
fn a_checked_type_must_be_the_one_expected() {
    let bench = bench();
    bench
        .kernel
        .registry_set(SERVICE, "Number", 4, &[7, 0, 0, 0]);
    let flags = flag::RTL_QUERY_REGISTRY_DIRECT | flag::RTL_QUERY_REGISTRY_TYPECHECK;
    let mut row = row(&bench, flags, "Number");
    row.entry_context = bench.variable(16);
    row.default_type = 4 << 24;
    assert_eq!(run(&bench, row), NtStatus::SUCCESS);
    row.default_type = 1 << 24;
    assert_eq!(run(&bench, row), NtStatus::OBJECT_TYPE_MISMATCH);
}

#[test]
fn a_routine_is_called_for_a_value_each_string_of_a_list_and_a_subkeys_values() {
    let bench = bench();
    let kernel = &bench.kernel;
    let list = [wide("ab\0c\0"), alloc::vec![0, 0]].concat();
    kernel.registry_set(SERVICE, "List", 7, &list);
    let expand = [wide(r"%SYSTEMroot%\x"), alloc::vec![0, 0]].concat();
    kernel.registry_set(SERVICE, "Expand", 2, &expand);
    let parameters = alloc::format!(r"{SERVICE}\Parameters");
    kernel.registry_set(&parameters, "One", 4, &[1, 0, 0, 0]);
    kernel.registry_set(&parameters, "Two", 4, &[2, 0, 0, 0]);
    let log = bench.variable(256);
    let count = DriverPtr::<u64>::new(bench.variable(8));
    let routine = bench.routine(move |kernel, arguments| {
        // Name, type, length and both contexts, and the first byte of the data.
        let [name, value_type, data, length, context, entry] = *arguments else {
            unreachable!()
        };
        let name = kernel
            .read_wide_string(name, 100)?
            .first()
            .copied()
            .unwrap_or(0);
        let byte = kernel.read_bytes(data, 1)?[0];
        let at = kernel.read(count)?;
        kernel.write_bytes(
            log + at * 6,
            &[
                name as u8,
                value_type as u8,
                length as u8,
                context as u8,
                entry as u8,
                byte,
            ],
        )?;
        kernel.write(count, at + 1)?;
        Ok(0)
    });
    let calls = |flags, name: &str| {
        kernel.write(count, 0).unwrap();
        let mut row = row(&bench, flags, name);
        row.query_routine = routine;
        row.entry_context = 6;
        assert_eq!(run(&bench, row), NtStatus::SUCCESS);
        let bytes = kernel
            .read_bytes(log, 6 * kernel.read(count).unwrap() as usize)
            .unwrap();
        bytes
            .chunks(6)
            .map(|call| {
                (
                    char::from(call[0]),
                    call[1],
                    call[2],
                    call[3],
                    call[4],
                    call[5],
                )
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(
        calls(0, "List"),
        [('L', 1, 6, 5, 6, b'a'), ('L', 1, 4, 5, 6, b'c')]
    );
    assert_eq!(
        calls(flag::RTL_QUERY_REGISTRY_NOEXPAND, "List"),
        [('L', 7, 12, 5, 6, b'a')]
    );
    assert_eq!(calls(0, "Expand"), [('E', 1, 28, 5, 6, b'\\')]);
    let subkey = calls(flag::RTL_QUERY_REGISTRY_SUBKEY, "Parameters");
    assert_eq!(subkey, [('O', 4, 4, 5, 6, 1), ('T', 4, 4, 5, 6, 2)]);
    assert!(kernel.pool_allocations().is_empty());
}

#[test]
fn a_row_can_delete_what_it_read_and_a_key_may_be_optional() {
    let bench = bench();
    let kernel = &bench.kernel;
    kernel.registry_set(SERVICE, "Once", 4, &[1, 0, 0, 0]);
    let flags = flag::RTL_QUERY_REGISTRY_DIRECT | flag::RTL_QUERY_REGISTRY_DELETE;
    let mut one = row(&bench, flags, "Once");
    one.entry_context = bench.variable(4);
    assert_eq!(run(&bench, one), NtStatus::SUCCESS);
    assert_eq!(kernel.registry_get(SERVICE, "Once"), None);
    let path = terminated(&bench, "none");
    let query =
        |relative| kernel.rtl_query_registry_values(relative, path, table(&bench, one), 0, 0);
    assert_eq!(query(1), Ok(NtStatus::OBJECT_NAME_NOT_FOUND));
    assert_eq!(query(0x8000_0001), Ok(NtStatus::SUCCESS));
}

#[test]
fn a_key_that_stays_open_is_found_at_unload() {
    let bench = bench();
    let key = open(&bench, 0, SERVICE).unwrap();
    bench.kernel.find_keys_left("edu", &(0..1)).unwrap();
    bench.kernel.zw_close(key).unwrap();
    bench.kernel.find_keys_left("edu", &(0..1)).unwrap();
    assert_eq!(bench.rules(), [ids::KEY_LEFT_OPEN]);
    assert!(
        bench.kernel.findings()[0]
            .message
            .ends_with(r"\Services\edu open")
    );
}

#[test]
fn the_registry_can_be_filled_and_read_from_outside() {
    let kernel = Bench::new(Config::default()).kernel;
    let path = r"\Registry\Machine\System\CurrentControlSet\Services\edu\Parameters";
    assert!(kernel.registry_set(path, "Speed", 4, &[1, 0, 0, 0]));
    assert_eq!(
        kernel.registry_get(&path.to_uppercase(), "speed"),
        Some((4, alloc::vec![1, 0, 0, 0]))
    );
    assert_eq!(kernel.registry_get(path, "None"), None);
    let services = r"\Registry\Machine\System\CurrentControlSet\Services";
    assert!(kernel.registry_create(&alloc::format!(r"{services}\Abc")));
    assert_eq!(kernel.registry_children(services).unwrap(), ["Abc", "edu"]);
    assert_eq!(kernel.registry_children(r"\Registry\None"), None);
    assert!(!kernel.registry_create(r"\Device\None"));
    assert!(!kernel.registry_set("Registry", "x", 0, &[]));
}
