/* The same without the mistake. */
#define FIXED
#include "cancel-and-drain.c"
