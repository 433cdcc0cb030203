/* Memory: pool, MDLs, device registers, sections, lists, DMA. */
#include "pairs.h"

/* --- Pool -------------------------------------------------------------------- */

static PUCHAR Left;

static VOID FreeLeft(VOID)
{
    ExFreePoolWithTag(Left, TAG);
}

static VOID BreakLeak(VOID)
{
    Left = ExAllocatePoolWithTag(NonPagedPool, 64, TAG);
}

static VOID KeepLeak(VOID)
{
    Left = ExAllocatePoolWithTag(NonPagedPool, 64, TAG);
    if (Left != NULL)
        OnUnload = FreeLeft;
}

static VOID BreakFree(VOID)
{
    ExFreePoolWithTag(Block, TAG);
    ExFreePoolWithTag(Block, TAG);
}

static VOID KeepFree(VOID)
{
    ExFreePoolWithTag(Block, TAG);
    Block = NULL;
}

static VOID BreakPagedLevel(VOID)
{
    KIRQL irql;

    KeRaiseIrql(DISPATCH_LEVEL, &irql);
    Left = ExAllocatePoolWithTag(PagedPool, 64, TAG);
    KeLowerIrql(irql);
    ExFreePoolWithTag(Left, TAG);
}

static VOID KeepPagedLevel(VOID)
{
    Left = ExAllocatePoolWithTag(PagedPool, 64, TAG);
    if (Left != NULL)
        ExFreePoolWithTag(Left, TAG);
}

static VOID BreakPagedFree(VOID)
{
    KIRQL irql;

    Left = ExAllocatePoolWithTag(PagedPool, 64, TAG);
    KeRaiseIrql(DISPATCH_LEVEL, &irql);
    ExFreePoolWithTag(Left, TAG);
    KeLowerIrql(irql);
}

static VOID Fill(SIZE_T Bytes)
{
    SIZE_T i;

    Left = ExAllocatePoolWithTag(NonPagedPool, 64, TAG);
    if (Left == NULL)
        return;
    for (i = 0; i < Bytes; i++)
        Left[i] = 1;
    ExFreePoolWithTag(Left, TAG);
}

static VOID BreakOverrun(VOID)
{
    Fill(65);
}

static VOID KeepOverrun(VOID)
{
    Fill(64);
}

static VOID BreakUseAfterFree(VOID)
{
    volatile UCHAR *block = ExAllocatePoolWithTag(NonPagedPool, 64, TAG);

    if (block == NULL)
        return;
    ExFreePoolWithTag((PVOID)block, TAG);
    block[8] = 1;
}

static VOID KeepUseAfterFree(VOID)
{
    volatile UCHAR *block = ExAllocatePoolWithTag(NonPagedPool, 64, TAG);

    if (block == NULL)
        return;
    block[8] = 1;
    ExFreePoolWithTag((PVOID)block, TAG);
}

static VOID BreakZeroBytes(VOID)
{
    Left = ExAllocatePoolWithTag(NonPagedPool, 0, TAG);
    ExFreePoolWithTag(Left, TAG);
}

/* --- Device registers -------------------------------------------------------- */

static PVOID Window;

static PVOID MapRegisters(VOID)
{
    PHYSICAL_ADDRESS registers;

    registers.QuadPart = 0xFEC00000;
    return MmMapIoSpace(registers, PAGE_SIZE, MmNonCached);
}

static VOID Unmap(VOID)
{
    MmUnmapIoSpace(Window, PAGE_SIZE);
}

static VOID BreakUnmap(VOID)
{
    Window = MapRegisters();
    MmUnmapIoSpace(Window, 2 * PAGE_SIZE);
}

static VOID KeepUnmap(VOID)
{
    Window = MapRegisters();
    Unmap();
}

static VOID BreakUnmapTwice(VOID)
{
    Window = MapRegisters();
    Unmap();
    Unmap();
}

static VOID BreakMapped(VOID)
{
    Window = MapRegisters();
}

static VOID KeepMapped(VOID)
{
    Window = MapRegisters();
    OnUnload = Unmap;
}

static VOID BreakUnmappedAccess(VOID)
{
    Window = MapRegisters();
    Unmap();
    READ_REGISTER_ULONG(Window);
}

static VOID KeepUnmappedAccess(VOID)
{
    Window = MapRegisters();
    READ_REGISTER_ULONG(Window);
    Unmap();
}

/* --- MDLs and sections ------------------------------------------------------- */

static VOID BreakMdl(VOID)
{
    PMDL mdl = IoAllocateMdl(Block, 64, FALSE, FALSE, NULL);

    if (mdl == NULL)
        return;
    MmUnlockPages(mdl);
    IoFreeMdl(mdl);
}

static VOID KeepMdl(VOID)
{
    PMDL mdl = IoAllocateMdl(Block, 64, FALSE, FALSE, NULL);

    if (mdl == NULL)
        return;
    MmProbeAndLockPages(mdl, KernelMode, IoModifyAccess);
    MmUnlockPages(mdl);
    IoFreeMdl(mdl);
}

static VOID BreakMdlLocked(VOID)
{
    PMDL mdl = IoAllocateMdl(Block, 64, FALSE, FALSE, NULL);

    if (mdl == NULL)
        return;
    MmProbeAndLockPages(mdl, KernelMode, IoModifyAccess);
    IoFreeMdl(mdl);
}

__attribute__((section("PAGE"))) static VOID Pageable(VOID)
{
    Count++;
}

static VOID BreakSection(VOID)
{
    PVOID section = MmLockPagableCodeSection((PVOID)(ULONG_PTR)Pageable);

    MmUnlockPagableImageSection(section);
    MmUnlockPagableImageSection(section);
}

static VOID KeepSection(VOID)
{
    PVOID section = MmLockPagableCodeSection((PVOID)(ULONG_PTR)Pageable);

    MmUnlockPagableImageSection(section);
}

static VOID BreakPageable(VOID)
{
    KIRQL irql;

    KeAcquireSpinLock(&Lock, &irql);
    Pageable();
    KeReleaseSpinLock(&Lock, irql);
}

static VOID KeepPageable(VOID)
{
    KIRQL irql;

    Pageable();
    KeAcquireSpinLock(&Lock, &irql);
    Count++;
    KeReleaseSpinLock(&Lock, irql);
}

/* --- Lists and trees --------------------------------------------------------- */

static NPAGED_LOOKASIDE_LIST List;

static VOID DeleteList(VOID)
{
    ExDeleteNPagedLookasideList(&List);
}

static VOID BreakLookaside(VOID)
{
    ExInitializeNPagedLookasideList(&List, NULL, NULL, 0, 64, TAG, 0);
}

static VOID KeepLookaside(VOID)
{
    ExInitializeNPagedLookasideList(&List, NULL, NULL, 0, 64, TAG, 0);
    OnUnload = DeleteList;
}

static VOID BreakLookasideTwice(VOID)
{
    BreakLookaside();
    BreakLookaside();
    OnUnload = DeleteList;
}

static RTL_SPLAY_LINKS One, Two;

static VOID Walk(PRTL_SPLAY_LINKS Left)
{
    RtlInitializeSplayLinks(&One);
    RtlInitializeSplayLinks(&Two);
    RtlInsertAsRightChild(&One, &Two);
    Two.LeftChild = Left;
    RtlRealSuccessor(&One);
}

static VOID BreakTree(VOID)
{
    Walk(&Two);
}

static VOID KeepTree(VOID)
{
    Walk(NULL);
}

/* --- What the system uses in it ---------------------------------------------- */

static VOID NTAPI Deferred(PKDPC Object, PVOID Context, PVOID First, PVOID Second)
{
    UNREFERENCED_PARAMETER(Object);
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(First);
    UNREFERENCED_PARAMETER(Second);
}

static VOID BreakTimerFreed(VOID)
{
    LARGE_INTEGER due;

    due.QuadPart = -10000;
    KeInitializeDpc(&Dpc, Deferred, NULL);
    KeSetTimerEx(&Timer, due, 1, &Dpc);
}

static VOID CancelTimer(VOID)
{
    KeCancelTimer(&Timer);
}

static VOID KeepTimerFreed(VOID)
{
    BreakTimerFreed();
    OnUnload = CancelTimer;
}

static VOID BreakTimerInitialised(VOID)
{
    KeepTimerFreed();
    KeInitializeTimer(&Timer);
}

static VOID KeepTimerInitialised(VOID)
{
    KeepTimerFreed();
    KeCancelTimer(&Timer);
    KeInitializeTimer(&Timer);
}

static const PAIR Pairs[] = {
    {1410, BreakTimerFreed, KeepTimerFreed},
    {1500, BreakLeak, KeepLeak},
    {1510, BreakFree, KeepFree},
    {3000, BreakPagedLevel, KeepPagedLevel},
    {3001, BreakPagedFree, KeepPagedLevel},
    {3010, BreakOverrun, KeepOverrun},
    {3020, BreakUseAfterFree, KeepUseAfterFree},
    {3030, BreakZeroBytes, KeepOverrun},
    {3100, BreakUnmap, KeepUnmap},
    {3101, BreakUnmapTwice, KeepUnmap},
    {3110, BreakMapped, KeepMapped},
    {3200, BreakMdl, KeepMdl},
    {3201, BreakMdlLocked, KeepMdl},
    {3210, BreakSection, KeepSection},
    {3310, BreakLookaside, KeepLookaside},
    {3311, BreakLookasideTwice, KeepLookaside},
    {4470, BreakPageable, KeepPageable},
    {5230, BreakUnmappedAccess, KeepUnmappedAccess},
    {5320, BreakTree, KeepTree},
    {5380, BreakTimerInitialised, KeepTimerInitialised},
    {0, NULL, NULL},
};
