"""What users of python3-influxdb do; prints every answer. Arguments: port."""

import sys

from influxdb import InfluxDBClient
from influxdb.exceptions import InfluxDBClientError
from influxdb.resultset import ResultSet


def show(title, value):
    if isinstance(value, ResultSet):
        value = value.raw
    print("%s: %r" % (title, value))


def refused(title, call):
    try:
        show(title, call())
    except InfluxDBClientError as e:
        print("%s: refused: %s %s" % (title, e.code, e.content))


c = InfluxDBClient("127.0.0.1", int(sys.argv[1]), "root", "root")
c.ping()
c.create_database("py")
c.switch_database("py")
show("databases", [d for d in c.get_list_database() if d["name"] == "py"])
c.create_retention_policy("week", "7d", "1", database="py", default=False, shard_duration="1d")
c.alter_retention_policy("week", database="py", duration="10d")
show("policies", c.get_list_retention_policies("py"))
points = [{"measurement": "cpu", "tags": {"host": "server%02d" % (i % 3), "region": "us west"},
           "time": "2020-09-13T12:%02d:00Z" % i,
           "fields": {"value": i / 4, "count": i, "up": i % 2 == 0, "note": 'said "%d", twice' % i}} for i in range(30)]
show("write", c.write_points(points))
show("write in batches", c.write_points(points, batch_size=7, tags={"rack": "r1"}))
show("write lines", c.write_points(["mem,host=a free=1i 1600000000", "mem,host=b free=2i 1600000060"], time_precision="s",
                                   protocol="line"))
show("select", c.query('SELECT * FROM cpu WHERE host = \'server01\''))
show("epoch", c.query("SELECT value FROM cpu LIMIT 3", epoch="ms"))
show("points", sorted(map(repr, c.query("SELECT mean(value) FROM cpu GROUP BY host").get_points(tags={"host": "server02"}))))
show("bound", c.query("SELECT value FROM cpu WHERE host = $host AND value > $least", bind_params={"host": "server00", "least": 5}))
show("several", [r.raw for r in c.query("SELECT count(value) FROM cpu; SELECT sum(free) FROM mem")])
j = InfluxDBClient("127.0.0.1", int(sys.argv[1]), "root", "root", "py", headers={"Accept": "application/json"})
show("chunked", [r.raw for r in j.query("SELECT value FROM cpu", chunked=True, chunk_size=10)])
show("measurements", c.get_list_measurements())
show("series", c.get_list_series("py", "cpu", {"host": "server01"}) if hasattr(c, "get_list_series") else None)
refused("no such database", lambda: c.query("SELECT * FROM m", database="nosuch"))
refused("bad query", lambda: c.query("SELEC"))
refused("bad field type", lambda: c.write_points([{"measurement": "cpu", "fields": {"value": "text"}, "time": "2020-09-13T12:00:30Z",
                                                   "tags": {"host": "server00"}}]))
c.create_user("pat", "secret", admin=False)
c.grant_privilege("read", "py", "pat")
show("users", c.get_list_users())
show("grants", c.get_list_privileges("pat"))
c.revoke_privilege("read", "py", "pat")
show("grants", c.get_list_privileges("pat"))
c.set_user_password("pat", "other")
c.drop_user("pat")
show("users", c.get_list_users())
c.create_continuous_query("cq", 'SELECT mean("value") INTO "hourly" FROM "cpu" GROUP BY time(1h)', "py")
show("continuous queries", [q for d in c.get_list_continuous_queries() for q in d.get("py", [])])
c.drop_continuous_query("cq", "py")
c.delete_series("py", "cpu", {"host": "server01"})
show("left", c.query("SELECT count(value) FROM cpu GROUP BY host"))
c.drop_measurement("mem")
show("measurements", c.get_list_measurements())
c.drop_retention_policy("week", "py")
c.drop_database("py")
show("databases", [d for d in c.get_list_database() if d["name"] == "py"])
