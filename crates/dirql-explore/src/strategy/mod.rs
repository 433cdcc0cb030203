//! Which order to try next.

mod bounded;
mod exhaustive;
mod pct;
mod replay;
mod sampling;
mod scouted;

pub use bounded::Bounded;
pub use exhaustive::{Exhaustive, Piece, Pieces, Split};
pub use pct::Pct;
pub use replay::{Misfit, Replay};
pub use sampling::{Default, Random};
pub use scouted::Scouted;

use crate::{Alternative, Run, Touch};

/// Says what happens in one run after the other.
pub trait Strategy {
    /// Whether there is another run; it begins then.
    fn begin(&mut self) -> bool;

    /// The index of what happens. The first option is what happens by itself.
    fn choose(&mut self, options: &[Alternative]) -> usize;

    /// What happens since the latest choice touches an object.
    fn touched(&mut self, touch: Touch) {
        let _ = touch;
    }

    /// An actor's next step takes a lock, if it ever comes.
    fn wants(&mut self, actor: u64, lock: u64) {
        let _ = (actor, lock);
    }

    /// The run is over.
    fn finish(&mut self, run: &Run);

    /// The seed of the run that began last, if it has one.
    fn seed(&self) -> Option<u64> {
        None
    }

    /// How much has been tried.
    fn coverage(&self) -> Coverage;

    /// What the run that has just begun is known to have in common with the latest one.
    fn kept(&self) -> Kept {
        Kept::Nothing
    }

    /// The point at which the run that has just begun will leave what happens by itself for the
    /// last time, if that is known: the next run may well leave it there or a little later.
    fn turns_at(&self) -> Option<usize> {
        None
    }

    /// The run goes on behind its first `choices`, which are no more than [`Kept::Choices`] says.
    fn skip(&mut self, choices: usize) {
        let _ = choices;
    }
}

/// What a strategy knows of the beginning of a run, for who makes it without doing it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Nothing: it has to be asked and told everything.
    Nothing,
    /// It depends on nothing but the choices between several options: asked those again, it is
    /// where it would be.
    Points,
    /// So many choices at the beginning, each of those without an alternative too, are the same.
    Choices(usize),
}

impl<S: Strategy + ?Sized> Strategy for Box<S> {
    fn begin(&mut self) -> bool {
        (**self).begin()
    }

    fn choose(&mut self, options: &[Alternative]) -> usize {
        (**self).choose(options)
    }

    fn touched(&mut self, touch: Touch) {
        (**self).touched(touch);
    }

    fn wants(&mut self, actor: u64, lock: u64) {
        (**self).wants(actor, lock);
    }

    fn finish(&mut self, run: &Run) {
        (**self).finish(run);
    }

    fn seed(&self) -> Option<u64> {
        (**self).seed()
    }

    fn coverage(&self) -> Coverage {
        (**self).coverage()
    }

    fn kept(&self) -> Kept {
        (**self).kept()
    }

    fn turns_at(&self) -> Option<usize> {
        (**self).turns_at()
    }

    fn skip(&mut self, choices: usize) {
        (**self).skip(choices);
    }
}

impl<S: Strategy + ?Sized> Strategy for &mut S {
    fn begin(&mut self) -> bool {
        (**self).begin()
    }

    fn choose(&mut self, options: &[Alternative]) -> usize {
        (**self).choose(options)
    }

    fn touched(&mut self, touch: Touch) {
        (**self).touched(touch);
    }

    fn wants(&mut self, actor: u64, lock: u64) {
        (**self).wants(actor, lock);
    }

    fn finish(&mut self, run: &Run) {
        (**self).finish(run);
    }

    fn seed(&self) -> Option<u64> {
        (**self).seed()
    }

    fn coverage(&self) -> Coverage {
        (**self).coverage()
    }

    fn kept(&self) -> Kept {
        (**self).kept()
    }

    fn turns_at(&self) -> Option<usize> {
        (**self).turns_at()
    }

    fn skip(&mut self, choices: usize) {
        (**self).skip(choices);
    }
}

/// How much of what could happen has been tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Runs that came to their end.
    pub runs: u64,
    /// Runs that were known to add nothing while they ran.
    pub redundant: u64,
    /// Runs known to be left, at least.
    pub left: u64,
    /// Everything that the strategy can try has been tried.
    pub complete: bool,
}
