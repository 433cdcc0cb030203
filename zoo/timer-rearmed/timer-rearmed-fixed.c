/* The same without the mistake. */
#define FIXED
#include "timer-rearmed.c"
