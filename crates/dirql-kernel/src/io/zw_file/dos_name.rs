//! Names as users know them: of drives, and of files on them.
//!
//! Source: WDK reference, wdm.IoVolumeDeviceToDosName, ntddk.RtlVolumeDeviceToDosName,
//! ntifs.IoQueryFileDosDeviceName.

use alloc::string::String;
use alloc::vec::Vec;

use dirql_abi::NtStatus;
use dirql_abi::string::UnicodeString;

use crate::{Ddi, DriverPtr, Kernel};

const DRIVE: &str = "C:";

/// Tag of the names, which the caller frees.
const TAG: u32 = u32::from_le_bytes(*b"IoDn");

const HEADER: u64 = size_of::<UnicodeString>() as u64;

impl Kernel {
    /// `NTSTATUS IoVolumeDeviceToDosName(PVOID VolumeDeviceObject, PUNICODE_STRING DosName)`, and
    /// `RtlVolumeDeviceToDosName`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: the name, in pool that the caller frees; OBJECT_NAME_NOT_FOUND for a device that is no
    ///   drive's; INSUFFICIENT_RESOURCES.
    /// - Source: WDK reference, wdm.IoVolumeDeviceToDosName.
    ///
    /// # Errors
    /// The result is not memory.
    pub fn io_volume_device_to_dos_name(
        &self,
        device: u64,
        name: DriverPtr<UnicodeString>,
    ) -> Ddi<NtStatus> {
        if !self.is_volume(device) {
            return Ok(NtStatus::OBJECT_NAME_NOT_FOUND);
        }
        let units: Vec<u16> = DRIVE.encode_utf16().collect();
        let buffer = self.dos_name_buffer(0, &units)?;
        if buffer == 0 {
            return Ok(NtStatus::INSUFFICIENT_RESOURCES);
        }
        self.write(name, header(&units, buffer))?;
        Ok(NtStatus::SUCCESS)
    }

    /// `NTSTATUS IoQueryFileDosDeviceName(PFILE_OBJECT, POBJECT_NAME_INFORMATION *)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: the name, in pool that the caller frees; OBJECT_NAME_NOT_FOUND for a file that is on no
    ///   drive; INSUFFICIENT_RESOURCES.
    /// - Source: WDK reference, ntifs.IoQueryFileDosDeviceName.
    ///
    /// # Errors
    /// The result is not memory.
    pub fn io_query_file_dos_device_name(
        &self,
        file: u64,
        result: DriverPtr<u64>,
    ) -> Ddi<NtStatus> {
        let Some(path) = self.path_of_file(file) else {
            return Ok(NtStatus::OBJECT_NAME_NOT_FOUND);
        };
        let whole: String = [DRIVE, &path].concat();
        let units: Vec<u16> = whole.encode_utf16().collect();
        let memory = self.dos_name_buffer(HEADER, &units)?;
        if memory == 0 {
            return Ok(NtStatus::INSUFFICIENT_RESOURCES);
        }
        self.write(DriverPtr::new(memory), header(&units, memory + HEADER))?;
        self.write(result, memory)?;
        Ok(NtStatus::SUCCESS)
    }

    /// Pool with the units and a terminator, behind so many bytes; 0 if there is none.
    fn dos_name_buffer(&self, before: u64, units: &[u16]) -> Ddi<u64> {
        let bytes: Vec<u8> = units
            .iter()
            .chain(&[0])
            .flat_map(|unit| unit.to_le_bytes())
            .collect();
        let memory = self.pool_allocate(1, before + bytes.len() as u64, TAG)?;
        if memory != 0 {
            self.write_bytes(memory + before, &bytes)?;
        }
        Ok(memory)
    }
}

fn header(units: &[u16], buffer: u64) -> UnicodeString {
    let length = 2 * units.len() as u16;
    UnicodeString {
        length,
        maximum_length: length + 2,
        padding4: 0,
        buffer,
    }
}
