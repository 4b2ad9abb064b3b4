#!/usr/bin/env python3
"""tests/tools/damage.py MODE DIRECTORY FILE...: damages files of a data directory in every place, and asks the tools.

MODE  bytes  each byte of each FILE (relative to DIRECTORY) with one bit flipped, every eighth one as a whole
      cuts   each FILE cut to every length
      alive  bytes and lengths, in a large file not all: whatever the answer, no crash and no hang

After each change (with SANITIZER in the environment: a tenth of them) tsm-query reads everything, and tsm-inspect verifies
everything. The answer must be the right one with exit status 0, or the exit status 5 with a message that names the file
and says where or what; and both tools must agree. Prints what is wrong; exits 1 when something is. DIRECTORY is
copied, one copy for each of two threads.
"""

import os
import select
import shutil
import sys
import tempfile
import threading

BUILD = os.environ["BUILD"]
QUERY = "SELECT * FROM /./; SELECT count(*) FROM /./"
DATABASE = "db"
SECONDS = 20  # until a tool hangs
THREADS = 2
STEP = 10 if os.environ.get("SANITIZER") else 1  # a process takes ten times as long then
MOST_FAULTS = 10


def changes_of_bytes(data):
    for at in range(len(data)):
        yield "byte %d" % at, data[:at] + bytes([data[at] ^ 1 << (at * 5 + 1) % 8]) + data[at + 1:]
        if at % 8 == 3:
            yield "byte %d inverted" % at, data[:at] + bytes([data[at] ^ 255]) + data[at + 1:]


def cuts(data):
    for length in range(len(data)):
        yield "length %d" % length, data[:length]


def samples(data):
    step = 1 + len(data) // 500
    for number, change in enumerate(changes_of_bytes(data)):
        if number % step == 0:
            yield change
    for length in range(0, len(data), 3 * step):
        yield "length %d" % length, data[:length]


MODES = {"bytes": changes_of_bytes, "cuts": cuts, "alive": samples}


class Worker(threading.Thread):
    def __init__(self, number, mode, source, files, work):
        super().__init__()
        self.number, self.mode, self.files, self.faults, self.changes = number, mode, files, [], 0
        self.directory = os.path.join(work, str(number))
        shutil.copytree(source, self.directory)
        self.out, self.err = self.directory + ".out", self.directory + ".err"
        self.right = self.run_tool("tsm-query", *self.query())[:2]
        if self.right[0] != 0 or len(self.right[1]) < 100:
            raise SystemExit("the sound directory gives %s" % (self.right,))

    def query(self):
        return ["-d", self.directory, "-b", DATABASE, "-j", "1", "-f", "json", QUERY]

    def run_tool(self, name, *args):
        """(exit status, or what else became of it; stdout; stderr)"""
        write = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        pid = os.posix_spawn(os.path.join(BUILD, name), [name, *args], os.environ, file_actions=[
            (os.POSIX_SPAWN_OPEN, 1, self.out, write, 0o600), (os.POSIX_SPAWN_OPEN, 2, self.err, write, 0o600)])
        fd = os.pidfd_open(pid)
        ended = select.select([fd], [], [], SECONDS)[0]
        os.close(fd)
        if not ended:
            os.kill(pid, 9)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        with open(self.out, "rb") as out, open(self.err, "rb") as err:
            return status if ended else "a hang", out.read(), err.read()

    def names(self, name, message):
        return name.encode() in message and (b": offset " in message or b"the file is empty" in message)

    def check(self, name):
        status, out, err = self.run_tool("tsm-query", *self.query())
        found, listed, told = self.run_tool("tsm-inspect", "verify", self.directory)
        if self.mode == "alive":
            if status not in (0, 1, 5) or found not in (0, 5):
                return "tsm-query: %s, tsm-inspect: %s: %s%s" % (status, found, err, told)
        elif status == 0:
            if out != self.right[1]:
                return "tsm-query: a wrong answer: %s" % out[:500]
            if found != 0:
                return "tsm-inspect: %s, but tsm-query has the right answer: %s" % (found, listed)
        elif status != 5 or not self.names(name, err):
            return "tsm-query: %s: %s" % (status, err)
        elif found != 5 or not self.names(name, listed):
            return "tsm-inspect: %s: %s%s" % (found, listed, told)
        return None

    def run(self):
        for name in self.files:
            path = os.path.join(self.directory, name)
            with open(path, "rb") as f:
                data = f.read()
            for number, (what, changed) in enumerate(MODES[self.mode](data)):
                if number % STEP or number // STEP % THREADS != self.number:
                    continue
                with open(path, "wb") as f:
                    f.write(changed)
                self.changes += 1
                fault = self.check(name)
                if fault:
                    self.faults.append("%s, %s: %s" % (name, what, fault))
                if len(self.faults) == MOST_FAULTS:
                    return
            with open(path, "wb") as f:
                f.write(data)


def main():
    mode, source, files = sys.argv[1], sys.argv[2], sys.argv[3:]
    with tempfile.TemporaryDirectory(prefix="tsm-damage-") as work:
        workers = [Worker(i, mode, source, files, work) for i in range(THREADS)]
        for w in workers:
            w.start()
        for w in workers:
            w.join()
    for w in workers:
        for fault in w.faults:
            print(fault)
    changes = sum(w.changes for w in workers)
    print("%d changes" % changes)
    return 1 if changes < 100 or any(w.faults for w in workers) else 0


if __name__ == "__main__":
    sys.exit(main())
