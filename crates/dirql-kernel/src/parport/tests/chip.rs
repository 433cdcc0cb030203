//! Chip modes, daisy chains, information.

use dirql_abi::parallel::{chip_mode, command_flags};
use dirql_chips::Width;
use dirql_rules::ids;

use super::*;
use crate::parport::{Allocation, ChipModes};

fn set(rig: &Rig, mode: u8) -> NtStatus {
    rig.status(ioctl::IOCTL_INTERNAL_PARALLEL_SET_CHIP_MODE, &[mode, 0], 0)
}

fn clear(rig: &Rig, mode: u8) -> NtStatus {
    rig.status(
        ioctl::IOCTL_INTERNAL_PARALLEL_CLEAR_CHIP_MODE,
        &[mode, 0],
        0,
    )
}

/// The mode bits of the extended control register.
fn mode(rig: &Rig) -> u8 {
    rig.kernel().read_port(BASE + 0x402, Width::U8) as u8 & 0xE0
}

fn with_options(options: &'static [(&'static str, &'static str)]) -> Rig {
    Rig::with(Setup {
        options,
        ..Setup::default()
    })
}

#[test]
fn a_mode_is_set_and_cleared() {
    let rig = Rig::new();
    for wanted in [
        chip_mode::ECR_BYTE_MODE,
        chip_mode::ECR_ECP_MODE,
        chip_mode::ECR_EPP_MODE,
    ] {
        assert_eq!(set(&rig, wanted | 0x1F), NtStatus::SUCCESS, "{wanted:#x}");
        assert_eq!(mode(&rig), wanted);
        assert_eq!(clear(&rig, wanted), NtStatus::SUCCESS);
        assert_eq!(mode(&rig), 0);
    }
    assert_eq!(set(&rig, chip_mode::ECR_SPP_MODE), NtStatus::SUCCESS);
    assert_eq!(clear(&rig, chip_mode::ECR_SPP_MODE), NtStatus::SUCCESS);
}

#[test]
fn invalid_device_state_is_what_a_mode_gets_that_was_not_cleared() {
    let rig = Rig::new();
    for first in [
        chip_mode::ECR_BYTE_MODE,
        chip_mode::ECR_ECP_MODE,
        chip_mode::ECR_EPP_MODE,
    ] {
        assert_eq!(set(&rig, first), NtStatus::SUCCESS);
        assert_eq!(
            set(&rig, chip_mode::ECR_ECP_MODE),
            NtStatus::INVALID_DEVICE_STATE
        );
        assert_eq!(mode(&rig), first);
        assert_eq!(
            clear(&rig, chip_mode::ECR_SPP_MODE),
            NtStatus::INVALID_DEVICE_STATE
        );
        assert_eq!(clear(&rig, first), NtStatus::SUCCESS);
    }
}

#[test]
fn no_such_device_is_what_a_mode_gets_that_the_chip_has_not() {
    let rig = with_options(&[("modes", "spp")]);
    for wanted in [
        chip_mode::ECR_BYTE_MODE,
        chip_mode::ECR_ECP_MODE,
        chip_mode::ECR_EPP_MODE,
        0x40,
        0xE0,
    ] {
        assert_eq!(set(&rig, wanted), NtStatus::NO_SUCH_DEVICE, "{wanted:#x}");
    }
    assert_eq!(set(&rig, chip_mode::ECR_SPP_MODE), NtStatus::SUCCESS);
}

#[test]
fn the_sample_accepts_unknown_modes_and_leaves_byte_mode() {
    let rig = Rig::with(Setup {
        settings: Settings {
            chip_modes: ChipModes::Lenient,
            ..Settings::default()
        },
        ..Setup::default()
    });
    assert_eq!(set(&rig, chip_mode::ECR_BYTE_MODE), NtStatus::SUCCESS);
    assert_eq!(set(&rig, chip_mode::ECR_ECP_MODE), NtStatus::SUCCESS);
    assert_eq!(
        set(&rig, chip_mode::ECR_EPP_MODE),
        NtStatus::INVALID_DEVICE_STATE
    );
    assert_eq!(clear(&rig, chip_mode::ECR_ECP_MODE), NtStatus::SUCCESS);
    assert_eq!(set(&rig, 0x40), NtStatus::SUCCESS);
    assert_eq!(mode(&rig), 0, "it had no effect");
    assert_eq!(clear(&rig, 0x40), NtStatus::UNSUCCESSFUL);
    assert_eq!(
        set(&rig, chip_mode::ECR_ECP_MODE),
        NtStatus::SUCCESS,
        "nothing stays"
    );
}

#[test]
fn pnp_information_describes_the_chip() {
    for (modes, capabilities, ecp, epp, fifo) in [
        ("spp", 0, 0, 0, 0),
        ("ps2", 8, 0, 0, 0),
        ("epp", 2 | 8, 0, 0x37B, 0),
        ("ecp", 1 | 8, 0x778, 0, 16),
        ("ecp+epp", 1 | 2 | 8, 0x778, 0x37B, 16),
    ] {
        let rig = Rig::stopped(Setup {
            options: match modes {
                "spp" => &[("modes", "spp"), ("peer", "script")],
                "ps2" => &[("modes", "ps2"), ("peer", "script")],
                "epp" => &[("modes", "epp"), ("peer", "script")],
                "ecp" => &[("modes", "ecp"), ("peer", "script")],
                _ => &[("modes", "ecp+epp"), ("peer", "script")],
            },
            ..Setup::default()
        });
        rig.start();
        let data = rig
            .ask(ioctl::IOCTL_INTERNAL_GET_PARALLEL_PNP_INFO, &[], 112)
            .data;
        assert_eq!(half(&data, 24), capabilities, "{modes}");
        assert_eq!((word(&data, 0), word(&data, 8)), (ecp, ecp), "{modes}");
        assert_eq!(half(&data, 16), if ecp == 0 { 0 } else { 3 }, "{modes}");
        assert_eq!(half(&data, 20), 1, "it is LPT1");
        assert_eq!(
            (word(&data, 56), half(&data, 64)),
            (epp, if epp == 0 { 0 } else { 5 })
        );
        assert_eq!(half(&data, 48), fifo, "{modes}");
        assert_eq!(half(&data, 96), 0, "the standard mode");
        let name = rig
            .kernel()
            .read_bytes(word(&data, 104), 10)
            .expect("a name");
        assert_eq!(name, b"L\0P\0T\x001\0\0\0");
    }
}

#[test]
fn port_information_says_where_the_registers_are() {
    let rig = Rig::new();
    let data = rig
        .ask(ioctl::IOCTL_INTERNAL_GET_PARALLEL_PORT_INFO, &[], 56)
        .data;
    assert_eq!(
        (word(&data, 0), word(&data, 8), half(&data, 16)),
        (0x378, 0x378, 8)
    );
}

#[test]
fn more_information_is_the_translated_interrupt() {
    let rig = Rig::new();
    let data = rig
        .ask(ioctl::IOCTL_INTERNAL_GET_MORE_PARALLEL_PORT_INFO, &[], 32)
        .data;
    let (level, vector) = (half(&data, 8), half(&data, 12));
    assert!(level >= 3 && vector >> 4 == level, "{level} {vector:#x}");
    assert_eq!(
        (word(&data, 16), half(&data, 24)),
        (1, 1),
        "one processor, latched"
    );
}

const CHAIN: &[(&str, &str)] = &[("peer", "chain"), ("devices", "2")];

fn select(rig: &Rig, id: u8, flags: u32) -> NtStatus {
    rig.status(ioctl::IOCTL_INTERNAL_SELECT_DEVICE, &command(id, flags), 0)
}

fn deselect(rig: &Rig, id: u8, flags: u32) -> NtStatus {
    rig.status(
        ioctl::IOCTL_INTERNAL_DESELECT_DEVICE,
        &command(id, flags),
        0,
    )
}

/// Whom the computer talks to.
fn selected(rig: &Rig) -> Option<u8> {
    let ports = rig.kernel().parport.ports.borrow();
    ports.values().next().expect("a port").selected
}

#[test]
fn the_devices_of_a_chain_are_counted() {
    for (peer, count) in [("chain", 2), ("script", 0)] {
        let rig = Rig::stopped(Setup {
            options: if peer == "chain" {
                CHAIN
            } else {
                &[("peer", "script")]
            },
            ..Setup::default()
        });
        rig.start();
        let data = rig
            .ask(ioctl::IOCTL_INTERNAL_GET_PARALLEL_PNP_INFO, &[], 112)
            .data;
        assert_eq!(half(&data, 68), count);
        assert_eq!(half(&data, 24) & 0x10 != 0, count > 0);
    }
}

#[test]
fn a_device_is_selected_with_the_port_and_deselected() {
    let rig = with_options(CHAIN);
    let port = rig.information();
    for id in 0..2 {
        assert_eq!(select(&rig, id, 0), NtStatus::SUCCESS);
        assert_eq!(selected(&rig), Some(id));
        assert_eq!(rig.call(port.try_allocate, &[port.context]), 0);
        assert_eq!(deselect(&rig, id, 0), NtStatus::SUCCESS);
        assert_eq!(selected(&rig), None);
        assert_eq!(rig.call(port.try_allocate, &[port.context]), 1);
        rig.call(port.free, &[port.context]);
    }
    assert_eq!(rig.bench.rules(), []);
}

#[test]
fn an_id_above_the_count_is_an_invalid_parameter_and_the_count_is_the_end() {
    let rig = with_options(CHAIN);
    assert_eq!(select(&rig, 3, 0), NtStatus::INVALID_PARAMETER);
    assert_eq!(deselect(&rig, 3, 0), NtStatus::INVALID_PARAMETER);
    for (id, flags) in [(2, 0), (4, 0), (7, command_flags::PAR_END_OF_CHAIN_DEVICE)] {
        assert_eq!(select(&rig, id, flags), NtStatus::SUCCESS, "{id}");
        assert_eq!(selected(&rig), None);
        assert_eq!(deselect(&rig, id, flags), NtStatus::SUCCESS, "{id}");
    }
}

#[test]
fn unsuccessful_is_what_a_device_gives_that_does_not_answer_and_the_port_is_free() {
    let rig = with_options(CHAIN);
    // A reset has taken the devices' addresses; the driver does not know.
    rig.bench.on_thread(|kernel| {
        kernel.write_port(BASE + 2, Width::U8, 0x08);
        kernel.write_port(BASE + 2, Width::U8, 0x0C);
        kernel.yield_point()
    });
    assert_eq!(select(&rig, 0, 0), NtStatus::UNSUCCESSFUL);
    assert_eq!(select(&rig, 5, 0), NtStatus::UNSUCCESSFUL, "a Zip drive");
    let port = rig.information();
    assert_eq!(
        rig.call(port.try_allocate, &[port.context]),
        1,
        "in the sample it stays allocated"
    );
    rig.call(port.free, &[port.context]);
    rig.status(ioctl::IOCTL_INTERNAL_INIT_1284_3_BUS, &[], 0);
    assert_eq!(select(&rig, 0, 0), NtStatus::SUCCESS);
}

#[test]
fn a_selection_that_fails_when_its_turn_comes_lets_the_next_one_in() {
    let rig = with_options(CHAIN);
    let file = rig.open();
    let allocate = ioctl::IOCTL_INTERNAL_PARALLEL_PORT_ALLOCATE;
    rig.status(allocate, &[], 0);
    let zip = rig.submit(file, ioctl::IOCTL_INTERNAL_SELECT_DEVICE, &command(5, 0), 0);
    let next = rig.submit(file, allocate, &[], 0);
    rig.status(ioctl::IOCTL_INTERNAL_PARALLEL_PORT_FREE, &[], 0);
    assert_eq!(rig.outcome(zip), Some(NtStatus::UNSUCCESSFUL));
    assert_eq!(rig.outcome(next), Some(NtStatus::SUCCESS));
    assert_eq!(rig.bench.rules(), []);
}

#[test]
fn an_owner_selects_and_keeps_the_port() {
    let rig = with_options(CHAIN);
    let port = rig.information();
    let keep = command_flags::PAR_HAVE_PORT_KEEP_PORT;
    rig.call(port.try_allocate, &[port.context]);
    assert_eq!(select(&rig, 1, keep), NtStatus::SUCCESS);
    assert_eq!(deselect(&rig, 1, keep), NtStatus::SUCCESS);
    assert_eq!(
        rig.call(port.try_allocate, &[port.context]),
        0,
        "it is still the owner's"
    );
    rig.call(port.free, &[port.context]);
    assert_eq!(rig.bench.rules(), []);
    assert_eq!(select(&rig, 1, keep), NtStatus::SUCCESS);
    assert_eq!(rig.bench.rules(), [ids::PORT_NOT_OWNED]);
}

#[test]
fn try_select_is_pending_while_the_port_has_an_owner_and_queues_nothing() {
    let rig = with_options(CHAIN);
    let port = rig.information();
    let data = rig
        .ask(ioctl::IOCTL_INTERNAL_GET_PARALLEL_PNP_INFO, &[], 112)
        .data;
    let (try_select, deselect) = (word(&data, 72), word(&data, 80));
    let status = |routine: u64, bytes: &[u8]| {
        let command = variable(&rig, bytes);
        NtStatus(rig.call(routine, &[port.context, command]) as u32 as i32)
    };
    assert_eq!(status(try_select, &command(1, 0)), NtStatus::SUCCESS);
    assert_eq!(status(try_select, &command(1, 0)), NtStatus::PENDING);
    assert_eq!(
        rig.call(port.waiters, &[port.context]),
        0,
        "the sample counts it"
    );
    assert_eq!(status(deselect, &command(1, 0)), NtStatus::SUCCESS);
    assert_eq!(status(try_select, &command(5, 0)), NtStatus::UNSUCCESSFUL);
    assert_eq!(
        status(try_select, &command(3, 0)),
        NtStatus::INVALID_PARAMETER
    );
    assert_eq!(rig.call(port.try_allocate, &[port.context]), 1);
    assert_eq!(rig.bench.rules(), []);
}

#[test]
fn the_chip_mode_callbacks_do_what_the_requests_do() {
    let rig = Rig::new();
    let data = rig
        .ask(ioctl::IOCTL_INTERNAL_GET_PARALLEL_PNP_INFO, &[], 112)
        .data;
    let (set, clear, context) = (word(&data, 32), word(&data, 40), word(&data, 88));
    let status = |routine: u64, mode: u8| {
        // What is above a UCHAR in the register is rubbish.
        NtStatus(rig.call(routine, &[context, 0xFF00 | u64::from(mode)]) as u32 as i32)
    };
    assert_eq!(status(set, chip_mode::ECR_ECP_MODE), NtStatus::SUCCESS);
    assert_eq!(
        status(set, chip_mode::ECR_ECP_MODE),
        NtStatus::INVALID_DEVICE_STATE
    );
    assert_eq!(mode(&rig), chip_mode::ECR_ECP_MODE);
    assert_eq!(status(clear, chip_mode::ECR_ECP_MODE), NtStatus::SUCCESS);
}

#[test]
fn an_allocation_selects_the_end_of_the_chain_unless_it_is_as_in_the_sample() {
    for (allocation, expected) in [
        (Allocation::SelectsEndOfChain, None),
        (Allocation::Plain, Some(1)),
    ] {
        let rig = Rig::with(Setup {
            settings: Settings {
                allocation,
                ..Settings::default()
            },
            options: CHAIN,
            ..Setup::default()
        });
        assert_eq!(select(&rig, 1, 0), NtStatus::SUCCESS);
        // Its owner does not deselect it.
        rig.status(ioctl::IOCTL_INTERNAL_PARALLEL_PORT_FREE, &[], 0);
        rig.status(ioctl::IOCTL_INTERNAL_PARALLEL_PORT_ALLOCATE, &[], 0);
        assert_eq!(selected(&rig), expected);
    }
}
