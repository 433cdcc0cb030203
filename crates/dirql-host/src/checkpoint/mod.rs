//! Putting a simulated computer back to where it was.
//!
//! The computer is memory: its address space, the stacks of its strands, and the heap and the
//! stack of the code of ours that simulates it. All of it lies where it can be watched, if the
//! program's allocator is an [`Arena`] and the life of the computer runs on a stack of its own
//! ([`Life`]). A mark is a copy of the pages that change, with the place at which the life
//! pauses; going back to it copies them back. See `tracker` for how it is known which change, and
//! `ways` for when less than pages is enough.
//!
//! # Invariants
//! - What is outside (this module, whoever chooses, the state of the trap handler, twins) is
//!   not put back, and nothing of it is freed or counted by what is.
//! - Code that is inside allocates from the arena alone; code of ours that keeps something
//!   outside does so in [`outside`].
//! - Twins stay from run to run: they depend on nothing but the code. Those of code that has
//!   changed since a mark are forgotten when the computer is put back to it.

mod arena;
mod learn;
mod put_back;
mod switch;
mod tracker;
mod ways;

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::marker::PhantomData;
use std::ops::Range;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::{Condvar, Mutex, PoisonError};

use dirql_kernel::Access;
use dirql_kernel::mm::layout::{IMAGES, PAGE, STACKS};

pub use arena::Arena;
use arena::Untaken;
use tracker::Tracker;
use ways::{Back, Ways};

use crate::{hang, memory, registers, run, trap};

thread_local! {
    /// The life that this thread lives or has paused.
    static LIFE: Cell<*const Inner> = const { Cell::new(std::ptr::null()) };
    /// What watches its pages, once there is a mark.
    static TRACKER: Cell<*const Tracker> = const { Cell::new(std::ptr::null()) };
    /// What has watched the pages of this thread's latest life.
    static SPARE: Cell<Option<Rc<Tracker>>> = const { Cell::new(None) };
    /// How often something else than an answer has come in to a life, or could have; see [`ways`].
    static DISTURBANCES: Cell<u64> = const { Cell::new(0) };
}

/// The life of a computer, on a stack of its own, that can be put back to where it paused.
pub struct Life {
    inner: Box<Inner>,
    marks: Vec<Mark>,
    /// Copies that are not in use.
    spare: Vec<Vec<u8>>,
    beginning: Option<Beginning>,
    by_lines: u64,
    _thread: PhantomData<*const ()>,
}

struct Inner {
    /// Where the life goes on, and who has it go on.
    inside: Cell<u64>,
    outside: Cell<u64>,
    body: fn(),
    has_ended: Cell<bool>,
    panic: RefCell<Option<Box<dyn Any + Send>>>,
    tracker: Rc<Tracker>,
    is_tracking: Cell<bool>,
    /// The next life makes its heap otherwise.
    moves_heap: Cell<bool>,
    /// What has come in since the latest mark was made or put back to.
    answers: RefCell<Vec<u64>>,
    _turn: Turn,
}

/// As many pages with pieces that could be near may be put back without the life being worth
/// beginning again.
const SCATTERED_PAGES: usize = 2;

/// Being the one life of the process: there is one arena.
struct Turn;

static IS_TAKEN: Mutex<bool> = Mutex::new(false);
static RELEASED: Condvar = Condvar::new();

impl Turn {
    /// Waits until no other thread has it.
    fn take() -> Self {
        let taken = IS_TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = RELEASED.wait_while(taken, |taken| *taken);
        *taken.unwrap_or_else(PoisonError::into_inner) = true;
        Self
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *IS_TAKEN.lock().unwrap_or_else(PoisonError::into_inner) = false;
        RELEASED.notify_one();
    }
}

/// Why a life does not go on by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// It has called [`pause`].
    Paused,
    /// It is over.
    Ended,
}

/// A place to go back to.
struct Mark {
    inside: u64,
    gs: u64,
    /// Hot pages, as many as there were.
    pages: Vec<u8>,
    untaken: Untaken,
    journal: usize,
    patches: trap::SavedPatches,
    accesses: usize,
    /// What runs that begin here change.
    ways: Ways,
}

/// Where the present run began.
#[derive(Clone, Copy, Debug)]
struct Beginning {
    mark: usize,
    disturbances: u64,
    hot_pages: usize,
    /// Memory was put back completely, bytes that nobody uses included.
    is_exact: bool,
}

impl std::fmt::Debug for Life {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Life")
            .field("marks", &self.marks.len())
            .finish_non_exhaustive()
    }
}

/// Calls `body` with what this thread allocates being nobody's that is put back.
///
/// What `body` leaves on the stack and in registers, and what it returns, is seen inside; where it
/// is called in every run, [`ask`] is the better way.
#[inline]
pub fn outside<R>(body: impl FnOnce() -> R) -> R {
    struct Back(bool);
    impl Drop for Back {
        fn drop(&mut self) {
            arena::set_inside(self.0);
        }
    }
    let _back = Back(arena::set_inside(false));
    disturb();
    body()
}

/// Something comes in that is no answer.
#[inline]
fn disturb() {
    DISTURBANCES.set(DISTURBANCES.get() + 1);
}

/// As [`outside`], with nothing coming back inside but the number that `body` returns: it is called on
/// a stack of its own. What a life does depends on such answers alone, as long as nobody calls
/// `outside`.
#[inline]
pub fn ask<F: FnOnce() -> u64>(body: F) -> u64 {
    let life = LIFE.get();
    // SAFETY: a life outlives the code that runs in it.
    let inner = unsafe { life.as_ref() };
    let Some(inner) = inner.filter(|_| arena::is_inside()) else {
        return body();
    };
    let question = Question {
        body: Cell::new(Some(body)),
        panic: Cell::new(None),
        inner,
    };
    // SAFETY: nothing is on the other stack: code that is inside comes here, code on it is not
    // inside. `answer` does not unwind and takes what it is given for a `Question<F>`.
    let answer = unsafe {
        switch::call_elsewhere(
            (&raw const question).cast(),
            answer::<F>,
            inner.tracker.other_stack(),
        )
    };
    if let Some(payload) = question.panic.take() {
        std::panic::resume_unwind(payload);
    }
    answer
}

struct Question<'a, F> {
    body: Cell<Option<F>>,
    panic: Cell<Option<Box<dyn Any + Send>>>,
    inner: &'a Inner,
}

/// # Safety
/// `question` points at a `Question<F>`.
unsafe extern "sysv64" fn answer<F: FnOnce() -> u64>(question: *const ()) -> u64 {
    // SAFETY: the caller's promise.
    let question = unsafe { &*question.cast::<Question<'_, F>>() };
    arena::set_inside(false);
    let body = question.body.take();
    let result = std::panic::catch_unwind(AssertUnwindSafe(|| body.map_or(0, |body| body())));
    let answer = result.unwrap_or_else(|payload| {
        disturb();
        question.panic.set(Some(payload));
        0
    });
    question.inner.answers.borrow_mut().push(answer);
    arena::set_inside(true);
    answer
}

/// Leaves the life that runs; returns when it goes on. Does nothing outside lives.
#[inline]
pub fn pause() {
    let life = LIFE.get();
    // SAFETY: a life outlives the code that runs in it.
    let Some(inner) = (unsafe { life.as_ref() }) else {
        return;
    };
    let was_inside = arena::is_inside();
    // SAFETY: `outside` was noted when this life was last gone on with, and that code waits.
    unsafe { switch::switch(inner.inside.as_ptr(), inner.outside.get()) };
    arena::set_inside(was_inside);
}

extern "sysv64" fn main() -> ! {
    // SAFETY: `Life::begin` has set it, and it outlives this stack.
    let inner = unsafe { &*LIFE.get() };
    arena::set_inside(true);
    if let Err(payload) = std::panic::catch_unwind(AssertUnwindSafe(inner.body)) {
        // The message lies inside and is read when the life is over.
        arena::keep_for_ever();
        *inner.panic.borrow_mut() = Some(payload);
    }
    inner.has_ended.set(true);
    loop {
        pause();
    }
}

impl Life {
    /// A life that does `body`; it begins with [`Life::go_on`]. `None` if the program's allocator
    /// is not an [`Arena`], if this thread lives another life or has a computer, or if Linux has no
    /// memory. Waits while another thread lives one.
    pub fn new(body: fn()) -> Option<Self> {
        // A thread that has a computer already could wait for ever.
        if !LIFE.get().is_null() || run::try_platform().is_some() {
            return None;
        }
        let turn = Turn::take();
        if !is_installed() {
            return None;
        }
        warm_up();
        let inner = Box::new(Inner {
            inside: Cell::new(0),
            outside: Cell::new(0),
            body,
            has_ended: Cell::new(false),
            panic: RefCell::default(),
            tracker: SPARE
                .take()
                .map_or_else(|| Tracker::new().map(Rc::new), Ok)
                .ok()?,
            is_tracking: Cell::new(false),
            moves_heap: Cell::new(false),
            answers: RefCell::default(),
            _turn: turn,
        });
        // SAFETY: the arena's stack is there, and no other life uses it.
        inner
            .inside
            .set(unsafe { switch::prepare(arena::STACK.end, main) });
        LIFE.set(&raw const *inner);
        Some(Self {
            inner,
            marks: Vec::new(),
            spare: Vec::new(),
            beginning: None,
            by_lines: 0,
            _thread: PhantomData,
        })
    }

    /// Has the life go on from where it paused. A panic in it goes on here.
    #[inline]
    pub fn go_on(&mut self) -> Stopped {
        if self.inner.has_ended.get() {
            return Stopped::Ended;
        }
        let was_inside = arena::set_inside(true);
        // SAFETY: `inside` is where the life paused last, or was put back to, or begins.
        unsafe { switch::switch(self.inner.outside.as_ptr(), self.inner.inside.get()) };
        arena::set_inside(was_inside);
        if let Some(payload) = self.inner.panic.take() {
            std::panic::resume_unwind(payload);
        }
        if self.inner.has_ended.get() {
            Stopped::Ended
        } else {
            Stopped::Paused
        }
    }

    /// How many places there are to go back to.
    #[must_use]
    pub fn marks(&self) -> usize {
        self.marks.len()
    }

    /// How often it was put back by the lines alone that were known to have changed.
    #[must_use]
    pub const fn put_back_by_lines(&self) -> u64 {
        self.by_lines
    }

    /// Makes where the life has paused a place to go back to. `false` if there is no computer yet.
    pub fn mark(&mut self) -> bool {
        let Some(platform) = run::try_platform() else {
            return false;
        };
        let tracker = &self.inner.tracker;
        if !self.inner.is_tracking.get() {
            arena::begin_marks();
            let regions = platform.space.regions();
            tracker.begin(&regions);
            for (region, access) in &regions {
                if *access == Access::ReadWrite && STACKS.contains(&region.start) {
                    tracker.find_zeros(region);
                }
            }
            TRACKER.set(Rc::as_ptr(tracker));
            self.inner.is_tracking.set(true);
        }
        let mut pages = self.spare.pop().unwrap_or_default();
        pages.clear();
        for number in 0..tracker.hot_pages() {
            let page = tracker.hot_page(number);
            let is_closed = !tracker.is_open(page);
            let region = page..page + PAGE;
            if is_closed {
                memory::apply_protection(&region, Access::Read);
            }
            let place = std::ptr::with_exposed_provenance::<u8>(page as usize);
            // SAFETY: the page is readable, and nothing writes to it meanwhile.
            pages.extend_from_slice(unsafe { std::slice::from_raw_parts(place, PAGE as usize) });
            if is_closed {
                tracker.put_back_access(&region);
            }
        }
        self.marks.push(Mark {
            inside: self.inner.inside.get(),
            gs: registers::gs_base(),
            pages,
            untaken: arena::untaken(),
            journal: tracker.journal.borrow().len(),
            patches: trap::save_patches(),
            accesses: platform.space.recorded(),
            ways: Ways::new(),
        });
        self.begin_run(false);
        true
    }

    /// Puts the computer back to a mark, counted from 0; those behind it are gone. The life goes
    /// on from there.
    ///
    /// This is sound as long as nobody outside uses what was made inside, and what is inside has
    /// changed nothing outside but through [`outside`]: a life captures nothing, so what it shares
    /// with others is in thread-locals and statics, which are to hold nothing that was made inside.
    pub fn back_to(&mut self, mark: usize) {
        let is_same = self.marks.len() == mark + 1;
        while self.marks.len() > mark + 1 {
            self.spare.extend(self.marks.pop().map(|mark| mark.pages));
        }
        let Some(latest) = self.marks.last_mut() else {
            return;
        };
        let tracker = &self.inner.tracker;
        let changed = tracker.journal.borrow_mut().split_off(latest.journal);
        latest.ways.end_run();
        let is_followed = latest.ways.are_followed();
        let is_undisturbed = self.beginning.is_some_and(|beginning| {
            beginning.is_exact
                && is_same
                && beginning.mark == mark
                && beginning.disturbances == DISTURBANCES.get()
                && beginning.hot_pages == tracker.hot_pages()
        });
        let answers = self.inner.answers.borrow();
        let back = if is_followed && is_undisturbed && changed.is_empty() {
            latest.ways.back(&answers, DISTURBANCES.get())
        } else {
            Back::Pages
        };
        match back {
            Back::Lines(lines) => {
                tracker.put_lines(lines);
                self.by_lines += 1;
                if cfg!(debug_assertions) {
                    let left = tracker.put_changed(&latest.pages);
                    assert!(left.is_empty(), "lines that were not known: {left:x?}");
                }
            }
            Back::Looking(at) => {
                let lines = tracker.put_changed(&latest.pages);
                latest.ways.learn(at, lines);
            }
            Back::Pages => {
                let undo = tracker.begin_undo(&changed);
                let untaken = (!is_followed).then_some(&latest.untaken);
                tracker.put_pages(&latest.pages, untaken);
                tracker.end_undo(&undo);
                // Whatever changes patches disturbs.
                trap::put_patches(&latest.patches);
            }
        }
        drop(answers);
        self.inner.inside.set(latest.inside);
        if registers::gs_base() != latest.gs {
            registers::set_gs_base(latest.gs);
        }
        hang::forget_looks();
        if let Some(platform) = run::try_platform() {
            for changed in &changed {
                if overlap(&changed.region, &IMAGES) {
                    platform.space.forget_code(&changed.region);
                }
            }
            platform.space.forget_records(latest.accesses);
        }
        self.begin_run(is_followed);
    }

    /// What comes next begins at the latest mark.
    fn begin_run(&mut self, is_exact: bool) {
        self.inner.answers.borrow_mut().clear();
        self.beginning = Some(Beginning {
            mark: self.marks.len().saturating_sub(1),
            disturbances: DISTURBANCES.get(),
            hot_pages: self.inner.tracker.hot_pages(),
            is_exact,
        });
    }

    /// Learns from the run that has just come to its end which pieces of the heap runs change, so
    /// that the next life has them near each other. Whether that is worth beginning another one:
    /// they are in more pages than they have to be.
    pub fn learn(&self) -> bool {
        if !self.inner.is_tracking.get() {
            return false;
        }
        let lines = self.inner.tracker.changed_lines();
        let is_scattered = learn::warm(arena::made(), lines) > SCATTERED_PAGES;
        self.inner.moves_heap.set(is_scattered);
        is_scattered
    }

    /// Ends the watch over pages; there is no place to go back to any more.
    fn stop_tracking(&mut self) {
        self.marks.clear();
        if self.inner.is_tracking.replace(false) {
            TRACKER.set(std::ptr::null());
            let tracker = &self.inner.tracker;
            tracker.expect_again();
            if self.inner.moves_heap.get() {
                tracker.expect_another_heap();
            }
            let regions = run::try_platform().map(|platform| platform.space.regions());
            tracker.end(&regions.unwrap_or_default());
        }
    }

    /// Has the life come to its end.
    ///
    /// # Panics
    /// If the life panics.
    pub fn finish(mut self) {
        self.stop_tracking();
        while self.go_on() == Stopped::Paused {}
        // Everything that was made inside has gone with the life.
        arena::clear();
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.stop_tracking();
        while !self.inner.has_ended.get() && !std::thread::panicking() {
            self.go_on();
        }
        LIFE.set(std::ptr::null());
        if self.inner.tracker.clear() {
            SPARE.set(Some(self.inner.tracker.clone()));
        }
    }
}

fn overlap(one: &Range<u64>, other: &Range<u64>) -> bool {
    one.start < other.end && other.start < one.end
}

/// Whether this program's allocator is an [`Arena`], and its memory is there.
fn is_installed() -> bool {
    if arena::is_kept() || arena::reserve().is_err() {
        return false;
    }
    let was_inside = arena::set_inside(true);
    let probe = Box::new(0_u64);
    arena::set_inside(was_inside);
    arena::ARENA.contains(&(std::ptr::from_ref(&*probe).addr() as u64))
}

/// Has everything made that is made once in a process, so that it is not made inside.
fn warm_up() {
    let _ = std::thread::current().id();
    trap::warm_up();
    crate::exception::warm_up();
}

/// What watches this thread's pages, if there is a mark.
#[inline]
fn tracker() -> Option<&'static Tracker> {
    // SAFETY: null or what a life owns, which sets it to null before that goes away; what uses
    // it ends before.
    unsafe { TRACKER.get().as_ref() }
}

/// The first write to a page that is watched has faulted: it is let go on.
pub(crate) fn first_write(address: u64) -> bool {
    tracker().is_some_and(|tracker| tracker.first_write(address))
}

/// Pages get another access. `false` if nobody watches, so that it is still to be done.
#[inline]
pub(crate) fn protect(region: &Range<u64>, access: Access) -> bool {
    let Some(tracker) = tracker() else {
        return false;
    };
    outside(|| tracker.protect(region, access));
    true
}

/// Pages are about to be given back to Linux or zeroed and closed, whatever access they have; `false` if nobody watches.
pub(crate) fn clear(region: &Range<u64>) -> bool {
    let Some(tracker) = tracker() else {
        return false;
    };
    tracker.keep(region);
    outside(|| tracker.protect(region, Access::ReadWrite));
    tracker.zero(region);
    outside(|| tracker.protect(region, Access::None));
    true
}

/// Writable pages are zeroed; `false` if nobody watches.
pub(crate) fn zero(region: &Range<u64>) -> bool {
    let Some(tracker) = tracker() else {
        return false;
    };
    tracker.zero(region);
    true
}
