//! Drive C:, whose files are in memory.
//!
//! It is a device with a driver of ours, so that names, handles and requests take the same way as
//! for any device; it exists from the first time that somebody names it. It begins with the
//! directories that every Windows has and with the files that the bench puts there; nothing
//! of the computer that dirql runs on can be seen.
//!
//! Not modelled: times and attributes of files (times are the system's start; names are told in lower
//! case), renaming, share access.
//!
//! Source: WDK reference, "IRP_MJ_CREATE", "IRP_MJ_QUERY_INFORMATION", wdm.FILE_STANDARD_INFORMATION,
//! wdm.FILE_BASIC_INFORMATION.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use dirql_abi::NtStatus;
use dirql_abi::device::{DriverObject, device_flags};
use dirql_abi::io::{create_disposition, create_result};
use dirql_abi::irp::{FileObject, IoStackLocation, Irp, major};
use dirql_abi::stack_parameters::{
    StackParametersCreate, StackParametersQueryDirectory, StackParametersQueryFile,
    StackParametersReadWrite, StackParametersSetFile,
};

use super::directory::{Kind, Listing, Member, form, volume_form};
use super::{WRITE_TO_END, ask, class};
use crate::io::DriverImage;
use crate::{Ddi, DriverPtr, Kernel, at};

/// The device's name and those that lead to it.
const DEVICE: &str = r"\Device\HarddiskVolume1";
const LINKS: [(&str, &str); 2] = [
    (r"\??\C:", DEVICE),
    (r"\SystemRoot", r"\Device\HarddiskVolume1\Windows"),
];

/// Beginnings of the names that lead here.
const BEGINNINGS: [&str; 5] = [
    r"\??\c:",
    r"\dosdevices\c:",
    r"\global??\c:",
    r"\systemroot",
    r"\device\harddiskvolume1",
];

const DIRECTORIES: [&str; 7] = [
    r"",
    r"\program files",
    r"\temp",
    r"\windows",
    r"\windows\system32",
    r"\windows\system32\drivers",
    r"\windows\temp",
];

/// FILE_DEVICE_DISK_FILE_SYSTEM.
const DISK_FILE_SYSTEM: u32 = 8;

/// FILE_DIRECTORY_FILE, FILE_NON_DIRECTORY_FILE, FILE_DELETE_ON_CLOSE.
const DIRECTORY_FILE: u32 = 1;
const NON_DIRECTORY_FILE: u32 = 0x40;
pub(super) const DELETE_ON_CLOSE: u32 = 0x1000;

/// FILE_ATTRIBUTE_DIRECTORY and FILE_ATTRIBUTE_NORMAL.
const ATTRIBUTE_DIRECTORY: u32 = 0x10;
const ATTRIBUTE_NORMAL: u32 = 0x80;

/// Bytes that all files may have together.
const MOST_BYTES: u64 = 256 << 20;

/// What is at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    Directory,
    File(Vec<u8>),
}

/// What is behind a file object.
#[derive(Clone, Debug)]
struct Open {
    path: String,
    delete: bool,
    /// How far it was listed.
    listing: Listing,
}

/// The state of the drive.
#[derive(Default)]
pub(in crate::io) struct Volume {
    device: Cell<u64>,
    entries: RefCell<BTreeMap<String, Entry>>,
    open: RefCell<BTreeMap<u64, Open>>,
}

/// Whether a name leads to the drive.
pub(super) fn is_on_drive(name: &str) -> bool {
    let lower = name.to_lowercase();
    BEGINNINGS.iter().any(|beginning| {
        lower
            .strip_prefix(beginning)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('\\'))
    })
}

fn parent(path: &str) -> &str {
    path.rfind('\\').map_or("", |at| &path[..at])
}

impl Volume {
    fn begin(&self) {
        let mut entries = self.entries.borrow_mut();
        for path in DIRECTORIES {
            entries.entry(path.to_string()).or_insert(Entry::Directory);
        }
    }

    fn bytes(&self) -> u64 {
        let entries = self.entries.borrow();
        let sizes = entries.values().map(|entry| match entry {
            Entry::Directory => 0,
            Entry::File(bytes) => bytes.len() as u64,
        });
        sizes.sum()
    }

    /// Opens or creates; what was done.
    fn create(&self, path: &str, disposition: u32, options: u32) -> Result<u64, NtStatus> {
        let mut entries = self.entries.borrow_mut();
        let wants_directory = options & DIRECTORY_FILE != 0;
        let Some(entry) = entries.get_mut(path) else {
            if matches!(
                disposition,
                create_disposition::FILE_OPEN | create_disposition::FILE_OVERWRITE
            ) {
                let known = entries.get(parent(path)) == Some(&Entry::Directory);
                return Err(if known {
                    NtStatus::OBJECT_NAME_NOT_FOUND
                } else {
                    NtStatus::OBJECT_PATH_NOT_FOUND
                });
            }
            if entries.get(parent(path)) != Some(&Entry::Directory) {
                return Err(NtStatus::OBJECT_PATH_NOT_FOUND);
            }
            let entry = if wants_directory {
                Entry::Directory
            } else {
                Entry::File(Vec::new())
            };
            entries.insert(path.to_string(), entry);
            return Ok(create_result::FILE_CREATED);
        };
        match (&*entry, disposition) {
            (_, create_disposition::FILE_CREATE) => Err(NtStatus::OBJECT_NAME_COLLISION),
            (Entry::Directory, _) if options & NON_DIRECTORY_FILE != 0 => {
                Err(NtStatus::FILE_IS_A_DIRECTORY)
            }
            (Entry::File(_), _) if wants_directory => Err(NtStatus::NOT_A_DIRECTORY),
            (_, create_disposition::FILE_OPEN | create_disposition::FILE_OPEN_IF) => {
                Ok(create_result::FILE_OPENED)
            }
            (Entry::Directory, _) => Err(NtStatus::INVALID_PARAMETER),
            (Entry::File(_), create_disposition::FILE_SUPERSEDE) => {
                *entry = Entry::File(Vec::new());
                Ok(create_result::FILE_SUPERSEDED)
            }
            (
                Entry::File(_),
                create_disposition::FILE_OVERWRITE | create_disposition::FILE_OVERWRITE_IF,
            ) => {
                *entry = Entry::File(Vec::new());
                Ok(create_result::FILE_OVERWRITTEN)
            }
            _ => Err(NtStatus::INVALID_PARAMETER),
        }
    }

    /// Has `change` change the bytes of an open file.
    fn with_bytes<R>(
        &self,
        file: u64,
        change: impl FnOnce(&mut Vec<u8>) -> Result<R, NtStatus>,
    ) -> Result<R, NtStatus> {
        let path = self.path(file)?;
        match self.entries.borrow_mut().get_mut(&path) {
            Some(Entry::File(bytes)) => change(bytes),
            _ => Err(NtStatus::INVALID_DEVICE_REQUEST),
        }
    }

    fn path(&self, file: u64) -> Result<String, NtStatus> {
        let open = self.open.borrow();
        let known = open.get(&file).ok_or(NtStatus::INVALID_HANDLE)?;
        Ok(known.path.clone())
    }

    fn write(&self, file: u64, offset: i64, data: &[u8]) -> Result<u64, NtStatus> {
        let room = MOST_BYTES.saturating_sub(self.bytes());
        self.with_bytes(file, |bytes| {
            let at = match offset {
                WRITE_TO_END => bytes.len() as u64,
                offset => u64::try_from(offset).map_err(|_| NtStatus::INVALID_PARAMETER)?,
            };
            let end = at.saturating_add(data.len() as u64);
            if end.saturating_sub(bytes.len() as u64) > room {
                return Err(NtStatus::DISK_FULL);
            }
            if end > bytes.len() as u64 {
                bytes.resize(end as usize, 0);
            }
            bytes[at as usize..end as usize].copy_from_slice(data);
            Ok(data.len() as u64)
        })
    }

    fn read(&self, file: u64, offset: i64, length: u32) -> Result<Vec<u8>, NtStatus> {
        self.with_bytes(file, |bytes| {
            let at = usize::try_from(offset).map_err(|_| NtStatus::INVALID_PARAMETER)?;
            if length > 0 && at >= bytes.len() {
                return Err(NtStatus::END_OF_FILE);
            }
            let end = at.saturating_add(length as usize).min(bytes.len());
            Ok(bytes.get(at..end).unwrap_or(&[]).to_vec())
        })
    }

    fn query(&self, file: u64, class: u32) -> Result<Vec<u8>, NtStatus> {
        let path = self.path(file)?;
        let delete = self
            .open
            .borrow()
            .get(&file)
            .is_some_and(|open| open.delete);
        let entries = self.entries.borrow();
        let entry = entries.get(&path).ok_or(NtStatus::OBJECT_NAME_NOT_FOUND)?;
        let (size, directory) = match entry {
            Entry::Directory => (0, true),
            Entry::File(bytes) => (bytes.len() as u64, false),
        };
        Ok(match class {
            class::BASIC => {
                let time = crate::ke::clock::START_SYSTEM_TIME.to_le_bytes();
                let attributes = if directory {
                    ATTRIBUTE_DIRECTORY
                } else {
                    ATTRIBUTE_NORMAL
                };
                [&time.repeat(4)[..], &attributes.to_le_bytes(), &[0; 4]].concat()
            }
            class::STANDARD => {
                let allocated = size.next_multiple_of(4096);
                let tail = [1, 0, 0, 0, u8::from(delete), u8::from(directory), 0, 0];
                [&allocated.to_le_bytes()[..], &size.to_le_bytes(), &tail].concat()
            }
            class::NAME => {
                let shown = if path.is_empty() { "\\" } else { &path };
                let units: Vec<u8> = shown.encode_utf16().flat_map(u16::to_le_bytes).collect();
                [&(units.len() as u32).to_le_bytes()[..], &units].concat()
            }
            _ => return Err(NtStatus::INVALID_PARAMETER),
        })
    }

    fn set(&self, file: u64, class: u32, data: &[u8]) -> Result<u64, NtStatus> {
        match class {
            class::BASIC => Ok(0),
            class::DISPOSITION => {
                let delete = data.first().is_some_and(|byte| *byte != 0);
                if let Some(open) = self.open.borrow_mut().get_mut(&file) {
                    open.delete = delete;
                }
                Ok(0)
            }
            class::END_OF_FILE => {
                let size = data.first_chunk().ok_or(NtStatus::INFO_LENGTH_MISMATCH)?;
                let size = u64::from_le_bytes(*size);
                if size > MOST_BYTES {
                    return Err(NtStatus::DISK_FULL);
                }
                self.with_bytes(file, |bytes| {
                    bytes.resize(size as usize, 0);
                    Ok(0)
                })
            }
            _ => Err(NtStatus::INVALID_PARAMETER),
        }
    }

    /// What is in a directory that is open, as many as fit: from where the last call ended.
    fn list(
        &self,
        file: u64,
        pattern: Option<String>,
        flags: u8,
        query: &StackParametersQueryDirectory,
    ) -> Result<(NtStatus, Vec<u8>), NtStatus> {
        let path = self.path(file)?;
        let entries = self.entries.borrow();
        if entries.get(&path) != Some(&Entry::Directory) {
            return Err(NtStatus::INVALID_PARAMETER);
        }
        let dots = if path.is_empty() {
            &[][..]
        } else {
            &[".", ".."]
        };
        let dots = dots.iter().map(|name| Member {
            name: (*name).to_string(),
            bytes: None,
        });
        let inside = entries
            .iter()
            .filter(|(other, _)| !other.is_empty() && parent(other) == path && **other != path);
        let inside = inside.map(|(other, entry)| Member {
            name: other[path.len() + 1..].to_string(),
            bytes: match entry {
                Entry::Directory => None,
                Entry::File(bytes) => Some(bytes.len() as u64),
            },
        });
        let members: Vec<Member> = dots.chain(inside).collect();
        let kind = Kind::of_class(query.file_information_class)?;
        let mut open = self.open.borrow_mut();
        let open = open.get_mut(&file).ok_or(NtStatus::INVALID_HANDLE)?;
        if flags & ask::RESTART_SCAN != 0 {
            open.listing.restart();
        }
        let single = flags & ask::SINGLE_ENTRY != 0;
        form(
            &mut open.listing,
            &members,
            pattern,
            kind,
            single,
            query.length as usize,
        )
    }

    /// What is asked about the drive itself.
    fn query_volume(&self, class: u32, room: usize) -> Result<(NtStatus, Vec<u8>), NtStatus> {
        volume_form(class, room, MOST_BYTES, self.bytes())
    }

    fn close(&self, file: u64) {
        if let Some(open) = self.open.borrow_mut().remove(&file)
            && open.delete
        {
            self.entries.borrow_mut().remove(&open.path);
        }
    }
}

impl Kernel {
    /// Puts a file on drive C: for drivers to find; `path` begins with a backslash. Directories
    /// on the way are made.
    pub fn put_file(&self, path: &str, bytes: Vec<u8>) {
        self.io.volume.begin();
        let path = path.to_lowercase();
        let mut entries = self.io.volume.entries.borrow_mut();
        for (at, _) in path.match_indices('\\') {
            entries
                .entry(path[..at].to_string())
                .or_insert(Entry::Directory);
        }
        entries.insert(path, Entry::File(bytes));
    }

    /// What a file on drive C: holds; `None` if there is none.
    #[must_use]
    pub fn file(&self, path: &str) -> Option<Vec<u8>> {
        match self.io.volume.entries.borrow().get(&path.to_lowercase()) {
            Some(Entry::File(bytes)) => Some(bytes.clone()),
            _ => None,
        }
    }

    /// Whether a device is the drive.
    pub(super) fn is_volume(&self, device: u64) -> bool {
        device != 0 && self.io.volume.device.get() == device
    }

    /// Where on the drive an open file is; `None` if it is elsewhere.
    pub(super) fn path_of_file(&self, file: u64) -> Option<String> {
        self.io.volume.path(file).ok()
    }

    /// What an open file of the drive holds; `None` if it is elsewhere.
    pub(crate) fn content_of_file(&self, file: u64) -> Option<Result<Vec<u8>, NtStatus>> {
        self.io.volume.path(file).ok()?;
        let content = self.io.volume.with_bytes(file, |bytes| Ok(bytes.clone()));
        Some(content.map_err(|_| NtStatus::INVALID_FILE_FOR_SECTION))
    }

    /// Writes to the beginning of an open file of the drive.
    pub(crate) fn change_content_of_file(&self, file: u64, data: &[u8]) {
        // A drive that is full loses what it has no room for, as a lazy writer does.
        let _ = self.io.volume.write(file, 0, data);
    }

    /// Makes the drive's device, if there is none yet.
    pub(super) fn mount_volume(&self) -> Ddi<()> {
        if self.io.volume.device.get() != 0 {
            return Ok(());
        }
        // It is no allocation of the driver that names it first.
        let ddi = self.report.suspend_ddi();
        let device = self.make_volume();
        self.report.resume_ddi(ddi);
        self.io.volume.device.set(device?);
        self.io.volume.begin();
        Ok(())
    }

    fn make_volume(&self) -> Ddi<u64> {
        let image = DriverImage {
            name: "dirql-volume".to_string(),
            base: 0,
            size: 0,
            entry: 0,
        };
        let Ok(driver) = self.create_driver(&image)? else {
            // The name is ours; only a driver of the same name, loaded first, can have it.
            return Err(crate::Stop::Ended);
        };
        let table = at!(
            DriverPtr::<DriverObject>::new(driver),
            DriverObject,
            major_function
        )
        .cast::<u64>();
        for function in [
            major::IRP_MJ_CREATE,
            major::IRP_MJ_CLOSE,
            major::IRP_MJ_CLEANUP,
            major::IRP_MJ_READ,
            major::IRP_MJ_WRITE,
            major::IRP_MJ_FLUSH_BUFFERS,
            major::IRP_MJ_QUERY_INFORMATION,
            major::IRP_MJ_SET_INFORMATION,
            major::IRP_MJ_QUERY_VOLUME_INFORMATION,
            major::IRP_MJ_DIRECTORY_CONTROL,
        ] {
            let routine = self.kernel_routine("dirql:VolumeRequest");
            self.write(table.element(usize::from(function)), routine)?;
        }
        let name = Some(String::from(DEVICE));
        let Ok(device) = self.create_device(driver, 0, name, DISK_FILE_SYSTEM, 0, 0)? else {
            return Err(crate::Stop::Ended);
        };
        self.change_device_flags(
            device,
            device_flags::DO_DEVICE_INITIALIZING,
            device_flags::DO_BUFFERED_IO,
        )?;
        for (link, target) in LINKS {
            // A driver may have taken the name; then it leads to that driver's device.
            let _ = self.link_insert(link, target);
        }
        Ok(device)
    }

    /// The drive's dispatch routine for everything.
    ///
    /// # Errors
    /// A request that is not memory.
    pub fn volume_request(&self, _device: u64, irp: u64) -> Ddi<NtStatus> {
        let stack = self.read(self.current_location(irp)?)?;
        let (status, information) = self.volume_answer(irp, &stack)?;
        let pointer = DriverPtr::<Irp>::new(irp);
        self.write(at!(pointer, Irp, io_status.status), status)?;
        self.write(at!(pointer, Irp, io_status.information), information)?;
        self.iof_complete_request(irp, 0)?;
        Ok(status)
    }

    /// The status, and `Information`.
    fn volume_answer(&self, irp: u64, stack: &IoStackLocation) -> Ddi<(NtStatus, u64)> {
        let volume = &self.io.volume;
        let file = stack.file_object;
        let buffer = self.read(at!(DriverPtr::<Irp>::new(irp), Irp, associated_irp))?;
        let done = match stack.major_function {
            major::IRP_MJ_CREATE => {
                let create = stack.parameters::<StackParametersCreate>();
                let name = at!(DriverPtr::<FileObject>::new(file), FileObject, file_name);
                let path = self.text_of(name)?.to_lowercase();
                let path = String::from(path.trim_end_matches('\\'));
                let options = create.options & 0xFF_FFFF;
                let done = volume.create(&path, create.options >> 24, options);
                if done.is_ok() {
                    let delete = options & DELETE_ON_CLOSE != 0;
                    volume.open.borrow_mut().insert(
                        file,
                        Open {
                            path,
                            delete,
                            listing: Listing::default(),
                        },
                    );
                }
                done
            }
            major::IRP_MJ_READ => {
                let read = stack.parameters::<StackParametersReadWrite>();
                match volume.read(file, read.byte_offset, read.length) {
                    Ok(data) => {
                        self.write_bytes(buffer, &data)?;
                        Ok(data.len() as u64)
                    }
                    Err(status) => Err(status),
                }
            }
            major::IRP_MJ_WRITE => {
                let write = stack.parameters::<StackParametersReadWrite>();
                let data = self.read_bytes(buffer, write.length as usize)?;
                volume.write(file, write.byte_offset, &data)
            }
            major::IRP_MJ_QUERY_INFORMATION => {
                let query = stack.parameters::<StackParametersQueryFile>();
                match volume.query(file, query.file_information_class) {
                    Ok(data) if data.len() > query.length as usize => {
                        Err(NtStatus::INFO_LENGTH_MISMATCH)
                    }
                    Ok(data) => {
                        self.write_bytes(buffer, &data)?;
                        Ok(data.len() as u64)
                    }
                    Err(status) => Err(status),
                }
            }
            major::IRP_MJ_SET_INFORMATION => {
                let set = stack.parameters::<StackParametersSetFile>();
                let data = self.read_bytes(buffer, set.length as usize)?;
                volume.set(file, set.file_information_class, &data)
            }
            major::IRP_MJ_QUERY_VOLUME_INFORMATION => {
                let query = stack.parameters::<StackParametersQueryFile>();
                let (class, room) = (query.file_information_class, query.length);
                match volume.query_volume(class, room as usize) {
                    Ok((status, data)) => {
                        self.write_bytes(buffer, &data)?;
                        return Ok((status, data.len() as u64));
                    }
                    Err(status) => Err(status),
                }
            }
            major::IRP_MJ_DIRECTORY_CONTROL => {
                let query = stack.parameters::<StackParametersQueryDirectory>();
                let pattern = if query.file_name == 0 {
                    None
                } else {
                    Some(self.text_of(DriverPtr::new(query.file_name))?)
                };
                match volume.list(file, pattern, stack.flags, &query) {
                    Ok((status, data)) => {
                        self.write_bytes(buffer, &data)?;
                        return Ok((status, data.len() as u64));
                    }
                    Err(status) => Err(status),
                }
            }
            major::IRP_MJ_CLOSE => {
                volume.close(file);
                Ok(0)
            }
            _ => Ok(0),
        };
        Ok(match done {
            Ok(information) => (NtStatus::SUCCESS, information),
            Err(status) => (status, 0),
        })
    }
}
