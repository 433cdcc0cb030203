/* Calls of the kernel without end, without sense, and at the wrong time. */

/* --- More and more ------------------------------------------------------------- */

static VOID AllocateEverything(VOID)
{
    SIZE_T size = (SIZE_T)1 << 40;

    while (size >= 16)
        if (ExAllocatePoolWithTag(NonPagedPool, size, TAG) == NULL)
            size /= 2;
}

static VOID AllocateSmall(VOID)
{
    ULONG count;

    for (count = 0; count < 2000; count++)
        ExAllocatePoolWithTag(NonPagedPool, 32, TAG);
}

static VOID AllocateAll(VOID)
{
    ExAllocatePoolWithTag(NonPagedPool, ~(SIZE_T)0, TAG);
    ExAllocatePoolWithTag(NonPagedPool, ~(SIZE_T)15, TAG);
    ExAllocatePoolWithTag(PagedPool, (SIZE_T)1 << 63, TAG);
    MmAllocateContiguousMemory(~(SIZE_T)0, (PHYSICAL_ADDRESS){.QuadPart = -1});
    MmAllocateNonCachedMemory(~(SIZE_T)0);
    ExAllocatePoolWithTag(NonPagedPool, 16, TAG);
}

static VOID NTAPI Sleeper(PVOID Context)
{
    UNREFERENCED_PARAMETER(Context);
    KeWaitForSingleObject(&Event, Executive, KernelMode, FALSE, NULL);
    PsTerminateSystemThread(STATUS_SUCCESS);
}

static VOID ThreadsWithoutEnd(VOID)
{
    ULONG count;
    HANDLE handle;

    KeClearEvent(&Event);
    for (count = 0; count < 2000; count++)
        PsCreateSystemThread(&handle, THREAD_ALL_ACCESS, NULL, NULL, NULL, Sleeper, NULL);
}

static VOID ThreadAtZero(VOID)
{
    HANDLE handle;

    PsCreateSystemThread(&handle, THREAD_ALL_ACCESS, NULL, NULL, NULL, NULL, NULL);
    PsCreateSystemThread(&handle, THREAD_ALL_ACCESS, NULL, NULL, NULL, (PKSTART_ROUTINE)0x8000000000000000ULL, NULL);
}

static VOID TimersWithoutEnd(VOID)
{
    PKTIMER timers = ExAllocatePoolWithTag(NonPagedPool, 20000 * sizeof(KTIMER), TAG);
    LARGE_INTEGER due;
    ULONG index;

    if (timers == NULL)
        return;
    for (index = 0; index < 20000; index++) {
        due.QuadPart = -(LONGLONG)1000000000 - index;
        KeInitializeTimer(&timers[index]);
        KeSetTimer(&timers[index], due, NULL);
    }
}

static VOID NTAPI QueueAgain(PKDPC Self, PVOID Context, PVOID One, PVOID Two)
{
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(One);
    UNREFERENCED_PARAMETER(Two);
    KeInsertQueueDpc(Self, NULL, NULL);
}

static VOID DpcWithoutEnd(VOID)
{
    static KDPC dpc;

    KeInitializeDpc(&dpc, QueueAgain, NULL);
    KeInsertQueueDpc(&dpc, NULL, NULL);
}

static VOID NTAPI WorkAgain(PDEVICE_OBJECT DeviceObject, PVOID Context)
{
    UNREFERENCED_PARAMETER(DeviceObject);
    IoQueueWorkItem(Context, WorkAgain, DelayedWorkQueue, Context);
}

static VOID WorkWithoutEnd(VOID)
{
    PIO_WORKITEM item = IoAllocateWorkItem(Self);

    IoQueueWorkItem(item, WorkAgain, DelayedWorkQueue, item);
}

static VOID DpcAtZero(VOID)
{
    static KDPC dpc;

    KeInitializeDpc(&dpc, NULL, NULL);
    KeInsertQueueDpc(&dpc, NULL, NULL);
}

static VOID WorkAtZero(VOID)
{
    IoQueueWorkItem(IoAllocateWorkItem(Self), NULL, DelayedWorkQueue, NULL);
}

static VOID DevicesWithoutEnd(VOID)
{
    PDEVICE_OBJECT device;
    ULONG count;

    for (count = 0; count < 2000; count++)
        IoCreateDevice(Driver, 0, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &device);
}

static VOID StallForEver(VOID)
{
    for (;;)
        KeStallExecutionProcessor(0xFFFFFFFF);
}

static VOID DelayForEver(VOID)
{
    LARGE_INTEGER due;

    due.QuadPart = (LONGLONG)0x8000000000000000ULL;
    for (;;)
        KeDelayExecutionThread(KernelMode, FALSE, &due);
}

/* --- Requests ------------------------------------------------------------------ */

static VOID CallItself(VOID)
{
    PIRP irp = IoAllocateIrp(100, FALSE);

    IoGetNextIrpStackLocation(irp)->MajorFunction = IRP_MJ_INTERNAL_DEVICE_CONTROL;
    IoCallDriver(Self, irp);
}

static NTSTATUS NTAPI CallAgain(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    IoSkipCurrentIrpStackLocation(Irp);
    return IoCallDriver(DeviceObject, Irp);
}

static VOID CompleteOften(VOID)
{
    ULONG count;

    for (count = 0; count < 1000; count++)
        IoCompleteRequest(Request, IO_NO_INCREMENT);
}

static VOID FreeRequest(VOID)
{
    IoFreeIrp(Request);
    IoFreeIrp(Request);
}

static VOID OtherBuffer(VOID)
{
    Request->AssociatedIrp.SystemBuffer = (PVOID)OurThread();
    Request->UserBuffer = (PVOID)OurThread();
    Request->UserEvent = (PKEVENT)OurThread();
    Request->UserIosb = (PIO_STATUS_BLOCK)OurThread();
    Request->Flags |= IRP_BUFFERED_IO | IRP_DEALLOCATE_BUFFER | IRP_INPUT_OPERATION;
    Request->IoStatus.Information = 4096;
}

static VOID OtherLocation(VOID)
{
    Request->CurrentLocation = 127;
    Request->Tail.Overlay.CurrentStackLocation = (PIO_STACK_LOCATION)OurThread();
}

static VOID MdlInCircles(VOID)
{
    PMDL mdl = IoAllocateMdl(Scratch, sizeof(Scratch), FALSE, FALSE, NULL);

    MmBuildMdlForNonPagedPool(mdl);
    mdl->Next = mdl;
    Request->MdlAddress = mdl;
}

static VOID MdlThatLies(VOID)
{
    PMDL mdl = IoAllocateMdl(Scratch, sizeof(Scratch), FALSE, FALSE, NULL);
    PVOID mapped;

    MmBuildMdlForNonPagedPool(mdl);
    mdl->ByteCount = 0xFFFFFFFF;
    mdl->ByteOffset = 0xFFFFFFFF;
    mdl->MdlFlags &= ~MDL_SOURCE_IS_NONPAGED_POOL & ~MDL_MAPPED_TO_SYSTEM_VA;
    mapped = MmMapLockedPagesSpecifyCache(mdl, KernelMode, MmCached, NULL, FALSE, NormalPagePriority);
    if (mapped != NULL)
        MmUnmapLockedPages(mapped, mdl);
    MmUnlockPages(mdl);
    IoFreeMdl(mdl);
}

static VOID MdlOfOurs(VOID)
{
    PMDL mdl = IoAllocateMdl((PVOID)OurThread(), PAGE_SIZE, FALSE, FALSE, NULL);
    PULONG mapped;

    MmProbeAndLockPages(mdl, KernelMode, IoWriteAccess);
    mapped = MmGetSystemAddressForMdlSafe(mdl, NormalPagePriority);
    if (mapped != NULL)
        *mapped = 0x41414141;
    MmUnlockPages(mdl);
    IoFreeMdl(mdl);
}

/* --- Levels -------------------------------------------------------------------- */

static VOID StopTheSystem(VOID)
{
    KIRQL irql;

    KeRaiseIrql(HIGH_LEVEL, &irql);
    KeBugCheckEx(0xDEADBEEF, 1, 2, 3, ~(ULONG_PTR)0);
}

static VOID RaiseTo255(VOID)
{
    KIRQL irql;

    KeRaiseIrql(255, &irql);
    KeRaiseIrql(16, &irql);
    KeLowerIrql(255);
}

static VOID LowerToZero(VOID)
{
    KeLowerIrql(PASSIVE_LEVEL);
}

static VOID WaitHere(VOID)
{
    KeClearEvent(&Event);
    KeWaitForSingleObject(&Event, Executive, KernelMode, FALSE, NULL);
}

static VOID WaitForTooMany(VOID)
{
    PVOID objects[3] = {&Event, &Event, &Event};

    KeWaitForMultipleObjects(0xFFFFFFFF, objects, WaitAny, Executive, KernelMode, FALSE, NULL, NULL);
}

static VOID LockTwice(VOID)
{
    KIRQL irql;

    KeAcquireSpinLock(&Lock, &irql);
    KeAcquireSpinLock(&Lock, &irql);
}

static BOOLEAN NTAPI SynchronizeAgain(PVOID Context)
{
    return KeSynchronizeExecution(Interrupt, SynchronizeAgain, Context);
}

static VOID SynchronizeInside(VOID)
{
    KeSynchronizeExecution(Interrupt, SynchronizeAgain, NULL);
}

static VOID SynchronizeWithNothing(VOID)
{
    KeSynchronizeExecution((PKINTERRUPT)Scratch, SynchronizeAgain, NULL);
    KeSynchronizeExecution(Interrupt, NULL, NULL);
}

/* --- Text ---------------------------------------------------------------------- */

static VOID LongName(VOID)
{
    PDEVICE_OBJECT device = NULL;
    UNICODE_STRING name;
    ULONG at;

    name.Length = 0xFFFE;
    name.MaximumLength = 0xFFFF;
    name.Buffer = ExAllocatePoolWithTag(NonPagedPool, 0x10000, TAG);
    if (name.Buffer == NULL)
        return;
    for (at = 0; at < 0x8000; at++)
        name.Buffer[at] = at % 2 ? L'A' : L'\\';
    IoCreateDevice(Driver, 0, &name, FILE_DEVICE_UNKNOWN, 0, FALSE, &device);
    IoCreateSymbolicLink(&name, &name);
    DbgPrint("%wZ\n", &name);
    for (at = 0; at < 0x8000; at++)
        name.Buffer[at] = L'A';
    name.Buffer[0] = L'\\';
    IoCreateDevice(Driver, 0, &name, FILE_DEVICE_UNKNOWN, 0, FALSE, &device);
    IoCreateSymbolicLink(&name, &name);
}

static VOID NameThatLies(VOID)
{
    PDEVICE_OBJECT device;
    UNICODE_STRING name, copy;
    WCHAR room[4];

    name.Length = 0xFFFE;
    name.MaximumLength = 2;
    name.Buffer = (PWCH)Scratch;
    copy.Length = 0;
    copy.MaximumLength = 0xFFFE;
    copy.Buffer = room;
    IoCreateDevice(Driver, 0, &name, FILE_DEVICE_UNKNOWN, 0, FALSE, &device);
    RtlCopyUnicodeString(&copy, &name);
}

static VOID NameNowhere(VOID)
{
    PDEVICE_OBJECT device;
    UNICODE_STRING name = {0xFFFF, 0xFFFF, (PWCH)1};

    IoCreateDevice(Driver, 0, &name, FILE_DEVICE_UNKNOWN, 0, FALSE, &device);
    IoCreateDevice(Driver, 0, (PUNICODE_STRING)0x8000000000000000ULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &device);
}

static VOID PrintNothing(VOID)
{
    DbgPrint("%s%s%s%s%n %wZ %ws %99999999d %.*s %p\n", (PCSTR)1, (PCSTR)2, (PCSTR)OurThread());
}

static VOID PrintNowhere(VOID)
{
    DbgPrint((PCSTR)0x8000000000000000ULL);
}

static VOID EscapeTheTerminal(VOID)
{
    DbgPrint("\033[2J\033]0;owned\007\033[31m\r\b\b");
    KeBugCheckEx(0x41, 0, 0, 0, 0);
}
