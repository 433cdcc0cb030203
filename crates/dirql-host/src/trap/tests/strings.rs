use dirql_chips::Width;
use dirql_kernel::mm::layout;

use super::Random;
use super::runner::{Registers, Runner};
use super::twin::Asked;

/// Bytes of each buffer, and where in it an operation starts.
const BUFFER: usize = 0x400;
const MIDDLE: u64 = 0x200;

#[test]
fn port_strings_move_between_memory_and_port() {
    let runner = Runner::new();
    let memory = vec![0x5A_u8; BUFFER];
    let start = memory.as_ptr().expose_provenance() as u64;
    runner
        .twin
        .memory
        .borrow_mut()
        .push(start..start + BUFFER as u64);
    for down in [false, true] {
        let mut registers = runner.registers();
        registers.general[1] = 3;
        registers.general[2] = 0x10;
        registers.general[7] = start + MIDDLE;
        registers.flags |= if down { 0x400 } else { 0 };
        runner.run(&[0xF3, 0x66, 0x6D], &mut registers); // rep insw
        assert_eq!(
            runner.twin.take_asked(),
            [Asked::ReadPort(0x10, Width::U16); 3]
        );
        let step = if down { 0_u64.wrapping_sub(6) } else { 6 };
        assert_eq!(
            (registers.general[1], registers.general[7]),
            (0, (start + MIDDLE).wrapping_add(step))
        );

        registers.general[1] = 2;
        registers.general[6] = start + MIDDLE;
        runner.run(&[0xF3, 0x6F], &mut registers); // rep outsd
        let asked = runner.twin.take_asked();
        assert_eq!(asked.len(), 2);
        assert!(
            matches!(asked[0], Asked::WritePort(0x10, Width::U32, value) if value & 0xF0F0 == 0x1010)
        );
        runner.run(&[0xF3, 0x6C], &mut registers); // rep insb, count 0
        runner.run(&[0x6E], &mut registers); // outsb
        assert_eq!(runner.twin.take_asked().len(), 1);
    }
}

/// One string instruction on two buffers.
struct Case {
    code: Vec<u8>,
    registers: Registers,
    source: Vec<u8>,
    target: Vec<u8>,
}

#[derive(PartialEq, Eq)]
struct Outcome {
    registers: Vec<u64>,
    flags: u64,
    source: Vec<u8>,
    target: Vec<u8>,
}

impl Case {
    fn random(
        runner: &Runner,
        random: &mut Random,
        opcode: u8,
        width: u64,
        prefix: Option<u8>,
    ) -> Self {
        let mut code = Vec::new();
        code.extend(prefix);
        match width {
            1 => code.push(opcode),
            2 => code.extend([0x66, opcode | 1]),
            4 => code.push(opcode | 1),
            _ => code.extend([0x48, opcode | 1]),
        }
        let mut registers = runner.registers();
        registers.general[0] = random.next() & 0x0101_0101_0101_0101;
        registers.general[1] = random.below(12);
        registers.flags = 2 | random.next() & 0x8D5 | random.below(2) << 10;
        // Few different values, so that comparisons find both answers.
        let mut bytes = || {
            (0..BUFFER)
                .map(|_| (random.below(16) / 15) as u8)
                .collect::<Vec<u8>>()
        };
        let (source, target) = (bytes(), bytes());
        Self {
            code,
            registers,
            source,
            target,
        }
    }

    /// Runs it; each buffer in device memory or in RAM.
    fn run(&self, runner: &Runner, source_on_device: bool, target_on_device: bool) -> Outcome {
        let (source, target) = (self.source.clone(), self.target.clone());
        let mut places =
            [source.as_ptr(), target.as_ptr()].map(|place| place.expose_provenance() as u64);
        let memory = places.map(|place| place..place + BUFFER as u64);
        runner.twin.memory.borrow_mut().extend(memory);
        let on_device = [source_on_device, target_on_device];
        for (number, content) in [&source, &target].into_iter().enumerate() {
            let offset = number * BUFFER;
            runner.twin.device.borrow_mut()[offset..offset + BUFFER].copy_from_slice(content);
            if on_device[number] {
                places[number] = layout::DEVICE.start + offset as u64;
            }
        }
        let mut registers = self.registers.clone();
        registers.general[6] = places[0] + MIDDLE;
        registers.general[7] = places[1] + MIDDLE;
        runner.run(&self.code, &mut registers);
        let asked = runner.twin.take_asked();
        assert!(
            !asked.is_empty()
                || !(source_on_device || target_on_device)
                || self.touches_none(on_device)
        );
        registers.general[6] = registers.general[6].wrapping_sub(places[0]);
        registers.general[7] = registers.general[7].wrapping_sub(places[1]);
        let device = runner.twin.device.borrow();
        let content = |number: usize, memory: &Vec<u8>| {
            if on_device[number] {
                device[number * BUFFER..][..BUFFER].to_vec()
            } else {
                memory.clone()
            }
        };
        runner.twin.memory.borrow_mut().truncate(2);
        assert_eq!(runner.twin.take_fault(), None);
        Outcome {
            registers: registers.general.to_vec(),
            flags: registers.flags & 0xCD5,
            source: content(0, &source),
            target: content(1, &target),
        }
    }

    fn touches_none(&self, on_device: [bool; 2]) -> bool {
        let opcode = self.code.last().unwrap() & 0xFE;
        let repeated_never = self.registers.general[1] == 0 && matches!(self.code[0], 0xF2 | 0xF3);
        let uses = match opcode {
            0xA4 | 0xA6 => [true, true],
            0xAC => [true, false],
            _ => [false, true],
        };
        repeated_never || !(uses[0] && on_device[0] || uses[1] && on_device[1])
    }
}

#[test]
fn string_instructions_do_on_devices_what_they_do_in_memory() {
    let runner = Runner::new();
    let mut random = Random(1);
    for round in 0..40 {
        for opcode in [0xA4, 0xA6, 0xAA, 0xAC, 0xAE] {
            for width in [1, 2, 4, 8] {
                for prefix in [None, Some(0xF3), Some(0xF2)] {
                    let case = Case::random(&runner, &mut random, opcode, width, prefix);
                    let native = case.run(&runner, false, false);
                    for (source, target) in [(true, false), (false, true), (true, true)] {
                        let carried_out = case.run(&runner, source, target);
                        assert!(
                            native == carried_out,
                            "round {round}: {:x?}, {source}, {target}",
                            case.code
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn an_interrupt_comes_between_two_elements() {
    let runner = Runner::new();
    let twin = runner.twin;
    let mut registers = runner.registers();
    registers.general[1] = 4;
    registers.general[7] = layout::DEVICE.start;
    *twin.on_attend.borrow_mut() = Some(Box::new(move || {
        assert_eq!(twin.asked.borrow().len() as u32, twin.attended.get());
        // The next element is due for one as well.
        twin.attention.set(twin.attended.get() < 3);
        Ok(())
    }));
    twin.attention.set(true);
    runner.run(&[0xF3, 0xAA], &mut registers); // rep stosb
    assert_eq!((twin.attended.get(), twin.take_asked().len()), (3, 4));
    assert_eq!(
        (registers.general[1], registers.general[7]),
        (0, layout::DEVICE.start + 4)
    );
}

#[test]
fn more_elements_than_one_trap_does_are_done() {
    let runner = Runner::new();
    runner.twin.recording.set(false);
    let mut registers = runner.registers();
    registers.general[0] = 0x77;
    registers.general[1] = 0x3001;
    registers.general[7] = layout::DEVICE.start;
    runner.run(&[0xF3, 0xAA], &mut registers);
    assert_eq!(registers.general[1], 0);
    let device = runner.twin.device.borrow();
    assert!(device[..0x3001].iter().all(|byte| *byte == 0x77));
    assert_eq!(device[0x3001], 0);
}

#[test]
fn a_fault_on_the_memory_side_leaves_the_elements_before_it_done() {
    let runner = Runner::new();
    let mut registers = runner.registers();
    let stack_end = runner.twin.stack.get().1;
    registers.general[1] = 4;
    registers.general[6] = layout::DEVICE.start;
    registers.general[7] = stack_end - 2;
    runner.twin.device.borrow_mut()[..4].copy_from_slice(&[1, 2, 3, 4]);
    runner.run(&[0xF3, 0xA4], &mut registers); // rep movsb
    let fault = runner.twin.take_fault().unwrap();
    assert_eq!(fault.address, stack_end);
    assert_eq!(
        (registers.general[1], registers.general[6]),
        (2, layout::DEVICE.start + 2)
    );
}

#[test]
fn a_short_address_size_uses_the_low_halves_of_registers() {
    let runner = Runner::new();
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_32BIT;
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping touches nothing else.
    let low = unsafe { libc::mmap(std::ptr::null_mut(), 0x1000, protection, flags, -1, 0) };
    assert_ne!(low, libc::MAP_FAILED);
    let low = low.expose_provenance() as u64;
    runner.twin.memory.borrow_mut().push(low..low + 0x1000);
    let mut registers = runner.registers();
    registers.general[1] = 0xAAAA_0000_0000_0002;
    registers.general[2] = 0x33;
    registers.general[7] = 0xBBBB_0000_0000_0000 | low;
    runner.run(&[0x67, 0xF3, 0x6C], &mut registers); // rep insb to edi, ecx times
    assert_eq!(runner.twin.take_asked().len(), 2);
    assert_eq!((registers.general[1], registers.general[7]), (0, low + 2));
    // SAFETY: the mapping is the test's own.
    unsafe { libc::munmap(std::ptr::with_exposed_provenance_mut(low as usize), 0x1000) };
}
