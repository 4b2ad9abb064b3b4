"""tests/interop/influxd.py: a real influxd on free loopback ports, over a data directory of the caller's.

    with Influxd(directory) as server:
        server.write("db", "cpu value=1 1\n")
        status, body = server.query("SELECT * FROM cpu", db="db")

The directory has the parts that the tools know: meta/, data/ and wal/. The server is killed when its Influxd is
stopped or collected, when the test ends in whatever way, and, by the kernel, when the test itself is killed.
"""

import atexit
import base64
import ctypes
import glob
import http.client
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.parse

START_SECONDS = 60
PR_SET_PDEATHSIG = 1

CONFIG = """
reporting-disabled = true
bind-address = "127.0.0.1:{rpc}"
[meta]
  dir = "{dir}/meta"
[data]
  dir = "{dir}/data"
  wal-dir = "{dir}/wal"
  query-log-enabled = false
  cache-snapshot-write-cold-duration = "{cold}"
  compact-full-write-cold-duration = "{full}"
  max-values-per-tag = 0
  max-series-per-database = 0
  {data}
[coordinator]
  query-timeout = "300s"
[retention]
  enabled = false
[shard-precreation]
  enabled = false
[monitor]
  store-enabled = false
[http]
  bind-address = "127.0.0.1:{port}"
  log-enabled = false
  max-body-size = {max_body}
  auth-enabled = {auth}
  {http}
[continuous_queries]
  enabled = {continuous}
  log-enabled = false
  run-interval = "200ms"
"""

_running = []


def _free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def _die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _stop_all():
    for server in list(_running):
        server.kill()


atexit.register(_stop_all)
for _number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(_number, lambda number, frame: os._exit(_stop_all() or 128 + number))


def available():
    return shutil.which("influxd") is not None


class Influxd:
    def __init__(self, directory, cold="10m", full="4h", data="", processors=None, auth=False, continuous=False,
                 http="", max_body=0):
        """cold: how soon an idle cache is written to a TSM file; full: how soon an idle shard is compacted
        fully; data: more lines of the [data] section; processors: how many it uses (None: all); auth: users
        have to log in; continuous: continuous queries are run; http: more lines of the [http] section."""
        self.directory = os.path.abspath(directory)
        self.settings = {"cold": cold, "full": full, "data": data, "http": http, "max_body": max_body,
                         "auth": "true" if auth else "false", "continuous": "true" if continuous else "false"}
        self.environment = dict(os.environ, **({"GOMAXPROCS": str(processors)} if processors else {}))
        self.process = None
        self.connection = None
        self.user = None  # (name, password)

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        self.stop()

    def start(self):
        for attempt in range(3):  # a port may be taken between asking for it and using it
            if self._try_start():
                return self
        with open(os.path.join(self.directory, "influxd.log"), errors="replace") as log:
            raise RuntimeError("influxd does not start: " + log.read()[-2000:])

    def _try_start(self):
        os.makedirs(self.directory, exist_ok=True)
        self.port, rpc = _free_port(), _free_port()
        path = os.path.join(self.directory, "influxd.conf")
        with open(path, "w") as f:
            f.write(CONFIG.format(dir=self.directory, rpc=rpc, port=self.port, **self.settings))
        with open(os.path.join(self.directory, "influxd.log"), "w") as log:
            self.process = subprocess.Popen(["influxd", "-config", path], stdin=subprocess.DEVNULL, env=self.environment,
                                            stdout=log, stderr=log, preexec_fn=_die_with_parent)
        _running.append(self)
        deadline = time.monotonic() + START_SECONDS
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
        """An orderly end; what is in the cache stays in the log."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            pass
        self.kill()

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            _running.remove(self)
            self.process = None
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def _headers(self):
        if not self.user:
            return {}
        return {"Authorization": "Basic " + base64.b64encode(":".join(self.user).encode()).decode()}

    def request(self, method, path, body=None):
        self.connection.request(method, path, body, self._headers())
        response = self.connection.getresponse()
        return response.status, response.read()

    def query(self, text, db="", rp="", epoch="", method="GET"):
        """The answer as (HTTP status, the bytes of the body)."""
        args = {"q": text}
        for name, value in (("db", db), ("rp", rp), ("epoch", epoch)):
            if value:
                args[name] = value
        encoded = urllib.parse.urlencode(args)
        if method == "POST" or len(encoded) > 8000:
            self.connection.request("POST", "/query", encoded,
                                    {"Content-Type": "application/x-www-form-urlencoded", **self._headers()})
            response = self.connection.getresponse()
            return response.status, response.read()
        return self.request("GET", "/query?" + encoded)

    def execute(self, text, db=""):
        """A statement that must succeed."""
        status, body = self.query(text, db, method="POST")
        if status != 200 or b'"error"' in body:
            raise RuntimeError("influxd: %s: %s" % (text, body.decode(errors="replace")))
        return body

    def write(self, db, lines, rp="", precision="ns"):
        """(HTTP status, body); 204 when every line was taken."""
        args = {"db": db, "precision": precision}
        if rp:
            args["rp"] = rp
        if isinstance(lines, str):
            lines = lines.encode()
        return self.request("POST", "/write?" + urllib.parse.urlencode(args), lines)

    def wait_flushed(self, seconds=60):
        """Waits until the log holds nothing that is not in a TSM file; needs a short cold=."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            segments = glob.glob(os.path.join(glob.escape(self.directory), "wal/*/*/*/*.wal"))
            if all(os.path.getsize(s) == 0 for s in segments if os.path.exists(s)):
                return
            time.sleep(0.1)
        raise RuntimeError("influxd has not flushed its cache within %d seconds" % seconds)

    def wait_compacted(self, seconds=60):
        """Waits until no shard has more than one TSM file; needs a short full=. The shard that is not, at the end."""
        deadline = time.monotonic() + seconds
        while True:
            left = None
            for shard in glob.glob(os.path.join(glob.escape(self.directory), "data/*/*/[0-9]*")):
                if len(glob.glob(os.path.join(glob.escape(shard), "*.tsm*"))) > 1:
                    left = shard
            if left is None or time.monotonic() > deadline:
                return left
            time.sleep(0.2)
