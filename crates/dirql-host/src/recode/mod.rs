//! Driver code in a form that can be watched and stopped.
//!
//! When this is on, the pages of driver images are readable but not executable. The first
//! time that control arrives somewhere in them it faults, and what is there gets a **twin**:
//! the same instructions, encoded again in memory of ours ([`translate`]), with whatever is
//! to happen before them. From then on the twin runs.
//!
//! A driver cannot tell. Its registers, flags and memory are what they would be; addresses
//! that it can see (return addresses, pointers to code, the instruction pointer of an
//! exception) are those of the original, so tables of unwind data fit, and so do the places
//! in reports. Where such an address becomes the place to go on, it is looked up, by a
//! [`gate`] in twins, by [`Recoder::twin`] in ours; where that is forgotten, the original
//! faults and the trap handler looks it up. So forgetting costs time and changes nothing.
//!
//! Not done: pages that are writable as well as executable run as they are, because code
//! there may change; a driver that measures time notices.
//!
//! # Invariants
//! - Twins are written only while no code of them runs, on this thread or another.
//! - Nothing is borrowed while driver code runs, so the trap handler can call anything here.

mod area;
mod carried;
mod carry_out;
mod emit;
mod footprints;
mod gate;
mod probe;
mod record;
mod translate;
mod watch;

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;

use dirql_kernel::Kernel;
use dirql_kernel::mm::layout::IMAGES;

use crate::checkpoint;
pub use area::twins_are_many;
use area::{Area, TWINS};
use carried::Carried;
use emit::Code;
use footprints::Heads;
pub use footprints::{Footprints, Role};
pub use record::MemoryAccess;
use record::Recorder;
use translate::{Fetched, Surroundings, translate};
pub use watch::{Stops, Watch};

/// Where code comes from.
pub(crate) trait Source {
    /// Copies code at `original` that may be executed, up to 15 bytes; how many there are.
    /// `None` if code there is not to have a twin.
    fn fetch(&self, original: u64, into: &mut [u8; 15]) -> Option<usize>;
    /// Puts right what was read where the original was made to trap. Whether the instruction
    /// at `original` itself was.
    fn restore(&self, original: u64, bytes: &mut [u8]) -> bool;
}

/// A place in a twin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Original {
    /// The instruction of the driver's.
    pub(crate) address: u64,
    /// Whether the twin stands before it, with nothing done yet.
    pub(crate) exact: bool,
}

/// Twins of the code of one computer's drivers.
#[derive(Debug)]
pub(crate) struct Recoder {
    area: Area,
    /// Where each instruction's twin starts, in order of the offset.
    places: RefCell<Vec<(u32, u64)>>,
    /// Runs of original code that have twins, by their start: their end.
    runs: RefCell<BTreeMap<u64, u64>>,
    /// Where twins leave to an address: the code that leads there, by address.
    exits: RefCell<BTreeMap<u64, u32>>,
    watch: RefCell<Watch>,
    recorder: OnceCell<Recorder>,
    /// Where blocks begin that leave footprints.
    heads: RefCell<Heads>,
    /// Whether a driver has been seen to use vector registers of more than 128 bits.
    vectors: Cell<bool>,
    /// Instructions with twins that use registers beyond those of SSE.
    extended: RefCell<BTreeSet<u64>>,
    /// What instructions do that are carried out by a call, by the number that twins have of it.
    carried: RefCell<Vec<Carried>>,
    /// Instructions whose twins were made again because they access a device.
    made_again: RefCell<BTreeSet<u64>>,
}

/// Whether `address` is in a twin.
#[inline]
pub(crate) fn is_twin(address: u64) -> bool {
    TWINS.contains(&address)
}

impl Recoder {
    /// No code has a twin yet.
    ///
    /// # Errors
    /// What Linux says when there is no memory for twins.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            area: Area::new()?,
            places: RefCell::default(),
            runs: RefCell::default(),
            exits: RefCell::default(),
            watch: RefCell::default(),
            recorder: OnceCell::new(),
            heads: RefCell::default(),
            vectors: Cell::new(false),
            extended: RefCell::default(),
            carried: RefCell::default(),
            made_again: RefCell::default(),
        })
    }

    /// From now on `watch` is what happens before instructions. `running` says whether `gs`
    /// points at a processor already.
    ///
    /// # Errors
    /// What Linux says when there is no memory for records.
    pub(crate) fn set_watch(&self, watch: Watch, running: bool) -> io::Result<()> {
        checkpoint::outside(|| self.start_watch(watch, running))
    }

    fn start_watch(&self, watch: Watch, running: bool) -> io::Result<()> {
        if watch.record && self.recorder.get().is_none() {
            // It was empty, and there is one thread.
            let _ = self.recorder.set(Recorder::new()?);
            if running {
                self.begin_records();
            }
        }
        self.forget(&IMAGES);
        // What was given may be of inside.
        self.watch.borrow_mut().clone_from(&watch);
        Ok(())
    }

    /// Blocks of an image leave footprints from now on. None of its code has run yet.
    pub(crate) fn add_heads(&self, prints: &Footprints, file: &[u8], image: &Range<u64>) {
        checkpoint::outside(|| {
            if let Some(heads) = prints.heads(file, image.start) {
                self.heads.borrow_mut().add(&heads, image);
            }
        });
    }

    /// The processor whose KPCR `gs` points at from now on appends to the buffer of records.
    pub(crate) fn begin_records(&self) {
        if let Some(recorder) = self.recorder.get() {
            recorder.begin();
        }
    }

    /// The driver has left its code: what it has accessed belongs to what `kernel` runs.
    #[inline]
    pub(crate) fn end_records(&self, kernel: &Kernel) {
        if let Some(recorder) = self.recorder.get() {
            checkpoint::outside(|| recorder.empty(kernel, &self.watch.borrow().stops));
        }
    }

    /// If the store to `address`, in a twin, found no room for a record: makes room and
    /// returns where that is.
    pub(crate) fn room_for_records(&self, kernel: &Kernel, address: u64) -> Option<u64> {
        let recorder = self.recorder.get()?;
        recorder
            .is_end(address)
            .then(|| checkpoint::outside(|| recorder.empty(kernel, &self.watch.borrow().stops)))
    }

    /// The accesses that were recorded since they were last taken.
    pub(crate) fn accesses(&self) -> Vec<MemoryAccess> {
        self.recorder.get().map(Recorder::all).unwrap_or_default()
    }

    /// The accesses that were recorded since the last time.
    pub(crate) fn take_accesses(&self) -> Vec<MemoryAccess> {
        self.recorder.get().map(Recorder::take).unwrap_or_default()
    }

    /// How many accesses were recorded since they were last taken.
    pub(crate) fn recorded(&self) -> usize {
        self.recorder.get().map_or(0, Recorder::recorded)
    }

    /// Accesses that were recorded since there were `recorded` have not happened.
    pub(crate) fn forget_records(&self, recorded: usize) {
        if let Some(recorder) = self.recorder.get() {
            recorder.forget(recorded);
        }
    }

    /// What a call carries out, by its number.
    #[inline]
    fn carried(&self, number: u64) -> Option<Carried> {
        self.carried.borrow().get(number as usize).copied()
    }

    /// The instruction at `original` has accessed a device's memory, and has trapped. If it does
    /// that again, its twin is made again, with a call.
    pub(crate) fn meet_device(&self, original: u64) {
        checkpoint::outside(|| {
            if carried::remember(original) || !self.made_again.borrow_mut().insert(original) {
                return;
            }
            let before = |runs: &BTreeMap<u64, u64>| {
                let (start, end) = runs.range(..=original).next_back()?;
                Some(*start..*end)
            };
            let run = before(&self.runs.borrow());
            if let Some(run) = run.filter(|run| run.contains(&original)) {
                self.forget_twins(&run);
            }
        });
    }

    /// The twin of the instruction at `original`, if there is one.
    #[inline]
    pub(crate) fn twin(&self, original: u64) -> Option<u64> {
        self.area.twin(original)
    }

    /// Whether something else may happen before the instruction at `original`.
    fn stops_at(&self, original: u64) -> bool {
        self.watch.borrow().stops.has(original)
    }

    /// Whether accesses are recorded.
    fn is_recording(&self) -> bool {
        self.recorder.get().is_some()
    }

    /// Whether the instruction at `original` uses registers beyond those of SSE.
    fn is_extended(&self, original: u64) -> bool {
        self.extended.borrow().contains(&original)
    }

    /// The twin of the instruction at `original`, made if there is none. `None` where no
    /// code may have one, or if there is no room.
    pub(crate) fn twin_or_make(&self, source: &dyn Source, original: u64) -> Option<u64> {
        if let Some(twin) = self.twin(original) {
            return Some(twin);
        }
        checkpoint::outside(|| self.make(source, original))
    }

    fn make(&self, source: &dyn Source, original: u64) -> Option<u64> {
        let around = Around {
            recoder: self,
            source,
        };
        let mut run = translate(&around, original, self.area.end())?;
        if run.vectors && !self.vectors.replace(true) {
            // The probes that exist do not save that much.
            self.forget(&IMAGES);
            run = translate(&around, original, self.area.end())?;
        }
        if !self.area.has_room(run.code.len() as u32) {
            return None;
        }
        let patches = self.open_exits(&run.instructions);
        self.area.append(&run.code, &patches);
        for (offset, original) in &run.instructions {
            self.area.set(*original, *offset);
        }
        self.places
            .borrow_mut()
            .extend(run.instructions.iter().chain(&run.tail).copied());
        self.exits.borrow_mut().extend(run.exits.iter().copied());
        self.runs.borrow_mut().insert(original, run.end);
        self.twin(original)
    }

    /// What makes the exits to `instructions` lead to their new twins.
    fn open_exits(&self, instructions: &[(u32, u64)]) -> Vec<(u32, Vec<u8>)> {
        let exits = self.exits.borrow();
        let lead = |(offset, original): &(u32, u64)| {
            let exit = *exits.get(original)?;
            let mut code = Code::at(exit);
            code.exit(*original, Some(*offset));
            Some((exit, code.into_bytes()))
        };
        instructions.iter().filter_map(lead).collect()
    }

    /// Whose twin `address` is in.
    pub(crate) fn original(&self, address: u64) -> Option<Original> {
        if !TWINS.contains(&address) {
            return None;
        }
        let offset = (address - TWINS.start) as u32;
        let places = self.places.borrow();
        let after = places.partition_point(|(start, _)| *start <= offset);
        let (start, original) = *places.get(after.checked_sub(1)?)?;
        Some(Original {
            address: original,
            exact: start == offset,
        })
    }

    /// The code in `range` is gone or has changed: it has no twins any more.
    pub(crate) fn forget(&self, range: &Range<u64>) {
        checkpoint::outside(|| self.forget_twins(range));
    }

    fn forget_twins(&self, range: &Range<u64>) {
        let touched: Vec<(u64, u64)> = self
            .runs
            .borrow()
            .range(..range.end)
            .filter(|(_, end)| **end > range.start)
            .map(|(start, end)| (*start, *end))
            .collect();
        let mut patches = Vec::new();
        for (start, end) in touched {
            self.runs.borrow_mut().remove(&start);
            for original in start..end {
                self.area.set(original, 0);
            }
            for (target, exit) in self.exits.borrow().range(start..end) {
                let mut code = Code::at(*exit);
                code.exit(*target, None);
                patches.push((*exit, code.into_bytes()));
            }
        }
        self.area.append(&[], &patches);
    }
}

/// What a translation sees of the rest.
struct Around<'a> {
    recoder: &'a Recoder,
    source: &'a dyn Source,
}

impl Surroundings for Around<'_> {
    fn fetch(&self, original: u64) -> Option<Fetched> {
        let mut bytes = [0; translate::LONGEST];
        let length = self.source.fetch(original, &mut bytes)?;
        let traps = self.source.restore(original, &mut bytes[..length]);
        Some(Fetched {
            bytes,
            length,
            traps,
        })
    }

    fn twin(&self, original: u64) -> Option<u32> {
        self.recoder
            .twin(original)
            .map(|twin| (twin - TWINS.start) as u32)
    }

    fn exit(&self, original: u64) -> Option<u32> {
        self.recoder.exits.borrow().get(&original).copied()
    }

    fn before(&self, instruction: &iced_x86::Instruction, code: &mut Code) {
        if dirql_image::uses_extended_state(instruction) {
            let mut extended = self.recoder.extended.borrow_mut();
            extended.insert(instruction.ip());
        }
        let vectors = self.recoder.vectors.get();
        self.recoder
            .watch
            .borrow()
            .before(instruction, code, vectors);
        self.recoder.heads.borrow().before(instruction.ip(), code);
        if !vectors && let Some(carried) = Carried::of(instruction) {
            let mut all = self.recoder.carried.borrow_mut();
            carry_out::call_before(all.len() as u32, code);
            all.push(carried);
        }
    }
}

#[cfg(test)]
mod tests;
