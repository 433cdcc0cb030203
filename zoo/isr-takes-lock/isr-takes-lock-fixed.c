/* The same without the mistake. */
#define FIXED
#include "isr-takes-lock.c"
