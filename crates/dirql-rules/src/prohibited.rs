//! Routines that some code may not call, at whatever level.
//!
//! Names are those that drivers import: `IofCallDriver`, not the macro `IoCallDriver`.

/// Whether a driver may not call `ddi` while it handles an IRP_MN_SET_POWER.
///
/// Source: rule PowerIrpDDIs. Not in its list although their pages say PASSIVE_LEVEL, too: the
/// two Ex routines that connect and disconnect interrupts, KeFlushQueuedDpcs.
#[must_use]
pub fn in_set_power(ddi: &str) -> bool {
    ZW.binary_search(&ddi).is_ok() || SET_POWER.binary_search(&ddi).is_ok()
}

/// Whether a physical Storport miniport may not call `ddi`.
///
/// Source: rule HwStorPortProhibitedDDIs.
#[must_use]
pub fn in_miniport(ddi: &str) -> bool {
    ddi == "ZwFlushKey" || ZW.binary_search(&ddi).is_ok() || MINIPORT.binary_search(&ddi).is_ok()
}

#[rustfmt::skip] // read as a list
const SET_POWER: &[&str] = &[
    "ExIsProcessorFeaturePresent", "ExRaiseAccessViolation", "ExRaiseDatatypeMisalignment", "ExUuidCreate",
    "HalExamineMBR", "HalGetInterruptVector", "IoBuildDeviceIoControlRequest", "IoBuildSynchronousFsdRequest",
    "IoCheckShareAccess", "IoConnectInterrupt", "IoCreateController", "IoCreateFile", "IoCreateSymbolicLink",
    "IoCreateSynchronizationEvent", "IoCreateUnprotectedSymbolicLink", "IoDeleteController", "IoDeleteSymbolicLink",
    "IoDetachDevice", "IoDisconnectInterrupt", "IoGetConfigurationInformation", "IoGetDeviceInterfaceAlias",
    "IoGetDeviceInterfaces", "IoGetDeviceNumaNode", "IoGetDeviceObjectPointer", "IoGetDeviceProperty",
    "IoGetDevicePropertyData", "IoGetDmaAdapter", "IoGetFileObjectGenericMapping", "IoInitializeTimer",
    "IoIsWdmVersionAvailable", "IoOpenDeviceInterfaceRegistryKey", "IoOpenDeviceRegistryKey",
    "IoRegisterBootDriverReinitialization", "IoRegisterDeviceInterface", "IoRegisterDriverReinitialization",
    "IoRegisterLastChanceShutdownNotification", "IoRegisterPlugPlayNotification", "IoRegisterShutdownNotification",
    "IoRemoveShareAccess", "IoReportDetectedDevice", "IoReportTargetDeviceChange", "IoSetDeviceInterfaceState",
    "IoSetDevicePropertyData", "IoUnregisterPlugPlayNotification", "IoUnregisterPlugPlayNotificationEx",
    "IoUnregisterShutdownNotification", "IoUpdateShareAccess", "IoWMIAllocateInstanceIds", "IoWMIRegistrationControl",
    "KeDelayExecutionThread", "KeInitializeSemaphore", "KeQueryPriorityThread", "KeQueryRuntimeThread",
    "KeRevertToUserAffinityThreadEx", "KeSetSystemAffinityThread", "KeSetSystemGroupAffinityThread",
    "MmGetSystemRoutineAddress", "PsGetVersion", "PsRemoveLoadImageNotifyRoutine", "PsSetCreateProcessNotifyRoutine",
    "PsSetCreateProcessNotifyRoutineEx", "PsSetCreateThreadNotifyRoutine", "PsSetLoadImageNotifyRoutine",
    "PsTerminateSystemThread", "SeAccessCheck", "SeAssignSecurity", "SeDeassignSecurity", "SeSinglePrivilegeCheck",
    "SeValidSecurityDescriptor",
];

/// In both lists.
#[rustfmt::skip] // read as a list
const ZW: &[&str] = &[
    "ZwAllocateLocallyUniqueId", "ZwAllocateVirtualMemory", "ZwClose", "ZwCommitComplete", "ZwCommitEnlistment",
    "ZwCommitTransaction", "ZwCreateDirectoryObject", "ZwCreateEnlistment", "ZwCreateEvent", "ZwCreateFile",
    "ZwCreateKey", "ZwCreateKeyTransacted", "ZwCreateResourceManager", "ZwCreateTransaction",
    "ZwCreateTransactionManager", "ZwDeleteFile", "ZwDeleteKey", "ZwDeleteValueKey", "ZwDeviceIoControlFile",
    "ZwDuplicateToken", "ZwEnumerateKey", "ZwEnumerateTransactionObject", "ZwEnumerateValueKey", "ZwFlushBuffersFile",
    "ZwFreeVirtualMemory", "ZwFsControlFile", "ZwGetNotificationResourceManager", "ZwLoadDriver", "ZwLockFile",
    "ZwMakeTemporaryObject", "ZwMapViewOfSection", "ZwNotifyChangeKey", "ZwOpenDirectoryObject", "ZwOpenEnlistment",
    "ZwOpenEvent", "ZwOpenFile", "ZwOpenKey", "ZwOpenKeyEx", "ZwOpenKeyTransacted", "ZwOpenKeyTransactedEx",
    "ZwOpenProcess", "ZwOpenProcessTokenEx", "ZwOpenResourceManager", "ZwOpenSection", "ZwOpenSymbolicLinkObject",
    "ZwOpenThreadTokenEx", "ZwOpenTransaction", "ZwOpenTransactionManager", "ZwPowerInformation",
    "ZwPrePrepareComplete", "ZwPrePrepareEnlistment", "ZwPrepareComplete", "ZwPrepareEnlistment",
    "ZwQueryDirectoryFile", "ZwQueryEaFile", "ZwQueryFullAttributesFile", "ZwQueryInformationEnlistment",
    "ZwQueryInformationFile", "ZwQueryInformationResourceManager", "ZwQueryInformationToken",
    "ZwQueryInformationTransaction", "ZwQueryInformationTransactionManager", "ZwQueryKey", "ZwQueryObject",
    "ZwQueryQuotaInformationFile", "ZwQuerySecurityObject", "ZwQuerySymbolicLinkObject", "ZwQueryValueKey",
    "ZwQueryVolumeInformationFile", "ZwReadFile", "ZwReadOnlyEnlistment", "ZwRecoverEnlistment",
    "ZwRecoverTransactionManager", "ZwRollbackComplete", "ZwRollbackEnlistment", "ZwRollbackTransaction",
    "ZwRollforwardTransactionManager", "ZwSetEaFile", "ZwSetInformationEnlistment", "ZwSetInformationFile",
    "ZwSetInformationThread", "ZwSetInformationToken", "ZwSetInformationTransaction", "ZwSetQuotaInformationFile",
    "ZwSetSecurityObject", "ZwSetValueKey", "ZwSetVolumeInformationFile", "ZwSinglePhaseReject", "ZwTerminateProcess",
    "ZwUnloadDriver", "ZwUnlockFile", "ZwUnmapViewOfSection", "ZwWriteFile",
];

#[rustfmt::skip] // read as a list
const MINIPORT: &[&str] = &[
    "CmRegisterCallback", "CmRegisterCallbackEx", "CmUnRegisterCallback", "ExAcquireFastMutex",
    "ExAcquireFastMutexUnsafe", "ExAcquireResourceExclusiveLite", "ExAcquireResourceSharedLite",
    "ExAcquireRundownProtection", "ExAcquireRundownProtectionEx", "ExAcquireSharedStarveExclusive",
    "ExAcquireSharedWaitForExclusive", "ExAllocatePool", "ExAllocatePoolWithQuota", "ExAllocatePoolWithQuotaTag",
    "ExAllocatePoolWithTag", "ExAllocatePoolWithTagPriority", "ExConvertExclusiveToSharedLite", "ExCreateCallback",
    "ExDeletePagedLookasideList", "ExDeleteResourceLite", "ExEnterCriticalRegionAndAcquireResourceExclusive",
    "ExGetExclusiveWaiterCount", "ExGetSharedWaiterCount", "ExInitializePagedLookasideList", "ExInitializeResource",
    "ExInitializeResourceLite", "ExIsProcessorFeaturePresent", "ExIsResourceAcquired",
    "ExIsResourceAcquiredExclusive", "ExIsResourceAcquiredExclusiveLite", "ExIsResourceAcquiredLite",
    "ExIsResourceAcquiredShared", "ExIsResourceAcquiredSharedLite", "ExRaiseAccessViolation",
    "ExRaiseDatatypeMisalignment", "ExRaiseStatus", "ExRegisterCallback", "ExReinitializeResourceLite",
    "ExReleaseFastMutex", "ExReleaseFastMutexUnsafe", "ExReleaseResourceAndLeaveCriticalRegion",
    "ExReleaseResourceForThreadLite", "ExReleaseResourceLite", "ExReleaseRundownProtection",
    "ExReleaseRundownProtectionEx", "ExSetResourceOwnerPointer", "ExSetResourceOwnerPointerEx",
    "ExSetTimerResolution", "ExTryToAcquireFastMutex", "ExUnregisterCallback", "ExUuidCreate",
    "ExWaitForRundownProtectionRelease", "HalExamineMBR", "HalGetInterruptVector", "IoAcquireCancelSpinLock",
    "IoAllocateController", "IoAllocateIrp", "IoAssignArcName", "IoAttachDevice", "IoAttachDeviceToDeviceStack",
    "IoBuildAsynchronousFsdRequest", "IoBuildDeviceIoControlRequest", "IoBuildSynchronousFsdRequest", "IoCancelIrp",
    "IoCheckShareAccess", "IoConnectInterrupt", "IoConnectInterruptEx", "IoCreateController", "IoCreateDevice",
    "IoCreateDeviceSecure", "IoCreateFile", "IoCreateNotificationEvent", "IoCreateSymbolicLink",
    "IoCreateSynchronizationEvent", "IoCreateUnprotectedSymbolicLink", "IoDeassignArcName", "IoDeleteController",
    "IoDeleteDevice", "IoDeleteSymbolicLink", "IoDetachDevice", "IoDisconnectInterrupt", "IoFreeController",
    "IoFreeIrp", "IoGetAttachedDeviceReference", "IoGetConfigurationInformation", "IoGetDeviceInterfaceAlias",
    "IoGetDeviceInterfaces", "IoGetDeviceNumaNode", "IoGetDeviceObjectPointer", "IoGetDeviceProperty",
    "IoGetDevicePropertyData", "IoGetDmaAdapter", "IoGetFileObjectGenericMapping", "IoGetInitialStack",
    "IoInitializeIrp", "IoInitializeTimer", "IoInvalidateDeviceRelations", "IoIsWdmVersionAvailable",
    "IoOpenDeviceInterfaceRegistryKey", "IoOpenDeviceRegistryKey", "IoRaiseHardError",
    "IoRaiseInformationalHardError", "IoReadPartitionTable", "IoReadPartitionTableEx",
    "IoRegisterBootDriverReinitialization", "IoRegisterDeviceInterface", "IoRegisterDriverReinitialization",
    "IoRegisterLastChanceShutdownNotification", "IoRegisterPlugPlayNotification", "IoRegisterShutdownNotification",
    "IoReleaseCancelSpinLock", "IoRemoveShareAccess", "IoReportDetectedDevice", "IoReportTargetDeviceChange",
    "IoReportTargetDeviceChangeAsynchronous", "IoReuseIrp", "IoSetCompletionRoutineEx", "IoSetDeviceInterfaceState",
    "IoSetDevicePropertyData", "IoSetPartitionInformation", "IoSetPartitionInformationEx", "IoSetShareAccess",
    "IoSetStartIoAttributes", "IoStartNextPacket", "IoUnregisterPlugPlayNotification",
    "IoUnregisterPlugPlayNotificationEx", "IoUnregisterShutdownNotification", "IoUpdateShareAccess",
    "IoWMIAllocateInstanceIds", "IoWMIRegistrationControl", "IoWritePartitionTable", "IoWritePartitionTableEx",
    "IofCallDriver", "IofCompleteRequest", "KeAcquireGuardedMutex", "KeAcquireGuardedMutexUnsafe",
    "KeAcquireInStackQueuedSpinLock", "KeAcquireInStackQueuedSpinLockAtDpcLevel",
    "KeAcquireInStackQueuedSpinLockForDpc", "KeAcquireInterruptSpinLock", "KeAcquireSpinLock",
    "KeAcquireSpinLockAtDpcLevel", "KeAcquireSpinLockForDpc", "KeAcquireSpinLockRaiseToDpc", "KeAreAllApcsDisabled",
    "KeAreApcsDisabled", "KeCancelTimer", "KeClearEvent", "KeDelayExecutionThread", "KeDeregisterNmiCallback",
    "KeEnterCriticalRegion", "KeEnterGuardedRegion", "KeFlushQueuedDpcs", "KeGetCurrentIrql",
    "KeInitializeDeviceQueue", "KeInitializeEvent", "KeInitializeGuardedMutex", "KeInitializeMutex",
    "KeInitializeSemaphore", "KeInitializeSpinLock", "KeInitializeTimer", "KeInitializeTimerEx",
    "KeInsertByKeyDeviceQueue", "KeInsertDeviceQueue", "KeInsertQueueDpc", "KeLeaveCriticalRegion",
    "KeLeaveGuardedRegion", "KeLowerIrql", "KePulseEvent", "KeQueryActiveProcessors", "KeQueryPriorityThread",
    "KeQueryRuntimeThread", "KeRaiseIrql", "KeRaiseIrqlToDpcLevel", "KeReadStateEvent", "KeReadStateMutex",
    "KeReadStateSemaphore", "KeReadStateTimer", "KeRegisterNmiCallback", "KeReleaseGuardedMutex",
    "KeReleaseGuardedMutexUnsafe", "KeReleaseInStackQueuedSpinLock", "KeReleaseInStackQueuedSpinLockForDpc",
    "KeReleaseInStackQueuedSpinLockFromDpcLevel", "KeReleaseInterruptSpinLock", "KeReleaseMutex",
    "KeReleaseSemaphore", "KeReleaseSpinLock", "KeReleaseSpinLockForDpc", "KeReleaseSpinLockFromDpcLevel",
    "KeRemoveByKeyDeviceQueue", "KeRemoveDeviceQueue", "KeRemoveEntryDeviceQueue", "KeRemoveQueueDpc", "KeResetEvent",
    "KeRevertToUserAffinityThreadEx", "KeSaveFloatingPointState", "KeSetEvent", "KeSetSystemAffinityThread",
    "KeSetSystemGroupAffinityThread", "KeSetTimer", "KeSetTimerEx", "KeTestSpinLock", "KeTryToAcquireGuardedMutex",
    "KeTryToAcquireSpinLockAtDpcLevel", "KeWaitForMultipleObjects", "KeWaitForMutexObject", "KeWaitForSingleObject",
    "MmAllocateNonCachedMemory", "MmAllocatePagesForMdl", "MmFreeContiguousMemory", "MmFreeNonCachedMemory",
    "MmFreePagesFromMdl", "MmGetSystemRoutineAddress", "MmLockPagableDataSection", "MmLockPagableSectionByHandle",
    "MmMapLockedPages", "MmMapLockedPagesSpecifyCache", "MmMapLockedPagesWithReservedMapping", "MmPageEntireDriver",
    "MmProbeAndLockPages", "MmResetDriverPaging", "MmSecureVirtualMemory", "MmUnlockPagableImageSection",
    "MmUnlockPages", "MmUnmapLockedPages", "MmUnsecureVirtualMemory", "ObDereferenceObject",
    "ObDereferenceObjectWithTag", "ObGetObjectSecurity", "ObReferenceObject", "ObReferenceObjectByHandle",
    "ObReferenceObjectByHandleWithTag", "ObReferenceObjectByPointer", "ObReferenceObjectByPointerWithTag",
    "ObReferenceObjectWithTag", "ObReleaseObjectSecurity", "ObfDereferenceObject", "ObfDereferenceObjectWithTag",
    "ObfReferenceObject", "ObfReferenceObjectWithTag", "PoCallDriver", "PoRequestPowerIrp", "ProbeForRead",
    "ProbeForWrite", "PsCreateSystemThread", "PsGetVersion", "PsRemoveLoadImageNotifyRoutine",
    "PsSetCreateProcessNotifyRoutine", "PsSetCreateProcessNotifyRoutineEx", "PsSetCreateThreadNotifyRoutine",
    "PsSetLoadImageNotifyRoutine", "PsTerminateSystemThread", "RtlDeleteRegistryValue", "SeAccessCheck",
    "SeAssignSecurity", "SeAssignSecurityEx", "SeDeassignSecurity", "SeSinglePrivilegeCheck",
    "SeValidSecurityDescriptor",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_sorted() {
        for list in [SET_POWER, ZW, MINIPORT] {
            assert!(list.windows(2).all(|pair| pair[0] < pair[1]));
        }
    }

    #[test]
    fn the_routines_about_interrupts_are_where_the_rules_have_them() {
        for (ddi, power, miniport) in [
            ("HalGetInterruptVector", true, true),
            ("IoConnectInterrupt", true, true),
            ("IoConnectInterruptEx", false, true),
            ("IoDisconnectInterrupt", true, true),
            ("IoDisconnectInterruptEx", false, false),
            ("KeSynchronizeExecution", false, false),
            ("KeInsertQueueDpc", false, true),
            ("KeInitializeDpc", false, false),
            ("IofCallDriver", false, true),
            ("ZwClose", true, true),
            ("ZwFlushKey", false, true),
        ] {
            assert_eq!(
                (in_set_power(ddi), in_miniport(ddi)),
                (power, miniport),
                "{ddi}"
            );
        }
    }
}
