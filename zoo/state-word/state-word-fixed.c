/* The same without the mistake. */
#define FIXED
#include "state-word.c"
