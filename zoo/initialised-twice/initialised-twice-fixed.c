/* The same without the mistake. */
#define FIXED
#include "initialised-twice.c"
