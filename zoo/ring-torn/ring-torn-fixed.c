/* The same without the mistake. */
#define FIXED
#include "ring-torn.c"
