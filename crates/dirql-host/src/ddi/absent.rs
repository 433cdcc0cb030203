//! What this computer and its system do not have, said by the routines that ask for it: silos, a
//! hypervisor, tables of the firmware, processes that are protected lightly, remote files.

use dirql_abi::NtStatus;
use dirql_kernel::DriverPtr;

use super::{Nothing, exports};

/// `FirmwareTypeBios`.
const BIOS: u32 = 1;

/// What a hypervisor is asked with: four registers.
type Leaf = DriverPtr<[u32; 4]>;

exports! {
    // There is the host's silo alone, which is NULL.
    fn PsGetCurrentSilo() -> u64 = |_k| Ok(0);
    fn PsGetCurrentServerSilo() -> u64 = |_k| Ok(0);
    fn PsGetHostSilo() -> u64 = |_k| Ok(0);
    fn PsGetEffectiveServerSilo(_silo: u64) -> u64 = |_k| Ok(0);
    fn PsGetThreadServerSilo(_thread: u64) -> u64 = |_k| Ok(0);
    fn PsGetJobServerSilo(_job: u64, silo: DriverPtr<u64>) -> NtStatus
        = |k| Ok(k.write(silo, 0).map(|()| NtStatus::SUCCESS)?);
    fn PsIsHostSilo(silo: u64) -> u8 = |_k| Ok(u8::from(silo == 0));
    fn PsAttachSiloToCurrentThread(_silo: u64) -> u64 = |_k| Ok(0);
    fn PsDetachSiloFromCurrentThread(_before: u64) -> Nothing = |_k| Ok(Nothing::from(()));

    fn HviIsAnyHypervisorPresent() -> u8 = |_k| Ok(0);
    fn HviIsHypervisorMicrosoftCompatible() -> u8 = |_k| Ok(0);
    fn HviIsHypervisorVendorMicrosoft() -> u8 = |_k| Ok(0);
    fn HviIsIommuInUse() -> u8 = |_k| Ok(0);
    fn HviGetHypervisorVendorAndMaxFunction(leaf: Leaf) -> Nothing = |k| Ok(k.write(leaf, [0; 4]).map(Nothing::from)?);
    fn HviGetHypervisorInterface(leaf: Leaf) -> Nothing = |k| Ok(k.write(leaf, [0; 4]).map(Nothing::from)?);
    fn HviGetHypervisorVersion(leaf: Leaf) -> Nothing = |k| Ok(k.write(leaf, [0; 4]).map(Nothing::from)?);
    fn HviGetHypervisorFeatures(leaf: Leaf) -> Nothing = |k| Ok(k.write(leaf, [0; 4]).map(Nothing::from)?);

    fn ExGetFirmwareType() -> u32 = |_k| Ok(BIOS);
    fn ExEnumerateSystemFirmwareTables(_provider: u32, _buffer: u64, _length: u32, _returned: u64) -> NtStatus
        = |_k| Ok(NtStatus::NOT_IMPLEMENTED);
    fn ExGetSystemFirmwareTable(_provider: u32, _table: u32, _buffer: u64, _length: u32, _returned: u64) -> NtStatus
        = |_k| Ok(NtStatus::NOT_IMPLEMENTED);
    fn ExIsSoftBoot() -> u8 = |_k| Ok(0);
    fn ExIsManufacturingModeEnabled() -> u8 = |_k| Ok(0);
    fn KeConvertAuxiliaryCounterToPerformanceCounter(_value: u64, _converted: u64, _error: u64) -> NtStatus
        = |_k| Ok(NtStatus::NOT_SUPPORTED);
    fn KeConvertPerformanceCounterToAuxiliaryCounter(_value: u64, _converted: u64, _error: u64) -> NtStatus
        = |_k| Ok(NtStatus::NOT_SUPPORTED);

    // The system's process is protected, and not lightly.
    fn PsIsProtectedProcess(_process: u64) -> u8 = |_k| Ok(1);
    fn PsIsProtectedProcessLight(_process: u64) -> u8 = |_k| Ok(0);
    // All requests come from this computer, from its only session, and no 32-bit process.
    fn IoIsFileOriginRemote(_file: u64) -> u8 = |_k| Ok(0);
    fn IoIsInitiator32bitProcess(_irp: u64) -> u8 = |_k| Ok(0);
    fn IoGetInitiatorProcess(_file: u64) -> u64 = |_k| Ok(0);
    fn IoGetRequestorSessionId(_irp: u64, session: DriverPtr<u32>) -> NtStatus
        = |k| Ok(k.write(session, 0).map(|()| NtStatus::SUCCESS)?);
    // No request of the power manager is watched.
    fn PoQueryWatchdogTime(_device: u64, _seconds: u64) -> u8 = |_k| Ok(0);
    // The system speaks English.
    fn ZwQueryDefaultLocale(_user: u8, locale: DriverPtr<u32>) -> NtStatus
        = |k| Ok(k.write(locale, 0x409).map(|()| NtStatus::SUCCESS)?);
    fn ZwQueryDefaultUILanguage(language: DriverPtr<u16>) -> NtStatus
        = |k| Ok(k.write(language, 0x409).map(|()| NtStatus::SUCCESS)?);
    fn ZwQueryInstallUILanguage(language: DriverPtr<u16>) -> NtStatus
        = |k| Ok(k.write(language, 0x409).map(|()| NtStatus::SUCCESS)?);
    // Nobody has caches that would be seen.
    fn KeInvalidateRangeAllCaches(_address: u64, _bytes: u64) -> Nothing = |_k| Ok(Nothing::from(()));
    fn ZwFlushInstructionCache(_process: u64, _address: u64, _bytes: u64) -> NtStatus = |_k| Ok(NtStatus::SUCCESS);
    fn RtlPrefetchMemoryNonTemporal(_address: u64, _bytes: u64) -> Nothing = |_k| Ok(Nothing::from(()));
}
