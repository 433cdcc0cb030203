/* The same without the mistake. */
#define FIXED
#include "dpc-on-two-processors.c"
