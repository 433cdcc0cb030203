/* A driver that exports a routine and has no entry point. Built by `build`. */

__declspec(dllexport) int Answer(int question) { return question + 40; }
