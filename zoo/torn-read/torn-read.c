/*
 * Two words that belong together and are read one after the other.
 *
 * The ISR changes both between the two loads.
 */
#include <ddk/wdm.h>

struct _ZOO_STATE {
    ULONG Seconds;
    ULONG Check;
};
#include "../zoo.h"

static BOOLEAN NTAPI ZooIsr(PKINTERRUPT Interrupt, PVOID Context)
{
    PZOO zoo = Context;

    UNREFERENCED_PARAMETER(Interrupt);
    if (ZooAcknowledge(zoo) == 0)
        return FALSE;
    zoo->State.Seconds++;
    zoo->State.Check--;
    return TRUE;
}

typedef struct _ZOO_LOOK {
    PZOO Zoo;
    ULONG Sum;
} ZOO_LOOK, *PZOO_LOOK;

static BOOLEAN NTAPI ZooLook(PVOID Context)
{
    PZOO_LOOK look = Context;
    ULONG seconds = look->Zoo->State.Seconds;

    ZooSet(look->Zoo, EDU_LIVENESS, seconds); /* shown on the device's panel */
    look->Sum = seconds + look->Zoo->State.Check;
    return TRUE;
}

static NTSTATUS ZooPrepare(PZOO Zoo)
{
    UNREFERENCED_PARAMETER(Zoo);
    return STATUS_SUCCESS;
}

static VOID ZooReady(PZOO Zoo)
{
    UNREFERENCED_PARAMETER(Zoo);
}

static VOID ZooQuiet(PZOO Zoo)
{
    UNREFERENCED_PARAMETER(Zoo);
}

static VOID ZooGone(PZOO Zoo)
{
    UNREFERENCED_PARAMETER(Zoo);
}

static NTSTATUS ZooRead(PZOO Zoo, PIRP Irp, PULONG Value)
{
    ZOO_LOOK look = {Zoo, 0};

    UNREFERENCED_PARAMETER(Irp);
#ifdef FIXED
    KeSynchronizeExecution(Zoo->Interrupt, ZooLook, &look);
#else
    ZooLook(&look);
#endif
    *Value = look.Sum;
    return STATUS_SUCCESS;
}

static NTSTATUS ZooWrite(PZOO Zoo, PIRP Irp, ULONG Value)
{
    UNREFERENCED_PARAMETER(Irp);
    UNREFERENCED_PARAMETER(Value);
    ZooSet(Zoo, EDU_IRQ_RAISE, 1);
    return STATUS_SUCCESS;
}
