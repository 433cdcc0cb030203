use alloc::string::String;

use dirql_abi::NtStatus;
use dirql_rules::ids;

use super::ObjectKind;
use crate::testing::Bench;
use crate::{Config, DriverPtr, Kernel, Outcome};

fn bench() -> Bench {
    Bench::new(Config::default())
}

/// A new object of no particular use.
fn object(kernel: &Kernel, name: &str) -> u64 {
    let body = kernel.allocate_system(16);
    kernel.ob_register(body, ObjectKind::Event, super::keep);
    if !name.is_empty() {
        kernel.name_insert(name, body).expect("the name is free");
    }
    body
}

#[test]
fn names_are_found_without_regard_to_case() {
    let bench = bench();
    let event = object(&bench.kernel, r"\BaseNamedObjects\Ready");
    let found = bench
        .kernel
        .name_resolve(r"\basenamedobjects\READY")
        .expect("it has this name");
    assert_eq!((found.object, found.rest.as_str()), (event, ""));
}

#[test]
fn what_follows_an_objects_name_is_left_to_the_object() {
    let bench = bench();
    let device = object(&bench.kernel, r"\Device\Disk");
    let found = bench
        .kernel
        .name_resolve(r"\Device\Disk\dir\File.txt")
        .expect("the device is there");
    assert_eq!(
        (found.object, found.rest.as_str()),
        (device, r"\dir\File.txt")
    );
    assert_eq!(
        bench.kernel.name_resolve(r"\Device\Disk2"),
        Err(NtStatus::OBJECT_NAME_NOT_FOUND)
    );
}

#[test]
fn links_are_followed_and_keep_what_follows() {
    let bench = bench();
    let device = object(&bench.kernel, r"\Device\Serial0");
    bench
        .kernel
        .link_insert(r"\DosDevices\COM1", r"\Device\Serial0")
        .expect("the name is free");
    let found = bench
        .kernel
        .name_resolve(r"\??\com1\x")
        .expect("the link leads there");
    assert_eq!((found.object, found.rest.as_str()), (device, r"\x"));
    assert!(bench.kernel.link_remove(r"\GLOBAL??\COM1"));
    assert!(!bench.kernel.link_remove(r"\GLOBAL??\COM1"));
}

#[test]
fn a_circle_of_links_leads_nowhere() {
    let bench = bench();
    bench.kernel.link_insert(r"\??\A", r"\??\B").expect("free");
    bench.kernel.link_insert(r"\??\B", r"\??\A").expect("free");
    assert_eq!(
        bench.kernel.name_resolve(r"\??\A"),
        Err(NtStatus::OBJECT_NAME_NOT_FOUND)
    );
}

#[test]
fn bad_names_have_the_statuses_of_windows() {
    let bench = bench();
    let kernel = &bench.kernel;
    object(kernel, r"\Device\X");
    assert_eq!(
        kernel.link_insert("Device", "x"),
        Err(NtStatus::OBJECT_PATH_SYNTAX_BAD)
    );
    assert_eq!(
        kernel.link_insert("", "x"),
        Err(NtStatus::OBJECT_PATH_SYNTAX_BAD)
    );
    assert_eq!(
        kernel.link_insert(r"\", "x"),
        Err(NtStatus::OBJECT_NAME_INVALID)
    );
    assert_eq!(
        kernel.link_insert(r"\Device\", "x"),
        Err(NtStatus::OBJECT_NAME_INVALID)
    );
    assert_eq!(
        kernel.link_insert(r"\Nowhere\X", "x"),
        Err(NtStatus::OBJECT_PATH_NOT_FOUND)
    );
    assert_eq!(
        kernel.link_insert(r"\device\x", "x"),
        Err(NtStatus::OBJECT_NAME_COLLISION)
    );
    assert_eq!(
        kernel.link_insert(r"\Device", "x"),
        Err(NtStatus::OBJECT_NAME_COLLISION)
    );
    assert_eq!(
        kernel.name_resolve(r"\Nowhere\X"),
        Err(NtStatus::OBJECT_PATH_NOT_FOUND)
    );
    assert_eq!(
        kernel.name_resolve("X"),
        Err(NtStatus::OBJECT_PATH_SYNTAX_BAD)
    );
}

#[test]
fn the_last_reference_takes_the_name_along() {
    let bench = bench();
    let kernel = &bench.kernel;
    let event = object(kernel, r"\BaseNamedObjects\E");
    kernel.obf_reference_object(event).expect("it is an object");
    assert_eq!(kernel.obf_dereference_object(event), Ok(1));
    assert_eq!(
        kernel.ob_name(event),
        Some(String::from(r"\BaseNamedObjects\E"))
    );
    assert_eq!(kernel.obf_dereference_object(event), Ok(0));
    assert!(kernel.name_resolve(r"\BaseNamedObjects\E").is_err());
}

#[test]
fn a_reference_too_many_given_back_is_bug_check_18() {
    let bench = bench();
    let event = object(&bench.kernel, "");
    bench
        .kernel
        .obf_dereference_object(event)
        .expect("the one reference");
    let stop = bench
        .kernel
        .obf_dereference_object(event)
        .expect_err("none is left");
    assert!(matches!(stop, crate::Stop::BugCheck(bug_check) if bug_check.code == 0x18));
    assert_eq!(bench.rules(), [ids::OBJECT_COUNT]);
    assert_eq!(bench.kernel.outcome(), None::<Outcome>);
}

#[test]
fn the_reference_of_a_handle_cannot_be_given_back_by_pointer() {
    let bench = bench();
    let kernel = &bench.kernel;
    let event = object(kernel, "");
    let handle = kernel.ob_create_handle(event, 0).expect("it is an object");
    kernel
        .obf_dereference_object(event)
        .expect("the first reference");
    assert!(kernel.obf_dereference_object(event).is_err());
    assert_eq!(kernel.zw_close(handle), Ok(NtStatus::SUCCESS));
    assert_eq!(kernel.ob_kind(event), None);
}

#[test]
fn handles_lead_to_objects_of_the_right_type() {
    let bench = bench();
    let kernel = &bench.kernel;
    let event = object(kernel, "");
    let handle = kernel.ob_create_handle(event, 7).expect("it is an object");
    let (out, information) = (
        DriverPtr::new(bench.variable(8)),
        DriverPtr::new(bench.variable(8)),
    );
    let open = |handle, kind| {
        let object_type = kernel.type_object(kind);
        kernel.ob_reference_object_by_handle(handle, 0, object_type, 0, out, information)
    };
    assert_eq!(open(handle, ObjectKind::Event), Ok(NtStatus::SUCCESS));
    assert_eq!(
        (kernel.read(out), kernel.read(information)),
        (Ok(event), Ok([0, 7]))
    );
    assert_eq!(kernel.ob_references(event), 3);
    assert_eq!(
        open(handle, ObjectKind::Thread),
        Ok(NtStatus::OBJECT_TYPE_MISMATCH)
    );
    assert_eq!(kernel.read(out), Ok(0));
    assert_eq!(
        open(handle + 4, ObjectKind::Event),
        Ok(NtStatus::INVALID_HANDLE)
    );
    assert_eq!(kernel.zw_close(handle + 4), Ok(NtStatus::INVALID_HANDLE));
    assert_eq!(kernel.zw_close(handle), Ok(NtStatus::SUCCESS));
    assert_eq!(kernel.zw_close(handle), Ok(NtStatus::INVALID_HANDLE));
}

#[test]
fn an_exported_type_variable_holds_the_types_address() {
    let bench = bench();
    let kernel = &bench.kernel;
    let variable = kernel
        .ob_data_export("IoFileObjectType")
        .expect("ours")
        .expect("exported");
    assert_eq!(
        kernel.read(DriverPtr::new(variable)),
        Ok(kernel.type_object(ObjectKind::File))
    );
    assert_eq!(
        kernel.ob_data_export("IoFileObjectType"),
        Ok(Some(variable))
    );
    assert_eq!(kernel.ob_data_export("KeNumberProcessors"), Ok(None));
}

#[test]
fn the_name_of_an_object_fills_the_callers_buffer() {
    let bench = bench();
    let kernel = &bench.kernel;
    let event = object(kernel, r"\Device\Ab");
    let (buffer, needed) = (bench.variable(64), DriverPtr::new(bench.variable(4)));
    let query = |object, room| kernel.ob_query_name_string(object, buffer, room, needed);
    assert_eq!(query(event, 16 + 21), Ok(NtStatus::INFO_LENGTH_MISMATCH));
    assert_eq!(kernel.read(needed), Ok(16 + 22));
    assert_eq!(query(event, 16 + 22), Ok(NtStatus::SUCCESS));
    assert_eq!(
        kernel.text_of(DriverPtr::new(buffer)),
        Ok(String::from(r"\Device\Ab"))
    );
    assert_eq!(query(object(kernel, ""), 16), Ok(NtStatus::SUCCESS));
    assert_eq!(kernel.text_of(DriverPtr::new(buffer)), Ok(String::new()));
}

#[test]
fn a_duplicated_handle_leads_to_the_same_object_and_may_close_the_first() {
    const CURRENT_PROCESS: u64 = u64::MAX;
    let bench = bench();
    let kernel = &bench.kernel;
    let event = object(kernel, "");
    let first = kernel.ob_create_handle(event, 7).expect("it is an object");
    let out = DriverPtr::<u64>::new(bench.variable(8));
    let duplicate = |process, handle, options| {
        kernel.zw_duplicate_object(process, handle, CURRENT_PROCESS, out, 0, options)
    };
    assert_eq!(duplicate(first, first, 0), Ok(NtStatus::INVALID_HANDLE));
    assert_eq!(
        duplicate(CURRENT_PROCESS, first + 4, 0),
        Ok(NtStatus::INVALID_HANDLE)
    );
    assert_eq!(duplicate(CURRENT_PROCESS, first, 0), Ok(NtStatus::SUCCESS));
    let second = kernel.read(out).unwrap();
    assert_ne!(second, first);
    assert_eq!(kernel.ob_of_handle(second), Some(event));
    // DUPLICATE_CLOSE_SOURCE
    assert_eq!(duplicate(CURRENT_PROCESS, first, 1), Ok(NtStatus::SUCCESS));
    assert_eq!(kernel.ob_of_handle(first), None);
}

#[test]
fn an_object_tells_its_type_and_what_is_none_does_not() {
    let bench = Bench::new(Config::default());
    let kernel = &bench.kernel;
    let process = kernel.current_process();
    let of_process = kernel.type_object(ObjectKind::Process);
    assert_eq!(kernel.ob_get_object_type(process), Ok(of_process));
    assert!(kernel.ob_get_object_type(of_process + 8).is_err());
}
