"""Loads a driver under qiling and runs its DriverEntry as far as qiling gets. Prints seconds.

qiling wants a Windows installation beside it; an empty one and an empty registry are made up, since
none may be shipped. It has no interrupts, so no ISR is called.
"""
import os
import shutil
import sys
import tempfile
import time

import qiling.os.windows.registry as registry


class EmptyHive:
    def __init__(self, *_):
        pass

    def exists(self, *_):
        return False

    def read(self, *_):
        return (None, None)


registry.RegHive = EmptyHive

from qiling import Qiling  # noqa: E402
from qiling.const import QL_VERBOSE  # noqa: E402

root = tempfile.mkdtemp()
try:
    for folder in ("Windows/System32/drivers", "Windows/registry"):
        os.makedirs(os.path.join(root, folder))
    target = shutil.copy(sys.argv[1], os.path.join(root, "Windows/System32/drivers/driver.sys"))
    start = time.perf_counter()
    machine = Qiling([target], root, verbose=QL_VERBOSE.OFF, libcache=False)
    loaded = time.perf_counter()
    stopped = "ran to the end"
    try:
        machine.run()
    except Exception as error:  # what qiling raises when it meets something that it does not know
        stopped = f"stopped: {type(error).__name__}"
    print(f"qiling load {loaded - start:.6f} entry {time.perf_counter() - loaded:.6f} isr None {stopped}")
finally:
    shutil.rmtree(root)
