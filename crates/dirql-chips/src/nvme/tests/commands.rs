//! Admin commands and their errors.

use super::host::{Done, command};
use super::*;

fn statuses(host: &mut Host, queue: usize, cases: &[([u32; 16], Status)]) {
    for (words, expected) in cases {
        let done = host.send(queue, *words);
        assert_eq!(done.status, *expected, "{words:x?}");
    }
}

fn identify(host: &mut Host, namespace: u32, structure: u32) -> Done {
    host.memory[0x8000..0x9000].fill(0xEE);
    let words = command(admin::IDENTIFY, namespace, 0x8000, 0, [structure, 0, 0]);
    host.send(0, words)
}

#[test]
fn identify_says_what_it_is() {
    let mut host = Host::ready(1000);
    assert_eq!(identify(&mut host, 0, 1).status, Status::SUCCESS);
    let data = &host.memory[0x8000..0x9000];
    assert_eq!(data[..4], [0x34, 0x12, 0x34, 0x12]);
    assert!(data[4..72].is_ascii());
    assert_eq!(data[77], 5, "MDTS");
    assert_eq!(data[80..84], [0, 4, 1, 0], "VER");
    assert_eq!(data[512..520], [0x66, 0x44, 0, 0, 1, 0, 0, 0]);
    assert!(data[768..1024].starts_with(b"nqn.2014-08.org.nvmexpress:uuid:"));
    assert_eq!(data[4095], 0);

    assert_eq!(identify(&mut host, 1, 0).status, Status::SUCCESS);
    let data = &host.memory[0x8000..0x9000];
    assert_eq!(data[..8], 1000u64.to_le_bytes());
    assert_eq!(data[128..132], [0, 0, 9, 0], "512 bytes, no metadata");

    assert_eq!(identify(&mut host, 0, 2).status, Status::SUCCESS);
    assert_eq!(host.memory[0x8000..0x8008], [1, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(identify(&mut host, 1, 2).status, Status::SUCCESS);
    assert_eq!(host.memory[0x8000..0x8004], [0; 4]);

    assert_eq!(identify(&mut host, 1, 3).status, Status::SUCCESS);
    assert_eq!(host.memory[0x8000..0x8004], [1, 8, 0, 0]);
    assert_eq!(
        host.memory[0x8004..0x800C],
        identify::namespace(1)[120..128]
    );
}

#[test]
fn identify_refuses_what_there_is_not() {
    let mut host = Host::ready(1);
    for (namespace, structure, status) in [
        (0, 0, Status::INVALID_NAMESPACE),
        (2, 0, Status::INVALID_NAMESPACE),
        (u32::MAX, 0, Status::INVALID_NAMESPACE),
        (0xFFFF_FFFD, 2, Status::SUCCESS),
        (0xFFFF_FFFE, 2, Status::INVALID_NAMESPACE),
        (0, 3, Status::INVALID_NAMESPACE),
        (1, 4, Status::INVALID_FIELD),
    ] {
        let done = identify(&mut host, namespace, structure);
        assert_eq!(done.status, status, "{namespace:#x} {structure}");
    }
}

#[test]
fn queues_are_created_and_deleted_in_order() {
    let mut host = Host::new(1);
    host.enable();
    let create = |opcode, dword10, dword11| command(opcode, 0, 0x5000, 0, [dword10, dword11, 0]);
    let completion = |dword10, dword11| create(admin::CREATE_COMPLETION, dword10, dword11);
    let submission = |dword10, dword11| create(admin::CREATE_SUBMISSION, dword10, dword11);
    let delete = |opcode, queue| command(opcode, 0, 0, 0, [queue, 0, 0]);
    let size = 3 << 16;
    let unaligned = command(admin::CREATE_COMPLETION, 0, 0x5004, 0, [size | 1, 1, 0]);
    statuses(
        &mut host,
        0,
        &[
            (completion(size, 1), Status::QUEUE_IDENTIFIER),
            (completion(size | 2, 1), Status::QUEUE_IDENTIFIER),
            (completion(1, 1), Status::QUEUE_SIZE),
            (completion(64 << 16 | 1, 1), Status::QUEUE_SIZE),
            (completion(0xFFFF_0001, 1), Status::QUEUE_SIZE),
            (completion(size | 1, 0), Status::INVALID_FIELD),
            (completion(size | 1, 0x0002_0003), Status::INTERRUPT_VECTOR),
            (unaligned, Status::PRP_OFFSET),
            (submission(size | 1, 0x0001_0001), Status::COMPLETION_QUEUE),
            (submission(size | 1, 0xFFFF_0001), Status::COMPLETION_QUEUE),
            (submission(size | 1, 0x0000_0001), Status::QUEUE_IDENTIFIER),
            (
                delete(admin::DELETE_COMPLETION, 1),
                Status::QUEUE_IDENTIFIER,
            ),
            (
                delete(admin::DELETE_SUBMISSION, 1),
                Status::QUEUE_IDENTIFIER,
            ),
            (completion(63 << 16 | 1, 0x0001_0003), Status::SUCCESS),
            (completion(size | 1, 1), Status::QUEUE_IDENTIFIER),
            (submission(size | 2, 0x0001_0001), Status::QUEUE_IDENTIFIER),
            (submission(1, 0x0001_0001), Status::QUEUE_SIZE),
            (submission(size | 1, 0x0001_0000), Status::INVALID_FIELD),
            (submission(1 << 16 | 1, 0x0001_0001), Status::SUCCESS),
            (submission(size | 1, 0x0001_0001), Status::QUEUE_IDENTIFIER),
            (delete(admin::DELETE_COMPLETION, 1), Status::QUEUE_DELETION),
            (
                delete(admin::DELETE_COMPLETION, 0),
                Status::QUEUE_IDENTIFIER,
            ),
            (
                delete(admin::DELETE_SUBMISSION, 0),
                Status::QUEUE_IDENTIFIER,
            ),
            (delete(admin::DELETE_SUBMISSION, 1), Status::SUCCESS),
            (delete(admin::DELETE_COMPLETION, 1), Status::SUCCESS),
            (completion(size | 1, 1), Status::SUCCESS),
        ],
    );
}

#[test]
fn queues_need_the_sizes_of_their_entries() {
    let mut host = Host::new(1);
    host.enable();
    host.write(register::CC, cc::ENABLE);
    let done = host.admin(admin::CREATE_COMPLETION, 0x5000, 3 << 16 | 1, 1);
    assert_eq!(done.status, Status::QUEUE_SIZE);
}

#[test]
fn features_are_kept_and_checked() {
    let mut host = Host::ready(1);
    let mut set = |feature: u8, value| {
        let done = host.admin(admin::SET_FEATURES, 0, feature.into(), value);
        let get = host.admin(admin::GET_FEATURES, 0, feature.into(), value);
        (done.status, done.result, get.status, get.result)
    };
    let (fine, wrong) = (Status::SUCCESS, Status::INVALID_FIELD);
    assert_eq!(set(0x08, 0x1234), (fine, 0, fine, 0x1234));
    assert_eq!(
        set(feature::QUEUES, 0x0007_0007),
        (Status::SEQUENCE, 0, fine, 0),
        "there is one"
    );
    assert_eq!(set(feature::QUEUES, 0x0000_FFFF), (wrong, 0, fine, 0));
    assert_eq!(set(feature::QUEUES, 0xFFFF_0000), (wrong, 0, fine, 0));
    assert_eq!(set(feature::POWER, 0), (fine, 0, fine, 0));
    assert_eq!(set(feature::POWER, 1), (wrong, 0, fine, 0));
    assert_eq!(set(feature::VECTOR, 1), (fine, 0, fine, 1));
    assert_eq!(set(feature::VECTOR, 0x1_0001), (fine, 0, fine, 0x1_0001));
    assert_eq!(set(feature::VECTOR, 2), (wrong, 0, wrong, 0));
    assert_eq!(set(0x03, 0), (wrong, 0, wrong, 0));
    let temperature = feature::TEMPERATURE;
    assert_eq!(set(temperature, 350), (fine, 0, fine, 350));
    assert_eq!(set(temperature, 1 << 20 | 250), (fine, 0, fine, 250));
    assert_eq!(set(temperature, 2 << 20 | 250), (wrong, 0, wrong, 0));
    assert_eq!(
        set(temperature, 1 << 16 | 250),
        (wrong, 0, wrong, 0),
        "there is no sensor"
    );
    assert_eq!(
        set(temperature, 0xF << 16 | 360).0,
        fine,
        "all sensors that there are"
    );
    let done = host.admin(admin::SET_FEATURES, 0, 0x8000_0008, 0);
    assert_eq!(done.status, Status::NOT_SAVEABLE);
    let done = host.admin(admin::GET_FEATURES, 0, feature::VECTOR.into(), 0);
    assert_eq!(done.result, 0, "each vector has its own");
}

#[test]
fn features_have_their_defaults() {
    let mut host = Host::new(1);
    host.enable();
    let queues = host.admin(admin::SET_FEATURES, 0, feature::QUEUES.into(), 0x0007_0007);
    assert_eq!((queues.status, queues.result), (Status::SUCCESS, 0));
    let mut default = |feature: u8, value| {
        host.admin(admin::GET_FEATURES, 0, feature.into(), value)
            .result
    };
    assert_eq!(default(feature::TEMPERATURE, 0), 343, "as WCTEMP says");
    assert_eq!(default(feature::TEMPERATURE, 1 << 20), 0);
    assert_eq!(default(feature::VECTOR, 1), 1);
}

#[test]
fn log_pages_have_the_size_that_was_asked_for() {
    let mut host = Host::ready(1);
    let log = |page, dwords: u32, dword11| {
        let dword10 = page | (dwords - 1) << 16;
        command(
            admin::GET_LOG_PAGE,
            u32::MAX,
            0x8000,
            0,
            [dword10, dword11, 0],
        )
    };
    host.memory[0x8000..0x9000].fill(0xEE);
    assert_eq!(host.send(0, log(2, 2, 0)).status, Status::SUCCESS);
    assert_eq!(
        host.memory[0x8000..0x8009],
        [0, 0x2C, 1, 100, 10, 0, 0, 0, 0xEE]
    );
    assert_eq!(host.send(0, log(1, 1024, 0)).status, Status::SUCCESS);
    assert_eq!(host.memory[0x8000..0x9000], [0; 0x1000]);
    assert_eq!(host.send(0, log(3, 4, 0)).status, Status::SUCCESS);
    assert_eq!(&host.memory[0x8000..0x800A], b"\x01\0\0\0\0\0\0\x001 ");
    let mut offset = log(1, 1, 0);
    offset[12] = 4;
    statuses(
        &mut host,
        0,
        &[
            (log(4, 1, 0), Status::LOG_PAGE),
            (log(0, 1, 0), Status::LOG_PAGE),
            (offset, Status::INVALID_FIELD),
            // More than a command moves.
            (log(1, 1, 1), Status::INVALID_FIELD),
            (log(1, 1, 0xFFFF), Status::INVALID_FIELD),
        ],
    );
}

#[test]
fn wrong_doorbells_are_told_by_events() {
    let mut host = Host::ready(1);
    let id = host.put(0, command(admin::EVENT_REQUEST, 0, 0, 0, [0; 3]));
    host.ring(0);
    host.run();
    assert!(host.take(0).is_none(), "it waits");
    host.write(register::DOORBELLS + 8, 4);
    let done = host.take(0).expect("an event");
    assert_eq!((done.id, done.result), (id, 0x0001_0100));
    for (doorbell, value, result) in [
        // There is nothing to take in the completion queue.
        (register::DOORBELLS + 12, 1, 0x0001_0100),
        (register::DOORBELLS + 12, 4, 0x0001_0100),
        // What is there already.
        (register::DOORBELLS + 8, 0, 0x0001_0100),
        (register::DOORBELLS + 12, 0, 0x0001_0100),
        (register::DOORBELLS + 16, 0, 0x0001_0000),
        (register::DOORBELLS + 0xFFC, 0, 0x0001_0000),
    ] {
        read_error_log(&mut host, 0);
        ask_for_event(&mut host);
        host.write(doorbell, value);
        assert_eq!(host.take(0).map(|done| done.result), Some(result));
    }
}

fn ask_for_event(host: &mut Host) {
    host.put(0, command(admin::EVENT_REQUEST, 0, 0, 0, [0; 3]));
    host.ring(0);
    host.run();
}

fn read_error_log(host: &mut Host, flags: u32) {
    let words = command(admin::GET_LOG_PAGE, u32::MAX, 0x8000, 0, [1 | flags, 0, 0]);
    assert_eq!(host.send(0, words).status, Status::SUCCESS);
}

/// "If a tail is written that is ahead of what fits."
#[test]
fn more_commands_than_fit_are_a_wrong_doorbell() {
    let mut host = Host::ready(1);
    ask_for_event(&mut host);
    host.write(register::DOORBELLS + 8, 2);
    // From 2 to 1 are three more, and there is room for one.
    host.write(register::DOORBELLS + 8, 1);
    assert_eq!(host.take(0).map(|done| done.result), Some(0x0001_0100));
}

#[test]
fn an_event_is_told_once_until_its_log_is_read() {
    let wrong = |host: &mut Host| host.write(register::DOORBELLS + 8, 4);
    let mut host = Host::ready(1);
    wrong(&mut host);
    wrong(&mut host);
    assert!(host.take(0).is_none(), "nobody asked");
    ask_for_event(&mut host);
    let told = host.take(0).map(|done| done.result);
    assert_eq!(told, Some(0x0001_0100), "what has happened before");
    ask_for_event(&mut host);
    wrong(&mut host);
    assert!(host.take(0).is_none(), "once for all");
    read_error_log(&mut host, 1 << 15);
    wrong(&mut host);
    assert!(host.take(0).is_none(), "the event was retained");
    read_error_log(&mut host, 0);
    wrong(&mut host);
    assert_eq!(host.take(0).map(|done| done.result), Some(0x0001_0100));
}

#[test]
fn four_event_requests_can_wait() {
    let mut host = Host::ready(1);
    for _ in 0..4 {
        host.put(0, command(admin::EVENT_REQUEST, 0, 0, 0, [0; 3]));
        host.ring(0);
        host.run();
    }
    let done = host.admin(admin::EVENT_REQUEST, 0, 0, 0);
    assert_eq!(done.status, Status::EVENT_LIMIT);
}

#[test]
fn what_it_does_not_know_it_refuses() {
    let mut host = Host::ready(4);
    let plain = |opcode, bits: u32| {
        let mut words = command(opcode, 1, 0x8000, 0, [0; 3]);
        words[0] |= bits;
        words
    };
    statuses(
        &mut host,
        0,
        &[
            (plain(0x03, 0), Status::INVALID_OPCODE),
            (plain(0xFF, 0), Status::INVALID_OPCODE),
            (plain(admin::IDENTIFY, 0x4000), Status::INVALID_FIELD),
        ],
    );
    assert_eq!(host.admin(admin::ABORT, 0, 0, 0).result, 1);
    statuses(
        &mut host,
        1,
        &[
            (plain(0x08, 0), Status::INVALID_OPCODE),
            (plain(io::READ, 0x0100), Status::INVALID_FIELD),
            (plain(io::READ, 0x8000), Status::INVALID_FIELD),
            (
                command(io::READ, 0, 0, 0, [0; 3]),
                Status::INVALID_NAMESPACE,
            ),
            (
                command(io::WRITE, 2, 0, 0, [0; 3]),
                Status::INVALID_NAMESPACE,
            ),
            (
                command(io::FLUSH, 0, 0, 0, [0; 3]),
                Status::INVALID_NAMESPACE,
            ),
            (command(io::FLUSH, u32::MAX, 0, 0, [0; 3]), Status::SUCCESS),
            (command(io::READ, 1, 0x8000, 0, [3, 0, 0]), Status::SUCCESS),
            (
                command(io::READ, 1, 0x8000, 0, [3, 0, 1]),
                Status::LBA_RANGE,
            ),
            (
                command(io::READ, 1, 0x8000, 0, [4, 0, 0]),
                Status::LBA_RANGE,
            ),
            (
                command(io::WRITE, 1, 0, 0, [u32::MAX, u32::MAX, 0]),
                Status::LBA_RANGE,
            ),
        ],
    );
}

#[test]
fn errors_say_not_to_try_again() {
    assert_eq!(Status::INVALID_OPCODE.field(), 0x4001);
    assert_eq!(Status::SUCCESS.field(), 0);
    assert_eq!(Status::DATA_TRANSFER.field(), 4);
}
