//! Memory of the user who makes requests.
//!
//! Buffers are whole pages, with a page that is never accessible behind each, so that a
//! driver that runs past the end of a user's buffer faults as it can on Windows. A buffer
//! ends where its last page ends, less what aligns its beginning to 16 bytes.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use crate::mm::layout::{PAGE, PROCESS, USER};
use crate::platform::Access;
use crate::{Ddi, Kernel};

/// What is given out and what is free.
#[derive(Default)]
pub(super) struct Users {
    next: Cell<u64>,
    /// By number of pages.
    free: RefCell<BTreeMap<u64, Vec<u64>>>,
}

/// A buffer of the user's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct UserBuffer {
    first_page: u64,
    pages: u64,
    /// Where the user's data begins.
    pub(super) address: u64,
    /// Bytes.
    pub(super) length: u32,
}

impl Kernel {
    /// A buffer of `length` zero bytes; `None` if the user's address space is used up.
    pub(super) fn user_buffer(&self, length: u32) -> Ddi<Option<UserBuffer>> {
        let pages = u64::from(length).div_ceil(PAGE).max(1);
        let reused = self
            .io
            .users
            .free
            .borrow_mut()
            .get_mut(&pages)
            .and_then(Vec::pop);
        let first_page = match reused {
            Some(first_page) => {
                self.zero(first_page, pages * PAGE)?;
                first_page
            }
            None => {
                let offset = self.io.users.next.get();
                let first_page = USER.start + offset;
                if first_page + (pages + 1) * PAGE > PROCESS.start {
                    return Ok(None);
                }
                self.io.users.next.set(offset + (pages + 1) * PAGE);
                self.platform()
                    .protect(first_page..first_page + pages * PAGE, Access::ReadWrite);
                first_page
            }
        };
        let address = (first_page + pages * PAGE - u64::from(length)) & !15;
        Ok(Some(UserBuffer {
            first_page,
            pages,
            address,
            length,
        }))
    }

    /// Gives a buffer back.
    pub(super) fn free_user_buffer(&self, buffer: UserBuffer) {
        let mut free = self.io.users.free.borrow_mut();
        free.entry(buffer.pages)
            .or_default()
            .push(buffer.first_page);
    }
}
