/* The same without the mistake. */
#define FIXED
#include "timer-after-free.c"
