/* A driver that uses families of routines as drivers of this day do. Each exported function is an
 * entry point of its own and returns 1 if all was right. Built by `build`. */

typedef unsigned char UCHAR;
typedef unsigned int ULONG;
typedef unsigned long long ULONG64;
typedef int NTSTATUS;

#define IMPORT __declspec(dllimport)
#define NOINLINE __declspec(noinline)
#define EXPORT __declspec(dllexport) NOINLINE

IMPORT void *ExAllocatePool2(ULONG64, ULONG64, ULONG);
IMPORT void ExFreePoolWithTag(void *, ULONG);
IMPORT void ExInitializePushLock(ULONG64 *);
IMPORT void ExAcquirePushLockExclusiveEx(ULONG64 *, ULONG);
IMPORT UCHAR ExTryAcquirePushLockSharedEx(ULONG64 *, ULONG);
IMPORT void ExReleasePushLockExclusiveEx(ULONG64 *, ULONG);
IMPORT UCHAR ExAcquireSpinLockShared(ULONG *);
IMPORT void ExReleaseSpinLockShared(ULONG *, UCHAR);
IMPORT void KeEnterCriticalRegion(void);
IMPORT void KeLeaveCriticalRegion(void);
IMPORT void KeGenericCallDpc(void (*)(void *, void *, void *, void *), void *);
IMPORT void KeSignalCallDpcDone(void *);
IMPORT ULONG KeSignalCallDpcSynchronize(void *);
IMPORT NTSTATUS KeDelayExecutionThread(UCHAR, UCHAR, long long *);
IMPORT NTSTATUS KeExpandKernelStackAndCallout(void (*)(void *), void *, ULONG64);
IMPORT void RtlInitializeGenericTableAvl(void *, int (*)(void *, void *, void *), void *(*)(void *, ULONG),
                                         void (*)(void *, void *), void *);
IMPORT void *RtlInsertElementGenericTableAvl(void *, void *, ULONG, UCHAR *);
IMPORT UCHAR RtlDeleteElementGenericTableAvl(void *, void *);
IMPORT void *RtlEnumerateGenericTableAvl(void *, UCHAR);
IMPORT void *RtlLookupElementGenericTableAvl(void *, void *);
IMPORT NTSTATUS RtlRunOnceExecuteOnce(void **, ULONG (*)(void *, void *, void **), void *, void **);
IMPORT NTSTATUS PoRegisterPowerSettingCallback(void *, const void *, NTSTATUS (*)(const void *, void *, ULONG, void *),
                                               void *, void **);
IMPORT NTSTATUS PoUnregisterPowerSettingCallback(void *);
IMPORT void KeInitializeApc(void *, void *, int, void (*)(void *, void **, void **, void **, void **), void *,
                            void (*)(void *, void *, void *), char, void *);
IMPORT UCHAR KeInsertQueueApc(void *, void *, void *, ULONG);
IMPORT ULONG64 KeQueryPerformanceCounter(ULONG64 *);
IMPORT ULONG64 KeQueryInterruptTime(void);
IMPORT ULONG DbgPrint(const char *, ...);
IMPORT int sscanf_s(const char *, const char *, ...);
IMPORT int _itoa_s(int, char *, ULONG64, int);
IMPORT char *strtok_s(char *, const char *, char **);
IMPORT void *bsearch(const void *, const void *, ULONG64, ULONG64, int (*)(const void *, const void *));
void _local_unwind(void *, void *);

int _fltused;

#define POOL_FLAG_PAGED 0x100

static volatile ULONG trail;

/* The compiler must believe that all of it is used. */
#define KEEP(memory) __asm__ volatile("" : : "r"(memory) : "memory")

/* more than a page of locals, for which the compiler calls __chkstk; no argument is lost. */
static NOINLINE int large_frame(int a, double b, int c, double d, int e)
{
    volatile char locals[3 * 4096];
    KEEP(locals);
    locals[0] = 1;
    locals[sizeof locals - 1] = 2;
    return a == 1 && b == 2.0 && c == 3 && d == 4.0 && e == 5 && locals[0] + locals[sizeof locals - 1] == 3;
}

EXPORT int checks_the_stack(void) { return large_frame(1, 2.0, 3, 4.0, 5); }

/* more than there is. */
static NOINLINE int too_large_frame(int a)
{
    volatile char locals[0x80000];
    KEEP(locals);
    locals[a] = 1;
    return locals[a];
}

EXPORT int has_no_such_stack(void) { return too_large_frame(3); }

/* a jump out of a guarded block, as Microsoft's compiler makes one: the block's termination handler
 * runs on the way. */
void finally_step(int abnormal, void *frame)
{
    (void)frame;
    trail = trail * 10 + 7 + (ULONG)abnormal;
}

__asm__(".globl jump_out\n"
        ".def jump_out; .scl 2; .type 32; .endef\n"
        "jump_out:\n"
        ".seh_proc jump_out\n"
        "    subq $40, %rsp\n"
        ".seh_stackalloc 40\n"
        ".seh_endprologue\n"
        ".seh_handler __C_specific_handler, @unwind, @except\n"
        "jump_out_begin:\n"
        "    movq %rsp, %rcx\n"
        "    leaq jump_out_target(%rip), %rdx\n"
        "    callq _local_unwind\n"
        "    nop\n"
        "jump_out_end:\n"
        "    xorl %eax, %eax\n"
        "    jmp jump_out_leave\n"
        "jump_out_target:\n"
        "    movl $1, %eax\n"
        "jump_out_leave:\n"
        "    addq $40, %rsp\n"
        "    retq\n"
        ".seh_handlerdata\n"
        "    .long 1\n"
        "    .long jump_out_begin@IMGREL, jump_out_end@IMGREL, finally_step@IMGREL, 0\n"
        ".text\n"
        ".seh_endproc\n");
extern int jump_out(void);

EXPORT int leaves_a_guarded_block(void)
{
    trail = 0;
    return jump_out() == 1 && trail == 8;
}

/* elements in order, in memory of the driver's. */
static int compare(void *table, void *one, void *other)
{
    (void)table;
    int left = *(int *)one, right = *(int *)other;
    return left < right ? 0 : left > right ? 1 : 2;
}

static void *allocate(void *table, ULONG bytes)
{
    (void)table;
    return ExAllocatePool2(POOL_FLAG_PAGED, bytes, 'lbaT');
}

static void release(void *table, void *element)
{
    (void)table;
    ExFreePoolWithTag(element, 'lbaT');
}

EXPORT int keeps_a_table(void)
{
    ULONG64 table[13];
    UCHAR is_new;
    int seen = 0, last = -1;
    RtlInitializeGenericTableAvl(table, compare, allocate, release, 0);
    for (int i = 0; i < 50; i++) {
        int value = i * 17 % 50;
        int *element = RtlInsertElementGenericTableAvl(table, &value, sizeof value, &is_new);
        if (!element || *element != value || !is_new)
            return 0;
    }
    for (int *element = RtlEnumerateGenericTableAvl(table, 1); element; element = RtlEnumerateGenericTableAvl(table, 0)) {
        if (*element <= last)
            return 0;
        last = *element;
        seen++;
    }
    for (int value = 0; value < 50; value++)
        if (!RtlLookupElementGenericTableAvl(table, &value) || !RtlDeleteElementGenericTableAvl(table, &value))
            return 0;
    return seen == 50 && !RtlEnumerateGenericTableAvl(table, 1);
}

/* locks that several can hold. */
EXPORT int shares_locks(void)
{
    ULONG64 push;
    ULONG spin = 0;
    ExInitializePushLock(&push);
    KeEnterCriticalRegion();
    ExAcquirePushLockExclusiveEx(&push, 0);
    int refused = !ExTryAcquirePushLockSharedEx(&push, 0);
    ExReleasePushLockExclusiveEx(&push, 0);
    KeLeaveCriticalRegion();
    UCHAR old = ExAcquireSpinLockShared(&spin);
    int counted = spin == 1;
    ExReleaseSpinLockShared(&spin, old);
    return refused && counted && push == 0 && spin == 0;
}

/* all processors at once. */
static void on_each(void *dpc, void *context, void *done, void *barrier)
{
    (void)dpc;
    __atomic_add_fetch((ULONG *)context, 1, __ATOMIC_SEQ_CST);
    if (KeSignalCallDpcSynchronize(barrier))
        *(ULONG *)context += 100;
    KeSignalCallDpcDone(done);
}

EXPORT int calls_every_processor(void)
{
    ULONG count = 0;
    KeGenericCallDpc(on_each, &count);
    return count == 102;
}

/* a call that wants 60 KiB of stack. */
static void deep(void *context)
{
    volatile char locals[60 * 1024];
    KEEP(locals);
    locals[0] = locals[sizeof locals - 1] = 1;
    *(int *)context = locals[0] + locals[sizeof locals - 1];
}

EXPORT int expands_the_stack(void)
{
    int result = 0;
    return KeExpandKernelStackAndCallout(deep, &result, 64 * 1024) == 0 && result == 2;
}

/* what is there is told once. */
static const UCHAR display_state[16] = {0x56, 0x95, 0xE6, 0x6F, 0x4A, 0x70, 0xA0, 0x47,
                                        0x8F, 0x24, 0xC2, 0x8D, 0x93, 0x6F, 0xDA, 0x47};

static NTSTATUS display_changed(const void *setting, void *value, ULONG length, void *context)
{
    (void)setting;
    if (length == sizeof(ULONG))
        *(volatile ULONG *)context = 10 + *(ULONG *)value;
    return 0;
}

EXPORT int hears_of_settings(void)
{
    volatile ULONG state = 0;
    void *handle;
    long long moment = -10000;
    if (PoRegisterPowerSettingCallback(0, display_state, display_changed, (void *)&state, &handle) != 0)
        return 0;
    KeDelayExecutionThread(0, 0, &moment);
    return state == 11 && PoUnregisterPowerSettingCallback(handle) == 0;
}

/* the C library, and once is enough. */
static int by_value(const void *one, const void *other) { return *(const char *)one - *(const char *)other; }

static ULONG initialise(void *once, void *parameter, void **context)
{
    (void)once;
    trail++;
    *context = parameter;
    return 1;
}

EXPORT int uses_the_library(void)
{
    char number[8], line[] = "a;b", *rest, *token;
    void *once = 0, *context = 0;
    if (_itoa_s(-305, number, sizeof number, 10) != 0 || number[0] != '-' || number[3] != '5')
        return 0;
    token = strtok_s(line, ";", &rest);
    if (!token || *token != 'a' || *strtok_s(0, ";", &rest) != 'b' || strtok_s(0, ";", &rest))
        return 0;
    if (bsearch("c", "abcd", 4, 1, by_value) == 0 || bsearch("z", "abcd", 4, 1, by_value) != 0)
        return 0;
    trail = 0;
    for (int i = 0; i < 2; i++)
        if (RtlRunOnceExecuteOnce(&once, initialise, (void *)16, &context) != 0 || context != (void *)16)
            return 0;
    return trail == 1;
}

/* numbers and words out of text. */
EXPORT int scans_text(void)
{
    int number = 0;
    ULONG64 address = 0;
    char word[4];
    if (sscanf_s("port 17 at 0x1f0", "%s %d at %llx", word, 4, &number, &address) != 0)
        return 0; /* There is no room for "port". */
    return sscanf_s("irq 17 at 0x1f0", "%s %d at %llx", word, 4, &number, &address) == 3 && number == 17
        && address == 0x1F0 && word[0] == 'i' && word[3] == 0;
}

/* APCs for the calling thread. */
static void kernel_routine(void *apc, void **normal, void **context, void **one, void **two)
{
    (void)apc;
    (void)one;
    (void)two;
    trail = trail * 10 + (*normal ? 2 : 1);
    *context = (void *)((ULONG64)*context + 1);
}

static void normal_routine(void *context, void *one, void *two)
{
    trail = trail * 10 + (ULONG)((ULONG64)context + (ULONG64)one + (ULONG64)two);
}

EXPORT int runs_apcs(void)
{
    static __declspec(align(16)) UCHAR special[88], normal[88];
    void *thread;
    __asm__ volatile("movq %%gs:0x188, %0" : "=r"(thread));
    trail = 0;
    KeInitializeApc(special, thread, 0, kernel_routine, 0, 0, 0, 0);
    KeInitializeApc(normal, thread, 0, kernel_routine, 0, normal_routine, 0, (void *)1);
    KeEnterCriticalRegion();
    if (!KeInsertQueueApc(normal, (void *)2, (void *)3, 0) || KeInsertQueueApc(normal, 0, 0, 0))
        return 0;
    if (!KeInsertQueueApc(special, 0, 0, 0) || trail != 1)
        return 0;
    KeLeaveCriticalRegion();
    return trail == 127;
}

/* two seconds, in some thousand turns of any loop. */
static ULONG64 shared_time(void) { return *(volatile ULONG64 *)0xFFFFF78000000008ull; }

static ULONG64 printed_time(void)
{
    DbgPrint("waiting");
    return KeQueryPerformanceCounter(0);
}

static ULONG64 polite_time(void)
{
    long long none = 0;
    KeDelayExecutionThread(0, 0, &none);
    return KeQueryInterruptTime();
}

static ULONG64 (*volatile clocks[])(void) = {shared_time, printed_time, polite_time, KeQueryInterruptTime};

EXPORT int waits_by_looking(void)
{
    for (int i = 0; i < 4; i++) {
        ULONG64 start = clocks[i]();
        int turns = 0;
        while (clocks[i]() - start < 20000000)
            if (++turns == 5000)
                return 0;
    }
    return 1;
}

EXPORT NTSTATUS DriverEntry(void *driver, void *path)
{
    (void)driver;
    (void)path;
    return 0;
}
