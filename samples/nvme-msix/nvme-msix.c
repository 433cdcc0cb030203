/*
 * Function driver for an NVM Express disk with its admin queue and one pair of I/O queues.
 *
 * Each completion queue has a vector of its own (MSI-X): its ISR only queues its DPC, which takes
 * what has been completed. With one message both queues share it; with none, the line is masked at
 * the controller from the ISR until the DPC is done.
 *
 * A read or write is one command. It waits in a cancel-safe queue until a slot is free; a slot has a
 * page for the list of the caller's pages. Admin commands are sent at start and for identify, one at
 * a time, and waited for.
 *
 * Sources: NVM Express Base Specification 1.4; WDK, "Using MSI-X", "Using Scatter/Gather DMA".
 *
 * Locks, outermost first:
 *   AdminMutex    one admin command at a time
 *   Lock          Started, Waiting, slots, the submission queues, the completion queues' heads
 *   the interrupt nothing but the mask registers
 */
#include <ddk/wdm.h>

#define INIT __attribute__((section("INIT")))
#define PAGED __attribute__((section("PAGE")))

#define NV_TAG 'emvN'

#define NV_CAP 0x00
#define NV_INTMS 0x0C
#define NV_INTMC 0x10
#define NV_CC 0x14
#define NV_CSTS 0x1C
#define NV_AQA 0x24
#define NV_ASQ 0x28
#define NV_ACQ 0x30
#define NV_DOORBELLS 0x1000
#define NV_WINDOW 0x2000

#define NV_CC_ENABLE 0x00460001 /* entries of 64 and 16 bytes, NVM commands, pages of 4 KiB */
#define NV_CC_SHUTDOWN 0x4000
#define NV_CSTS_READY 1
#define NV_CSTS_FATAL 2
#define NV_CSTS_SHUT 0x8
#define NV_GONE 0xFFFFFFFF

#define NV_ADMIN_DELETE_SQ 0x00
#define NV_ADMIN_CREATE_SQ 0x01
#define NV_ADMIN_DELETE_CQ 0x04
#define NV_ADMIN_CREATE_CQ 0x05
#define NV_ADMIN_IDENTIFY 0x06
#define NV_ADMIN_SET_FEATURES 0x09
#define NV_FEATURE_QUEUES 0x07
#define NV_FLUSH 0x00
#define NV_WRITE 0x01
#define NV_READ 0x02

#define NV_QUEUES 2 /* admin, I/O */
#define NV_ENTRIES 16
#define NV_SLOTS 8 /* commands at a time, fewer than entries: a full queue is never written */
#define NV_BLOCK 512
#define NV_LARGEST (32 * PAGE_SIZE) /* MDTS 5 */

#define IOCTL_NV_IDENTIFY CTL_CODE(FILE_DEVICE_DISK, 0x900, METHOD_BUFFERED, FILE_ANY_ACCESS)
#define IOCTL_NV_LENGTH CTL_CODE(FILE_DEVICE_DISK, 0x901, METHOD_BUFFERED, FILE_ANY_ACCESS)

typedef struct _NV_COMMAND {
    ULONG Dword0; /* opcode, identifier in the high half */
    ULONG Namespace;
    ULONG Reserved[2];
    ULONGLONG Metadata;
    ULONGLONG Prp1;
    ULONGLONG Prp2;
    ULONG Dword10;
    ULONG Dword11;
    ULONG Dword12;
    ULONG Dword13;
    ULONG Dword14;
    ULONG Dword15;
} NV_COMMAND, *PNV_COMMAND;

typedef struct _NV_COMPLETION {
    ULONG Result;
    ULONG Reserved;
    USHORT SqHead;
    USHORT SqId;
    USHORT Id;
    USHORT Status; /* bit 0 is the phase */
} NV_COMPLETION, *PNV_COMPLETION;

C_ASSERT(sizeof(NV_COMMAND) == 64);
C_ASSERT(sizeof(NV_COMPLETION) == 16);

/* What the device and the driver share. Each part begins at a page. */
typedef struct _NV_SHARED {
    UCHAR Submission[NV_QUEUES][PAGE_SIZE];
    UCHAR Completion[NV_QUEUES][PAGE_SIZE];
    UCHAR Identify[PAGE_SIZE];
    ULONGLONG Lists[NV_SLOTS][PAGE_SIZE / sizeof(ULONGLONG)];
} NV_SHARED, *PNV_SHARED;

typedef struct _NV_QUEUE {
    struct _NV_EXTENSION *Nv;
    USHORT Number;
    USHORT Tail;
    USHORT Head;
    USHORT Phase;
    KDPC Dpc;
} NV_QUEUE, *PNV_QUEUE;

typedef struct _NV_SLOT {
    struct _NV_EXTENSION *Nv;
    PIRP Irp; /* NULL: free */
    PSCATTER_GATHER_LIST List;
    USHORT Number;
} NV_SLOT, *PNV_SLOT;

typedef struct _NV_EXTENSION {
    PDEVICE_OBJECT Self;
    PDEVICE_OBJECT Pdo;
    PDEVICE_OBJECT Lower;
    UNICODE_STRING Interface;
    IO_REMOVE_LOCK RemoveLock;
    PIO_WORKITEM WorkItem; /* wakes the controller up */
    PIRP PowerIrp;
    KEVENT Turn; /* signalled while nobody wakes the controller up, puts it to sleep or gives it back */

    PUCHAR Registers;
    PDMA_ADAPTER Adapter;
    PNV_SHARED Shared;
    PHYSICAL_ADDRESS SharedAddress;

    union {
        PVOID Generic;
        PKINTERRUPT InterruptObject;
        PIO_INTERRUPT_MESSAGE_INFO Messages;
    } Connection;
    ULONG Version;
    ULONG MessageCount; /* 0 with a line */

    KSPIN_LOCK Lock;
    BOOLEAN Started; /* requests are taken in */
    BOOLEAN Awake;   /* the controller is enabled and has its queues */
    BOOLEAN Open;    /* it is given requests */
    NV_QUEUE Queues[NV_QUEUES];
    NV_SLOT Slots[NV_SLOTS];
    LONG Busy; /* slots in use */
    KEVENT Idle;
    IO_CSQ Waiting;
    LIST_ENTRY Irps;
    ULONG Arrived; /* Lock */

    FAST_MUTEX AdminMutex;
    KEVENT AdminDone;
    NV_COMPLETION AdminAnswer;
    ULONGLONG Blocks;
} NV_EXTENSION, *PNV_EXTENSION;

/* {2B1A3A6E-73F2-47E0-9D6B-0C8C55F0A603} */
static const GUID NvInterface =
    {0x2b1a3a6e, 0x73f2, 0x47e0, {0x9d, 0x6b, 0x0c, 0x8c, 0x55, 0xf0, 0xa6, 0x03}};

static ULONG NvGet(PNV_EXTENSION Nv, ULONG Offset)
{
    return READ_REGISTER_ULONG((PULONG)(Nv->Registers + Offset));
}

static VOID NvSet(PNV_EXTENSION Nv, ULONG Offset, ULONG Value)
{
    WRITE_REGISTER_ULONG((PULONG)(Nv->Registers + Offset), Value);
}

static VOID NvSetWide(PNV_EXTENSION Nv, ULONG Offset, ULONGLONG Value)
{
    NvSet(Nv, Offset, (ULONG)Value);
    NvSet(Nv, Offset + 4, (ULONG)(Value >> 32));
}

/* Where the device finds a part of what is shared. */
#define NV_ADDRESS(Nv, Part) \
    ((Nv)->SharedAddress.QuadPart + (ULONGLONG)((PUCHAR)(Part) - (PUCHAR)(Nv)->Shared))

static NTSTATUS NvComplete(PIRP Irp, NTSTATUS Status, ULONG_PTR Information)
{
    Irp->IoStatus.Status = Status;
    Irp->IoStatus.Information = Information;
    IoCompleteRequest(Irp, IO_DISK_INCREMENT);
    return Status;
}

/* Generic command status, and what is worth telling apart of it. */
static NTSTATUS NvStatus(USHORT Status)
{
    switch ((Status >> 1) & 0x7FF) {
    case 0x000:
        return STATUS_SUCCESS;
    case 0x001:
    case 0x002:
        return STATUS_INVALID_DEVICE_REQUEST;
    case 0x080:
        return STATUS_NONEXISTENT_SECTOR;
    default:
        return STATUS_IO_DEVICE_ERROR;
    }
}

/* --- Interrupt side ----------------------------------------------------------- */

static BOOLEAN NTAPI NvMessageIsr(PKINTERRUPT Interrupt, PVOID Context, ULONG Message)
{
    PNV_EXTENSION nv = Context;

    UNREFERENCED_PARAMETER(Interrupt);
    if (nv->MessageCount > 1)
        return KeInsertQueueDpc(&nv->Queues[Message % NV_QUEUES].Dpc, NULL, NULL), TRUE;
    KeInsertQueueDpc(&nv->Queues[0].Dpc, NULL, NULL);
    KeInsertQueueDpc(&nv->Queues[1].Dpc, NULL, NULL);
    return TRUE;
}

/* Whether the controller has posted something that nobody has taken. */
static BOOLEAN NvIsPosted(PNV_QUEUE Queue)
{
    volatile NV_COMPLETION *entries = (PVOID)Queue->Nv->Shared->Completion[Queue->Number];

    return (entries[Queue->Head].Status & 1) == Queue->Phase;
}

static BOOLEAN NTAPI NvLineIsr(PKINTERRUPT Interrupt, PVOID Context)
{
    PNV_EXTENSION nv = Context;

    UNREFERENCED_PARAMETER(Interrupt);
    if (NvGet(nv, NV_CSTS) == NV_GONE || (!NvIsPosted(&nv->Queues[0]) && !NvIsPosted(&nv->Queues[1])))
        return FALSE;
    NvSet(nv, NV_INTMS, 1);
    KeInsertQueueDpc(&nv->Queues[0].Dpc, NULL, NULL);
    KeInsertQueueDpc(&nv->Queues[1].Dpc, NULL, NULL);
    return TRUE;
}

/* --- Queues -------------------------------------------------------------------- */

static VOID NvResetQueue(PNV_QUEUE Queue)
{
    Queue->Tail = Queue->Head = 0;
    Queue->Phase = 1;
    RtlZeroMemory(Queue->Nv->Shared->Completion[Queue->Number], PAGE_SIZE);
}

/* The caller holds Lock. */
static VOID NvSubmit(PNV_QUEUE Queue, const NV_COMMAND *Command)
{
    PNV_COMMAND entries = (PVOID)Queue->Nv->Shared->Submission[Queue->Number];

    entries[Queue->Tail] = *Command;
    Queue->Tail = (Queue->Tail + 1) % NV_ENTRIES;
    NvSet(Queue->Nv, NV_DOORBELLS + 8 * Queue->Number, Queue->Tail);
}

/* The next completion, if there is one. The caller holds Lock. */
static BOOLEAN NvTake(PNV_QUEUE Queue, PNV_COMPLETION Answer)
{
    PNV_COMPLETION entries = (PVOID)Queue->Nv->Shared->Completion[Queue->Number];

    if (!Queue->Nv->Awake || !NvIsPosted(Queue))
        return FALSE;
    *Answer = entries[Queue->Head];
    Queue->Head = (Queue->Head + 1) % NV_ENTRIES;
    if (Queue->Head == 0)
        Queue->Phase ^= 1;
    NvSet(Queue->Nv, NV_DOORBELLS + 8 * Queue->Number + 4, Queue->Head);
    return TRUE;
}

static PNV_EXTENSION NvOf(PIO_CSQ Csq)
{
    return CONTAINING_RECORD(Csq, NV_EXTENSION, Waiting);
}

static NTSTATUS NTAPI NvCsqInsert(PIO_CSQ Csq, PIRP Irp, PVOID Context)
{
    UNREFERENCED_PARAMETER(Context);
    if (!NvOf(Csq)->Started)
        return STATUS_DEVICE_NOT_READY;
    InsertTailList(&NvOf(Csq)->Irps, &Irp->Tail.Overlay.ListEntry);
    NvOf(Csq)->Arrived++;
    return STATUS_SUCCESS;
}

static VOID NTAPI NvCsqRemove(PIO_CSQ Csq, PIRP Irp)
{
    UNREFERENCED_PARAMETER(Csq);
    RemoveEntryList(&Irp->Tail.Overlay.ListEntry);
}

static PIRP NTAPI NvCsqPeek(PIO_CSQ Csq, PIRP Irp, PVOID File)
{
    PLIST_ENTRY head = &NvOf(Csq)->Irps;
    PLIST_ENTRY entry = Irp == NULL ? head->Flink : Irp->Tail.Overlay.ListEntry.Flink;

    for (; entry != head; entry = entry->Flink) {
        PIRP next = CONTAINING_RECORD(entry, IRP, Tail.Overlay.ListEntry);

        if (File == NULL || IoGetCurrentIrpStackLocation(next)->FileObject == File)
            return next;
    }
    return NULL;
}

static VOID NTAPI NvCsqAcquire(PIO_CSQ Csq, PKIRQL Irql)
{
    KeAcquireSpinLock(&NvOf(Csq)->Lock, Irql);
}

static VOID NTAPI NvCsqRelease(PIO_CSQ Csq, KIRQL Irql)
{
    KeReleaseSpinLock(&NvOf(Csq)->Lock, Irql);
}

/* The end of a request that was queued. */
static VOID NvFinish(PNV_EXTENSION Nv, PIRP Irp, NTSTATUS Status, ULONG_PTR Information)
{
    NvComplete(Irp, Status, Information);
    IoReleaseRemoveLock(&Nv->RemoveLock, Irp);
}

static VOID NTAPI NvCsqCancelled(PIO_CSQ Csq, PIRP Irp)
{
    NvFinish(NvOf(Csq), Irp, STATUS_CANCELLED, 0);
}

static VOID NvFlushQueue(PNV_EXTENSION Nv, PFILE_OBJECT File, NTSTATUS Status)
{
    PIRP irp;

    while ((irp = IoCsqRemoveNextIrp(&Nv->Waiting, File)) != NULL)
        NvFinish(Nv, irp, Status, 0);
}

/* --- I/O ------------------------------------------------------------------------ */

static PNV_SLOT NvTakeSlot(PNV_EXTENSION Nv)
{
    PNV_SLOT found = NULL;
    KIRQL irql;
    ULONG i;

    KeAcquireSpinLock(&Nv->Lock, &irql);
    for (i = 0; i < NV_SLOTS && found == NULL && Nv->Open; i++)
        if (Nv->Slots[i].Irp == NULL) {
            found = &Nv->Slots[i];
            found->Irp = (PIRP)found; /* taken; the request follows */
            Nv->Busy++;
            KeClearEvent(&Nv->Idle);
        }
    KeReleaseSpinLock(&Nv->Lock, irql);
    return found;
}

/* Whether the controller may be used; if so it is kept until NvLeave. */
static BOOLEAN NvEnter(PNV_EXTENSION Nv)
{
    BOOLEAN open;
    KIRQL irql;

    KeAcquireSpinLock(&Nv->Lock, &irql);
    open = Nv->Open;
    if (open) {
        Nv->Busy++;
        KeClearEvent(&Nv->Idle);
    }
    KeReleaseSpinLock(&Nv->Lock, irql);
    return open;
}

static VOID NvLeave(PNV_EXTENSION Nv)
{
    KIRQL irql;

    KeAcquireSpinLock(&Nv->Lock, &irql);
    if (--Nv->Busy == 0)
        KeSetEvent(&Nv->Idle, IO_NO_INCREMENT, FALSE);
    KeReleaseSpinLock(&Nv->Lock, irql);
}

static VOID NvFreeSlot(PNV_SLOT Slot)
{
    PNV_EXTENSION nv = Slot->Nv;
    KIRQL irql;

    KeAcquireSpinLock(&nv->Lock, &irql);
    Slot->Irp = NULL;
    Slot->List = NULL;
    if (--nv->Busy == 0)
        KeSetEvent(&nv->Idle, IO_NO_INCREMENT, FALSE);
    KeReleaseSpinLock(&nv->Lock, irql);
}

/* The pages of a list as the controller takes them: the first in PRP 1, the second in PRP 2, or,
 * if there are more, where the others are listed. */
static VOID NvFillPages(PNV_SLOT Slot, PNV_COMMAND Command)
{
    PULONGLONG list = Slot->Nv->Shared->Lists[Slot->Number];
    PSCATTER_GATHER_LIST from = Slot->List;
    ULONG count = 0, i;

    for (i = 0; i < from->NumberOfElements; i++) {
        ULONGLONG address = from->Elements[i].Address.QuadPart;
        ULONGLONG end = address + from->Elements[i].Length;

        while (address < end) {
            if (count == 0)
                Command->Prp1 = address;
            else
                list[count - 1] = address;
            count++;
            address = (address & ~(ULONGLONG)(PAGE_SIZE - 1)) + PAGE_SIZE;
        }
    }
    if (count == 2)
        Command->Prp2 = list[0];
    else if (count > 2)
        Command->Prp2 = NV_ADDRESS(Slot->Nv, list);
}

/* The caller's pages are known: the command goes to the controller. */
static VOID NTAPI NvListReady(PDEVICE_OBJECT DeviceObject, PIRP Irp, PSCATTER_GATHER_LIST List, PVOID Context)
{
    PNV_SLOT slot = Context;
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(slot->Irp);
    ULONGLONG block = stack->Parameters.Read.ByteOffset.QuadPart / NV_BLOCK;
    NV_COMMAND command;

    UNREFERENCED_PARAMETER(DeviceObject);
    UNREFERENCED_PARAMETER(Irp);
    KeAcquireSpinLockAtDpcLevel(&slot->Nv->Lock);
    slot->List = List;
    KeReleaseSpinLockFromDpcLevel(&slot->Nv->Lock);
    RtlZeroMemory(&command, sizeof(command));
    command.Dword0 = (stack->MajorFunction == IRP_MJ_READ ? NV_READ : NV_WRITE) | (ULONG)slot->Number << 16;
    command.Namespace = 1;
    command.Dword10 = (ULONG)block;
    command.Dword11 = (ULONG)(block >> 32);
    command.Dword12 = stack->Parameters.Read.Length / NV_BLOCK - 1;
    NvFillPages(slot, &command);
    KeAcquireSpinLockAtDpcLevel(&slot->Nv->Lock);
    NvSubmit(&slot->Nv->Queues[1], &command);
    KeReleaseSpinLockFromDpcLevel(&slot->Nv->Lock);
}

static NTSTATUS NvStartTransfer(PNV_SLOT Slot)
{
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(Slot->Irp);
    BOOLEAN writes = stack->MajorFunction == IRP_MJ_WRITE;
    PMDL mdl = Slot->Irp->MdlAddress;
    NTSTATUS status;
    KIRQL irql;

    KeFlushIoBuffers(mdl, !writes, TRUE);
    KeRaiseIrql(DISPATCH_LEVEL, &irql);
    status = Slot->Nv->Adapter->DmaOperations->GetScatterGatherList(
        Slot->Nv->Adapter, Slot->Nv->Self, mdl, MmGetMdlVirtualAddress(mdl), stack->Parameters.Read.Length,
        NvListReady, Slot, writes);
    KeLowerIrql(irql);
    return status;
}

static VOID NvSendFlush(PNV_SLOT Slot)
{
    NV_COMMAND command;
    KIRQL irql;

    RtlZeroMemory(&command, sizeof(command));
    command.Dword0 = NV_FLUSH | (ULONG)Slot->Number << 16;
    command.Namespace = 1;
    KeAcquireSpinLock(&Slot->Nv->Lock, &irql);
    NvSubmit(&Slot->Nv->Queues[1], &command);
    KeReleaseSpinLock(&Slot->Nv->Lock, irql);
}

/* How many requests have ever been queued. */
static ULONG NvArrived(PNV_EXTENSION Nv)
{
    ULONG arrived;
    KIRQL irql;

    KeAcquireSpinLock(&Nv->Lock, &irql);
    arrived = Nv->Arrived;
    KeReleaseSpinLock(&Nv->Lock, irql);
    return arrived;
}

/* Gives free slots to requests that wait. */
static VOID NvStartRequests(PNV_EXTENSION Nv)
{
    PNV_SLOT slot;
    PIRP irp;

    while ((slot = NvTakeSlot(Nv)) != NULL) {
        ULONG arrived = NvArrived(Nv);
        NTSTATUS status;

        irp = IoCsqRemoveNextIrp(&Nv->Waiting, NULL);
        if (irp == NULL) {
            NvFreeSlot(slot);
            /* One that is being cancelled may be in the queue still, and is not handed out. */
            if (NvArrived(Nv) == arrived)
                return;
            continue; /* it came while the slot was taken */
        }
        slot->Irp = irp;
        if (IoGetCurrentIrpStackLocation(irp)->MajorFunction == IRP_MJ_FLUSH_BUFFERS) {
            NvSendFlush(slot);
            continue;
        }
        status = NvStartTransfer(slot);
        if (!NT_SUCCESS(status)) {
            NvFreeSlot(slot);
            NvFinish(Nv, irp, status, 0);
        }
    }
}

/* A command of a slot is done. */
static VOID NvEndSlot(PNV_SLOT Slot, NTSTATUS Status)
{
    PNV_EXTENSION nv = Slot->Nv;
    PIRP irp = Slot->Irp;
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(irp);
    ULONG length = 0;

    if (Slot->List != NULL) {
        KIRQL irql;

        length = stack->Parameters.Read.Length;
        KeRaiseIrql(DISPATCH_LEVEL, &irql);
        nv->Adapter->DmaOperations->PutScatterGatherList(nv->Adapter, Slot->List,
                                                         stack->MajorFunction == IRP_MJ_WRITE);
        KeLowerIrql(irql);
    }
    NvFreeSlot(Slot);
    NvFinish(nv, irp, Status, NT_SUCCESS(Status) ? length : 0);
}

static VOID NTAPI NvDpc(PKDPC Dpc, PVOID Context, PVOID A, PVOID B)
{
    PNV_QUEUE queue = Context;
    PNV_EXTENSION nv = queue->Nv;
    NV_COMPLETION answer;
    BOOLEAN taken;

    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(A);
    UNREFERENCED_PARAMETER(B);
    do {
        KeAcquireSpinLockAtDpcLevel(&nv->Lock);
        taken = NvTake(queue, &answer);
        KeReleaseSpinLockFromDpcLevel(&nv->Lock);
        if (!taken)
            break;
        if (queue->Number == 0) {
            nv->AdminAnswer = answer;
            KeSetEvent(&nv->AdminDone, IO_NO_INCREMENT, FALSE);
        } else if (answer.Id < NV_SLOTS && nv->Slots[answer.Id].Irp != NULL) {
            NvEndSlot(&nv->Slots[answer.Id], NvStatus(answer.Status));
        }
    } while (taken);
    if (nv->MessageCount == 0 && nv->Awake)
        NvSet(nv, NV_INTMC, 1);
    if (queue->Number != 0)
        NvStartRequests(nv);
}

/* --- Admin commands ---------------------------------------------------------------- */

static NTSTATUS NvAdmin(PNV_EXTENSION Nv, PNV_COMMAND Command)
{
    LARGE_INTEGER second;
    NTSTATUS status;
    KIRQL irql;

    second.QuadPart = -10 * 1000 * 1000;
    ExAcquireFastMutex(&Nv->AdminMutex);
    KeClearEvent(&Nv->AdminDone);
    KeAcquireSpinLock(&Nv->Lock, &irql);
    if (Nv->Awake)
        NvSubmit(&Nv->Queues[0], Command);
    KeReleaseSpinLock(&Nv->Lock, irql);
    status = KeWaitForSingleObject(&Nv->AdminDone, Executive, KernelMode, FALSE, &second);
    status = status == STATUS_SUCCESS ? NvStatus(Nv->AdminAnswer.Status) : STATUS_IO_TIMEOUT;
    ExReleaseFastMutex(&Nv->AdminMutex);
    return status;
}

static NTSTATUS NvIdentify(PNV_EXTENSION Nv, ULONG What)
{
    NV_COMMAND command;

    RtlZeroMemory(&command, sizeof(command));
    command.Dword0 = NV_ADMIN_IDENTIFY;
    command.Namespace = What == 0 ? 1 : 0;
    command.Prp1 = NV_ADDRESS(Nv, Nv->Shared->Identify);
    command.Dword10 = What;
    return NvAdmin(Nv, &command);
}

static NTSTATUS NvCreateIoQueues(PNV_EXTENSION Nv)
{
    NV_COMMAND command;
    NTSTATUS status;

    RtlZeroMemory(&command, sizeof(command));
    command.Dword0 = NV_ADMIN_SET_FEATURES;
    command.Dword10 = NV_FEATURE_QUEUES;
    status = NvAdmin(Nv, &command);
    if (!NT_SUCCESS(status))
        return status;

    RtlZeroMemory(&command, sizeof(command));
    command.Dword0 = NV_ADMIN_CREATE_CQ;
    command.Prp1 = NV_ADDRESS(Nv, Nv->Shared->Completion[1]);
    command.Dword10 = 1 | (NV_ENTRIES - 1) << 16;
    command.Dword11 = 3 | (Nv->MessageCount > 1 ? 1 : 0) << 16;
    status = NvAdmin(Nv, &command);
    if (!NT_SUCCESS(status))
        return status;

    RtlZeroMemory(&command, sizeof(command));
    command.Dword0 = NV_ADMIN_CREATE_SQ;
    command.Prp1 = NV_ADDRESS(Nv, Nv->Shared->Submission[1]);
    command.Dword10 = 1 | (NV_ENTRIES - 1) << 16;
    command.Dword11 = 1 | 1 << 16;
    return NvAdmin(Nv, &command);
}

/* --- The controller ------------------------------------------------------------------- */

/* Waits until the bits of the status are so. At PASSIVE_LEVEL. */
static NTSTATUS NvWaitFor(PNV_EXTENSION Nv, ULONG Bits, ULONG Value)
{
    LARGE_INTEGER pause;
    ULONG tries;

    pause.QuadPart = -10 * 1000;
    for (tries = 0; tries < 2000; tries++) {
        ULONG status = NvGet(Nv, NV_CSTS);

        if (status == NV_GONE)
            return STATUS_DEVICE_REMOVED;
        if ((status & Bits) == Value)
            return STATUS_SUCCESS;
        if (status & NV_CSTS_FATAL)
            return STATUS_IO_DEVICE_ERROR;
        KeDelayExecutionThread(KernelMode, FALSE, &pause);
    }
    return STATUS_IO_TIMEOUT;
}

static VOID NvSetFlag(PNV_EXTENSION Nv, PBOOLEAN Flag, BOOLEAN Value)
{
    KIRQL irql;

    KeAcquireSpinLock(&Nv->Lock, &irql);
    *Flag = Value;
    KeReleaseSpinLock(&Nv->Lock, irql);
}

/* Enables the controller and makes the queues. The interrupt is connected. */
static NTSTATUS NvWake(PNV_EXTENSION Nv)
{
    NTSTATUS status;
    KIRQL irql;

    NvSet(Nv, NV_CC, 0);
    status = NvWaitFor(Nv, NV_CSTS_READY, 0);
    if (!NT_SUCCESS(status))
        return status;
    KeAcquireSpinLock(&Nv->Lock, &irql);
    NvResetQueue(&Nv->Queues[0]);
    NvResetQueue(&Nv->Queues[1]);
    KeReleaseSpinLock(&Nv->Lock, irql);
    NvSet(Nv, NV_AQA, (NV_ENTRIES - 1) << 16 | (NV_ENTRIES - 1));
    NvSetWide(Nv, NV_ASQ, NV_ADDRESS(Nv, Nv->Shared->Submission[0]));
    NvSetWide(Nv, NV_ACQ, NV_ADDRESS(Nv, Nv->Shared->Completion[0]));
    NvSet(Nv, NV_CC, NV_CC_ENABLE);
    status = NvWaitFor(Nv, NV_CSTS_READY, NV_CSTS_READY);
    if (!NT_SUCCESS(status))
        return status;
    NvSetFlag(Nv, &Nv->Awake, TRUE);
    status = NvCreateIoQueues(Nv);
    if (NT_SUCCESS(status))
        status = NvIdentify(Nv, 0);
    if (NT_SUCCESS(status))
        Nv->Blocks = *(PULONGLONG)Nv->Shared->Identify;
    else
        NvSetFlag(Nv, &Nv->Awake, FALSE);
    return status;
}

/* Ends the commands that a controller which was pulled, or has failed, does not end any more. */
static VOID NvAbandon(PNV_EXTENSION Nv, NTSTATUS Status)
{
    ULONG i;

    for (i = 0; i < NV_SLOTS; i++)
        if (Nv->Slots[i].Irp != NULL)
            NvEndSlot(&Nv->Slots[i], Status);
}

/* Lets what is at the controller come to its end, and shuts it down. */
static VOID NvSleep(PNV_EXTENSION Nv)
{
    LARGE_INTEGER seconds;

    seconds.QuadPart = -5 * 10 * 1000 * 1000;
    NvSetFlag(Nv, &Nv->Open, FALSE);
    if (!Nv->Awake)
        return;
    KeWaitForSingleObject(&Nv->Idle, Executive, KernelMode, FALSE, &seconds);
    NvSetFlag(Nv, &Nv->Awake, FALSE);
    KeFlushQueuedDpcs();
    NvSet(Nv, NV_CC, NV_CC_ENABLE | NV_CC_SHUTDOWN);
    NvWaitFor(Nv, NV_CSTS_SHUT, NV_CSTS_SHUT);
    NvSet(Nv, NV_CC, 0);
    NvWaitFor(Nv, NV_CSTS_READY, 0);
    NvAbandon(Nv, STATUS_DEVICE_REMOVED);
}

/* --- Hardware -------------------------------------------------------------------------- */

static NTSTATUS PAGED NvConnect(PNV_EXTENSION Nv)
{
    IO_CONNECT_INTERRUPT_PARAMETERS connect;
    NTSTATUS status;

    RtlZeroMemory(&connect, sizeof(connect));
    connect.Version = CONNECT_MESSAGE_BASED;
    connect.MessageBased.PhysicalDeviceObject = Nv->Pdo;
    connect.MessageBased.ConnectionContext.Generic = &Nv->Connection.Generic;
    connect.MessageBased.MessageServiceRoutine = NvMessageIsr;
    connect.MessageBased.FallBackServiceRoutine = NvLineIsr;
    connect.MessageBased.ServiceContext = Nv;
    status = IoConnectInterruptEx(&connect);
    if (!NT_SUCCESS(status))
        return status;
    Nv->Version = connect.Version;
    Nv->MessageCount = connect.Version == CONNECT_MESSAGE_BASED ? Nv->Connection.Messages->MessageCount : 0;
    return status;
}

static VOID PAGED NvDisconnect(PNV_EXTENSION Nv)
{
    IO_DISCONNECT_INTERRUPT_PARAMETERS disconnect;

    if (Nv->Version == 0)
        return;
    RtlZeroMemory(&disconnect, sizeof(disconnect));
    disconnect.Version = Nv->Version;
    disconnect.ConnectionContext.Generic = Nv->Connection.Generic;
    IoDisconnectInterruptEx(&disconnect);
    Nv->Version = 0;
}

/* Gives back whatever there is. */
static VOID PAGED NvRelease(PNV_EXTENSION Nv)
{
    if (Nv->Registers != NULL)
        NvSleep(Nv);
    NvDisconnect(Nv);
    KeFlushQueuedDpcs();
    if (Nv->Shared != NULL)
        Nv->Adapter->DmaOperations->FreeCommonBuffer(Nv->Adapter, sizeof(NV_SHARED), Nv->SharedAddress,
                                                     Nv->Shared, TRUE);
    Nv->Shared = NULL;
    if (Nv->Adapter != NULL)
        Nv->Adapter->DmaOperations->PutDmaAdapter(Nv->Adapter);
    Nv->Adapter = NULL;
    if (Nv->Registers != NULL)
        MmUnmapIoSpace(Nv->Registers, NV_WINDOW);
    Nv->Registers = NULL;
}

static NTSTATUS PAGED NvAcquireDma(PNV_EXTENSION Nv)
{
    DEVICE_DESCRIPTION description;
    ULONG registers;

    RtlZeroMemory(&description, sizeof(description));
    description.Version = DEVICE_DESCRIPTION_VERSION;
    description.Master = TRUE;
    description.ScatterGather = TRUE;
    description.Dma32BitAddresses = TRUE;
    description.Dma64BitAddresses = TRUE;
    description.InterfaceType = PCIBus;
    description.MaximumLength = NV_LARGEST;
    Nv->Adapter = IoGetDmaAdapter(Nv->Pdo, &description, &registers);
    if (Nv->Adapter == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    Nv->Shared = Nv->Adapter->DmaOperations->AllocateCommonBuffer(Nv->Adapter, sizeof(NV_SHARED),
                                                                  &Nv->SharedAddress, TRUE);
    return Nv->Shared != NULL ? STATUS_SUCCESS : STATUS_INSUFFICIENT_RESOURCES;
}

static NTSTATUS PAGED NvAcquire(PNV_EXTENSION Nv, PCM_RESOURCE_LIST Translated)
{
    PCM_PARTIAL_RESOURCE_DESCRIPTOR memory = NULL;
    PCM_PARTIAL_RESOURCE_LIST list;
    NTSTATUS status;
    ULONG i;

    if (Translated == NULL || Translated->Count == 0)
        return STATUS_DEVICE_CONFIGURATION_ERROR;
    list = &Translated->List[0].PartialResourceList;
    for (i = 0; i < list->Count && memory == NULL; i++)
        if (list->PartialDescriptors[i].Type == CmResourceTypeMemory)
            memory = &list->PartialDescriptors[i];
    if (memory == NULL || memory->u.Memory.Length < NV_WINDOW)
        return STATUS_DEVICE_CONFIGURATION_ERROR;
    Nv->Registers = MmMapIoSpace(memory->u.Memory.Start, NV_WINDOW, MmNonCached);
    if (Nv->Registers == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    status = NvAcquireDma(Nv);
    if (NT_SUCCESS(status)) {
        /* The ISR may run as soon as it is connected: the queues are empty by then. */
        NvResetQueue(&Nv->Queues[0]);
        NvResetQueue(&Nv->Queues[1]);
        status = NvConnect(Nv);
    }
    if (NT_SUCCESS(status))
        status = NvWake(Nv);
    if (!NT_SUCCESS(status))
        NvRelease(Nv);
    return status;
}

/* --- Requests -------------------------------------------------------------------------- */

static NTSTATUS NTAPI NvCreateClose(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    UNREFERENCED_PARAMETER(DeviceObject);
    return NvComplete(Irp, STATUS_SUCCESS, 0);
}

static NTSTATUS NTAPI NvCleanup(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    NvFlushQueue(DeviceObject->DeviceExtension, IoGetCurrentIrpStackLocation(Irp)->FileObject, STATUS_CANCELLED);
    return NvComplete(Irp, STATUS_SUCCESS, 0);
}

/* Read, write and flush. */
static NTSTATUS NTAPI NvTransfer(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PNV_EXTENSION nv = DeviceObject->DeviceExtension;
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(Irp);
    NTSTATUS status = IoAcquireRemoveLock(&nv->RemoveLock, Irp);

    if (!NT_SUCCESS(status))
        return NvComplete(Irp, status, 0);
    if (stack->MajorFunction != IRP_MJ_FLUSH_BUFFERS) {
        ULONGLONG offset = stack->Parameters.Read.ByteOffset.QuadPart;
        ULONG length = stack->Parameters.Read.Length;

        if (offset % NV_BLOCK != 0 || length % NV_BLOCK != 0 || length > NV_LARGEST ||
            (length > 0 && MmGetMdlByteOffset(Irp->MdlAddress) & 3))
            status = STATUS_INVALID_PARAMETER;
        if (!NT_SUCCESS(status) || length == 0) {
            NvFinish(nv, Irp, status, 0);
            return status;
        }
    }
    status = IoCsqInsertIrpEx(&nv->Waiting, Irp, NULL, NULL);
    if (!NT_SUCCESS(status)) {
        NvFinish(nv, Irp, status, 0);
        return status;
    }
    NvStartRequests(nv);
    return STATUS_PENDING;
}

static NTSTATUS NTAPI PAGED NvDeviceControl(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PNV_EXTENSION nv = DeviceObject->DeviceExtension;
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(Irp);
    ULONG length = stack->Parameters.DeviceIoControl.OutputBufferLength;
    NTSTATUS status = IoAcquireRemoveLock(&nv->RemoveLock, Irp);
    ULONG count = 0;

    if (!NT_SUCCESS(status))
        return NvComplete(Irp, status, 0);
    switch (stack->Parameters.DeviceIoControl.IoControlCode) {
    case IOCTL_NV_IDENTIFY:
        count = min(length, PAGE_SIZE);
        if (!NvEnter(nv)) {
            status = STATUS_DEVICE_NOT_READY;
            break;
        }
        status = NvIdentify(nv, 1);
        if (NT_SUCCESS(status))
            RtlCopyMemory(Irp->AssociatedIrp.SystemBuffer, nv->Shared->Identify, count);
        NvLeave(nv);
        break;
    case IOCTL_NV_LENGTH:
        count = sizeof(ULONGLONG);
        if (length < count)
            status = STATUS_BUFFER_TOO_SMALL;
        else
            *(PULONGLONG)Irp->AssociatedIrp.SystemBuffer = nv->Blocks * NV_BLOCK;
        break;
    default:
        status = STATUS_INVALID_DEVICE_REQUEST;
        break;
    }
    NvFinish(nv, Irp, status, NT_SUCCESS(status) ? count : 0);
    return status;
}

/* --- Plug and play ---------------------------------------------------------------------- */

static VOID PAGED NvSetStarted(PNV_EXTENSION Nv, BOOLEAN Started)
{
    NvSetFlag(Nv, &Nv->Started, Started);
    NvSetFlag(Nv, &Nv->Open, Started);
    if (Started)
        NvStartRequests(Nv);
}

/* Power comes and goes beside plug and play: a device may be pulled out while it wakes up. */
static VOID NvTakeTurn(PNV_EXTENSION Nv)
{
    KeWaitForSingleObject(&Nv->Turn, Executive, KernelMode, FALSE, NULL);
}

static VOID NvEndTurn(PNV_EXTENSION Nv)
{
    KeSetEvent(&Nv->Turn, IO_NO_INCREMENT, FALSE);
}

/* The device stops, goes, or is gone already. */
static VOID PAGED NvStop(PNV_EXTENSION Nv, NTSTATUS Status)
{
    NvTakeTurn(Nv);
    NvSetStarted(Nv, FALSE);
    NvFlushQueue(Nv, NULL, Status);
    NvRelease(Nv);
    NvEndTurn(Nv);
}

static NTSTATUS PAGED NvForwardAndWait(PNV_EXTENSION Nv, PIRP Irp)
{
    if (!IoForwardIrpSynchronously(Nv->Lower, Irp))
        return STATUS_UNSUCCESSFUL;
    return Irp->IoStatus.Status;
}

static NTSTATUS NvPassDown(PNV_EXTENSION Nv, PIRP Irp)
{
    NTSTATUS status;

    IoSkipCurrentIrpStackLocation(Irp);
    status = IoCallDriver(Nv->Lower, Irp);
    IoReleaseRemoveLock(&Nv->RemoveLock, Irp);
    return status;
}

static NTSTATUS NTAPI PAGED NvPnp(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PNV_EXTENSION nv = DeviceObject->DeviceExtension;
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(Irp);
    NTSTATUS status = IoAcquireRemoveLock(&nv->RemoveLock, Irp);

    if (!NT_SUCCESS(status))
        return NvComplete(Irp, status, 0);
    switch (stack->MinorFunction) {
    case IRP_MN_START_DEVICE:
        status = NvForwardAndWait(nv, Irp);
        if (NT_SUCCESS(status))
            status = NvAcquire(nv, stack->Parameters.StartDevice.AllocatedResourcesTranslated);
        if (NT_SUCCESS(status)) {
            NvSetStarted(nv, TRUE);
            IoSetDeviceInterfaceState(&nv->Interface, TRUE);
        }
        break;

    case IRP_MN_QUERY_STOP_DEVICE:
    case IRP_MN_QUERY_REMOVE_DEVICE:
        NvSetFlag(nv, &nv->Open, FALSE); /* what comes now waits */
        Irp->IoStatus.Status = STATUS_SUCCESS;
        return NvPassDown(nv, Irp);

    case IRP_MN_CANCEL_STOP_DEVICE:
    case IRP_MN_CANCEL_REMOVE_DEVICE:
        status = NvForwardAndWait(nv, Irp);
        if (nv->Awake)
            NvSetStarted(nv, TRUE);
        break;

    case IRP_MN_STOP_DEVICE:
        NvTakeTurn(nv);
        NvRelease(nv); /* what waits goes on after the next start */
        NvEndTurn(nv);
        Irp->IoStatus.Status = STATUS_SUCCESS;
        return NvPassDown(nv, Irp);

    case IRP_MN_SURPRISE_REMOVAL:
        IoSetDeviceInterfaceState(&nv->Interface, FALSE);
        NvStop(nv, STATUS_DEVICE_REMOVED);
        Irp->IoStatus.Status = STATUS_SUCCESS;
        return NvPassDown(nv, Irp);

    case IRP_MN_REMOVE_DEVICE:
        IoSetDeviceInterfaceState(&nv->Interface, FALSE);
        NvStop(nv, STATUS_DEVICE_REMOVED);
        Irp->IoStatus.Status = STATUS_SUCCESS;
        IoSkipCurrentIrpStackLocation(Irp);
        status = IoCallDriver(nv->Lower, Irp);
        IoReleaseRemoveLockAndWait(&nv->RemoveLock, Irp);
        IoFreeWorkItem(nv->WorkItem);
        RtlFreeUnicodeString(&nv->Interface);
        IoDetachDevice(nv->Lower);
        IoDeleteDevice(DeviceObject);
        return status;

    default:
        return NvPassDown(nv, Irp);
    }
    NvFinish(nv, Irp, status, Irp->IoStatus.Information);
    return status;
}

/* --- Power -------------------------------------------------------------------------------- */

/* The controller wakes up where one may wait; then the request goes on its way. */
static VOID NTAPI NvWakeWorker(PDEVICE_OBJECT DeviceObject, PVOID Context)
{
    PNV_EXTENSION nv = DeviceObject->DeviceExtension;
    PIRP irp = nv->PowerIrp;

    UNREFERENCED_PARAMETER(Context);
    nv->PowerIrp = NULL;
    NvTakeTurn(nv);
    if (nv->Started && NT_SUCCESS(NvWake(nv)))
        NvSetStarted(nv, TRUE);
    NvEndTurn(nv);
    PoStartNextPowerIrp(irp);
    IoCompleteRequest(irp, IO_NO_INCREMENT);
    IoReleaseRemoveLock(&nv->RemoveLock, irp);
}

static NTSTATUS NTAPI NvPoweredUp(PDEVICE_OBJECT DeviceObject, PIRP Irp, PVOID Context)
{
    PNV_EXTENSION nv = Context;

    UNREFERENCED_PARAMETER(DeviceObject);
    if (NT_SUCCESS(Irp->IoStatus.Status) && nv->Started && !nv->Awake) {
        PoSetPowerState(nv->Self, DevicePowerState, IoGetCurrentIrpStackLocation(Irp)->Parameters.Power.State);
        nv->PowerIrp = Irp;
        IoQueueWorkItem(nv->WorkItem, NvWakeWorker, DelayedWorkQueue, NULL);
        return STATUS_MORE_PROCESSING_REQUIRED;
    }
    PoStartNextPowerIrp(Irp);
    IoReleaseRemoveLock(&nv->RemoveLock, Irp);
    return STATUS_CONTINUE_COMPLETION;
}

/* The controller falls asleep where one may wait; then the request goes on its way. */
static VOID NTAPI NvSleepWorker(PDEVICE_OBJECT DeviceObject, PVOID Context)
{
    PNV_EXTENSION nv = DeviceObject->DeviceExtension;
    PIRP irp = nv->PowerIrp;

    UNREFERENCED_PARAMETER(Context);
    nv->PowerIrp = NULL;
    NvTakeTurn(nv);
    if (nv->Registers != NULL)
        NvSleep(nv);
    NvEndTurn(nv);
    PoSetPowerState(DeviceObject, DevicePowerState, IoGetCurrentIrpStackLocation(irp)->Parameters.Power.State);
    PoStartNextPowerIrp(irp);
    IoCopyCurrentIrpStackLocationToNext(irp);
    PoCallDriver(nv->Lower, irp);
    IoReleaseRemoveLock(&nv->RemoveLock, irp);
}

static NTSTATUS NTAPI NvPower(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PNV_EXTENSION nv = DeviceObject->DeviceExtension;
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(Irp);
    NTSTATUS status = IoAcquireRemoveLock(&nv->RemoveLock, Irp);

    if (!NT_SUCCESS(status)) {
        PoStartNextPowerIrp(Irp);
        return NvComplete(Irp, status, 0);
    }
    if (stack->MinorFunction == IRP_MN_SET_POWER && stack->Parameters.Power.Type == DevicePowerState) {
        if (stack->Parameters.Power.State.DeviceState == PowerDeviceD0) {
            IoMarkIrpPending(Irp);
            IoCopyCurrentIrpStackLocationToNext(Irp);
            IoSetCompletionRoutine(Irp, NvPoweredUp, nv, TRUE, TRUE, TRUE);
            PoCallDriver(nv->Lower, Irp);
            return STATUS_PENDING;
        }
        IoMarkIrpPending(Irp);
        nv->PowerIrp = Irp;
        IoQueueWorkItem(nv->WorkItem, NvSleepWorker, DelayedWorkQueue, NULL);
        return STATUS_PENDING;
    }
    PoStartNextPowerIrp(Irp);
    IoSkipCurrentIrpStackLocation(Irp);
    status = PoCallDriver(nv->Lower, Irp);
    IoReleaseRemoveLock(&nv->RemoveLock, Irp);
    return status;
}

static NTSTATUS NTAPI NvSystemControl(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PNV_EXTENSION nv = DeviceObject->DeviceExtension;
    NTSTATUS status = IoAcquireRemoveLock(&nv->RemoveLock, Irp);

    if (!NT_SUCCESS(status))
        return NvComplete(Irp, status, 0);
    return NvPassDown(nv, Irp);
}

/* --- Loading ------------------------------------------------------------------------------- */

static VOID PAGED NvInitialize(PNV_EXTENSION Nv)
{
    USHORT i;

    IoInitializeRemoveLock(&Nv->RemoveLock, NV_TAG, 0, 0);
    KeInitializeSpinLock(&Nv->Lock);
    ExInitializeFastMutex(&Nv->AdminMutex);
    KeInitializeEvent(&Nv->Turn, SynchronizationEvent, TRUE);
    KeInitializeEvent(&Nv->AdminDone, SynchronizationEvent, FALSE);
    KeInitializeEvent(&Nv->Idle, NotificationEvent, TRUE);
    InitializeListHead(&Nv->Irps);
    for (i = 0; i < NV_QUEUES; i++) {
        Nv->Queues[i].Nv = Nv;
        Nv->Queues[i].Number = i;
        KeInitializeDpc(&Nv->Queues[i].Dpc, NvDpc, &Nv->Queues[i]);
    }
    for (i = 0; i < NV_SLOTS; i++) {
        Nv->Slots[i].Nv = Nv;
        Nv->Slots[i].Number = i;
    }
}

static NTSTATUS NTAPI PAGED NvAddDevice(PDRIVER_OBJECT DriverObject, PDEVICE_OBJECT Pdo)
{
    PDEVICE_OBJECT fdo;
    PNV_EXTENSION nv;
    NTSTATUS status;

    status = IoCreateDevice(DriverObject, sizeof(NV_EXTENSION), NULL, FILE_DEVICE_DISK,
                            FILE_DEVICE_SECURE_OPEN, FALSE, &fdo);
    if (!NT_SUCCESS(status))
        return status;
    nv = fdo->DeviceExtension;
    nv->Self = fdo;
    nv->Pdo = Pdo;
    NvInitialize(nv);
    nv->WorkItem = IoAllocateWorkItem(fdo);
    if (nv->WorkItem == NULL) {
        IoDeleteDevice(fdo);
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    status = IoCsqInitializeEx(&nv->Waiting, NvCsqInsert, NvCsqRemove, NvCsqPeek, NvCsqAcquire,
                               NvCsqRelease, NvCsqCancelled);
    if (NT_SUCCESS(status))
        status = IoRegisterDeviceInterface(Pdo, &NvInterface, NULL, &nv->Interface);
    if (!NT_SUCCESS(status)) {
        IoFreeWorkItem(nv->WorkItem);
        IoDeleteDevice(fdo);
        return status;
    }
    nv->Lower = IoAttachDeviceToDeviceStack(fdo, Pdo);
    if (nv->Lower == NULL) {
        IoFreeWorkItem(nv->WorkItem);
        RtlFreeUnicodeString(&nv->Interface);
        IoDeleteDevice(fdo);
        return STATUS_NO_SUCH_DEVICE;
    }
    fdo->Flags |= DO_DIRECT_IO | DO_POWER_PAGABLE;
    fdo->Flags &= ~DO_DEVICE_INITIALIZING;
    return STATUS_SUCCESS;
}

static VOID NTAPI PAGED NvUnload(PDRIVER_OBJECT DriverObject)
{
    /* Every device was given back when it was removed. */
    UNREFERENCED_PARAMETER(DriverObject);
}

static const PDRIVER_DISPATCH NvDispatch[IRP_MJ_MAXIMUM_FUNCTION + 1] = {
    [IRP_MJ_CREATE] = NvCreateClose,
    [IRP_MJ_CLEANUP] = NvCleanup,
    [IRP_MJ_CLOSE] = NvCreateClose,
    [IRP_MJ_READ] = NvTransfer,
    [IRP_MJ_WRITE] = NvTransfer,
    [IRP_MJ_FLUSH_BUFFERS] = NvTransfer,
    [IRP_MJ_DEVICE_CONTROL] = NvDeviceControl,
    [IRP_MJ_PNP] = NvPnp,
    [IRP_MJ_POWER] = NvPower,
    [IRP_MJ_SYSTEM_CONTROL] = NvSystemControl,
};

NTSTATUS NTAPI INIT DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    ULONG i;

    UNREFERENCED_PARAMETER(RegistryPath);
    DriverObject->DriverExtension->AddDevice = NvAddDevice;
    DriverObject->DriverUnload = NvUnload;
    for (i = 0; i <= IRP_MJ_MAXIMUM_FUNCTION; i++)
        if (NvDispatch[i] != NULL)
            DriverObject->MajorFunction[i] = NvDispatch[i];
    return STATUS_SUCCESS;
}
