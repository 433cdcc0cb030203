//! Listings of directories and facts about a drive, as bytes.
//!
//! Source: WDK reference, ntifs.ZwQueryDirectoryFile, ntifs.FILE_DIRECTORY_INFORMATION and its
//! relatives, ntifs.FILE_FS_VOLUME_INFORMATION and its relatives.

use alloc::string::String;
use alloc::vec::Vec;

use dirql_abi::NtStatus;

use crate::fsrtl;
use crate::ke::clock::START_SYSTEM_TIME;

/// FILE_ATTRIBUTE_DIRECTORY and FILE_ATTRIBUTE_NORMAL.
const ATTRIBUTE_DIRECTORY: u32 = 0x10;
const ATTRIBUTE_NORMAL: u32 = 0x80;

/// Bytes of a cluster and of a sector.
const CLUSTER: u64 = 4096;
const SECTOR: u64 = 512;

/// The drive's serial number, as the first time it is told.
const SERIAL: u32 = 0xD1_4A_C0_DE;

/// FILE_CASE_PRESERVED_NAMES and FILE_UNICODE_ON_DISK.
const ATTRIBUTES: u32 = 0x2 | 0x4;
const LONGEST_COMPONENT: u32 = 255;
const FILE_SYSTEM: &str = "NTFS";

/// Something in a directory: a file has bytes, a directory none.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub name: String,
    pub bytes: Option<u64>,
}

/// How far a directory was listed through a handle.
#[derive(Clone, Debug, Default)]
pub(super) struct Listing {
    /// What was asked for first, in upper case.
    pattern: Option<Vec<u16>>,
    next: usize,
    has_begun: bool,
}

impl Listing {
    pub(super) fn restart(&mut self) {
        self.next = 0;
    }
}

/// How a member is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `FileDirectoryInformation`, `FileFullDirectoryInformation`, `FileBothDirectoryInformation`.
    Directory,
    Full,
    Both,
    /// `FileNamesInformation`.
    Names,
}

impl Kind {
    pub(super) fn of_class(class: u32) -> Result<Self, NtStatus> {
        Ok(match class {
            1 => Self::Directory,
            2 => Self::Full,
            3 => Self::Both,
            12 => Self::Names,
            _ => return Err(NtStatus::INVALID_INFO_CLASS),
        })
    }

    /// Bytes in front of the name.
    const fn head(self) -> usize {
        match self {
            Self::Directory => 64,
            Self::Full => 68,
            Self::Both => 94,
            Self::Names => 12,
        }
    }

    /// One entry, whose offset to the next is 0.
    fn entry(self, member: &Member) -> Vec<u8> {
        let name: Vec<u8> = member
            .name
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        let length = (name.len() as u32).to_le_bytes();
        let mut entry = alloc::vec![0; 8];
        if self != Self::Names {
            let size = member.bytes.unwrap_or(0);
            let attributes = match member.bytes {
                Some(_) => ATTRIBUTE_NORMAL,
                None => ATTRIBUTE_DIRECTORY,
            };
            entry.extend(START_SYSTEM_TIME.to_le_bytes().repeat(4));
            entry.extend(size.to_le_bytes());
            entry.extend(size.next_multiple_of(CLUSTER).to_le_bytes());
            entry.extend(attributes.to_le_bytes());
        }
        entry.extend(length);
        // The bytes of extended attributes and a short name, of which there are none.
        entry.resize(self.head(), 0);
        entry.extend(name);
        entry
    }
}

/// Entries for a buffer of `room` bytes: as many as fit, or one. The status is BUFFER_OVERFLOW
/// if not even the first fits whole.
pub(super) fn form(
    listing: &mut Listing,
    members: &[Member],
    pattern: Option<String>,
    kind: Kind,
    single: bool,
    room: usize,
) -> Result<(NtStatus, Vec<u8>), NtStatus> {
    if room < kind.head() {
        return Err(NtStatus::INFO_LENGTH_MISMATCH);
    }
    let is_first = !listing.has_begun;
    if is_first {
        listing.has_begun = true;
        listing.pattern = pattern
            .filter(|pattern| !pattern.is_empty())
            .map(|pattern| {
                pattern
                    .encode_utf16()
                    .map(crate::rtl::upcase_unit)
                    .collect()
            });
    }
    let (mut all, mut last) = (Vec::new(), 0);
    while let Some(member) = members.get(listing.next) {
        let is_wanted = listing.pattern.as_ref().is_none_or(|pattern| {
            let name: Vec<u16> = member.name.encode_utf16().collect();
            fsrtl::is_name_in_expression(pattern, &name)
        });
        if !is_wanted {
            listing.next += 1;
            continue;
        }
        let at = all.len().next_multiple_of(8);
        let mut entry = kind.entry(member);
        if at + entry.len() > room {
            if !all.is_empty() {
                break;
            }
            listing.next += 1;
            entry.truncate(room);
            return Ok((NtStatus::BUFFER_OVERFLOW, entry));
        }
        listing.next += 1;
        if !all.is_empty() {
            all[last..last + 4].copy_from_slice(&((at - last) as u32).to_le_bytes());
        }
        last = at;
        all.resize(at, 0);
        all.extend(entry);
        if single {
            break;
        }
    }
    match (all.is_empty(), is_first) {
        (false, _) => Ok((NtStatus::SUCCESS, all)),
        (true, true) => Err(NtStatus::NO_SUCH_FILE),
        (true, false) => Err(NtStatus::NO_MORE_FILES),
    }
}

/// What is asked about the drive: `FileFsVolumeInformation`, `FileFsSizeInformation`,
/// `FileFsAttributeInformation`, `FileFsFullSizeInformation`.
pub(super) fn volume_form(
    class: u32,
    room: usize,
    all: u64,
    used: u64,
) -> Result<(NtStatus, Vec<u8>), NtStatus> {
    let (total, free) = (all / CLUSTER, all.saturating_sub(used) / CLUSTER);
    let per_cluster = ((CLUSTER / SECTOR) as u32).to_le_bytes();
    let sector = (SECTOR as u32).to_le_bytes();
    // What the caller's buffer has to hold at least, and what there is to tell.
    let (least, mut bytes) = match class {
        1 => {
            let time = START_SYSTEM_TIME.to_le_bytes();
            // No label, and no identifiers of objects.
            (24, [&time[..], &SERIAL.to_le_bytes(), &[0; 6]].concat())
        }
        3 => {
            let sizes = [total.to_le_bytes(), free.to_le_bytes()].concat();
            (24, [&sizes[..], &per_cluster, &sector].concat())
        }
        5 => {
            let name: Vec<u8> = FILE_SYSTEM
                .encode_utf16()
                .flat_map(u16::to_le_bytes)
                .collect();
            let head = [ATTRIBUTES, LONGEST_COMPONENT, name.len() as u32];
            let head: Vec<u8> = head.into_iter().flat_map(u32::to_le_bytes).collect();
            (16, [head, name].concat())
        }
        7 => {
            let free = free.to_le_bytes();
            let sizes = [total.to_le_bytes(), free, free].concat();
            (32, [&sizes[..], &per_cluster, &sector].concat())
        }
        _ => return Err(NtStatus::INVALID_INFO_CLASS),
    };
    if room < least {
        return Err(NtStatus::INFO_LENGTH_MISMATCH);
    }
    let status = if bytes.len() > room {
        NtStatus::BUFFER_OVERFLOW
    } else {
        NtStatus::SUCCESS
    };
    bytes.truncate(room);
    Ok((status, bytes))
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    fn members() -> Vec<Member> {
        [
            (".", None),
            ("a.sys", Some(5)),
            ("b.txt", Some(0)),
            ("c.sys", Some(9)),
        ]
        .map(|(name, bytes)| Member {
            name: name.to_string(),
            bytes,
        })
        .to_vec()
    }

    fn names(bytes: &[u8], kind: Kind) -> Vec<String> {
        let (mut names, mut at) = (Vec::new(), 0);
        loop {
            let word = |offset: usize| {
                let bytes = bytes[at + offset..][..4].try_into().unwrap();
                u32::from_le_bytes(bytes) as usize
            };
            let length = word(if kind == Kind::Names { 8 } else { 60 });
            let name = &bytes[at + kind.head()..][..length];
            let units = name
                .chunks(2)
                .map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
            names.push(String::from_utf16(&units.collect::<Vec<_>>()).unwrap());
            match word(0) {
                0 => return names,
                next => at += next,
            }
        }
    }

    #[test]
    fn a_directory_is_listed_in_every_form_to_its_end() {
        for class in [1, 2, 3, 12] {
            let kind = Kind::of_class(class).unwrap();
            let mut listing = Listing::default();
            let mut list = || form(&mut listing, &members(), None, kind, false, 4096);
            let (status, bytes) = list().unwrap();
            assert_eq!(status, NtStatus::SUCCESS);
            assert_eq!(names(&bytes, kind), [".", "a.sys", "b.txt", "c.sys"]);
            assert_eq!(list(), Err(NtStatus::NO_MORE_FILES));
        }
        assert_eq!(Kind::of_class(4), Err(NtStatus::INVALID_INFO_CLASS));
    }

    #[test]
    fn the_pattern_of_the_first_call_counts_and_a_restart_begins_again() {
        let mut listing = Listing::default();
        let kind = Kind::Names;
        let pattern = Some("*.SYS".to_string());
        let (_, bytes) = form(&mut listing, &members(), pattern, kind, true, 64).unwrap();
        assert_eq!(names(&bytes, kind), ["a.sys"]);
        let other = Some("*".to_string());
        let (_, bytes) = form(&mut listing, &members(), other, kind, false, 64).unwrap();
        assert_eq!(names(&bytes, kind), ["c.sys"]);
        listing.restart();
        let (_, bytes) = form(&mut listing, &members(), None, kind, false, 64).unwrap();
        assert_eq!(names(&bytes, kind), ["a.sys", "c.sys"]);
    }

    #[test]
    fn what_does_not_fit_is_told_by_the_next_call_or_cut() {
        let mut listing = Listing::default();
        let kind = Kind::Names;
        let (_, bytes) = form(&mut listing, &members(), None, kind, false, 16).unwrap();
        assert_eq!(names(&bytes, kind), ["."]);
        let (status, bytes) = form(&mut listing, &members(), None, kind, false, 16).unwrap();
        assert_eq!((status, bytes.len()), (NtStatus::BUFFER_OVERFLOW, 16));
        let short = form(&mut listing, &members(), None, kind, false, 11);
        assert_eq!(short, Err(NtStatus::INFO_LENGTH_MISMATCH));
    }

    #[test]
    fn nothing_of_a_name_is_another_status_at_the_first_call() {
        let mut listing = Listing::default();
        let mut list = || {
            let pattern = Some("x".to_string());
            form(&mut listing, &members(), pattern, Kind::Both, false, 256)
        };
        assert_eq!(list(), Err(NtStatus::NO_SUCH_FILE));
        assert_eq!(list(), Err(NtStatus::NO_MORE_FILES));
    }

    #[test]
    fn a_drive_says_how_large_it_is_and_which_file_system_it_has() {
        let (_, size) = volume_form(3, 24, 1 << 20, 4096).unwrap();
        assert_eq!((size[0], size[8], size[16], size.len()), (0, 255, 8, 24));
        let (status, name) = volume_form(5, 16, 0, 0).unwrap();
        assert_eq!((status, name[8]), (NtStatus::BUFFER_OVERFLOW, 8));
        assert_eq!(volume_form(7, 32, 1 << 20, 0).unwrap().1.len(), 32);
        assert_eq!(volume_form(1, 24, 0, 0).unwrap().1.len(), 18);
        assert_eq!(
            volume_form(1, 23, 0, 0),
            Err(NtStatus::INFO_LENGTH_MISMATCH)
        );
        assert_eq!(volume_form(2, 99, 0, 0), Err(NtStatus::INVALID_INFO_CLASS));
    }
}
