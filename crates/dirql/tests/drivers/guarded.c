/* A driver that handles exceptions as mingw-w64 lets one: its excpt.h makes a handler of
 * __C_specific_handler's by hand. DriverEntry fails if an exception is not handled where it should
 * be. */
#include <ntddk.h>
#include <excpt.h>

static volatile ULONG codes[4];
static volatile LONG count;
static KEVENT called;

/* The compiler knows that the routine does not return, and leaves out what follows a call. */
static VOID (NTAPI *volatile raise_status)(NTSTATUS) = ExRaiseStatus;

static __attribute__((used)) long NTAPI remember(EXCEPTION_POINTERS *pointers, PVOID frame)
{
    UNREFERENCED_PARAMETER(frame);
    codes[count++] = pointers->ExceptionRecord->ExceptionCode;
    return EXCEPTION_EXECUTE_HANDLER;
}

/* Three frames below the one that handles it. */
static __attribute__((noinline)) void innermost(volatile ULONG *pointer) { *pointer = 1; }

static __attribute__((noinline)) void inner(volatile ULONG *pointer)
{
    innermost(pointer);
    count += 100; /* not reached, and no tail call */
}

static __attribute__((noinline)) void outer(volatile ULONG *pointer)
{
    inner(pointer);
    count += 100;
}

static __attribute__((noinline)) void faults(void)
{
    __try1(remember)
    outer((volatile ULONG *)0x10);
    __except1
}

static __attribute__((noinline)) void raises(void)
{
    __asm__ __volatile__("\t.seh_handler __C_specific_handler, @except\n"
                         "\t.seh_handlerdata\n"
                         "\t.long 1\n"
                         "\t.rva .l_raise, .l_raised, remember, .l_raised\n"
                         "\t.text\n"
                         ".l_raise:\n");
    raise_status(STATUS_IO_DEVICE_ERROR);
    __asm__ __volatile__("\tnop\n.l_raised:\n\tnop\n");
}

static int divide_hundred(int divisor) { return 100 / divisor; }
static int (*volatile divide)(int) = divide_hundred;

static __attribute__((noinline)) void divides(void)
{
    __asm__ __volatile__("\t.seh_handler __C_specific_handler, @except\n"
                         "\t.seh_handlerdata\n"
                         "\t.long 1\n"
                         "\t.rva .l_divide, .l_divided, remember, .l_divided\n"
                         "\t.text\n"
                         ".l_divide:\n");
    divide(0);
    __asm__ __volatile__("\tnop\n.l_divided:\n\tnop\n");
}

static VOID NTAPI in_dpc(PKDPC dpc, PVOID context, PVOID argument1, PVOID argument2)
{
    UNREFERENCED_PARAMETER(dpc);
    UNREFERENCED_PARAMETER(context);
    UNREFERENCED_PARAMETER(argument1);
    UNREFERENCED_PARAMETER(argument2);
    divides();
    KeSetEvent(&called, 0, FALSE);
}

static VOID NTAPI unload(PDRIVER_OBJECT driver) { UNREFERENCED_PARAMETER(driver); }

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING path)
{
    KDPC dpc;

    UNREFERENCED_PARAMETER(path);
    driver->DriverUnload = unload;
    faults();
    raises();
    KeInitializeEvent(&called, NotificationEvent, FALSE);
    KeInitializeDpc(&dpc, in_dpc, NULL);
    KeInsertQueueDpc(&dpc, NULL, NULL);
    KeWaitForSingleObject(&called, Executive, KernelMode, FALSE, NULL);
    if (count != 3 || codes[0] != (ULONG)STATUS_ACCESS_VIOLATION || codes[1] != (ULONG)STATUS_IO_DEVICE_ERROR ||
        codes[2] != (ULONG)STATUS_INTEGER_DIVIDE_BY_ZERO)
        return STATUS_UNSUCCESSFUL;
    return STATUS_SUCCESS;
}
