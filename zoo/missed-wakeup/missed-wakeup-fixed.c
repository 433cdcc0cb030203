/* The same without the mistake. */
#define FIXED
#include "missed-wakeup.c"
