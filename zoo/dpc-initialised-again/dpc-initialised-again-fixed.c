/* The same without the mistake. */
#define FIXED
#include "dpc-initialised-again.c"
