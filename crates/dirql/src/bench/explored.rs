//! Which part of a test is explored.

use std::rc::Rc;

use dirql_kernel::{Ddi, Kernel};

use super::{Bench, BenchError};

/// Told how a run ended, before the computer goes on with what is no part of it.
pub(crate) type EndOfRun = Rc<dyn Fn(&Kernel, &Result<(), BenchError>)>;

impl Bench {
    /// From now on the order of what happens is explored, if somebody explores; see
    /// [`Builder::explored_later`](super::Builder::explored_later).
    pub fn explore_from_here(&self) {
        self.kernel().let_choose(true);
    }

    /// Lets everything happen that happens by itself, as [`Bench::run_until_idle`], and ends what is
    /// explored: what is left of a test, the removal of its devices for example, is done in one
    /// order alone. Something that is still on its way there could have come before, and would not
    /// be tried there.
    ///
    /// # Errors
    /// The run has ended.
    pub fn explore_until_here(&self) -> Result<(), BenchError> {
        self.run_until_idle()?;
        self.kernel().let_choose(false);
        Ok(())
    }

    /// Explores what `explored` does on a kernel thread, at PASSIVE_LEVEL, and what happens to it
    /// meanwhile, and nothing else of a test: a run begins with `explored` and is over when that
    /// has returned and nothing more can happen at once ([`Kernel::let_others_go_first`]).
    /// `prepare` runs before, and `check` behind it, on the same thread and in one order. What has to
    /// be made is made by `prepare`, a request for example ([`Kernel::prepare_request`]).
    ///
    /// Compared with [`Bench::explore_from_here`] and [`Bench::explore_until_here`] a run has no
    /// beginnings and ends of threads, no waiting for time to pass, and none of what is made for a
    /// request before a driver sees it, so that it takes a fraction of the time. With
    /// [`Builder::explored_later`](super::Builder::explored_later) nothing before it is explored
    /// either.
    ///
    /// What a run shows is known when `check` has returned: whether something was found, and whether
    /// `check` had an error. The rest of the test takes the computer away, and **what it checks does not
    /// count**: [`Explorer::check_functions`](crate::Explorer::check_functions) does it for the
    /// last run alone.
    ///
    /// # Errors
    /// What `check` returned; the thread has not come to its end and waits for something that does
    /// not happen; the run has ended.
    pub fn explore_on_kernel_thread<P: 'static, Q: 'static>(
        &self,
        prepare: impl FnOnce(&Kernel) -> Ddi<P> + 'static,
        explored: impl FnOnce(&Kernel, P) -> Ddi<Q> + 'static,
        check: impl FnOnce(&Kernel, Q) -> Ddi<Result<(), BenchError>> + 'static,
    ) -> Result<(), BenchError> {
        let end = self.end_of_run.borrow().clone();
        self.on_thread("the explored thread", move |kernel| {
            let prepared = prepare(kernel)?;
            kernel.let_choose(true);
            let done = explored(kernel, prepared)?;
            kernel.let_others_go_first()?;
            kernel.let_choose(false);
            let result = check(kernel, done)?;
            if let Some(end) = end {
                end(kernel, &result);
            }
            Ok(result)
        })
    }

    /// `end` is told where a run ends before its test does.
    pub(crate) fn tell_end_of_run(&self, end: EndOfRun) {
        *self.end_of_run.borrow_mut() = Some(end);
    }
}
