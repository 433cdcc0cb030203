//! The same way changes the same memory.
//!
//! What a life does from a mark on is decided by the memory at the mark and by what comes in from
//! outside, which are the answers of [`ask`](super::ask). As long as nothing else comes in, the same
//! answers lead to the same changes, down to bytes that nobody reads: whoever answers does so on
//! another stack, and leaves no register behind. So the **lines** that a way has changed, a sequence
//! of answers from a mark to the end, need to be found by comparing whole pages only until they are
//! known. From then on they alone are put back, which takes a tenth of the time.
//!
//! # When a way is known
//! - It was gone several times, and the same lines were changed the last two of them.
//! - Every one of these runs began with memory that was put back completely, bytes that nobody uses
//!   included.
//! - Nothing but answers came in: no code of ours that keeps something outside was called
//!   ([`outside`](super::outside)), no page was written to for the first time, none had another
//!   access. If that happens in any run, no way is known any more: what is kept outside, twins of
//!   code for example, is seen by all.
//!
//! Builds with assertions compare all pages after each time that lines were put back.

use super::tracker::LINE;

/// Places in all ways together; what comes behind them is not known.
const MOST_NODES: usize = 1 << 16;

/// Times that the changes of a way are looked at before it is said to change others each time.
const MOST_LOOKS: u8 = 8;

/// Runs before ways are followed: the first ones write to pages for the first time.
const FIRST: u32 = 8;

/// Runs after which it is clear whether ways are gone again.
const TRIAL: u32 = 256;

/// What a line holds.
pub(super) type Line = [u64; LINE as usize / 8];

/// Lines that are to be put back, and what they held; in order of address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Lines {
    /// Where lines begin that follow each other, and how many do.
    runs: Vec<(u64, u32)>,
    content: Vec<Line>,
}

impl Lines {
    /// A line behind all others.
    pub(super) fn push(&mut self, start: u64, content: Line) {
        match self.runs.last_mut() {
            Some((first, count)) if *first + u64::from(*count) * LINE == start => *count += 1,
            _ => self.runs.push((start, 1)),
        }
        self.content.push(content);
    }

    /// The lines that follow each other, with what they held.
    #[inline]
    pub(super) fn runs(&self) -> impl Iterator<Item = (u64, &[Line])> {
        let mut rest = &self.content[..];
        self.runs.iter().map(move |(start, count)| {
            let (run, behind) = rest.split_at(*count as usize);
            rest = behind;
            (*start, run)
        })
    }

    /// Whether there are none.
    pub(super) const fn is_empty(&self) -> bool {
        self.content.is_empty()
    }
}

/// What is known of the end of a way.
#[derive(Debug)]
enum End {
    /// It was looked at so often, and these were changed the last time.
    Looked { times: u8, lines: Lines },
    /// It always changes these.
    Known(Lines),
    /// It changes something else each time.
    Unsteady,
}

#[derive(Debug)]
struct Node {
    answer: u64,
    /// The first of those behind it, and the next one beside it; 0 for none.
    child: u32,
    sibling: u32,
    end: Option<Box<End>>,
}

/// The ways from one mark.
#[derive(Debug)]
pub(super) struct Ways {
    nodes: Vec<Node>,
    /// How many disturbances there were when this was known; see [`super::disturb`].
    disturbances: u64,
    runs: u32,
    repeated: u32,
}

/// How memory is put back behind a way.
#[derive(Debug)]
pub(super) enum Back<'a> {
    /// Nothing is known: all of it.
    Pages,
    /// All of it, and it is told to [`Ways::learn`] which lines were changed.
    Looking(usize),
    /// These lines.
    Lines(&'a Lines),
}

impl Ways {
    pub(super) fn new() -> Self {
        Self {
            nodes: vec![Node {
                answer: 0,
                child: 0,
                sibling: 0,
                end: None,
            }],
            disturbances: 0,
            runs: 0,
            repeated: 0,
        }
    }

    /// Whether ways are worth to be followed: few would be if each was gone once.
    pub(super) const fn are_followed(&self) -> bool {
        self.runs >= FIRST && (self.runs < TRIAL || self.repeated >= self.runs / 4)
    }

    /// A run from this mark is over.
    pub(super) const fn end_run(&mut self) {
        self.runs = self.runs.saturating_add(1);
    }

    /// How memory is put back behind the way of these answers.
    pub(super) fn back(&mut self, answers: &[u64], disturbances: u64) -> Back<'_> {
        if self.disturbances != disturbances {
            let (runs, repeated) = (self.runs, self.repeated);
            *self = Self::new();
            (self.runs, self.repeated) = (runs, repeated);
            self.disturbances = disturbances;
        }
        let Some(at) = self.follow(answers) else {
            return Back::Pages;
        };
        let is_new = self.nodes[at].end.is_none();
        if is_new {
            let (times, lines) = (0, Lines::default());
            self.nodes[at].end = Some(Box::new(End::Looked { times, lines }));
            return Back::Pages;
        }
        self.repeated = self.repeated.saturating_add(1);
        match self.nodes[at].end.as_deref() {
            Some(End::Known(lines)) => Back::Lines(lines),
            Some(End::Looked { .. }) => Back::Looking(at),
            Some(End::Unsteady) | None => Back::Pages,
        }
    }

    /// The way that ends at a node has changed these.
    pub(super) fn learn(&mut self, at: usize, changed: Lines) {
        let Some(end) = self.nodes.get_mut(at).and_then(|node| node.end.as_mut()) else {
            return;
        };
        let End::Looked { times, lines } = &mut **end else {
            return;
        };
        if *times > 0 && *lines == changed {
            **end = End::Known(changed);
        } else if *times == MOST_LOOKS {
            **end = End::Unsteady;
        } else {
            *times += 1;
            *lines = changed;
        }
    }

    /// The node behind these answers; `None` if there are too many.
    fn follow(&mut self, answers: &[u64]) -> Option<usize> {
        let mut at = 0;
        for answer in answers {
            let mut child = self.nodes[at].child as usize;
            while child != 0 && self.nodes[child].answer != *answer {
                child = self.nodes[child].sibling as usize;
            }
            if child == 0 {
                child = self.nodes.len();
                if child == MOST_NODES {
                    return None;
                }
                self.nodes.push(Node {
                    answer: *answer,
                    child: 0,
                    sibling: self.nodes[at].child,
                    end: None,
                });
                self.nodes[at].child = child as u32;
            }
            at = child;
        }
        Some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(starts: &[u64]) -> Lines {
        let mut lines = Lines::default();
        for start in starts {
            lines.push(*start, [*start; LINE as usize / 8]);
        }
        lines
    }

    #[test]
    fn lines_that_follow_each_other_are_one_run() {
        let lines = lines(&[64, 128, 256, 320, 384]);
        let runs: Vec<_> = lines.runs().map(|(at, run)| (at, run.len())).collect();
        assert_eq!(runs, [(64, 2), (256, 3)]);
        let (_, last) = lines.runs().last().expect("there are two");
        assert_eq!(last[2][0], 384);
    }

    /// A run that goes a way and changes these; whether it was known that it would.
    fn run(ways: &mut Ways, answers: &[u64], changes: &[u64]) -> bool {
        ways.end_run();
        match ways.back(answers, 0) {
            Back::Pages => false,
            Back::Lines(known) => {
                assert_eq!(*known, lines(changes));
                true
            }
            Back::Looking(at) => {
                ways.learn(at, lines(changes));
                false
            }
        }
    }

    #[test]
    fn a_way_is_known_when_it_has_changed_the_same_twice() {
        let mut ways = Ways::new();
        let known: [bool; 5] = std::array::from_fn(|_| run(&mut ways, &[1, 0], &[64, 128]));
        assert_eq!(known, [false, false, false, true, true]);
        assert!(!run(&mut ways, &[1, 1], &[64]));
        assert!(!run(&mut ways, &[1], &[64]));
        assert!(run(&mut ways, &[1, 0], &[64, 128]));
    }

    #[test]
    fn a_way_that_changes_others_each_time_is_never_known() {
        let mut ways = Ways::new();
        for number in 0..u64::from(MOST_LOOKS) + 2 {
            assert!(!run(&mut ways, &[7], &[number * LINE]));
        }
        for _ in 0..4 {
            assert!(!run(&mut ways, &[7], &[64]));
        }
    }

    #[test]
    fn a_disturbance_makes_all_ways_unknown() {
        let mut ways = Ways::new();
        while !run(&mut ways, &[1], &[64]) {}
        assert!(matches!(ways.back(&[1], 1), Back::Pages));
        assert!(matches!(ways.back(&[1], 1), Back::Looking(_)));
    }

    #[test]
    fn ways_that_are_all_different_are_not_followed_for_long() {
        let mut ways = Ways::new();
        let followed: Vec<bool> = (0..TRIAL + 3)
            .map(|number| {
                run(&mut ways, &[number.into()], &[64]);
                ways.are_followed()
            })
            .collect();
        let expected = |number| number + 1 >= FIRST && number + 1 < TRIAL;
        assert!(followed.into_iter().eq((0..TRIAL + 3).map(expected)));
    }

    #[test]
    fn behind_too_many_places_nothing_is_known() {
        let mut ways = Ways::new();
        let answers = vec![1; MOST_NODES];
        for _ in 0..5 {
            assert!(!run(&mut ways, &answers, &[64]));
        }
    }
}
