//! `nvme`: a small disk behind an NVM Express controller.
//!
//! Source: NVM Express Base Specification, revision 1.4. What is mandatory for an I/O controller,
//! with one namespace and one pair of I/O queues beside the admin queues. One command is worked on
//! at a time, the queues in turn.
//!
//! Each completion is a message of its own. As a line, and for the mask registers, a vector is
//! pending while one of its completion queues has entries that the host has not taken ("Pin Based,
//! Single MSI, and Multiple MSI Behavior").
//!
//! Ours, because the specification leaves it open: a doorbell that is wrong is ignored and told by
//! an asynchronous event; a command that cannot be read from memory is fatal.
//!
//! Not modelled: SGLs, metadata, fused commands, saving features, interrupt coalescing (the setting
//! is kept), subsystem reset, the controller memory buffer. There is nothing to abort, and it never
//! gets warm.
//!
//! Invariant: what is on the disk outlives every reset.

mod admin;
mod command;
mod identify;
mod queue;
pub mod spec;

#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

use crate::device::{Device, Effect, Effects, Region, Stimulus, Width};
use crate::wire::Level;
use admin::Outcome;
use command::{Command, Pages};
use queue::{CompletionQueue, SubmissionQueue};
use spec::{
    CAPABILITIES, MAX_VECTORS, PAGE, READY_100NS, Status, VERSION, WORK_100NS, cc, csts, register,
};

/// The controller and its disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nvme {
    blocks: u64,
    vectors: u16,
    /// Blocks that were written; the rest is zeros.
    disk: BTreeMap<u64, Box<[u8]>>,
    cc: u32,
    csts: u32,
    admin_attributes: u32,
    admin_submission: u64,
    admin_completion: u64,
    /// Vectors that INTMS masked.
    mask: u32,
    submission: [Option<SubmissionQueue>; 2],
    completion: [Option<CompletionQueue>; 2],
    /// By feature and selector.
    features: BTreeMap<(u8, u16), u32>,
    /// Command IDs of asynchronous event requests that wait.
    event_requests: Vec<u16>,
    /// An event that nobody has been told of: dword 0 of the completion.
    event: Option<u32>,
    /// An error event was told, and its log page not read since: there are no others until then.
    is_event_masked: bool,
    work: Work,
    /// The submission queue that is looked at first.
    turn: usize,
    /// Counts up with each wait, so that what is left over from before a reset is not mistaken.
    token: u32,
    /// Sources that are asserted.
    asserted: u32,
}

/// What the controller is waiting for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Work {
    /// A doorbell.
    Idle,
    /// Until it is ready.
    Starting,
    /// Until it takes the next command.
    Pausing,
    /// A command.
    Fetching { queue: usize },
    /// A list of pages.
    Listing { transfer: Transfer },
    /// Data: how much of it has come, by segment.
    Gathering {
        transfer: Transfer,
        parts: Vec<Option<Vec<u8>>>,
    },
}

/// A command whose data is on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Transfer {
    command: Command,
    pages: Pages,
    /// What goes to the host; `None` if the data comes from there.
    data: Option<Vec<u8>>,
}

/// What an asynchronous event tells ("Error status", event information).
mod event {
    pub(super) const INVALID_DOORBELL: u32 = 0;
    pub(super) const INVALID_VALUE: u32 = 1;
}

/// Tokens are counted in steps of this, so that segments of one command have their own.
const TOKEN_STEP: u32 = 0x100;

impl Nvme {
    /// A controller after power-up, with a disk of so many blocks of 512 bytes, at least 1, and so
    /// many interrupt vectors, taken into 1..=2.
    #[must_use]
    pub fn new(blocks: u64, vectors: u16) -> Self {
        Self {
            blocks: blocks.max(1),
            vectors: vectors.clamp(1, MAX_VECTORS),
            disk: BTreeMap::new(),
            cc: 0,
            csts: 0,
            admin_attributes: 0,
            admin_submission: 0,
            admin_completion: 0,
            mask: 0,
            submission: [None; 2],
            completion: [None; 2],
            features: BTreeMap::new(),
            event_requests: Vec::new(),
            event: None,
            is_event_masked: false,
            work: Work::Idle,
            turn: 0,
            token: 0,
            asserted: 0,
        }
    }

    fn read32(&self, offset: u64) -> u32 {
        match offset {
            register::CAP => CAPABILITIES as u32,
            0x04 => (CAPABILITIES >> 32) as u32,
            register::VS => VERSION,
            register::INTMS | register::INTMC => self.mask,
            register::CC => self.cc,
            register::CSTS => self.csts,
            register::AQA => self.admin_attributes,
            register::ASQ => self.admin_submission as u32,
            0x2C => (self.admin_submission >> 32) as u32,
            register::ACQ => self.admin_completion as u32,
            0x34 => (self.admin_completion >> 32) as u32,
            _ => 0,
        }
    }

    fn write32(&mut self, offset: u64, value: u32, out: &mut Effects) {
        let low = |old: u64| old & !0xFFFF_FFFF | u64::from(value) & !(PAGE - 1);
        let high = |old: u64| old & 0xFFFF_FFFF | u64::from(value) << 32;
        match offset {
            register::INTMS => self.mask |= value,
            register::INTMC => self.mask &= !value,
            register::CC => self.configure(value & cc::WRITABLE, out),
            register::AQA => self.admin_attributes = value & 0x0FFF_0FFF,
            register::ASQ => self.admin_submission = low(self.admin_submission),
            0x2C => self.admin_submission = high(self.admin_submission),
            register::ACQ => self.admin_completion = low(self.admin_completion),
            0x34 => self.admin_completion = high(self.admin_completion),
            register::DOORBELLS.. => self.ring(offset - register::DOORBELLS, value, out),
            _ => {}
        }
        self.update_lines(None, out);
    }

    fn configure(&mut self, value: u32, out: &mut Effects) {
        let before = core::mem::replace(&mut self.cc, value);
        match (before & cc::ENABLE != 0, value & cc::ENABLE != 0) {
            (false, true) => self.enable(out),
            (true, false) => self.disable(),
            _ => {}
        }
        if before & cc::SHUTDOWN == 0 && value & cc::SHUTDOWN != 0 {
            self.csts |= csts::SHUT_DOWN;
        }
    }

    fn enable(&mut self, out: &mut Effects) {
        let sizes = [self.admin_attributes, self.admin_attributes >> 16];
        let [submission, completion] = sizes.map(|size| (size & 0xFFF) + 1);
        if submission < 2 || completion < 2 || self.cc & cc::SELECTIONS != 0 {
            self.csts |= csts::FATAL;
            return;
        }
        self.submission[0] = Some(SubmissionQueue::new(self.admin_submission, submission, 0));
        let queue = CompletionQueue::new(self.admin_completion, completion, Some(0));
        self.completion[0] = Some(queue);
        self.wait(Work::Starting, READY_100NS, out);
    }

    /// "Controller reset": all is forgotten but the admin queues' registers.
    fn disable(&mut self) {
        *self = Self {
            disk: core::mem::take(&mut self.disk),
            cc: self.cc,
            admin_attributes: self.admin_attributes,
            admin_submission: self.admin_submission,
            admin_completion: self.admin_completion,
            token: self.next_token(),
            asserted: self.asserted,
            ..Self::new(self.blocks, self.vectors)
        };
    }

    const fn is_ready(&self) -> bool {
        self.csts & (csts::READY | csts::FATAL) == csts::READY
    }

    /// A doorbell, by its offset: even ones are tails of submission queues.
    fn ring(&mut self, offset: u64, value: u32, out: &mut Effects) {
        if !self.is_ready() {
            return;
        }
        let queue = usize::try_from(offset / 8).unwrap_or(usize::MAX);
        let value = value & 0xFFFF;
        let rung = if offset & 4 == 0 {
            let queue = self.submission.get_mut(queue).and_then(Option::as_mut);
            queue.map(|queue| {
                let valid = value < queue.size && queue.has_room_up_to(value);
                if valid {
                    queue.tail = value;
                }
                valid
            })
        } else {
            let queue = self.completion.get_mut(queue).and_then(Option::as_mut);
            queue.map(|queue| {
                let valid = value < queue.size && queue.has_entries_up_to(value);
                if valid {
                    queue.head = value;
                }
                valid
            })
        };
        match rung {
            Some(true) => {}
            Some(false) => self.tell(event::INVALID_VALUE),
            None => self.tell(event::INVALID_DOORBELL),
        }
        self.go_on(out);
    }

    /// "Events are automatically masked" once one was told, and one that nobody asked for waits
    /// for the next request.
    fn tell(&mut self, information: u32) {
        if !self.is_event_masked {
            // Error status, and the log page that tells more.
            self.event.get_or_insert(information << 8 | 1 << 16);
        }
    }

    /// Completes an asynchronous event request with the event that waits, if there are both and
    /// there is room for it.
    fn tell_event(&mut self, out: &mut Effects) {
        let has_room = self.completion[0].is_some_and(|queue| !queue.is_full());
        if !has_room || !self.is_ready() || self.event_requests.is_empty() {
            return;
        }
        if let Some(result) = self.event.take() {
            self.is_event_masked = true;
            let id = self.event_requests.remove(0);
            self.post(0, id, Status::SUCCESS, result, out);
        }
    }

    /// Tells an event that waits; waits for the next command if there is one and nothing else to
    /// do.
    fn go_on(&mut self, out: &mut Effects) {
        self.tell_event(out);
        if self.work == Work::Idle && self.is_ready() && self.next_queue().is_some() {
            self.wait(Work::Pausing, WORK_100NS, out);
        }
    }

    /// The next queue in turn that has a command, and room for its completion.
    fn next_queue(&self) -> Option<usize> {
        let order = [self.turn, 1 - self.turn];
        order.into_iter().find(|&queue| {
            self.submission[queue].is_some_and(|queue| {
                let completion = self.completion[queue.completion];
                queue.head != queue.tail && completion.is_some_and(|queue| !queue.is_full())
            })
        })
    }

    const fn next_token(&mut self) -> u32 {
        self.token = self.token.wrapping_add(TOKEN_STEP);
        self.token
    }

    fn wait(&mut self, work: Work, after_100ns: u64, out: &mut Effects) {
        let token = self.next_token();
        self.work = work;
        out.push(Effect::Timer { after_100ns, token });
    }

    fn fetch(&mut self, out: &mut Effects) {
        self.work = Work::Idle;
        let Some(queue) = self.next_queue() else {
            return;
        };
        self.turn = 1 - queue;
        let address = self.submission[queue]
            .as_mut()
            .and_then(SubmissionQueue::take);
        let Some(address) = address else { return };
        self.work = Work::Fetching { queue };
        let token = self.next_token();
        out.push(Effect::DmaRead {
            address,
            length: spec::SUBMISSION_ENTRY as u32,
            token,
        });
    }

    fn begin(&mut self, command: Command, out: &mut Effects) {
        self.work = Work::Idle;
        let outcome = self.execute(&command);
        let (length, data) = match outcome {
            Err(status) => return self.complete(&command, status, 0, out),
            Ok(Outcome::Done(result)) => {
                return self.complete(&command, Status::SUCCESS, result, out);
            }
            Ok(Outcome::Waits) => return self.go_on(out),
            Ok(Outcome::ToHost(data)) => (data.len(), Some(data)),
            Ok(Outcome::FromHost(length)) => (length, None),
        };
        match command.pages(length) {
            Ok(pages) => self.transfer(
                Transfer {
                    command,
                    pages,
                    data,
                },
                out,
            ),
            Err(status) => self.complete(&command, status, 0, out),
        }
    }

    /// Finds out where the data is, then moves it.
    fn transfer(&mut self, transfer: Transfer, out: &mut Effects) {
        let token = self.next_token();
        if let Some((address, length)) = transfer.pages.next_list() {
            self.work = Work::Listing { transfer };
            out.push(Effect::DmaRead {
                address,
                length,
                token,
            });
            return;
        }
        let segments = &transfer.pages.segments;
        if let Some(data) = &transfer.data {
            let mut rest = data.as_slice();
            for &(address, length) in segments {
                let (bytes, after) = rest.split_at(length.min(rest.len()));
                rest = after;
                out.push(Effect::DmaWrite {
                    address,
                    bytes: bytes.to_vec(),
                });
            }
            return self.complete(&transfer.command, Status::SUCCESS, 0, out);
        }
        // At most 33 segments of at most a page.
        for (index, &(address, length)) in (0..).zip(segments) {
            out.push(Effect::DmaRead {
                address,
                length: length as u32,
                token: token | index,
            });
        }
        let parts = vec![None; segments.len()];
        self.work = Work::Gathering { transfer, parts };
    }

    fn listed(&mut self, mut transfer: Transfer, bytes: &[u8], out: &mut Effects) {
        let expected = transfer.pages.next_list().map_or(0, |(_, length)| length);
        let listed = if bytes.len() == expected as usize {
            transfer.pages.take_list(bytes)
        } else {
            Err(Status::DATA_TRANSFER)
        };
        match listed {
            Ok(()) => self.transfer(transfer, out),
            Err(status) => self.complete(&transfer.command, status, 0, out),
        }
    }

    fn gathered(
        &mut self,
        transfer: Transfer,
        mut parts: Vec<Option<Vec<u8>>>,
        index: usize,
        bytes: &[u8],
        out: &mut Effects,
    ) {
        if let Some(part) = parts.get_mut(index) {
            *part = Some(bytes.to_vec());
        }
        if parts.iter().any(Option::is_none) {
            self.work = Work::Gathering { transfer, parts };
            return;
        }
        let parts: Vec<Vec<u8>> = parts.into_iter().flatten().collect();
        let segments = &transfer.pages.segments;
        let mut lengths = parts.iter().zip(segments);
        if lengths.all(|(part, &(_, length))| part.len() == length) {
            self.take_data(&transfer.command, &parts.concat());
            self.complete(&transfer.command, Status::SUCCESS, 0, out);
        } else {
            self.complete(&transfer.command, Status::DATA_TRANSFER, 0, out);
        }
    }

    fn complete(&mut self, command: &Command, status: Status, result: u32, out: &mut Effects) {
        self.work = Work::Idle;
        self.post(command.queue, command.id(), status, result, out);
        self.go_on(out);
    }

    /// Posts a completion of a command of this submission queue; the queue may be gone if the
    /// command deleted it, but never the admin queue.
    fn post(&mut self, queue: usize, id: u16, status: Status, result: u32, out: &mut Effects) {
        let Some(submission) = self.submission[queue] else {
            return;
        };
        let Some(completion) = &mut self.completion[submission.completion] else {
            return;
        };
        let vector = completion.vector;
        let (address, phase) = completion.put();
        let words = [
            result,
            0,
            submission.head | (queue as u32) << 16,
            u32::from(id) | u32::from(phase) << 16 | u32::from(status.field()) << 17,
        ];
        out.push(Effect::DmaWrite {
            address,
            bytes: words.iter().flat_map(|word| word.to_le_bytes()).collect(),
        });
        self.update_lines(vector, out);
    }

    /// Says what changed. `posted` is a vector with one more completion: that is said even if it
    /// was asserted already.
    fn update_lines(&mut self, posted: Option<u16>, out: &mut Effects) {
        for source in 0..self.vectors {
            let mut queues = self.completion.iter().flatten();
            let pending = queues.any(|queue| queue.vector == Some(source) && !queue.is_empty());
            let bit = 1 << source;
            let wanted = pending && self.mask & bit == 0;
            let is_asserted = self.asserted & bit != 0;
            if wanted && (!is_asserted || posted == Some(source)) {
                self.asserted |= bit;
                let level = Level::High;
                out.push(Effect::Interrupt { source, level });
            } else if !wanted && is_asserted {
                self.asserted &= !bit;
                let level = Level::Low;
                out.push(Effect::Interrupt { source, level });
            }
        }
    }
}

impl Device for Nvme {
    fn model(&self) -> &'static str {
        "nvme"
    }

    /// "The host shall access registers in their native width or aligned 32-bit accesses."
    fn read(&mut self, region: Region, offset: u64, width: Width, _out: &mut Effects) -> u64 {
        if region != Region(0) || !is_allowed(offset, width) {
            return width.ones();
        }
        let low = u64::from(self.read32(offset));
        match width {
            Width::U64 => low | u64::from(self.read32(offset + 4)) << 32,
            _ => low,
        }
    }

    fn write(&mut self, region: Region, offset: u64, width: Width, value: u64, out: &mut Effects) {
        if region != Region(0) || !is_allowed(offset, width) {
            return;
        }
        self.write32(offset, value as u32, out);
        if width == Width::U64 {
            self.write32(offset + 4, (value >> 32) as u32, out);
        }
    }

    fn timer(&mut self, token: u32, out: &mut Effects) {
        if token != self.token {
            return;
        }
        match self.work {
            Work::Starting => {
                self.work = Work::Idle;
                self.csts |= csts::READY;
            }
            Work::Pausing => self.fetch(out),
            _ => {}
        }
    }

    fn dma_data(&mut self, token: u32, bytes: &[u8], out: &mut Effects) {
        let index = token.wrapping_sub(self.token);
        if index >= TOKEN_STEP {
            return;
        }
        match core::mem::replace(&mut self.work, Work::Idle) {
            Work::Fetching { queue } => match bytes.try_into() {
                Ok(bytes) => self.begin(Command::new(queue, bytes), out),
                Err(_) => self.csts |= csts::FATAL,
            },
            Work::Listing { transfer } => self.listed(transfer, bytes, out),
            Work::Gathering { transfer, parts } => {
                self.gathered(transfer, parts, index as usize, bytes, out);
            }
            other => self.work = other,
        }
        // A queue may be gone.
        self.update_lines(None, out);
    }

    /// [`Stimulus::Interrupt`]: an interrupt without a completion.
    fn stimulate(&mut self, stimulus: &Stimulus, out: &mut Effects) -> bool {
        let Stimulus::Interrupt(source) = *stimulus else {
            return false;
        };
        if source >= self.vectors {
            return false;
        }
        let level = Level::High;
        out.push(Effect::Interrupt { source, level });
        if self.asserted >> source & 1 == 0 {
            let level = Level::Low;
            out.push(Effect::Interrupt { source, level });
        }
        true
    }

    fn reset(&mut self, out: &mut Effects) {
        self.completion = [None; 2];
        self.update_lines(None, out);
        *self = Self {
            disk: core::mem::take(&mut self.disk),
            ..Self::new(self.blocks, self.vectors)
        };
    }

    fn clone_device(&self) -> Box<dyn Device> {
        Box::new(self.clone())
    }
}

fn is_allowed(offset: u64, width: Width) -> bool {
    match width {
        Width::U8 | Width::U16 => false,
        Width::U32 => offset.is_multiple_of(4),
        // Doorbells have 32 bits.
        Width::U64 => offset.is_multiple_of(8) && offset < register::DOORBELLS,
    }
}
