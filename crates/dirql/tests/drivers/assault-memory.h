/* Memory that is not the driver's, or not any more, written by itself and by the kernel for it. */

/* --- What pointers lead to ---------------------------------------------------- */

static VOID Smash(PVOID From, SIZE_T Bytes)
{
    volatile U64 *place = From;
    SIZE_T index;

    for (index = 0; index < Bytes / 8; index++)
        place[index] = 0x4141414141414141ULL;
}

static VOID SmashDriver(VOID)
{
    Smash(Driver, sizeof(DRIVER_OBJECT));
}

static VOID SmashDriverExtension(VOID)
{
    Smash(Driver->DriverExtension, sizeof(DRIVER_EXTENSION));
}

static VOID SmashDevice(VOID)
{
    Smash(Self, sizeof(DEVICE_OBJECT));
}

static VOID SmashDeviceExtension(VOID)
{
    Smash(Self->DeviceObjectExtension, 64);
}

static VOID SmashHeader(VOID)
{
    Smash((PUCHAR)Self - 0x60, 0x60);
}

static VOID SmashPdo(VOID)
{
    Smash(Pdo, sizeof(DEVICE_OBJECT));
}

static VOID SmashIrp(VOID)
{
    Smash(Request, sizeof(IRP) + sizeof(IO_STACK_LOCATION));
}

static VOID SmashFile(VOID)
{
    Smash(IoGetCurrentIrpStackLocation(Request)->FileObject, sizeof(FILE_OBJECT));
}

static VOID SmashInterrupt(VOID)
{
    Smash(Interrupt, 0x100);
}

static VOID SmashThread(VOID)
{
    Smash(KeGetCurrentThread(), 0x400);
}

static VOID SmashProcess(VOID)
{
    Smash(IoGetCurrentProcess(), 0x400);
}

/* The processor's own block. */
static VOID SmashProcessor(VOID)
{
    U64 self;

    __asm__ volatile("mov %%gs:0x18, %0" : "=r"(self));
    Smash((PVOID)self, 0x200);
}

static VOID SmashProcessorByGs(VOID)
{
    U64 at;

    for (at = 0; at < 0x200; at += 8)
        __asm__ volatile("movq $0x41414141, %%gs:(%0)" : : "r"(at) : "memory");
}

static VOID SmashQueuedDpc(VOID)
{
    static KDPC dpc;
    KIRQL irql;

    KeRaiseIrql(DISPATCH_LEVEL, &irql);
    KeInitializeDpc(&dpc, (PKDEFERRED_ROUTINE)(ULONG_PTR)Scratch, NULL);
    KeInsertQueueDpc(&dpc, NULL, NULL);
    Smash(&dpc, sizeof(dpc));
    KeLowerIrql(irql);
}

static VOID SmashTimer(VOID)
{
    LARGE_INTEGER due;

    due.QuadPart = -10000;
    KeSetTimer(&Timer, due, &Dpc);
    Smash(&Timer, sizeof(Timer));
    KeCancelTimer(&Timer);
}

static VOID SmashEvent(VOID)
{
    Smash(&Event, sizeof(Event));
    KeSetEvent(&Event, IO_NO_INCREMENT, FALSE);
}

static VOID SmashPoolHeader(VOID)
{
    PUCHAR block = ExAllocatePoolWithTag(NonPagedPool, 64, TAG);

    Smash(block - 16, 96);
    ExFreePoolWithTag(block, TAG);
}

static VOID SmashThunks(VOID)
{
    const unsigned char *thunk = (const unsigned char *)(ULONG_PTR)&DbgPrint;

    if (thunk[0] == 0xff && thunk[1] == 0x25)
        thunk = *(const unsigned char **)(thunk + 6 + *(const int *)(thunk + 2));
    Smash((PVOID)((U64)thunk & ~7ULL), 64);
}

static VOID SmashImports(VOID)
{
    const unsigned char *stub = (const unsigned char *)(ULONG_PTR)&DbgPrint;
    const PVOID *import = (const PVOID *)(stub + 6 + *(const int *)(stub + 2));

    if (stub[0] == 0xff && stub[1] == 0x25)
        *(PVOID volatile *)import = (PVOID)0x4141414141414141ULL;
    DbgPrint("never\n");
}

static VOID SmashOwnText(VOID)
{
    Smash((PVOID)((U64)(ULONG_PTR)&SmashOwnText & ~7ULL), 16);
}

static VOID SmashOwnHeaders(VOID)
{
    Smash(Driver->DriverStart, 64);
}

static VOID SmashSharedUserData(VOID)
{
    Smash((PVOID)0xFFFFF78000000000ULL, 64);
}

static VOID SmashOurThread(VOID)
{
    U64 here;

    __asm__ volatile("mov %%fs:0, %0" : "=r"(here));
    Smash((PVOID)(here - 0x100), 0x200);
    DbgPrint("never\n");
}

static VOID SmashOurStack(VOID)
{
    Smash((PVOID)((U64)__builtin_frame_address(0) - 64), 0x2000);
}

static VOID SmashAdapter(VOID)
{
    DEVICE_DESCRIPTION description;
    PDMA_ADAPTER adapter;
    ULONG registers;

    RtlZeroMemory(&description, sizeof(description));
    description.Version = DEVICE_DESCRIPTION_VERSION;
    description.Master = TRUE;
    description.ScatterGather = TRUE;
    description.InterfaceType = PCIBus;
    description.MaximumLength = PAGE_SIZE;
    adapter = IoGetDmaAdapter(Pdo, &description, &registers);
    Smash(adapter, 64);
    adapter->DmaOperations->PutDmaAdapter(adapter);
}

/* --- The kernel as the one who does it ---------------------------------------- */

static VOID CopyOverOurThread(VOID)
{
    RtlCopyMemory((PVOID)OurThread(), Scratch, sizeof(Scratch));
    (memcpy)((PVOID)OurThread(), Scratch, sizeof(Scratch));
}

static VOID FillOurText(VOID)
{
    (memset)((PVOID)Outside(), 0x90, 4096);
}

static VOID SetEventInOurThread(VOID)
{
    KeInitializeEvent((PRKEVENT)OurThread(), NotificationEvent, TRUE);
    KeSetEvent((PRKEVENT)OurThread(), IO_NO_INCREMENT, FALSE);
}

static VOID LockInOurThread(VOID)
{
    KIRQL irql;

    irql = KeAcquireSpinLockRaiseToDpc((PKSPIN_LOCK)OurThread());
    KeReleaseSpinLock((PKSPIN_LOCK)OurThread(), irql);
}

static VOID CopyWithoutEnd(VOID)
{
    (memcpy)(Scratch, Driver, ~(SIZE_T)0 >> 1);
}

static VOID FillFromZero(VOID)
{
    (memset)(NULL, 0, 4096);
}

/* --- Taking away what is in use -------------------------------------------------- */

static VOID DeleteTwice(VOID)
{
    IoDeleteDevice(Self);
    IoDeleteDevice(Self);
}

static VOID DeleteOther(VOID)
{
    IoDeleteDevice(Pdo);
}

static VOID UnmapItself(VOID)
{
    MmUnmapIoSpace(Driver->DriverStart, Driver->DriverSize);
}

static VOID FreeItself(VOID)
{
    ExFreePool(Driver->DriverStart);
}

static VOID FreeItselfContiguous(VOID)
{
    MmFreeContiguousMemory(Driver->DriverStart);
}

static VOID FreeStack(VOID)
{
    ExFreePool((PVOID)((U64)__builtin_frame_address(0) & ~15ULL));
}

static VOID FreeOurs(VOID)
{
    ExFreePool((PVOID)OurThread());
}

static VOID FreeObjects(VOID)
{
    ExFreePool(Driver);
    ExFreePool(Self);
    ExFreePool(Interrupt);
}

static VOID FreeInside(VOID)
{
    PUCHAR block = ExAllocatePoolWithTag(NonPagedPool, 8192, TAG);

    ExFreePoolWithTag(block + 4096, TAG);
    ExFreePoolWithTag(block + 1, TAG);
    ExFreePoolWithTag(block, TAG);
}

static VOID LetGo(VOID)
{
    ULONG count;

    for (count = 0; count < 1000; count++)
        ObDereferenceObject(Driver);
    for (count = 0; count < 1000; count++)
        ObDereferenceObject(Self);
}

static VOID UnloadItself(VOID)
{
    UNICODE_STRING name = RTL_CONSTANT_STRING(L"\\Registry\\Machine\\System\\CurrentControlSet\\Services\\assault");

    ZwUnloadDriver(&name);
    Driver->DriverUnload(Driver);
    Driver->DriverUnload(Driver);
}

static VOID DisconnectTwice(VOID)
{
    IoDisconnectInterrupt(Interrupt);
    IoDisconnectInterrupt(Interrupt);
}

static VOID ConnectNowhere(VOID)
{
    IO_CONNECT_INTERRUPT_PARAMETERS connect;

    RtlZeroMemory(&connect, sizeof(connect));
    connect.Version = CONNECT_LINE_BASED;
    connect.LineBased.PhysicalDeviceObject = Pdo;
    connect.LineBased.InterruptObject = (PKINTERRUPT *)OurThread();
    connect.LineBased.ServiceRoutine = (PKSERVICE_ROUTINE)0x8000000000000000ULL;
    IoConnectInterruptEx(&connect);
}

static VOID ConnectToNothing(VOID)
{
    static PKINTERRUPT second;
    IO_CONNECT_INTERRUPT_PARAMETERS connect;

    RtlZeroMemory(&connect, sizeof(connect));
    connect.Version = CONNECT_LINE_BASED;
    connect.LineBased.PhysicalDeviceObject = Pdo;
    connect.LineBased.InterruptObject = &second;
    connect.LineBased.ServiceRoutine = (PKSERVICE_ROUTINE)(ULONG_PTR)Scratch;
    IoConnectInterruptEx(&connect);
    WRITE_REGISTER_ULONG((PULONG)(Registers + EDU_IRQ_RAISE), 1);
}
