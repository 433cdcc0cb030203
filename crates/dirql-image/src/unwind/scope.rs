//! The data of `__C_specific_handler`: which stretch of code a `__try` guards, and how.
//!
//! Source: `SCOPE_TABLE_AMD64` in `winnt.h`.

use crate::image::Image;
use crate::unwind::UnwindError;

/// Bytes of an entry.
const ENTRY: u64 = 16;
/// In place of a filter: every exception is handled.
const EXECUTE_HANDLER: u32 = 1;

/// What guards a stretch of code. All places are RVAs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// `__except (1)`, compiled without a filter.
    Always {
        /// Where the handler's block starts.
        target: u32,
    },
    /// `__except (filter)`
    Except {
        /// The routine that decides.
        filter: u32,
        /// Where the handler's block starts.
        target: u32,
    },
    /// `__finally`
    Finally {
        /// The routine that is called when control leaves the stretch.
        routine: u32,
    },
}

/// One guarded stretch of code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope {
    /// RVA of its first byte.
    pub begin: u32,
    /// RVA past its last byte.
    pub end: u32,
    /// What guards it.
    pub guard: Guard,
}

impl Image {
    /// Reads the data that the compiler made for `__C_specific_handler`, innermost stretch first;
    /// `data` is that of [`Handler::data`](crate::unwind::Handler::data). For another handler it
    /// means something else.
    ///
    /// # Errors
    /// The table does not end inside the image.
    pub fn scopes(&self, data: u32) -> Result<Vec<Scope>, UnwindError> {
        let image = self.placed.reader();
        let count = u64::from(image.u32("scope table Count", data.into())?);
        let first = u64::from(data) + 4;
        image.bytes("scope table", first, count * ENTRY)?;
        let mut scopes = Vec::with_capacity(count as usize);
        for entry in (first..).step_by(ENTRY as usize).take(count as usize) {
            let handler = image.u32("scope HandlerAddress", entry + 8)?;
            let guard = match (handler, image.u32("scope JumpTarget", entry + 12)?) {
                (routine, 0) => Guard::Finally { routine },
                (EXECUTE_HANDLER, target) => Guard::Always { target },
                (filter, target) => Guard::Except { filter, target },
            };
            scopes.push(Scope {
                begin: image.u32("scope BeginAddress", entry)?,
                end: image.u32("scope EndAddress", entry + 4)?,
                guard,
            });
        }
        Ok(scopes)
    }
}
