//! What drivers print.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use dirql_kernel::{Event, EventSink, Stamp};

/// The most lines that are kept; older ones are dropped.
const MOST_LINES: usize = 1000;

/// The longest line that is kept, in bytes; a driver may print without ever ending a line.
const LONGEST_LINE: usize = 4096;

/// The last lines that drivers printed. A clone listens for the same lines.
#[derive(Clone, Debug, Default)]
pub(super) struct Prints(Rc<RefCell<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    lines: VecDeque<String>,
    /// The last line has not been ended yet.
    is_open: bool,
}

impl Kept {
    /// A piece of text up to and including the end of its line, if it has one.
    fn add(&mut self, piece: &str) {
        let text = piece.chars().filter(|c| !c.is_control());
        match self.lines.back_mut() {
            Some(last) if self.is_open && last.len() < LONGEST_LINE => last.extend(text),
            _ => {
                if self.lines.len() == MOST_LINES {
                    self.lines.pop_front();
                }
                self.lines.push_back(text.collect());
            }
        }
        self.is_open = !piece.ends_with('\n');
    }
}

impl Prints {
    pub(super) fn lines(&self) -> Vec<String> {
        self.0.borrow().lines.iter().cloned().collect()
    }
}

impl EventSink for Prints {
    fn record(&mut self, _stamp: Stamp, event: &Event) {
        if let Event::DebugPrint(text) = event {
            let mut kept = self.0.borrow_mut();
            text.split_inclusive('\n').for_each(|piece| kept.add(piece));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(texts: &[&str]) -> Vec<String> {
        let prints = Prints::default();
        let mut sink = prints.clone();
        for text in texts {
            sink.record(Stamp::default(), &Event::DebugPrint((*text).into()));
        }
        prints.lines()
    }

    #[test]
    fn lines_are_put_together_and_taken_apart() {
        assert_eq!(
            printed(&["a", "b\r\n", "c\nd\n", "\n", "e"]),
            ["ab", "c", "d", "", "e"]
        );
        assert_eq!(printed(&["\u{1b}[31mred\n"]), ["[31mred"]);
        assert!(printed(&[""]).is_empty());
    }

    #[test]
    fn only_the_last_lines_are_kept() {
        let texts: Vec<String> = (0..=MOST_LINES).map(|n| format!("{n}\n")).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let lines = printed(&texts);
        assert_eq!((lines.len(), lines[0].as_str()), (MOST_LINES, "1"));
    }

    #[test]
    fn a_line_without_an_end_is_ended() {
        let long = "x".repeat(LONGEST_LINE);
        assert_eq!(printed(&[&long, "y", "z"]), [long.clone(), "yz".into()]);
    }
}
