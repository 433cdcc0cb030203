/* What these drivers use of the kernel's interface, written down by hand so that both compilers
 * read the same. */

typedef unsigned char UCHAR;
typedef signed char CHAR;
typedef unsigned short USHORT;
typedef short SHORT;
typedef unsigned int ULONG;
typedef int LONG;
typedef unsigned long long ULONG64;
typedef long long LONG64;
typedef int NTSTATUS;
typedef unsigned short WCHAR;

#define NULL ((void *)0)
#define STATUS_SUCCESS ((NTSTATUS)0)
#define STATUS_TIMEOUT ((NTSTATUS)0x102)
#define STATUS_INVALID_DEVICE_REQUEST ((NTSTATUS)0xC0000010)
#define STATUS_ACCESS_VIOLATION ((NTSTATUS)0xC0000005)
#define STATUS_OBJECT_NAME_INVALID ((NTSTATUS)0xC0000033)
#define STATUS_MUTANT_NOT_OWNED ((NTSTATUS)0xC0000046)
#define STATUS_MUTANT_LIMIT_EXCEEDED ((NTSTATUS)0xC0000191)

#define PASSIVE_LEVEL 0
#define APC_LEVEL 1
#define DISPATCH_LEVEL 2
#define SYNCH_LEVEL 12
#define HIGH_LEVEL 15

typedef struct LIST_ENTRY {
    struct LIST_ENTRY *Flink, *Blink;
} LIST_ENTRY;

typedef struct {
    USHORT Length, MaximumLength;
    WCHAR *Buffer;
} UNICODE_STRING;

typedef struct {
    UCHAR Type, Flags1, Size, Flags3;
    LONG SignalState;
    LIST_ENTRY WaitListHead;
} DISPATCHER_HEADER;

typedef struct {
    DISPATCHER_HEADER Header;
} KEVENT;

typedef struct {
    DISPATCHER_HEADER Header;
    LIST_ENTRY MutantListEntry;
    void *OwnerThread;
    UCHAR Abandoned, ApcDisable;
} KMUTANT;

typedef struct {
    DISPATCHER_HEADER Header;
    ULONG64 DueTime;
    LIST_ENTRY TimerListEntry;
    void *Dpc;
    ULONG Processor, Period;
} KTIMER;

typedef struct KDPC {
    UCHAR Type, Importance;
    USHORT Number;
    LIST_ENTRY DpcListEntry;
    void (*DeferredRoutine)(struct KDPC *, void *, void *, void *);
    void *DeferredContext, *SystemArgument1, *SystemArgument2, *DpcData;
} KDPC;

typedef struct {
    LONG Count;
    void *Owner;
    ULONG Contention;
    KEVENT Gate;
    union {
        ULONG OldIrql;
        struct {
            SHORT KernelApcDisable, SpecialApcDisable;
        };
    };
    ULONG Padding;
} MUTEX;

typedef struct {
    struct {
        void *Next;
        ULONG64 Lock;
    } LockQueue;
    UCHAR OldIrql;
} KLOCK_QUEUE_HANDLE;

typedef struct {
    SHORT Type, Size;
    LIST_ENTRY DeviceListHead;
    ULONG64 Lock;
    UCHAR Busy;
} KDEVICE_QUEUE;

typedef struct {
    LIST_ENTRY DeviceListEntry;
    ULONG SortKey;
    UCHAR Inserted;
} KDEVICE_QUEUE_ENTRY;

typedef struct {
    LIST_ENTRY WaitListEntry;
    void *Thread, *Object, *NextWaitBlock;
    USHORT WaitKey;
    UCHAR WaitType, SpareByte;
    LONG SpareLong;
} KWAIT_BLOCK;

typedef struct MDL {
    struct MDL *Next;
    SHORT Size, MdlFlags;
    void *Process, *MappedSystemVa, *StartVa;
    ULONG ByteCount, ByteOffset;
} MDL;

typedef struct DRIVER_OBJECT DRIVER_OBJECT;
typedef struct DEVICE_OBJECT DEVICE_OBJECT;
typedef struct IRP IRP;
typedef struct FILE_OBJECT FILE_OBJECT;

struct DEVICE_OBJECT {
    SHORT Type;
    USHORT Size;
    LONG ReferenceCount;
    DRIVER_OBJECT *DriverObject;
    DEVICE_OBJECT *NextDevice, *AttachedDevice;
    IRP *CurrentIrp;
    void *Timer;
    ULONG Flags, Characteristics;
    void *Vpb, *DeviceExtension;
    ULONG DeviceType;
    CHAR StackSize;
    UCHAR Rest[0x150 - 0x4D];
};

typedef struct {
    DRIVER_OBJECT *DriverObject;
    void *AddDevice;
    ULONG Count;
    UNICODE_STRING ServiceKeyName;
} DRIVER_EXTENSION;

struct DRIVER_OBJECT {
    SHORT Type, Size;
    DEVICE_OBJECT *DeviceObject;
    ULONG Flags;
    void *DriverStart;
    ULONG DriverSize;
    void *DriverSection;
    DRIVER_EXTENSION *DriverExtension;
    UNICODE_STRING DriverName;
    UNICODE_STRING *HardwareDatabase;
    void *FastIoDispatch, *DriverInit, *DriverStartIo;
    void (*DriverUnload)(DRIVER_OBJECT *);
    NTSTATUS (*MajorFunction[28])(DEVICE_OBJECT *, IRP *);
};

typedef struct {
    UCHAR MajorFunction, MinorFunction, Flags, Control;
    ULONG Padding4, OutputLength, Padding12, InputLength, Padding20, Code, Padding28;
    void *Type3InputBuffer;
    DEVICE_OBJECT *DeviceObject;
    FILE_OBJECT *FileObject;
    void *CompletionRoutine, *Context;
} IO_STACK_LOCATION;

struct FILE_OBJECT {
    SHORT Type, Size;
    DEVICE_OBJECT *DeviceObject;
    void *Vpb, *FsContext, *FsContext2;
};

struct IRP {
    SHORT Type;
    USHORT Size;
    MDL *MdlAddress;
    ULONG Flags;
    void *SystemBuffer;
    LIST_ENTRY ThreadListEntry;
    NTSTATUS Status;
    ULONG64 Information;
    CHAR RequestorMode;
    UCHAR PendingReturned;
    CHAR StackCount, CurrentLocation;
    UCHAR Cancel, CancelIrql;
    CHAR ApcEnvironment;
    UCHAR AllocationFlags;
    void *UserIosb, *UserEvent;
    UCHAR Overlay[16];
    void *CancelRoutine, *UserBuffer;
    UCHAR Tail[0x40];
    IO_STACK_LOCATION *CurrentStackLocation;
    UCHAR Rest[0x10];
};

typedef struct {
    ULONG Length;
    void *RootDirectory;
    UNICODE_STRING *ObjectName;
    ULONG Attributes;
    void *SecurityDescriptor, *SecurityQualityOfService;
} OBJECT_ATTRIBUTES;

_Static_assert(sizeof(DEVICE_OBJECT) == 0x150, "");
_Static_assert(sizeof(DRIVER_OBJECT) == 0x150, "");
_Static_assert(sizeof(IO_STACK_LOCATION) == 0x48, "");
_Static_assert(sizeof(IRP) == 0xD0, "");
_Static_assert(sizeof(MUTEX) == 56, "");

#define API __declspec(dllimport)

API NTSTATUS IoCreateDevice(DRIVER_OBJECT *, ULONG, UNICODE_STRING *, ULONG, ULONG, UCHAR, DEVICE_OBJECT **);
API void IoDeleteDevice(DEVICE_OBJECT *);
API NTSTATUS IoCreateSymbolicLink(UNICODE_STRING *, UNICODE_STRING *);
API NTSTATUS IoDeleteSymbolicLink(UNICODE_STRING *);
API void IofCompleteRequest(IRP *, CHAR);
API MDL *IoAllocateMdl(void *, ULONG, UCHAR, UCHAR, IRP *);
API void IoFreeMdl(MDL *);
API IRP *IoAllocateIrp(CHAR, UCHAR);
API void IoFreeIrp(IRP *);
API void IoInitializeIrp(IRP *, USHORT, CHAR);
API void MmProbeAndLockPages(MDL *, CHAR, ULONG);
API void MmUnlockPages(MDL *);
API void *MmMapLockedPagesSpecifyCache(MDL *, CHAR, ULONG, void *, ULONG, ULONG);
API void *MmGetSystemRoutineAddress(UNICODE_STRING *);
API ULONG DbgPrint(const char *, ...);
API void RtlInitUnicodeString(UNICODE_STRING *, const WCHAR *);
API UCHAR RtlEqualUnicodeString(const UNICODE_STRING *, const UNICODE_STRING *, UCHAR);
API void *ExAllocatePoolWithTag(ULONG, ULONG64, ULONG);
API void ExFreePoolWithTag(void *, ULONG);

API void KeInitializeSpinLock(ULONG64 *);
API UCHAR KeAcquireSpinLockRaiseToDpc(ULONG64 *);
API UCHAR KeAcquireSpinLockRaiseToSynch(ULONG64 *);
API void KeReleaseSpinLock(ULONG64 *, UCHAR);
API void KeAcquireSpinLockAtDpcLevel(ULONG64 *);
API void KeReleaseSpinLockFromDpcLevel(ULONG64 *);
API UCHAR KeTryToAcquireSpinLockAtDpcLevel(ULONG64 *);
API UCHAR KeTestSpinLock(ULONG64 *);
API void KeAcquireInStackQueuedSpinLock(ULONG64 *, KLOCK_QUEUE_HANDLE *);
API void KeReleaseInStackQueuedSpinLock(KLOCK_QUEUE_HANDLE *);
API void KeAcquireInStackQueuedSpinLockAtDpcLevel(ULONG64 *, KLOCK_QUEUE_HANDLE *);
API void KeReleaseInStackQueuedSpinLockFromDpcLevel(KLOCK_QUEUE_HANDLE *);
API ULONG KeTryToAcquireQueuedSpinLock(ULONG, UCHAR *);
API UCHAR KeAcquireQueuedSpinLock(ULONG);
API void KeReleaseQueuedSpinLock(ULONG, UCHAR);

API void KeInitializeDpc(KDPC *, void *, void *);
API UCHAR KeInsertQueueDpc(KDPC *, void *, void *);
API UCHAR KeRemoveQueueDpc(KDPC *);

API void KeInitializeEvent(KEVENT *, ULONG, UCHAR);
API LONG KeSetEvent(KEVENT *, LONG, UCHAR);
API LONG KeResetEvent(KEVENT *);
API void KeClearEvent(KEVENT *);
API LONG KePulseEvent(KEVENT *, LONG, UCHAR);
API LONG KeReadStateEvent(KEVENT *);
API void KeInitializeTimerEx(KTIMER *, ULONG);
API NTSTATUS KeWaitForSingleObject(void *, ULONG, CHAR, UCHAR, LONG64 *);
API NTSTATUS KeWaitForMultipleObjects(ULONG, void **, ULONG, ULONG, CHAR, UCHAR, LONG64 *, KWAIT_BLOCK *);
API NTSTATUS KeDelayExecutionThread(CHAR, UCHAR, LONG64 *);
API LONG KeQueryPriorityThread(void *);
API LONG KeSetPriorityThread(void *, LONG);
API void KeInitializeMutant(KMUTANT *, UCHAR);
API LONG KeReleaseMutant(KMUTANT *, LONG, UCHAR, UCHAR);
API void KeInitializeMutex(KMUTANT *, ULONG);
API LONG KeReleaseMutex(KMUTANT *, UCHAR);
API void KeEnterCriticalRegion(void);
API void KeLeaveCriticalRegion(void);
API void KeEnterGuardedRegion(void);
API void KeLeaveGuardedRegion(void);
API UCHAR KeAreApcsDisabled(void);
API UCHAR KeAreAllApcsDisabled(void);
API void KeInitializeGuardedMutex(MUTEX *);
API void KeAcquireGuardedMutex(MUTEX *);
API void KeAcquireGuardedMutexUnsafe(MUTEX *);
API UCHAR KeTryToAcquireGuardedMutex(MUTEX *);
API void KeReleaseGuardedMutex(MUTEX *);
API void KeReleaseGuardedMutexUnsafe(MUTEX *);
API void ExAcquireFastMutex(MUTEX *);
API void ExAcquireFastMutexUnsafe(MUTEX *);
API UCHAR ExTryToAcquireFastMutex(MUTEX *);
API void ExReleaseFastMutex(MUTEX *);
API void ExReleaseFastMutexUnsafe(MUTEX *);
API UCHAR KeSynchronizeExecution(void *, UCHAR (*)(void *), void *);
API void KeInitializeDeviceQueue(KDEVICE_QUEUE *);
API UCHAR KeInsertDeviceQueue(KDEVICE_QUEUE *, KDEVICE_QUEUE_ENTRY *);
API UCHAR KeInsertByKeyDeviceQueue(KDEVICE_QUEUE *, KDEVICE_QUEUE_ENTRY *, ULONG);
API KDEVICE_QUEUE_ENTRY *KeRemoveDeviceQueue(KDEVICE_QUEUE *);
API UCHAR KeRemoveEntryDeviceQueue(KDEVICE_QUEUE *, KDEVICE_QUEUE_ENTRY *);
API NTSTATUS IoConnectInterrupt(void **, void *, void *, ULONG64 *, ULONG, UCHAR, UCHAR, ULONG, UCHAR, ULONG64, UCHAR);
API NTSTATUS PsCreateSystemThread(void **, ULONG, OBJECT_ATTRIBUTES *, void *, void *, void (*)(void *), void *);
API NTSTATUS ObReferenceObjectByHandle(void *, ULONG, void *, CHAR, void **, void *);
API void ObfDereferenceObject(void *);
API NTSTATUS ZwClose(void *);
extern API void **PsThreadType;

static inline UCHAR KeGetCurrentIrql(void) {
    ULONG64 level;
    __asm__ volatile("mov %%cr8, %0" : "=r"(level));
    return (UCHAR)level;
}

static inline void KeLowerIrql(UCHAR level) {
    __asm__ volatile("mov %0, %%cr8" : : "r"((ULONG64)level) : "memory");
}

static inline UCHAR KfRaiseIrql(UCHAR level) {
    UCHAR old = KeGetCurrentIrql();
    KeLowerIrql(level);
    return old;
}

static inline void *KeGetCurrentThread(void) {
    void *thread;
    __asm__ volatile("mov %%gs:0x188, %0" : "=r"(thread));
    return thread;
}

static inline UCHAR *KeGetCurrentPrcb(void) {
    UCHAR *prcb;
    __asm__ volatile("mov %%gs:0x20, %0" : "=r"(prcb));
    return prcb;
}

static inline ULONG64 flags(void) {
    ULONG64 flags;
    __asm__ volatile("pushfq\n\tpop %0" : "=r"(flags));
    return flags;
}
