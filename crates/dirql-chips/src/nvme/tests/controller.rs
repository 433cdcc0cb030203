//! Registers, queues and interrupts.

use super::host::command;
use super::*;
use crate::pci::{Function, Output, Outputs, spec as pci};
use crate::wire::MessageWrite;

#[test]
fn registers_after_power_up() {
    let mut nvme = Nvme::new(1, 1);
    let mut out = Effects::new();
    let mut read = |offset, width| nvme.read(Region(0), offset, width, &mut out);
    assert_eq!(read(register::CAP, Width::U64), 0x0000_0020_0401_003F);
    assert_eq!(read(register::CAP + 4, Width::U32), 0x20);
    assert_eq!(read(register::VS, Width::U32), 0x0001_0400);
    for offset in (register::INTMS..0x40).step_by(4) {
        assert_eq!(read(offset, Width::U32), 0, "{offset:#x}");
    }
    assert_eq!(read(register::DOORBELLS, Width::U32), 0);
    // Accesses that are not aligned, not of 4 bytes, or not there.
    assert_eq!(read(register::VS, Width::U16), 0xFFFF);
    assert_eq!(read(register::VS + 2, Width::U32), 0xFFFF_FFFF);
    assert_eq!(read(4, Width::U64), u64::MAX);
    assert_eq!(read(register::DOORBELLS, Width::U64), u64::MAX);
    let mut out = Effects::new();
    assert_eq!(nvme.read(Region(1), 0, Width::U32, &mut out), 0xFFFF_FFFF);
}

#[test]
fn queue_addresses_are_pages_and_can_be_written_in_halves() {
    let mut host = Host::new(1);
    let mut out = Effects::new();
    let value = 0x1234_5678_9ABC_DEF0;
    host.nvme
        .write(Region(0), register::ASQ, Width::U64, value, &mut out);
    host.write(register::ACQ + 4, 0x8765_4321);
    host.write(register::ACQ, 0xFFFF_FFFF);
    host.write(register::AQA, 0xFFFF_FFFF);
    assert_eq!(host.read(register::ASQ), 0x9ABC_D000);
    assert_eq!(host.read(register::ASQ + 4), 0x1234_5678);
    assert_eq!(host.read(register::ACQ), 0xFFFF_F000);
    assert_eq!(host.read(register::ACQ + 4), 0x8765_4321);
    assert_eq!(host.read(register::AQA), 0x0FFF_0FFF);
}

#[test]
fn it_is_ready_a_while_after_it_was_enabled() {
    let mut host = Host::new(1);
    host.write(register::AQA, 0x0001_0001);
    host.write(register::CC, cc::ENABLE);
    assert_eq!(host.read(register::CSTS), 0);
    host.tick();
    assert_eq!((host.now, host.read(register::CSTS)), (READY_100NS, 1));
    host.write(register::CC, 0);
    assert_eq!(host.read(register::CSTS), 0);
    // Disabled before it was ready, the delay is nobody's.
    host.write(register::CC, cc::ENABLE);
    host.write(register::CC, 0);
    host.run();
    assert_eq!(host.read(register::CSTS), 0);
}

#[test]
fn what_it_cannot_be_is_fatal() {
    for (attributes, configuration) in [
        (0x0000_0001, cc::ENABLE),
        (0x0001_0000, cc::ENABLE),
        (0x0001_0001, cc::ENABLE | 1 << 4),
        (0x0001_0001, cc::ENABLE | 1 << 7),
        (0x0001_0001, cc::ENABLE | 1 << 11),
    ] {
        let mut host = Host::new(1);
        host.write(register::AQA, attributes);
        host.write(register::CC, configuration);
        host.run();
        assert_eq!(
            host.read(register::CSTS),
            csts::FATAL,
            "{attributes:#x} {configuration:#x}"
        );
        host.write(register::CC, 0);
        assert_eq!(host.read(register::CSTS), 0);
    }
}

#[test]
fn a_shutdown_is_told() {
    let mut host = Host::ready(1);
    host.write(register::CC, cc::ENABLE | cc::EXPECTED_SIZES | 1 << 14);
    assert_eq!(host.read(register::CSTS), csts::READY | csts::SHUT_DOWN);
    host.write(register::CC, 0);
    host.enable();
    assert_eq!(host.read(register::CSTS), csts::READY);
}

#[test]
fn commands_take_their_time_and_turns() {
    let mut host = Host::ready(4);
    let begin = host.now;
    host.put(1, command(io::FLUSH, 1, 0, 0, [0; 3]));
    host.put(1, command(io::FLUSH, 1, 0, 0, [0; 3]));
    host.put(0, command(admin::ABORT, 0, 0, 0, [0; 3]));
    host.ring(1);
    host.ring(0);
    host.tick();
    assert_eq!(host.now - begin, WORK_100NS);
    assert!(host.take(1).is_some());
    host.tick();
    assert!(host.take(1).is_none() && host.take(0).is_some());
    host.tick();
    assert!(host.take(1).is_some());
    assert_eq!(host.now - begin, 3 * WORK_100NS);
}

#[test]
fn a_full_completion_queue_holds_commands_back() {
    let mut host = Host::ready(4);
    for _ in 0..3 {
        host.put(1, command(io::FLUSH, 1, 0, 0, [0; 3]));
    }
    host.ring(1);
    host.run();
    // All four entries of the submission queue are free again, three completions wait.
    for _ in 0..2 {
        host.put(1, command(io::FLUSH, 1, 0, 0, [0; 3]));
    }
    host.ring(1);
    host.run();
    let mut ids = Vec::new();
    while let Some(done) = host.take(1) {
        ids.push(done.id);
        host.run();
    }
    let first = ids[0];
    assert_eq!(ids, [0, 1, 2, 3, 4].map(|number| first + number));
}

#[test]
fn the_phase_turns_each_time_around() {
    let mut host = Host::ready(4);
    for round in 0..20 {
        let done = host.send(1, command(io::FLUSH, 1, 0, 0, [0; 3]));
        assert_eq!(done.status, Status::SUCCESS, "{round}");
    }
}

#[test]
fn a_vector_is_asserted_until_its_completions_are_taken() {
    let mut host = Host::ready(4);
    for _ in 0..2 {
        host.put(1, command(io::FLUSH, 1, 0, 0, [0; 3]));
    }
    host.ring(1);
    host.messages = [0; 2];
    host.run();
    assert_eq!((host.high, host.messages), ([false, true], [0, 2]));
    host.take(1);
    assert!(host.high[1]);
    host.take(1);
    assert!(!host.high[1]);
}

#[test]
fn masked_vectors_are_asserted_when_they_are_unmasked() {
    let mut host = Host::ready(4);
    host.write(register::INTMS, 2);
    host.put(1, command(io::FLUSH, 1, 0, 0, [0; 3]));
    host.ring(1);
    host.run();
    assert_eq!(host.read(register::INTMS), 2);
    assert!(!host.high[1]);
    host.write(register::INTMC, 1);
    assert!(!host.high[1]);
    host.write(register::INTMC, 2);
    assert!(host.high[1]);
    host.write(register::INTMS, 2);
    assert!(!host.high[1]);
    host.take(1);
    host.write(register::INTMC, 2);
    assert!(!host.high[1]);
}

#[test]
fn a_queue_can_be_without_interrupts() {
    let mut host = Host::new(4);
    host.enable();
    let size = 3 << 16 | 1;
    host.admin(admin::CREATE_COMPLETION, IO_COMPLETION, size, 1);
    host.admin(admin::CREATE_SUBMISSION, IO_SUBMISSION, size, 0x0001_0001);
    host.memory[IO_COMPLETION as usize..][..64].fill(0);
    host.messages = [0; 2];
    let done = host.send(1, command(io::FLUSH, 1, 0, 0, [0; 3]));
    assert_eq!(done.status, Status::SUCCESS);
    assert_eq!(host.messages, [0; 2]);
}

#[test]
fn a_controller_reset_forgets_queues_and_releases_vectors() {
    let mut host = Host::ready(4);
    host.put(1, command(io::FLUSH, 1, 0, 0, [0; 3]));
    host.ring(1);
    host.run();
    host.put(1, command(io::FLUSH, 1, 0, 0, [0; 3]));
    host.ring(1);
    assert!(host.high[1]);
    host.write(register::CC, 0);
    assert!(!host.high[1]);
    host.run();
    host.enable();
    let done = host.admin(admin::DELETE_SUBMISSION, 0, 1, 0);
    assert_eq!(done.status, Status::QUEUE_IDENTIFIER);
}

#[test]
fn the_disk_outlives_resets() {
    let mut host = Host::ready(4);
    host.memory[0x8000..][..512].fill(0x5A);
    let done = host.send(1, command(io::WRITE, 1, 0x8000, 0, [2, 0, 0]));
    assert_eq!(done.status, Status::SUCCESS);
    host.put(1, command(io::FLUSH, 1, 0, 0, [0; 3]));
    host.ring(1);
    host.run();
    let mut out = Effects::new();
    host.nvme.reset(&mut out);
    host.absorb(out);
    assert_eq!(host.high, [false; 2]);
    let mut expected = Nvme::new(4, 2);
    expected.disk = host.nvme.disk.clone();
    assert_eq!(host.nvme, expected);
    host.enable();
    host.create_queues(4);
    host.send(1, command(io::READ, 1, 0x9000, 0, [2, 0, 0]));
    assert_eq!(host.memory[0x9000..][..512], [0x5A; 512]);
}

#[test]
fn a_command_that_cannot_be_read_is_fatal() {
    let mut host = Host::ready(4);
    host.is_bus_master = false;
    host.put(1, command(io::FLUSH, 1, 0, 0, [0; 3]));
    host.ring(1);
    host.run();
    assert_eq!(host.read(register::CSTS), csts::READY | csts::FATAL);
    host.is_bus_master = true;
    host.ring(1);
    host.run();
    assert!(host.take(1).is_none());
}

#[test]
fn a_spurious_interrupt_leaves_no_completion() {
    let mut host = Host::ready(4);
    let mut out = Effects::new();
    assert!(host.nvme.stimulate(&Stimulus::Interrupt(1), &mut out));
    assert_eq!(out.len(), 2);
    assert!(!host.nvme.stimulate(&Stimulus::Interrupt(2), &mut out));
    assert!(!host.nvme.stimulate(&Stimulus::Press, &mut out));
    assert!(host.take(1).is_none());
}

/// Behind a PCI function: each completion is a message to its queue's vector.
#[test]
fn messages_go_by_msix_and_by_msi() {
    for is_msix in [true, false] {
        let msi = crate::pci::MsiOffer {
            messages: 2,
            address_64: true,
            per_vector_mask: false,
        };
        let description = spec::description(Some(msi), 2);
        let device = Box::new(Host::ready(4).nvme);
        let mut function = Function::new(device, description).expect("valid");
        let mut out = Outputs::new();
        let command = pci::command::MEMORY | pci::command::BUS_MASTER;
        function.write_config(pci::offset::COMMAND, Width::U16, command.into(), &mut out);
        // MSI takes 0x40..0x4E, MSI-X is behind it.
        if is_msix {
            function.write_config(0x52, Width::U16, pci::msix::ENABLE.into(), &mut out);
            for entry in 0..2 {
                function.write(0, 0x2000 + 16 * entry, Width::U64, 0xFEE0_0000, &mut out);
                let data = 0x50 + entry;
                function.write(0, 0x2008 + 16 * entry, Width::U64, data, &mut out);
            }
        } else {
            function.write_config(0x44, Width::U32, 0xFEE0_0000, &mut out);
            function.write_config(0x4C, Width::U16, 0x50, &mut out);
            let enable = pci::msi::ENABLE | 1 << pci::msi::ENABLED_SHIFT;
            function.write_config(0x42, Width::U16, enable.into(), &mut out);
        }
        out.clear();
        assert!(function.stimulate(&Stimulus::Interrupt(1), &mut out));
        let write = MessageWrite {
            address: 0xFEE0_0000,
            data: 0x51,
        };
        assert_eq!(out, [Output::Message { message: 1, write }], "{is_msix}");
    }
}
