/*
 * A driver of a device that does not mean well, with an interrupt. A write says what it tries: a letter for
 * the place, which is the dispatch routine (h), a DPC (d) or the ISR (i), and the name of the attempt. Each either
 * ends the run or comes back; what it leaves behind is then found at the driver's end.
 */
#define _NTIFS_INCLUDED_
#include <ntifs.h>

#define EDU_IRQ_STATUS 0x24
#define EDU_IRQ_RAISE 0x60
#define EDU_IRQ_ACK 0x64
#define EDU_WINDOW 0x1000

#define TAG 'tlsA'

typedef unsigned long long U64;
typedef VOID (*ATTEMPT)(VOID);

static PDRIVER_OBJECT Driver;
static PDEVICE_OBJECT Self, Pdo, Lower;
static PKINTERRUPT Interrupt;
static PUCHAR Registers;
static PIRP Request; /* the one that asks for the attempt */
static ATTEMPT Attempt;
static KDPC Dpc;
static KTIMER Timer;
static KEVENT Event;
static KSPIN_LOCK Lock;
static volatile LONG Count;
static volatile int Zero;

static UCHAR Scratch[64];

/* What the process around us has for its thread. */
static U64 OurThread(VOID)
{
    U64 here;

    __asm__ volatile("mov %%fs:0, %0" : "=r"(here));
    return here;
}

/* Where a call of an export goes on in the process around us. */
static U64 Outside(void)
{
    const unsigned char *thunk = (const unsigned char *)(ULONG_PTR)&DbgPrint;

    if (thunk[0] == 0xff && thunk[1] == 0x25)
        thunk = *(const unsigned char **)(thunk + 6 + *(const int *)(thunk + 2));
    while (thunk[0] != 0xff || thunk[1] != 0x25)
        thunk++;
    return *(const U64 *)(thunk + 6 + *(const int *)(thunk + 2));
}

#include "assault-code.h"
#include "assault-memory.h"
#include "assault-calls.h"

/* --- Asking --------------------------------------------------------------------- */

static const struct {
    const char *Name;
    ATTEMPT Attempt;
} Attempts[] = {
#define DO(Name) {#Name, Name}
    DO(JumpToZero), DO(JumpToNonCanonical), DO(JumpToUpperHalf), DO(JumpToVsyscall), DO(JumpToStack), DO(JumpToPool),
    DO(JumpToData), DO(JumpToDevice), DO(NoMoreStack), DO(StackAtZero), DO(StackNonCanonical), DO(StackInData),
    DO(StackInOurText), DO(StackUnaligned), DO(SmashDriver), DO(SmashDriverExtension), DO(SmashDevice),
    DO(SmashDeviceExtension), DO(SmashHeader), DO(SmashPdo), DO(SmashIrp), DO(SmashFile), DO(SmashInterrupt),
    DO(SmashThread), DO(SmashProcess), DO(SmashProcessor), DO(SmashProcessorByGs), DO(SmashQueuedDpc), DO(SmashTimer),
    DO(SmashEvent), DO(SmashPoolHeader), DO(SmashThunks), DO(SmashImports), DO(SmashOwnText), DO(SmashOwnHeaders),
    DO(SmashSharedUserData), DO(SmashOurThread), DO(SmashOurStack), DO(SmashAdapter), DO(CopyOverOurThread),
    DO(FillOurText), DO(SetEventInOurThread), DO(LockInOurThread), DO(CopyWithoutEnd), DO(FillFromZero),
    DO(SystemCall), DO(SystemCall32), DO(SystemEnter), DO(SystemReturn), DO(InterruptReturn), DO(FarReturn),
    DO(FarReturnTo32), DO(Interrupt3), DO(Interrupt1), DO(FastFail), DO(Interrupt255), DO(HaltForEver),
    DO(LoopWithoutInterrupts), DO(LoopForEver), DO(LoopWithPause), DO(LoadGdt), DO(LoadIdt), DO(LoadTask),
    DO(LoadLdt), DO(WriteCr0), DO(WriteCr3), DO(WriteCr4), DO(WriteCr8), DO(WriteDr7), DO(ReadMsr), DO(WriteMsr),
    DO(SetXcr0), DO(GetXcr7), DO(Undefined), DO(TooLong), DO(LockedNop), DO(WritePorts), DO(SwapGs), DO(MoveGs),
    DO(MoveFs), DO(LoadGs), DO(LoadFs), DO(LoadSs), DO(Divide), DO(ReadNonCanonical), DO(ReadUserZero), DO(TrapFlag),
    DO(DirectionFlag), DO(NestedFlag), DO(AlignmentFlag), DO(EveryFlag), DO(SseException), DO(X87Exception),
    DO(FloatingPointLeft), DO(AllocateEverything), DO(AllocateSmall), DO(AllocateAll), DO(ThreadsWithoutEnd),
    DO(ThreadAtZero), DO(TimersWithoutEnd), DO(DpcWithoutEnd), DO(WorkWithoutEnd), DO(DpcAtZero), DO(WorkAtZero),
    DO(DevicesWithoutEnd), DO(StallForEver), DO(DelayForEver), DO(CallItself), DO(CompleteOften), DO(FreeRequest),
    DO(OtherBuffer), DO(OtherLocation), DO(MdlInCircles), DO(MdlThatLies), DO(MdlOfOurs), DO(DeleteTwice),
    DO(DeleteOther), DO(UnmapItself), DO(FreeItself), DO(FreeItselfContiguous), DO(FreeStack), DO(FreeOurs),
    DO(FreeObjects), DO(FreeInside), DO(LetGo), DO(UnloadItself), DO(DisconnectTwice), DO(ConnectNowhere),
    DO(ConnectToNothing), DO(StopTheSystem), DO(RaiseTo255), DO(LowerToZero), DO(WaitHere), DO(WaitForTooMany),
    DO(LockTwice), DO(SynchronizeInside), DO(SynchronizeWithNothing), DO(LongName), DO(NameThatLies), DO(NameNowhere),
    DO(PrintNothing), DO(PrintNowhere), DO(EscapeTheTerminal), DO(RestoreNothing), DO(UnwindToNowhere),
    DO(RaiseNothing),
};

static BOOLEAN InIsr;

static BOOLEAN NTAPI Isr(PKINTERRUPT Object, PVOID Context)
{
    ULONG causes = READ_REGISTER_ULONG((PULONG)(Registers + EDU_IRQ_STATUS));

    UNREFERENCED_PARAMETER(Object);
    UNREFERENCED_PARAMETER(Context);
    if (causes == 0)
        return FALSE;
    WRITE_REGISTER_ULONG((PULONG)(Registers + EDU_IRQ_ACK), causes);
    if (InIsr) {
        InIsr = FALSE;
        Attempt();
    }
    return TRUE;
}

static VOID NTAPI InDpc(PKDPC Self, PVOID Context, PVOID One, PVOID Two)
{
    UNREFERENCED_PARAMETER(Self);
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(One);
    UNREFERENCED_PARAMETER(Two);
    Attempt();
}

static NTSTATUS End(PIRP Irp, NTSTATUS Status, ULONG_PTR Information)
{
    Irp->IoStatus.Status = Status;
    Irp->IoStatus.Information = Information;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return Status;
}

static NTSTATUS NTAPI Write(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    ULONG length = IoGetCurrentIrpStackLocation(Irp)->Parameters.Write.Length, index, at;
    const char *name = Irp->AssociatedIrp.SystemBuffer;
    char place;

    UNREFERENCED_PARAMETER(DeviceObject);
    if (length < 2)
        return End(Irp, STATUS_INVALID_PARAMETER, 0);
    for (index = 0; index < RTL_NUMBER_OF(Attempts); index++) {
        for (at = 0; at + 1 < length && name[at + 1] == Attempts[index].Name[at]; at++)
            ;
        if (at + 1 != length || Attempts[index].Name[at] != 0)
            continue;
        place = name[0];
        Attempt = Attempts[index].Attempt;
        Request = Irp;
        InIsr = place == 'i';
        if (place == 'h')
            Attempt();
        else if (place == 'd')
            KeInsertQueueDpc(&Dpc, NULL, NULL);
        else
            WRITE_REGISTER_ULONG((PULONG)(Registers + EDU_IRQ_RAISE), 1);
        /* The interrupt has come by then. */
        READ_REGISTER_ULONG((PULONG)(Registers + EDU_IRQ_STATUS));
        Irp->IoStatus.Status = STATUS_SUCCESS;
        IoCompleteRequest(Irp, IO_NO_INCREMENT);
        return STATUS_SUCCESS;
    }
    return End(Irp, STATUS_NOT_FOUND, 0);
}

static NTSTATUS NTAPI CreateClose(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    UNREFERENCED_PARAMETER(DeviceObject);
    return End(Irp, STATUS_SUCCESS, 0);
}

static NTSTATUS Start(PIRP Irp)
{
    IO_CONNECT_INTERRUPT_PARAMETERS connect;
    PCM_PARTIAL_RESOURCE_LIST list;
    ULONG index;

    if (!IoForwardIrpSynchronously(Lower, Irp) || !NT_SUCCESS(Irp->IoStatus.Status))
        return STATUS_UNSUCCESSFUL;
    list = &IoGetCurrentIrpStackLocation(Irp)->Parameters.StartDevice.AllocatedResourcesTranslated->List[0].PartialResourceList;
    for (index = 0; index < list->Count; index++)
        if (list->PartialDescriptors[index].Type == CmResourceTypeMemory)
            Registers = MmMapIoSpace(list->PartialDescriptors[index].u.Memory.Start, EDU_WINDOW, MmNonCached);
    RtlZeroMemory(&connect, sizeof(connect));
    connect.Version = CONNECT_LINE_BASED;
    connect.LineBased.PhysicalDeviceObject = Pdo;
    connect.LineBased.InterruptObject = &Interrupt;
    connect.LineBased.ServiceRoutine = Isr;
    return IoConnectInterruptEx(&connect);
}

static NTSTATUS NTAPI Pnp(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    IO_DISCONNECT_INTERRUPT_PARAMETERS disconnect;
    NTSTATUS status;

    switch (IoGetCurrentIrpStackLocation(Irp)->MinorFunction) {
    case IRP_MN_START_DEVICE:
        return End(Irp, Start(Irp), 0);

    case IRP_MN_REMOVE_DEVICE:
        RtlZeroMemory(&disconnect, sizeof(disconnect));
        disconnect.Version = CONNECT_LINE_BASED;
        disconnect.ConnectionContext.InterruptObject = Interrupt;
        IoDisconnectInterruptEx(&disconnect);
        KeFlushQueuedDpcs();
        MmUnmapIoSpace(Registers, EDU_WINDOW);
        Irp->IoStatus.Status = STATUS_SUCCESS;
        IoSkipCurrentIrpStackLocation(Irp);
        status = IoCallDriver(Lower, Irp);
        IoDetachDevice(Lower);
        IoDeleteDevice(DeviceObject);
        return status;

    case IRP_MN_QUERY_REMOVE_DEVICE:
        Irp->IoStatus.Status = STATUS_SUCCESS;
        break;
    }
    IoSkipCurrentIrpStackLocation(Irp);
    return IoCallDriver(Lower, Irp);
}

static NTSTATUS NTAPI AddDevice(PDRIVER_OBJECT DriverObject, PDEVICE_OBJECT PhysicalDevice)
{
    UNICODE_STRING name = RTL_CONSTANT_STRING(L"\\Device\\Assault");
    NTSTATUS status = IoCreateDevice(DriverObject, 0, &name, FILE_DEVICE_UNKNOWN, FILE_DEVICE_SECURE_OPEN, FALSE, &Self);

    if (!NT_SUCCESS(status))
        return status;
    Pdo = PhysicalDevice;
    Lower = IoAttachDeviceToDeviceStack(Self, Pdo);
    Self->Flags |= DO_BUFFERED_IO;
    Self->Flags &= ~DO_DEVICE_INITIALIZING;
    return STATUS_SUCCESS;
}

static VOID NTAPI Unload(PDRIVER_OBJECT DriverObject)
{
    UNREFERENCED_PARAMETER(DriverObject);
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(RegistryPath);
    Driver = DriverObject;
    KeInitializeDpc(&Dpc, InDpc, NULL);
    KeInitializeTimer(&Timer);
    KeInitializeEvent(&Event, NotificationEvent, FALSE);
    DriverObject->DriverExtension->AddDevice = AddDevice;
    DriverObject->DriverUnload = Unload;
    DriverObject->MajorFunction[IRP_MJ_CREATE] = CreateClose;
    DriverObject->MajorFunction[IRP_MJ_CLOSE] = CreateClose;
    DriverObject->MajorFunction[IRP_MJ_WRITE] = Write;
    DriverObject->MajorFunction[IRP_MJ_INTERNAL_DEVICE_CONTROL] = CallAgain;
    DriverObject->MajorFunction[IRP_MJ_PNP] = Pnp;
    return STATUS_SUCCESS;
}
