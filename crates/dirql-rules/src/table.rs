//! Every rule, one per line.

use crate::define::rules;
use crate::{Rule, RuleId, Severity};
use Severity::{Advice, Error, Warning};

rules! {
    BUG_CHECK = 1, Error,
        "a driver must not stop the system",
        "look at the bug check's parameters and the place where it happened",
        "Bug Check Code Reference", "the bug check itself";
    UNIMPLEMENTED_IMPORT = 2, Error,
        "this release does not implement a routine that the driver called",
        "`dirql imports` lists what a driver needs and what is implemented",
        "dirql", "";
    HANG = 3, Error,
        "driver code must come to an end",
        "a loop that waits for hardware or another processor needs a time limit",
        "Preventing Errors and Deadlocks While Using Spin Locks", "0x133 DPC_WATCHDOG_VIOLATION, 0x101 CLOCK_WATCHDOG_TIMEOUT";
    DRIVER_BREAKPOINT = 4, Error,
        "a driver must not break into a debugger that is not there",
        "an int3 or DbgBreakPoint stops a machine without a debugger",
        "wdm.DbgBreakPoint, Remarks", "0x7E or 0x1E with 0x80000003";
    UNSUPPORTED_INSTRUCTION = 5, Error,
        "driver code executed an instruction that has no meaning here",
        "see the instruction in the message",
        "dirql", "";
    ENTRY_LEVEL = 100, Error,
        "a DDI must be called at an IRQL that its page allows",
        "lower the IRQL first, or use a routine made for this level",
        "Managing Hardware Priorities", "0xC4, DDI compliance rules";
    CONNECT_IRQL = 101, Error,
        "interrupts are connected and disconnected at PASSIVE_LEVEL",
        "connect in the start-device path and disconnect in the stop and remove paths, before raising the IRQL or taking a spin lock",
        "wdm.IoConnectInterruptEx, IRQL row; rules IrqlIoPassive2 and IrqlIoPassive4", "0xC4 0x2000B, 0x2000D for the two older routines";
    REPORT_IRQL = 102, Error,
        "IoReportInterruptActive and IoReportInterruptInactive are called at or below DISPATCH_LEVEL",
        "queue a DPC to report",
        "wdm.IoReportInterruptActive, IRQL row", "";
    SYNCHRONIZE_IRQL = 103, Error,
        "KeSynchronizeExecution is called at or below the interrupt's SynchronizeIrql",
        "do not call it from code that runs above the interrupt",
        "wdm.KeSynchronizeExecution, IRQL row", "";
    INTERRUPT_LOCK_IRQL = 104, Error,
        "the interrupt spin lock is taken at or below SynchronizeIrql and released at it by its holder",
        "pair KeAcquireInterruptSpinLock and KeReleaseInterruptSpinLock on one path, with the level that the first returned",
        "wdm.KeAcquireInterruptSpinLock, IRQL row", "";
    RAISE_BELOW = 105, Error,
        "KeRaiseIrql does not lower, KeLowerIrql does not raise",
        "save the level that KeRaiseIrql returned and hand exactly that one to KeLowerIrql",
        "wdm.KeRaiseIrql, Remarks; wdm.KeLowerIrql, Remarks", "0x9, 0xA, 0xC4 0x30 and 0x31";
    PASSIVE_INTERRUPT_LOCK = 106, Error,
        "the interrupt spin lock routines are not for passive-level interrupts",
        "use KeSynchronizeExecution, which takes the interrupt's event",
        "Using Passive-Level Interrupt Service Routines; bug check 0x13B", "0x13B PASSIVE_INTERRUPT_ERROR";
    SELF_DEADLOCK = 110, Error,
        "a processor must not wait for a lock that it holds",
        "an ISR and a critical section already own the interrupt's lock; do not take it again on the same processor",
        "Preventing Errors and Deadlocks While Using Spin Locks", "0x0F SPIN_LOCK_ALREADY_OWNED on checked builds, else a hang";
    DEADLOCK = 111, Error,
        "processors must not wait for each other for ever",
        "take locks in the same order everywhere",
        "Preventing Errors and Deadlocks While Using Spin Locks", "0x101, 0x133, 0xC4 0x1001";
    RELEASE_NOT_OWNED = 112, Error,
        "a spin lock is released by the processor that took it",
        "release each lock once, on the path that acquired it",
        "wdm.KeReleaseSpinLock, Remarks", "0x10 SPIN_LOCK_NOT_OWNED, 0xC4 0x1007";
    LOCK_KIND = 113, Error,
        "a spin lock is used with one kind of routine, queued or not",
        "use KeAcquireInStackQueuedSpinLock everywhere for this lock, or nowhere",
        "Queued Spin Locks", "0xC4 0x1008, a hang";
    RELEASE_LEVEL = 114, Warning,
        "a spin lock is released to the level at which it was taken, with the counterpart of the routine that took it",
        "hand KeReleaseSpinLock the level that KeAcquireSpinLock stored for the same lock; pair the AtDpcLevel routines",
        "Rule IrqlKeReleaseSpinLock", "0xC4 0x20015, 0xC4 0x32";
    LOCK_NUMBER = 115, Error,
        "a queued spin lock's number is one that the system has",
        "the numbered locks are the system's; use a spin lock of your own",
        "ntifs.h, KSPIN_LOCK_QUEUE_NUMBER", "memory damage";
    ISR_IRQL = 120, Error,
        "an ISR returns at the IRQL at which it was called",
        "restore what you raise",
        "Bug check 0xC8, parameter 1", "0xC8 IRQL_UNEXPECTED_VALUE, 0xC4 0x111";
    DPC_IRQL = 121, Error,
        "a DPC routine returns at DISPATCH_LEVEL",
        "restore what you raise",
        "Guidelines for Writing DPC Routines", "0xC7, 0xC8";
    INTERRUPT_STORM = 122, Error,
        "an ISR makes its device drop a level-sensitive line before it returns TRUE",
        "acknowledge the interrupt at the device; return FALSE only if another device interrupted",
        "Bug check 0xF2, Cause", "0xF2 HARDWARE_INTERRUPT_STORM";
    CLAIMED_FOREIGN = 123, Warning,
        "an ISR returns TRUE only if its device interrupted",
        "read the device's interrupt status first and return FALSE if it is quiet; the other device on the line starves",
        "wdm.KSERVICE_ROUTINE, Return value", "";
    INTERRUPTS_OFF = 124, Error,
        "a routine returns with the processor's interrupts on",
        "pair cli with sti, or better raise the IRQL or take a lock",
        "Bug check 0xC4, parameters 0xC0 to 0xC3", "0xC4 0xC1";
    ISR_OF_SEVERAL_VECTORS = 125, Warning,
        "an ISR that serves several vectors is connected to all of them with one spin lock of the driver's",
        "initialise one KSPIN_LOCK and pass it, with the highest level as SynchronizeIrql, to every connect",
        "wdm.IoConnectInterrupt, Parameters", "";
    LOCK_STORAGE = 126, Error,
        "an interrupt's spin lock is initialised and resident before the interrupt is connected",
        "keep it in the device extension or in nonpaged pool, and call KeInitializeSpinLock first",
        "wdm.IoConnectInterrupt, Remarks", "a hang, 0xE1";
    DISCONNECT_VERSION = 130, Error,
        "the Version given at disconnect is the one that connect returned",
        "save Parameters.Version after IoConnectInterruptEx returns",
        "Removing an ISR; bug check 0xCA, parameter 0x9", "0xCA 0x9";
    DISCONNECT_UNKNOWN = 131, Error,
        "what is disconnected is connected",
        "disconnect each interrupt object once and clear the pointer",
        "wdm.IoDisconnectInterrupt, Parameters", "memory damage";
    LEFT_CONNECTED = 132, Error,
        "a driver disconnects its interrupts before its device is stopped or removed and before it is unloaded",
        "call IoDisconnectInterrupt(Ex) in the stop, surprise-removal and remove paths",
        "Removing a Device in a Function Driver; Writing an Unload Routine", "0xCE, or a jump to freed code";
    RAW_RESOURCE = 133, Error,
        "an interrupt is connected with translated resources",
        "take Vector, Level and Affinity from AllocatedResourcesTranslated",
        "wdm.IoConnectInterrupt, Remarks", "STATUS_NOT_FOUND or STATUS_INVALID_PARAMETER";
    DEVICE_NOT_SILENT = 134, Error,
        "a device is silent before its interrupt is disconnected",
        "mask interrupts at the device first",
        "wdm.IoDisconnectInterruptEx, Remarks", "0xF2 HARDWARE_INTERRUPT_STORM";
    MISMATCHED_MODE = 135, Warning,
        "InterruptMode and ShareVector are what the resource descriptor says",
        "derive them from Flags and ShareDisposition",
        "Using the CONNECT_FULLY_SPECIFIED Version of IoConnectInterruptEx", "connect may fail";
    OBSOLETE_VECTOR_LOOKUP = 136, Advice,
        "plug and play drivers do not call HalGetInterruptVector",
        "use the translated resources of IRP_MN_START_DEVICE",
        "HalGetInterruptVector, Remarks", "";
    REPORT_CONTEXT = 137, Error,
        "an interrupt is reported active or inactive with what IoConnectInterruptEx returned",
        "save Version and the context after the connect; an object of IoConnectInterrupt has none",
        "Making an ISR Active or Inactive", "";
    PARTIAL_MASK = 138, Warning,
        "an interrupt is connected on every processor of its descriptor's affinity",
        "pass u.Interrupt.Affinity as ProcessorEnableMask",
        "wdm.IoConnectInterrupt, Parameters", "";
    SHARED_LOCK_LEVEL = 139, Error,
        "interrupts with one spin lock have one SynchronizeIrql, the highest of their levels",
        "compute the maximum of all levels before the first connect",
        "wdm.IoConnectInterrupt, Parameters", "a hang";
    DPC_LEFT_QUEUED = 140, Error,
        "no DPC of a driver is queued when its memory is freed or it is unloaded",
        "KeRemoveQueueDpc, then KeFlushQueuedDpcs, after the interrupt is disconnected",
        "Writing an Unload Routine", "0xC7, 0xCE";
    TIMER_LEFT_SET = 141, Error,
        "no timer of a driver is set when its memory is freed or it is unloaded",
        "KeCancelTimer, then KeFlushQueuedDpcs",
        "Writing an Unload Routine", "0xC7, 0xC4 0x15";
    DPC_NOT_INITIALIZED = 142, Error,
        "a DPC object is initialised before it is queued",
        "call KeInitializeDpc or IoInitializeDpcRequest in AddDevice",
        "wdm.KeInitializeDpc, Remarks", "memory damage";
    DPC_ARGUMENTS_DROPPED = 143, Warning,
        "arguments of a DPC that is queued already are dropped",
        "keep what the DPC needs in the device extension, and let it take all there is",
        "wdm.KeInsertQueueDpc, Remarks", "";
    DPC_CHANGED_WHILE_QUEUED = 144, Warning,
        "importance and target processor of a DPC are set before it is queued",
        "set them once, after KeInitializeDpc",
        "wdm.KeSetImportanceDpc; wdm.KeSetTargetProcessorDpc", "";
    CALLBACK_LEFT = 145, Error,
        "a driver's bug check and NMI callbacks are deregistered before their memory is freed or it is unloaded",
        "call KeDeregisterBugCheckCallback and KeDeregisterNmiCallback in Unload",
        "wdm.KeRegisterBugCheckCallback, Remarks", "a jump to freed code";
    POOL_LEAK = 150, Error,
        "a driver frees its pool before it is unloaded",
        "free on every path, also on those of failed starts",
        "Bug check 0xC4, parameter 0x62", "0xC4 0x62";
    BAD_FREE = 151, Error,
        "only what was allocated is freed, and once",
        "clear the pointer after ExFreePool",
        "Bug check 0xC2", "0xC2 BAD_POOL_CALLER";
    WAIT_LEVEL = 160, Error,
        "nothing waits at or above DISPATCH_LEVEL",
        "queue a work item and wait there",
        "wdm.KeWaitForSingleObject, IRQL row", "0xC4 0x3B, 0xB8 ATTEMPTED_SWITCH_FROM_DPC";
    REGION_NOT_ENTERED = 161, Error,
        "a thread leaves a critical or guarded region as often as it has entered one",
        "pair the enter and leave routines on every path",
        "Bug check 0x1", "0x1 APC_INDEX_MISMATCH when the system call ends";
    IRP_COMPLETED_TWICE = 170, Error,
        "an IRP is completed once",
        "after IoCompleteRequest the IRP is not yours any more",
        "Bug check 0x44", "0x44 MULTIPLE_IRP_COMPLETE_REQUESTS";
    IRP_FORGOTTEN = 171, Error,
        "a dispatch routine completes an IRP, passes it on, or marks it pending",
        "check every return path of the dispatch routine",
        "Bug check 0xC9, parameter 0x226", "0xC9 0x226";
    EXPECTATION = 180, Error,
        "the driver answers as its scenario expects",
        "compare the expected and the actual value in the message",
        "the scenario file", "";
    DEVICE_LEFT = 181, Warning,
        "a driver deletes its device objects and symbolic links before it is unloaded",
        "call IoDeleteDevice in the remove path or in Unload",
        "Writing an Unload Routine", "";
    ROUTINE_IRQL = 200, Error,
        "a driver's routine returns at the IRQL at which it was called",
        "restore what you raise, release what you lock, on every path",
        "Managing Hardware Priorities; bug check 0xC9, parameter 5", "0xC9 0x5, 0xC8";
    NOT_IO_OBJECT = 203, Error,
        "what is handed to the I/O manager as a device, driver or file object is one",
        "do not use an object after its last reference or after IoDeleteDevice",
        "Bug check 0xC9, parameter 4", "0xC9 0x4, memory damage";
    DELETED_ATTACHED = 204, Error,
        "a device is detached before it is deleted",
        "call IoDetachDevice with the lower device, then IoDeleteDevice",
        "Removing a Device in a Function Driver", "a jump to freed memory";
    DETACH_UNATTACHED = 205, Error,
        "IoDetachDevice is given the device that was attached to",
        "pass what IoAttachDeviceToDeviceStack returned, once",
        "wdm.IoDetachDevice, Parameters", "0x0A or nothing";
    IRP_MISUSE = 206, Error,
        "an IRP is initialised, reused and freed by the routines made for how it was made, by its owner",
        "IoFreeIrp for IoAllocateIrp, IoReuseIrp between uses, nothing for what the I/O manager frees",
        "Creating IRPs for Lower-Level Drivers; bug check 0xC9, parameters 1 to 3", "0xC9 0x1 to 0x3";
    CANCEL_ROUTINE_LEFT = 207, Error,
        "an IRP has no cancel routine when it is completed or sent to the next driver",
        "IoSetCancelRoutine(Irp, NULL) first, and leave the IRP alone if that returns NULL",
        "Implementing a Cancel Routine; bug check 0xC9, parameters 7 and 0x229", "0xC9 0x7, 0xC9 0x229";
    PENDING_MISMATCH = 208, Error,
        "a dispatch routine returns STATUS_PENDING exactly for IRPs that it marked pending",
        "call IoMarkIrpPending before the IRP can be completed, and return STATUS_PENDING then",
        "IRP handling: returning STATUS_PENDING (wdm.IoMarkIrpPending, Remarks)", "0xC9 0x224, lost completions";
    STATUS_MISMATCH = 209, Error,
        "a dispatch routine returns the status with which it completed the IRP",
        "keep the status in a variable; the IRP is not yours after IoCompleteRequest",
        "Completing IRPs; bug check 0xC9, parameter 0x224", "0xC9 0x224";
    COMPLETED_PENDING = 210, Error,
        "an IRP is completed with a final status",
        "set IoStatus.Status to something else than STATUS_PENDING",
        "Bug check 0xC9, parameter 6", "0xC9 0x6";
    PENDING_NOT_PASSED_ON = 211, Error,
        "a completion routine that lets its IRP go up marks it pending if PendingReturned is set",
        "if (Irp->PendingReturned) IoMarkIrpPending(Irp); before returning STATUS_CONTINUE_COMPLETION",
        "Implementing an IoCompletion Routine; bug check 0xC9, parameter 0x228", "0xC9 0x228";
    CANCEL_LOCK_KEPT = 212, Error,
        "a cancel routine releases the cancel spin lock",
        "call IoReleaseCancelSpinLock with Irp->CancelIrql",
        "Implementing a Cancel Routine", "0xC7, a deadlock";
    INFORMATION_TOO_LARGE = 213, Error,
        "IoStatus.Information is not more than the caller's buffer",
        "limit it to the length in the stack location; more leaks kernel memory or overruns the caller",
        "Failure to Check the Size of Buffers", "memory damage";
    IRP_NOT_TAKEN_BACK = 214, Error,
        "a driver that allocates an IRP takes it back in its completion routine",
        "return STATUS_MORE_PROCESSING_REQUIRED, and free or reuse the IRP",
        "Using IoCompletion Routines", "0x0A or memory damage";
    REMOVE_LOCK = 215, Error,
        "a remove lock is initialised, and released once with each tag that it was acquired with",
        "pair IoAcquireRemoveLock and IoReleaseRemoveLock on every path",
        "Using Remove Locks", "0xC4 0xDF, a hang in IoReleaseRemoveLockAndWait";
    WORK_ITEM = 216, Error,
        "a work item is not queued, freed or initialised while it is queued",
        "guard the item with a flag, or allocate one for each use",
        "Bug check 0xE4", "0xE4 WORKER_INVALID";
    TIMER_MISUSE = 217, Error,
        "IoInitializeTimer is called once for a device, and before IoStartTimer",
        "initialise the timer in AddDevice",
        "I/O Timer Routines; bug check 0xC9, parameter 0xA", "0xC9 0xA";
    ERROR_LOG_ENTRY = 218, Error,
        "an error log entry is written or freed once",
        "after IoWriteErrorLogEntry the entry is not yours any more",
        "wdm.IoWriteErrorLogEntry", "memory damage";
    WMI_REGISTERED_TWICE = 219, Warning,
        "a WMI provider is registered once and deregistered at removal",
        "pair WMIREG_ACTION_REGISTER with WMIREG_ACTION_DEREGISTER",
        "Registering as a WMI Data Provider", "";
    OBJECT_COUNT = 220, Error,
        "an object's references are taken and given back in pairs",
        "one ObDereferenceObject for each ObReferenceObject and each routine that returns a reference",
        "Life Cycle of an Object; bug check 0x18", "0x18 REFERENCE_BY_POINTER";
    DEVICE_INITIALIZING = 221, Error,
        "AddDevice clears DO_DEVICE_INITIALIZING",
        "clear it as the last thing; until then nobody can attach or open",
        "Writing an AddDevice Routine; bug check 0xC9, parameter 0x22C", "0xC9 0x22C";
    NO_STACK_LOCATION = 222, Error,
        "an IRP has a stack location for each driver that it is sent to",
        "allocate it with the StackSize of the device that it is sent to, after attaching",
        "Bug check 0x35", "0x35 NO_MORE_IRP_STACK_LOCATIONS";
    PNP_MUST_SUCCEED = 223, Error,
        "stop, remove, surprise removal and the cancel requests are not failed",
        "set STATUS_SUCCESS and pass them on",
        "Plug and Play Minor IRPs, the request's page", "0xC9";
    NEXT_POWER_IRP = 224, Error,
        "before Windows Vista, every driver of a stack calls PoStartNextPowerIrp for each power IRP",
        "call it before IoSkipCurrentIrpStackLocation or in the completion routine; newer systems ignore it",
        "Calling PoStartNextPowerIrp", "0x9F DRIVER_POWER_STATE_FAILURE";
    POOL_LEVEL = 300, Error,
        "paged pool is allocated and freed at or below APC_LEVEL",
        "use nonpaged pool for what is touched at DISPATCH_LEVEL or above",
        "wdm.ExAllocatePoolWithTag, IRQL row; rule IrqlExAllocatePool", "0xC4 0x01 and 0x11";
    POOL_OVERRUN = 301, Error,
        "a driver writes only inside what it allocated",
        "compare the size that was allocated with the highest index that is written",
        "Bug check 0x19", "0x19 BAD_POOL_HEADER, 0xD6 under special pool";
    USE_AFTER_FREE = 302, Error,
        "freed memory belongs to nobody",
        "clear pointers when their target is freed, and see who else has a copy",
        "Bug check 0xC5", "0xC5 DRIVER_CORRUPTED_EXPOOL, 0xD5 under special pool";
    POOL_ZERO_BYTES = 303, Warning,
        "an allocation has at least one byte",
        "do not allocate when the computed size is 0",
        "wdm.ExAllocatePoolWithTag, Remarks; bug check 0xC4, parameter 0x00", "0xC4 0x00";
    IO_SPACE_UNMAP = 310, Error,
        "what is unmapped was mapped, with the same size, and once",
        "keep the address and the size that MmMapIoSpace was called with",
        "wdm.MmUnmapIoSpace, Parameters", "";
    IO_SPACE_LEFT = 311, Error,
        "a driver unmaps device registers before it is unloaded",
        "call MmUnmapIoSpace in the stop and remove paths",
        "Writing an Unload Routine", "";
    MDL_STATE = 320, Error,
        "an MDL is built, locked, mapped, unmapped, unlocked and freed in this order, each once",
        "follow the life of the MDL on every path; a partial MDL lies inside its source",
        "Using MDLs", "0x4E PFN_LIST_CORRUPT, 0x76 PROCESS_HAS_LOCKED_PAGES, 0xDA SYSTEM_PTE_MISUSE";
    SECTION_LOCK = 321, Error,
        "a pageable section is locked with a handle and unlocked as often as it was locked",
        "keep the handle that MmLockPagableDataSection returned",
        "Making Drivers Pageable", "";
    FAST_MUTEX = 330, Error,
        "a fast mutex is released by the thread that acquired it",
        "release on the path that acquired, once",
        "wdm.ExReleaseFastMutex, Remarks", "0xC4 0x32";
    LOOKASIDE = 331, Error,
        "a lookaside list is initialised once and deleted before its driver is unloaded",
        "call ExDeleteNPagedLookasideList or ExDeletePagedLookasideList in the remove path or in Unload",
        "Using Lookaside Lists", "0xCE, 0xC7";
    RESOURCE = 332, Error,
        "an ERESOURCE is initialised, released by a thread that holds it, and deleted when nobody does",
        "pair acquire and release on one path, and delete before the memory is freed",
        "Introduction to ERESOURCE Routines", "0xE3 RESOURCE_NOT_OWNED, 0xC4 0xD2";
    CALLBACK = 333, Error,
        "a callback is unregistered once, before its driver is unloaded",
        "keep the handle that ExRegisterCallback returned",
        "wdm.ExUnregisterCallback", "a jump to freed code";
    KEY_LEFT_OPEN = 350, Warning,
        "a driver closes its registry keys before it is unloaded",
        "call ZwClose for every key that was opened, also on error paths",
        "Opening a Handle to a Registry-Key Object", "";
    NOTIFY_LEFT = 360, Error,
        "a driver removes its notify routines before it is unloaded",
        "call PsRemoveLoadImageNotifyRoutine and its relatives in Unload",
        "ntddk.PsSetLoadImageNotifyRoutine, Remarks", "a jump to freed code";
    PRINT_LEVEL = 370, Error,
        "text with wide characters is formatted at PASSIVE_LEVEL",
        "print %wZ, %ws and their relatives from thread code, or convert the text there",
        "wdm.DbgPrint, Remarks", "0xA, 0xD1: the conversion tables are pageable";
    ASSERTION = 371, Error,
        "an assertion in the driver holds",
        "see the assertion's text; it is the driver author's own rule",
        "wdm.ASSERT", "a break into the debugger";
    NO_PLACE_FOR_RESULT = 410, Error,
        "a connect says where the result is to be stored",
        "set InterruptObject, or ConnectionContext in version 3, to the address of a pointer",
        "wdm.IO_CONNECT_INTERRUPT_PARAMETERS; the example of \"Using the CONNECT_MESSAGE_BASED Version of IoConnectInterruptEx\" leaves it out", "not stated";
    TABLE_IRQL = 430, Error,
        "the MSI-X table is changed at or below the device's DIRQL",
        "call SetTableEntry, MaskTableEntry and UnmaskTableEntry from the ISR or from below it",
        "wdm.PCI_MSIX_SET_ENTRY, IRQL row", "";
    REQUIREMENTS_LIST = 431, Error,
        "a requirements list holds the descriptors that its counts announce",
        "when descriptors are added, allocate a larger list and update Count and ListSize",
        "wdm.IO_RESOURCE_REQUIREMENTS_LIST, Members", "";
    DMA_ADAPTER = 440, Error,
        "a DMA adapter takes back what it gave, once, and is put last",
        "give map registers, lists and common buffers back to the adapter that gave them, then call PutDmaAdapter",
        "Adapter Objects and DMA; wdm.PPUT_DMA_ADAPTER", "0xE6 DRIVER_VERIFIER_DMA_VIOLATION";
    DMA_TRANSFER = 441, Error,
        "a DMA transfer lies inside its MDL and has a map register for every page",
        "allocate ADDRESS_AND_SIZE_TO_SPAN_PAGES map registers, and split transfers that are longer than the adapter allows",
        "wdm.PMAP_TRANSFER; Map Registers", "0xE6 DRIVER_VERIFIER_DMA_VIOLATION";
    DMA_FLUSH = 442, Error,
        "a DMA transfer is flushed before its map registers are freed",
        "call FlushAdapterBuffers when the device has finished, then FreeMapRegisters or FreeAdapterChannel",
        "wdm.PFLUSH_ADAPTER_BUFFERS", "0xE6 DRIVER_VERIFIER_DMA_VIOLATION; lost data";
    CRITICAL_SECTION_LEFT = 443, Error,
        "no exception leaves the routine that KeSynchronizeExecution calls",
        "handle it inside the routine; nothing releases the interrupt's lock and lowers the IRQL otherwise",
        "wdm.KeSynchronizeExecution, Remarks; Handling Exceptions", "a deadlock at the next interrupt";
    RUNDOWN = 444, Error,
        "run-down protection is released as often as it was acquired, and waited for by one thread",
        "pair ExAcquireRundownProtection and ExReleaseRundownProtection, also on error paths",
        "Run-Down Protection", "0x50; the object is used after it is gone";
    EX_TIMER = 445, Error,
        "a timer from ExAllocateTimer is used until ExDeleteTimer and not after it",
        "delete the timer last, with Wait set where its callback may run",
        "wdm.ExDeleteTimer, Remarks", "0xC7 TIMER_OR_DPC_INVALID";
    PROVIDER_LEFT = 446, Error,
        "a driver unregisters its event providers before it is unloaded",
        "call EtwUnregister in Unload, and on the error paths of DriverEntry",
        "wdm.EtwUnregister, Remarks", "0xCE: a callback into freed code";
    PAGEABLE_TOUCHED = 447, Error,
        "pageable code and data are not touched at or above DISPATCH_LEVEL",
        "move what an ISR, a DPC or code under a spin lock uses out of the PAGE sections, or lock the section with MmLockPagableCodeSection",
        "When Should Code and Data Be Pageable?", "0xD1 DRIVER_IRQL_NOT_LESS_OR_EQUAL, if the page is not in memory at the moment";
    PROCESS_DESTROYED = 450, Error,
        "a driver writes to and jumps to its own memory only",
        "the last step that had begun says where to look; a trace (`--trace`) ends with what came before",
        "dirql: driver code runs natively, and what is not memory of the simulated computer is not protected from it", "any bug check, or silent damage";
    CANCELLED_REQUEST = 460, Error,
        "a request that is cancelled comes to its end",
        "give every request that waits a cancel routine, or keep it in a cancel-safe queue; what a device works for has a time limit",
        "Canceling IRPs; Cancel-Safe IRP Queues", "the process that made the request cannot end";
    PORT_CALLBACK_LEVEL = 470, Error,
        "a parallel port's callbacks are called at the level that is theirs",
        "call TryAllocatePort, FreePort and the others at or below DISPATCH_LEVEL, and those for interrupt level in an ISR that is connected to the port",
        "parallel.h callbacks, IRQL (Windows Server 2003 DDK); Connecting an Interrupt Service Routine to a Parallel Port", "a deadlock on the port's interrupt lock, or a change that races with it";
    PORT_FREED_TWICE = 471, Error,
        "a parallel port is freed once for each time that it was allocated",
        "free on the path that got the port: after STATUS_SUCCESS or TRUE, not after STATUS_PENDING or FALSE",
        "Synchronizing the Use of a Parallel Port", "another client's turn ends, or nobody ever gets the port again";
    PORT_LEFT_CONNECTED = 472, Error,
        "a client disconnects from a parallel port before it is unloaded",
        "send IOCTL_INTERNAL_PARALLEL_DISCONNECT_INTERRUPT in the Unload routine, with the same routine and context",
        "Connecting an Interrupt Service Routine to a Parallel Port", "a jump to freed code at the next interrupt";
    PORT_LEFT_ALLOCATED = 473, Error,
        "a client frees the parallel port before it is unloaded",
        "call FreePort, or send IOCTL_INTERNAL_PARALLEL_PORT_FREE, on every path that ends the use of the port",
        "Synchronizing the Use of a Parallel Port", "no other client ever gets the port";
    PORT_CONNECT_LEVEL = 474, Error,
        "a client connects to a parallel port's interrupt, and disconnects, at PASSIVE_LEVEL",
        "send the request from a start or remove path, or from a work item",
        "wdm.IoConnectInterrupt, IRQL row: the function driver calls it for its first client", "0xC4 0x2000B";
    PORT_NOT_OWNED = 475, Error,
        "a client has the parallel port when it selects with PAR_HAVE_PORT_KEEP_PORT or uses the class driver's routines",
        "allocate or lock the port first; a selection can leave the flag out instead",
        "IOCTL_INTERNAL_SELECT_DEVICE; PARCLASS_INFORMATION, Remarks", "two clients drive one port";
    PORT_WITHOUT_ISR = 476, Advice,
        "a client that connects a deferred port check connects an ISR with it",
        "connect an ISR that returns FALSE",
        "PARALLEL_INTERRUPT_SERVICE_ROUTINE: the ISR is optional; the published driver calls it without a test", "a jump to address 0 at the first interrupt";
    PORT_CONTEXT = 477, Error,
        "a parallel port's callbacks are given the context that came with them",
        "pass the Context member of the structure that holds the callback, and not after the port was removed",
        "parallel.h callbacks, Context", "0xD1, or a change of somebody else's memory";
    LOCK_ORDER = 490, Warning,
        "locks are taken in the same order everywhere",
        "choose an order of the driver's locks, those of its interrupts among them, and keep to it",
        "Preventing Errors and Deadlocks While Using Spin Locks; Driver Verifier, Deadlock Detection", "0xC4 0x1001";
    REFUSED_CONNECT = 522, Advice,
        "what is asked for when an interrupt is connected can be given",
        "compare the arguments with the translated resources and the routine's page",
        "wdm.IoConnectInterrupt, Parameters; wdm.IoConnectInterruptEx", "STATUS_INVALID_PARAMETER or STATUS_NOT_FOUND";
    UNMAPPED_ACCESS = 523, Error,
        "device registers are accessed while they are mapped",
        "disconnect the interrupt and wait for DPCs and requests before MmUnmapIoSpace",
        "wdm.MmUnmapIoSpace", "0x50 PAGE_FAULT_IN_NONPAGED_AREA, 0xD1 DRIVER_IRQL_NOT_LESS_OR_EQUAL";
    THREAD_LEFT = 524, Error,
        "the threads that a driver has created have ended when it is unloaded",
        "have the thread end itself, and wait for the thread object in Unload: ObReferenceObjectByHandle, then KeWaitForSingleObject",
        "Bug check 0xCE, Cause; wdm.PsTerminateSystemThread, Remarks; wdm.IoCreateSystemThread, Remarks", "0xCE DRIVER_UNLOADED_WITHOUT_CANCELLING_PENDING_OPERATIONS";
    OBJECT_SMASHED = 525, Error,
        "a device object's members that are the system's stay as the system has set them",
        "look at what writes beyond a structure, or through a pointer that is not one of its own; allocate with special pool",
        "wdm.DEVICE_OBJECT, Remarks", "memory damage, such as 0xC9 0x4, 0x50 or 0x19";
    PUSH_LOCK = 531, Error,
        "a push lock is acquired with normal kernel APCs disabled, and released by its holder in the manner in which it was acquired",
        "enter a critical region first, and pair the shared and the exclusive routines",
        "wdm.ExAcquirePushLockExclusive, Remarks", "0xC4, a hang";
    TREE_LINKS = 532, Error,
        "the links of a splay tree or a generic table lead to every node once",
        "do not free, copy or insert twice an element that is in the tree",
        "ntddk.RtlInitializeGenericTable, Remarks", "a hang or memory damage";
    POWER_REGISTRATION = 533, Error,
        "what is registered with the power manager is unregistered before the driver is unloaded, once",
        "unregister in the remove path, with the handle that registering gave",
        "wdm.PoRegisterPowerSettingCallback, Remarks; ntifs.PoDeletePowerRequest", "a call into an image that is gone";
    POWER_FRAMEWORK = 534, Error,
        "calls to the power management framework answer its callbacks one for one, and references to components are given back once",
        "complete in or after each callback; pair PoFxActivateComponent and PoFxIdleComponent",
        "wdm.PoFxCompleteIdleCondition, Remarks; wdm.PoFxIdleComponent, Remarks", "0xA0 INTERNAL_POWER_ERROR";
    FREED_ACTIVE = 535, Error,
        "memory that is freed holds nothing that the system still uses",
        "cancel timers, flush DPCs, delete resources and release locks before the memory they are in goes away",
        "Bug check 0xC4, parameters 0x15 and 0x17; bug check 0xC7", "0xC4 0x15 and 0x17, 0xC7 TIMER_OR_DPC_INVALID";
    APC_QUEUED = 536, Error,
        "an APC is not initialised while it is queued",
        "wait until its kernel routine has run before the object is used again",
        "Types of APCs; ntifs.h, KeInitializeApc", "a list of the thread's that is damaged";
    PURE_CALL = 537, Error,
        "a pure virtual function is not called",
        "do not call virtual functions from a base class's constructor or destructor, and use no object that was destroyed",
        "C++ reference, _purecall; Virtual functions", "the system stops, or goes on with garbage";
    TIMER_INITIALISED_SET = 538, Error,
        "a timer is not initialised while it is set",
        "initialise it once; cancel it, and flush DPCs if it has one, before its memory is used for another",
        "wdm.KeInitializeTimerEx; Bug check 0xC7, parameter 1 of 0", "0xC7 TIMER_OR_DPC_INVALID, or a list of timers that is damaged";
    LOST_UPDATE = 555, Error,
        "a value that several contexts change is changed by one at a time",
        "hold one lock from the read to the write everywhere (KeSynchronizeExecution where an ISR takes part), or use an Interlocked routine on all sides",
        "wdm.KeSynchronizeExecution, Remarks; Synchronizing Access to Device Data; Introduction to Spin Locks", "";
    CHECK_THEN_ACT = 556, Warning,
        "a value that decides is tested and set in one step",
        "test and set under one lock, or with InterlockedCompareExchange",
        "Introduction to Spin Locks; wdm.InterlockedCompareExchange", "";
    TORN_READ = 557, Warning,
        "words that are written together are read together",
        "read them under the lock under which they are written, KeSynchronizeExecution where an ISR writes them",
        "wdm.KeSynchronizeExecution, Remarks; Synchronizing Access to Device Data", "";
    NOT_RESIDENT = 575, Error,
        "what the system uses at or above DISPATCH_LEVEL is in memory that is always there",
        "keep DPCs, timers, locks, events and what an ISR is given in the device extension or in nonpaged pool",
        "wdm.KeInitializeDpc, Remarks; wdm.IoConnectInterrupt, Parameters; Driver Verifier, Force IRQL Checking", "0xD1, 0xE1; 0xC4 0xE1 and 0xC7 at times";
    SILENT_BEFORE_CONNECT = 576, Advice,
        "a device that can be told is silent until its interrupt is connected",
        "mask interrupts at the device, and clear what is pending, before the connect; let it interrupt afterwards",
        "wdm.IoConnectInterruptEx, Remarks; Registering an ISR", "0xF2 HARDWARE_INTERRUPT_STORM where others are on the line";
    ISR_EXTENDED_STATE = 577, Error,
        "an ISR uses no registers beyond those of SSE",
        "compile it without AVX and x87, and leave such work to a DPC or a thread, inside KeSaveExtendedProcessorState",
        "Using Extended Processor Features in Windows Drivers; bug check 0xC4, parameter 0x110", "0xC4 0x110, or registers of whoever was interrupted change";
    FLOATING_SAVE = 578, Warning,
        "FloatingSave is FALSE",
        "pass FALSE; nothing is saved for it, and an ISR needs no floating point",
        "wdm.IoConnectInterrupt, Parameters", "nothing";
    LIVELOCK = 579, Error,
        "a loop at or above DISPATCH_LEVEL does not wait for what cannot run before it ends",
        "leave the loop when a turn of it has changed nothing; what it waits for needs the processor, or the lock, that the loop holds",
        "Managing Hardware Priorities; Preventing Errors and Deadlocks While Using Spin Locks", "0x133 DPC_WATCHDOG_VIOLATION, 0x101 CLOCK_WATCHDOG_TIMEOUT";
    TABLE_ENTRY = 580, Advice,
        "an MSI-X table is told of entries and messages that there are",
        "look at MessageCount, which can be smaller than what the device was asked for, and at GetTableSize",
        "wdm.PCI_MSIX_SET_ENTRY; wdm.PCI_MSIX_MASKUNMASK_ENTRY", "STATUS_INVALID_PARAMETER";
    MERGED_MESSAGES = 581, Warning,
        "an ISR for messages takes all that its device has for it, however few calls there are",
        "look at the device until it has nothing more, and take no count of messages for a count of events",
        "Intel SDM volume 3, Interrupt Acceptance for Fixed Interrupts; Using Interrupt Resource Descriptors", "work stays in the device until it interrupts again";
    ISR_DISOWNS = 582, Warning,
        "an ISR returns TRUE if its device interrupted",
        "return TRUE whenever the device had a cause, also if nothing more is to be done for it",
        "wdm.KSERVICE_ROUTINE, Return value", "other ISRs of the line are called for nothing; a latched line that is shared may be lost";
    EXCESS_MASK = 583, Advice,
        "an interrupt is connected on processors of its descriptor's affinity only",
        "pass u.Interrupt.Affinity as ProcessorEnableMask, not a mask of all processors",
        "wdm.IoConnectInterrupt, Parameters; wdm.IoConnectInterruptEx", "interrupt objects that are never used; a mask of another group's processors";
    LATE_WRITE = 584, Warning,
        "an ISR requests its DPC when it is done with what the DPC looks at",
        "make IoRequestDpc or KeInsertQueueDpc the last thing that the ISR does: the DPC may be queued already, on another processor, and run at once",
        "Writing an ISR; wdm.IoRequestDpc, Remarks", "";
    DPC_TAKEN_FOR_DONE = 585, Error,
        "a DPC that KeRemoveQueueDpc does not find may be running",
        "call KeFlushQueuedDpcs after KeRemoveQueueDpc, whatever that returns, and free then",
        "wdm.KeRemoveQueueDpc, Return value; wdm.KeFlushQueuedDpcs, Remarks", "memory damage";
    REMOVE_LOCK_NOT_AWAITED = 586, Warning,
        "a remove lock that requests hold is waited for before its device is deleted",
        "call IoReleaseRemoveLockAndWait for IRP_MN_REMOVE_DEVICE, after the request was sent down",
        "Using Remove Locks; wdm.IoReleaseRemoveLockAndWait, Remarks", "memory damage";
    SYSTEM_CALL = 600, Error,
        "a driver calls the kernel through its exports",
        "call the Zw routine of the same name; the instruction is for user mode",
        "Using Nt and Zw Versions of the Native System Services Routines", "usually 0x7F UNEXPECTED_KERNEL_MODE_TRAP";
    FOREIGN_CODE = 601, Error,
        "a driver jumps to its own code and to exported routines only",
        "the pointer that was called is not one: look at who wrote it last",
        "dirql: driver code runs natively, in a process with other code", "0xFC ATTEMPTED_EXECUTE_OF_NOEXECUTE_MEMORY, 0x50, or anything";
    FOREIGN_MEMORY = 602, Error,
        "a driver writes to its own memory only",
        "the pointer was not given to the driver: look at where it comes from",
        "dirql: driver code runs natively, in a process with other memory", "0x50, 0xD1, or silent damage";
    SET_POWER_DDI = 603, Error,
        "while a driver handles IRP_MN_SET_POWER it calls no routine that is for PASSIVE_LEVEL only",
        "do it in the start and stop paths, or in a work item that the set-power path queues",
        "Rule PowerIrpDDIs", "Static Driver Verifier only";
    MINIPORT_DDI = 604, Error,
        "a physical Storport miniport calls the port driver's routines in place of the kernel's",
        "use the StorPort routine for it, such as StorPortAcquireSpinLock, StorPortIssueDpc or StorPortAllocatePool",
        "Rule HwStorPortProhibitedDDIs", "Static Driver Verifier only";
    COMPLETED_UNDER_LOCK = 605, Warning,
        "no spin lock is held while an IRP is completed",
        "take the IRP off the queue under the lock, release the lock, then call IoCompleteRequest: completion routines above may call back",
        "Rule SpinLockSafe", "a deadlock when a completion routine above asks for the lock";
    DELETED_IN_SURPRISE_REMOVAL = 606, Error,
        "a device is not detached or deleted while its surprise removal is handled",
        "disconnect and stop there, and keep IoDetachDevice and IoDeleteDevice for IRP_MN_REMOVE_DEVICE",
        "Rule PnpSurpriseRemove; Handling an IRP_MN_SURPRISE_REMOVAL Request", "handles that are still open lead to a device that is gone";
    LONG_INTERRUPT = 607, Advice,
        "an ISR takes no more than 25 microseconds and a DPC routine no more than 100",
        "leave waiting for the device to a timer, or to a thread",
        "Guidelines for Writing DPC Routines; Servicing Interrupts", "0x133 DPC_WATCHDOG_VIOLATION, only after seconds";
    FORWARDED_ABOVE = 608, Error,
        "only power, read, write and device control requests are sent at DISPATCH_LEVEL",
        "send all others at PASSIVE_LEVEL",
        "Rules ForwardedAtBadIrql and ForwardedAtBadIrqlAllocate; Dispatch Routines and IRQLs", "0xC9, or a page fault in a driver below";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_and_in_order() {
        assert!(RULES.windows(2).all(|pair| pair[0].id < pair[1].id));
    }

    #[test]
    fn every_rule_is_explained_with_code_where_it_is_about_code() {
        for rule in RULES {
            let Some(explanation) = crate::explanation(rule.id) else {
                panic!("{} has no explanation in src/explain", rule.id)
            };
            let about_code = ![
                ids::UNIMPLEMENTED_IMPORT,
                ids::UNSUPPORTED_INSTRUCTION,
                ids::EXPECTATION,
            ]
            .contains(&rule.id);
            assert!(!explanation.why.is_empty(), "{}", rule.id);
            assert_eq!(
                (!explanation.wrong.is_empty(), !explanation.right.is_empty()),
                (about_code, about_code),
                "{}",
                rule.id
            );
        }
    }

    #[test]
    fn every_rule_has_its_texts() {
        for rule in RULES {
            assert!(
                !rule.headline.is_empty() && !rule.help.is_empty() && !rule.source.is_empty(),
                "{}",
                rule.id
            );
        }
    }
}
