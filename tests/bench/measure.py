"""tests/bench/measure.py: processes and what they cost: wall time, CPU seconds, peak memory, bytes on disk."""

import os
import signal
import subprocess
import sys
import time

sys.dont_write_bytecode = True

TICKS = os.sysconf("SC_CLK_TCK")


class Cost:
    """What a process used: seconds of wall time and of CPU (user and system), peak memory in bytes."""

    def __init__(self, wall, cpu, memory, out=b"", err=b""):
        self.wall, self.cpu, self.memory, self.out, self.err = wall, cpu, memory, out, err


class Failed(Exception):
    pass


def run(command, out_path=None, timeout=900, accept=(0,)):
    """Runs a command to its end. Its stdout goes to out_path, or into the Cost."""
    out_name = out_path or os.path.join(os.environ["BENCH_WORK"], "stdout")
    err_name = os.path.join(os.environ["BENCH_WORK"], "stderr")
    with open(out_name, "wb") as out, open(err_name, "wb") as err:
        start = time.monotonic()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        alarm = signal.signal(signal.SIGALRM, lambda *_: process.kill())
        signal.alarm(timeout)
        try:
            _, status, usage = os.wait4(process.pid, 0)
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, alarm)
        wall = time.monotonic() - start
        process.returncode = os.waitstatus_to_exitcode(status)
    with open(err_name, "rb") as f:
        err_text = f.read()
    if process.returncode not in accept:
        raise Failed("%s: exit status %d: %s" % (" ".join(command)[:200], process.returncode,
                                                 err_text.decode(errors="replace")[-500:]))
    out_text = b""
    if out_path is None:
        with open(out_name, "rb") as f:
            out_text = f.read()
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, out_text, err_text)


def median_run(command, times, out_path=None, timeout=900):
    """The median by wall time of so many runs, after one that is not counted when there are several."""
    if times > 1:
        run(command, out_path, timeout)
    costs = sorted((run(command, out_path, timeout) for _ in range(times)), key=lambda c: c.wall)
    return costs[len(costs) // 2]


def cpu_of(pid):
    """CPU seconds that a running process has used so far."""
    with open("/proc/%d/stat" % pid) as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def peak_memory_of(pid):
    with open("/proc/%d/status" % pid) as f:
        for line in f:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def files_below(directory, suffix=""):
    found = {}
    for path, _, names in os.walk(directory):
        for name in names:
            if name.endswith(suffix):
                full = os.path.join(path, name)
                try:
                    found[full] = os.path.getsize(full)
                except FileNotFoundError:
                    pass
    return found


def bytes_below(directory, suffix=""):
    return sum(files_below(directory, suffix).values())


def settle(pid, directory, quiet=10, most=400):
    """Waits until a server has left its files alone, and has hardly used the CPU, for `quiet` seconds. False
    when that does not happen within `most`."""
    deadline = time.monotonic() + most
    last, since = None, time.monotonic()
    while time.monotonic() < deadline:
        before = cpu_of(pid)
        time.sleep(1)
        now = (files_below(directory), cpu_of(pid) - before < 0.2)
        if last is not None and now[1] and now[0] == last[0]:
            if time.monotonic() - since >= quiet:
                return True
        else:
            since = time.monotonic()
        last = now
    return False
