/* The same without the mistake. */
#define FIXED
#include "stop-and-write.c"
