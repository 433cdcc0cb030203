/* The same without the mistake. */
#define FIXED
#include "work-item-after-free.c"
