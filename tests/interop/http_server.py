"""tests/interop/http_server.py: our HTTP API over a data directory (http_server.c), as Influxd stands for influxd's."""

import ctypes
import http.client
import os
import signal
import subprocess

from harness import BUILD

PR_SET_PDEATHSIG = 1


def _die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class HttpServer:
    def __init__(self, directory, *options):
        self.directory = directory
        self.options = options

    def __enter__(self):
        os.makedirs(self.directory, exist_ok=True)
        self.log = open(os.path.join(self.directory, "server.log"), "ab")
        self.process = subprocess.Popen([os.path.join(BUILD, "interop/http_server"), self.directory, *self.options],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log,
                                        preexec_fn=_die_with_parent)
        line = self.process.stdout.readline()
        if not line:
            self.stop()
            raise RuntimeError("http_server does not start: " + self.messages())
        self.port = int(line)
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        return self

    def __exit__(self, *exc):
        self.stop()

    def stop(self):
        """Its exit status: a clean stop has 0."""
        self.process.stdin.close()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.log.close()
        return self.process.returncode

    def reload(self):
        self.process.stdin.write(b"r")
        self.process.stdin.flush()

    def messages(self):
        with open(os.path.join(self.directory, "server.log"), errors="replace") as f:
            return f.read()
