/*
 * What a driver is not allowed to do, a pair of routines for each rule: BreakXxx breaks it, KeepXxx
 * does the same as it should be done. The first request names the rule and which of the two; the
 * others, and the driver's end, are as the routine wants them.
 */
#pragma GCC optimize("no-optimize-sibling-calls") /* a finding names the function */
#define _NTIFS_INCLUDED_
#include <ntifs.h>

#define TAG 'elur'

typedef VOID (*PRULE)(VOID);

typedef struct _PAIR {
    ULONG Number; /* of the rule, times ten, and which of several pairs */
    PRULE Break;
    PRULE Keep;
} PAIR;

static const PAIR Pairs[];

#ifdef PLUGGED
static VOID Begin(PDRIVER_OBJECT DriverObject);
#endif

/* The device that is asked, and its driver. */
static PDEVICE_OBJECT Device;
static PDRIVER_OBJECT Driver;
static UNICODE_STRING DeviceName = RTL_CONSTANT_STRING(L"\\Device\\Rules");

/* What reads and the driver's end do after a routine has said so. */
static NTSTATUS (*OnRead)(PIRP Irp);
static NTSTATUS (*OnReadBelow)(PIRP Irp); /* of a device other than the first */
static PRULE OnUnload;

/* Memory that every routine may use, and what is in it when the driver is unloaded. */
static PUCHAR Block;
static KEVENT Event;
static KTIMER Timer;
static KDPC Dpc;
static KSPIN_LOCK Lock;
static volatile LONG Count;

static NTSTATUS Complete(PIRP Irp, NTSTATUS Status, ULONG_PTR Information)
{
    Irp->IoStatus.Status = Status;
    Irp->IoStatus.Information = Information;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return Status;
}

static NTSTATUS NTAPI CreateClose(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    UNREFERENCED_PARAMETER(DeviceObject);
    return Complete(Irp, STATUS_SUCCESS, 0);
}

static NTSTATUS NTAPI Read(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    if (DeviceObject != Device && OnReadBelow != NULL)
        return OnReadBelow(Irp);
    return OnRead == NULL ? Complete(Irp, STATUS_SUCCESS, 0) : OnRead(Irp);
}

static NTSTATUS NTAPI Write(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    const ULONG *request = Irp->AssociatedIrp.SystemBuffer;
    const PAIR *pair;

    UNREFERENCED_PARAMETER(DeviceObject);
    for (pair = Pairs; pair->Number != 0; pair++) {
        if (pair->Number != request[0])
            continue;
        if (request[1])
            pair->Keep();
        else
            pair->Break();
        return Complete(Irp, STATUS_SUCCESS, 8);
    }
    return Complete(Irp, STATUS_INVALID_PARAMETER, 0);
}

static VOID NTAPI Unload(PDRIVER_OBJECT DriverObject)
{
    UNREFERENCED_PARAMETER(DriverObject);
    if (OnUnload != NULL)
        OnUnload();
    if (Block != NULL)
        ExFreePoolWithTag(Block, TAG);
    IoDeleteDevice(Device);
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    NTSTATUS status;

    UNREFERENCED_PARAMETER(RegistryPath);
    Driver = DriverObject;
    KeInitializeEvent(&Event, NotificationEvent, FALSE);
    KeInitializeTimer(&Timer);
    KeInitializeSpinLock(&Lock);
    Block = ExAllocatePoolWithTag(NonPagedPool, PAGE_SIZE, TAG);
    if (Block == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    status = IoCreateDevice(DriverObject, 0, &DeviceName, FILE_DEVICE_UNKNOWN, FILE_DEVICE_SECURE_OPEN, FALSE,
                            &Device);
    if (!NT_SUCCESS(status)) {
        ExFreePoolWithTag(Block, TAG);
        return status;
    }
    RtlZeroMemory(Block, PAGE_SIZE);
    Device->Flags |= DO_BUFFERED_IO;
    Device->Flags &= ~DO_DEVICE_INITIALIZING;
    DriverObject->DriverUnload = Unload;
    DriverObject->MajorFunction[IRP_MJ_CREATE] = CreateClose;
    DriverObject->MajorFunction[IRP_MJ_CLOSE] = CreateClose;
    DriverObject->MajorFunction[IRP_MJ_READ] = Read;
    DriverObject->MajorFunction[IRP_MJ_WRITE] = Write;
#ifdef PLUGGED
    Begin(DriverObject);
#endif
    return STATUS_SUCCESS;
}
