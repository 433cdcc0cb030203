//! The kernel's platform: memory, driver calls, strands and `gs`, put together.

use std::arch::asm;
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use dirql_kernel::io::SystemModule;
use dirql_kernel::ke::{Fault, FaultAccess, FaultKind};
use dirql_kernel::{Access, BadAddress, CallSite, Kernel, Outcome, Platform, Stop, StrandId};
use dirql_rules::Context;

use crate::data_exports;
use crate::driver_state;
use crate::enter::call_driver;
use crate::exception::{self, Active, Crossing, Pending};
use crate::loader::LoadedImage;
use crate::memory::{AddressSpace, MemoryError};
use crate::native;
use crate::recode::{Footprints, Watch};
use crate::registers::{FloatControl, set_gs_base};
use crate::strand::Strands;
use crate::thunk::{self, Stubs, Thunks};

thread_local! {
    static PLATFORM: Cell<*const LinuxPlatform> = const { Cell::new(std::ptr::null()) };
    static KERNEL: Cell<*const Kernel> = const { Cell::new(std::ptr::null()) };
}

/// Whether what runs in this thread is code of a driver, which has not called the kernel.
pub(crate) fn is_driver_running() -> bool {
    try_platform().is_some_and(|platform| platform.in_driver.get() && platform.on_strand())
}

/// An import that is not implemented, by the number of its stub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingImport {
    /// The module that should have it.
    pub module: Box<str>,
    /// Name or ordinal.
    pub name: Box<str>,
    /// The driver that imports it.
    pub importer: Box<str>,
}

/// Everything that the kernel does not know how to do itself.
pub(crate) struct LinuxPlatform {
    // Strands go before the memory that their stacks are in.
    pub(crate) strands: Strands,
    pub(crate) space: AddressSpace,
    thunks: &'static Thunks,
    stubs: RefCell<Stubs>,
    missing: RefCell<Vec<MissingImport>>,
    /// Every image that was loaded, in order; unloaded ones are kept for their symbols.
    pub(crate) images: RefCell<Vec<Rc<LoadedImage>>>,
    /// Data exports: where each one's variable is.
    pub(crate) data: RefCell<BTreeMap<&'static str, u64>>,
    /// The routine that the kernel called last, on the running strand.
    routine: Cell<u64>,
    /// What it was called as; empty for an ISR and a DPC routine.
    kind: Cell<&'static str>,
    /// What the next one is called as.
    announced: Cell<&'static str>,
    /// Which blocks of drivers have run, if that is noted.
    footprints: OnceCell<&'static Footprints>,
    /// The exception that is being handled on the running strand, since the kernel last
    /// called a driver; null if none is.
    pub(crate) active: Cell<*const Active>,
    /// The kernel's last call of a driver on the running strand; null if there is none.
    pub(crate) crossing: Cell<*const Crossing>,
    /// What is to be done when a routine has returned to [`exception::cpu::capture`].
    pub(crate) pending: Cell<Option<(Pending, u64)>>,
    /// A return to where no code is: its target, the stack pointer after it, and the last call of
    /// the routine that returned.
    pub(crate) left: Cell<Option<(u64, u64, u64)>>,
    /// The instruction of a twin that a probe stood before last, and the stack pointer there.
    pub(crate) probed: Cell<(u64, u64)>,
    /// Where this program is; in-process drivers are part of it.
    own_code: Range<u64>,
    /// Where the kernel was entered last.
    site: Cell<CallSite>,
    /// Whether an in-process driver was loaded.
    has_native: Cell<bool>,
    /// Whether what runs now is a driver's, and not a kernel routine that it called.
    in_driver: Cell<bool>,
    /// What `gs` points at; 0 until it is set for this computer.
    kpcr: Cell<u64>,
}

impl LinuxPlatform {
    /// Takes the process's address space.
    pub(crate) fn new() -> Result<Self, MemoryError> {
        let space = AddressSpace::take()?;
        Ok(Self {
            thunks: Thunks::get(&space),
            space,
            strands: Strands::default(),
            stubs: RefCell::default(),
            missing: RefCell::default(),
            images: RefCell::default(),
            data: RefCell::default(),
            routine: Cell::new(0),
            kind: Cell::new(""),
            announced: Cell::new(""),
            footprints: OnceCell::new(),
            active: Cell::new(std::ptr::null()),
            crossing: Cell::new(std::ptr::null()),
            pending: Cell::new(None),
            left: Cell::new(None),
            probed: Cell::new((0, 0)),
            own_code: native::module_of(call_driver as *const () as u64).unwrap_or(0..0),
            site: Cell::new(CallSite::default()),
            has_native: Cell::new(false),
            in_driver: Cell::new(false),
            kpcr: Cell::new(0),
        })
    }

    /// The thunks of the table of exports.
    pub(crate) fn thunks(&self) -> &'static Thunks {
        self.thunks
    }

    /// A stub for an import that nothing implements; `None` if there are too many.
    pub(crate) fn add_stub(&self, import: MissingImport) -> Option<u64> {
        let (number, address) = self.stubs.borrow_mut().add(self).ok()?;
        let mut missing = self.missing.borrow_mut();
        debug_assert_eq!(number as usize, missing.len());
        missing.push(import);
        Some(address)
    }

    /// The imports that nothing implements, in the order of loading.
    pub(crate) fn missing_imports(&self) -> Vec<MissingImport> {
        self.missing.borrow().clone()
    }

    /// The import behind a stub.
    pub(crate) fn missing_import(&self, number: u32) -> Option<MissingImport> {
        self.missing.borrow().get(number as usize).cloned()
    }

    /// The routine that the kernel called last on the running strand, 0 if none.
    pub(crate) fn called_last(&self) -> u64 {
        self.routine.get()
    }

    /// From now on code of this process can be a driver's.
    pub(crate) fn allow_native(&self) {
        self.space.allow_process_memory();
        self.has_native.set(true);
    }

    /// The frames in `crossing` and those further in are gone; what ran before them goes on.
    pub(crate) fn leave_crossing(&self, crossing: &Crossing) {
        self.routine.set(crossing.routine);
        self.kind.set(crossing.kind);
        self.crossing.set(crossing.outer);
    }

    /// Calls a driver; `from` is what the processor was running when a driver called the
    /// kernel, if that is why.
    #[inline]
    fn cross(&self, routine: u64, arguments: &[u64], from: Option<Context>) -> u64 {
        let crossing = Crossing {
            from,
            routine: self.routine.replace(routine),
            kind: self.kind.replace(self.announced.take()),
            active: self.active.replace(std::ptr::null()),
            outer: self.crossing.get(),
        };
        self.crossing.set(&raw const crossing);
        let result = self.call_within(routine, arguments);
        if let Some(kernel) = try_current_kernel() {
            self.end_records(kernel);
        }
        self.crossing.set(crossing.outer);
        self.active.set(crossing.active);
        self.routine.set(crossing.routine);
        self.kind.set(crossing.kind);
        result
    }

    /// Calls driver code on behalf of the driver's routine that runs already.
    #[inline]
    pub(crate) fn call_within(&self, routine: u64, arguments: &[u64]) -> u64 {
        if !is_canonical(routine) {
            // The processor faults at the call itself then, which is in this program.
            let kernel = current_kernel();
            stop(
                kernel,
                kernel.fault(&Fault {
                    address: routine,
                    access: FaultAccess::Execute,
                    instruction: routine,
                    caller: 0,
                    kind: FaultKind::GeneralProtection,
                }),
            )
        }
        self.enter_driver(true);
        let result = call_driver(self.space.twin(routine), arguments);
        self.in_driver.set(false);
        result
    }

    /// Whether `instruction` is in this program.
    pub(crate) fn is_own_code(&self, instruction: u64) -> bool {
        self.own_code.contains(&instruction)
    }

    /// Where the thunk was called from that has just been entered, even if that is no driver.
    /// Only right until driver code runs again.
    #[inline]
    pub(crate) fn entry_site(&self) -> CallSite {
        let entry = self.entry_stack_pointer();
        let return_address = match self.strands.read_stack(entry) {
            Some(value) => value,
            None => self.read_elsewhere(entry),
        };
        if return_address == 0 {
            return CallSite::default();
        }
        CallSite {
            return_address,
            stack_pointer: entry + 8,
        }
    }

    /// The return address of code that has left its stack, 0 if it has none there.
    #[cold]
    fn read_elsewhere(&self, entry: u64) -> u64 {
        let mut bytes = [0; 8];
        match self.space.read(entry, &mut bytes) {
            Ok(()) => u64::from_le_bytes(bytes),
            Err(_) => 0,
        }
    }

    /// Notes and returns where the driver has just called the kernel.
    #[inline]
    pub(crate) fn enter_kernel(&self) -> CallSite {
        let site = self.entry_site();
        // The kernel itself calls its own drivers through thunks. That place is in this
        // process, at an address that differs from run to run, and no driver's.
        let site = if self.space.is_driver_code(site.return_address) {
            site
        } else {
            CallSite::default()
        };
        self.site.set(site);
        site
    }

    /// The shim that was called from `site` is about to return: the driver goes on in the
    /// caller's twin. Without this it would, too, but by way of a fault.
    #[inline]
    pub(crate) fn return_to_twin(&self, site: CallSite) {
        let twin = self.space.twin(site.return_address);
        if twin != site.return_address {
            // If the stack is not where it can be written, the fault it is.
            let _ = self
                .space
                .write(site.stack_pointer - 8, &twin.to_le_bytes());
        }
    }

    /// Whether code of this process that runs now can be a driver's.
    pub(crate) fn in_process_driver_runs(&self) -> bool {
        self.has_native.get() && self.in_driver.get()
    }

    /// The kernel runs until [`LinuxPlatform::enter_driver`] is called with the result.
    #[inline]
    pub(crate) fn leave_driver(&self) -> bool {
        self.in_driver.replace(false)
    }

    /// The driver has left its code, for now: its accesses belong to what `kernel` runs.
    #[inline]
    pub(crate) fn end_records(&self, kernel: &Kernel) {
        kernel.end_passing();
        if let Some(recoder) = self.space.recoder() {
            recoder.end_records(kernel);
        }
    }

    /// What `watch` says happens before instructions of drivers from now on.
    pub(crate) fn watch(&self, watch: Watch) -> std::io::Result<()> {
        self.space.recode()?;
        let recoder = self.space.recoder().expect("it was just made");
        recoder.set_watch(watch, self.kpcr.get() != 0)
    }

    /// From now on it is noted in `prints` which blocks of drivers run. No driver is loaded yet.
    pub(crate) fn leave_footprints(&self, prints: &'static Footprints) -> std::io::Result<()> {
        self.space.recode()?;
        if self.kpcr.get() != 0 {
            prints.begin();
        }
        // The first ones stay; a host asks once.
        let _ = self.footprints.set(prints);
        Ok(())
    }

    /// Blocks of an image that was just loaded leave footprints, if any do.
    pub(crate) fn add_heads(&self, file: &[u8], image: &Range<u64>) {
        if let (Some(prints), Some(recoder)) = (self.footprints.get(), self.space.recoder()) {
            recoder.add_heads(prints, file, image);
        }
    }

    /// What runs has changed its level, or another one does: footprints follow.
    #[inline]
    pub(crate) fn follow(&self) {
        if let Some(prints) = self.footprints.get() {
            self.follow_with(prints);
        }
    }

    #[cold]
    fn follow_with(&self, prints: &Footprints) {
        if let Some(kernel) = try_current_kernel().filter(|_| self.kpcr.get() != 0) {
            prints.step_into(kernel, self.kind.get());
        }
    }

    /// The kernel is entered from the instruction of a driver at `address`; returns where it
    /// was entered before.
    pub(crate) fn stand_at(&self, address: u64, stack_pointer: u64) -> CallSite {
        self.site.replace(CallSite {
            return_address: address,
            stack_pointer,
        })
    }

    /// As it was before [`LinuxPlatform::stand_at`].
    pub(crate) fn stand_back(&self, site: CallSite) {
        self.site.set(site);
    }

    /// Back to what ran before the kernel did.
    #[inline]
    pub(crate) fn enter_driver(&self, driver: bool) {
        self.in_driver.set(driver);
        self.follow();
    }

    /// The stack pointer at which driver code entered the last thunk. Only right until
    /// driver code runs again.
    #[inline]
    pub(crate) fn entry_stack_pointer(&self) -> u64 {
        if self.kpcr.get() == 0 {
            return 0;
        }
        let value;
        // SAFETY: `set_kpcr` made `gs` point at a KPCR, which the kernel has given at
        // least two pages that stay open; nothing is changed.
        unsafe {
            asm!(
                "mov {}, gs:[{slot}]",
                out(reg) value,
                slot = const thunk::ENTRY_SLOT,
                options(nostack, readonly, preserves_flags),
            );
        }
        value
    }
}

impl Platform for LinuxPlatform {
    #[inline]
    fn read(&self, address: u64, into: &mut [u8]) -> Result<(), BadAddress> {
        self.space.read(address, into)
    }

    #[inline]
    fn write(&self, address: u64, from: &[u8]) -> Result<(), BadAddress> {
        self.space.write(address, from)
    }

    fn protect(&self, region: Range<u64>, access: Access) {
        self.space.protect(region, access);
    }

    fn hide(&self, regions: &[Range<u64>]) {
        self.space.hide(regions);
    }

    fn show(&self, regions: &[Range<u64>]) {
        self.space.show(regions);
    }

    fn discard(&self, region: Range<u64>) {
        self.space.discard(region);
    }

    fn call(&self, routine: u64, arguments: &[u64]) -> u64 {
        self.cross(routine, arguments, None)
    }

    fn call_from_driver(&self, routine: u64, arguments: &[u64], outer: Context) -> u64 {
        self.cross(routine, arguments, Some(outer))
    }

    fn announce(&self, kind: &'static str) {
        self.announced.set(kind);
    }

    fn routine(&self, name: &str) -> Option<u64> {
        self.thunks
            .address(name)
            .or_else(|| self.data.borrow().get(name).copied())
    }

    fn variable(&self, kernel: &Kernel, name: &str) -> Option<u64> {
        let (name, address) = data_exports::address(kernel, name)?;
        self.data.borrow_mut().insert(name, address);
        Some(address)
    }

    fn system_modules(&self) -> &'static [SystemModule] {
        thunk::MODULES
    }

    fn create_strand(&self, strand: StrandId) -> Range<u64> {
        self.strands.create(&self.space, strand, move || {
            current_kernel().strand_main(strand)
        })
    }

    fn resume(&self, strand: StrandId) {
        self.strands.resume(strand);
    }

    fn suspend(&self) {
        let routine = self.routine.replace(0);
        let kind = self.kind.replace("");
        let active = self.active.replace(std::ptr::null());
        let crossing = self.crossing.replace(std::ptr::null());
        let floats = FloatControl::take();
        self.strands.suspend();
        self.in_driver.set(false);
        floats.give_back();
        self.crossing.set(crossing);
        self.active.set(active);
        self.routine.set(routine);
        self.kind.set(kind);
    }

    fn retire_strand(&self, strand: StrandId) {
        self.strands.retire(strand);
    }

    fn on_strand(&self) -> bool {
        self.strands.on_strand()
    }

    fn set_kpcr(&self, kpcr: u64) {
        // Mostly the same processor goes on.
        if self.kpcr.replace(kpcr) != kpcr {
            set_gs_base(kpcr);
            if let Some(recoder) = self.space.recoder() {
                recoder.begin_records();
            }
        }
        if let Some(prints) = self.footprints.get() {
            prints.begin();
        }
    }

    #[inline]
    fn call_site(&self) -> CallSite {
        self.site.get()
    }

    fn driver_state(&self, site: CallSite) -> Option<u64> {
        driver_state::number(self, site)
    }

    fn running_routine(&self) -> u64 {
        let routine = self.routine.get();
        if self.space.is_driver_code(routine) {
            routine
        } else {
            0
        }
    }

    fn stack_of_caller(&self) -> Vec<u64> {
        exception::frames_of_caller(self)
    }

    fn original(&self, address: u64) -> u64 {
        let original = self.space.original(address);
        original.map_or(address, |original| original.address)
    }
}

/// Whether an address is one for the processor: bits 47 to 63 are alike.
const fn is_canonical(address: u64) -> bool {
    ((address << 16) as i64 >> 16) as u64 == address
}

/// Makes `platform` this thread's. Null when its computer goes away.
pub(crate) fn set_platform(platform: *const LinuxPlatform) {
    PLATFORM.set(platform);
}

/// Makes `kernel` this thread's. Null when its computer goes away.
pub(crate) fn set_kernel(kernel: *const Kernel) {
    KERNEL.set(kernel);
}

/// The platform of the computer that this thread simulates.
#[inline]
pub(crate) fn platform() -> &'static LinuxPlatform {
    try_platform().expect("driver code runs although there is no computer")
}

/// As [`platform`], for signal handlers, which can run at any time.
#[inline]
pub(crate) fn try_platform() -> Option<&'static LinuxPlatform> {
    // SAFETY: null or valid: [`crate::Host`] sets this to what it owns in a box and sets it
    // to null before it drops that. It refuses to be dropped by code that runs on one of its
    // strands, and this is called by such code and by handlers that interrupt it, whose
    // frames all end before the reference would dangle.
    unsafe { PLATFORM.get().as_ref() }
}

/// The kernel that driver code on this thread runs on.
#[inline]
pub(crate) fn current_kernel() -> &'static Kernel {
    try_current_kernel().expect("driver code runs although there is no kernel")
}

/// As [`current_kernel`], for signal handlers, which can run at any time.
#[inline]
pub(crate) fn try_current_kernel() -> Option<&'static Kernel> {
    // SAFETY: null or valid, for the same reasons as in `platform`.
    unsafe { KERNEL.get().as_ref() }
}

/// Ends the run for the reason in `stop` and leaves the running strand for ever. An
/// exception that comes here was handled by nobody.
pub(crate) fn stop(kernel: &Kernel, stop: Stop) -> ! {
    record(kernel, stop);
    if matches!(kernel.outcome(), Some(Outcome::BugCheck { .. })) {
        kernel.note_stack(exception::frames_of_caller(platform()));
    }
    platform().strands.leave()
}

/// Ends the run for the reason in `stop`.
fn record(kernel: &Kernel, stop: Stop) {
    match stop {
        Stop::BadAddress(bad) => match kernel.bad_address(bad) {
            // It never is one again; recording nothing would let the run go on.
            Stop::BadAddress(_) => {
                unreachable!("a bad address comes to a bug check or an exception")
            }
            other => record(kernel, other),
        },
        Stop::Exception { code, parameters } => {
            let bug_check = kernel.unhandled_exception(code, parameters);
            kernel.end(Outcome::BugCheck {
                bug_check,
                place: kernel.here(),
            });
        }
        Stop::BugCheck(bug_check) => kernel.end(Outcome::BugCheck {
            bug_check,
            place: kernel.here(),
        }),
        Stop::Refused => kernel.end(Outcome::Finding),
        Stop::Ended => {}
    }
}
