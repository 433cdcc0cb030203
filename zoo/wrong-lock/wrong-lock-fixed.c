/* The same without the mistake. */
#define FIXED
#include "wrong-lock.c"
