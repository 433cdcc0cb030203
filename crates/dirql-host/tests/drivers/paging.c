/* A driver with pageable code and data. Each exported function is an entry point of its own and
 * returns 1 if all was right. Built by `build`. */

typedef unsigned long long ULONG64;
typedef int NTSTATUS;

#define IMPORT __declspec(dllimport)
#define NOINLINE __declspec(noinline)
#define EXPORT __declspec(dllexport) NOINLINE
#define PAGED_CODE_SECTION __attribute__((section("PAGE")))
#define PAGED_DATA_SECTION __attribute__((section("PAGEDATA")))

IMPORT void *MmLockPagableDataSection(void *);
IMPORT void MmUnlockPagableImageSection(void *);
IMPORT void RtlFillMemory(void *, ULONG64, unsigned char);

static PAGED_DATA_SECTION volatile int paged_data = 3;

static PAGED_CODE_SECTION NOINLINE int paged_code(int number) { return number + 1; }
static int (*volatile paged)(int) = paged_code;

static void set_level(ULONG64 level) { __asm__ volatile("movq %0, %%cr8" : : "r"(level) : "memory"); }

/* below DISPATCH_LEVEL, before and after having been there. */
EXPORT int below(void)
{
    int sum = paged(paged_data);
    for (int i = 0; i < 100; i++) {
        set_level(2);
        set_level(1);
        sum += paged(paged_data);
        set_level(0);
        paged_data = 3;
    }
    return sum == 4 * 101;
}

EXPORT int code_above(void)
{
    set_level(2);
    int result = paged(0);
    set_level(0);
    return result;
}

EXPORT int data_above(void)
{
    set_level(2);
    paged_data = 4;
    set_level(0);
    return 1;
}

/* a routine of the kernel touches it for the driver. */
EXPORT int argument_above(void)
{
    set_level(2);
    RtlFillMemory((void *)&paged_data, 4, 0);
    set_level(0);
    return 1;
}

EXPORT int locked(void)
{
    void *code = MmLockPagableDataSection((void *)paged), *data = MmLockPagableDataSection((void *)&paged_data);
    set_level(2);
    int result = paged(paged_data);
    set_level(0);
    MmUnlockPagableImageSection(code);
    return code && data && code != data && result == 4;
}

EXPORT int unlocked(void)
{
    void *code = MmLockPagableDataSection((void *)paged);
    MmUnlockPagableImageSection(code);
    return code_above();
}

NTSTATUS DriverEntry(void *driver, void *path)
{
    (void)driver;
    (void)path;
    return 0;
}
