/* A driver that handles exceptions in every way that the compiler has. Each exported function is
 * an entry point of its own and returns 1 if all was right. Built by `build`. */

typedef unsigned char UCHAR;
typedef unsigned short USHORT;
typedef unsigned int ULONG;
typedef unsigned long long ULONG64;
typedef int NTSTATUS;

#define STATUS_ACCESS_VIOLATION ((NTSTATUS)0xC0000005)
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

typedef struct {
    USHORT Length, MaximumLength;
    void *Buffer;
} UNICODE_STRING;

unsigned long _exception_code(void);
void *_exception_info(void);
int _abnormal_termination(void);

__declspec(dllimport) void ExRaiseStatus(NTSTATUS);
__declspec(dllimport) void *MmGetSystemRoutineAddress(UNICODE_STRING *);
__declspec(dllimport) void RtlCaptureContext(void *);

int _fltused;

static volatile ULONG trail;
static int *volatile nowhere = (int *)0x10;
static volatile int zero;
static int somewhere;

#define NOINLINE __declspec(noinline)
#define EXPORT __declspec(dllexport) NOINLINE

static NOINLINE void step(ULONG digit) { trail = trail * 10 + digit; }

/* The compiler believes that only calls of functions that it cannot see raise exceptions. */
static NOINLINE void touch_memory(int *pointer) { *(volatile int *)pointer = 1; }
static NOINLINE int divide_hundred(int divisor) { return 100 / divisor; }
static void (*volatile touch)(int *) = touch_memory;
static int (*volatile divide)(int) = divide_hundred;

/* a fault in a function without a frame. */
EXPORT int without_frame(void)
{
    __try {
        touch(nowhere);
        return 0;
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        return (NTSTATUS)_exception_code() == STATUS_ACCESS_VIOLATION;
    }
}

/* through three frames, whose __finally blocks run from the inside out. */
static NOINLINE void innermost_frame(void)
{
    __try {
        touch(nowhere);
        step(9);
    } __finally {
        step(_abnormal_termination() ? 1 : 9);
    }
}

static void (*volatile innermost)(void) = innermost_frame;

static NOINLINE void middle_frame(void)
{
    __try {
        innermost();
        step(9);
    } __finally {
        step(2);
    }
}

static void (*volatile middle)(void) = middle_frame;

EXPORT int three_frames(void)
{
    trail = 0;
    __try {
        middle();
        step(9);
    } __except (step(0), EXCEPTION_EXECUTE_HANDLER) {
        step(3);
    }
    return trail == 123;
}

/* raised by a routine of the kernel, with its own code; locals keep their values. */
static NOINLINE int raised_with(int argument)
{
    int local = argument * 3;
    __try {
        ExRaiseStatus(STATUS_ONE);
        return 0;
    } __except ((NTSTATUS)_exception_code() == STATUS_ONE) {
        return local == argument * 3;
    }
}

EXPORT int raised(void) { return raised_with(14); }

/* a bad pointer that the kernel was given. */
EXPORT int bad_argument(void)
{
    __try {
        MmGetSystemRoutineAddress((UNICODE_STRING *)nowhere);
        return 0;
    } __except ((NTSTATUS)_exception_code() == STATUS_ACCESS_VIOLATION) {
        return 1;
    }
}

/* a filter that declines; the next one out is asked, and told the address. */
static NOINLINE int decline(EXCEPTION_POINTERS *pointers, ULONG digit, int verdict)
{
    step(digit);
    return pointers->Record->Code == STATUS_ACCESS_VIOLATION && pointers->Record->Count == 2
        && pointers->Record->Information[0] == 1 && pointers->Record->Information[1] == 0x10 ? verdict : 1;
}

static NOINLINE void declining_frame(void)
{
    __try {
        touch(nowhere);
    } __except (decline(_exception_info(), 1, EXCEPTION_CONTINUE_SEARCH)) {
        step(9);
    }
}

static void (*volatile declines)(void) = declining_frame;

EXPORT int search_goes_on(void)
{
    trail = 0;
    __try {
        declines();
    } __except (decline(_exception_info(), 2, EXCEPTION_EXECUTE_HANDLER)) {
        step(3);
    }
    return trail == 123;
}

/* a filter repairs the registers and the instruction is tried again. */
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
        touch(nowhere);
    } __except (repair(_exception_info())) {
        return 0;
    }
    return somewhere == 1;
}

/* an exception in an __except block, handled further out. */
EXPORT int in_handler(void)
{
    __try {
        __try {
            ExRaiseStatus(STATUS_ONE);
        } __except (EXCEPTION_EXECUTE_HANDLER) {
            ExRaiseStatus(STATUS_TWO);
        }
    } __except ((NTSTATUS)_exception_code() == STATUS_TWO) {
        return 1;
    }
    return 0;
}

/* an exception inside a filter, handled inside the filter. */
static NOINLINE int careful_filter(void)
{
    __try {
        touch(nowhere);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        return EXCEPTION_EXECUTE_HANDLER;
    }
    return EXCEPTION_CONTINUE_SEARCH;
}

EXPORT int in_filter(void)
{
    __try {
        ExRaiseStatus(STATUS_ONE);
    } __except (careful_filter()) {
        return (NTSTATUS)_exception_code() == STATUS_ONE;
    }
    return 0;
}

/* an exception in a __finally block takes the place of the first one. */
static NOINLINE void raising_frame(void)
{
    __try {
        ExRaiseStatus(STATUS_ONE);
    } __finally {
        step(1);
        ExRaiseStatus(STATUS_TWO);
    }
}

static void (*volatile raises_finally)(void) = raising_frame;

EXPORT int in_finally(void)
{
    trail = 0;
    __try {
        raises_finally();
    } __except ((NTSTATUS)_exception_code() == STATUS_TWO || (step(2), EXCEPTION_EXECUTE_HANDLER)) {
        step(3);
    }
    /* The filter accepts the first exception, and the unwind towards it raises the second. It is
     * handled as well, and the block that raised it does not run again. */
    return trail == 213;
}

/* a division by zero. */
EXPORT int divides(void)
{
    __try {
        return divide(zero) & 0;
    } __except ((NTSTATUS)_exception_code() == STATUS_INTEGER_DIVIDE_BY_ZERO) {
        return 1;
    }
}

/* many times, without wear. */
EXPORT int often(void)
{
    int caught = 0;
    for (int i = 0; i < 1000; i++) {
        __try {
            if (i & 1)
                touch(nowhere);
            else
                ExRaiseStatus(STATUS_ONE);
        } __except (EXCEPTION_EXECUTE_HANDLER) {
            caught++;
        }
    }
    return caught == 1000;
}

/* leaving a __try with an exception after floating-point registers were in use. */
static NOINLINE double kept(double a, double b)
{
    double sum = a + b, product = a * b;
    __try {
        ExRaiseStatus(STATUS_ONE);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
    }
    return sum + product;
}

EXPORT int floats(void)
{
    volatile double a = 2.0, b = 5.0;
    double before = a - b;
    double got = kept(a, b);
    return got == 17.0 && before == a - b;
}

/* the caller's registers. */
static __declspec(align(16)) UCHAR context[1232];

EXPORT int captures(void)
{
    RtlCaptureContext(context);
    ULONG64 rip = *(ULONG64 *)(context + 0xF8), rsp = *(ULONG64 *)(context + 0x98);
    return rip > (ULONG64)captures && rip < (ULONG64)captures + 64 && rsp % 16 == 0;
}

/* Nobody handles this one. */
EXPORT int unhandled(void)
{
    __try {
        ExRaiseStatus(STATUS_ONE);
    } __except ((NTSTATUS)_exception_code() == STATUS_TWO) {
        return 0;
    }
    return 0;
}

NTSTATUS DriverEntry(void *driver, void *path)
{
    (void)driver;
    (void)path;
    return 0;
}
