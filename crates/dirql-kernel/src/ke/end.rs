//! Ends of a run that whoever runs in it cannot be told of.

use alloc::format;

use dirql_rules::ids;

use crate::stop::Stop;
use crate::{Kernel, Outcome};

impl Kernel {
    /// The run ends because of something that nobody can be told any more.
    pub fn end_with(&self, stop: &Stop) {
        match stop {
            Stop::BugCheck(bug_check) => {
                self.end(Outcome::BugCheck {
                    bug_check: *bug_check,
                    place: self.here(),
                });
            }
            Stop::BadAddress(bad) => {
                let stop = self.bad_address(*bad);
                self.end_with(&stop);
            }
            Stop::Exception { code, parameters } => {
                let bug_check = self.unhandled_exception(*code, *parameters);
                self.end(Outcome::BugCheck {
                    bug_check,
                    place: self.here(),
                });
            }
            Stop::Refused => self.end(Outcome::Finding),
            Stop::Ended => {}
        }
    }

    /// Driver code has run for too long without coming back; called by the platform.
    pub fn hang(&self, address: u64) -> Stop {
        let context = self.context();
        let irql = self.irql();
        let _ = self.find_at(
            ids::HANG,
            format!("driver code runs and runs at {irql} ({context:?}) without calling the kernel or touching its device"),
            self.here_at(address),
            None,
        );
        self.end(Outcome::Budget);
        Stop::Ended
    }
}
