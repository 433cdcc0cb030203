/*
 * Function driver for a serial port with a 16550A.
 *
 * Reads and writes wait in cancel-safe queues. The first of each queue is the one that the
 * hardware works for; it stays in its queue, so that it can be cancelled at any moment, until it
 * is marked as done under the queue's lock. The ISR fills a ring and empties a buffer; a DPC for
 * each kind of work does the rest.
 *
 * Timers: a queue's timer may expire while a request ends and the next one begins. The DPC
 * therefore looks at the deadline, not at the fact that it runs.
 *
 * Flow control: XON/XOFF both ways, RTS and CTS. What holds the transmitter is a set of reasons.
 *
 * Sources: National Semiconductor, PC16550D (June 1995); WDK, "Serial Devices"; ntddser.h.
 *
 * Locks, outermost first:
 *   Mutex           IsOpen, IsStarted, and changes of settings
 *   ReadLock        Reads, ReadDeadline, IntervalDeadline, ReadTimeouts
 *   WriteLock       Writes, WriteDeadline
 *   WaitLock        Waits
 *   the interrupt   everything in SER_HARDWARE
 */
#include <ddk/wdm.h>
#include <ntddser.h>

#define INIT __attribute__((section("INIT")))
#define PAGED __attribute__((section("PAGE")))

#define SER_TAG '0SrD'

/* Registers, one byte each. */
#define UART_DATA 0     /* with DLAB: divisor, low */
#define UART_IER 1      /* with DLAB: divisor, high */
#define UART_IIR 2      /* read */
#define UART_FCR 2      /* write */
#define UART_LCR 3
#define UART_MCR 4
#define UART_LSR 5
#define UART_MSR 6
#define UART_SCRATCH 7
#define UART_PORTS 8

#define IER_RECEIVED 0x01
#define IER_TRANSMITTER 0x02
#define IER_LINE 0x04
#define IER_MODEM 0x08
#define IER_ALL 0x0F

#define IIR_NONE 0x01
#define IIR_ID 0x0E
#define IIR_MODEM 0x00
#define IIR_TRANSMITTER 0x02
#define IIR_RECEIVED 0x04
#define IIR_LINE 0x06
#define IIR_TIMEOUT 0x0C

#define FCR_ENABLE 0x01
#define FCR_CLEAR 0x06
#define FCR_TRIGGER_8 0x80

#define LCR_BREAK 0x40
#define LCR_DLAB 0x80

#define MCR_DTR 0x01
#define MCR_RTS 0x02
#define MCR_OUT2 0x08

#define LSR_DATA 0x01
#define LSR_OVERRUN 0x02
#define LSR_PARITY 0x04
#define LSR_FRAMING 0x08
#define LSR_BREAK 0x10
#define LSR_THRE 0x20
#define LSR_TEMT 0x40
#define LSR_ERRORS (LSR_OVERRUN | LSR_PARITY | LSR_FRAMING | LSR_BREAK)

#define MSR_DELTA_CTS 0x01
#define MSR_DELTA_DSR 0x02
#define MSR_TRAILING_RI 0x04
#define MSR_DELTA_DCD 0x08
#define MSR_CTS 0x10

#define UART_FIFO 16
#define UART_CLOCK 115200 /* the clock after the division by 16 */
#define UART_GONE 0xFF    /* what every register reads once the port was pulled */

#define SER_RING 4096      /* bytes of the first ring */
#define SER_LARGEST_RING (1 << 20)
#define SER_FOREVER MAXULONGLONG

/* What a request has come to, in its DriverContext. Slot 3 belongs to the queue. */
#define SER_COUNT(Irp) (*(PULONG_PTR)&(Irp)->Tail.Overlay.DriverContext[0])
#define SER_DONE(Irp) (*(PULONG_PTR)&(Irp)->Tail.Overlay.DriverContext[1])
#define SER_STATUS(Irp) (*(PNTSTATUS)&(Irp)->Tail.Overlay.DriverContext[2])

/* The hardware, and what the ISR shares with everybody else. */
typedef struct _SER_HARDWARE {
    PUCHAR Ports;
    UCHAR Ier;
    UCHAR Lcr;
    UCHAR Mcr;
    USHORT Divisor;
    UCHAR ModemStatus;
    BOOLEAN IsOn; /* the registers may be touched */

    PUCHAR Ring;
    ULONG RingSize;
    ULONG RingFirst;
    ULONG RingCount;

    PUCHAR Write; /* what is left to send */
    ULONG WriteLeft;
    BOOLEAN WriteActive;
    UCHAR Urgent[2]; /* flow control and immediate characters go first */
    BOOLEAN HasFlowChar;
    BOOLEAN HasImmediate;

    ULONG HoldReasons; /* SERIAL_TX_WAITING_FOR_..., below */
    BOOLEAN AskedToStop; /* the other end was told to stop */
    SERIAL_HANDFLOW Flow;
    SERIAL_CHARS Chars;

    ULONG Errors;     /* since GET_COMMSTATUS */
    ULONG WaitMask;
    ULONG Events;     /* of WaitMask, since the last wait */
    SERIALPERF_STATS Stats;
} SER_HARDWARE, *PSER_HARDWARE;

/* As SERIAL_STATUS.HoldReasons. */
#define HOLD_CTS 0x0001
#define HOLD_XOFF 0x0008
#define HOLD_BREAK 0x0040

#define ERROR_BREAK 0x0001
#define ERROR_FRAMING 0x0002
#define ERROR_OVERRUN 0x0004
#define ERROR_QUEUE 0x0008
#define ERROR_PARITY 0x0010

typedef struct _SER_QUEUE {
    IO_CSQ Csq;
    LIST_ENTRY Irps;
    KSPIN_LOCK Lock;
} SER_QUEUE, *PSER_QUEUE;

typedef struct _SER_EXTENSION {
    PDEVICE_OBJECT Self;
    PDEVICE_OBJECT Pdo;
    PDEVICE_OBJECT Lower;
    UNICODE_STRING Interface;
    IO_REMOVE_LOCK RemoveLock;
    FAST_MUTEX Mutex;
    BOOLEAN IsStarted;
    BOOLEAN IsOpen;
    volatile LONG Users; /* of a port that is started */
    KEVENT Unused;       /* maybe nobody uses it any more */

    PKINTERRUPT Interrupt;
    SER_HARDWARE Hw;

    SER_QUEUE Reads;
    SER_QUEUE Writes;
    SER_QUEUE Waits;
    SERIAL_TIMEOUTS Timeouts; /* Reads.Lock */
    ULONGLONG ReadDeadline;
    ULONGLONG IntervalDeadline;
    ULONGLONG WriteDeadline;

    KTIMER ReadTimer;
    KTIMER IntervalTimer;
    KTIMER WriteTimer;
    KDPC ReadTimerDpc;
    KDPC IntervalTimerDpc;
    KDPC WriteTimerDpc;
    KDPC ReceiveDpc;
    KDPC TransmitDpc;
    KDPC EventDpc;
} SER_EXTENSION, *PSER_EXTENSION;

/* {86E0D1E0-8089-11D0-9CE4-08003E301F73}, GUID_DEVINTERFACE_COMPORT */
static const GUID SerInterface =
    {0x86e0d1e0, 0x8089, 0x11d0, {0x9c, 0xe4, 0x08, 0x00, 0x3e, 0x30, 0x1f, 0x73}};

static UCHAR SerGet(PSER_HARDWARE Hw, ULONG Register)
{
    return READ_PORT_UCHAR(Hw->Ports + Register);
}

static VOID SerSet(PSER_HARDWARE Hw, ULONG Register, UCHAR Value)
{
    WRITE_PORT_UCHAR(Hw->Ports + Register, Value);
}

static NTSTATUS SerComplete(PIRP Irp, NTSTATUS Status, ULONG_PTR Information)
{
    Irp->IoStatus.Status = Status;
    Irp->IoStatus.Information = Information;
    IoCompleteRequest(Irp, IO_SERIAL_INCREMENT);
    return Status;
}

/* --- Interrupt side: the caller is the ISR or holds its lock --------------- */

static VOID SerNoteEvent(PSER_EXTENSION Ser, ULONG Event)
{
    if (Ser->Hw.WaitMask & Event) {
        Ser->Hw.Events |= Ser->Hw.WaitMask & Event;
        KeInsertQueueDpc(&Ser->EventDpc, NULL, NULL);
    }
}

static VOID SerSetModem(PSER_HARDWARE Hw, UCHAR Mcr)
{
    if (Hw->Mcr != Mcr) {
        Hw->Mcr = Mcr;
        SerSet(Hw, UART_MCR, Mcr);
    }
}

/* Fills the transmitter, which is empty. */
static VOID SerTransmit(PSER_EXTENSION Ser)
{
    PSER_HARDWARE hw = &Ser->Hw;
    ULONG room = UART_FIFO;

    if (hw->HasFlowChar) {
        SerSet(hw, UART_DATA, hw->Urgent[0]);
        hw->HasFlowChar = FALSE;
        room--;
    }
    if (hw->HoldReasons & HOLD_BREAK)
        return;
    if (hw->HasImmediate) {
        SerSet(hw, UART_DATA, hw->Urgent[1]);
        hw->HasImmediate = FALSE;
        room--;
    }
    if (hw->HoldReasons != 0 || !hw->WriteActive)
        return;
    for (; room > 0 && hw->WriteLeft > 0; room--) {
        SerSet(hw, UART_DATA, *hw->Write++);
        hw->WriteLeft--;
        hw->Stats.TransmittedCount++;
    }
    if (hw->WriteLeft == 0) {
        hw->WriteActive = FALSE;
        KeInsertQueueDpc(&Ser->TransmitDpc, NULL, NULL);
    }
}

/* Something to send has come, or a reason not to send has gone. */
static VOID SerKick(PSER_EXTENSION Ser)
{
    if (Ser->Hw.IsOn && SerGet(&Ser->Hw, UART_LSR) & LSR_THRE)
        SerTransmit(Ser);
}

static VOID SerHold(PSER_EXTENSION Ser, ULONG Reason, BOOLEAN Hold)
{
    ULONG before = Ser->Hw.HoldReasons;

    Ser->Hw.HoldReasons = Hold ? before | Reason : before & ~Reason;
    if (before != 0 && Ser->Hw.HoldReasons == 0)
        SerKick(Ser);
}

static VOID SerSendFlowChar(PSER_EXTENSION Ser, UCHAR Char)
{
    Ser->Hw.Urgent[0] = Char;
    Ser->Hw.HasFlowChar = TRUE;
    SerKick(Ser);
}

/* Tells the other end to stop or to go on, by whatever means is agreed on. */
static VOID SerThrottle(PSER_EXTENSION Ser, BOOLEAN Stop)
{
    PSER_HARDWARE hw = &Ser->Hw;

    if (hw->AskedToStop == Stop)
        return;
    hw->AskedToStop = Stop;
    if (hw->Flow.FlowReplace & SERIAL_AUTO_RECEIVE)
        SerSendFlowChar(Ser, Stop ? hw->Chars.XoffChar : hw->Chars.XonChar);
    if ((hw->Flow.FlowReplace & SERIAL_RTS_MASK) == SERIAL_RTS_HANDSHAKE)
        SerSetModem(hw, Stop ? hw->Mcr & ~MCR_RTS : hw->Mcr | MCR_RTS);
}

/* After the ring has gained or lost bytes. */
static VOID SerWatchRing(PSER_EXTENSION Ser)
{
    PSER_HARDWARE hw = &Ser->Hw;

    if (hw->RingCount + (ULONG)hw->Flow.XoffLimit >= hw->RingSize)
        SerThrottle(Ser, TRUE);
    else if (hw->RingCount <= (ULONG)hw->Flow.XonLimit)
        SerThrottle(Ser, FALSE);
}

static VOID SerStore(PSER_EXTENSION Ser, UCHAR Char)
{
    PSER_HARDWARE hw = &Ser->Hw;

    if (hw->Flow.FlowReplace & SERIAL_AUTO_TRANSMIT) {
        if (Char == hw->Chars.XoffChar) {
            SerHold(Ser, HOLD_XOFF, TRUE);
            return;
        }
        if (Char == hw->Chars.XonChar) {
            SerHold(Ser, HOLD_XOFF, FALSE);
            return;
        }
    }
    if (Char == 0 && hw->Flow.FlowReplace & SERIAL_NULL_STRIPPING)
        return;
    if (hw->RingCount == hw->RingSize) {
        hw->Errors |= ERROR_QUEUE;
        hw->Stats.BufferOverrunErrorCount++;
        SerNoteEvent(Ser, SERIAL_EV_ERR);
        return;
    }
    hw->Ring[(hw->RingFirst + hw->RingCount) % hw->RingSize] = Char;
    hw->RingCount++;
    hw->Stats.ReceivedCount++;
    SerNoteEvent(Ser, Char == hw->Chars.EventChar && hw->Chars.EventChar != 0
                          ? SERIAL_EV_RXCHAR | SERIAL_EV_RXFLAG : SERIAL_EV_RXCHAR);
}

static VOID SerLineErrors(PSER_EXTENSION Ser, UCHAR LineStatus)
{
    PSER_HARDWARE hw = &Ser->Hw;

    if (LineStatus & LSR_OVERRUN) {
        hw->Errors |= ERROR_OVERRUN;
        hw->Stats.SerialOverrunErrorCount++;
    }
    if (LineStatus & LSR_BREAK) {
        hw->Errors |= ERROR_BREAK;
        SerNoteEvent(Ser, SERIAL_EV_BREAK);
    } else {
        if (LineStatus & LSR_PARITY) {
            hw->Errors |= ERROR_PARITY;
            hw->Stats.ParityErrorCount++;
        }
        if (LineStatus & LSR_FRAMING) {
            hw->Errors |= ERROR_FRAMING;
            hw->Stats.FrameErrorCount++;
        }
    }
    if (LineStatus & (LSR_OVERRUN | LSR_PARITY | LSR_FRAMING) && !(LineStatus & LSR_BREAK))
        SerNoteEvent(Ser, SERIAL_EV_ERR);
}

/* Empties the receiver. LineStatus belongs to the character on top. */
static VOID SerReceive(PSER_EXTENSION Ser, UCHAR LineStatus)
{
    PSER_HARDWARE hw = &Ser->Hw;
    UCHAR character;

    while (LineStatus & LSR_DATA && LineStatus != UART_GONE) {
        if (LineStatus & LSR_ERRORS)
            SerLineErrors(Ser, LineStatus);
        character = SerGet(hw, UART_DATA);
        if (LineStatus & (LSR_PARITY | LSR_FRAMING) && hw->Flow.FlowReplace & SERIAL_ERROR_CHAR)
            character = hw->Chars.ErrorChar;
        if (!(LineStatus & LSR_BREAK))
            SerStore(Ser, character);
        else if (hw->Flow.FlowReplace & SERIAL_BREAK_CHAR)
            SerStore(Ser, hw->Chars.BreakChar);
        LineStatus = SerGet(hw, UART_LSR);
    }
    SerWatchRing(Ser);
    KeInsertQueueDpc(&Ser->ReceiveDpc, NULL, NULL);
}

static VOID SerModem(PSER_EXTENSION Ser, UCHAR ModemStatus)
{
    PSER_HARDWARE hw = &Ser->Hw;
    ULONG events = 0;

    hw->ModemStatus = ModemStatus;
    if (ModemStatus & MSR_DELTA_CTS)
        events |= SERIAL_EV_CTS;
    if (ModemStatus & MSR_DELTA_DSR)
        events |= SERIAL_EV_DSR;
    if (ModemStatus & MSR_TRAILING_RI)
        events |= SERIAL_EV_RING;
    if (ModemStatus & MSR_DELTA_DCD)
        events |= SERIAL_EV_RLSD;
    SerNoteEvent(Ser, events);
    if (hw->Flow.ControlHandShake & SERIAL_CTS_HANDSHAKE)
        SerHold(Ser, HOLD_CTS, (ModemStatus & MSR_CTS) == 0);
}

static BOOLEAN NTAPI SerIsr(PKINTERRUPT Interrupt, PVOID Context)
{
    PSER_EXTENSION ser = Context;
    PSER_HARDWARE hw = &ser->Hw;
    BOOLEAN mine = FALSE;
    UCHAR id;

    UNREFERENCED_PARAMETER(Interrupt);
    if (!hw->IsOn)
        return FALSE;
    /* The line is edge-triggered: it must have been low before the ISR leaves. */
    for (;;) {
        id = SerGet(hw, UART_IIR);
        if (id & IIR_NONE)
            return mine;
        mine = TRUE;
        switch (id & IIR_ID) {
        case IIR_LINE: {
            UCHAR status = SerGet(hw, UART_LSR);

            if (status & LSR_DATA)
                SerReceive(ser, status);
            else
                SerLineErrors(ser, status);
            break;
        }
        case IIR_RECEIVED:
        case IIR_TIMEOUT:
            SerReceive(ser, SerGet(hw, UART_LSR));
            break;
        case IIR_TRANSMITTER:
            SerTransmit(ser);
            if (!hw->WriteActive)
                SerNoteEvent(ser, SERIAL_EV_TXEMPTY);
            break;
        default:
            SerModem(ser, SerGet(hw, UART_MSR));
            break;
        }
    }
}

/* --- Queues ----------------------------------------------------------------- */

static PSER_QUEUE SerQueueOf(PIO_CSQ Csq)
{
    return CONTAINING_RECORD(Csq, SER_QUEUE, Csq);
}

static VOID NTAPI SerCsqInsert(PIO_CSQ Csq, PIRP Irp)
{
    InsertTailList(&SerQueueOf(Csq)->Irps, &Irp->Tail.Overlay.ListEntry);
}

static VOID NTAPI SerCsqRemove(PIO_CSQ Csq, PIRP Irp)
{
    UNREFERENCED_PARAMETER(Csq);
    RemoveEntryList(&Irp->Tail.Overlay.ListEntry);
}

static PIRP SerFirst(PSER_QUEUE Queue)
{
    if (IsListEmpty(&Queue->Irps))
        return NULL;
    return CONTAINING_RECORD(Queue->Irps.Flink, IRP, Tail.Overlay.ListEntry);
}

/* What SerCsqPeek may give. */
static UCHAR SerPeekDone, SerPeekAny;

static PIRP NTAPI SerCsqPeek(PIO_CSQ Csq, PIRP Irp, PVOID Context)
{
    PSER_QUEUE queue = SerQueueOf(Csq);
    PLIST_ENTRY entry = Irp == NULL ? queue->Irps.Flink : Irp->Tail.Overlay.ListEntry.Flink;

    for (; entry != &queue->Irps; entry = entry->Flink) {
        PIRP next = CONTAINING_RECORD(entry, IRP, Tail.Overlay.ListEntry);

        if (Context == &SerPeekAny || SER_DONE(next))
            return next;
        if (Context != &SerPeekDone && IoGetCurrentIrpStackLocation(next)->FileObject == Context)
            return next;
    }
    return NULL;
}

static VOID NTAPI SerCsqAcquire(PIO_CSQ Csq, PKIRQL Irql)
{
    KeAcquireSpinLock(&SerQueueOf(Csq)->Lock, Irql);
}

static VOID NTAPI SerCsqRelease(PIO_CSQ Csq, KIRQL Irql)
{
    KeReleaseSpinLock(&SerQueueOf(Csq)->Lock, Irql);
}

/* Marks a request as done. The caller holds its queue's lock. */
static VOID SerMark(PIRP Irp, NTSTATUS Status)
{
    if (!SER_DONE(Irp)) {
        SER_STATUS(Irp) = Status;
        SER_DONE(Irp) = TRUE;
    }
}

static VOID NTAPI SerCsqCancelled(PIO_CSQ Csq, PIRP Irp)
{
    UNREFERENCED_PARAMETER(Csq);
    /* It may have been done already, and only not been taken out. */
    SerComplete(Irp, SER_DONE(Irp) ? SER_STATUS(Irp) : STATUS_CANCELLED, SER_COUNT(Irp));
}

static NTSTATUS SerInitializeQueue(PSER_QUEUE Queue, PIO_CSQ_REMOVE_IRP Remove)
{
    InitializeListHead(&Queue->Irps);
    KeInitializeSpinLock(&Queue->Lock);
    return IoCsqInitialize(&Queue->Csq, SerCsqInsert, Remove, SerCsqPeek, SerCsqAcquire,
                           SerCsqRelease, SerCsqCancelled);
}

static VOID SerQueueIrp(PSER_QUEUE Queue, PIRP Irp)
{
    SER_COUNT(Irp) = 0;
    SER_DONE(Irp) = FALSE;
    SER_STATUS(Irp) = STATUS_SUCCESS;
    IoCsqInsertIrp(&Queue->Csq, Irp, NULL);
}

static VOID SerCompleteDone(PSER_QUEUE Queue)
{
    PIRP irp;

    while ((irp = IoCsqRemoveNextIrp(&Queue->Csq, &SerPeekDone)) != NULL)
        SerComplete(irp, SER_STATUS(irp), SER_COUNT(irp));
}

/* Ends all requests of a file, or of everybody. */
static VOID SerFlush(PSER_QUEUE Queue, PFILE_OBJECT File, NTSTATUS Status)
{
    PVOID which = File == NULL ? (PVOID)&SerPeekAny : (PVOID)File;
    PIRP irp;

    while ((irp = IoCsqRemoveNextIrp(&Queue->Csq, which)) != NULL)
        SerComplete(irp, SER_DONE(irp) ? SER_STATUS(irp) : Status, SER_COUNT(irp));
}

/* --- Time ------------------------------------------------------------------- */

static ULONGLONG SerNow(VOID)
{
    return KeQueryInterruptTime();
}

/* When so many milliseconds will have passed; 0 is never. */
static ULONGLONG SerDeadline(ULONGLONG Milliseconds)
{
    return Milliseconds == 0 ? SER_FOREVER : SerNow() + Milliseconds * 10000;
}

static VOID SerArm(PKTIMER Timer, PKDPC Dpc, ULONGLONG Deadline)
{
    LARGE_INTEGER due;

    if (Deadline == SER_FOREVER) {
        KeCancelTimer(Timer);
        return;
    }
    due.QuadPart = -(LONGLONG)(Deadline > SerNow() ? Deadline - SerNow() : 1);
    KeSetTimer(Timer, due, Dpc);
}

/* --- Reading ---------------------------------------------------------------- */

typedef struct _SER_COPY {
    PSER_EXTENSION Ser;
    PUCHAR Buffer;
    ULONG Room;
    ULONG Count;
} SER_COPY, *PSER_COPY;

/* Under the interrupt's lock: moves bytes from the ring. */
static BOOLEAN NTAPI SerSynchTake(PVOID Context)
{
    PSER_COPY copy = Context;
    PSER_HARDWARE hw = &copy->Ser->Hw;

    while (copy->Count < copy->Room && hw->RingCount > 0) {
        copy->Buffer[copy->Count++] = hw->Ring[hw->RingFirst];
        hw->RingFirst = (hw->RingFirst + 1) % hw->RingSize;
        hw->RingCount--;
    }
    SerWatchRing(copy->Ser);
    return TRUE;
}

/* The first read begins. The caller holds Reads.Lock. */
static VOID SerBeginRead(PSER_EXTENSION Ser, PIRP Irp)
{
    PSERIAL_TIMEOUTS t = &Ser->Timeouts;
    ULONGLONG length = IoGetCurrentIrpStackLocation(Irp)->Parameters.Read.Length;
    ULONGLONG total = t->ReadTotalTimeoutConstant;

    if (t->ReadTotalTimeoutMultiplier != MAXULONG)
        total += t->ReadTotalTimeoutMultiplier * length;
    Ser->IntervalDeadline = SER_FOREVER;
    Ser->ReadDeadline = SerDeadline(total);
    SerArm(&Ser->ReadTimer, &Ser->ReadTimerDpc, Ser->ReadDeadline);
    SerArm(&Ser->IntervalTimer, &Ser->IntervalTimerDpc, SER_FOREVER);
}

/* Whether a read returns with what there is, at once or after the first byte. */
static BOOLEAN SerReturnsEarly(PSER_EXTENSION Ser, ULONG_PTR Count)
{
    PSERIAL_TIMEOUTS t = &Ser->Timeouts;

    if (t->ReadIntervalTimeout != MAXULONG)
        return FALSE;
    if (t->ReadTotalTimeoutMultiplier == MAXULONG)
        return Count > 0;
    return t->ReadTotalTimeoutMultiplier == 0 && t->ReadTotalTimeoutConstant == 0;
}

/* Gives the first read what has come; whether it is done. The caller holds Reads.Lock. */
static BOOLEAN SerServeRead(PSER_EXTENSION Ser, PIRP Irp)
{
    ULONG length = IoGetCurrentIrpStackLocation(Irp)->Parameters.Read.Length;
    SER_COPY copy = {Ser, (PUCHAR)Irp->AssociatedIrp.SystemBuffer + SER_COUNT(Irp),
                     length - (ULONG)SER_COUNT(Irp), 0};

    KeSynchronizeExecution(Ser->Interrupt, SerSynchTake, &copy);
    SER_COUNT(Irp) += copy.Count;
    if (SER_COUNT(Irp) == length || SerReturnsEarly(Ser, SER_COUNT(Irp))) {
        SerMark(Irp, STATUS_SUCCESS);
        return TRUE;
    }
    if (copy.Count > 0 && Ser->Timeouts.ReadIntervalTimeout != 0 &&
        Ser->Timeouts.ReadIntervalTimeout != MAXULONG) {
        Ser->IntervalDeadline = SerDeadline(Ser->Timeouts.ReadIntervalTimeout);
        SerArm(&Ser->IntervalTimer, &Ser->IntervalTimerDpc, Ser->IntervalDeadline);
    }
    return FALSE;
}

/* Serves reads from the first on, as long as there is something for them. */
static VOID SerServeReads(PSER_EXTENSION Ser)
{
    PSER_QUEUE queue = &Ser->Reads;
    BOOLEAN more = TRUE;
    KIRQL irql;

    while (more) {
        PIRP irp;

        KeAcquireSpinLock(&queue->Lock, &irql);
        irp = SerFirst(queue);
        if (irp == NULL) {
            Ser->ReadDeadline = Ser->IntervalDeadline = SER_FOREVER;
            SerArm(&Ser->ReadTimer, &Ser->ReadTimerDpc, SER_FOREVER);
            SerArm(&Ser->IntervalTimer, &Ser->IntervalTimerDpc, SER_FOREVER);
            more = FALSE;
        } else if (!SER_DONE(irp)) {
            if (SER_STATUS(irp) != STATUS_PENDING) {
                SER_STATUS(irp) = STATUS_PENDING; /* it is the first from now on */
                SerBeginRead(Ser, irp);
            }
            more = SerServeRead(Ser, irp);
        }
        KeReleaseSpinLock(&queue->Lock, irql);
        SerCompleteDone(queue);
    }
}

static VOID NTAPI SerReceiveDpc(PKDPC Dpc, PVOID Context, PVOID A, PVOID B)
{
    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(A);
    UNREFERENCED_PARAMETER(B);
    SerServeReads(Context);
}

/* Either of the two timers of a read. */
static VOID NTAPI SerReadTimerDpc(PKDPC Dpc, PVOID Context, PVOID A, PVOID B)
{
    PSER_EXTENSION ser = Context;
    ULONGLONG now = SerNow();
    KIRQL irql;
    PIRP irp;

    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(A);
    UNREFERENCED_PARAMETER(B);
    KeAcquireSpinLock(&ser->Reads.Lock, &irql);
    irp = SerFirst(&ser->Reads);
    if (irp != NULL && SER_STATUS(irp) == STATUS_PENDING &&
        (now >= ser->ReadDeadline || now >= ser->IntervalDeadline) && !SerServeRead(ser, irp))
        SerMark(irp, STATUS_TIMEOUT);
    KeReleaseSpinLock(&ser->Reads.Lock, irql);
    SerServeReads(ser);
}

/* --- Writing ---------------------------------------------------------------- */

/* Under the interrupt's lock: the first write begins. */
static BOOLEAN NTAPI SerSynchWrite(PVOID Context)
{
    PSER_COPY copy = Context;
    PSER_HARDWARE hw = &copy->Ser->Hw;

    hw->Write = copy->Buffer;
    hw->WriteLeft = copy->Room;
    hw->WriteActive = TRUE;
    SerKick(copy->Ser);
    return TRUE;
}

/* Under the interrupt's lock: nothing more is sent; how much was left. */
static BOOLEAN NTAPI SerSynchStopWrite(PVOID Context)
{
    PSER_COPY copy = Context;
    PSER_HARDWARE hw = &copy->Ser->Hw;

    copy->Count = hw->WriteLeft;
    hw->WriteActive = FALSE;
    hw->WriteLeft = 0;
    hw->Write = NULL;
    return TRUE;
}

static ULONG SerWriteLength(PIRP Irp)
{
    return IoGetCurrentIrpStackLocation(Irp)->Parameters.Write.Length;
}

/* Takes the first write from the hardware. The caller holds Writes.Lock. */
static VOID SerStopWrite(PSER_EXTENSION Ser, PIRP Irp)
{
    SER_COPY copy = {Ser, NULL, 0, 0};

    KeSynchronizeExecution(Ser->Interrupt, SerSynchStopWrite, &copy);
    SER_COUNT(Irp) = SerWriteLength(Irp) - copy.Count;
    Ser->WriteDeadline = SER_FOREVER;
    SerArm(&Ser->WriteTimer, &Ser->WriteTimerDpc, SER_FOREVER);
}

/* A write leaves its queue, for whatever reason. The caller holds Writes.Lock. */
static VOID NTAPI SerCsqRemoveWrite(PIO_CSQ Csq, PIRP Irp)
{
    PSER_EXTENSION ser = CONTAINING_RECORD(Csq, SER_EXTENSION, Writes.Csq);

    if (!SER_DONE(Irp) && SER_STATUS(Irp) == STATUS_PENDING) {
        SerStopWrite(ser, Irp);
        /* The next one begins in the DPC. */
        KeInsertQueueDpc(&ser->TransmitDpc, NULL, NULL);
    }
    RemoveEntryList(&Irp->Tail.Overlay.ListEntry);
}

static VOID SerBeginWrite(PSER_EXTENSION Ser, PIRP Irp)
{
    PSERIAL_TIMEOUTS t = &Ser->Timeouts;
    SER_COPY copy = {Ser, Irp->AssociatedIrp.SystemBuffer, SerWriteLength(Irp), 0};

    Ser->WriteDeadline = SerDeadline((ULONGLONG)t->WriteTotalTimeoutMultiplier * copy.Room +
                                     t->WriteTotalTimeoutConstant);
    SerArm(&Ser->WriteTimer, &Ser->WriteTimerDpc, Ser->WriteDeadline);
    KeSynchronizeExecution(Ser->Interrupt, SerSynchWrite, &copy);
}

/* Under the interrupt's lock: whether the first write is all in the FIFO. */
static BOOLEAN NTAPI SerSynchIsWritten(PVOID Context)
{
    return !((PSER_EXTENSION)Context)->Hw.WriteActive;
}

/* Ends the first write if it is done, and begins the next. */
static VOID SerServeWrites(PSER_EXTENSION Ser)
{
    PSER_QUEUE queue = &Ser->Writes;
    BOOLEAN more = TRUE;
    KIRQL irql;

    while (more) {
        PIRP irp;

        KeAcquireSpinLock(&queue->Lock, &irql);
        irp = SerFirst(queue);
        more = irp != NULL && SER_DONE(irp);
        if (irp != NULL && !more) {
            if (SER_STATUS(irp) != STATUS_PENDING) {
                SER_STATUS(irp) = STATUS_PENDING;
                SerBeginWrite(Ser, irp);
            }
            if (KeSynchronizeExecution(Ser->Interrupt, SerSynchIsWritten, Ser)) {
                SerStopWrite(Ser, irp);
                SerMark(irp, STATUS_SUCCESS);
                more = TRUE;
            }
        }
        KeReleaseSpinLock(&queue->Lock, irql);
        SerCompleteDone(queue);
    }
}

static VOID NTAPI SerTransmitDpc(PKDPC Dpc, PVOID Context, PVOID A, PVOID B)
{
    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(A);
    UNREFERENCED_PARAMETER(B);
    SerServeWrites(Context);
}

static VOID NTAPI SerWriteTimerDpc(PKDPC Dpc, PVOID Context, PVOID A, PVOID B)
{
    PSER_EXTENSION ser = Context;
    KIRQL irql;
    PIRP irp;

    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(A);
    UNREFERENCED_PARAMETER(B);
    KeAcquireSpinLock(&ser->Writes.Lock, &irql);
    irp = SerFirst(&ser->Writes);
    if (irp != NULL && SER_STATUS(irp) == STATUS_PENDING && SerNow() >= ser->WriteDeadline) {
        SerStopWrite(ser, irp);
        SerMark(irp, SER_COUNT(irp) == SerWriteLength(irp) ? STATUS_SUCCESS : STATUS_TIMEOUT);
    }
    KeReleaseSpinLock(&ser->Writes.Lock, irql);
    SerServeWrites(ser);
}

/* --- Waiting for events ------------------------------------------------------ */

typedef struct _SER_MASK {
    PSER_EXTENSION Ser;
    ULONG Mask; /* in: the new mask; out: the events */
} SER_MASK, *PSER_MASK;

static BOOLEAN NTAPI SerSynchTakeEvents(PVOID Context)
{
    PSER_MASK mask = Context;

    mask->Mask = mask->Ser->Hw.Events;
    mask->Ser->Hw.Events = 0;
    return mask->Mask != 0;
}

static BOOLEAN NTAPI SerSynchSetMask(PVOID Context)
{
    PSER_MASK mask = Context;

    mask->Ser->Hw.WaitMask = mask->Mask;
    mask->Ser->Hw.Events = 0;
    return TRUE;
}

/* Ends the wait if something has happened. */
static VOID SerServeWait(PSER_EXTENSION Ser)
{
    SER_MASK mask = {Ser, 0};
    KIRQL irql;
    PIRP irp;

    KeAcquireSpinLock(&Ser->Waits.Lock, &irql);
    irp = SerFirst(&Ser->Waits);
    if (irp != NULL && !SER_DONE(irp) &&
        KeSynchronizeExecution(Ser->Interrupt, SerSynchTakeEvents, &mask)) {
        *(PULONG)irp->AssociatedIrp.SystemBuffer = mask.Mask;
        SER_COUNT(irp) = sizeof(ULONG);
        SerMark(irp, STATUS_SUCCESS);
    }
    KeReleaseSpinLock(&Ser->Waits.Lock, irql);
    SerCompleteDone(&Ser->Waits);
}

static VOID NTAPI SerEventDpc(PKDPC Dpc, PVOID Context, PVOID A, PVOID B)
{
    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(A);
    UNREFERENCED_PARAMETER(B);
    SerServeWait(Context);
}

/* A new mask ends a wait for the old one with nothing. */
static NTSTATUS SerSetWaitMask(PSER_EXTENSION Ser, ULONG Mask)
{
    SER_MASK mask = {Ser, Mask};
    KIRQL irql;
    PIRP irp;

    KeAcquireSpinLock(&Ser->Waits.Lock, &irql);
    KeSynchronizeExecution(Ser->Interrupt, SerSynchSetMask, &mask);
    irp = SerFirst(&Ser->Waits);
    if (irp != NULL && !SER_DONE(irp)) {
        *(PULONG)irp->AssociatedIrp.SystemBuffer = 0;
        SER_COUNT(irp) = sizeof(ULONG);
        SerMark(irp, STATUS_SUCCESS);
    }
    KeReleaseSpinLock(&Ser->Waits.Lock, irql);
    SerCompleteDone(&Ser->Waits);
    return STATUS_SUCCESS;
}

/* --- Settings ---------------------------------------------------------------- */

/* A change of the hardware, under the interrupt's lock. */
typedef struct _SER_CHANGE {
    PSER_EXTENSION Ser;
    ULONG What; /* an IOCTL, or one of those below */
    PVOID In;
    PVOID Out;
    NTSTATUS Status;
} SER_CHANGE, *PSER_CHANGE;

#define CHANGE_ON 1
#define CHANGE_OFF 2
#define CHANGE_FREE_RUN 3

static VOID SerWriteLine(PSER_HARDWARE Hw)
{
    SerSet(Hw, UART_LCR, Hw->Lcr | LCR_DLAB);
    SerSet(Hw, UART_DATA, (UCHAR)Hw->Divisor);
    SerSet(Hw, UART_IER, (UCHAR)(Hw->Divisor >> 8));
    SerSet(Hw, UART_LCR, Hw->Lcr);
}

/* Writes every register from what is kept of it: at open, and after power came back. */
static VOID SerTurnOn(PSER_EXTENSION Ser)
{
    PSER_HARDWARE hw = &Ser->Hw;

    hw->IsOn = TRUE;
    SerWriteLine(hw);
    SerSet(hw, UART_FCR, FCR_ENABLE | FCR_CLEAR | FCR_TRIGGER_8);
    SerGet(hw, UART_LSR);
    SerGet(hw, UART_DATA);
    SerSet(hw, UART_MCR, hw->Mcr);
    SerModem(Ser, SerGet(hw, UART_MSR));
    SerSet(hw, UART_IER, hw->Ier);
    SerKick(Ser);
}

static VOID SerTurnOff(PSER_EXTENSION Ser)
{
    if (Ser->Hw.IsOn) {
        SerSet(&Ser->Hw, UART_IER, 0);
        SerSet(&Ser->Hw, UART_MCR, 0);
    }
    Ser->Hw.IsOn = FALSE;
}

static NTSTATUS SerSetLine(PSER_HARDWARE Hw, PSERIAL_LINE_CONTROL Line)
{
    static const UCHAR parity[] = {0x00, 0x08, 0x18, 0x28, 0x38};
    UCHAR value;

    if (Line->WordLength < 5 || Line->WordLength > 8 || Line->Parity > SPACE_PARITY ||
        Line->StopBits > STOP_BITS_2)
        return STATUS_INVALID_PARAMETER;
    if ((Line->StopBits == STOP_BITS_1_5) != (Line->WordLength == 5 && Line->StopBits != STOP_BIT_1))
        return STATUS_INVALID_PARAMETER;
    value = (UCHAR)(Line->WordLength - 5) | parity[Line->Parity];
    if (Line->StopBits != STOP_BIT_1)
        value |= 0x04;
    Hw->Lcr = (Hw->Lcr & LCR_BREAK) | value;
    SerWriteLine(Hw);
    return STATUS_SUCCESS;
}

static VOID SerGetLine(PSER_HARDWARE Hw, PSERIAL_LINE_CONTROL Line)
{
    static const UCHAR parity[] = {NO_PARITY, ODD_PARITY, NO_PARITY, EVEN_PARITY,
                                   NO_PARITY, MARK_PARITY, NO_PARITY, SPACE_PARITY};

    Line->WordLength = (Hw->Lcr & 3) + 5;
    Line->Parity = parity[(Hw->Lcr >> 3) & 7];
    Line->StopBits = !(Hw->Lcr & 4) ? STOP_BIT_1 : Line->WordLength == 5 ? STOP_BITS_1_5 : STOP_BITS_2;
}

static NTSTATUS SerSetFlow(PSER_EXTENSION Ser, PSERIAL_HANDFLOW Flow)
{
    PSER_HARDWARE hw = &Ser->Hw;
    UCHAR mcr = hw->Mcr & ~(MCR_RTS | MCR_DTR);

    if (Flow->ControlHandShake & SERIAL_CONTROL_INVALID || Flow->FlowReplace & SERIAL_FLOW_INVALID ||
        Flow->XonLimit < 0 || Flow->XoffLimit < 0 || (ULONG)Flow->XoffLimit > hw->RingSize ||
        (ULONG)Flow->XonLimit + (ULONG)Flow->XoffLimit > hw->RingSize)
        return STATUS_INVALID_PARAMETER;
    hw->Flow = *Flow;
    if (Flow->ControlHandShake & SERIAL_DTR_MASK)
        mcr |= MCR_DTR;
    if (Flow->FlowReplace & SERIAL_RTS_MASK)
        mcr |= MCR_RTS;
    hw->AskedToStop = FALSE;
    SerSetModem(hw, mcr);
    SerWatchRing(Ser);
    if (!(Flow->FlowReplace & SERIAL_AUTO_TRANSMIT))
        SerHold(Ser, HOLD_XOFF, FALSE);
    SerHold(Ser, HOLD_CTS,
            Flow->ControlHandShake & SERIAL_CTS_HANDSHAKE && !(hw->ModemStatus & MSR_CTS));
    return STATUS_SUCCESS;
}

static VOID SerGetStatus(PSER_HARDWARE Hw, PSERIAL_STATUS Status)
{
    RtlZeroMemory(Status, sizeof(*Status));
    Status->Errors = Hw->Errors;
    Hw->Errors = 0;
    Status->HoldReasons = Hw->HoldReasons;
    Status->AmountInInQueue = Hw->RingCount;
    Status->AmountInOutQueue = Hw->WriteLeft;
    Status->WaitForImmediate = Hw->HasImmediate;
}

static VOID SerDropInput(PSER_EXTENSION Ser)
{
    Ser->Hw.RingFirst = Ser->Hw.RingCount = 0;
    SerWatchRing(Ser);
}

/* What does not touch a queue, all of it under the interrupt's lock. */
static BOOLEAN NTAPI SerSynchChange(PVOID Context)
{
    PSER_CHANGE change = Context;
    PSER_EXTENSION ser = change->Ser;
    PSER_HARDWARE hw = &ser->Hw;

    change->Status = STATUS_SUCCESS;
    switch (change->What) {
    case CHANGE_ON:
        SerTurnOn(ser);
        break;
    case CHANGE_OFF:
        SerTurnOff(ser);
        break;
    case CHANGE_FREE_RUN:
        hw->HoldReasons = 0;
        hw->HasFlowChar = hw->HasImmediate = FALSE;
        hw->Events = hw->WaitMask = 0;
        SerDropInput(ser);
        break;
    case IOCTL_SERIAL_SET_BAUD_RATE: {
        ULONG rate = ((PSERIAL_BAUD_RATE)change->In)->BaudRate;

        if (rate == 0 || rate > UART_CLOCK || UART_CLOCK / rate > MAXUSHORT)
            change->Status = STATUS_INVALID_PARAMETER;
        else {
            hw->Divisor = (USHORT)((UART_CLOCK + rate / 2) / rate);
            SerWriteLine(hw);
            SerSet(hw, UART_IER, hw->Ier);
        }
        break;
    }
    case IOCTL_SERIAL_GET_BAUD_RATE:
        ((PSERIAL_BAUD_RATE)change->Out)->BaudRate = UART_CLOCK / hw->Divisor;
        break;
    case IOCTL_SERIAL_SET_LINE_CONTROL:
        change->Status = SerSetLine(hw, change->In);
        break;
    case IOCTL_SERIAL_GET_LINE_CONTROL:
        SerGetLine(hw, change->Out);
        break;
    case IOCTL_SERIAL_SET_HANDFLOW:
        change->Status = SerSetFlow(ser, change->In);
        break;
    case IOCTL_SERIAL_GET_HANDFLOW:
        *(PSERIAL_HANDFLOW)change->Out = hw->Flow;
        break;
    case IOCTL_SERIAL_SET_CHARS:
        hw->Chars = *(PSERIAL_CHARS)change->In;
        break;
    case IOCTL_SERIAL_GET_CHARS:
        *(PSERIAL_CHARS)change->Out = hw->Chars;
        break;
    case IOCTL_SERIAL_SET_DTR:
        SerSetModem(hw, hw->Mcr | MCR_DTR);
        break;
    case IOCTL_SERIAL_CLR_DTR:
        SerSetModem(hw, hw->Mcr & ~MCR_DTR);
        break;
    case IOCTL_SERIAL_SET_RTS:
    case IOCTL_SERIAL_CLR_RTS:
        if ((hw->Flow.FlowReplace & SERIAL_RTS_MASK) == SERIAL_RTS_HANDSHAKE)
            change->Status = STATUS_INVALID_PARAMETER;
        else if (change->What == IOCTL_SERIAL_SET_RTS)
            SerSetModem(hw, hw->Mcr | MCR_RTS);
        else
            SerSetModem(hw, hw->Mcr & ~MCR_RTS);
        break;
    case IOCTL_SERIAL_GET_DTRRTS:
        *(PULONG)change->Out = hw->Mcr & (MCR_DTR | MCR_RTS);
        break;
    case IOCTL_SERIAL_GET_MODEMSTATUS:
        SerModem(ser, SerGet(hw, UART_MSR));
        *(PULONG)change->Out = hw->ModemStatus & 0xF0;
        break;
    case IOCTL_SERIAL_SET_BREAK_ON:
        SerHold(ser, HOLD_BREAK, TRUE);
        hw->Lcr |= LCR_BREAK;
        SerSet(hw, UART_LCR, hw->Lcr);
        break;
    case IOCTL_SERIAL_SET_BREAK_OFF:
        hw->Lcr &= ~LCR_BREAK;
        SerSet(hw, UART_LCR, hw->Lcr);
        SerHold(ser, HOLD_BREAK, FALSE);
        break;
    case IOCTL_SERIAL_SET_XOFF:
        SerHold(ser, HOLD_XOFF, TRUE);
        break;
    case IOCTL_SERIAL_SET_XON:
        SerHold(ser, HOLD_XOFF, FALSE);
        break;
    case IOCTL_SERIAL_IMMEDIATE_CHAR:
        if (hw->HasImmediate)
            change->Status = STATUS_INVALID_PARAMETER;
        else {
            hw->Urgent[1] = *(PUCHAR)change->In;
            hw->HasImmediate = TRUE;
            SerKick(ser);
        }
        break;
    case IOCTL_SERIAL_GET_COMMSTATUS:
        SerGetStatus(hw, change->Out);
        break;
    case IOCTL_SERIAL_GET_STATS:
        *(SERIALPERF_STATS *)change->Out = hw->Stats;
        break;
    case IOCTL_SERIAL_CLEAR_STATS:
        RtlZeroMemory(&hw->Stats, sizeof(hw->Stats));
        break;
    case IOCTL_SERIAL_GET_WAIT_MASK:
        *(PULONG)change->Out = hw->WaitMask;
        break;
    default:
        change->Status = STATUS_INVALID_DEVICE_REQUEST;
        break;
    }
    return NT_SUCCESS(change->Status);
}

static NTSTATUS SerChange(PSER_EXTENSION Ser, ULONG What, PVOID In, PVOID Out)
{
    SER_CHANGE change = {Ser, What, In, Out, STATUS_SUCCESS};

    KeSynchronizeExecution(Ser->Interrupt, SerSynchChange, &change);
    return change.Status;
}

typedef struct _SER_RING {
    PSER_EXTENSION Ser;
    PUCHAR Ring;
    ULONG Size;
} SER_RING_CHANGE, *PSER_RING_CHANGE;

/* Under the interrupt's lock: what has come moves to the new ring; the old one comes back. */
static BOOLEAN NTAPI SerSynchRing(PVOID Context)
{
    PSER_RING_CHANGE change = Context;
    PSER_HARDWARE hw = &change->Ser->Hw;
    PUCHAR old = hw->Ring;
    ULONG i;

    if (hw->RingCount > change->Size)
        return FALSE;
    for (i = 0; i < hw->RingCount; i++)
        change->Ring[i] = old[(hw->RingFirst + i) % hw->RingSize];
    hw->Ring = change->Ring;
    hw->RingSize = change->Size;
    hw->RingFirst = 0;
    hw->Flow.XonLimit = (LONG)(change->Size / 2);
    hw->Flow.XoffLimit = (LONG)(change->Size / 8);
    change->Ring = old;
    SerWatchRing(change->Ser);
    return TRUE;
}

static NTSTATUS SerSetQueueSize(PSER_EXTENSION Ser, ULONG Size)
{
    SER_RING_CHANGE change = {Ser, NULL, Size};
    NTSTATUS status;

    if (Size <= Ser->Hw.RingSize)
        return STATUS_SUCCESS; /* it is never made smaller */
    if (Size > SER_LARGEST_RING)
        return STATUS_INVALID_PARAMETER;
    change.Ring = ExAllocatePoolWithTag(NonPagedPool, Size, SER_TAG);
    if (change.Ring == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    status = KeSynchronizeExecution(Ser->Interrupt, SerSynchRing, &change)
                 ? STATUS_SUCCESS : STATUS_INVALID_PARAMETER;
    ExFreePoolWithTag(change.Ring, SER_TAG);
    return status;
}

static NTSTATUS SerSetTimeouts(PSER_EXTENSION Ser, PSERIAL_TIMEOUTS Timeouts)
{
    KIRQL irql;

    if (Timeouts->ReadIntervalTimeout == MAXULONG && Timeouts->ReadTotalTimeoutMultiplier == MAXULONG &&
        Timeouts->ReadTotalTimeoutConstant == MAXULONG)
        return STATUS_INVALID_PARAMETER;
    KeAcquireSpinLock(&Ser->Reads.Lock, &irql);
    Ser->Timeouts = *Timeouts;
    KeReleaseSpinLock(&Ser->Reads.Lock, irql);
    return STATUS_SUCCESS;
}

static NTSTATUS SerPurge(PSER_EXTENSION Ser, ULONG Mask)
{
    /* TXABORT, RXABORT, TXCLEAR, RXCLEAR */
    if (Mask == 0 || Mask & ~0xF)
        return STATUS_INVALID_PARAMETER;
    if (Mask & 0x1)
        SerFlush(&Ser->Writes, NULL, STATUS_CANCELLED);
    if (Mask & 0x2)
        SerFlush(&Ser->Reads, NULL, STATUS_CANCELLED);
    if (Mask & 0x8) {
        SER_COPY copy = {Ser, NULL, 0, 0};
        UCHAR dropped[64];

        copy.Buffer = dropped;
        copy.Room = sizeof(dropped);
        do {
            copy.Count = 0;
            KeSynchronizeExecution(Ser->Interrupt, SerSynchTake, &copy);
        } while (copy.Count == copy.Room);
    }
    return STATUS_SUCCESS;
}

static VOID SerGetProperties(PSER_EXTENSION Ser, PSERIAL_COMMPROP Properties)
{
    RtlZeroMemory(Properties, sizeof(*Properties));
    Properties->PacketLength = sizeof(*Properties);
    Properties->PacketVersion = 2;
    Properties->ServiceMask = 1;
    Properties->MaxBaud = SERIAL_BAUD_115200;
    Properties->ProvSubType = 1;
    Properties->ProvCapabilities = SERIAL_PCF_RTSCTS | SERIAL_PCF_XONXOFF | SERIAL_PCF_TOTALTIMEOUTS |
                                   SERIAL_PCF_INTTIMEOUTS | SERIAL_PCF_DTRDSR | SERIAL_PCF_CD;
    Properties->SettableParams = SERIAL_SP_PARITY | SERIAL_SP_BAUD | SERIAL_SP_DATABITS |
                                 SERIAL_SP_STOPBITS | SERIAL_SP_HANDSHAKING;
    Properties->SettableBaud = SERIAL_BAUD_USER;
    Properties->SettableData = SERIAL_DATABITS_5 | SERIAL_DATABITS_6 | SERIAL_DATABITS_7 | SERIAL_DATABITS_8;
    Properties->SettableStopParity = SERIAL_STOPBITS_10 | SERIAL_STOPBITS_20 | SERIAL_PARITY_NONE |
                                     SERIAL_PARITY_ODD | SERIAL_PARITY_EVEN;
    Properties->CurrentRxQueue = Ser->Hw.RingSize;
}

/* --- Requests ----------------------------------------------------------------- */

/* What each request needs in its buffer, before and after. */
static const struct {
    ULONG Code;
    ULONG In;
    ULONG Out;
} SerSizes[] = {
    {IOCTL_SERIAL_SET_BAUD_RATE, sizeof(SERIAL_BAUD_RATE), 0},
    {IOCTL_SERIAL_GET_BAUD_RATE, 0, sizeof(SERIAL_BAUD_RATE)},
    {IOCTL_SERIAL_SET_LINE_CONTROL, sizeof(SERIAL_LINE_CONTROL), 0},
    {IOCTL_SERIAL_GET_LINE_CONTROL, 0, sizeof(SERIAL_LINE_CONTROL)},
    {IOCTL_SERIAL_SET_TIMEOUTS, sizeof(SERIAL_TIMEOUTS), 0},
    {IOCTL_SERIAL_GET_TIMEOUTS, 0, sizeof(SERIAL_TIMEOUTS)},
    {IOCTL_SERIAL_SET_HANDFLOW, sizeof(SERIAL_HANDFLOW), 0},
    {IOCTL_SERIAL_GET_HANDFLOW, 0, sizeof(SERIAL_HANDFLOW)},
    {IOCTL_SERIAL_SET_CHARS, sizeof(SERIAL_CHARS), 0},
    {IOCTL_SERIAL_GET_CHARS, 0, sizeof(SERIAL_CHARS)},
    {IOCTL_SERIAL_SET_DTR, 0, 0},
    {IOCTL_SERIAL_CLR_DTR, 0, 0},
    {IOCTL_SERIAL_SET_RTS, 0, 0},
    {IOCTL_SERIAL_CLR_RTS, 0, 0},
    {IOCTL_SERIAL_GET_DTRRTS, 0, sizeof(ULONG)},
    {IOCTL_SERIAL_GET_MODEMSTATUS, 0, sizeof(ULONG)},
    {IOCTL_SERIAL_SET_BREAK_ON, 0, 0},
    {IOCTL_SERIAL_SET_BREAK_OFF, 0, 0},
    {IOCTL_SERIAL_SET_XOFF, 0, 0},
    {IOCTL_SERIAL_SET_XON, 0, 0},
    {IOCTL_SERIAL_IMMEDIATE_CHAR, sizeof(UCHAR), 0},
    {IOCTL_SERIAL_GET_COMMSTATUS, 0, sizeof(SERIAL_STATUS)},
    {IOCTL_SERIAL_GET_STATS, 0, sizeof(SERIALPERF_STATS)},
    {IOCTL_SERIAL_CLEAR_STATS, 0, 0},
    {IOCTL_SERIAL_SET_WAIT_MASK, sizeof(ULONG), 0},
    {IOCTL_SERIAL_GET_WAIT_MASK, 0, sizeof(ULONG)},
    {IOCTL_SERIAL_WAIT_ON_MASK, 0, sizeof(ULONG)},
    {IOCTL_SERIAL_SET_QUEUE_SIZE, 2 * sizeof(ULONG), 0},
    {IOCTL_SERIAL_PURGE, sizeof(ULONG), 0},
    {IOCTL_SERIAL_GET_PROPERTIES, 0, sizeof(SERIAL_COMMPROP)},
};

static NTSTATUS SerWaitOnMask(PSER_EXTENSION Ser, PIRP Irp)
{
    SER_MASK none = {Ser, 0};
    KIRQL irql;
    BOOLEAN busy;

    UNREFERENCED_PARAMETER(none);
    KeAcquireSpinLock(&Ser->Waits.Lock, &irql);
    busy = SerFirst(&Ser->Waits) != NULL;
    KeReleaseSpinLock(&Ser->Waits.Lock, irql);
    if (busy || Ser->Hw.WaitMask == 0)
        return SerComplete(Irp, STATUS_INVALID_PARAMETER, 0);
    SerQueueIrp(&Ser->Waits, Irp);
    SerServeWait(Ser);
    return STATUS_PENDING;
}

static NTSTATUS SerControl(PSER_EXTENSION Ser, PIRP Irp)
{
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(Irp);
    ULONG code = stack->Parameters.DeviceIoControl.IoControlCode;
    PVOID buffer = Irp->AssociatedIrp.SystemBuffer;
    NTSTATUS status;
    KIRQL irql;
    ULONG i;

    for (i = 0; i < RTL_NUMBER_OF(SerSizes) && SerSizes[i].Code != code; i++)
        ;
    if (i == RTL_NUMBER_OF(SerSizes))
        return SerComplete(Irp, STATUS_INVALID_DEVICE_REQUEST, 0);
    if (stack->Parameters.DeviceIoControl.InputBufferLength < SerSizes[i].In ||
        stack->Parameters.DeviceIoControl.OutputBufferLength < SerSizes[i].Out)
        return SerComplete(Irp, STATUS_BUFFER_TOO_SMALL, 0);
    switch (code) {
    case IOCTL_SERIAL_WAIT_ON_MASK:
        return SerWaitOnMask(Ser, Irp);
    case IOCTL_SERIAL_SET_WAIT_MASK:
        status = SerSetWaitMask(Ser, *(PULONG)buffer);
        break;
    case IOCTL_SERIAL_SET_TIMEOUTS:
        status = SerSetTimeouts(Ser, buffer);
        break;
    case IOCTL_SERIAL_GET_TIMEOUTS:
        KeAcquireSpinLock(&Ser->Reads.Lock, &irql);
        *(PSERIAL_TIMEOUTS)buffer = Ser->Timeouts;
        KeReleaseSpinLock(&Ser->Reads.Lock, irql);
        status = STATUS_SUCCESS;
        break;
    case IOCTL_SERIAL_SET_QUEUE_SIZE:
        status = SerSetQueueSize(Ser, *(PULONG)buffer);
        break;
    case IOCTL_SERIAL_PURGE:
        status = SerPurge(Ser, *(PULONG)buffer);
        break;
    case IOCTL_SERIAL_GET_PROPERTIES:
        SerGetProperties(Ser, buffer);
        status = STATUS_SUCCESS;
        break;
    default:
        status = SerChange(Ser, code, buffer, buffer);
        break;
    }
    return SerComplete(Irp, status, NT_SUCCESS(status) ? SerSizes[i].Out : 0);
}

static VOID SerEndUse(PSER_EXTENSION Ser)
{
    if (InterlockedDecrement(&Ser->Users) == 0)
        KeSetEvent(&Ser->Unused, IO_NO_INCREMENT, FALSE);
}

/* Whether the port is started; if it is, its interrupt stays connected until SerEndUse. */
static BOOLEAN SerUse(PSER_EXTENSION Ser)
{
    InterlockedIncrement(&Ser->Users);
    if (Ser->IsStarted)
        return TRUE;
    SerEndUse(Ser);
    return FALSE;
}

/* Lets a request in if the port is started, until SerLeave. */
static NTSTATUS SerEnter(PSER_EXTENSION Ser, PIRP Irp)
{
    NTSTATUS status = IoAcquireRemoveLock(&Ser->RemoveLock, Irp);

    if (NT_SUCCESS(status) && !SerUse(Ser)) {
        IoReleaseRemoveLock(&Ser->RemoveLock, Irp);
        status = STATUS_DEVICE_NOT_READY;
    }
    return status;
}

static VOID SerLeave(PSER_EXTENSION Ser, PIRP Irp)
{
    SerEndUse(Ser);
    IoReleaseRemoveLock(&Ser->RemoveLock, Irp);
}

static NTSTATUS NTAPI SerReadWrite(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PSER_EXTENSION ser = DeviceObject->DeviceExtension;
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(Irp);
    BOOLEAN reads = stack->MajorFunction == IRP_MJ_READ;
    NTSTATUS status = SerEnter(ser, Irp);

    if (!NT_SUCCESS(status))
        return SerComplete(Irp, status, 0);
    if (stack->Parameters.Read.Length == 0)
        status = SerComplete(Irp, STATUS_SUCCESS, 0);
    else {
        SerQueueIrp(reads ? &ser->Reads : &ser->Writes, Irp);
        if (reads)
            SerServeReads(ser);
        else
            SerServeWrites(ser);
        status = STATUS_PENDING;
    }
    SerLeave(ser, Irp);
    return status;
}

static NTSTATUS NTAPI SerDeviceControl(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PSER_EXTENSION ser = DeviceObject->DeviceExtension;
    NTSTATUS status = SerEnter(ser, Irp);

    if (!NT_SUCCESS(status))
        return SerComplete(Irp, status, 0);
    status = SerControl(ser, Irp);
    SerLeave(ser, Irp);
    return status;
}

/* Waits until what was written has left, at most a second for each hundred tries. */
static NTSTATUS NTAPI SerFlushBuffers(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PSER_EXTENSION ser = DeviceObject->DeviceExtension;
    NTSTATUS status = SerEnter(ser, Irp);
    LARGE_INTEGER pause;
    ULONG tries;

    if (!NT_SUCCESS(status))
        return SerComplete(Irp, status, 0);
    pause.QuadPart = -10 * 1000 * 10;
    status = STATUS_IO_TIMEOUT;
    for (tries = 0; tries < 1000 && status != STATUS_SUCCESS; tries++) {
        BOOLEAN queued;
        KIRQL irql;

        KeAcquireSpinLock(&ser->Writes.Lock, &irql);
        queued = SerFirst(&ser->Writes) != NULL;
        KeReleaseSpinLock(&ser->Writes.Lock, irql);
        if (!ser->IsStarted)
            break;
        if (!queued && SerGet(&ser->Hw, UART_LSR) & LSR_TEMT)
            status = STATUS_SUCCESS;
        else
            KeDelayExecutionThread(KernelMode, FALSE, &pause);
    }
    SerComplete(Irp, status, 0);
    SerLeave(ser, Irp);
    return status;
}

static VOID SerDefaults(PSER_EXTENSION Ser)
{
    PSER_HARDWARE hw = &Ser->Hw;

    RtlZeroMemory(&Ser->Timeouts, sizeof(Ser->Timeouts));
    hw->Ier = IER_ALL;
    hw->Lcr = 0x03;
    hw->Mcr = MCR_OUT2 | MCR_DTR | MCR_RTS;
    hw->Divisor = 1;
    hw->Flow.ControlHandShake = SERIAL_DTR_CONTROL;
    hw->Flow.FlowReplace = SERIAL_RTS_CONTROL;
    hw->Flow.XonLimit = (LONG)(hw->RingSize / 2);
    hw->Flow.XoffLimit = (LONG)(hw->RingSize / 8);
    RtlZeroMemory(&hw->Chars, sizeof(hw->Chars));
    hw->Chars.XonChar = 0x11;
    hw->Chars.XoffChar = 0x13;
    hw->AskedToStop = FALSE;
    hw->Errors = 0;
}

/* One file at a time has the port. */
static NTSTATUS NTAPI PAGED SerCreate(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PSER_EXTENSION ser = DeviceObject->DeviceExtension;
    NTSTATUS status = IoAcquireRemoveLock(&ser->RemoveLock, Irp);

    if (!NT_SUCCESS(status))
        return SerComplete(Irp, status, 0);
    ExAcquireFastMutex(&ser->Mutex);
    if (!ser->IsStarted)
        status = STATUS_DEVICE_NOT_READY;
    else if (ser->IsOpen)
        status = STATUS_ACCESS_DENIED;
    else {
        ser->IsOpen = TRUE;
        SerDefaults(ser);
        SerChange(ser, CHANGE_FREE_RUN, NULL, NULL);
        SerChange(ser, CHANGE_ON, NULL, NULL);
    }
    ExReleaseFastMutex(&ser->Mutex);
    SerComplete(Irp, status, 0);
    IoReleaseRemoveLock(&ser->RemoveLock, Irp);
    return status;
}

static NTSTATUS NTAPI SerCleanup(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PSER_EXTENSION ser = DeviceObject->DeviceExtension;
    PFILE_OBJECT file = IoGetCurrentIrpStackLocation(Irp)->FileObject;

    SerFlush(&ser->Reads, file, STATUS_CANCELLED);
    SerFlush(&ser->Writes, file, STATUS_CANCELLED);
    SerFlush(&ser->Waits, file, STATUS_CANCELLED);
    return SerComplete(Irp, STATUS_SUCCESS, 0);
}

static NTSTATUS NTAPI PAGED SerClose(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PSER_EXTENSION ser = DeviceObject->DeviceExtension;

    ExAcquireFastMutex(&ser->Mutex);
    if (ser->IsStarted) {
        SerChange(ser, CHANGE_FREE_RUN, NULL, NULL);
        SerChange(ser, CHANGE_OFF, NULL, NULL);
    }
    ser->IsOpen = FALSE;
    ExReleaseFastMutex(&ser->Mutex);
    return SerComplete(Irp, STATUS_SUCCESS, 0);
}

/* --- Plug and play ------------------------------------------------------------- */

static NTSTATUS PAGED SerConnect(PSER_EXTENSION Ser, PCM_PARTIAL_RESOURCE_DESCRIPTOR Interrupt)
{
    BOOLEAN latched = (Interrupt->Flags & CM_RESOURCE_INTERRUPT_LATCHED) != 0;

    return IoConnectInterrupt(&Ser->Interrupt, SerIsr, Ser, NULL, Interrupt->u.Interrupt.Vector,
                              (KIRQL)Interrupt->u.Interrupt.Level,
                              (KIRQL)Interrupt->u.Interrupt.Level,
                              latched ? Latched : LevelSensitive,
                              Interrupt->ShareDisposition == CmResourceShareShared,
                              Interrupt->u.Interrupt.Affinity, FALSE);
}

/* Gives back what SerAcquire took. */
static VOID PAGED SerRelease(PSER_EXTENSION Ser)
{
    if (Ser->Interrupt != NULL) {
        IoDisconnectInterrupt(Ser->Interrupt);
        Ser->Interrupt = NULL;
    }
    KeCancelTimer(&Ser->ReadTimer);
    KeCancelTimer(&Ser->IntervalTimer);
    KeCancelTimer(&Ser->WriteTimer);
    KeFlushQueuedDpcs();
    if (Ser->Hw.Ring != NULL) {
        ExFreePoolWithTag(Ser->Hw.Ring, SER_TAG);
        Ser->Hw.Ring = NULL;
    }
}

static NTSTATUS PAGED SerAcquire(PSER_EXTENSION Ser, PCM_RESOURCE_LIST Translated)
{
    PCM_PARTIAL_RESOURCE_DESCRIPTOR port = NULL, interrupt = NULL;
    PCM_PARTIAL_RESOURCE_LIST list;
    NTSTATUS status;
    ULONG i;

    if (Translated == NULL || Translated->Count == 0)
        return STATUS_DEVICE_CONFIGURATION_ERROR;
    list = &Translated->List[0].PartialResourceList;
    for (i = 0; i < list->Count; i++) {
        if (list->PartialDescriptors[i].Type == CmResourceTypePort)
            port = &list->PartialDescriptors[i];
        if (list->PartialDescriptors[i].Type == CmResourceTypeInterrupt)
            interrupt = &list->PartialDescriptors[i];
    }
    if (port == NULL || interrupt == NULL || port->u.Port.Length < UART_PORTS)
        return STATUS_DEVICE_CONFIGURATION_ERROR;
    Ser->Hw.Ports = (PUCHAR)(ULONG_PTR)port->u.Port.Start.QuadPart;
    SerSet(&Ser->Hw, UART_SCRATCH, 0x5A);
    if (SerGet(&Ser->Hw, UART_SCRATCH) != 0x5A)
        return STATUS_NO_SUCH_DEVICE;
    SerSet(&Ser->Hw, UART_IER, 0);
    SerSet(&Ser->Hw, UART_MCR, 0);
    Ser->Hw.Ring = ExAllocatePoolWithTag(NonPagedPool, SER_RING, SER_TAG);
    if (Ser->Hw.Ring == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    Ser->Hw.RingSize = SER_RING;
    Ser->Hw.RingFirst = Ser->Hw.RingCount = 0;
    status = SerConnect(Ser, interrupt);
    if (!NT_SUCCESS(status)) {
        Ser->Interrupt = NULL;
        SerRelease(Ser);
    }
    return status;
}

static VOID PAGED SerSetStarted(PSER_EXTENSION Ser, BOOLEAN Started)
{
    ExAcquireFastMutex(&Ser->Mutex);
    Ser->IsStarted = Started;
    ExReleaseFastMutex(&Ser->Mutex);
}

/* The port stops, goes, or is gone already. Nobody is let in any more. */
static VOID PAGED SerStop(PSER_EXTENSION Ser, NTSTATUS Status)
{
    BOOLEAN was = Ser->IsStarted;

    SerSetStarted(Ser, FALSE);
    if (!was)
        return;
    while (Ser->Users != 0)
        KeWaitForSingleObject(&Ser->Unused, Executive, KernelMode, FALSE, NULL);
    SerFlush(&Ser->Reads, NULL, Status);
    SerFlush(&Ser->Writes, NULL, Status);
    SerFlush(&Ser->Waits, NULL, Status);
    SerChange(Ser, CHANGE_OFF, NULL, NULL);
    SerRelease(Ser);
}

static NTSTATUS PAGED SerForwardAndWait(PSER_EXTENSION Ser, PIRP Irp)
{
    if (!IoForwardIrpSynchronously(Ser->Lower, Irp))
        return STATUS_UNSUCCESSFUL;
    return Irp->IoStatus.Status;
}

static NTSTATUS PAGED SerStart(PSER_EXTENSION Ser, PIRP Irp)
{
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(Irp);
    NTSTATUS status = SerForwardAndWait(Ser, Irp);

    if (NT_SUCCESS(status))
        status = SerAcquire(Ser, stack->Parameters.StartDevice.AllocatedResourcesTranslated);
    if (NT_SUCCESS(status)) {
        SerSetStarted(Ser, TRUE);
        IoSetDeviceInterfaceState(&Ser->Interface, TRUE);
    }
    return status;
}

static NTSTATUS SerPassDown(PSER_EXTENSION Ser, PIRP Irp)
{
    NTSTATUS status;

    IoSkipCurrentIrpStackLocation(Irp);
    status = IoCallDriver(Ser->Lower, Irp);
    IoReleaseRemoveLock(&Ser->RemoveLock, Irp);
    return status;
}

static NTSTATUS NTAPI PAGED SerPnp(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PSER_EXTENSION ser = DeviceObject->DeviceExtension;
    NTSTATUS status = IoAcquireRemoveLock(&ser->RemoveLock, Irp);

    if (!NT_SUCCESS(status))
        return SerComplete(Irp, status, 0);
    switch (IoGetCurrentIrpStackLocation(Irp)->MinorFunction) {
    case IRP_MN_START_DEVICE:
        status = SerStart(ser, Irp);
        break;

    case IRP_MN_QUERY_STOP_DEVICE:
    case IRP_MN_QUERY_REMOVE_DEVICE:
        if (ser->IsOpen) {
            status = STATUS_DEVICE_BUSY; /* the application's bytes would be lost */
            break;
        }
        Irp->IoStatus.Status = STATUS_SUCCESS;
        return SerPassDown(ser, Irp);

    case IRP_MN_CANCEL_STOP_DEVICE:
    case IRP_MN_CANCEL_REMOVE_DEVICE:
        Irp->IoStatus.Status = STATUS_SUCCESS;
        return SerPassDown(ser, Irp);

    case IRP_MN_STOP_DEVICE:
        SerStop(ser, STATUS_CANCELLED);
        Irp->IoStatus.Status = STATUS_SUCCESS;
        return SerPassDown(ser, Irp);

    case IRP_MN_SURPRISE_REMOVAL:
        IoSetDeviceInterfaceState(&ser->Interface, FALSE);
        SerStop(ser, STATUS_DEVICE_REMOVED);
        Irp->IoStatus.Status = STATUS_SUCCESS;
        return SerPassDown(ser, Irp);

    case IRP_MN_REMOVE_DEVICE:
        IoSetDeviceInterfaceState(&ser->Interface, FALSE);
        SerStop(ser, STATUS_DEVICE_REMOVED);
        Irp->IoStatus.Status = STATUS_SUCCESS;
        IoSkipCurrentIrpStackLocation(Irp);
        status = IoCallDriver(ser->Lower, Irp);
        IoReleaseRemoveLockAndWait(&ser->RemoveLock, Irp);
        RtlFreeUnicodeString(&ser->Interface);
        IoDetachDevice(ser->Lower);
        IoDeleteDevice(DeviceObject);
        return status;

    default:
        return SerPassDown(ser, Irp);
    }
    SerComplete(Irp, status, Irp->IoStatus.Information);
    IoReleaseRemoveLock(&ser->RemoveLock, Irp);
    return status;
}

/* --- Power ---------------------------------------------------------------------- */

/* Power came back: the bus driver has done its part. */
static NTSTATUS NTAPI SerPoweredUp(PDEVICE_OBJECT DeviceObject, PIRP Irp, PVOID Context)
{
    PSER_EXTENSION ser = Context;

    UNREFERENCED_PARAMETER(DeviceObject);
    if (NT_SUCCESS(Irp->IoStatus.Status) && SerUse(ser)) {
        if (ser->IsOpen)
            SerChange(ser, CHANGE_ON, NULL, NULL);
        SerEndUse(ser);
    }
    PoStartNextPowerIrp(Irp);
    if (Irp->PendingReturned)
        IoMarkIrpPending(Irp);
    IoReleaseRemoveLock(&ser->RemoveLock, Irp);
    return STATUS_CONTINUE_COMPLETION;
}

static NTSTATUS NTAPI SerPower(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PSER_EXTENSION ser = DeviceObject->DeviceExtension;
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(Irp);
    NTSTATUS status = IoAcquireRemoveLock(&ser->RemoveLock, Irp);

    if (!NT_SUCCESS(status)) {
        PoStartNextPowerIrp(Irp);
        return SerComplete(Irp, status, 0);
    }
    if (stack->MinorFunction == IRP_MN_SET_POWER &&
        stack->Parameters.Power.Type == DevicePowerState) {
        POWER_STATE state = stack->Parameters.Power.State;

        if (state.DeviceState == PowerDeviceD0) {
            IoCopyCurrentIrpStackLocationToNext(Irp);
            IoSetCompletionRoutine(Irp, SerPoweredUp, ser, TRUE, TRUE, TRUE);
            PoSetPowerState(DeviceObject, DevicePowerState, state);
            IoMarkIrpPending(Irp);
            PoCallDriver(ser->Lower, Irp);
            return STATUS_PENDING;
        }
        PoSetPowerState(DeviceObject, DevicePowerState, state);
        if (SerUse(ser)) {
            SerChange(ser, CHANGE_OFF, NULL, NULL);
            SerEndUse(ser);
        }
    }
    PoStartNextPowerIrp(Irp);
    IoSkipCurrentIrpStackLocation(Irp);
    status = PoCallDriver(ser->Lower, Irp);
    IoReleaseRemoveLock(&ser->RemoveLock, Irp);
    return status;
}

static NTSTATUS NTAPI SerSystemControl(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PSER_EXTENSION ser = DeviceObject->DeviceExtension;
    NTSTATUS status = IoAcquireRemoveLock(&ser->RemoveLock, Irp);

    if (!NT_SUCCESS(status))
        return SerComplete(Irp, status, 0);
    return SerPassDown(ser, Irp);
}

/* --- Loading --------------------------------------------------------------------- */

static NTSTATUS NTAPI PAGED SerAddDevice(PDRIVER_OBJECT DriverObject, PDEVICE_OBJECT Pdo)
{
    PDEVICE_OBJECT fdo;
    PSER_EXTENSION ser;
    NTSTATUS status;

    status = IoCreateDevice(DriverObject, sizeof(SER_EXTENSION), NULL, FILE_DEVICE_SERIAL_PORT,
                            FILE_DEVICE_SECURE_OPEN, TRUE, &fdo);
    if (!NT_SUCCESS(status))
        return status;
    ser = fdo->DeviceExtension;
    ser->Self = fdo;
    ser->Pdo = Pdo;
    IoInitializeRemoveLock(&ser->RemoveLock, SER_TAG, 0, 0);
    ExInitializeFastMutex(&ser->Mutex);
    KeInitializeEvent(&ser->Unused, SynchronizationEvent, FALSE);
    KeInitializeTimer(&ser->ReadTimer);
    KeInitializeTimer(&ser->IntervalTimer);
    KeInitializeTimer(&ser->WriteTimer);
    KeInitializeDpc(&ser->ReadTimerDpc, SerReadTimerDpc, ser);
    KeInitializeDpc(&ser->IntervalTimerDpc, SerReadTimerDpc, ser);
    KeInitializeDpc(&ser->WriteTimerDpc, SerWriteTimerDpc, ser);
    KeInitializeDpc(&ser->ReceiveDpc, SerReceiveDpc, ser);
    KeInitializeDpc(&ser->TransmitDpc, SerTransmitDpc, ser);
    KeInitializeDpc(&ser->EventDpc, SerEventDpc, ser);
    ser->ReadDeadline = ser->IntervalDeadline = ser->WriteDeadline = SER_FOREVER;
    status = SerInitializeQueue(&ser->Reads, SerCsqRemove);
    if (NT_SUCCESS(status))
        status = SerInitializeQueue(&ser->Writes, SerCsqRemoveWrite);
    if (NT_SUCCESS(status))
        status = SerInitializeQueue(&ser->Waits, SerCsqRemove);
    if (NT_SUCCESS(status))
        status = IoRegisterDeviceInterface(Pdo, &SerInterface, NULL, &ser->Interface);
    if (!NT_SUCCESS(status)) {
        IoDeleteDevice(fdo);
        return status;
    }
    ser->Lower = IoAttachDeviceToDeviceStack(fdo, Pdo);
    if (ser->Lower == NULL) {
        RtlFreeUnicodeString(&ser->Interface);
        IoDeleteDevice(fdo);
        return STATUS_NO_SUCH_DEVICE;
    }
    fdo->Flags |= DO_BUFFERED_IO | (ser->Lower->Flags & (DO_POWER_PAGABLE | DO_POWER_INRUSH));
    fdo->Flags &= ~DO_DEVICE_INITIALIZING;
    return STATUS_SUCCESS;
}

static VOID NTAPI PAGED SerUnload(PDRIVER_OBJECT DriverObject)
{
    /* Every device was given back when it was removed. */
    UNREFERENCED_PARAMETER(DriverObject);
}

static const PDRIVER_DISPATCH SerDispatch[IRP_MJ_MAXIMUM_FUNCTION + 1] = {
    [IRP_MJ_CREATE] = SerCreate,
    [IRP_MJ_CLEANUP] = SerCleanup,
    [IRP_MJ_CLOSE] = SerClose,
    [IRP_MJ_READ] = SerReadWrite,
    [IRP_MJ_WRITE] = SerReadWrite,
    [IRP_MJ_FLUSH_BUFFERS] = SerFlushBuffers,
    [IRP_MJ_DEVICE_CONTROL] = SerDeviceControl,
    [IRP_MJ_PNP] = SerPnp,
    [IRP_MJ_POWER] = SerPower,
    [IRP_MJ_SYSTEM_CONTROL] = SerSystemControl,
};

NTSTATUS NTAPI INIT DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    ULONG i;

    UNREFERENCED_PARAMETER(RegistryPath);
    DriverObject->DriverExtension->AddDevice = SerAddDevice;
    DriverObject->DriverUnload = SerUnload;
    for (i = 0; i <= IRP_MJ_MAXIMUM_FUNCTION; i++)
        if (SerDispatch[i] != NULL)
            DriverObject->MajorFunction[i] = SerDispatch[i];
    return STATUS_SUCCESS;
}
