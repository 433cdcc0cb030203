/* What a driver registers and opens, and has to give back before it goes. */
#include "pairs.h"

/* Routines that are in no library of the compiler's. */
static PVOID Routine(PCWSTR Name)
{
    UNICODE_STRING name;

    RtlInitUnicodeString(&name, Name);
    return MmGetSystemRoutineAddress(&name);
}

/* --- Callbacks --------------------------------------------------------------- */

static KBUGCHECK_CALLBACK_RECORD Record;

static VOID NTAPI OnBugCheck(PVOID Buffer, ULONG Length)
{
    UNREFERENCED_PARAMETER(Buffer);
    UNREFERENCED_PARAMETER(Length);
}

static VOID DeregisterBugCheck(VOID)
{
    KeDeregisterBugCheckCallback(&Record);
}

static VOID BreakBugCheck(VOID)
{
    KeInitializeCallbackRecord((&Record));
    KeRegisterBugCheckCallback(&Record, OnBugCheck, NULL, 0, (PUCHAR) "rules");
}

static VOID KeepBugCheck(VOID)
{
    BreakBugCheck();
    OnUnload = DeregisterBugCheck;
}

static PCALLBACK_OBJECT CallbackObject;
static PVOID Registration;

static VOID NTAPI OnCallback(PVOID Context, PVOID One, PVOID Two)
{
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(One);
    UNREFERENCED_PARAMETER(Two);
}

static VOID Unregister(VOID)
{
    ExUnregisterCallback(Registration);
    ObDereferenceObject(CallbackObject);
}

static VOID BreakCallback(VOID)
{
    UNICODE_STRING name = RTL_CONSTANT_STRING(L"\\Callback\\Rules");
    OBJECT_ATTRIBUTES attributes;

    InitializeObjectAttributes(&attributes, &name, OBJ_CASE_INSENSITIVE, NULL, NULL);
    if (NT_SUCCESS(ExCreateCallback(&CallbackObject, &attributes, TRUE, TRUE)))
        Registration = ExRegisterCallback(CallbackObject, OnCallback, NULL);
}

static VOID KeepCallback(VOID)
{
    BreakCallback();
    OnUnload = Unregister;
}

static VOID BreakCallbackTwice(VOID)
{
    BreakCallback();
    ExUnregisterCallback(Registration);
    Unregister();
}

static VOID NTAPI OnProcess(HANDLE Parent, HANDLE Process, BOOLEAN Create)
{
    UNREFERENCED_PARAMETER(Parent);
    UNREFERENCED_PARAMETER(Process);
    UNREFERENCED_PARAMETER(Create);
}

static VOID RemoveNotify(VOID)
{
    PsSetCreateProcessNotifyRoutine(OnProcess, TRUE);
}

static VOID BreakNotify(VOID)
{
    PsSetCreateProcessNotifyRoutine(OnProcess, FALSE);
}

static VOID KeepNotify(VOID)
{
    BreakNotify();
    OnUnload = RemoveNotify;
}

static PVOID Setting;

static NTSTATUS NTAPI OnSetting(LPCGUID Guid, PVOID Value, ULONG Length, PVOID Context)
{
    UNREFERENCED_PARAMETER(Guid);
    UNREFERENCED_PARAMETER(Value);
    UNREFERENCED_PARAMETER(Length);
    UNREFERENCED_PARAMETER(Context);
    return STATUS_SUCCESS;
}

static VOID UnregisterSetting(VOID)
{
    PoUnregisterPowerSettingCallback(Setting);
}

static VOID BreakSetting(VOID)
{
    static const GUID source = {0x5d3e9a59, 0xe9d5, 0x4b00, {0xa6, 0xbd, 0xff, 0x34, 0xff, 0x51, 0x65, 0x48}};

    PoRegisterPowerSettingCallback(Device, &source, OnSetting, NULL, &Setting);
}

static VOID KeepSetting(VOID)
{
    BreakSetting();
    OnUnload = UnregisterSetting;
}

static REGHANDLE Provider;

static VOID UnregisterProvider(VOID)
{
    EtwUnregister(Provider);
}

static VOID BreakProvider(VOID)
{
    static const GUID provider = {0x2d0e4e61, 0x8d5f, 0x4b0b, {0x8e, 0x0b, 0x6e, 0x6a, 0x5d, 0x0c, 0x7a, 0x12}};

    EtwRegister(&provider, NULL, NULL, &Provider);
}

static VOID KeepProvider(VOID)
{
    BreakProvider();
    OnUnload = UnregisterProvider;
}

/* --- Keys -------------------------------------------------------------------- */

static HANDLE Key;

static VOID CloseKey(VOID)
{
    ZwClose(Key);
}

static VOID BreakKey(VOID)
{
    UNICODE_STRING name = RTL_CONSTANT_STRING(L"\\Registry\\Machine\\System\\CurrentControlSet\\Services");
    OBJECT_ATTRIBUTES attributes;

    InitializeObjectAttributes(&attributes, &name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL, NULL);
    ZwOpenKey(&Key, KEY_READ, &attributes);
}

static VOID KeepKey(VOID)
{
    BreakKey();
    OnUnload = CloseKey;
}

/* --- Timers of the executive, push locks, APCs, queued locks ------------------ */

typedef VOID(NTAPI *PTIMER_ROUTINE)(PVOID Timer, PVOID Context);
typedef PVOID(NTAPI *PALLOCATE_TIMER)(PTIMER_ROUTINE Callback, PVOID Context, ULONG Attributes);
typedef BOOLEAN(NTAPI *PDELETE_TIMER)(PVOID Timer, BOOLEAN Cancel, BOOLEAN Wait, PVOID Parameters);

static VOID NTAPI OnTimer(PVOID Object, PVOID Context)
{
    UNREFERENCED_PARAMETER(Object);
    UNREFERENCED_PARAMETER(Context);
}

static PVOID AllocateTimer(VOID)
{
    return ((PALLOCATE_TIMER)Routine(L"ExAllocateTimer"))(OnTimer, NULL, 0);
}

static VOID DeleteTimer(PVOID Object)
{
    ((PDELETE_TIMER)Routine(L"ExDeleteTimer"))(Object, TRUE, TRUE, NULL);
}

static VOID BreakExTimer(VOID)
{
    PVOID object = AllocateTimer();

    DeleteTimer(object);
    DeleteTimer(object);
}

static VOID KeepExTimer(VOID)
{
    DeleteTimer(AllocateTimer());
}

typedef VOID(NTAPI *PPUSH_LOCK)(PVOID PushLock, ULONG Flags);
static ULONG_PTR PushLock;

static VOID AcquirePush(VOID)
{
    ((PPUSH_LOCK)Routine(L"ExAcquirePushLockExclusiveEx"))(&PushLock, 0);
}

static VOID ReleasePush(VOID)
{
    ((PPUSH_LOCK)Routine(L"ExReleasePushLockExclusiveEx"))(&PushLock, 0);
}

static VOID BreakPushLock(VOID)
{
    AcquirePush();
    ReleasePush();
}

static VOID KeepPushLock(VOID)
{
    KeEnterCriticalRegion();
    AcquirePush();
    ReleasePush();
    KeLeaveCriticalRegion();
}

static VOID BreakPushLockReleased(VOID)
{
    KeEnterCriticalRegion();
    ReleasePush();
    KeLeaveCriticalRegion();
}

typedef VOID(NTAPI *PINITIALIZE_APC)(PKAPC Apc, PKTHREAD Thread, ULONG Environment, PVOID KernelRoutine,
                                     PVOID RundownRoutine, PVOID NormalRoutine, ULONG Mode, PVOID Context);
typedef BOOLEAN(NTAPI *PINSERT_APC)(PKAPC Apc, PVOID One, PVOID Two, ULONG Increment);
static KAPC Apc;

static VOID NTAPI OnApc(PKAPC Object, PVOID *Normal, PVOID *Context, PVOID *One, PVOID *Two)
{
    UNREFERENCED_PARAMETER(Object);
    UNREFERENCED_PARAMETER(Normal);
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(One);
    UNREFERENCED_PARAMETER(Two);
}

static VOID QueueApc(VOID)
{
    ((PINITIALIZE_APC)Routine(L"KeInitializeApc"))(&Apc, KeGetCurrentThread(), 0, (PVOID)(ULONG_PTR)OnApc, NULL, NULL,
                                                   KernelMode, NULL);
    ((PINSERT_APC)Routine(L"KeInsertQueueApc"))(&Apc, NULL, NULL, 0);
}

static VOID BreakApc(VOID)
{
    KeEnterGuardedRegion();
    QueueApc();
    QueueApc();
    KeLeaveGuardedRegion();
}

static VOID KeepApc(VOID)
{
    KeEnterGuardedRegion();
    QueueApc();
    KeLeaveGuardedRegion();
    QueueApc();
}

typedef KIRQL(NTAPI *PACQUIRE_QUEUED)(ULONG Number);
typedef VOID(NTAPI *PRELEASE_QUEUED)(ULONG Number, KIRQL Irql);

static VOID TakeQueued(ULONG Number)
{
    PACQUIRE_QUEUED acquire = (PACQUIRE_QUEUED)Routine(L"KeAcquireQueuedSpinLock");
    PRELEASE_QUEUED release = (PRELEASE_QUEUED)Routine(L"KeReleaseQueuedSpinLock");
    KIRQL irql = acquire(Number);

    release(Number, irql);
}

static VOID BreakNumber(VOID)
{
    TakeQueued(9999);
}

static VOID KeepNumber(VOID)
{
    TakeQueued(7); /* LockQueueIoCancelLock */
}

static PVOID Thread;

static VOID NTAPI WaitUntilUnload(PVOID Context)
{
    KeWaitForSingleObject(Context, Executive, KernelMode, FALSE, NULL);
    PsTerminateSystemThread(STATUS_SUCCESS);
}

static VOID StartThread(VOID)
{
    HANDLE handle;

    if (!NT_SUCCESS(PsCreateSystemThread(&handle, THREAD_ALL_ACCESS, NULL, NULL, NULL, WaitUntilUnload, &Event)))
        return;
    ObReferenceObjectByHandle(handle, THREAD_ALL_ACCESS, NULL, KernelMode, &Thread, NULL);
    ZwClose(handle);
}

static VOID LeaveThread(VOID)
{
    ObDereferenceObject(Thread);
}

static VOID EndThread(VOID)
{
    KeSetEvent(&Event, IO_NO_INCREMENT, FALSE);
    KeWaitForSingleObject(Thread, Executive, KernelMode, FALSE, NULL);
    ObDereferenceObject(Thread);
}

static VOID BreakThread(VOID)
{
    StartThread();
    OnUnload = LeaveThread;
}

static VOID KeepThread(VOID)
{
    StartThread();
    OnUnload = EndThread;
}

typedef int (*PPURE_CALL)(void);

static VOID BreakPureCall(VOID)
{
    ((PPURE_CALL)Routine(L"_purecall"))();
}

static VOID KeepPureCall(VOID)
{
    Count += Routine(L"_purecall") != NULL;
}

static const PAIR Pairs[] = {
    {1150, BreakNumber, KeepNumber},
    {1450, BreakBugCheck, KeepBugCheck},
    {3330, BreakCallback, KeepCallback},
    {3331, BreakCallbackTwice, KeepCallback},
    {3500, BreakKey, KeepKey},
    {3600, BreakNotify, KeepNotify},
    {4450, BreakExTimer, KeepExTimer},
    {4460, BreakProvider, KeepProvider},
    {5240, BreakThread, KeepThread},
    {5310, BreakPushLock, KeepPushLock},
    {5311, BreakPushLockReleased, KeepPushLock},
    {5330, BreakSetting, KeepSetting},
    {5360, BreakApc, KeepApc},
    {5370, BreakPureCall, KeepPureCall},
    {0, NULL, NULL},
};
