"""Loads a driver under speakeasy, runs its DriverEntry, and calls the ISR that it connects.

speakeasy knows neither HalGetInterruptVector nor IoConnectInterrupt, so both are supplied here; the
latter only remembers the routine. Prints seconds.
"""
import statistics
import sys
import time

import speakeasy

CALLS = 50


def run(path):
    connected = {}

    def get_vector(emu, name, func, params):
        emu.mem_write(params[4], b"\x06")
        emu.mem_write(params[5], (1).to_bytes(8, "little"))
        return 0x60

    def connect(emu, name, func, params):
        connected["isr"], connected["context"] = params[1], params[2]
        emu.mem_write(params[0], (0x1234000).to_bytes(8, "little"))
        return 0

    start = time.perf_counter()
    emulator = speakeasy.Speakeasy()
    module = emulator.load_module(path)
    emulator.add_api_hook(get_vector, "hal", "HalGetInterruptVector", argc=6)
    emulator.add_api_hook(connect, "ntoskrnl", "IoConnectInterrupt", argc=11)
    loaded = time.perf_counter()
    emulator.run_module(module, all_entrypoints=False)
    entered = time.perf_counter()
    calls = []
    for _ in range(CALLS if connected else 0):
        begin = time.perf_counter()
        emulator.call(connected["isr"], [0x1234000, connected["context"]])
        calls.append(time.perf_counter() - begin)
    errors = [point.get("error") for point in emulator.get_report()["entry_points"] if point.get("error")]
    return loaded - start, entered - loaded, statistics.median(calls) if calls else None, errors[:1]


load, entry, isr, errors = run(sys.argv[1])
print(f"speakeasy load {load:.6f} entry {entry:.6f} isr {isr if isr is None else format(isr, '.6f')} errors {errors}")
