/* The same without the mistake. */
#define FIXED
#include "lock-inversion.c"
