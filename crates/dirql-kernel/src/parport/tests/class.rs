//! What a client of the class driver gets, and what it does with it.

use dirql_abi::parallel::command_flags;

use super::super::class::Talk;
use super::*;

const CHILD: &str = r"\Device\Parallel0.4";

/// The routines of PARCLASS_INFORMATION, by offset.
#[derive(Clone, Copy)]
struct Class {
    determine: u64,
    negotiate: u64,
    terminate: u64,
    forward_to_reverse: u64,
    reverse_to_forward: u64,
    read: u64,
    write: u64,
    context: u64,
    try_select: u64,
    deselect: u64,
}

fn ask(rig: &Rig, code: u32, output: usize) -> RequestOutcome {
    rig.bench.on_thread(move |kernel| {
        let file = kernel.open(CHILD)?.expect("the child is there");
        let outcome = kernel.request(file, &control_kind(code, &[], output))?;
        kernel.close(file)?;
        Ok(outcome)
    })
}

fn connect(rig: &Rig) -> Class {
    let outcome = ask(rig, ioctl::IOCTL_INTERNAL_PARCLASS_CONNECT, 120);
    assert_eq!(
        (outcome.status, outcome.information),
        (NtStatus::SUCCESS, 120)
    );
    let word = |offset: usize| word(&outcome.data, offset);
    assert_eq!(word(0), BASE.into());
    Class {
        determine: word(24),
        negotiate: word(32),
        terminate: word(40),
        forward_to_reverse: word(48),
        reverse_to_forward: word(56),
        read: word(64),
        write: word(72),
        context: word(80),
        try_select: word(104),
        deselect: word(112),
    }
}

/// A port that its client has, with a partner that sends `bytes`.
fn with_bytes(options: &'static [(&'static str, &'static str)], bytes: &[u8]) -> (Rig, Class) {
    let rig = Rig::with(Setup {
        options,
        ..Setup::default()
    });
    let class = connect(&rig);
    let port = rig.information();
    assert_eq!(rig.call(port.try_allocate, &[port.context]), 1);
    if !bytes.is_empty() {
        let stimulus = Stimulus::Receive(bytes.to_vec());
        assert!(rig.kernel().stimulate(rig.device, &stimulus));
    }
    (rig, class)
}

fn status(rig: &Rig, routine: u64, arguments: &[u64]) -> NtStatus {
    NtStatus::from_bits(rig.call(routine, arguments) as u32)
}

/// The status, and what was read.
fn read(rig: &Rig, class: Class, most: u32) -> (NtStatus, Vec<u8>) {
    let (buffer, count) = (rig.bench.variable(64), rig.bench.variable(8));
    let arguments = [class.context, buffer, most.into(), count, 0];
    let status = status(rig, class.read, &arguments);
    let length = rig.kernel().read(DriverPtr::<u32>::new(count)).unwrap();
    (
        status,
        rig.kernel().read_bytes(buffer, length as usize).unwrap(),
    )
}

/// The status, and how much was written.
fn write(rig: &Rig, class: Class, bytes: &[u8]) -> (NtStatus, u32) {
    let (buffer, count) = (rig.bench.variable(64), rig.bench.variable(8));
    rig.kernel().write_bytes(buffer, bytes).unwrap();
    let arguments = [class.context, buffer, bytes.len() as u64, count, 0];
    let status = status(rig, class.write, &arguments);
    (
        status,
        rig.kernel().read(DriverPtr::<u32>::new(count)).unwrap(),
    )
}

const SCRIPT: &[(&str, &str)] = &[("peer", "script")];
const NOTHING: &[(&str, &str)] = &[("peer", "nothing")];
const PRINTER: &[(&str, &str)] = &[("peer", "printer")];
const NIBBLE: u64 = 0x04;
const BYTE: u64 = 0x10;
const COMPATIBLE: u64 = 0x02;

#[test]
fn buffer_too_small_for_the_class_information() {
    let rig = Rig::new();
    let outcome = ask(&rig, ioctl::IOCTL_INTERNAL_PARCLASS_CONNECT, 119);
    assert_eq!(
        (outcome.status, outcome.information),
        (NtStatus::BUFFER_TOO_SMALL, 0)
    );
    let disconnect = ioctl::IOCTL_INTERNAL_PARCLASS_DISCONNECT;
    assert_eq!(ask(&rig, disconnect, 0).status, NtStatus::SUCCESS);
}

#[test]
fn bytes_are_printed_and_read_by_nibbles_unless_something_else_was_negotiated() {
    let (rig, class) = with_bytes(SCRIPT, b"pong");
    assert_eq!(write(&rig, class, b"ping"), (NtStatus::SUCCESS, 4));
    assert_eq!(read(&rig, class, 3), (NtStatus::SUCCESS, b"pon".to_vec()));
    assert_eq!(read(&rig, class, 9), (NtStatus::SUCCESS, b"g".to_vec()));
    assert_eq!(write(&rig, class, b"!"), (NtStatus::SUCCESS, 1));
    rig.kernel().run_until_idle();
    assert_eq!(rig.kernel().take_sent(rig.device), b"ping!");
    assert_eq!(rig.bench.rules(), []);
}

#[test]
fn byte_mode_is_taken_where_both_have_it() {
    let (rig, class) = with_bytes(SCRIPT, b"\x00\xFFz");
    let context = class.context;
    assert_eq!(
        rig.call(class.determine, &[context]),
        COMPATIBLE | 1 | NIBBLE | BYTE
    );
    let arguments = [context, COMPATIBLE, NIBBLE | BYTE, 0, 0];
    assert_eq!(status(&rig, class.negotiate, &arguments), NtStatus::SUCCESS);
    assert_eq!(
        status(&rig, class.negotiate, &arguments),
        NtStatus::DEVICE_PROTOCOL_ERROR
    );
    assert_eq!(
        read(&rig, class, 8),
        (NtStatus::SUCCESS, b"\x00\xFFz".to_vec())
    );
    for routine in [
        class.reverse_to_forward,
        class.forward_to_reverse,
        class.terminate,
    ] {
        assert_eq!(status(&rig, routine, &[context]), NtStatus::SUCCESS);
    }
    assert_eq!(rig.bench.rules(), []);
}

#[test]
fn a_mode_that_is_not_there_is_not_negotiated() {
    let (rig, class) = with_bytes(SCRIPT, b"");
    let negotiate = |arguments: &[u64; 4]| {
        let [forward, reverse, safety, is_forward] = *arguments;
        let arguments = [class.context, forward, reverse, safety, is_forward];
        status(&rig, class.negotiate, &arguments)
    };
    // EPP, in either direction.
    assert_eq!(negotiate(&[0x20, 0, 0, 1]), NtStatus::UNSUCCESSFUL);
    assert_eq!(negotiate(&[COMPATIBLE, 0x20, 0, 0]), NtStatus::UNSUCCESSFUL);
    assert_eq!(
        negotiate(&[COMPATIBLE, NIBBLE, 1, 1]),
        NtStatus::INVALID_PARAMETER
    );
    assert_eq!(negotiate(&[COMPATIBLE, NIBBLE, 0, 1]), NtStatus::SUCCESS);
}

#[test]
fn nobody_at_the_other_end_has_no_modes_and_takes_nothing() {
    let (rig, class) = with_bytes(NOTHING, b"");
    assert_eq!(rig.call(class.determine, &[class.context]), 1);
    assert_eq!(read(&rig, class, 1), (NtStatus::UNSUCCESSFUL, Vec::new()));
}

#[test]
fn a_printer_that_is_off_line_is_busy() {
    let (rig, class) = with_bytes(PRINTER, b"");
    assert!(rig.kernel().stimulate(rig.device, &Stimulus::Press));
    assert_eq!(write(&rig, class, b"ab"), (NtStatus::DEVICE_BUSY, 0));
}

#[test]
fn using_a_port_that_nobody_has_is_told() {
    let rig = Rig::new();
    let class = connect(&rig);
    rig.call(class.determine, &[class.context]);
    let idle = ioctl::IOCTL_INTERNAL_DISCONNECT_IDLE;
    assert_eq!(ask(&rig, idle, 0).status, NtStatus::SUCCESS);
    assert_eq!(rig.bench.rules(), [dirql_rules::ids::PORT_NOT_OWNED; 2]);
}

#[test]
fn an_idle_device_is_in_no_reverse_mode_and_forgets_what_was_negotiated() {
    let (rig, class) = with_bytes(SCRIPT, b"z");
    let arguments = [class.context, COMPATIBLE, BYTE, 0, 0];
    assert_eq!(status(&rig, class.negotiate, &arguments), NtStatus::SUCCESS);
    let idle = ioctl::IOCTL_INTERNAL_DISCONNECT_IDLE;
    assert_eq!(ask(&rig, idle, 0).status, NtStatus::SUCCESS);
    let children = rig.kernel().parport.children.borrow();
    assert!(children.values().all(|child| child.talk == Talk::default()));
    drop(children);
    assert_eq!(read(&rig, class, 1), (NtStatus::SUCCESS, b"z".to_vec()));
}

#[test]
fn reading_leaves_the_communication_mode_to_the_client() {
    let (rig, class) = with_bytes(SCRIPT, b"z");
    let set = ioctl::IOCTL_INTERNAL_PARALLEL_SET_CHIP_MODE;
    let clear = ioctl::IOCTL_INTERNAL_PARALLEL_CLEAR_CHIP_MODE;
    assert_eq!(rig.status(set, &[0x20, 0], 2), NtStatus::SUCCESS);
    let arguments = [class.context, COMPATIBLE, BYTE, 0, 0];
    assert_eq!(status(&rig, class.negotiate, &arguments), NtStatus::SUCCESS);
    assert_eq!(read(&rig, class, 1), (NtStatus::SUCCESS, b"z".to_vec()));
    assert_eq!(rig.status(clear, &[0x20, 0], 2), NtStatus::SUCCESS);
}

#[test]
fn a_command_comes_by_value() {
    let (rig, class) = with_bytes(&[("peer", "chain"), ("devices", "2")], b"");
    let keep = u64::from(command_flags::PAR_HAVE_PORT_KEEP_PORT) << 32;
    let selected = || {
        let ports = rig.kernel().parport.ports.borrow();
        ports.values().next().expect("a port").selected
    };
    let try_select = |command| status(&rig, class.try_select, &[class.context, command]);
    let deselect = |command| status(&rig, class.deselect, &[class.context, command]);
    assert_eq!(try_select(keep | 1), NtStatus::SUCCESS);
    assert_eq!(selected(), Some(1));
    assert_eq!(try_select(keep | 3), NtStatus::INVALID_PARAMETER);
    // Without the flag, somebody has the port already.
    assert_eq!(try_select(0), NtStatus::PENDING);
    assert_eq!(deselect(keep | 1), NtStatus::SUCCESS);
    assert_eq!(selected(), None);
    // This frees the port, so it can be selected with it.
    assert_eq!(deselect(1), NtStatus::SUCCESS);
    assert_eq!(try_select(0), NtStatus::SUCCESS);
    assert_eq!(selected(), Some(0));
    assert_eq!(rig.bench.rules(), []);
}
