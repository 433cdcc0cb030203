//! Commands.
//!
//! Source: NVM Express Base Specification 1.4, "Admin Command Set", "NVM Command Set".

use alloc::vec::Vec;

use super::command::Command;
use super::queue::{CompletionQueue, SubmissionQueue};
use super::spec::{
    BLOCK, MAX_ENTRIES, MAX_EVENT_REQUESTS, PAGE, Status, WARNING_KELVINS, admin, cc, feature, io,
};
use super::{Nvme, identify};

/// What a command leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is done, with dword 0 of its completion.
    Done(u32),
    /// These bytes go to the host.
    ToHost(Vec<u8>),
    /// So many bytes come from the host.
    FromHost(usize),
    /// It waits for something to happen.
    Waits,
}

impl Nvme {
    /// Does what needs no data of the host.
    pub(super) fn execute(&mut self, command: &Command) -> Result<Outcome, Status> {
        if !command.is_plain() {
            return Err(Status::INVALID_FIELD);
        }
        if command.queue != 0 {
            return self.execute_io(command);
        }
        let done = Ok(Outcome::Done(0));
        match command.opcode() {
            admin::DELETE_SUBMISSION => self.delete_submission(command).and(done),
            admin::CREATE_SUBMISSION => self.create_submission(command).and(done),
            admin::GET_LOG_PAGE => self.get_log_page(command),
            admin::DELETE_COMPLETION => self.delete_completion(command).and(done),
            admin::CREATE_COMPLETION => self.create_completion(command).and(done),
            admin::IDENTIFY => self.identify(command),
            // "The command was not aborted": it was done before anybody could ask.
            admin::ABORT => Ok(Outcome::Done(1)),
            admin::SET_FEATURES => self.set_features(command),
            admin::GET_FEATURES => self.get_features(command),
            admin::EVENT_REQUEST => {
                if self.event_requests.len() == MAX_EVENT_REQUESTS {
                    return Err(Status::EVENT_LIMIT);
                }
                self.event_requests.push(command.id());
                Ok(Outcome::Waits)
            }
            _ => Err(Status::INVALID_OPCODE),
        }
    }

    fn execute_io(&mut self, command: &Command) -> Result<Outcome, Status> {
        let namespace = command.namespace();
        match command.opcode() {
            io::FLUSH if namespace == u32::MAX => return Ok(Outcome::Done(0)),
            io::FLUSH | io::WRITE | io::READ if namespace != 1 => {
                return Err(Status::INVALID_NAMESPACE);
            }
            io::FLUSH => return Ok(Outcome::Done(0)),
            io::WRITE | io::READ => {}
            _ => return Err(Status::INVALID_OPCODE),
        }
        let (first, count) = blocks_of(command);
        if first.checked_add(count).is_none_or(|end| end > self.blocks) {
            return Err(Status::LBA_RANGE);
        }
        // At most 65536 blocks.
        let bytes = count as usize * BLOCK;
        if command.opcode() == io::READ {
            command.pages(bytes)?;
            Ok(Outcome::ToHost(self.read_blocks(first, count)))
        } else {
            Ok(Outcome::FromHost(bytes))
        }
    }

    /// The data of a command has come.
    pub(super) fn take_data(&mut self, command: &Command, data: &[u8]) {
        let (first, _) = blocks_of(command);
        for (number, block) in (first..).zip(data.chunks_exact(BLOCK)) {
            self.disk.insert(number, block.into());
        }
    }

    fn read_blocks(&self, first: u64, count: u64) -> Vec<u8> {
        let mut data = Vec::new();
        for number in first..first + count {
            match self.disk.get(&number) {
                Some(block) => data.extend_from_slice(block),
                None => data.resize(data.len() + BLOCK, 0),
            }
        }
        data
    }

    fn create_completion(&mut self, command: &Command) -> Result<(), Status> {
        let queue = new_queue_id(command, self.completion[1].is_some())?;
        let size = self.queue_size(command)?;
        let (flags, vector) = (command.dword(11), (command.dword(11) >> 16) as u16);
        if vector >= self.vectors {
            return Err(Status::INTERRUPT_VECTOR);
        }
        let base = contiguous(command)?;
        let vector = (flags & 2 != 0).then_some(vector);
        self.completion[queue] = Some(CompletionQueue::new(base, size, vector));
        Ok(())
    }

    fn create_submission(&mut self, command: &Command) -> Result<(), Status> {
        let queue = new_queue_id(command, self.submission[1].is_some())?;
        let completion = (command.dword(11) >> 16) as usize;
        // "If the value specified is 0h, the controller should return Invalid Queue Identifier."
        if completion == 0 {
            return Err(Status::QUEUE_IDENTIFIER);
        }
        if self.completion.get(completion).is_none_or(Option::is_none) {
            return Err(Status::COMPLETION_QUEUE);
        }
        let size = self.queue_size(command)?;
        let base = contiguous(command)?;
        self.submission[queue] = Some(SubmissionQueue::new(base, size, completion));
        Ok(())
    }

    fn delete_submission(&mut self, command: &Command) -> Result<(), Status> {
        let queue = &mut self.submission[1];
        if command.dword(10) as u16 != 1 || queue.take().is_none() {
            return Err(Status::QUEUE_IDENTIFIER);
        }
        Ok(())
    }

    /// "If there is a submission queue still associated: Invalid Queue Deletion."
    fn delete_completion(&mut self, command: &Command) -> Result<(), Status> {
        if command.dword(10) as u16 != 1 || self.completion[1].is_none() {
            return Err(Status::QUEUE_IDENTIFIER);
        }
        if self.submission[1].is_some() {
            return Err(Status::QUEUE_DELETION);
        }
        self.completion[1] = None;
        Ok(())
    }

    /// Sizes of entries must have been set before a queue is created.
    fn queue_size(&self, command: &Command) -> Result<u32, Status> {
        let size = (command.dword(10) >> 16) + 1;
        let sizes_set = self.cc & cc::ENTRY_SIZES == cc::EXPECTED_SIZES;
        if !(2..=MAX_ENTRIES).contains(&size) || !sizes_set {
            return Err(Status::QUEUE_SIZE);
        }
        Ok(size)
    }

    fn identify(&self, command: &Command) -> Result<Outcome, Status> {
        let namespace = command.namespace();
        let data = match command.dword(10) as u8 {
            0x00 | 0x03 if namespace != 1 => return Err(Status::INVALID_NAMESPACE),
            0x00 => identify::namespace(self.blocks),
            0x01 => identify::controller(),
            0x02 if namespace >= 0xFFFF_FFFE => return Err(Status::INVALID_NAMESPACE),
            0x02 => identify::namespaces(namespace),
            0x03 => identify::descriptors(),
            _ => return Err(Status::INVALID_FIELD),
        };
        Ok(Outcome::ToHost(data))
    }

    /// Reading the error log lets error events be told again, unless that is to be retained.
    fn get_log_page(&mut self, command: &Command) -> Result<Outcome, Status> {
        let outcome = log_page(command)?;
        let retains = command.dword(10) & RETAIN_EVENT != 0;
        if command.dword(10) as u8 == ERROR_LOG && !retains {
            self.is_event_masked = false;
        }
        Ok(outcome)
    }

    fn set_features(&mut self, command: &Command) -> Result<Outcome, Status> {
        let (which, value) = (command.dword(10), command.dword(11));
        let feature = known_feature(which as u8)?;
        if which >> 31 != 0 {
            return Err(Status::NOT_SAVEABLE);
        }
        match feature {
            // One I/O queue of each kind; counts are less 1.
            feature::QUEUES if value as u16 == 0xFFFF || value >> 16 == 0xFFFF => {
                return Err(Status::INVALID_FIELD);
            }
            feature::QUEUES if self.completion[1].is_some() => return Err(Status::SEQUENCE),
            feature::QUEUES => return Ok(Outcome::Done(0)),
            feature::TEMPERATURE if !is_threshold(value, true) => {
                return Err(Status::INVALID_FIELD);
            }
            feature::TEMPERATURE => {
                let place = (feature, selector(feature, value));
                self.features.insert(place, value & 0xFFFF);
                return Ok(Outcome::Done(0));
            }
            // One power state.
            feature::POWER if value & 0x1F != 0 => return Err(Status::INVALID_FIELD),
            feature::VECTOR if value as u16 >= self.vectors => {
                return Err(Status::INVALID_FIELD);
            }
            _ => {}
        }
        self.features
            .insert((feature, selector(feature, value)), value);
        Ok(Outcome::Done(0))
    }

    fn get_features(&self, command: &Command) -> Result<Outcome, Status> {
        let feature = known_feature(command.dword(10) as u8)?;
        let selector = selector(feature, command.dword(11));
        if feature == feature::VECTOR && selector >= self.vectors {
            return Err(Status::INVALID_FIELD);
        }
        if feature == feature::TEMPERATURE && !is_threshold(command.dword(11), false) {
            return Err(Status::INVALID_FIELD);
        }
        let default = match (feature, selector) {
            (feature::VECTOR, vector) => vector.into(),
            (feature::TEMPERATURE, OVER) => WARNING_KELVINS,
            _ => 0,
        };
        let value = self.features.get(&(feature, selector));
        Ok(Outcome::Done(value.copied().unwrap_or(default)))
    }
}

/// The error log, and the bit of dword 10 with which reading it changes nothing.
const ERROR_LOG: u8 = 0x01;
const RETAIN_EVENT: u32 = 1 << 15;

/// The threshold above which a temperature is too high; 1 is that below which it is too low.
const OVER: u16 = 0;

/// Which vector or threshold a feature is about; 0 for those that are about everything.
const fn selector(feature: u8, value: u32) -> u16 {
    match feature {
        feature::VECTOR => value as u16,
        feature::TEMPERATURE => (value >> 20 & 3) as u16,
        _ => 0,
    }
}

/// There is the composite temperature alone; setting knows a number for all that there are.
const fn is_threshold(value: u32, sets: bool) -> bool {
    let (sensor, kind) = (value >> 16 & 0xF, value >> 20 & 3);
    (sensor == 0 || sensor == 0xF && sets) && kind < 2
}

fn known_feature(feature: u8) -> Result<u8, Status> {
    if feature::ALL.contains(&feature) {
        Ok(feature)
    } else {
        Err(Status::INVALID_FIELD)
    }
}

fn log_page(command: &Command) -> Result<Outcome, Status> {
    let mut data = identify::log_page(command.dword(10) as u8).ok_or(Status::LOG_PAGE)?;
    let dwords = u64::from(command.dword(10) >> 16) | u64::from(command.dword(11) & 0xFFFF) << 16;
    // There are no offsets (LPA bit 2).
    if command.dword(12) != 0 || command.dword(13) != 0 {
        return Err(Status::INVALID_FIELD);
    }
    // At most 16 GiB; more than a command moves is refused before memory is taken.
    let bytes = usize::try_from((dwords + 1) * 4).map_err(|_| Status::INVALID_FIELD)?;
    command.pages(bytes)?;
    data.resize(bytes, 0);
    Ok(Outcome::ToHost(data))
}

/// First block, and how many.
fn blocks_of(command: &Command) -> (u64, u64) {
    let first = u64::from(command.dword(10)) | u64::from(command.dword(11)) << 32;
    (first, u64::from(command.dword(12) & 0xFFFF) + 1)
}

/// There is one I/O queue of each kind, number 1.
fn new_queue_id(command: &Command, exists: bool) -> Result<usize, Status> {
    if command.dword(10) as u16 != 1 || exists {
        return Err(Status::QUEUE_IDENTIFIER);
    }
    Ok(1)
}

/// "CAP.CQR": queues are physically contiguous here.
fn contiguous(command: &Command) -> Result<u64, Status> {
    if command.dword(11) & 1 == 0 {
        return Err(Status::INVALID_FIELD);
    }
    if !command.prp1().is_multiple_of(PAGE) {
        return Err(Status::PRP_OFFSET);
    }
    Ok(command.prp1())
}
