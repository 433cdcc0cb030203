//! One simulated computer with its kernel, ready to run drivers.

use std::cell::Cell;
use std::fmt;
use std::ops::Range;
use std::rc::Rc;

use dirql_image::ImportRef;
use dirql_kernel::io::DriverImage;
use dirql_kernel::ke::RunState;
use dirql_kernel::{Config, Kernel};

use crate::hang::Watchdog;
use crate::loader::{self, ImageLocation, LoadError, LoadedImage, Loader};
use crate::memory::MemoryError;
use crate::native;
use crate::recode::{Footprints, MemoryAccess, Watch};
use crate::run::{self, LinuxPlatform, MissingImport};
use crate::trap;

/// Why a computer could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// There is no address space for it.
    #[error(transparent)]
    Memory(#[from] MemoryError),
}

/// From now on, in this thread, a driver that makes a system call of Linux's is stopped before
/// anything comes of it, and its run ends with a finding. It cannot be undone. Drivers that are
/// functions of this process are not concerned: their calls are the process's.
///
/// # Errors
/// What Linux says when it cannot (it can since 5.11).
pub fn intercept_system_calls() -> std::io::Result<()> {
    trap::intercept_system_calls()
}

/// Whether what runs in this thread is code of a driver, which has not called the kernel. What
/// goes wrong in this program's code then, a driver has caused by jumping there.
#[must_use]
pub fn is_driver_running() -> bool {
    run::is_driver_running()
}

/// Where a driver's code comes from.
#[derive(Clone, Copy, Debug)]
pub enum DriverSource<'a> {
    /// The bytes of a `.sys` file.
    Image(&'a [u8]),
    /// A Rust function in this process.
    Native {
        /// Its entry point.
        entry: native::Entry,
    },
}

/// A driver in memory.
#[derive(Clone, Debug)]
pub struct LoadedDriver {
    image: Rc<LoadedImage>,
}

impl LoadedDriver {
    /// Its image.
    #[must_use]
    pub fn image(&self) -> &LoadedImage {
        &self.image
    }

    /// What the kernel makes its driver object of; `None` for an export driver without an
    /// entry point.
    #[must_use]
    pub fn driver_image(&self) -> Option<DriverImage> {
        let name = self.image.name();
        let service = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
        Some(DriverImage {
            name: service.into(),
            base: self.image.base(),
            size: self.image.size(),
            entry: self.image.entry()?,
        })
    }
}

/// A simulated computer: its memory, its kernel, and the drivers in it.
///
/// There is one at a time in a process: [`Host::new`] waits while another thread has one.
/// Dropping it takes everything back, so that the next one starts from nothing.
///
/// ```
/// use dirql_host::{Host, HostError};
/// use dirql_kernel::Config;
///
/// let host = Host::new(Config::default())?;
/// assert!(host.routine("KeNoSuchRoutine").is_none());
/// # Ok::<(), HostError>(())
/// ```
pub struct Host {
    // In this order: the kernel may still use the platform when it goes away.
    kernel: Box<Kernel>,
    platform: Rc<LinuxPlatform>,
    traps_time_stamp_counter: Cell<bool>,
    _watchdog: Watchdog,
}

impl Host {
    /// What loaded drivers import and nothing implements: the run ends with a finding where one
    /// of them is called.
    #[must_use]
    pub fn missing_imports(&self) -> Vec<MissingImport> {
        self.platform.missing_imports()
    }

    /// Makes a computer and boots its kernel.
    ///
    /// # Errors
    /// There is no address space for it: this thread already has a computer, or something
    /// else in the process is where its memory has to be.
    pub fn new(config: Config) -> Result<Self, HostError> {
        let platform = Rc::new(LinuxPlatform::new()?);
        run::set_platform(Rc::as_ptr(&platform));
        let kernel = Box::new(Kernel::new(platform.clone(), config));
        run::set_kernel(&raw const *kernel);
        Ok(Self {
            kernel,
            platform,
            traps_time_stamp_counter: Cell::new(false),
            _watchdog: Watchdog::start(),
        })
    }

    /// The kernel.
    #[must_use]
    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// Puts a driver into memory, bound to the exports. Nothing of it runs yet:
    /// [`Kernel::create_driver`] and [`Kernel::run_driver_entry`] are next.
    ///
    /// `name` is the file's, for example `edu.sys`.
    ///
    /// # Errors
    /// The file is not a driver, Windows would not load it, or there is no room.
    pub fn load_driver(
        &self,
        name: &str,
        source: DriverSource<'_>,
    ) -> Result<LoadedDriver, LoadError> {
        let image = match source {
            DriverSource::Image(bytes) => Loader {
                kernel: &self.kernel,
                platform: &self.platform,
            }
            .load(name, bytes)
            .inspect(|image| {
                self.kernel
                    .set_image_sections(image.range(), image.sections());
                self.platform.add_heads(bytes, &image.range());
                let storport =
                    |import: ImportRef<'_>| import.module.eq_ignore_ascii_case("storport.sys");
                if image
                    .image()
                    .is_some_and(|image| image.imports().any(storport))
                {
                    self.kernel.set_miniport(image.range());
                }
            })?,
            DriverSource::Native { entry } => self.native_image(name, entry),
        };
        let image = Rc::new(image);
        self.platform.images.borrow_mut().push(image.clone());
        Ok(LoadedDriver { image })
    }

    fn native_image(&self, name: &str, entry: native::Entry) -> LoadedImage {
        self.platform.allow_native();
        let entry = entry as *const () as u64;
        let range = native::module_of(entry).unwrap_or(entry..entry + 1);
        LoadedImage::native(name, range, entry)
    }

    /// Frees what Windows frees after a driver's entry point has returned: its sections that
    /// are discardable or named `INIT`.
    pub fn discard_init(&self, driver: &LoadedDriver) {
        self.platform.discard_init(&driver.image);
    }

    /// Takes a driver's image out of memory: from now on a jump into it faults. Its
    /// symbols stay known.
    pub fn remove_image(&self, driver: &LoadedDriver) {
        if !driver.image.is_loaded() {
            return;
        }
        driver.image.set_unloaded();
        if driver.image.image().is_some() {
            self.kernel.forget_image_sections(driver.image.base());
            self.kernel.forget_miniport(driver.image.base());
            self.kernel.free_image(driver.image.base());
        }
    }

    /// Has drivers read the computer's own time with `rdtsc`, so that runs are alike. Off
    /// unless asked for, because it counts for all code of this thread: Linux' clocks, which
    /// read the counter too, show the computer's time as well, until this is switched off.
    ///
    /// # Errors
    /// What Linux says when it cannot.
    pub fn trap_time_stamp_counter(&self, trap: bool) -> std::io::Result<()> {
        self.traps_time_stamp_counter.set(trap);
        trap::trap_time_stamp_counter(trap)
    }

    /// From now on, code of driver images runs in a form that can be watched and stopped, and
    /// `watch` says what happens before its instructions. A driver cannot tell, but for the
    /// time that it takes.
    ///
    /// # Errors
    /// What Linux says when there is no memory for it.
    pub fn watch(&self, watch: Watch) -> std::io::Result<()> {
        self.platform.watch(watch)
    }

    /// Notes in `prints` which blocks of drivers run from now on. Their code runs in a form that
    /// can be watched; a driver cannot tell. To be asked for before drivers are loaded; a second
    /// time changes nothing.
    ///
    /// # Errors
    /// What Linux says when there is no memory for it.
    pub fn leave_footprints(&self, prints: &'static Footprints) -> std::io::Result<()> {
        self.platform.leave_footprints(prints)
    }

    /// The accesses to memory that driver instructions have made since the last time, in
    /// order, if [`Watch::record`] says that they are recorded.
    #[must_use]
    pub fn take_accesses(&self) -> Vec<MemoryAccess> {
        let recoder = self.platform.space.recoder();
        recoder
            .map(|recoder| recoder.take_accesses())
            .unwrap_or_default()
    }

    /// As [`Host::take_accesses`], and they can be had again.
    #[must_use]
    pub fn accesses(&self) -> Vec<MemoryAccess> {
        let recoder = self.platform.space.recoder();
        recoder
            .map(|recoder| recoder.accesses())
            .unwrap_or_default()
    }

    /// Lets everything run until there is nothing left to do, or until the run ends.
    pub fn run_until_idle(&self) -> RunState {
        self.kernel.run_until_idle()
    }

    /// Every image that was loaded, in order, unloaded ones too.
    #[must_use]
    pub fn images(&self) -> Vec<Rc<LoadedImage>> {
        self.platform.images.borrow().clone()
    }

    /// Where `address` is: in which image, the latest one that has or had it.
    #[must_use]
    pub fn describe(&self, address: u64) -> Option<ImageLocation> {
        self.platform
            .images
            .borrow()
            .iter()
            .rev()
            .find_map(|image| image.locate(address))
    }

    /// The export that drivers call at `address`.
    #[must_use]
    pub fn export_at(&self, address: u64) -> Option<&'static str> {
        self.platform.thunks().name(address)
    }

    /// The address of an export, a routine or a variable.
    #[must_use]
    pub fn routine(&self, name: &str) -> Option<u64> {
        loader::system_export(&self.kernel, &self.platform, name)
    }

    /// The stack of the strand that runs, for who is called on one.
    #[must_use]
    pub fn stack(&self) -> Option<Range<u64>> {
        self.platform.strands.stack().map(|(_, usable)| usable)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // References to both are on the stacks of strands; see `run::platform`.
        if self.platform.strands.on_strand() {
            eprint_and_abort();
        }
        if self.traps_time_stamp_counter.get() {
            // Nothing to be done if Linux refuses what it allowed before.
            let _ = trap::trap_time_stamp_counter(false);
        }
        run::set_kernel(std::ptr::null());
        run::set_platform(std::ptr::null());
    }
}

/// A computer is dropped by code that runs on it.
#[expect(
    clippy::print_stderr,
    reason = "nothing else can be said when the process must end at once"
)]
fn eprint_and_abort() -> ! {
    eprintln!("a simulated computer was dropped by a driver that runs on it");
    std::process::abort()
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host")
            .field("config", self.kernel.config())
            .finish_non_exhaustive()
    }
}
