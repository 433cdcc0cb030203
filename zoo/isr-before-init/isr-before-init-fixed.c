/* The same without the mistake. */
#define FIXED
#include "isr-before-init.c"
