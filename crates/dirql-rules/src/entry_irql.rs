//! The IRQL at which each DDI may be called.

use dirql_abi::Irql;

use crate::RuleId;
use crate::table::ids;

/// One row: a DDI and the levels at which it may be entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IrqlRule {
    /// The rule that a call at another level breaks.
    pub rule: RuleId,
    /// The DDI's exported name.
    pub ddi: &'static str,
    /// Lowest level allowed on entry.
    pub lowest: Irql,
    /// Highest level allowed on entry.
    pub highest: Irql,
    /// Where this is written.
    pub source: &'static str,
}

const fn at_most(rule: RuleId, ddi: &'static str, highest: Irql, source: &'static str) -> IrqlRule {
    IrqlRule {
        rule,
        ddi,
        lowest: Irql::PASSIVE,
        highest,
        source,
    }
}

const fn exactly(rule: RuleId, ddi: &'static str, level: Irql, source: &'static str) -> IrqlRule {
    IrqlRule {
        rule,
        ddi,
        lowest: level,
        highest: level,
        source,
    }
}

/// DISPATCH_LEVEL, or SYNCH_LEVEL if the lock was taken so. Which of the two is the lock's affair.
const fn lock_level(ddi: &'static str, source: &'static str) -> IrqlRule {
    IrqlRule {
        rule: ids::ENTRY_LEVEL,
        ddi,
        lowest: Irql::DISPATCH,
        highest: Irql::SYNCH,
        source,
    }
}

/// DDIs with a level rule, sorted by name. A name that is missing may be called at any level.
#[rustfmt::skip] // read as a table
pub const ENTRY_IRQL: &[IrqlRule] = &[
    //       rule               DDI                                          level           source
    exactly(ids::ENTRY_LEVEL,   "AllocateAdapterChannel",                      Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "AllocateCommonBuffer",                        Irql::PASSIVE, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "BuildMdlFromScatterGatherList",               Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "BuildScatterGatherList",                      Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "CalculateScatterGatherList",                  Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "EtwRegister",                                 Irql::PASSIVE, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "EtwUnregister",                               Irql::PASSIVE, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "ExAcquireFastMutex",                           Irql::APC,      "Rule IrqlExApcLte1"),
    at_most(ids::ENTRY_LEVEL,   "ExAcquireResourceExclusiveLite",               Irql::APC,      "Rule IrqlExApcLte3"),
    at_most(ids::ENTRY_LEVEL,   "ExAcquireResourceSharedLite",                  Irql::APC,      "Rule IrqlExApcLte3"),
    at_most(ids::ENTRY_LEVEL,   "ExAcquireRundownProtection",                  Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "ExAcquireRundownProtectionEx",                Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "ExAcquireSharedStarveExclusive",               Irql::APC,      "Rule IrqlExApcLte3"),
    at_most(ids::ENTRY_LEVEL,   "ExAcquireSharedWaitForExclusive",              Irql::APC,      "Rule IrqlExApcLte3"),
    at_most(ids::ENTRY_LEVEL,   "ExAllocatePool",                               Irql::DISPATCH, "Rule IrqlExAllocatePool; paged pool at or below APC_LEVEL is checked by the pool"),
    at_most(ids::ENTRY_LEVEL,   "ExAllocatePool2",                              Irql::DISPATCH, "Rule IrqlExAllocatePool; paged pool at or below APC_LEVEL is checked by the pool"),
    at_most(ids::ENTRY_LEVEL,   "ExAllocatePoolWithQuota",                      Irql::DISPATCH, "Rule IrqlExAllocatePool; paged pool at or below APC_LEVEL is checked by the pool"),
    at_most(ids::ENTRY_LEVEL,   "ExAllocatePoolWithQuotaTag",                   Irql::DISPATCH, "Rule IrqlExAllocatePool; paged pool at or below APC_LEVEL is checked by the pool"),
    at_most(ids::ENTRY_LEVEL,   "ExAllocatePoolWithTag",                        Irql::DISPATCH, "Rule IrqlExAllocatePool; paged pool at or below APC_LEVEL is checked by the pool"),
    at_most(ids::ENTRY_LEVEL,   "ExAllocatePoolWithTagPriority",                Irql::DISPATCH, "Rule IrqlExAllocatePool; paged pool at or below APC_LEVEL is checked by the pool"),
    at_most(ids::ENTRY_LEVEL,   "ExAllocateTimer",                             Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "ExCancelTimer",                               Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "ExConvertExclusiveToSharedLite",               Irql::APC,      "Rule IrqlExApcLte3"),
    at_most(ids::ENTRY_LEVEL,   "ExCreateCallback",                             Irql::PASSIVE,  "Rule IrqlExPassive"),
    at_most(ids::ENTRY_LEVEL,   "ExDeleteNPagedLookasideList",                  Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "ExDeletePagedLookasideList",                   Irql::APC,      "Rule IrqlExApcLte2"),
    at_most(ids::ENTRY_LEVEL,   "ExDeleteResourceLite",                         Irql::APC,      "Rule IrqlExApcLte3"),
    at_most(ids::ENTRY_LEVEL,   "ExDeleteTimer",                               Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "ExFreePool",                                   Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "ExFreePoolWithTag",                            Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "ExInitializeNPagedLookasideList",              Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "ExInitializePagedLookasideList",               Irql::APC,      "Rule IrqlExApcLte2"),
    at_most(ids::ENTRY_LEVEL,   "ExIsProcessorFeaturePresent",                  Irql::PASSIVE,  "Rule IrqlExPassive"),
    at_most(ids::ENTRY_LEVEL,   "ExNotifyCallback",                             Irql::APC,      "Rule IrqlExApcLte2"),
    at_most(ids::ENTRY_LEVEL,   "ExQueueWorkItem",                              Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "ExRaiseAccessViolation",                       Irql::PASSIVE,  "Rule IrqlExPassive"),
    at_most(ids::ENTRY_LEVEL,   "ExRaiseDatatypeMisalignment",                  Irql::PASSIVE,  "Rule IrqlExPassive"),
    at_most(ids::ENTRY_LEVEL,   "ExRaiseStatus",                                Irql::APC,      "Rule IrqlExPassive"),
    at_most(ids::ENTRY_LEVEL,   "ExRegisterCallback",                           Irql::APC,      "Rule IrqlExApcLte2"),
    at_most(ids::ENTRY_LEVEL,   "ExReleaseRundownProtection",                  Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "ExReleaseRundownProtectionEx",                Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "ExSetTimer",                                  Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "ExSetTimerResolution",                         Irql::APC,      "Rule IrqlExApcLte2"),
    at_most(ids::ENTRY_LEVEL,   "ExTryToAcquireFastMutex",                      Irql::APC,      "Rule IrqlExApcLte1"),
    at_most(ids::ENTRY_LEVEL,   "ExUnregisterCallback",                         Irql::APC,      "Rule IrqlExApcLte2"),
    at_most(ids::ENTRY_LEVEL,   "ExUuidCreate",                                 Irql::PASSIVE,  "Rule IrqlExPassive"),
    at_most(ids::ENTRY_LEVEL,   "ExWaitForRundownProtectionRelease",           Irql::APC,     "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "FlushAdapterBuffers",                         Irql::DISPATCH, "The routine's page, IRQL row"),
    exactly(ids::ENTRY_LEVEL,   "FreeAdapterChannel",                          Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "FreeCommonBuffer",                            Irql::PASSIVE, "The routine's page, IRQL row"),
    exactly(ids::ENTRY_LEVEL,   "FreeMapRegisters",                            Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "GetDmaAlignment",                             Irql::PASSIVE, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "GetScatterGatherList",                        Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "HalAllocateCommonBuffer",                     Irql::PASSIVE, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "HalAssignSlotResources",                       Irql::PASSIVE,  "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "HalFreeCommonBuffer",                         Irql::PASSIVE, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "HalGetAdapter",                               Irql::PASSIVE, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "HalGetInterruptVector",                        Irql::PASSIVE,  "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "HalReadDmaCounter",                           Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoAcquireCancelSpinLock",                      Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoAcquireRemoveLockEx",                        Irql::DISPATCH, "The routine's page, IRQL row"),
    exactly(ids::ENTRY_LEVEL,   "IoAllocateAdapterChannel",                    Irql::DISPATCH, "The routine's page, IRQL row"),
    exactly(ids::ENTRY_LEVEL,   "IoAllocateController",                         Irql::DISPATCH, "Rule IrqlDispatch"),
    at_most(ids::ENTRY_LEVEL,   "IoAllocateDriverObjectExtension",            Irql::PASSIVE,  "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoAllocateErrorLogEntry",                      Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoAllocateIrp",                                Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoAllocateMdl",                                Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoAllocateWorkItem",                           Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoAssignResources",                            Irql::PASSIVE,  "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoAttachDevice",                               Irql::PASSIVE,  "Rule IrqlIoPassive1"),
    at_most(ids::ENTRY_LEVEL,   "IoAttachDeviceByPointer",                      Irql::PASSIVE,  "Rule IrqlIoPassive5; the routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoAttachDeviceToDeviceStack",                  Irql::DISPATCH, "wdm.IoAttachDeviceToDeviceStack, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoAttachDeviceToDeviceStackSafe",              Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoBuildAsynchronousFsdRequest",                Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoBuildDeviceIoControlRequest",                Irql::APC,      "Rule IrqlIoPassive1"),
    at_most(ids::ENTRY_LEVEL,   "IoBuildPartialMdl",                            Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoBuildSynchronousFsdRequest",                 Irql::APC,      "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoCancelIrp",                                  Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoCheckShareAccess",                           Irql::PASSIVE,  "Rule IrqlIoPassive2"),
    at_most(ids::CONNECT_IRQL,  "IoConnectInterrupt",                           Irql::PASSIVE,  "Rule IrqlIoPassive2; wdm.IoConnectInterrupt, IRQL row"),
    at_most(ids::CONNECT_IRQL,  "IoConnectInterruptEx",                         Irql::PASSIVE,  "wdm.IoConnectInterruptEx, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoCreateController",                           Irql::PASSIVE,  "Rule IrqlIoPassive2"),
    at_most(ids::ENTRY_LEVEL,   "IoCreateDevice",                               Irql::PASSIVE,  "Rule IrqlIoPassive1"),
    at_most(ids::ENTRY_LEVEL,   "IoCreateFile",                                 Irql::PASSIVE,  "Rule IrqlIoPassive4"),
    at_most(ids::ENTRY_LEVEL,   "IoCreateNotificationEvent",                    Irql::PASSIVE,  "Rule IrqlIoPassive4"),
    at_most(ids::ENTRY_LEVEL,   "IoCreateSymbolicLink",                         Irql::PASSIVE,  "Rule IrqlIoPassive4"),
    at_most(ids::ENTRY_LEVEL,   "IoCreateSynchronizationEvent",                 Irql::PASSIVE,  "Rule IrqlIoPassive4"),
    at_most(ids::ENTRY_LEVEL,   "IoCreateSystemThread",                        Irql::PASSIVE, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoCreateUnprotectedSymbolicLink",              Irql::PASSIVE,  "Rule IrqlIoPassive4"),
    at_most(ids::ENTRY_LEVEL,   "IoCsqInitialize",                            Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoCsqInitializeEx",                          Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoCsqInsertIrp",                             Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoCsqInsertIrpEx",                           Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoCsqRemoveIrp",                             Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoCsqRemoveNextIrp",                         Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoDeleteController",                           Irql::PASSIVE,  "Rule IrqlIoPassive4"),
    at_most(ids::ENTRY_LEVEL,   "IoDeleteDevice",                               Irql::APC,      "Rule IrqlIoApcLte"),
    at_most(ids::ENTRY_LEVEL,   "IoDeleteSymbolicLink",                         Irql::PASSIVE,  "Rule IrqlIoPassive4"),
    at_most(ids::ENTRY_LEVEL,   "IoDetachDevice",                               Irql::PASSIVE,  "Rule IrqlIoPassive3"),
    at_most(ids::CONNECT_IRQL,  "IoDisconnectInterrupt",                        Irql::PASSIVE,  "Rule IrqlIoPassive4; wdm.IoDisconnectInterrupt, IRQL row"),
    at_most(ids::CONNECT_IRQL,  "IoDisconnectInterruptEx",                      Irql::PASSIVE,  "wdm.IoDisconnectInterruptEx, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoFlushAdapterBuffers",                       Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoForwardIrpSynchronously",                    Irql::PASSIVE,  "The routine's page, IRQL row"),
    exactly(ids::ENTRY_LEVEL,   "IoFreeAdapterChannel",                        Irql::DISPATCH, "The routine's page, IRQL row"),
    exactly(ids::ENTRY_LEVEL,   "IoFreeController",                             Irql::DISPATCH, "Rule IrqlDispatch"),
    at_most(ids::ENTRY_LEVEL,   "IoFreeErrorLogEntry",                        Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoFreeIrp",                                    Irql::DISPATCH, "The routine's page, IRQL row"),
    exactly(ids::ENTRY_LEVEL,   "IoFreeMapRegisters",                          Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoFreeMdl",                                    Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoFreeWorkItem",                               Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoGetAttachedDevice",                        Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoGetAttachedDeviceReference",                 Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoGetConfigurationInformation",              Irql::PASSIVE,  "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoGetDeviceAttachmentBaseRef",               Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoGetDeviceInterfaceAlias",                  Irql::PASSIVE,  "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoGetDeviceInterfaces",                        Irql::PASSIVE,  "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoGetDeviceNumaNode",                        Irql::PASSIVE,  "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoGetDeviceObjectPointer",                     Irql::PASSIVE,  "Rule IrqlIoPassive5; the routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoGetDeviceProperty",                          Irql::PASSIVE,  "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoGetDeviceToVerify",                          Irql::DISPATCH, "Rule IrqlIoDispatch"),
    at_most(ids::ENTRY_LEVEL,   "IoGetDmaAdapter",                              Irql::PASSIVE,  "Rule IrqlIoPassive5; the routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoGetDriverObjectExtension",                 Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoGetInitialStack",                            Irql::APC,      "Rule IrqlIoApcLte"),
    at_most(ids::ENTRY_LEVEL,   "IoGetLowerDeviceObject",                     Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoGetRelatedDeviceObject",                   Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoInitializeIrp",                              Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoInitializeRemoveLockEx",                     Irql::PASSIVE,  "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoInitializeTimer",                            Irql::PASSIVE,  "Rule IrqlIoPassive5; the routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoInitializeWorkItem",                       Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoInvalidateDeviceRelations",                  Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoInvalidateDeviceState",                      Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoIsWdmVersionAvailable",                    Irql::PASSIVE,  "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoMakeAssociatedIrp",                        Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoMapTransfer",                               Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoOpenDeviceInterfaceRegistryKey",             Irql::PASSIVE,  "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoOpenDeviceRegistryKey",                      Irql::PASSIVE,  "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoQueueWorkItem",                              Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoQueueWorkItemEx",                          Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoRaiseHardError",                             Irql::APC,      "Rule IrqlIoApcLte"),
    at_most(ids::ENTRY_LEVEL,   "IoRegisterBootDriverReinitialization",       Irql::PASSIVE,  "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoRegisterDeviceInterface",                    Irql::PASSIVE,  "Rule IrqlIoPassive3"),
    at_most(ids::ENTRY_LEVEL,   "IoRegisterDriverReinitialization",           Irql::PASSIVE,  "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoRegisterLastChanceShutdownNotification",   Irql::PASSIVE,  "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoRegisterPlugPlayNotification",               Irql::PASSIVE,  "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoRegisterShutdownNotification",               Irql::PASSIVE,  "The routine's page, IRQL row"),
    exactly(ids::ENTRY_LEVEL,   "IoReleaseCancelSpinLock",                      Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoReleaseRemoveLockAndWaitEx",                 Irql::PASSIVE,  "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoReleaseRemoveLockEx",                        Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoRemoveShareAccess",                          Irql::PASSIVE,  "Rule IrqlIoPassive5; the routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoReportDetectedDevice",                       Irql::PASSIVE,  "The routine's page, IRQL row"),
    at_most(ids::REPORT_IRQL,   "IoReportInterruptActive",                      Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::REPORT_IRQL,   "IoReportInterruptInactive",                    Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoReportResourceForDetection",                 Irql::PASSIVE,  "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoReportResourceUsage",                        Irql::PASSIVE,  "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoReportTargetDeviceChangeAsynchronous",     Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoRequestDeviceEject",                         Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoReuseIrp",                                   Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoSetCompletionRoutineEx",                     Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoSetDeviceInterfaceState",                    Irql::PASSIVE,  "Rule IrqlIoPassive1"),
    at_most(ids::ENTRY_LEVEL,   "IoSetDeviceToVerify",                          Irql::DISPATCH, "Rule IrqlIoDispatch"),
    at_most(ids::ENTRY_LEVEL,   "IoSetHardErrorOrVerifyDevice",               Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoSetShareAccess",                             Irql::PASSIVE,  "Rule IrqlIoPassive5; the routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoSetStartIoAttributes",                     Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoSizeofWorkItem",                           Irql::DISPATCH, "The routine's page, IRQL row"),
    exactly(ids::ENTRY_LEVEL,   "IoStartNextPacket",                            Irql::DISPATCH, "Rule IrqlDispatch"),
    exactly(ids::ENTRY_LEVEL,   "IoStartNextPacketByKey",                     Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoStartPacket",                                Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoStartTimer",                                 Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoStopTimer",                                  Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoUninitializeWorkItem",                     Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoUnregisterPlugPlayNotification",             Irql::PASSIVE,  "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoUnregisterPlugPlayNotificationEx",         Irql::PASSIVE,  "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoUnregisterShutdownNotification",             Irql::PASSIVE,  "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoUpdateShareAccess",                          Irql::PASSIVE,  "Rule IrqlIoPassive5; the routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoValidateDeviceIoControlAccess",             Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoWMIDeviceObjectToProviderId",              Irql::PASSIVE,  "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoWMIOpenBlock",                             Irql::PASSIVE,  "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoWMIQueryAllData",                          Irql::PASSIVE,  "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoWMIRegistrationControl",                     Irql::PASSIVE,  "Rule IrqlIoPassive5; the routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoWMIWriteEvent",                            Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IoWriteErrorLogEntry",                         Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IofCallDriver",                                Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "IofCompleteRequest",                           Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "KeAcquireGuardedMutex",                        Irql::APC,      "Rule IrqlKeApcLte1"),
    at_most(ids::ENTRY_LEVEL,   "KeAcquireInStackQueuedSpinLock",               Irql::DISPATCH, "The routine's page, IRQL row"),
    exactly(ids::ENTRY_LEVEL,   "KeAcquireInStackQueuedSpinLockAtDpcLevel",     Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "KeAcquireInStackQueuedSpinLockForDpc",         Irql::DISPATCH, "The routine's page, IRQL row"),
    exactly(ids::ENTRY_LEVEL,   "KeAcquireSpinLockAtDpcLevel",                  Irql::DISPATCH, "Rule IrqlDispatch"),
    at_most(ids::ENTRY_LEVEL,   "KeAcquireSpinLockForDpc",                      Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "KeAcquireSpinLockRaiseToDpc",                  Irql::DISPATCH, "Rule IrqlKeDispatchLte"),
    at_most(ids::ENTRY_LEVEL,   "KeCancelTimer",                                Irql::DISPATCH, "Rule IrqlKeDispatchLte"),
    at_most(ids::ENTRY_LEVEL,   "KeClearEvent",                                 Irql::DISPATCH, "Rule IrqlKeDispatchLte"),
    at_most(ids::ENTRY_LEVEL,   "KeDelayExecutionThread",                       Irql::APC,      "Rule IrqlKeApcLte1"),
    at_most(ids::ENTRY_LEVEL,   "KeDeregisterNmiCallback",                      Irql::APC,      "Rule IrqlKeApcLte2"),
    at_most(ids::ENTRY_LEVEL,   "KeEnterCriticalRegion",                        Irql::APC,      "Rule IrqlKeApcLte2"),
    at_most(ids::ENTRY_LEVEL,   "KeEnterGuardedRegion",                         Irql::APC,      "Rule IrqlKeApcLte2"),
    at_most(ids::ENTRY_LEVEL,   "KeFlushIoBuffers",                             Irql::DISPATCH, "Rule IrqlKeDispatchLte"),
    at_most(ids::ENTRY_LEVEL,   "KeFlushQueuedDpcs",                            Irql::PASSIVE,  "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "KeInitializeDeviceQueue",                      Irql::DISPATCH, "Rule IrqlKeDispatchLte"),
    at_most(ids::ENTRY_LEVEL,   "KeInitializeMutant",                           Irql::DISPATCH, "Rule IrqlKeSetEvent; the routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "KeInitializeTimer",                            Irql::DISPATCH, "Rule IrqlKeDispatchLte"),
    at_most(ids::ENTRY_LEVEL,   "KeInitializeTimerEx",                          Irql::DISPATCH, "Rule IrqlKeDispatchLte"),
    exactly(ids::ENTRY_LEVEL,   "KeInsertByKeyDeviceQueue",                     Irql::DISPATCH, "Rule IrqlDispatch"),
    exactly(ids::ENTRY_LEVEL,   "KeInsertDeviceQueue",                          Irql::DISPATCH, "Rule IrqlDispatch"),
    at_most(ids::ENTRY_LEVEL,   "KeLeaveCriticalRegion",                        Irql::APC,      "Rule IrqlKeApcLte2"),
    at_most(ids::ENTRY_LEVEL,   "KeLeaveGuardedRegion",                         Irql::APC,      "Rule IrqlKeApcLte2"),
    at_most(ids::ENTRY_LEVEL,   "KePulseEvent",                                 Irql::DISPATCH, "Rule IrqlKeDispatchLte"),
    at_most(ids::ENTRY_LEVEL,   "KeQueryActiveProcessors",                      Irql::APC,      "Rule IrqlKeApcLte1"),
    at_most(ids::ENTRY_LEVEL,   "KeQueryPriorityThread",                        Irql::PASSIVE,  "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "KeRaiseIrqlToDpcLevel",                        Irql::DISPATCH, "Rule IrqlKeDispatchLte"),
    at_most(ids::ENTRY_LEVEL,   "KeReadStateEvent",                             Irql::DISPATCH, "Rule IrqlKeDispatchLte"),
    at_most(ids::ENTRY_LEVEL,   "KeReadStateTimer",                             Irql::DISPATCH, "Rule IrqlKeDispatchLte"),
    at_most(ids::ENTRY_LEVEL,   "KeRegisterNmiCallback",                        Irql::APC,      "Rule IrqlKeApcLte2"),
    at_most(ids::ENTRY_LEVEL,   "KeReleaseGuardedMutex",                        Irql::APC,      "Rule IrqlKeApcLte1"),
    lock_level(                 "KeReleaseInStackQueuedSpinLock",                               "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "KeReleaseInStackQueuedSpinLockForDpc",         Irql::DISPATCH, "The routine's page, IRQL row"),
    exactly(ids::ENTRY_LEVEL,   "KeReleaseInStackQueuedSpinLockFromDpcLevel",   Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "KeReleaseMutant",                              Irql::DISPATCH, "Rule IrqlKeSetEvent; the routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "KeReleaseMutex",                               Irql::DISPATCH, "Rule IrqlKeDispatchLte"),
    at_most(ids::ENTRY_LEVEL,   "KeReleaseSemaphore",                           Irql::DISPATCH, "Rule IrqlKeSetEvent; the routine's page, IRQL row"),
    lock_level(                 "KeReleaseSpinLock",                                            "Rule IrqlKeReleaseSpinLock"),
    at_most(ids::ENTRY_LEVEL,   "KeReleaseSpinLockForDpc",                      Irql::DISPATCH, "The routine's page, IRQL row"),
    exactly(ids::ENTRY_LEVEL,   "KeReleaseSpinLockFromDpcLevel",                Irql::DISPATCH, "Rule IrqlDispatch"),
    exactly(ids::ENTRY_LEVEL,   "KeRemoveByKeyDeviceQueue",                     Irql::DISPATCH, "Rule IrqlDispatch"),
    exactly(ids::ENTRY_LEVEL,   "KeRemoveDeviceQueue",                          Irql::DISPATCH, "Rule IrqlDispatch"),
    at_most(ids::ENTRY_LEVEL,   "KeRemoveEntryDeviceQueue",                     Irql::DISPATCH, "Rule IrqlKeDispatchLte"),
    at_most(ids::ENTRY_LEVEL,   "KeResetEvent",                                 Irql::DISPATCH, "Rule IrqlKeDispatchLte"),
    at_most(ids::ENTRY_LEVEL,   "KeSaveFloatingPointState",                     Irql::DISPATCH, "Rule IrqlKeDispatchLte"),
    at_most(ids::ENTRY_LEVEL,   "KeSetCoalescableTimer",                       Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "KeSetEvent",                                   Irql::DISPATCH, "Rule IrqlKeSetEvent; the routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "KeSetPriorityThread",                          Irql::PASSIVE,  "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "KeSetTimer",                                   Irql::DISPATCH, "Rule IrqlKeDispatchLte"),
    at_most(ids::ENTRY_LEVEL,   "KeSetTimerEx",                                 Irql::DISPATCH, "Rule IrqlKeDispatchLte"),
    at_most(ids::ENTRY_LEVEL,   "KeTryToAcquireGuardedMutex",                   Irql::APC,      "Rule IrqlKeApcLte1"),
    exactly(ids::ENTRY_LEVEL,   "KeTryToAcquireSpinLockAtDpcLevel",             Irql::DISPATCH, "wdm.KeTryToAcquireSpinLockAtDpcLevel, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "KeWaitForMultipleObjects",                     Irql::DISPATCH, "wdm.KeWaitForSingleObject, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "KeWaitForMutexObject",                         Irql::DISPATCH, "wdm.KeWaitForSingleObject, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "KeWaitForSingleObject",                        Irql::DISPATCH, "wdm.KeWaitForSingleObject, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "MapTransfer",                                 Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "MmAllocateContiguousMemory",                   Irql::DISPATCH, "Rule IrqlMmDispatch; the routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "MmAllocateContiguousMemorySpecifyCache",       Irql::DISPATCH, "Rule IrqlMmDispatch; the routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "MmAllocateMappingAddress",                     Irql::APC,      "Rule IrqlMmApcLte"),
    at_most(ids::ENTRY_LEVEL,   "MmAllocateNonCachedMemory",                    Irql::APC,      "Rule IrqlMmApcLte"),
    at_most(ids::ENTRY_LEVEL,   "MmAllocatePagesForMdl",                        Irql::APC,      "Rule IrqlMmApcLte"),
    at_most(ids::ENTRY_LEVEL,   "MmBuildMdlForNonPagedPool",                    Irql::DISPATCH, "Rule IrqlMmDispatch; the routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "MmCopyMemory",                                Irql::APC,     "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "MmFreeContiguousMemory",                       Irql::DISPATCH, "Rule IrqlMmDispatch; the routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "MmFreeMappingAddress",                         Irql::APC,      "Rule IrqlMmApcLte"),
    at_most(ids::ENTRY_LEVEL,   "MmFreeNonCachedMemory",                        Irql::APC,      "Rule IrqlMmApcLte"),
    at_most(ids::ENTRY_LEVEL,   "MmFreePagesFromMdl",                           Irql::APC,      "Rule IrqlMmApcLte"),
    at_most(ids::ENTRY_LEVEL,   "MmGetPhysicalMemoryRanges",                   Irql::PASSIVE, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "MmGetSystemRoutineAddress",                    Irql::PASSIVE,  "wdm.MmGetSystemRoutineAddress, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "MmLockPagableDataSection",                     Irql::APC,      "Rule IrqlMmApcLte"),
    at_most(ids::ENTRY_LEVEL,   "MmLockPagableSectionByHandle",                 Irql::APC,      "Rule IrqlMmApcLte"),
    at_most(ids::ENTRY_LEVEL,   "MmMapIoSpace",                                 Irql::DISPATCH, "Rule IrqlMmDispatch; the routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "MmMapIoSpaceEx",                               Irql::DISPATCH, "Rule IrqlMmDispatch; the routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "MmMapLockedPages",                             Irql::DISPATCH, "Rule IrqlMmDispatch; the routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "MmMapLockedPagesSpecifyCache",                 Irql::DISPATCH, "Rule IrqlMmDispatch; the routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "MmPageEntireDriver",                           Irql::APC,      "Rule IrqlMmApcLte"),
    at_most(ids::ENTRY_LEVEL,   "MmProbeAndLockPages",                          Irql::DISPATCH, "Rule IrqlMmDispatch; the routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "MmResetDriverPaging",                          Irql::APC,      "Rule IrqlMmApcLte"),
    at_most(ids::ENTRY_LEVEL,   "MmUnlockPagableImageSection",                  Irql::APC,      "Rule IrqlMmApcLte"),
    at_most(ids::ENTRY_LEVEL,   "MmUnlockPages",                                Irql::DISPATCH, "Rule IrqlMmDispatch; the routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "MmUnmapIoSpace",                               Irql::APC,      "Bug check 0xC4, parameter 0x7B"),
    at_most(ids::ENTRY_LEVEL,   "MmUnmapLockedPages",                           Irql::DISPATCH, "Rule IrqlMmDispatch; the routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "ObCloseHandle",                              Irql::PASSIVE,  "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "ObGetObjectSecurity",                          Irql::APC,      "Rule IrqlApcLte"),
    at_most(ids::ENTRY_LEVEL,   "ObOpenObjectByPointer",                        Irql::PASSIVE,  "Rule IrqlObPassive"),
    at_most(ids::ENTRY_LEVEL,   "ObQueryNameString",                          Irql::PASSIVE,  "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "ObReferenceObjectByHandle",                    Irql::PASSIVE,  "Rule IrqlObPassive"),
    at_most(ids::ENTRY_LEVEL,   "ObReferenceObjectByHandleWithTag",            Irql::PASSIVE, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "ObReferenceObjectByPointer",                 Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "ObReleaseObjectSecurity",                      Irql::APC,      "Rule IrqlApcLte"),
    at_most(ids::ENTRY_LEVEL,   "ObfDereferenceObject",                       Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "ObfDereferenceObjectWithTag",                 Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "ObfReferenceObject",                         Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "ObfReferenceObjectWithTag",                   Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "PoCallDriver",                                 Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "PoRegisterDeviceForIdleDetection",           Irql::PASSIVE,  "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "PoRequestPowerIrp",                            Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "PoSetPowerState",                              Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "PoSetSystemState",                           Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "PoStartNextPowerIrp",                          Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "ProbeForRead",                                 Irql::APC,      "Rule IrqlExApcLte2"),
    at_most(ids::ENTRY_LEVEL,   "ProbeForWrite",                                Irql::APC,      "Rule IrqlExApcLte2"),
    at_most(ids::ENTRY_LEVEL,   "PsCreateSystemThread",                         Irql::PASSIVE,  "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "PsRemoveLoadImageNotifyRoutine",               Irql::PASSIVE,  "Rule IrqlPsPassive"),
    at_most(ids::ENTRY_LEVEL,   "PsSetCreateProcessNotifyRoutine",              Irql::PASSIVE,  "Rule IrqlPsPassive"),
    at_most(ids::ENTRY_LEVEL,   "PsSetCreateProcessNotifyRoutineEx",           Irql::PASSIVE, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "PsSetCreateThreadNotifyRoutine",               Irql::PASSIVE,  "Rule IrqlPsPassive"),
    at_most(ids::ENTRY_LEVEL,   "PsSetLoadImageNotifyRoutine",                  Irql::PASSIVE,  "Rule IrqlPsPassive"),
    at_most(ids::ENTRY_LEVEL,   "PsTerminateSystemThread",                      Irql::PASSIVE,  "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "PutDmaAdapter",                               Irql::PASSIVE, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "PutScatterGatherList",                        Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "ReadDmaCounter",                              Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "RtlCheckRegistryKey",                          Irql::PASSIVE,  "Rule IrqlRtlPassive; the routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "RtlCreateRegistryKey",                         Irql::PASSIVE,  "Rule IrqlRtlPassive; the routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "RtlDeleteRegistryValue",                       Irql::PASSIVE,  "Rule IrqlRtlPassive; the routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "RtlQueryRegistryValues",                       Irql::PASSIVE,  "Rule IrqlRtlPassive; the routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "RtlWriteRegistryValue",                        Irql::PASSIVE,  "Rule IrqlRtlPassive; the routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "WmiCompleteRequest",                           Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "WmiFireEvent",                                 Irql::DISPATCH, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "WmiSystemControl",                             Irql::PASSIVE,  "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "ZwAllocateVirtualMemory",                      Irql::PASSIVE,  "Rules IrqlZwPassive and IrqlIoRtlZwPassive"),
    at_most(ids::ENTRY_LEVEL,   "ZwCancelTimer",                                Irql::PASSIVE,  "Rules IrqlZwPassive and IrqlIoRtlZwPassive"),
    at_most(ids::ENTRY_LEVEL,   "ZwClearEvent",                                Irql::PASSIVE, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "ZwClose",                                      Irql::PASSIVE,  "Rules IrqlZwPassive and IrqlIoRtlZwPassive"),
    at_most(ids::ENTRY_LEVEL,   "ZwCreateEvent",                               Irql::PASSIVE, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "ZwCreateFile",                                 Irql::PASSIVE,  "Rules IrqlZwPassive and IrqlIoRtlZwPassive"),
    at_most(ids::ENTRY_LEVEL,   "ZwCreateKey",                                  Irql::PASSIVE,  "Rules IrqlZwPassive and IrqlIoRtlZwPassive"),
    at_most(ids::ENTRY_LEVEL,   "ZwCreateTimer",                                Irql::PASSIVE,  "Rules IrqlZwPassive and IrqlIoRtlZwPassive"),
    at_most(ids::ENTRY_LEVEL,   "ZwDeleteKey",                                  Irql::PASSIVE,  "Rules IrqlZwPassive and IrqlIoRtlZwPassive"),
    at_most(ids::ENTRY_LEVEL,   "ZwDeleteValueKey",                             Irql::PASSIVE,  "Rules IrqlZwPassive and IrqlIoRtlZwPassive"),
    at_most(ids::ENTRY_LEVEL,   "ZwDeviceIoControlFile",                       Irql::PASSIVE, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "ZwEnumerateKey",                               Irql::PASSIVE,  "Rules IrqlZwPassive and IrqlIoRtlZwPassive"),
    at_most(ids::ENTRY_LEVEL,   "ZwEnumerateValueKey",                          Irql::PASSIVE,  "Rules IrqlZwPassive and IrqlIoRtlZwPassive"),
    at_most(ids::ENTRY_LEVEL,   "ZwFlushBuffersFile",                          Irql::PASSIVE, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "ZwFlushKey",                                   Irql::PASSIVE,  "Rules IrqlZwPassive and IrqlIoRtlZwPassive"),
    at_most(ids::ENTRY_LEVEL,   "ZwFreeVirtualMemory",                          Irql::PASSIVE,  "Rules IrqlZwPassive and IrqlIoRtlZwPassive"),
    at_most(ids::ENTRY_LEVEL,   "ZwOpenEvent",                                 Irql::PASSIVE, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "ZwOpenFile",                                  Irql::PASSIVE, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "ZwOpenKey",                                    Irql::PASSIVE,  "Rules IrqlZwPassive and IrqlIoRtlZwPassive"),
    at_most(ids::ENTRY_LEVEL,   "ZwOpenTimer",                                  Irql::PASSIVE,  "Rules IrqlZwPassive and IrqlIoRtlZwPassive"),
    at_most(ids::ENTRY_LEVEL,   "ZwPowerInformation",                          Irql::PASSIVE, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "ZwQueryInformationFile",                       Irql::PASSIVE,  "Rules IrqlZwPassive and IrqlIoRtlZwPassive"),
    at_most(ids::ENTRY_LEVEL,   "ZwQueryKey",                                   Irql::PASSIVE,  "Rules IrqlZwPassive and IrqlIoRtlZwPassive"),
    at_most(ids::ENTRY_LEVEL,   "ZwQuerySystemInformation",                     Irql::PASSIVE,  "Rules IrqlZwPassive and IrqlIoRtlZwPassive"),
    at_most(ids::ENTRY_LEVEL,   "ZwQueryValueKey",                              Irql::PASSIVE,  "Rules IrqlZwPassive and IrqlIoRtlZwPassive"),
    at_most(ids::ENTRY_LEVEL,   "ZwReadFile",                                   Irql::PASSIVE,  "Rules IrqlZwPassive and IrqlIoRtlZwPassive"),
    at_most(ids::ENTRY_LEVEL,   "ZwResetEvent",                                Irql::PASSIVE, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "ZwSetEvent",                                  Irql::PASSIVE, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "ZwSetInformationFile",                         Irql::PASSIVE,  "Rules IrqlZwPassive and IrqlIoRtlZwPassive"),
    at_most(ids::ENTRY_LEVEL,   "ZwSetInformationThread",                      Irql::PASSIVE, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "ZwSetSecurityObject",                         Irql::PASSIVE, "The routine's page, IRQL row"),
    at_most(ids::ENTRY_LEVEL,   "ZwSetTimer",                                   Irql::PASSIVE,  "Rules IrqlZwPassive and IrqlIoRtlZwPassive"),
    at_most(ids::ENTRY_LEVEL,   "ZwSetValueKey",                                Irql::PASSIVE,  "Rules IrqlZwPassive and IrqlIoRtlZwPassive"),
    at_most(ids::ENTRY_LEVEL,   "ZwWaitForSingleObject",                        Irql::PASSIVE,  "Rules IrqlZwPassive and IrqlIoRtlZwPassive"),
    at_most(ids::ENTRY_LEVEL,   "ZwWriteFile",                                  Irql::PASSIVE,  "Rules IrqlZwPassive and IrqlIoRtlZwPassive"),
];

const _: () = {
    let mut row = 1;
    while row < ENTRY_IRQL.len() {
        assert!(
            is_before(ENTRY_IRQL[row - 1].ddi, ENTRY_IRQL[row].ddi),
            "ENTRY_IRQL is sorted by name"
        );
        row += 1;
    }
};

/// The level rule of a DDI, or `None` if it may be called at any level.
///
/// Constant, so that each export finds its rule when the table of exports is compiled.
#[must_use]
pub const fn entry_irql(ddi: &str) -> Option<&'static IrqlRule> {
    let (mut low, mut high) = (0, ENTRY_IRQL.len());
    while low < high {
        let middle = low + (high - low) / 2;
        if is_before(ENTRY_IRQL[middle].ddi, ddi) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if low < ENTRY_IRQL.len() && !is_before(ddi, ENTRY_IRQL[low].ddi) {
        Some(&ENTRY_IRQL[low])
    } else {
        None
    }
}

/// Order of bytes.
const fn is_before(left: &str, right: &str) -> bool {
    let (left, right) = (left.as_bytes(), right.as_bytes());
    let mut at = 0;
    while at < left.len() && at < right.len() {
        if left[at] != right[at] {
            return left[at] < right[at];
        }
        at += 1;
    }
    left.len() < right.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_found_by_the_whole_name_only() {
        assert_eq!(
            entry_irql("KeSetEvent").map(|rule| rule.highest),
            Some(Irql::DISPATCH)
        );
        assert_eq!(entry_irql("KeSetEven"), None);
        assert_eq!(entry_irql("KeSetEventBoost"), None);
        assert_eq!(entry_irql(""), None);
    }

    #[test]
    fn every_row_is_found() {
        for rule in ENTRY_IRQL {
            assert_eq!(entry_irql(rule.ddi), Some(rule));
        }
    }
}
