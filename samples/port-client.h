/*
 * What clients of the parallel port's function driver have in common: finding the port, and
 * sending requests to it.
 */
#ifndef PORT_CLIENT_H
#define PORT_CLIENT_H

#include <ddk/wdm.h>
#include <ddk/parallel.h>

#define INIT __attribute__((section("INIT")))
#define PAGED __attribute__((section("PAGE")))

/* Registers, from PARALLEL_PORT_INFORMATION.Controller. */
#define PORT_DATA 0
#define PORT_STATUS 1
#define PORT_CONTROL 2

#define STATUS_NOT_FAULT 0x08
#define STATUS_NOT_BUSY 0x80

#define CONTROL_STROBE 0x01
#define CONTROL_INTERRUPT 0x10 /* a rising edge of nAck interrupts */
#define CONTROL_INPUT 0x20     /* the data lines are inputs */

/* Not in mingw-w64's parallel.h. */
typedef struct _PARALLEL_INTERRUPT_INFORMATION {
    PKINTERRUPT InterruptObject;
    PPARALLEL_TRY_ALLOCATE_ROUTINE TryAllocatePortAtInterruptLevel;
    PPARALLEL_FREE_ROUTINE FreePortFromInterruptLevel;
    PVOID Context;
} PARALLEL_INTERRUPT_INFORMATION;

/* The function driver uses one buffer for both. */
typedef union _PORT_CONNECTION {
    PARALLEL_INTERRUPT_SERVICE_ROUTINE Service;
    PARALLEL_INTERRUPT_INFORMATION Information;
} PORT_CONNECTION;

typedef struct _PORT {
    PFILE_OBJECT File;
    PDEVICE_OBJECT Device;
    PARALLEL_PORT_INFORMATION Information;
} PORT, *PPORT;

/* Sends a request and waits. IRQL: PASSIVE_LEVEL. */
static inline NTSTATUS PAGED PortAsk(PPORT Port, ULONG Code, PVOID Buffer, ULONG Input,
                                     ULONG Output)
{
    IO_STATUS_BLOCK block;
    LARGE_INTEGER moment;
    KEVENT event;
    NTSTATUS status;
    PIRP irp;

    KeInitializeEvent(&event, NotificationEvent, FALSE);
    /* Who leaves must not fail for want of memory: there will be some. */
    moment.QuadPart = -10 * 1000 * 10;
    while ((irp = IoBuildDeviceIoControlRequest(Code, Port->Device, Buffer, Input, Buffer, Output,
                                                TRUE, &event, &block)) == NULL)
        KeDelayExecutionThread(KernelMode, FALSE, &moment);
    status = IoCallDriver(Port->Device, irp);
    if (status == STATUS_PENDING) {
        KeWaitForSingleObject(&event, Executive, KernelMode, FALSE, NULL);
        status = block.Status;
    }
    return status;
}

/* Opens a port by a name of its device or its interface. */
static inline NTSTATUS PAGED PortOpen(PPORT Port, PUNICODE_STRING Name)
{
    NTSTATUS status;

    status = IoGetDeviceObjectPointer(Name, FILE_READ_DATA | FILE_WRITE_DATA, &Port->File,
                                      &Port->Device);
    if (!NT_SUCCESS(status))
        return status;
    status = PortAsk(Port, IOCTL_INTERNAL_GET_PARALLEL_PORT_INFO, &Port->Information, 0,
                     sizeof(Port->Information));
    if (!NT_SUCCESS(status))
        ObDereferenceObject(Port->File);
    return status;
}

static inline VOID PAGED PortClose(PPORT Port)
{
    PortAsk(Port, IOCTL_INTERNAL_RELEASE_PARALLEL_PORT_INFO, NULL, 0, 0);
    ObDereferenceObject(Port->File);
}

static inline UCHAR PortGet(PPORT Port, ULONG Register)
{
    return READ_PORT_UCHAR(Port->Information.Controller + Register);
}

static inline VOID PortSet(PPORT Port, ULONG Register, UCHAR Value)
{
    WRITE_PORT_UCHAR(Port->Information.Controller + Register, Value);
}

#endif
