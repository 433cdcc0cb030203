//! A host: memory, time, and what a driver does.

use super::*;

/// Where the queues are in memory.
pub(super) const ADMIN_SUBMISSION: u64 = 0x1000;
pub(super) const ADMIN_COMPLETION: u64 = 0x2000;
pub(super) const IO_SUBMISSION: u64 = 0x3000;
pub(super) const IO_COMPLETION: u64 = 0x4000;
/// Entries of the admin queues.
pub(super) const ENTRIES: u32 = 4;

/// A controller and the machine around it.
#[derive(Clone, Debug)]
pub(super) struct Host {
    pub(super) nvme: Nvme,
    pub(super) memory: Vec<u8>,
    pub(super) now: u64,
    pub(super) timers: Vec<(u64, u32)>,
    /// Whether reads of memory bring anything.
    pub(super) is_bus_master: bool,
    /// Levels by source, and how often each was asserted.
    pub(super) high: [bool; 2],
    pub(super) messages: [usize; 2],
    /// By queue: the tail of the submission queue, the head of the completion queue, its phase,
    /// its entries, and where both are.
    queues: [Queue; 2],
    next_id: u16,
}

#[derive(Clone, Copy, Debug)]
struct Queue {
    tail: u32,
    head: u32,
    phase: bool,
    entries: u32,
    submission: u64,
    completion: u64,
}

impl Queue {
    const fn new(submission: u64, completion: u64, entries: u32) -> Self {
        Self {
            tail: 0,
            head: 0,
            phase: true,
            entries,
            submission,
            completion,
        }
    }
}

/// What a completion says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Done {
    pub(super) id: u16,
    pub(super) queue: u16,
    pub(super) result: u32,
    /// Bits 31:17, without "do not retry".
    pub(super) status: Status,
}

impl Host {
    /// A controller that was not touched.
    pub(super) fn new(blocks: u64) -> Self {
        Self {
            nvme: Nvme::new(blocks, 2),
            memory: vec![0xEE; 0x10_0000],
            now: 0,
            timers: Vec::new(),
            is_bus_master: true,
            high: [false; 2],
            messages: [0; 2],
            queues: [
                Queue::new(ADMIN_SUBMISSION, ADMIN_COMPLETION, ENTRIES),
                Queue::new(IO_SUBMISSION, IO_COMPLETION, 4),
            ],
            next_id: 0,
        }
    }

    /// One that is ready, with a pair of I/O queues of 4 entries, vector 1.
    pub(super) fn ready(blocks: u64) -> Self {
        let mut host = Self::new(blocks);
        host.enable();
        host.create_queues(4);
        host
    }

    pub(super) fn enable(&mut self) {
        let entries = ENTRIES - 1;
        self.write(register::AQA, entries | entries << 16);
        self.write(register::ASQ, ADMIN_SUBMISSION as u32);
        self.write(register::ACQ, ADMIN_COMPLETION as u32);
        self.write(register::CC, cc::ENABLE | cc::EXPECTED_SIZES);
        self.run();
        assert_eq!(self.read(register::CSTS), csts::READY);
        self.queues[0] = Queue::new(ADMIN_SUBMISSION, ADMIN_COMPLETION, ENTRIES);
        self.memory[ADMIN_COMPLETION as usize..][..0x1000].fill(0);
    }

    pub(super) fn create_queues(&mut self, entries: u32) {
        let size = (entries - 1) << 16 | 1;
        self.memory[IO_COMPLETION as usize..][..0x1000].fill(0);
        let done = self.admin(admin::CREATE_COMPLETION, IO_COMPLETION, size, 0x0001_0003);
        assert_eq!(done.status, Status::SUCCESS);
        let done = self.admin(admin::CREATE_SUBMISSION, IO_SUBMISSION, size, 0x0001_0001);
        assert_eq!(done.status, Status::SUCCESS);
        self.queues[1] = Queue::new(IO_SUBMISSION, IO_COMPLETION, entries);
    }

    pub(super) fn read(&mut self, offset: u64) -> u32 {
        let mut out = Effects::new();
        self.nvme.read(Region(0), offset, Width::U32, &mut out) as u32
    }

    pub(super) fn write(&mut self, offset: u64, value: u32) {
        let mut out = Effects::new();
        let value = u64::from(value);
        self.nvme
            .write(Region(0), offset, Width::U32, value, &mut out);
        self.absorb(out);
    }

    pub(super) fn absorb(&mut self, out: Effects) {
        for effect in out {
            match effect {
                Effect::Interrupt { source, level } => {
                    let source = usize::from(source);
                    let high = level == Level::High;
                    assert!(high || self.high[source], "released twice");
                    self.high[source] = high;
                    self.messages[source] += usize::from(high);
                }
                Effect::DmaRead {
                    address,
                    length,
                    token,
                } => {
                    let bytes = self.at(address, length as usize).to_vec();
                    let mut out = Effects::new();
                    self.nvme.dma_data(token, &bytes, &mut out);
                    self.absorb(out);
                }
                Effect::DmaWrite { address, bytes } => {
                    if self.at(address, bytes.len()).len() == bytes.len() {
                        self.memory[address as usize..][..bytes.len()].copy_from_slice(&bytes);
                    }
                }
                Effect::Timer { after_100ns, token } => {
                    self.timers.push((self.now + after_100ns, token));
                }
                other @ (Effect::Output(_) | Effect::Serial(_) | Effect::StopTimer { .. }) => {
                    panic!("{other:?}")
                }
            }
        }
    }

    /// What is in memory; nothing where there is none.
    fn at(&self, address: u64, length: usize) -> &[u8] {
        let Ok(address) = usize::try_from(address) else {
            return &[];
        };
        let end = address.saturating_add(length);
        let bytes = self.memory.get(address..end).unwrap_or(&[]);
        if self.is_bus_master { bytes } else { &[] }
    }

    pub(super) fn tick(&mut self) -> bool {
        let next = (0..self.timers.len()).min_by_key(|&index| self.timers[index].0);
        let Some(next) = next else { return false };
        let (due, token) = self.timers.remove(next);
        self.now = due;
        let mut out = Effects::new();
        self.nvme.timer(token, &mut out);
        self.absorb(out);
        true
    }

    pub(super) fn run(&mut self) {
        for _ in 0..10_000 {
            if !self.tick() {
                return;
            }
        }
        panic!("timers never end");
    }

    /// Puts a command into memory, and its ID; the doorbell is for the caller to ring.
    pub(super) fn put(&mut self, queue: usize, mut words: [u32; 16]) -> u16 {
        let id = self.next_id;
        self.next_id = id.wrapping_add(1);
        words[0] |= u32::from(id) << 16;
        let at = &mut self.queues[queue];
        let address = at.submission + u64::from(at.tail) * 64;
        at.tail = (at.tail + 1) % at.entries;
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.memory[address as usize..][..64].copy_from_slice(&bytes);
        id
    }

    pub(super) fn ring(&mut self, queue: usize) {
        let tail = self.queues[queue].tail;
        self.write(register::DOORBELLS + 8 * queue as u64, tail);
    }

    /// Takes the next completion, if there is one.
    pub(super) fn take(&mut self, queue: usize) -> Option<Done> {
        let at = self.queues[queue];
        let address = (at.completion + u64::from(at.head) * 16) as usize;
        let word = |index: usize| {
            let bytes = &self.memory[address + 4 * index..][..4];
            u32::from_le_bytes(bytes.try_into().expect("four bytes"))
        };
        let last = word(3);
        if (last >> 16 & 1 != 0) != at.phase {
            return None;
        }
        let done = Done {
            id: last as u16,
            queue: (word(2) >> 16) as u16,
            result: word(0),
            status: Status((last >> 17) as u16 & 0x7FF),
        };
        let at = &mut self.queues[queue];
        at.head = (at.head + 1) % at.entries;
        if at.head == 0 {
            at.phase = !at.phase;
        }
        let head = at.head;
        self.write(register::DOORBELLS + 8 * queue as u64 + 4, head);
        Some(done)
    }

    /// Sends a command and waits for its completion.
    pub(super) fn send(&mut self, queue: usize, words: [u32; 16]) -> Done {
        let id = self.put(queue, words);
        self.ring(queue);
        self.run();
        let done = self.take(queue).expect("a completion");
        assert_eq!((done.id, usize::from(done.queue)), (id, queue));
        done
    }

    /// An admin command of namespace 0.
    pub(super) fn admin(&mut self, opcode: u8, prp1: u64, dword10: u32, dword11: u32) -> Done {
        self.send(0, command(opcode, 0, prp1, 0, [dword10, dword11, 0]))
    }
}

/// A command's words.
pub(super) fn command(
    opcode: u8,
    namespace: u32,
    prp1: u64,
    prp2: u64,
    dwords: [u32; 3],
) -> [u32; 16] {
    let mut words = [0; 16];
    words[0] = opcode.into();
    words[1] = namespace;
    words[6] = prp1 as u32;
    words[7] = (prp1 >> 32) as u32;
    words[8] = prp2 as u32;
    words[9] = (prp2 >> 32) as u32;
    words[10..13].copy_from_slice(&dwords);
    words
}
