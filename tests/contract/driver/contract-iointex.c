/* The same driver with the library for systems before Windows Vista. */
#define CONTRACT_IOINTEX
#include "contract.c"
