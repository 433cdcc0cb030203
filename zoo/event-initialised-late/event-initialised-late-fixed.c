/* The same without the mistake. */
#define FIXED
#include "event-initialised-late.c"
