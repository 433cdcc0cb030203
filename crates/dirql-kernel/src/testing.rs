//! A platform for unit tests: pages in a map, driver code as Rust closures, strands as
//! coroutines.
//!
//! ```text
//! let bench = Bench::new(Config::default());
//! let routine = bench.routine(|kernel, arguments| Ok(arguments[0] + 1));
//! let status = bench.on_thread(move |kernel| kernel.io_do_something(routine));
//! ```

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::rc::{Rc, Weak};
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::ops::Range;

use corosensei::{Coroutine, CoroutineResult, Yielder};
use dirql_abi::object::ObjectAttributes;
use scoped_tls::ScopedKey;
use zerocopy::FromZeros;

use crate::mm::layout::PAGE;
use crate::{
    Access, BadAddress, CallSite, Config, Ddi, DriverPtr, Kernel, Outcome, Platform, Stop, StrandId,
};

/// Where routines of tests are. Not in any window of the layout, so that nothing reads them.
const ROUTINES: u64 = 0x7000_0000_0000;

/// Where a test's own variables are.
const VARIABLES: u64 = 0x7100_0000_0000;

type Routine = Rc<dyn Fn(&Kernel, &[u64]) -> Ddi<u64>>;

#[derive(Default)]
struct Memory {
    /// Start of each region, its end and what it may be used for.
    regions: BTreeMap<u64, (u64, Access)>,
    pages: BTreeMap<u64, Box<[u8]>>,
}

impl Memory {
    fn access(&self, address: u64) -> Access {
        match self.regions.range(..=address).next_back() {
            Some((_, (end, access))) if address < *end => *access,
            _ => Access::None,
        }
    }

    /// Takes `region` out of whatever regions cover it.
    fn cut(&mut self, region: &Range<u64>) {
        let covered: Vec<(u64, u64, Access)> = self
            .regions
            .range(..region.end)
            .filter(|(_, (end, _))| *end > region.start)
            .map(|(start, (end, access))| (*start, *end, *access))
            .collect();
        for (start, end, access) in covered {
            self.regions.remove(&start);
            if start < region.start {
                self.regions.insert(start, (region.start, access));
            }
            if end > region.end {
                self.regions.insert(region.end, (end, access));
            }
        }
    }
}

/// See the module.
#[derive(Default)]
pub(crate) struct FakePlatform {
    memory: RefCell<Memory>,
    routines: RefCell<BTreeMap<u64, Routine>>,
    names: RefCell<BTreeMap<String, u64>>,
    strands: RefCell<BTreeMap<StrandId, Coroutine<(), (), ()>>>,
    current: Cell<Option<StrandId>>,
    kernel: Rc<RefCell<Weak<Kernel>>>,
    stop: RefCell<Option<Stop>>,
    variables: Cell<u64>,
}

impl FakePlatform {
    fn kernel(&self) -> Rc<Kernel> {
        self.kernel
            .borrow()
            .upgrade()
            .expect("the kernel outlives its calls")
    }

    fn add(&self, routine: Routine) -> u64 {
        let address = ROUTINES + 0x10 * (self.routines.borrow().len() as u64 + 1);
        self.routines.borrow_mut().insert(address, routine);
        address
    }
}

impl Platform for FakePlatform {
    fn read(&self, address: u64, into: &mut [u8]) -> Result<(), BadAddress> {
        let memory = self.memory.borrow();
        for (at, byte) in (address..).zip(into) {
            if memory.access(at) == Access::None {
                return Err(BadAddress {
                    address: at,
                    write: false,
                });
            }
            *byte = memory
                .pages
                .get(&(at / PAGE))
                .map_or(0, |page| page[(at % PAGE) as usize]);
        }
        Ok(())
    }

    fn write(&self, address: u64, from: &[u8]) -> Result<(), BadAddress> {
        let mut memory = self.memory.borrow_mut();
        for (at, byte) in (address..).zip(from) {
            if !matches!(
                memory.access(at),
                Access::ReadWrite | Access::ReadWriteExecute
            ) {
                return Err(BadAddress {
                    address: at,
                    write: true,
                });
            }
            let page = memory
                .pages
                .entry(at / PAGE)
                .or_insert_with(|| alloc::vec![0; PAGE as usize].into_boxed_slice());
            page[(at % PAGE) as usize] = *byte;
        }
        Ok(())
    }

    fn protect(&self, region: Range<u64>, access: Access) {
        assert!(
            region.start.is_multiple_of(PAGE) && region.end.is_multiple_of(PAGE),
            "{region:x?}"
        );
        let mut memory = self.memory.borrow_mut();
        memory.cut(&region);
        memory.regions.insert(region.start, (region.end, access));
    }

    fn discard(&self, region: Range<u64>) {
        let mut memory = self.memory.borrow_mut();
        memory.cut(&region);
        memory
            .pages
            .retain(|page, _| !region.contains(&(page * PAGE)));
    }

    fn call(&self, routine: u64, arguments: &[u64]) -> u64 {
        let code = self.routines.borrow().get(&routine).cloned();
        let kernel = self.kernel();
        let result = match code {
            Some(code) => code(&kernel, arguments),
            None => panic!("{routine:#x} is not a routine"),
        };
        match result {
            Ok(result) => result,
            Err(stop) => {
                if let Stop::BugCheck(bug_check) = &stop {
                    kernel.end(Outcome::BugCheck {
                        bug_check: *bug_check,
                        place: kernel.here(),
                    });
                }
                self.stop.borrow_mut().get_or_insert(stop);
                loop {
                    self.suspend();
                }
            }
        }
    }

    fn routine(&self, name: &str) -> Option<u64> {
        if let Some(address) = self.names.borrow().get(name) {
            return Some(*address);
        }
        let code = crate::io::testing::builtin(name)?;
        let address = self.add(Rc::new(code));
        self.names.borrow_mut().insert(String::from(name), address);
        Some(address)
    }

    fn create_strand(&self, strand: StrandId) -> Range<u64> {
        let kernel = self.kernel.clone();
        let coroutine = Coroutine::new(move |yielder: &Yielder<(), ()>, ()| {
            key(strand).set(yielder, || {
                let kernel = kernel.borrow().upgrade();
                if let Some(kernel) = kernel {
                    kernel.strand_main(strand);
                }
            });
        });
        self.strands.borrow_mut().insert(strand, coroutine);
        let stack = crate::mm::layout::STACKS.start + u64::from(strand.0) * 0x10000;
        stack + PAGE..stack + 0x10000
    }

    fn resume(&self, strand: StrandId) {
        let coroutine = self.strands.borrow_mut().remove(&strand);
        let mut coroutine = coroutine.expect("only strands that exist are resumed");
        self.current.set(Some(strand));
        let result = coroutine.resume(());
        self.current.set(None);
        if matches!(result, CoroutineResult::Yield(())) {
            self.strands.borrow_mut().insert(strand, coroutine);
        }
    }

    fn suspend(&self) {
        let strand = self.current.get().expect("only strands suspend");
        key(strand).with(|yielder| yielder.suspend(()));
        self.current.set(Some(strand));
    }

    fn retire_strand(&self, _: StrandId) {}

    fn on_strand(&self) -> bool {
        self.current.get().is_some()
    }

    fn set_kpcr(&self, _: u64) {}

    fn call_site(&self) -> CallSite {
        CallSite::default()
    }
}

impl Drop for FakePlatform {
    /// Strands that still wait are left as they are: nothing on them needs to be dropped.
    fn drop(&mut self) {
        for (_, coroutine) in core::mem::take(&mut *self.strands.borrow_mut()) {
            core::mem::forget(coroutine);
        }
    }
}

/// A kernel on a [`FakePlatform`].
pub(crate) struct Bench {
    pub(crate) platform: Rc<FakePlatform>,
    pub(crate) kernel: Rc<Kernel>,
}

impl Bench {
    pub(crate) fn new(config: Config) -> Self {
        let platform = Rc::new(FakePlatform::default());
        platform.protect(VARIABLES..VARIABLES + 0x10_0000, Access::ReadWrite);
        let kernel = Rc::new(Kernel::new(platform.clone(), config));
        *platform.kernel.borrow_mut() = Rc::downgrade(&kernel);
        Self { platform, kernel }
    }

    /// The address of a routine that does what `code` does.
    pub(crate) fn routine(&self, code: impl Fn(&Kernel, &[u64]) -> Ddi<u64> + 'static) -> u64 {
        self.platform.add(Rc::new(code))
    }

    /// The address of `bytes` zero bytes, 16-aligned, that a driver could have in its image.
    pub(crate) fn variable(&self, bytes: u64) -> u64 {
        let at = self.platform.variables.get();
        self.platform.variables.set(at + bytes.next_multiple_of(16));
        VARIABLES + at
    }

    /// OBJECT_ATTRIBUTES with this name.
    pub(crate) fn object_attributes(&self, name: &str) -> DriverPtr<ObjectAttributes> {
        let pointer = DriverPtr::new(self.variable(48));
        let mut value = ObjectAttributes::new_zeroed();
        value.object_name = self.unicode(name);
        let written = self.kernel.write(pointer, value);
        written.expect("it is a variable");
        pointer
    }

    /// The address of a UNICODE_STRING with this text.
    pub(crate) fn unicode(&self, text: &str) -> u64 {
        let units: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let string = self.variable(16);
        let buffer = self.variable(units.len() as u64);
        let length = (units.len() as u16).to_le_bytes();
        let header = [&length[..], &length[..], &[0; 4], &buffer.to_le_bytes()[..]].concat();
        self.platform
            .write(buffer, &units)
            .expect("it is a variable");
        self.platform
            .write(string, &header)
            .expect("it is a variable");
        string
    }

    /// Runs `body` on a new thread at PASSIVE_LEVEL until everything is idle.
    ///
    /// # Panics
    /// If the thread did not come to its end.
    pub(crate) fn on_thread<R: 'static>(
        &self,
        body: impl FnOnce(&Kernel) -> Ddi<R> + 'static,
    ) -> R {
        match self.try_on_thread(body) {
            Some(Ok(result)) => result,
            Some(Err(stop)) => panic!("the thread stopped: {stop:?}"),
            None => panic!(
                "the thread did not end: {:?}, {:?}",
                self.kernel.outcome(),
                self.stop()
            ),
        }
    }

    /// As [`Bench::on_thread`]; `None` if the thread waits for ever or driver code stopped.
    pub(crate) fn try_on_thread<R: 'static>(
        &self,
        body: impl FnOnce(&Kernel) -> Ddi<R> + 'static,
    ) -> Option<Ddi<R>> {
        let result = Rc::new(RefCell::new(None));
        let slot = result.clone();
        let native = move |kernel: &Kernel| {
            let answer = body(kernel);
            *slot.borrow_mut() = Some(answer);
            Ok(())
        };
        self.kernel
            .spawn_thread("test", 8, crate::ke::ThreadBody::Native(Box::new(native)));
        self.kernel.run_until_idle();
        result.borrow_mut().take()
    }

    /// Why driver code did not go on, if it did not.
    pub(crate) fn stop(&self) -> Option<Stop> {
        self.platform.stop.borrow().clone()
    }

    /// The IDs of the rules that were broken, in order.
    pub(crate) fn rules(&self) -> Vec<dirql_rules::RuleId> {
        self.kernel
            .findings()
            .iter()
            .map(|finding| finding.rule)
            .collect()
    }
}

/// One key per strand, because the keys of strands are not left in order.
macro_rules! keys {
    ($bank:ident: $($name:ident)*) => {
        mod $bank {
            use corosensei::Yielder;
            use scoped_tls::{ScopedKey, scoped_thread_local};

            $(scoped_thread_local!(static $name: Yielder<(), ()>);)*
            pub(super) static KEYS: &[&ScopedKey<Yielder<(), ()>>] = &[$(&$name),*];
        }
    };
}

macro_rules! banks {
    ($($bank:ident)*) => {
        $(keys! { $bank:
            K00 K01 K02 K03 K04 K05 K06 K07 K08 K09 K10 K11 K12 K13 K14 K15
            K16 K17 K18 K19 K20 K21 K22 K23 K24 K25 K26 K27 K28 K29 K30 K31
            K32 K33 K34 K35 K36 K37 K38 K39 K40 K41 K42 K43 K44 K45 K46 K47
            K48 K49 K50 K51 K52 K53 K54 K55 K56 K57 K58 K59 K60 K61 K62 K63
        })*
        static BANKS: &[&[&ScopedKey<Yielder<(), ()>>]] = &[$($bank::KEYS),*];
    };
}

// 256 processors and some threads.
banks! { bank0 bank1 bank2 bank3 bank4 }

fn key(strand: StrandId) -> &'static ScopedKey<Yielder<(), ()>> {
    let (bank, place) = (strand.0 as usize / 64, strand.0 as usize % 64);
    let bank = BANKS.get(bank).expect("tests use at most 320 strands");
    bank[place]
}
