//! The routines that can be made to fail, and what they return then.
//!
//! Source: the *Return value* section of each routine's page. Listed is what can fail on a
//! computer that works: when memory, or another resource that all drivers share, is used up.

use dirql_abi::NtStatus;
use dirql_rules::is_before;

const NULL: u64 = 0;
const NO_RESOURCES: u64 = NtStatus::INSUFFICIENT_RESOURCES.0 as u32 as u64;

/// In order of bytes, so that it can be searched.
const FALLIBLE: &[(&str, u64)] = &[
    ("AllocateAdapterChannel", NO_RESOURCES),
    ("AllocateCommonBuffer", NULL),
    ("BuildMdlFromScatterGatherList", NO_RESOURCES),
    ("BuildScatterGatherList", NO_RESOURCES),
    ("CmCallbackGetKeyObjectIDEx", NO_RESOURCES),
    ("CmRegisterCallback", NO_RESOURCES),
    ("CmRegisterCallbackEx", NO_RESOURCES),
    ("EtwRegister", NO_RESOURCES),
    ("ExAllocateCacheAwareRundownProtection", NULL),
    ("ExAllocatePool", NULL),
    ("ExAllocatePool2", NULL),
    ("ExAllocatePool3", NULL),
    ("ExAllocatePoolWithTag", NULL),
    ("ExAllocatePoolWithTagPriority", NULL),
    ("ExAllocateTimer", NULL),
    ("ExCreateCallback", NO_RESOURCES),
    ("ExInitializeLookasideListEx", NO_RESOURCES),
    ("ExInitializeResourceLite", NO_RESOURCES),
    ("ExRegisterCallback", NULL),
    ("GetScatterGatherList", NO_RESOURCES),
    ("HalAllocateCommonBuffer", NULL),
    ("HalGetAdapter", NULL),
    ("IoAllocateAdapterChannel", NO_RESOURCES),
    ("IoAllocateDriverObjectExtension", NO_RESOURCES),
    ("IoAllocateErrorLogEntry", NULL),
    ("IoAllocateIrp", NULL),
    ("IoAllocateIrpEx", NULL),
    ("IoAllocateMdl", NULL),
    ("IoAllocateWorkItem", NULL),
    ("IoAttachDevice", NO_RESOURCES),
    ("IoAttachDeviceToDeviceStack", NULL),
    ("IoAttachDeviceToDeviceStackSafe", NO_RESOURCES),
    ("IoBuildAsynchronousFsdRequest", NULL),
    ("IoBuildDeviceIoControlRequest", NULL),
    ("IoBuildSynchronousFsdRequest", NULL),
    ("IoConnectInterrupt", NO_RESOURCES),
    ("IoConnectInterruptEx", NO_RESOURCES),
    ("IoCreateController", NULL),
    ("IoCreateDevice", NO_RESOURCES),
    ("IoCreateFile", NO_RESOURCES),
    ("IoCreateFileSpecifyDeviceObjectHint", NO_RESOURCES),
    ("IoCreateNotificationEvent", NULL),
    ("IoCreateSymbolicLink", NO_RESOURCES),
    ("IoCreateSynchronizationEvent", NULL),
    ("IoCreateUnprotectedSymbolicLink", NO_RESOURCES),
    ("IoGetDeviceInterfaces", NO_RESOURCES),
    ("IoGetDeviceObjectPointer", NO_RESOURCES),
    ("IoGetDeviceProperty", NO_RESOURCES),
    ("IoGetDevicePropertyData", NO_RESOURCES),
    ("IoGetDmaAdapter", NULL),
    ("IoInitializeTimer", NO_RESOURCES),
    ("IoMakeAssociatedIrp", NULL),
    ("IoOpenDeviceInterfaceRegistryKey", NO_RESOURCES),
    ("IoOpenDeviceRegistryKey", NO_RESOURCES),
    ("IoOpenDriverRegistryKey", NO_RESOURCES),
    ("IoQueryFileDosDeviceName", NO_RESOURCES),
    ("IoRegisterDeviceInterface", NO_RESOURCES),
    ("IoRegisterPlugPlayNotification", NO_RESOURCES),
    ("IoRegisterShutdownNotification", NO_RESOURCES),
    ("IoReportDetectedDevice", NO_RESOURCES),
    ("IoSetCompletionRoutineEx", NO_RESOURCES),
    ("IoSetDeviceInterfaceState", NO_RESOURCES),
    ("IoSetDevicePropertyData", NO_RESOURCES),
    ("IoWMIRegistrationControl", NO_RESOURCES),
    ("MmAllocateContiguousMemory", NULL),
    ("MmAllocateContiguousMemoryEx", NO_RESOURCES),
    ("MmAllocateContiguousMemorySpecifyCache", NULL),
    ("MmAllocateContiguousMemorySpecifyCacheNode", NULL),
    ("MmAllocateContiguousNodeMemory", NULL),
    ("MmAllocateMappingAddress", NULL),
    ("MmAllocateMdlForIoSpace", NO_RESOURCES),
    ("MmAllocateNonCachedMemory", NULL),
    ("MmAllocatePagesForMdl", NULL),
    ("MmAllocatePagesForMdlEx", NULL),
    ("MmGetPhysicalMemoryRangesEx", NULL),
    ("MmGetPhysicalMemoryRangesEx2", NULL),
    ("MmMapIoSpace", NULL),
    ("MmMapIoSpaceEx", NULL),
    ("MmMapLockedPagesSpecifyCache", NULL),
    ("MmSecureVirtualMemory", NULL),
    ("ObOpenObjectByPointer", NO_RESOURCES),
    ("ObOpenObjectByPointerWithTag", NO_RESOURCES),
    ("ObRegisterCallbacks", NO_RESOURCES),
    ("PoRegisterDeviceForIdleDetection", NULL),
    ("PoRegisterPowerSettingCallback", NO_RESOURCES),
    ("PoRequestPowerIrp", NO_RESOURCES),
    ("PsCreateSystemThread", NO_RESOURCES),
    ("PsSetCreateProcessNotifyRoutine", NO_RESOURCES),
    ("PsSetCreateProcessNotifyRoutineEx", NO_RESOURCES),
    ("PsSetCreateThreadNotifyRoutine", NO_RESOURCES),
    ("PsSetLoadImageNotifyRoutine", NO_RESOURCES),
    ("RtlConvertSidToUnicodeString", NO_RESOURCES),
    ("RtlCreateUnicodeString", NULL),
    ("RtlDuplicateUnicodeString", NO_RESOURCES),
    ("RtlOemStringToUnicodeString", NO_RESOURCES),
    ("RtlQueryRegistryValues", NO_RESOURCES),
    ("RtlUnicodeStringToOemString", NO_RESOURCES),
    ("RtlWriteRegistryValue", NO_RESOURCES),
    ("SeQueryInformationToken", NO_RESOURCES),
    ("ZwCreateDirectoryObject", NO_RESOURCES),
    ("ZwCreateEvent", NO_RESOURCES),
    ("ZwCreateFile", NO_RESOURCES),
    ("ZwCreateKey", NO_RESOURCES),
    ("ZwCreateSection", NO_RESOURCES),
    ("ZwCreateSymbolicLinkObject", NO_RESOURCES),
    ("ZwCreateTimer", NO_RESOURCES),
    ("ZwMapViewOfSection", NO_RESOURCES),
    ("ZwOpenDirectoryObject", NO_RESOURCES),
    ("ZwOpenEvent", NO_RESOURCES),
    ("ZwOpenFile", NO_RESOURCES),
    ("ZwOpenKey", NO_RESOURCES),
    ("ZwOpenKeyEx", NO_RESOURCES),
    ("ZwOpenSymbolicLinkObject", NO_RESOURCES),
    ("ZwQueryValueKey", NO_RESOURCES),
    ("ZwSetValueKey", NO_RESOURCES),
];

/// What `ddi` returns when it is made to fail, as the register holds it; `None` if it is none of
/// those that are.
#[must_use]
pub const fn failure_of(ddi: &str) -> Option<u64> {
    let (mut low, mut high) = (0, FALLIBLE.len());
    while low < high {
        let middle = low + (high - low) / 2;
        if is_before(FALLIBLE[middle].0, ddi) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if low < FALLIBLE.len() && !is_before(ddi, FALLIBLE[low].0) {
        Some(FALLIBLE[low].1)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_searched() {
        for pair in FALLIBLE.windows(2) {
            assert!(is_before(pair[0].0, pair[1].0), "{pair:?}");
        }
        for (name, value) in FALLIBLE {
            assert_eq!(failure_of(name), Some(*value));
        }
        for name in ["", "KeSetEvent", "ExAllocatePoo", "ZwSetValueKeyy"] {
            assert_eq!(failure_of(name), None);
        }
    }
}
