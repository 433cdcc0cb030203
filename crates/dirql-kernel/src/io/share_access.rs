//! Sharing of one file or device by several opens.
//!
//! Source: WDK reference, wdm.IoCheckShareAccess, wdm.IoSetShareAccess, wdm.IoUpdateShareAccess,
//! wdm.IoRemoveShareAccess; wdm.h, `SHARE_ACCESS`.

use dirql_abi::irp::FileObject;
use dirql_abi::{NtStatus, is_true};

use crate::{Ddi, DriverPtr, Kernel, at};

/// Access rights: to read or execute, to write or append, to delete.
const READ: u32 = 0x1 | 0x20;
const WRITE: u32 = 0x2 | 0x4;
const DELETE: u32 = 0x1_0000;

/// `FILE_SHARE_`: read, write, delete.
const SHARES: [u32; 3] = [1, 2, 4];

/// A SHARE_ACCESS as its seven ULONGs: opens, then those who read, write and delete, then
/// those who let others read, write and delete.
type Counts = [u32; 7];

type File = DriverPtr<FileObject>;
type Access = DriverPtr<Counts>;

/// What one open adds: bits for access, bits for sharing, each for read, write, delete.
struct Wish {
    access: [bool; 3],
    shares: [bool; 3],
}

impl Wish {
    /// Nobody who neither reads nor writes nor deletes is counted.
    fn counts(&self) -> bool {
        self.access.contains(&true)
    }

    fn change(&self, counts: &mut Counts, by: i32) {
        if !self.counts() {
            return;
        }
        counts[0] = counts[0].wrapping_add_signed(by);
        let bits = self.access.iter().chain(&self.shares);
        for (count, _) in counts[1..].iter_mut().zip(bits).filter(|(_, set)| **set) {
            *count = count.wrapping_add_signed(by);
        }
    }

    /// Whether those who are there let this one in, and it them.
    fn fits(&self, counts: &Counts) -> bool {
        (0..3).all(|kind| {
            let (use_it, share_it) = (counts[1 + kind], counts[4 + kind]);
            !(self.access[kind] && share_it < counts[0]) && (self.shares[kind] || use_it == 0)
        })
    }
}

impl Kernel {
    /// `VOID IoSetShareAccess(ACCESS_MASK Desired, ULONG Share, PFILE_OBJECT, PSHARE_ACCESS)`: the
    /// first open.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Source: WDK reference, wdm.IoSetShareAccess.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn io_set_share_access(&self, desired: u32, share: u32, file: File, to: Access) -> Ddi<()> {
        let wish = self.note_wish(desired, share, file)?;
        let mut counts = Counts::default();
        wish.change(&mut counts, 1);
        Ok(self.write(to, counts)?)
    }

    /// `NTSTATUS IoCheckShareAccess(ACCESS_MASK Desired, ULONG Share, PFILE_OBJECT, PSHARE_ACCESS, BOOLEAN Update)`:
    /// a later open.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS; SHARING_VIOLATION.
    /// - Source: WDK reference, wdm.IoCheckShareAccess.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn io_check_share_access(
        &self,
        desired: u32,
        share: u32,
        file: File,
        access: Access,
        update: u8,
    ) -> Ddi<NtStatus> {
        let wish = self.note_wish(desired, share, file)?;
        let mut counts = self.read(access)?;
        if wish.counts() && !wish.fits(&counts) {
            return Ok(NtStatus::SHARING_VIOLATION);
        }
        if is_true(update) {
            wish.change(&mut counts, 1);
            self.write(access, counts)?;
        }
        Ok(NtStatus::SUCCESS)
    }

    /// `VOID IoUpdateShareAccess(PFILE_OBJECT, PSHARE_ACCESS)`, `IoRemoveShareAccess`: counts an
    /// open as its file object says, or takes it back.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Source: WDK reference, wdm.IoUpdateShareAccess, wdm.IoRemoveShareAccess.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn io_change_share_access(&self, file: File, access: Access, adds: bool) -> Ddi<()> {
        let bit = |at| Ok::<_, crate::Stop>(is_true(self.read(at)?));
        let wish = Wish {
            access: [
                bit(at!(file, FileObject, read_access))?,
                bit(at!(file, FileObject, write_access))?,
                bit(at!(file, FileObject, delete_access))?,
            ],
            shares: [
                bit(at!(file, FileObject, shared_read))?,
                bit(at!(file, FileObject, shared_write))?,
                bit(at!(file, FileObject, shared_delete))?,
            ],
        };
        let mut counts = self.read(access)?;
        wish.change(&mut counts, if adds { 1 } else { -1 });
        Ok(self.write(access, counts)?)
    }

    /// Notes in the file object what an open wants.
    fn note_wish(&self, desired: u32, share: u32, file: File) -> Ddi<Wish> {
        let access = [READ, WRITE, DELETE].map(|rights| desired & rights != 0);
        self.write(at!(file, FileObject, read_access), access[0].into())?;
        self.write(at!(file, FileObject, write_access), access[1].into())?;
        self.write(at!(file, FileObject, delete_access), access[2].into())?;
        let mut shares = [false; 3];
        if access.contains(&true) {
            shares = SHARES.map(|bit| share & bit != 0);
            self.write(at!(file, FileObject, shared_read), shares[0].into())?;
            self.write(at!(file, FileObject, shared_write), shares[1].into())?;
            self.write(at!(file, FileObject, shared_delete), shares[2].into())?;
        }
        Ok(Wish { access, shares })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::testing::Bench;

    #[test]
    fn an_open_fits_if_both_sides_share_what_the_other_does() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let files = [0; 3].map(|_| File::new(bench.variable(216)));
        let access = Access::new(bench.variable(28));
        // Reads, and lets others read.
        kernel.io_set_share_access(1, 1, files[0], access).unwrap();
        let check = |desired, share, file| {
            kernel
                .io_check_share_access(desired, share, file, access, 1)
                .unwrap()
        };
        assert_eq!(check(2, 7, files[1]), NtStatus::SHARING_VIOLATION);
        assert_eq!(check(1, 6, files[1]), NtStatus::SHARING_VIOLATION);
        assert_eq!(check(1, 3, files[1]), NtStatus::SUCCESS);
        // Only looks at attributes.
        assert_eq!(check(0x80, 0, files[2]), NtStatus::SUCCESS);
        assert_eq!(kernel.read(access), Ok([2, 2, 0, 0, 2, 1, 0]));
        kernel
            .io_change_share_access(files[0], access, false)
            .unwrap();
        assert_eq!(kernel.read(access), Ok([1, 1, 0, 0, 1, 1, 0]));
        assert_eq!(check(3, 1, files[2]), NtStatus::SUCCESS);
    }
}
