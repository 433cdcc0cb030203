/* A driver whose exceptions pass through frames of the kernel. Each exported function is an entry
 * point of its own and returns 1 if all was right. Built by `build`. */

typedef unsigned char UCHAR;
typedef unsigned short USHORT;
typedef unsigned int ULONG;
typedef unsigned long long ULONG64;
typedef int NTSTATUS;

#define STATUS_ACCESS_VIOLATION ((NTSTATUS)0xC0000005)
#define STATUS_UNWIND_CONSOLIDATE ((NTSTATUS)0x80000029)
#define STATUS_INTEGER_DIVIDE_BY_ZERO ((NTSTATUS)0xC0000094)
#define STATUS_ONE ((NTSTATUS)0xE0000001)
#define STATUS_TWO ((NTSTATUS)0xE0000002)

#define EXCEPTION_EXECUTE_HANDLER 1
#define EXCEPTION_CONTINUE_SEARCH 0
#define EXCEPTION_CONTINUE_EXECUTION (-1)

typedef struct {
    NTSTATUS Code;
    ULONG Flags;
    void *Record;
    ULONG64 Address;
    ULONG Count;
    ULONG64 Information[15];
} EXCEPTION_RECORD;

typedef struct {
    EXCEPTION_RECORD *Record;
    UCHAR *Context;
} EXCEPTION_POINTERS;

unsigned long _exception_code(void);
void *_exception_info(void);
int _abnormal_termination(void);

#define IMPORT __declspec(dllimport)
IMPORT void ExRaiseStatus(NTSTATUS);
IMPORT void RtlRaiseException(EXCEPTION_RECORD *);
IMPORT void RtlCaptureContext(void *);
IMPORT void RtlRestoreContext(void *, void *);
IMPORT void KeInitializeApc(void *, void *, int, void (*)(void *, void **, void **, void **, void **), void *,
                            void (*)(void *, void *, void *), char, void *);
IMPORT UCHAR KeInsertQueueApc(void *, void *, void *, ULONG);
IMPORT void RtlUnwindEx(void *, void *, EXCEPTION_RECORD *, void *, void *, void *);
IMPORT int _setjmp(void *, void *) __attribute__((returns_twice));
IMPORT int _setjmpex(void *, void *) __attribute__((returns_twice));
IMPORT void longjmp(void *, int);
IMPORT USHORT RtlCaptureStackBackTrace(ULONG, ULONG, void **, ULONG *);
IMPORT void qsort(void *, ULONG64, ULONG64, int (*)(const void *, const void *));
IMPORT UCHAR KeSynchronizeExecution(void *, UCHAR (*)(void *), void *);
IMPORT NTSTATUS IoCreateDevice(void *, ULONG, void *, ULONG, ULONG, UCHAR, void **);
IMPORT void *IoAllocateIrp(signed char, UCHAR);
IMPORT NTSTATUS IofCallDriver(void *, void *);
IMPORT void KeInitializeDpc(void *, void (*)(void *, void *, void *, void *), void *);
IMPORT UCHAR KeInsertQueueDpc(void *, void *, void *);

int _fltused;

static volatile ULONG trail;
static int *volatile nowhere = (int *)0x10;
static volatile int zero;
static int somewhere;
static int pair[2] = {2, 1};

#define NOINLINE __declspec(noinline)
#define EXPORT __declspec(dllexport) NOINLINE

static NOINLINE void step(ULONG digit) { trail = trail * 10 + digit; }
static NOINLINE void touch_memory(int *pointer) { *(volatile int *)pointer = 1; }
static NOINLINE int divide_hundred(int divisor) { return 100 / divisor; }

/* The compiler believes that only calls of functions that it cannot see raise exceptions. */
static void (*volatile touch)(int *) = touch_memory;
static int (*volatile divide)(int) = divide_hundred;

/* Callbacks of the kernel. */
static int raising_compare(const void *a, const void *b)
{
    (void)a;
    (void)b;
    __try {
        ExRaiseStatus(STATUS_ONE);
        step(9);
    } __finally {
        step(_abnormal_termination() ? 1 : 9);
    }
    return 0;
}

static int faulting_compare(const void *a, const void *b)
{
    (void)a;
    (void)b;
    touch(nowhere);
    return 0;
}

static NOINLINE void sort_frame(int (*compare)(const void *, const void *))
{
    __try {
        qsort(pair, 2, sizeof pair[0], compare);
        step(9);
    } __finally {
        step(2);
    }
}

static void (*volatile sorts)(int (*)(const void *, const void *)) = sort_frame;

/* out of a callback, through the kernel, through a __finally, to the handler; what was in
 * registers there is still right. */
static NOINLINE int caught(int a, int b, int c, int d, int e)
{
    volatile double twice = a * 2.0;
    double kept = twice + b;
    int sum = a * b + c * d;
    __try {
        sorts(raising_compare);
    } __except ((NTSTATUS)_exception_code() == STATUS_ONE) {
        step(3);
    }
    return sum == a * b + c * d && e == 5 && kept == a * 2.0 + b;
}

EXPORT int out_of_callback(void)
{
    trail = 0;
    return caught(1, 2, 3, 4, 5) && trail == 123;
}

EXPORT int fault_in_callback(void)
{
    trail = 0;
    __try {
        sorts(faulting_compare);
    } __except ((NTSTATUS)_exception_code() == STATUS_ACCESS_VIOLATION) {
        step(3);
    }
    return trail == 23;
}

EXPORT int often(void)
{
    int found = 0;
    for (int i = 0; i < 1000; i++) {
        __try {
            sorts(i & 1 ? raising_compare : faulting_compare);
        } __except (EXCEPTION_EXECUTE_HANDLER) {
            found++;
        }
    }
    return found == 1000;
}

/* a filter on the far side repairs the registers; the callback goes on. */
static NOINLINE int repair(EXCEPTION_POINTERS *pointers)
{
    ULONG64 *registers = (ULONG64 *)(pointers->Context + 0x78);
    for (int i = 0; i < 16; i++)
        if (registers[i] == 0x10)
            registers[i] = (ULONG64)&somewhere;
    return EXCEPTION_CONTINUE_EXECUTION;
}

EXPORT int continues(void)
{
    somewhere = 0;
    __try {
        qsort(pair, 2, sizeof pair[0], faulting_compare);
    } __except (repair(_exception_info())) {
        return 0;
    }
    return somewhere == 1;
}

/* a filter has exceptions of its own behind the kernel. */
static NOINLINE int sorting_filter(void)
{
    __try {
        qsort(pair, 2, sizeof pair[0], faulting_compare);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        return EXCEPTION_EXECUTE_HANDLER;
    }
    return EXCEPTION_CONTINUE_SEARCH;
}

EXPORT int in_filter(void)
{
    trail = 0;
    __try {
        sorts(raising_compare);
    } __except (sorting_filter()) {
        return (NTSTATUS)_exception_code() == STATUS_ONE && trail == 12;
    }
    return 0;
}

/* a __finally block between two frames of the kernel raises another one. */
static NOINLINE void careful_sort(void)
{
    __try {
        qsort(pair, 2, sizeof pair[0], faulting_compare);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        step(4);
    }
}

static void (*volatile sorts_carefully)(void) = careful_sort;

static int collide_compare(const void *a, const void *b)
{
    __try {
        return raising_compare(a, b);
    } __finally {
        /* In a function of its own: clang takes an __except in here for one around the __try. */
        sorts_carefully();
        ExRaiseStatus(STATUS_TWO);
    }
}

EXPORT int in_finally(void)
{
    trail = 0;
    __try {
        sorts(collide_compare);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        return (NTSTATUS)_exception_code() == STATUS_TWO && trail == 142;
    }
    return 0;
}

/* through IofCallDriver and a second routine of the kernel. */
static NTSTATUS dispatch(void *device, void *irp)
{
    (void)device;
    (void)irp;
    __try {
        qsort(pair, 2, sizeof pair[0], raising_compare);
    } __finally {
        step(5);
    }
    return 0;
}

EXPORT int out_of_dispatch(UCHAR *driver)
{
    void *device;
    UCHAR *irp;
    trail = 0;
    *(void **)(driver + 0x70) = (void *)dispatch;
    if (IoCreateDevice(driver, 0, 0, 0x22, 0, 0, &device) != 0)
        return 0;
    irp = IoAllocateIrp(*((signed char *)device + 0x4C), 0);
    if (!irp)
        return 0;
    *(*(UCHAR **)(irp + 0xB8) - 0x48) = 0; /* IRP_MJ_CREATE in the next location */
    __try {
        IofCallDriver(device, irp);
    } __except ((NTSTATUS)_exception_code() == STATUS_ONE) {
        step(6);
    }
    return trail == 156;
}

/* out of the routine of KeSynchronizeExecution: level and lock stay as they are. */
static UCHAR critical(void *context)
{
    (void)context;
    return (UCHAR)(100 / zero);
}

EXPORT int out_of_critical_section(void)
{
    static __declspec(align(16)) UCHAR interrupt[0x80];
    static ULONG64 lock;
    ULONG64 level = 99;
    *(ULONG64 **)(interrupt + 56) = &lock;
    interrupt[77] = 5;
    __try {
        KeSynchronizeExecution(interrupt, critical, 0);
    } __except ((NTSTATUS)_exception_code() == STATUS_INTEGER_DIVIDE_BY_ZERO) {
        __asm__ volatile("movq %%cr8, %0" : "=r"(level));
    }
    lock = 0;
    __asm__ volatile("movq %0, %%cr8" : : "r"(0ull));
    return level == 5;
}

/* the same, handled inside the routine. */
static UCHAR handled(void *context)
{
    UCHAR result = 0;
    (void)context;
    __try {
        result = (UCHAR)divide(zero);
    } __except ((NTSTATUS)_exception_code() == STATUS_INTEGER_DIVIDE_BY_ZERO) {
        result = 7;
    }
    return result;
}

EXPORT int inside_critical_section(void)
{
    static __declspec(align(16)) UCHAR interrupt[0x80];
    static ULONG64 lock;
    ULONG64 level = 99;
    UCHAR result;
    *(ULONG64 **)(interrupt + 56) = &lock;
    interrupt[77] = 5;
    result = KeSynchronizeExecution(interrupt, handled, 0);
    __asm__ volatile("movq %%cr8, %0" : "=r"(level));
    return result == 7 && level == 0 && lock == 0;
}

/* in a DPC, which ends before the entry point does. */
static void dpc_routine(void *dpc, void *context, void *one, void *two)
{
    (void)dpc;
    (void)one;
    (void)two;
    __try {
        __try {
            *(volatile int *)context = divide(zero);
        } __finally {
            step(1);
        }
    } __except ((NTSTATUS)_exception_code() == STATUS_INTEGER_DIVIDE_BY_ZERO) {
        step(2);
    }
}

EXPORT int in_dpc(void)
{
    static __declspec(align(16)) UCHAR dpc[64];
    trail = 0;
    KeInitializeDpc(dpc, dpc_routine, &somewhere);
    KeInsertQueueDpc(dpc, 0, 0);
    return trail == 12;
}

/* A DPC's exceptions are not those of what it interrupts. */
static void bad_dpc_routine(void *dpc, void *context, void *one, void *two)
{
    (void)dpc;
    (void)one;
    (void)two;
    *(volatile int *)context = 100 / zero;
}

EXPORT int unhandled_in_dpc(void)
{
    static __declspec(align(16)) UCHAR dpc[64];
    KeInitializeDpc(dpc, bad_dpc_routine, &somewhere);
    __try {
        KeInsertQueueDpc(dpc, 0, 0);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        return 1;
    }
    return 0;
}

/* a record of the driver's own, with parameters. */
EXPORT int own_record(void)
{
    EXCEPTION_RECORD record = {0};
    record.Code = STATUS_TWO;
    record.Count = 2;
    record.Information[1] = 77;
    __try {
        RtlRaiseException(&record);
    } __except (((EXCEPTION_POINTERS *)_exception_info())->Record->Information[1] == 77
                && ((EXCEPTION_POINTERS *)_exception_info())->Record->Count == 2) {
        return (NTSTATUS)_exception_code() == STATUS_TWO;
    }
    return 0;
}

/* back to where a context was captured. */
EXPORT int restores(void)
{
    static __declspec(align(16)) UCHAR context[1232];
    static volatile int times;
    times = 0;
    RtlCaptureContext(context);
    if (++times < 3)
        RtlRestoreContext(context, 0);
    return times == 3;
}

/* the frames of this driver on both sides of a routine of the kernel. */
static void *frames[16];
static volatile int count;

static int tracing_compare(const void *a, const void *b)
{
    (void)a;
    (void)b;
    ULONG hash = 0;
    count = RtlCaptureStackBackTrace(0, 16, frames, &hash);
    return 0;
}

static int is_in(int index, void *function)
{
    ULONG64 offset = (ULONG64)frames[index] - (ULONG64)function;
    return offset < 256;
}

EXPORT int back_trace(void)
{
    __try {
        sorts(tracing_compare);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        return 0;
    }
    if (count < 3 || !is_in(0, (void *)tracing_compare) || !is_in(1, (void *)sort_frame)
        || !is_in(2, (void *)back_trace))
        return 0;
    return RtlCaptureStackBackTrace(1, 16, frames, 0) == 0 && RtlCaptureStackBackTrace(0, 1, frames, 0) == 1
        && is_in(0, (void *)back_trace);
}

/* longjmp: the frame of the caller is its stack pointer, as nothing is allocated later. */
#define SETJMP(buffer, result) \
    do { \
        void *frame_; \
        __asm__ volatile("movq %%rsp, %0" : "=r"(frame_)); \
        result = _setjmpex(buffer, frame_); \
    } while (0)

typedef __declspec(align(16)) UCHAR JMP_BUF[256];
static JMP_BUF buffer;
static JMP_BUF *volatile nowhere_buffer = (JMP_BUF *)0x10;

/* without a frame: no handler runs; 0 is 1. */
static NOINLINE void jumping_frame(int value)
{
    __try {
        longjmp(buffer, value);
        step(9);
    } __finally {
        step(_abnormal_termination() ? 1 : 9);
    }
}

static void (*volatile jumps)(int) = jumping_frame;

EXPORT int jumps_directly(void)
{
    static volatile int first, second;
    trail = 0;
    first = _setjmp(buffer, 0);
    if (first == 0)
        jumps(7);
    second = _setjmp(buffer, 0);
    if (second == 0)
        jumps(0);
    return first == 7 && second == 1 && trail == 0;
}

/* with one: those of the frames that are left run, and those of the target that do not hold the
 * call of setjmp. */
static NOINLINE void jumping_middle(void)
{
    __try {
        jumps(5);
    } __finally {
        step(2);
    }
}

static void (*volatile jumps_further)(void) = jumping_middle;

EXPORT int jumps_out_of_frames(void)
{
    volatile int result;
    trail = 0;
    SETJMP(buffer, result);
    if (result == 0) {
        __try {
            jumps_further();
        } __finally {
            step(3);
        }
    }
    step(result);
    return trail == 1235;
}

/* registers that functions preserve are what they were, through a routine of the kernel. */
static int jumping_compare(const void *a, const void *b)
{
    (void)a;
    (void)b;
    jumps(6);
    return 0;
}

EXPORT int jumps_out_of_callbacks(void)
{
    int right = 0;
    for (int round = 0; round < 100; round++) {
        volatile int result;
        trail = 0;
        SETJMP(buffer, result);
        if (result == 0)
            sorts(jumping_compare);
        right += result == 6 && trail == 12;
        result = _setjmp(buffer, 0);
        if (result == 0)
            sorts(jumping_compare);
        right += result == 6 && trail == 12;
    }
    /* What is raised now finds its handler. */
    return right == 200 && caught(1, 2, 3, 4, 5);
}

/* out of a filter, a __finally and an __except block. */
static NOINLINE int jumping_filter(void)
{
    jumps(8);
    return EXCEPTION_EXECUTE_HANDLER;
}

static NOINLINE void filter_frame(void)
{
    __try {
        touch(nowhere);
    } __except (jumping_filter()) {
        step(9);
    }
}

static NOINLINE void finally_frame(void)
{
    __try {
        touch(nowhere);
    } __finally {
        jumps(8);
    }
}

static NOINLINE void handler_frame(void)
{
    __try {
        touch(nowhere);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        jumps(8);
    }
}

static void (*volatile handling[])(void) = {filter_frame, finally_frame, handler_frame};

EXPORT int jumps_out_of_handlers(void)
{
    static volatile int index, right;
    volatile int result;
    right = 0;
    for (index = 0; index < 3; index++) {
        trail = 0;
        SETJMP(buffer, result);
        if (result == 0) {
            __try {
                handling[index]();
            } __except (EXCEPTION_EXECUTE_HANDLER) {
                step(9);
            }
        }
        right += result == 8 && trail == 1;
    }
    return right == 3 && caught(1, 2, 3, 4, 5);
}

/* buffers that are none. */
EXPORT int jumps_nowhere(void)
{
    trail = 0;
    __try {
        _setjmp(*nowhere_buffer, 0);
    } __except ((NTSTATUS)_exception_code() == STATUS_ACCESS_VIOLATION) {
        step(1);
    }
    __try {
        longjmp(*nowhere_buffer, 1);
    } __except ((NTSTATUS)_exception_code() == STATUS_ACCESS_VIOLATION) {
        step(2);
    }
    return trail == 12;
}

/* an empty one. */
EXPORT int jumps_to_no_stack(void)
{
    static JMP_BUF empty;
    longjmp(empty, 1);
    return 0;
}

/* a consolidated unwinding, as catch blocks of C++ end: the routine runs while the frames are still
 * there, and says where to go on. */
static ULONG64 consolidates(EXCEPTION_RECORD *record)
{
    step(5);
    return record->Information[2];
}

static NOINLINE void consolidating_frame(void *frame, void *target)
{
    EXCEPTION_RECORD record = {0};
    record.Code = STATUS_UNWIND_CONSOLIDATE;
    record.Count = 3;
    record.Information[0] = (ULONG64)consolidates;
    record.Information[2] = (ULONG64)target;
    __try {
        RtlUnwindEx(frame, 0, &record, (void *)77, 0, 0);
    } __finally {
        step(4);
    }
}

static void (*volatile consolidate)(void *, void *) = consolidating_frame;

EXPORT int consolidated(void)
{
    void *frame;
    int result;
    trail = 0;
    __asm__ volatile("movq %%rsp, %0" : "=r"(frame));
    /* What the buffer says that setjmp returns to. */
    result = _setjmp(buffer, 0);
    if (result == 0)
        consolidate(frame, *(void **)(buffer + 80));
    return result == 77 && trail == 45;
}

/* in a DPC, through three frames, from a routine of the kernel that raises. */
static NOINLINE void dpc_frame(void)
{
    __try {
        sorts(raising_compare);
        step(9);
    } __finally {
        step(3);
    }
}

static void (*volatile dpc_frames)(void) = dpc_frame;

static void deep_dpc_routine(void *dpc, void *context, void *one, void *two)
{
    (void)dpc;
    (void)context;
    (void)one;
    (void)two;
    __try {
        dpc_frames();
    } __except ((NTSTATUS)_exception_code() == STATUS_ONE) {
        step(4);
    }
}

EXPORT int deep_in_dpc(void)
{
    static __declspec(align(16)) UCHAR dpc[64];
    trail = 0;
    KeInitializeDpc(dpc, deep_dpc_routine, 0);
    __try {
        KeInsertQueueDpc(dpc, 0, 0);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        step(9);
    }
    return trail == 1234;
}

/* An exception in a filter is one in the frames around it: the filter is asked about that one, too. */
static volatile int asked;

static NOINLINE int faulty_filter(void)
{
    if (++asked == 1)
        ExRaiseStatus(STATUS_TWO);
    return EXCEPTION_EXECUTE_HANDLER;
}

EXPORT int out_of_filter(void)
{
    NTSTATUS code = 0;
    trail = 0;
    asked = 0;
    __try {
        sorts(raising_compare);
    } __except (faulty_filter()) {
        code = (NTSTATUS)_exception_code();
        step(5);
    }
    return asked == 2 && code == STATUS_TWO && trail == 125;
}

/* A handler two frames out is reached although a __finally on the way has handled one of its own. */
static NOINLINE void busy_frame(void)
{
    __try {
        sorts(raising_compare);
    } __finally {
        sorts_carefully();
    }
}

static void (*volatile busy)(void) = busy_frame;

EXPORT int while_unwinding(void)
{
    trail = 0;
    __try {
        busy();
    } __except ((NTSTATUS)_exception_code() == STATUS_ONE) {
        step(6);
    }
    return trail == 1246;
}

/* An APC is no part of what it interrupts. */
static void bad_apc_routine(void *apc, void **normal, void **context, void **one, void **two)
{
    (void)apc;
    (void)normal;
    (void)context;
    (void)one;
    (void)two;
    somewhere = 100 / zero;
}

EXPORT int unhandled_in_apc(void)
{
    static __declspec(align(16)) UCHAR apc[88];
    void *thread;
    __asm__ volatile("movq %%gs:0x188, %0" : "=r"(thread));
    KeInitializeApc(apc, thread, 0, bad_apc_routine, 0, 0, 0, 0);
    __try {
        KeInsertQueueApc(apc, 0, 0, 0);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        return 1;
    }
    return 0;
}

/* Nobody handles this one. */
EXPORT int unhandled(void)
{
    sorts(faulting_compare);
    return 0;
}

NTSTATUS DriverEntry(void *driver, void *path)
{
    (void)driver;
    (void)path;
    return 0;
}
