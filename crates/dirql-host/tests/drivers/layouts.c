/* A driver that reads what others read directly: members of the kernel's structures by their
 * offsets, in the state in which the kernel's routines leave them. `layouts` returns 1, or 100 and
 * the number of the first group that is wrong. Built by `build`. */

typedef unsigned char UCHAR;
typedef unsigned short USHORT;
typedef unsigned int ULONG;
typedef unsigned long long ULONG64;
typedef int NTSTATUS;

#define IMPORT __declspec(dllimport)
#define EXPORT __declspec(dllexport) __declspec(noinline)

IMPORT void KeInitializeDpc(void *, void *, void *);
IMPORT void KeSetImportanceDpc(void *, ULONG);
IMPORT void KeInitializeEvent(void *, ULONG, UCHAR);
IMPORT int KeSetEvent(void *, int, UCHAR);
IMPORT void KeInitializeTimerEx(void *, ULONG);
IMPORT UCHAR KeSetTimerEx(void *, long long, int, void *);
IMPORT UCHAR KeCancelTimer(void *);
IMPORT void KeInitializeMutex(void *, ULONG);
IMPORT void KeInitializeSemaphore(void *, int, int);
IMPORT void KeInitializeDeviceQueue(void *);
IMPORT UCHAR KeInsertDeviceQueue(void *, void *);
IMPORT UCHAR KeAcquireSpinLockRaiseToDpc(ULONG64 *);
IMPORT void KeReleaseSpinLock(ULONG64 *, UCHAR);
IMPORT void KeAcquireInStackQueuedSpinLock(ULONG64 *, void *);
IMPORT void KeReleaseInStackQueuedSpinLock(void *);
IMPORT void ExAcquireFastMutex(void *);
IMPORT void ExReleaseFastMutex(void *);
IMPORT void KeEnterCriticalRegion(void);
IMPORT void KeLeaveCriticalRegion(void);
IMPORT int KeSetPriorityThread(void *, int);
IMPORT void *IoAllocateMdl(void *, ULONG, UCHAR, UCHAR, void *);
IMPORT void MmBuildMdlForNonPagedPool(void *);
IMPORT void IoFreeMdl(void *);
IMPORT void *ExAllocatePoolWithTag(ULONG, ULONG64, ULONG);
IMPORT void ExFreePoolWithTag(void *, ULONG);
IMPORT NTSTATUS IoCreateDevice(void *, ULONG, void *, ULONG, ULONG, UCHAR, void **);
IMPORT void IoDeleteDevice(void *);
IMPORT void *IoAllocateIrp(signed char, UCHAR);
IMPORT void IoFreeIrp(void *);

#define AT(type, base, offset) (*(volatile type *)((UCHAR *)(base) + (offset)))
#define POINTER(base, offset) AT(ULONG64, base, offset)
#define IS_EMPTY(base, offset) \
    (POINTER(base, offset) == (ULONG64)(base) + (offset) && POINTER(base, (offset) + 8) == (ULONG64)(base) + (offset))

static ULONG64 from_gs(int which)
{
    ULONG64 value = 0;
    ULONG number = 0;
    switch (which) {
    case 0x18: __asm__ volatile("movq %%gs:0x18, %0" : "=r"(value)); return value;
    case 0x20: __asm__ volatile("movq %%gs:0x20, %0" : "=r"(value)); return value;
    case 0x184: __asm__ volatile("movl %%gs:0x184, %0" : "=r"(number)); return number;
    default: __asm__ volatile("movq %%gs:0x188, %0" : "=r"(value)); return value;
    }
}

static __declspec(align(16)) UCHAR object[256];
static __declspec(align(16)) UCHAR other[64];

static int dpc(void)
{
    KeInitializeDpc(object, (void *)dpc, other);
    int right = object[0] == 19 && object[1] == 1 && AT(USHORT, object, 2) == 0 && POINTER(object, 24) == (ULONG64)dpc
        && POINTER(object, 32) == (ULONG64)other && POINTER(object, 56) == 0;
    KeSetImportanceDpc(object, 2);
    return right && object[1] == 2;
}

static int event(void)
{
    KeInitializeEvent(object, 1, 0);
    int right = object[0] == 1 && object[2] == 6 && AT(int, object, 4) == 0 && IS_EMPTY(object, 8);
    KeSetEvent(object, 0, 0);
    return right && AT(int, object, 4) == 1;
}

static int timer(void)
{
    KeInitializeTimerEx(object, 0);
    // Byte 2 is the size until Windows Server 2003, and 0 from Windows Vista on.
    int right = object[0] == 8 && (object[2] == 16 || object[2] == 0) && IS_EMPTY(object, 8);
    KeSetTimerEx(object, -1000000, 5, other);
    right = right && POINTER(object, 24) != 0 && POINTER(object, 48) == (ULONG64)other && AT(int, object, 60) == 5;
    return right && KeCancelTimer(object) == 1;
}

static int mutex(void)
{
    KeInitializeMutex(object, 0);
    return object[0] == 2 && object[2] == 14 && AT(int, object, 4) == 1 && IS_EMPTY(object, 8) && POINTER(object, 40) == 0
        && object[49] == 1;
}

static int semaphore(void)
{
    KeInitializeSemaphore(object, 3, 7);
    return object[0] == 5 && object[2] == 8 && AT(int, object, 4) == 3 && IS_EMPTY(object, 8) && AT(int, object, 24) == 7;
}

static int device_queue(void)
{
    KeInitializeDeviceQueue(object);
    int right = AT(USHORT, object, 0) == 20 && AT(USHORT, object, 2) == 40 && IS_EMPTY(object, 8)
        && (POINTER(object, 32) & 0xFF) == 0;
    __asm__ volatile("movq %0, %%cr8" : : "r"(2ull));
    right = right && KeInsertDeviceQueue(object, other) == 0 && (POINTER(object, 32) & 0xFF) == 1;
    __asm__ volatile("movq %0, %%cr8" : : "r"(0ull));
    return right;
}

static int spin_lock(void)
{
    ULONG64 lock = 0, handle[3];
    UCHAR old = KeAcquireSpinLockRaiseToDpc(&lock);
    int right = (lock & 1) == 1 && old == 0;
    KeReleaseSpinLock(&lock, old);
    right = right && lock == 0;
    KeAcquireInStackQueuedSpinLock(&lock, handle);
    right = right && lock != 0 && (handle[1] & ~(ULONG64)3) == (ULONG64)&lock && (UCHAR)handle[2] == 0;
    KeReleaseInStackQueuedSpinLock(handle);
    return right && lock == 0;
}

/* As the header's ExInitializeFastMutex makes it. */
static int fast_mutex(void)
{
    AT(int, object, 0) = 1;
    POINTER(object, 8) = 0;
    AT(ULONG, object, 16) = 0;
    KeInitializeEvent(object + 24, 1, 0);
    ExAcquireFastMutex(object);
    int right = AT(int, object, 0) == 0 && POINTER(object, 8) == from_gs(0x188) && AT(ULONG, object, 48) == 0;
    ExReleaseFastMutex(object);
    return right && AT(int, object, 0) == 1 && POINTER(object, 8) == 0;
}

static int processor(void)
{
    ULONG64 kpcr = from_gs(0x18), prcb = from_gs(0x20);
    return prcb == kpcr + 0x180 && POINTER(prcb, 8) == from_gs(0x188) && AT(ULONG, prcb, 4) == from_gs(0x184)
        && from_gs(0x184) == 0;
}

/* The header's inline critical region, in the layout of Windows Server 2003. */
static int thread(void)
{
    ULONG64 self = from_gs(0x188);
    short before = AT(short, self, 436);
    KeEnterCriticalRegion();
    int right = AT(short, self, 436) == before - 1;
    KeLeaveCriticalRegion();
    return right && AT(short, self, 436) == before;
}

static int priority(void)
{
    void *self = (void *)from_gs(0x188);
    int before = KeSetPriorityThread(self, 11);
    int right = AT(UCHAR, self, 147) == 11;
    KeSetPriorityThread(self, before);
    return right && AT(UCHAR, self, 147) == before;
}

static int mdl(void)
{
    UCHAR *pool = ExAllocatePoolWithTag(0, 8192, 'tyaL');
    UCHAR *list = IoAllocateMdl(pool + 0x10, 0x1200, 0, 0, 0);
    MmBuildMdlForNonPagedPool(list);
    int right = POINTER(list, 0) == 0 && AT(USHORT, list, 8) == 48 + 2 * 8 && (AT(USHORT, list, 10) & 4) && POINTER(list, 24) == (ULONG64)pool + 0x10
        && POINTER(list, 32) == (ULONG64)pool && AT(ULONG, list, 40) == 0x1200 && AT(ULONG, list, 44) == 0x10
        && POINTER(list, 56) == POINTER(list, 48) + 1;
    IoFreeMdl(list);
    ExFreePoolWithTag(pool, 'tyaL');
    return right;
}

/* Blocks of a page or more, and those that only just fit into one, begin at a page. */
static int pool(void)
{
    static const ULONG sizes[] = {4065, 4080, 4095, 4096, 4097, 10000};
    int right = 1;
    for (int i = 0; i < 6; i++) {
        void *block = ExAllocatePoolWithTag(0, sizes[i], 'looP');
        right = right && block && ((ULONG64)block & 0xFFF) == 0;
        ExFreePoolWithTag(block, 'looP');
    }
    void *small = ExAllocatePoolWithTag(0, 4064, 'looP');
    right = right && ((ULONG64)small & 15) == 0;
    ExFreePoolWithTag(small, 'looP');
    return right;
}

static int device(void *driver)
{
    void *made;
    if (IoCreateDevice(driver, 40, 0, 0x22, 0x100, 0, &made) != 0)
        return 0;
    int right = AT(USHORT, made, 0) == 3 && AT(int, made, 4) == 0 && POINTER(made, 8) == (ULONG64)driver && POINTER(driver, 8) == (ULONG64)made
        && AT(ULONG, made, 0x34) == 0x100 && POINTER(made, 0x40) == (ULONG64)made + 0x150 && AT(ULONG, made, 0x48) == 0x22
        && AT(UCHAR, made, 0x4C) == 1 && (AT(ULONG, made, 0x30) & 0x80);
    IoDeleteDevice(made);
    return right && POINTER(driver, 8) == 0;
}

static int irp(void)
{
    UCHAR *made = IoAllocateIrp(3, 0);
    int right = AT(USHORT, made, 0) == 6 && AT(USHORT, made, 2) == 0xD0 + 3 * 0x48 && AT(signed char, made, 0x42) == 3
        && AT(signed char, made, 0x43) == 4 && POINTER(made, 0xB8) == (ULONG64)made + 0xD0 + 3 * 0x48 && IS_EMPTY(made, 0x20);
    IoFreeIrp(made);
    return right;
}

static int driver_object(void *driver, void *path)
{
    return AT(USHORT, driver, 0) == 4 && AT(USHORT, driver, 2) == 0x150 && POINTER(driver, 0x18) != 0 && AT(ULONG, driver, 0x20) != 0
        && POINTER(driver, 0x30) != 0 && POINTER(driver, 0x58) != 0 && POINTER(driver, 0x70) == POINTER(driver, 0x148)
        && AT(USHORT, path, 0) > 0 && POINTER(path, 8) != 0;
}

static int shared_data(void)
{
    ULONG64 page = 0xFFFFF78000000000;
    ULONG64 before = AT(ULONG64, page, 8);
    while (AT(ULONG64, page, 0x320) < 128) {
    }
    return AT(ULONG64, page, 8) >= before + 128 * 150000 && AT(ULONG64, page, 0x14) > 0 && AT(ULONG, page, 0x26C) >= 5
        && AT(USHORT, page, 0x30) == 'C';
}

EXPORT int layouts(void *driver, void *path)
{
    int results[] = {dpc(), event(), timer(), mutex(), semaphore(), device_queue(), spin_lock(), fast_mutex(), processor(), thread(),
                     priority(), mdl(), pool(), device(driver), irp(), driver_object(driver, path), shared_data()};
    for (int i = 0; i < (int)(sizeof results / sizeof results[0]); i++)
        if (!results[i])
            return 100 + i;
    return 1;
}

NTSTATUS DriverEntry(void *driver, void *path)
{
    (void)driver;
    (void)path;
    return 0;
}
