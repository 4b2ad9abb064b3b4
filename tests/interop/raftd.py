"""tests/interop/raftd.py: our daemon on a free loopback port, with the interface of influxd.Influxd."""

import http.client
import os
import signal
import subprocess
import time

import influxd
from harness import BUILD


class Raftd(influxd.Influxd):
    def __init__(self, directory, *options):
        super().__init__(directory)
        self.options = options

    def start(self):
        for attempt in range(3):  # a port may be taken between asking for it and using it
            if self._try_start():
                return self
        with open(self.directory + ".log", errors="replace") as log:
            raise RuntimeError("tsm-raftd does not start: " + log.read()[-2000:])

    def _try_start(self):
        self.port = influxd._free_port()
        with open(self.directory + ".log", "a") as log:
            self.process = subprocess.Popen(
                [os.path.join(BUILD, "tsm-raftd"), "-d", self.directory, "--bind", "127.0.0.1:%d" % self.port, *self.options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=influxd._die_with_parent)
        influxd._running.append(self)
        deadline = time.monotonic() + influxd.START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
                if self.request("GET", "/ping")[0] == 204:
                    return True
            except OSError:
                time.sleep(0.02)
        self.kill()
        return False

    def stop(self):
        """A clean end. The exit status."""
        if self.process is None:
            return None
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(60)
        except subprocess.TimeoutExpired:
            status = None
        self.kill()
        return status
