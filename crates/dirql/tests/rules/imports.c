/* What is imported: from the system, and a miniport from its port driver. */
#include "pairs.h"

/* Of a later release, as it might be. */
NTKERNELAPI VOID NTAPI KeLaterRoutine(VOID);

/* The miniport's (miniport.c), which are called here as the port driver calls them. */
__declspec(dllimport) VOID CountUnderLock(VOID);
__declspec(dllimport) VOID CountInterlocked(VOID);

static VOID BreakLaterRoutine(VOID)
{
    KeLaterRoutine();
}

static VOID KeepLaterRoutine(VOID)
{
    UNICODE_STRING name = RTL_CONSTANT_STRING(L"KeLaterRoutine");
    PRULE routine = (PRULE)MmGetSystemRoutineAddress(&name);

    if (routine != NULL)
        routine();
}

static VOID BreakMiniport(VOID)
{
    CountUnderLock();
}

static VOID KeepMiniport(VOID)
{
    CountInterlocked();
}

static const PAIR Pairs[] = {
    {20, BreakLaterRoutine, KeepLaterRoutine},
    {6040, BreakMiniport, KeepMiniport},
    {0, NULL, NULL},
};
