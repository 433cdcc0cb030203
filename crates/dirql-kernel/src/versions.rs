//! Which Windows has which routine, and which Version of `IoConnectInterruptEx` it takes.
//!
//! A driver that imports a name which its Windows lacks is not loaded; one that looks the
//! name up gets NULL and does without. Source of each row: the routine's page in the WDK
//! reference, Requirements, "Minimum supported client". A name without a row is in every
//! version from Windows XP x64 on, which has the kernel of Windows Server 2003.

use alloc::string::String;

use dirql_abi::interrupt::connect_version;
use dirql_abi::string::UnicodeString;

use crate::WindowsVersion::{Eight, EightOne, Seven, Ten, Vista};
use crate::{Ddi, DriverPtr, Kernel, WindowsVersion};

/// The longest name that is looked up, in UTF-16 units. Longer ones are no routine's.
const LONGEST_NAME: usize = 256;

/// What wmilib.sys exports; it is neither the kernel nor the HAL.
const WMILIB: &[&str] = &["WmiCompleteRequest", "WmiFireEvent", "WmiSystemControl"];

/// Routines that came after Windows Server 2003, sorted by name, with the first version
/// that has each.
#[rustfmt::skip] // read as a table
const SINCE: &[(&str, WindowsVersion)] = &[
    ("CmCallbackGetKeyObjectID",              Vista),
    ("CmCallbackGetKeyObjectIDEx",            Eight),
    ("CmCallbackReleaseKeyObjectIDEx",        Eight),
    ("CmGetBoundTransaction",                 Vista),
    ("CmGetCallbackVersion",                  Vista),
    ("CmRegisterCallbackEx",                  Vista),
    ("CmSetCallbackObjectContext",            Vista),
    ("EtwActivityIdControl",                  Vista),
    ("EtwEventEnabled",                       Vista),
    ("EtwProviderEnabled",                    Vista),
    ("EtwRegister",                           Vista),
    ("EtwSetInformation",                     Ten),
    ("EtwUnregister",                         Vista),
    ("EtwWrite",                              Vista),
    ("EtwWriteEx",                            Seven),
    ("EtwWriteString",                        Vista),
    ("EtwWriteTransfer",                      Vista),
    ("ExAcquirePushLockExclusiveEx",          Ten),
    ("ExAcquirePushLockSharedEx",             Ten),
    ("ExAcquireRundownProtectionCacheAware",  Vista),
    ("ExAcquireSpinLockExclusive",            Vista),
    ("ExAcquireSpinLockExclusiveAtDpcLevel",  Vista),
    ("ExAcquireSpinLockShared",               Vista),
    ("ExAcquireSpinLockSharedAtDpcLevel",     Vista),
    ("ExAllocateCacheAwareRundownProtection", Vista),
    ("ExAllocatePool2",                       Ten),
    ("ExAllocatePool3",                       Ten),
    ("ExAllocateTimer",                       EightOne),
    ("ExCancelTimer",                         EightOne),
    ("ExDeleteLookasideListEx",               Vista),
    ("ExDeleteTimer",                         EightOne),
    ("ExEnterCriticalRegionAndAcquireResourceExclusive", Vista),
    ("ExEnterCriticalRegionAndAcquireResourceShared", Vista),
    ("ExEnumerateSystemFirmwareTables",        Ten),
    ("ExFlushLookasideListEx",                Vista),
    ("ExFreeCacheAwareRundownProtection",     Vista),
    ("ExFreePool2",                           Ten),
    ("ExGetFirmwareEnvironmentVariable",      Eight),
    ("ExGetFirmwareType",                      Eight),
    ("ExGetSystemFirmwareTable",               Ten),
    ("ExInitializeLookasideListEx",           Vista),
    ("ExInitializePushLock",                  Vista),
    ("ExIsManufacturingModeEnabled",           Ten),
    ("ExIsSoftBoot",                           Ten),
    ("ExQueryTimerResolution",                Eight),
    ("ExReleasePushLockEx",                   Ten),
    ("ExReleasePushLockExclusiveEx",          Ten),
    ("ExReleasePushLockSharedEx",             Ten),
    ("ExReleaseResourceAndLeaveCriticalRegion", Vista),
    ("ExReleaseRundownProtectionCacheAware",  Vista),
    ("ExReleaseSpinLockExclusive",            Vista),
    ("ExReleaseSpinLockExclusiveFromDpcLevel", Vista),
    ("ExReleaseSpinLockShared",               Vista),
    ("ExReleaseSpinLockSharedFromDpcLevel",   Vista),
    ("ExSetFirmwareEnvironmentVariable",      Eight),
    ("ExSetTimer",                            EightOne),
    ("ExTryAcquirePushLockExclusiveEx",       Ten),
    ("ExTryAcquirePushLockSharedEx",          Ten),
    ("ExTryAcquireSpinLockExclusiveAtDpcLevel", Eight),
    ("ExTryAcquireSpinLockSharedAtDpcLevel",  Eight),
    ("ExTryConvertSharedSpinLockExclusive",   Vista),
    ("ExfReleasePushLockExclusive",           Vista),
    ("ExfReleasePushLockShared",              Vista),
    ("ExfTryAcquirePushLockShared",           Vista),
    ("HalAllocateHardwareCounters",           Seven),
    ("HalFreeHardwareCounters",               Seven),
    ("HviGetHypervisorFeatures",               Ten),
    ("HviGetHypervisorInterface",              Ten),
    ("HviGetHypervisorVendorAndMaxFunction",   Ten),
    ("HviGetHypervisorVersion",                Ten),
    ("HviIsAnyHypervisorPresent",              Ten),
    ("HviIsHypervisorMicrosoftCompatible",     Ten),
    ("HviIsHypervisorVendorMicrosoft",         Ten),
    ("HviIsIommuInUse",                        Ten),
    ("IoAllocateIrpEx",                        Ten),
    ("IoClearActivityIdThread",               Eight),
    ("IoConnectInterruptEx",                  Vista),
    ("IoDisconnectInterruptEx",               Vista),
    ("IoGetActivityIdIrp",                    Eight),
    ("IoGetActivityIdThread",                 Eight),
    ("IoGetAffinityInterrupt",                Seven),
    ("IoGetContainerInformation",             Seven),
    ("IoGetDeviceDirectory",                  Ten),
    ("IoGetDeviceInterfacePropertyData",      Eight),
    ("IoGetDeviceNumaNode",                   Vista),
    ("IoGetDevicePropertyData",               Vista),
    ("IoGetDriverDirectory",                  Ten),
    ("IoGetInitiatorProcess",                  Eight),
    ("IoGetIoPriorityHint",                   Vista),
    ("IoGetRequestorSessionId",                Vista),
    ("IoInitializeWorkItem",                  Vista),
    ("IoIsInitiator32bitProcess",              Ten),
    ("IoOpenDriverRegistryKey",               Eight),
    ("IoPropagateActivityIdToThread",         Eight),
    ("IoQueueWorkItemEx",                     Vista),
    ("IoRegisterBootDriverCallback",          Eight),
    ("IoRegisterContainerNotification",       Seven),
    ("IoReplaceFileObjectName",               Seven),
    ("IoReportInterruptActive",               Eight),
    ("IoReportInterruptInactive",             Eight),
    ("IoRequestDeviceEjectEx",                Seven),
    ("IoSetActivityIdIrp",                    Eight),
    ("IoSetActivityIdThread",                 Eight),
    ("IoSetDeviceInterfacePropertyData",      Eight),
    ("IoSetDevicePropertyData",               Vista),
    ("IoSetIoPriorityHint",                   Vista),
    ("IoSetMasterIrpStatus",                  Eight),
    ("IoSizeofWorkItem",                      Vista),
    ("IoTransferActivityId",                  Eight),
    ("IoTryQueueWorkItem",                     Ten),
    ("IoUninitializeWorkItem",                Vista),
    ("IoUnregisterBootDriverCallback",        Eight),
    ("IoUnregisterContainerNotification",     Seven),
    ("IoUnregisterPlugPlayNotificationEx",    Seven),
    ("KeAcquireInStackQueuedSpinLockForDpc",  Vista),
    ("KeAcquireSpinLockForDpc",               Vista),
    ("KeConvertAuxiliaryCounterToPerformanceCounter", Ten),
    ("KeConvertPerformanceCounterToAuxiliaryCounter", Ten),
    ("KeDeregisterProcessorChangeCallback",   Vista),
    ("KeExpandKernelStackAndCalloutEx",       Vista),
    ("KeGetCurrentNodeNumber",                Seven),
    ("KeGetCurrentProcessorNumberEx",         Seven),
    ("KeGetProcessorIndexFromNumber",         Seven),
    ("KeGetProcessorNumberFromIndex",         Seven),
    ("KeInitializeThreadedDpc",               Vista),
    ("KeQueryActiveGroupCount",               Seven),
    ("KeQueryActiveProcessorCount",           Vista),
    ("KeQueryActiveProcessorCountEx",         Seven),
    ("KeQueryDpcWatchdogInformation",         Vista),
    ("KeQueryGroupAffinity",                  Seven),
    ("KeQueryHardwareCounterConfiguration",   Seven),
    ("KeQueryHighestNodeNumber",              Seven),
    ("KeQueryInterruptTimePrecise",           EightOne),
    ("KeQueryLogicalProcessorRelationship",   Seven),
    ("KeQueryMaximumGroupCount",              Seven),
    ("KeQueryMaximumProcessorCount",          Vista),
    ("KeQueryMaximumProcessorCountEx",        Seven),
    ("KeQueryNodeActiveAffinity",             Seven),
    ("KeQueryNodeMaximumProcessorCount",      Seven),
    ("KeQuerySystemTimePrecise",              Eight),
    ("KeQueryTotalCycleTimeThread",           Seven),
    ("KeQueryUnbiasedInterruptTime",          Seven),
    ("KeRegisterProcessorChangeCallback",     Vista),
    ("KeReleaseInStackQueuedSpinLockForDpc",  Vista),
    ("KeReleaseSpinLockForDpc",               Vista),
    ("KeRestoreExtendedProcessorState",       Seven),
    ("KeRevertToUserAffinityThreadEx",        Vista),
    ("KeRevertToUserGroupAffinityThread",     Seven),
    ("KeSaveExtendedProcessorState",          Seven),
    ("KeSetCoalescableTimer",                 Seven),
    ("KeSetHardwareCounterConfiguration",     Seven),
    ("KeSetSystemAffinityThreadEx",           Vista),
    ("KeSetSystemGroupAffinityThread",        Seven),
    ("KeSetTargetProcessorDpcEx",             Seven),
    ("MmAllocateContiguousMemoryEx",          Ten),
    ("MmAllocateContiguousMemorySpecifyCacheNode", Vista),
    ("MmAllocateContiguousNodeMemory",        Eight),
    ("MmAllocateMdlForIoSpace",                Eight),
    ("MmAllocateNodePagesForMdlEx",           Eight),
    ("MmCopyMemory",                          EightOne),
    ("MmGetPhysicalMemoryRangesEx",            Ten),
    ("MmGetPhysicalMemoryRangesEx2",           Ten),
    ("MmIsDriverSuspectForVerifier",           Eight),
    ("MmMapIoSpaceEx",                        Ten),
    ("MmMapMdl",                               Ten),
    ("ObGetFilterVersion",                    Vista),
    ("ObGetObjectType",                        Seven),
    ("ObOpenObjectByPointerWithTag",           Seven),
    ("ObReferenceObjectByHandleWithTag",      Seven),
    ("ObReferenceObjectByPointerWithTag",     Seven),
    ("ObRegisterCallbacks",                   Vista),
    ("ObUnRegisterCallbacks",                 Vista),
    ("ObfDereferenceObjectWithTag",           Seven),
    ("ObfReferenceObjectWithTag",             Seven),
    ("PoClearPowerRequest",                   Seven),
    ("PoCreatePowerRequest",                  Seven),
    ("PoDeletePowerRequest",                  Seven),
    ("PoEndDeviceBusy",                        Seven),
    ("PoFxActivateComponent",                 Eight),
    ("PoFxCompleteDevicePowerNotRequired",    Eight),
    ("PoFxCompleteIdleCondition",             Eight),
    ("PoFxCompleteIdleState",                 Eight),
    ("PoFxIdleComponent",                     Eight),
    ("PoFxNotifySurprisePowerOn",             Eight),
    ("PoFxPowerControl",                      Eight),
    ("PoFxRegisterDevice",                    Eight),
    ("PoFxReportDevicePoweredOn",             Eight),
    ("PoFxSetComponentLatency",               Eight),
    ("PoFxSetComponentResidency",             Eight),
    ("PoFxSetComponentWake",                  Eight),
    ("PoFxSetDeviceIdleTimeout",              Eight),
    ("PoFxStartDevicePowerManagement",        Eight),
    ("PoFxUnregisterDevice",                  Eight),
    ("PoGetSystemWake",                       Vista),
    ("PoQueryWatchdogTime",                    Seven),
    ("PoRegisterPowerSettingCallback",        Vista),
    ("PoSetDeviceBusyEx",                      Seven),
    ("PoSetPowerRequest",                     Seven),
    ("PoSetSystemWake",                       Vista),
    ("PoSetSystemWakeDevice",                 Ten),
    ("PoStartDeviceBusy",                      Seven),
    ("PoUnregisterPowerSettingCallback",      Vista),
    ("PsAttachSiloToCurrentThread",            Ten),
    ("PsDetachSiloFromCurrentThread",          Ten),
    ("PsGetCurrentServerSilo",                 Ten),
    ("PsGetCurrentSilo",                       Ten),
    ("PsGetEffectiveServerSilo",               Ten),
    ("PsGetHostSilo",                          Ten),
    ("PsGetJobServerSilo",                     Ten),
    ("PsGetThreadServerSilo",                  Ten),
    ("PsIsHostSilo",                           Ten),
    ("PsIsProtectedProcess",                   Vista),
    ("PsIsProtectedProcessLight",              EightOne),
    ("PsSetCreateProcessNotifyRoutineEx",     Vista),
    ("PsSetCreateThreadNotifyRoutineEx",      Ten),
    ("PsSetLoadImageNotifyRoutineEx",         Ten),
    ("RtlCompareUnicodeStrings",               Vista),
    ("RtlCrc32",                              Ten),
    ("RtlCrc64",                              Ten),
    ("RtlDeleteElementGenericTableAvlEx",     Eight),
    ("RtlFreeUTF8String",                     Ten),
    ("RtlInitUTF8String",                     Ten),
    ("RtlLookupFirstMatchingElementGenericTableAvl", Vista),
    ("RtlRunOnceBeginInitialize",             Vista),
    ("RtlRunOnceComplete",                    Vista),
    ("RtlRunOnceExecuteOnce",                 Vista),
    ("RtlRunOnceInitialize",                  Vista),
    ("RtlUTF8StringToUnicodeString",          Ten),
    ("RtlUTF8ToUnicodeN",                     Seven),
    ("RtlUnicodeStringToUTF8String",          Ten),
    ("RtlUnicodeToUTF8N",                     Seven),
    ("SeTokenIsWriteRestricted",               Vista),
    ("_i64toa_s",                             Vista),
    ("_i64tow_s",                             Vista),
    ("_itoa_s",                               Vista),
    ("_itow_s",                               Vista),
    ("_ltoa_s",                               Vista),
    ("_ltow_s",                               Vista),
    ("_makepath_s",                           Vista),
    ("_snscanf_s",                            Vista),
    ("_snwscanf_s",                           Vista),
    ("_splitpath_s",                          Vista),
    ("_strnset_s",                            Vista),
    ("_strset_s",                             Vista),
    ("_strtoui64",                            Vista),
    ("_ui64toa_s",                            Vista),
    ("_ui64tow_s",                            Vista),
    ("_ultoa_s",                              Vista),
    ("_ultow_s",                              Vista),
    ("_wcsnset_s",                            Vista),
    ("_wcsset_s",                             Vista),
    ("_wmakepath_s",                          Vista),
    ("_wsplitpath_s",                         Vista),
    ("memcpy_s",                              Vista),
    ("memmove_s",                             Vista),
    ("sscanf_s",                              Vista),
    ("strtok_s",                              Vista),
    ("swscanf_s",                             Vista),
    ("wcstok_s",                              Vista),
];

/// Each Version of `IoConnectInterruptEx`, and the first Windows whose routine takes it. What it
/// does not take becomes the highest that it does.
///
/// Source: wdm.h, comments on CONNECT_CURRENT_VERSION: 3 with Windows Vista, 4 with Windows 7.
/// Version 5 is in newer headers only; passive-level ISRs came with Windows 8, so it is taken
/// from there on (note N0120).
#[rustfmt::skip] // read as a table
const CONNECT_VERSIONS: [(u32, WindowsVersion); 5] = [
    (connect_version::CONNECT_FULLY_SPECIFIED,       Vista),
    (connect_version::CONNECT_LINE_BASED,            Vista),
    (connect_version::CONNECT_MESSAGE_BASED,         Vista),
    (connect_version::CONNECT_FULLY_SPECIFIED_GROUP, Seven),
    (connect_version::CONNECT_MESSAGE_BASED_PASSIVE, Eight),
];

/// Whether the routine of `windows` takes `version`.
#[must_use]
pub fn takes_connect_version(windows: WindowsVersion, version: u32) -> bool {
    CONNECT_VERSIONS
        .iter()
        .any(|(known, since)| *known == version && windows >= *since)
}

/// The highest Version that it takes. A Windows without the routine answers as the first one
/// that has it.
#[must_use]
pub fn highest_connect_version(windows: WindowsVersion) -> u32 {
    let since = windows.max(Vista);
    let known = CONNECT_VERSIONS
        .iter()
        .filter(|(_, first)| since >= *first)
        .map(|(version, _)| *version);
    known
        .max()
        .unwrap_or(connect_version::CONNECT_FULLY_SPECIFIED)
}

/// Whether `windows` has the routine `name`, which is one that some version has.
#[must_use]
pub fn exists(name: &str, windows: WindowsVersion) -> bool {
    match SINCE.binary_search_by_key(&name, |(name, _)| name) {
        Ok(row) => windows >= SINCE[row].1,
        Err(_) => true,
    }
}

impl Kernel {
    /// `PVOID MmGetSystemRoutineAddress(PUNICODE_STRING SystemRoutineName)`
    ///
    /// Looks up a routine or variable that the kernel or the HAL exports.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: its address, or NULL if this version of Windows does not have it. Case
    ///   counts.
    /// - Source: WDK reference, wdm.MmGetSystemRoutineAddress.
    ///
    /// # Errors
    /// A name that is not memory.
    pub fn mm_get_system_routine_address(&self, name: DriverPtr<UnicodeString>) -> Ddi<u64> {
        let string = self.read(name)?;
        let units = usize::from(string.length / 2);
        let bytes = self.read_bytes(string.buffer, units * 2)?;
        if units > LONGEST_NAME {
            return Ok(0);
        }
        let units: alloc::vec::Vec<u16> = bytes
            .chunks_exact(2)
            .map(|unit| u16::from_le_bytes([unit[0], unit[1]]))
            .collect();
        let Ok(name) = String::from_utf16(&units) else {
            return Ok(0);
        };
        Ok(self.system_routine(&name)?.unwrap_or(0))
    }

    /// The address at which a driver finds the routine or variable `name` of the kernel or
    /// the HAL in this version of Windows.
    ///
    /// # Errors
    /// None that a driver can cause.
    pub fn system_routine(&self, name: &str) -> Ddi<Option<u64>> {
        let hidden = name.contains(':') || WMILIB.contains(&name);
        if hidden || !exists(name, self.config().windows) {
            return Ok(None);
        }
        let platform = self.platform();
        Ok(match self.ob_data_export(name)? {
            Some(variable) => Some(variable),
            None => platform
                .routine(name)
                .or_else(|| platform.variable(self, name)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::WindowsVersion::{Server2003, WinXp64};

    #[test]
    fn the_table_is_sorted() {
        let wrong = SINCE.windows(2).find(|pair| pair[0].0 >= pair[1].0);
        assert_eq!(wrong, None);
    }

    #[test]
    fn connect_ex_came_with_vista_and_the_reports_with_8() {
        let first = |name: &str| {
            WindowsVersion::ALL
                .into_iter()
                .find(|version| exists(name, *version))
        };
        assert_eq!(first("IoConnectInterruptEx"), Some(Vista));
        assert_eq!(first("IoDisconnectInterruptEx"), Some(Vista));
        assert_eq!(first("IoReportInterruptActive"), Some(Eight));
        assert_eq!(first("IoReportInterruptInactive"), Some(Eight));
        assert_eq!(first("IoGetAffinityInterrupt"), Some(Seven));
        assert_eq!(first("KeSetTargetProcessorDpcEx"), Some(Seven));
        assert_eq!(first("IoConnectInterrupt"), Some(WinXp64));
        assert_eq!(first("KeFlushQueuedDpcs"), Some(WinXp64));
    }

    #[test]
    fn what_a_version_has_the_next_one_has_too() {
        for (name, since) in SINCE {
            for version in WindowsVersion::ALL {
                assert_eq!(
                    exists(name, version),
                    version >= *since,
                    "{name}, {version}"
                );
            }
            assert!(!exists(name, Server2003), "{name} needs no row");
        }
    }
}
