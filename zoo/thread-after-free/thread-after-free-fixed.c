/* The same without the mistake. */
#define FIXED
#include "thread-after-free.c"
