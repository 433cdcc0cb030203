/* The same without the mistake. */
#define FIXED
#include "remove-queue-dpc.c"
