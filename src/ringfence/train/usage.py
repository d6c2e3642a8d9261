"""What this process has used so far."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path

_STARTTIME = 19  # field 22 of /proc/self/stat, counted after the command's closing bracket (proc(5))


def peak_memory(status: Path = Path("/proc/self/status")) -> int:
    """Return the largest resident size so far, in bytes.

    VmHWM where the system shows it: ru_maxrss of a child starts at the size of the process that forked it.
    """
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure_anew(references: Path = Path("/proc/self/clear_refs")) -> int:
    """Return the peak so far, and let `peak_memory` count from here on; 0 where the system does not do that, and it counts on.

    Source: proc(5), clear_refs: 5 sets the peak to what is resident now.
    """
    found = peak_memory()
    try:
        references.write_text("5")
    except OSError:
        return 0
    return found


def age() -> float:
    """Return the seconds since this process began, the imports included."""
    stat = Path("/proc/self/stat")
    if not stat.exists():
        return time.process_time()
    ticks = int(stat.read_text().rpartition(")")[2].split()[_STARTTIME])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
