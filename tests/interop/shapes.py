"""tests/interop/shapes.py: the queries of the differential test: a list by hand, and a grammar with a fixed seed.

A query is a Shape; `order` says that influxd's own answer depends on the order in which it reads its series (it then
reads only data without common timestamps).
"""

import random
import zlib

from dataset import DAY, END, HOUR, START

T0 = "'2020-03-01T00:00:00Z'"
EPOCHS = ["", "ns", "u", "ms", "s", "m", "h"]

HAND = r"""
SHOW DATABASES
SHOW RETENTION POLICIES
SHOW RETENTION POLICIES ON d
SHOW RETENTION POLICIES ON nosuch
SHOW MEASUREMENTS
SHOW MEASUREMENTS ON d
SHOW MEASUREMENTS LIMIT 2
SHOW MEASUREMENTS LIMIT 2 OFFSET 1
SHOW MEASUREMENTS OFFSET 100
SHOW MEASUREMENTS WITH MEASUREMENT = cpu
SHOW MEASUREMENTS WITH MEASUREMENT =~ /^s/
SHOW MEASUREMENTS WITH MEASUREMENT !~ /^s/
SHOW MEASUREMENTS WITH MEASUREMENT != cpu
SHOW MEASUREMENTS WHERE host = 'a'
SHOW MEASUREMENTS WHERE host =~ /./
SHOW MEASUREMENTS WHERE host = 'nosuch'
SHOW MEASUREMENTS WITH MEASUREMENT =~ /c/ WHERE region = 'eu'
SHOW SERIES
SHOW SERIES ON d
SHOW SERIES FROM cpu
SHOW SERIES FROM cpu, shared
SHOW SERIES FROM /^c/
SHOW SERIES FROM nosuch
SHOW SERIES FROM cpu WHERE region = 'eu'
SHOW SERIES FROM cpu WHERE region != 'eu'
SHOW SERIES FROM cpu WHERE region =~ /u/
SHOW SERIES FROM cpu WHERE region = ''
SHOW SERIES WHERE host = 'a' OR devid = '3'
SHOW SERIES WHERE host = 'a' AND region = 'eu'
SHOW SERIES LIMIT 3
SHOW SERIES LIMIT 3 OFFSET 2
SHOW SERIES FROM "we ird,m=1"
SHOW TAG KEYS
SHOW TAG KEYS ON d
SHOW TAG KEYS FROM cpu
SHOW TAG KEYS FROM nosuch
SHOW TAG KEYS FROM /s/
SHOW TAG KEYS LIMIT 1
SHOW TAG KEYS LIMIT 1 OFFSET 1
SHOW TAG KEYS FROM "we ird,m=1"
SHOW TAG KEYS WHERE region = 'eu'
SHOW TAG KEYS FROM cpu WHERE host = 'd'
SHOW TAG VALUES WITH KEY = host
SHOW TAG VALUES ON d WITH KEY = host
SHOW TAG VALUES FROM cpu WITH KEY = region
SHOW TAG VALUES FROM cpu WITH KEY != region
SHOW TAG VALUES FROM cpu WITH KEY =~ /o/
SHOW TAG VALUES FROM cpu WITH KEY !~ /o/
SHOW TAG VALUES FROM cpu WITH KEY IN (host, region)
SHOW TAG VALUES WITH KEY IN (host, devid)
SHOW TAG VALUES FROM cpu WITH KEY = host WHERE region = 'eu'
SHOW TAG VALUES FROM cpu WITH KEY = host WHERE region =~ /./
SHOW TAG VALUES FROM cpu WITH KEY = host WHERE region = ''
SHOW TAG VALUES FROM cpu WITH KEY = host LIMIT 2
SHOW TAG VALUES FROM cpu WITH KEY = host LIMIT 2 OFFSET 1
SHOW TAG VALUES FROM cpu WITH KEY = nosuch
SHOW TAG VALUES FROM "we ird,m=1" WITH KEY = "ta g"
SHOW TAG VALUES FROM "we ird,m=1" WITH KEY = "k=ey"
SHOW TAG VALUES FROM nosuch WITH KEY = host
SHOW TAG VALUES FROM cpu
SHOW FIELD KEYS
SHOW FIELD KEYS ON d
SHOW FIELD KEYS FROM cpu
SHOW FIELD KEYS FROM "we ird,m=1"
SHOW FIELD KEYS FROM mixed
SHOW FIELD KEYS FROM nosuch
SHOW FIELD KEYS FROM /^s/
SHOW FIELD KEYS LIMIT 2
SHOW FIELD KEYS FROM cpu LIMIT 2 OFFSET 1
SHOW MEASUREMENT EXACT CARDINALITY
SHOW MEASUREMENT EXACT CARDINALITY FROM /^s/ GROUP BY devid
SHOW MEASUREMENT CARDINALITY WHERE host = 'a'
SHOW MEASUREMENT CARDINALITY WHERE time > 0
SHOW MEASUREMENT CARDINALITY LIMIT 1
SHOW SERIES EXACT CARDINALITY WHERE time > 0
SHOW SERIES EXACT CARDINALITY FROM shared WHERE devid =~ /^1/ GROUP BY devgroup
SHOW SERIES EXACT CARDINALITY FROM nosuch
SHOW SERIES EXACT CARDINALITY FROM norp.cpu
SHOW TAG KEY CARDINALITY
SHOW TAG KEY CARDINALITY FROM cpu GROUP BY region
SHOW TAG KEY EXACT CARDINALITY FROM cpu, shared WHERE host =~ /a|b/ OR devid = '1'
SHOW TAG KEY CARDINALITY WHERE time > 0
SHOW TAG VALUES CARDINALITY WITH KEY = host
SHOW TAG VALUES EXACT CARDINALITY FROM cpu WITH KEY IN (host, region) GROUP BY region
SHOW TAG VALUES CARDINALITY FROM cpu WITH KEY =~ /o/ WHERE region = 'eu'
SHOW TAG VALUES CARDINALITY FROM cpu WITH KEY = host WHERE time >= 0
SHOW TAG VALUES CARDINALITY FROM cpu
SHOW FIELD KEY CARDINALITY FROM cpu
SHOW FIELD KEY EXACT CARDINALITY FROM shared, many
SHOW FIELD KEY CARDINALITY FROM cpu GROUP BY host LIMIT 1
SHOW FIELD KEY CARDINALITY FROM cpu WHERE v > 0
SHOW FIELD KEY CARDINALITY WHERE time > 0
SHOW SERIES FROM cpu WHERE time > '2020-03-10T00:00:00Z'
SHOW SERIES FROM shared WHERE time > '2020-03-01T00:00:00Z' AND devid =~ /^1/
SHOW SERIES FROM cpu WHERE time > '2020-03-10T00:00:00Z' AND v > 0
SHOW SERIES FROM extremes WHERE time <= 0 AND f > 2
SHOW SERIES FROM cpu WHERE time > '2020-03-10T00:00:00Z' ORDER BY time DESC
SHOW SHARDS
SHOW SHARD GROUPS
SHOW USERS
SHOW GRANTS FOR nobody
SHOW CONTINUOUS QUERIES
SHOW SUBSCRIPTIONS
SHOW STATS FOR 'nosuch'
SHOW DIAGNOSTICS FOR 'nosuch'
KILL QUERY 4294967296
SHOW NOSUCH
SHOW TAG
SHOW
SELECT * FROM cpu
SELECT * FROM shared
SELECT * FROM single
SELECT * FROM "we ird,m=1"
SELECT * FROM extremes
SELECT * FROM extremes ORDER BY time DESC
SELECT * FROM mixed
SELECT v FROM mixed
SELECT w FROM mixed
SELECT v::integer FROM mixed
SELECT v::float FROM mixed
SELECT v::string FROM mixed
SELECT v::boolean FROM mixed
SELECT count(v) FROM mixed
SELECT count(w), sum(w) FROM mixed
SELECT last(v) FROM mixed
SELECT * FROM many LIMIT 5
SELECT * FROM many LIMIT 5 OFFSET 998
SELECT * FROM many ORDER BY time DESC LIMIT 5
SELECT * FROM many ORDER BY time DESC LIMIT 5 OFFSET 1600
SELECT v FROM many WHERE n >= 995 AND n < 1005
SELECT count(v), sum(v), mean(v), min(v), max(v), spread(v), median(v) FROM many
SELECT first(v), last(v) FROM many
SELECT first(v) FROM many
SELECT last(v) FROM many
SELECT stddev(v), mode(n) FROM many
SELECT percentile(n, 10), percentile(n, 50), percentile(n, 99.9) FROM many
SELECT count(distinct(v)) FROM many
SELECT mode(v) FROM many
SELECT mode(v) FROM cpu
SELECT mode(v) FROM many WHERE n < 1500
SELECT percentile(v, 7) FROM many
SELECT percentile(v, 22.5) FROM many WHERE n < 1200
SELECT percentile(v, 46) FROM many
SELECT percentile(v, 64) FROM many WHERE n >= 700
SELECT percentile(humidity, 30), devid FROM shared
SELECT sum(v) FROM many WHERE time >= '2020-03-03T00:10:00Z' AND time < '2020-03-03T00:20:00Z' GROUP BY time(1m)
SELECT count(v) FROM many WHERE time >= '2020-03-03T00:00:00Z' AND time < '2020-03-03T01:00:00Z' GROUP BY time(7m)
SELECT sum(n) FROM many WHERE time >= '2020-03-03T00:00:00Z' AND time < '2020-03-03T01:00:00Z' GROUP BY time(7m, 3m)
SELECT * FROM d.autogen.cpu LIMIT 3
SELECT * FROM autogen.cpu LIMIT 3
SELECT * FROM short.cpu LIMIT 3
SELECT * FROM d.short.cpu
SELECT * FROM d..cpu LIMIT 3
SELECT * FROM "d"."short"."rponly"
SELECT * FROM short.rponly
SELECT * FROM rponly
SELECT * FROM nosuch.cpu
SELECT * FROM nosuch..cpu
SELECT * FROM short.nosuch
SELECT count(x) FROM short.rponly GROUP BY t
SELECT count(v) FROM short.cpu, autogen.cpu
SELECT v FROM short./cpu|rponly/ LIMIT 4
SELECT * FROM nosuch
SELECT nosuch FROM cpu
SELECT v, nosuch FROM cpu LIMIT 3
SELECT host FROM cpu
SELECT host, v FROM cpu LIMIT 4
SELECT host, region FROM cpu LIMIT 4
SELECT v, host, nosuch FROM cpu LIMIT 4
SELECT v AS value, i AS "an integer" FROM cpu LIMIT 3
SELECT v, v FROM cpu LIMIT 3
SELECT v, v AS v FROM cpu LIMIT 3
SELECT v::field, host::tag FROM cpu LIMIT 4
SELECT *::field FROM cpu LIMIT 4
SELECT *::tag FROM cpu LIMIT 4
SELECT *::tag, v FROM cpu LIMIT 4
SELECT /^[vi]$/ FROM cpu LIMIT 4
SELECT *, v FROM cpu LIMIT 4
SELECT time, v FROM cpu LIMIT 4
SELECT v, time FROM cpu LIMIT 4
SELECT time FROM cpu LIMIT 4
SELECT "fi eld" FROM "we ird,m=1"
SELECT "a,b=c", "quo""te" FROM "we ird,m=1"
SELECT "quo\"te", "ta g" FROM "we ird,m=1"
SELECT "fi eld", "k=ey" FROM "we ird,m=1" WHERE "ta g" = 'v,2'
SELECT count("fi eld") FROM "we ird,m=1" GROUP BY "ta g", "k=ey"
SELECT "ключ" FROM "we ird,m=1"
SELECT v FROM cpu, shared LIMIT 2
SELECT v, humidity FROM cpu, shared LIMIT 2
SELECT humidity FROM shared, cpu LIMIT 2
SELECT * FROM /s/ LIMIT 2
SELECT * FROM /nosuch/
SELECT count(*) FROM cpu
SELECT mean(*) FROM cpu
SELECT count(*) FROM /./
SELECT max(*) FROM shared
SELECT sum(*) FROM shared GROUP BY devgroup
SELECT first(*) FROM single
SELECT count(/^[vi]$/) FROM cpu
SELECT last(*) FROM cpu GROUP BY host
SELECT max(v), host FROM cpu
SELECT max(v), * FROM cpu
SELECT min(v), i, s FROM cpu
SELECT first(v), host, b FROM cpu GROUP BY region
SELECT last(i), v FROM cpu
SELECT percentile(v, 90), host FROM cpu
SELECT max(v), min(v) FROM cpu
SELECT max(v), v FROM cpu GROUP BY host
SELECT max(humidity), devid FROM shared
SELECT first(humidity), devid FROM shared
SELECT last(humidity), devid FROM shared
SELECT max(temperature), devid FROM shared WHERE time >= '2020-03-01T05:00:00Z' AND time < '2020-03-01T05:40:00Z' GROUP BY time(10m)
SELECT first(temperature) FROM shared
SELECT last(temperature) FROM shared
SELECT derivative(v) FROM cpu LIMIT 20
SELECT derivative(v, 1h), difference(i) FROM cpu GROUP BY host LIMIT 9
SELECT non_negative_derivative(v, 1m) FROM cpu GROUP BY host ORDER BY time DESC LIMIT 9
SELECT difference(humidity) FROM shared LIMIT 30
SELECT elapsed(s), elapsed(b, 1s) FROM cpu GROUP BY host LIMIT 9
SELECT derivative(*) FROM cpu GROUP BY host LIMIT 5
SELECT elapsed(/^[sb]$/, 1s) AS x FROM cpu GROUP BY * LIMIT 5
SELECT cumulative_sum(i), moving_average(v, 3) FROM cpu GROUP BY region LIMIT 12
SELECT exponential_moving_average(v, 4), relative_strength_index(v, 3) FROM single
SELECT triple_exponential_derivative(v, 3), kaufmans_adaptive_moving_average(v, 3, 0), chande_momentum_oscillator(v, 3) FROM single
SELECT derivative(mean(v), 1h) FROM cpu WHERE time >= '2020-03-02T00:00:00Z' AND time < '2020-03-09T00:00:00Z' GROUP BY time(6h)
SELECT derivative(mean(v)), max(v) FROM cpu WHERE time >= '2020-03-02T00:00:00Z' AND time < '2020-03-09T00:00:00Z' GROUP BY time(12h), host fill(none)
SELECT difference(last(v)) FROM cpu WHERE time >= '2020-03-02T00:00:00Z' AND time < '2020-03-09T00:00:00Z' GROUP BY time(6h), region fill(previous) ORDER BY time DESC
SELECT moving_average(derivative(mean(humidity)), 3) FROM shared WHERE time >= '2020-03-02T00:00:00Z' AND time < '2020-03-09T00:00:00Z' GROUP BY time(4h) fill(linear)
SELECT cumulative_sum(count(distinct(i))) FROM cpu WHERE time >= '2020-03-02T00:00:00Z' AND time < '2020-03-09T00:00:00Z' GROUP BY time(1d)
SELECT cumulative_sum(sum(*)) FROM shared WHERE time >= '2020-03-02T00:00:00Z' AND time < '2020-03-09T00:00:00Z' GROUP BY time(1d), devgroup
SELECT elapsed(distinct(i), 1m) FROM cpu WHERE time >= '2020-03-02T00:00:00Z' AND time < '2020-03-09T00:00:00Z' GROUP BY time(1d)
SELECT difference(percentile(v, 30)), difference(median(v)) FROM cpu WHERE time >= '2020-03-02T00:00:00Z' AND time < '2020-03-09T00:00:00Z' GROUP BY time(12h) fill(0)
SELECT holt_winters(mean(v), 4, 0) FROM cpu WHERE time >= '2020-03-02T00:00:00Z' AND time < '2020-03-09T00:00:00Z' GROUP BY time(12h)
SELECT holt_winters_with_fit(max(humidity), 4, 3) FROM shared WHERE time >= '2020-03-02T00:00:00Z' AND time < '2020-03-09T00:00:00Z' GROUP BY time(12h), devgroup
SELECT top(v, 5) FROM cpu
SELECT top(v, 5), host, s FROM cpu
SELECT top(humidity, 7), devid FROM shared
SELECT top(humidity, devid, 3) FROM shared
SELECT top(humidity, devid, 2), temperature FROM shared GROUP BY devgroup
SELECT bottom(i, 3) FROM cpu GROUP BY host ORDER BY time DESC
SELECT bottom(humidity, devgroup, 3) FROM shared WHERE time >= '2020-03-02T00:00:00Z' AND time < '2020-03-09T00:00:00Z' GROUP BY time(1d)
SELECT bottom(temperature, 3), devid FROM shared WHERE time >= '2020-03-02T00:00:00Z' AND time < '2020-03-09T00:00:00Z' GROUP BY time(12h) ORDER BY time DESC
SELECT top(v, 3) FROM cpu LIMIT 4
SELECT top(v, host, 3) FROM cpu GROUP BY region SLIMIT 2
SELECT top(n, 20) FROM many
SELECT top(v, 2) * 2 FROM cpu
SELECT top(s, 2) FROM cpu
SELECT top(b, host, 2) FROM cpu
SELECT sample(v, 100000), host FROM cpu
SELECT sample(s, 100000) FROM cpu WHERE time >= '2020-03-02T00:00:00Z' AND time < '2020-03-09T00:00:00Z' GROUP BY time(1d)
SELECT integral(v) FROM cpu
SELECT integral(v, 1h), integral(i) FROM cpu WHERE time >= '2020-03-02T00:00:00Z' AND time < '2020-03-09T00:00:00Z' GROUP BY time(12h)
SELECT abs(v), floor(v), ceil(v), round(v), sqrt(abs(v)) FROM cpu LIMIT 9
SELECT sin(v), cos(v), tan(v), atan(v), atan2(v, 2), exp(v / 1000) FROM cpu LIMIT 9
SELECT pow(mean(v), 2), log10(count(v)), ln(max(i)) FROM cpu GROUP BY host
SELECT v FROM cpu WHERE abs(v) > 900
SELECT derivative(v) FROM cpu GROUP BY time(1h)
SELECT derivative(mean(v)) FROM cpu
SELECT moving_average(v, 1) FROM cpu
SELECT top(v, 5), max(v) FROM cpu
SELECT histogram(v) FROM cpu
SELECT distinct(i) FROM cpu
SELECT distinct(s) FROM cpu
SELECT distinct(b) FROM cpu
SELECT distinct(v) FROM cpu GROUP BY host
SELECT DISTINCT i FROM cpu WHERE i > 900
SELECT distinct(temperature) FROM shared WHERE time >= '2020-03-01T05:00:00Z' AND time < '2020-03-01T05:40:00Z' GROUP BY time(20m)
SELECT count(distinct(i)) FROM cpu
SELECT count(distinct(s)) FROM cpu GROUP BY host
SELECT count(DISTINCT s) FROM cpu
SELECT mode(s) FROM cpu
SELECT mode(b) FROM cpu
SELECT mode(i) FROM cpu
SELECT mode(temperature) FROM shared GROUP BY devgroup
SELECT median(i) FROM cpu
SELECT median(temperature) FROM shared GROUP BY *
SELECT count(b), count(s) FROM cpu
SELECT first(s), last(s) FROM cpu
SELECT first(b) FROM cpu
SELECT last(s) FROM cpu GROUP BY host
SELECT min(b) FROM cpu
SELECT max(b) FROM cpu
SELECT min(s) FROM cpu
SELECT sum(s) FROM cpu
SELECT sum(b) FROM cpu
SELECT mean(s) FROM cpu
SELECT spread(s) FROM cpu
SELECT stddev(s) FROM cpu
SELECT median(b) FROM cpu
SELECT percentile(s, 50) FROM cpu
SELECT percentile(v, 0) FROM cpu
SELECT percentile(v, 100) FROM cpu
SELECT percentile(v, 101) FROM cpu
SELECT percentile(v, -1) FROM cpu
SELECT percentile(v) FROM cpu
SELECT percentile(v, 'x') FROM cpu
SELECT percentile(i, 33.3) FROM cpu GROUP BY host
SELECT count(host) FROM cpu
SELECT max(host) FROM cpu
SELECT count(v) FROM cpu WHERE time > now()
SELECT count(v) FROM cpu WHERE time < now()
SELECT v FROM cpu WHERE time > now() - 10000w LIMIT 4
SELECT v FROM cpu WHERE time = 0
SELECT v FROM cpu WHERE time >= '2020-03-05' AND time < '2020-03-06'
SELECT v FROM cpu WHERE time >= '2020-03-05 06:00:00' AND time < '2020-03-05 12:00:00'
SELECT v FROM cpu WHERE time >= '2020-03-05T06:00:00.5Z' AND time <= '2020-03-05T18:00:00.000000001Z'
SELECT v FROM cpu WHERE time >= '2020-03-05T06:00:00+02:00' AND time < '2020-03-05T16:00:00+02:00'
SELECT v FROM cpu WHERE time >= 1583366400s AND time < 1583409600s
SELECT v FROM cpu WHERE time >= 1583366400000ms AND time < 1583366400000ms + 6h
SELECT v FROM cpu WHERE time >= '2020-03-05T00:00:00Z' AND time < '2020-03-05T00:00:00Z' + 12h
SELECT v FROM cpu WHERE time > 1583366400000000000 AND time < 1583409600000000000
SELECT v FROM cpu WHERE time >= 'yesterday'
SELECT v FROM cpu WHERE time >= '2020-03-05' OR time < '2020-03-02'
SELECT v FROM cpu WHERE time > '2020-03-06' AND time < '2020-03-05'
SELECT v FROM cpu WHERE time != '2020-03-05'
SELECT v FROM cpu WHERE '2020-03-18' < time
SELECT v FROM cpu WHERE v > 900
SELECT v FROM cpu WHERE v > 900 AND i < 0
SELECT v FROM cpu WHERE v > 900 OR i > 900
SELECT v FROM cpu WHERE (v > 900 OR i > 900) AND host = 'a'
SELECT v FROM cpu WHERE i = 5 OR i = 6 OR i = 7
SELECT v FROM cpu WHERE i != 5 AND host = 'b'
SELECT v FROM cpu WHERE s = 'idle'
SELECT v FROM cpu WHERE s != 'idle'
SELECT v FROM cpu WHERE s = ''
SELECT v FROM cpu WHERE s != ''
SELECT v FROM cpu WHERE s =~ /a/
SELECT v FROM cpu WHERE s !~ /a/
SELECT s FROM cpu WHERE s =~ /^[^a-z]*$/
SELECT s FROM cpu WHERE s = '日本語'
SELECT s FROM cpu WHERE s = 'quo"ted'
SELECT s FROM cpu WHERE s = 'back\\slash'
SELECT v FROM cpu WHERE b = true
SELECT v FROM cpu WHERE b != true
SELECT v FROM cpu WHERE b = false AND i > 0
SELECT v FROM cpu WHERE b
SELECT v FROM cpu WHERE b > true
SELECT v FROM cpu WHERE v > 900.5 AND v < 950
SELECT v FROM cpu WHERE v = i
SELECT v FROM cpu WHERE v > i
SELECT v FROM cpu WHERE v + i > 1500
SELECT v FROM cpu WHERE q > 0
SELECT q FROM cpu WHERE v > 0
SELECT q, v FROM cpu WHERE q != 0
SELECT v FROM cpu WHERE nosuch = 1
SELECT v FROM cpu WHERE nosuch = 'x'
SELECT v FROM cpu WHERE nosuch != 'x' LIMIT 3
SELECT v FROM cpu WHERE v = 'x'
SELECT v FROM cpu WHERE v =~ /x/
SELECT v FROM cpu WHERE s > 'a'
SELECT v FROM cpu WHERE host = 'a'
SELECT v FROM cpu WHERE host != 'a' LIMIT 5
SELECT v FROM cpu WHERE host = ''
SELECT v FROM cpu WHERE host != '' LIMIT 5
SELECT v FROM cpu WHERE host =~ /^[ab]$/ LIMIT 5
SELECT v FROM cpu WHERE host !~ /^[ab]$/ LIMIT 5
SELECT v FROM cpu WHERE host =~ /^$/ LIMIT 5
SELECT v FROM cpu WHERE host =~ // LIMIT 5
SELECT v FROM cpu WHERE host =~ /(?i)^A$/ LIMIT 5
SELECT v FROM cpu WHERE host =~ /\// LIMIT 5
SELECT v FROM cpu WHERE host =~ /é/ LIMIT 5
SELECT v FROM cpu WHERE region = '日本' LIMIT 5
SELECT v FROM cpu WHERE host = 'with space,comma=equals' LIMIT 5
SELECT v FROM cpu WHERE host = 'a' AND region = 'us'
SELECT v FROM cpu WHERE host = 'a' OR region = 'us' LIMIT 9
SELECT v FROM cpu WHERE (host = 'a' OR host = 'b') AND region = 'eu' AND v > 0 LIMIT 9
SELECT v FROM cpu WHERE host = 'a' OR v > 950
SELECT v FROM cpu WHERE host > 'a'
SELECT v FROM cpu WHERE host = region LIMIT 3
SELECT v FROM cpu WHERE host =~ /[/
SELECT v FROM cpu WHERE true LIMIT 3
SELECT v FROM cpu WHERE false LIMIT 3
SELECT v FROM cpu WHERE 1 = 1 LIMIT 3
SELECT v FROM cpu WHERE 'a' = host LIMIT 3
SELECT v FROM cpu WHERE 900 < v
SELECT count(v) FROM cpu WHERE host = 'a' AND v > 0 GROUP BY region
SELECT count(v) FROM cpu WHERE i > 0 AND time < '2020-03-10' GROUP BY host
SELECT count(v) FROM cpu GROUP BY host
SELECT count(v) FROM cpu GROUP BY host, region
SELECT count(v) FROM cpu GROUP BY region, host
SELECT count(v) FROM cpu GROUP BY *
SELECT count(v) FROM cpu GROUP BY nosuch
SELECT count(v) FROM cpu GROUP BY host, nosuch
SELECT count(v) FROM cpu GROUP BY /o/
SELECT count(v) FROM cpu GROUP BY v
SELECT v FROM cpu GROUP BY host LIMIT 2
SELECT v FROM cpu GROUP BY * LIMIT 2
SELECT * FROM cpu GROUP BY host LIMIT 2
SELECT * FROM cpu GROUP BY * LIMIT 2
SELECT v FROM cpu GROUP BY host LIMIT 1 SLIMIT 2
SELECT v FROM cpu GROUP BY host LIMIT 1 SLIMIT 2 SOFFSET 1
SELECT v FROM cpu GROUP BY host LIMIT 1 SOFFSET 4
SELECT v FROM cpu GROUP BY host LIMIT 1 SOFFSET 100
SELECT v FROM cpu GROUP BY host LIMIT 1 OFFSET 3 SLIMIT 3 SOFFSET 1
SELECT v FROM cpu LIMIT 3 OFFSET 100000
SELECT v FROM cpu LIMIT 0
SELECT v FROM cpu OFFSET 610
SELECT v FROM cpu SLIMIT 1 LIMIT 1
SELECT v FROM cpu ORDER BY time DESC LIMIT 3
SELECT v FROM cpu ORDER BY time ASC LIMIT 3
SELECT v FROM cpu ORDER BY time LIMIT 3
SELECT v FROM cpu ORDER BY DESC LIMIT 3
SELECT v FROM cpu ORDER BY v
SELECT v FROM cpu ORDER BY host DESC
SELECT v FROM cpu GROUP BY host ORDER BY time DESC LIMIT 1
SELECT * FROM shared ORDER BY time DESC LIMIT 30
SELECT humidity FROM shared WHERE devgroup = '1' ORDER BY time DESC LIMIT 9 OFFSET 5
SELECT first(v) FROM cpu ORDER BY time DESC
SELECT last(v) FROM cpu ORDER BY time DESC
SELECT mean(v) FROM cpu GROUP BY host ORDER BY time DESC
SELECT mean(v) FROM cpu WHERE time >= '2020-03-02' AND time < '2020-03-08' GROUP BY time(1d) ORDER BY time DESC
SELECT mean(v) FROM cpu WHERE time >= '2020-03-02' AND time < '2020-03-08' GROUP BY time(1d), host ORDER BY time DESC LIMIT 2
SELECT mean(v) FROM cpu WHERE time >= '2020-03-02' AND time < '2020-03-08' GROUP BY time(1d) LIMIT 2 OFFSET 1
SELECT mean(v) FROM cpu WHERE time >= '2020-03-02' AND time < '2020-03-08' GROUP BY time(1d), host SLIMIT 2 SOFFSET 1
SELECT mean(v) FROM cpu WHERE time >= '2020-02-20' AND time < '2020-03-04' GROUP BY time(1d)
SELECT mean(v) FROM cpu WHERE time >= '2020-02-20' AND time < '2020-03-04' GROUP BY time(1d) fill(none)
SELECT mean(v) FROM cpu WHERE time >= '2020-02-20' AND time < '2020-03-04' GROUP BY time(1d) fill(0)
SELECT mean(v) FROM cpu WHERE time >= '2020-02-20' AND time < '2020-03-04' GROUP BY time(1d) fill(-1.5)
SELECT count(v) FROM cpu WHERE time >= '2020-02-20' AND time < '2020-03-04' GROUP BY time(1d)
SELECT count(v) FROM cpu WHERE time >= '2020-02-20' AND time < '2020-03-04' GROUP BY time(1d) fill(null)
SELECT count(v) FROM cpu WHERE time >= '2020-02-20' AND time < '2020-03-04' GROUP BY time(1d) fill(7)
SELECT count(v), mean(v) FROM cpu WHERE time >= '2020-02-26' AND time < '2020-03-04' GROUP BY time(1d) fill(7)
SELECT sum(i) FROM cpu WHERE time >= '2020-02-26' AND time < '2020-03-04' GROUP BY time(1d) fill(1.5)
SELECT mean(value) FROM single WHERE time >= '2020-03-02T00:00:00Z' AND time < '2020-03-02T10:00:00Z' GROUP BY time(10m)
SELECT mean(value) FROM single WHERE time >= '2020-03-02T00:00:00Z' AND time < '2020-03-02T10:00:00Z' GROUP BY time(10m) fill(previous)
SELECT mean(value) FROM single WHERE time >= '2020-03-02T00:00:00Z' AND time < '2020-03-02T10:00:00Z' GROUP BY time(10m) fill(linear)
SELECT mean(n) FROM single WHERE time >= '2020-03-02T00:00:00Z' AND time < '2020-03-02T10:00:00Z' GROUP BY time(10m) fill(linear)
SELECT max(n) FROM single WHERE time >= '2020-03-02T00:00:00Z' AND time < '2020-03-02T10:00:00Z' GROUP BY time(10m) fill(linear)
SELECT sum(n), mean(value) FROM single WHERE time >= '2020-03-02T00:00:00Z' AND time < '2020-03-02T10:00:00Z' GROUP BY time(5m) fill(linear)
SELECT max(n) FROM single WHERE time >= '2020-03-02T00:00:00Z' AND time < '2020-03-02T10:00:00Z' GROUP BY time(10m) fill(linear) ORDER BY time DESC
SELECT mean(value) FROM single WHERE time >= '2020-03-02T00:00:00Z' AND time < '2020-03-02T10:00:00Z' GROUP BY time(10m) fill(previous) ORDER BY time DESC
SELECT mean(value) FROM single WHERE time >= '2020-03-01T22:00:00Z' AND time < '2020-03-02T12:00:00Z' GROUP BY time(30m, 7m) fill(previous)
SELECT mean(value) FROM single WHERE time >= '2020-03-01T22:00:00Z' AND time < '2020-03-02T12:00:00Z' GROUP BY time(30m, -7m) fill(none)
SELECT count(value) FROM single WHERE time >= '2020-03-01T22:00:00Z' AND time < '2020-03-02T12:00:00Z' GROUP BY time(1h, 90m)
SELECT count(value) FROM single WHERE time < '2020-03-03' GROUP BY time(1h) fill(none)
SELECT count(value) FROM single WHERE time < '2020-03-03' GROUP BY time(6h)
SELECT count(value) FROM single GROUP BY time(1d) fill(none)
SELECT count(value) FROM single WHERE time >= '2020-03-02' AND time < '2020-03-03' GROUP BY time(1w)
SELECT count(v) FROM cpu WHERE time >= '2020-02-20' AND time < '2020-03-25' GROUP BY time(1w)
SELECT count(v) FROM cpu WHERE time >= '2020-02-20' AND time < '2020-03-25' GROUP BY time(4w)
SELECT value FROM single GROUP BY time(1h)
SELECT first(value), last(value) FROM single WHERE time >= '2020-03-02' AND time < '2020-03-03' GROUP BY time(2h)
SELECT first(value) FROM single WHERE time >= '2020-03-02' AND time < '2020-03-03' GROUP BY time(2h) fill(none)
SELECT max(value), n FROM single WHERE time >= '2020-03-02' AND time < '2020-03-03' GROUP BY time(2h) fill(none)
SELECT last(s) FROM cpu WHERE time >= '2020-03-02' AND time < '2020-03-04' GROUP BY time(6h)
SELECT last(s) FROM cpu WHERE time >= '2020-03-02' AND time < '2020-03-04' GROUP BY time(6h), host fill(previous)
SELECT count(s) FROM cpu WHERE time >= '2020-03-02' AND time < '2020-03-04' GROUP BY time(6h) fill(0)
SELECT last(b) FROM cpu WHERE time >= '2020-03-02' AND time < '2020-03-04' GROUP BY time(6h) fill(previous)
SELECT last(s) FROM cpu WHERE time >= '2020-03-02' AND time < '2020-03-04' GROUP BY time(6h) fill(3)
SELECT last(s) FROM cpu WHERE time >= '2020-03-02' AND time < '2020-03-04' GROUP BY time(6h) fill(linear)
SELECT first(v), s FROM cpu WHERE time >= '2020-02-28' AND time < '2020-03-04' GROUP BY time(6h) fill(0)
SELECT first(s), q, host FROM cpu WHERE time >= '2020-02-28' AND time < '2020-03-04' GROUP BY time(6h), host fill(-3.5) ORDER BY time DESC
SELECT percentile(i, 50), region FROM cpu WHERE time >= '2020-02-28' AND time < '2020-03-04' GROUP BY region, time(6h) fill(100)
SELECT max(q), v, i, b FROM cpu WHERE time >= '2020-02-28' AND time < '2020-03-12' GROUP BY time(6h) fill(-3.5)
SELECT distinct(i) FROM cpu WHERE time >= '2020-03-02' AND time < '2020-03-04' GROUP BY time(1d)
SELECT count(v) FROM cpu WHERE time >= '2020-03-02' AND time < '2020-03-03' GROUP BY time(0s)
SELECT count(v) FROM cpu WHERE time >= '2020-03-02' AND time < '2020-03-03' GROUP BY time(-1h)
SELECT count(v) FROM cpu GROUP BY time(1h, 2h, 3h)
SELECT count(v) FROM cpu GROUP BY time
SELECT count(v) FROM cpu GROUP BY time('1h')
SELECT count(v) FROM cpu WHERE time >= '2020-03-02' AND time < '2020-03-03' GROUP BY time(1h), time(2h)
SELECT v FROM cpu fill(0)
SELECT mean(v) FROM cpu fill(0)
SELECT mean(v) FROM cpu WHERE time >= '2020-03-02' AND time < '2020-03-03' GROUP BY time(6h) fill(nonsense)
SELECT count(v) FROM cpu WHERE time >= '2021-01-01' AND time < '2021-01-02' GROUP BY time(6h)
SELECT count(v) FROM cpu WHERE time >= '2021-01-01' AND time < '2021-01-02'
SELECT mean(nosuch) FROM cpu
SELECT mean(nosuch), count(v) FROM cpu
SELECT mean(nosuch), count(v) FROM cpu WHERE time >= '2020-03-02' AND time < '2020-03-03' GROUP BY time(12h)
SELECT count(v), count(v) FROM cpu
SELECT count(v) AS n, mean(v) AS m FROM cpu
SELECT count(v) AS "time" FROM cpu
SELECT min(f), max(f) FROM extremes
SELECT sum(f) FROM extremes WHERE f > 1
SELECT sum(f), mean(f), spread(f), stddev(f), count(f) FROM extremes WHERE f > 1
SELECT f FROM extremes WHERE f > 1e300
SELECT f FROM extremes WHERE f = 0
SELECT f FROM extremes WHERE f = -0.0
SELECT f FROM extremes WHERE f < 0
SELECT i FROM extremes WHERE i > 9000000000000000000
SELECT i FROM extremes WHERE i = 9223372036854775807
SELECT i FROM extremes WHERE i = 9007199254740993
SELECT i FROM extremes WHERE i < 0.5
SELECT max(i), min(i) FROM extremes
SELECT max(i) FROM extremes
SELECT sum(i) FROM extremes
SELECT mean(i) FROM extremes
SELECT spread(i) FROM extremes
SELECT median(i) FROM extremes
SELECT first(f) FROM extremes
SELECT last(f) FROM extremes
SELECT count(f) FROM extremes WHERE time < 0
SELECT count(f) FROM extremes GROUP BY kind
SELECT distinct(f) FROM extremes
SELECT mode(f) FROM extremes WHERE kind = 'float'
SELECT percentile(f, 25) FROM extremes
SELECT f FROM extremes WHERE time = 0
SELECT f FROM extremes WHERE time < '1960-01-01'
SELECT f FROM extremes WHERE time > '2200-01-01'
SELECT f FROM extremes WHERE time < '1600-01-01'
SELECT f FROM extremes WHERE time > '2300-01-01'
SELECT f FROM extremes WHERE time > '9999-12-31T23:59:59Z'
SELECT f FROM extremes WHERE time < '0001-01-01'
SELECT f FROM extremes WHERE time >= '1677-09-21T00:12:43.145224194Z'
SELECT f FROM extremes WHERE time >= '1677-09-21T00:12:43.145224195Z'
SELECT f FROM extremes WHERE time <= '2262-04-11T23:47:16.854775806Z'
SELECT f FROM extremes WHERE time <= '2262-04-11T23:47:16.854775807Z'
SELECT f FROM extremes WHERE kind = 'late'
SELECT count(f) FROM extremes WHERE kind = 'before' AND time >= '1969-12-29' AND time < '1970-01-03' GROUP BY time(1d)
SELECT count(f) FROM extremes WHERE time >= '1969-12-20' AND time < '1970-01-20' GROUP BY time(1w)
SELECT s FROM extremes WHERE kind = 'long'
SELECT * FROM uns
SELECT * FROM uns ORDER BY time DESC LIMIT 5
SELECT u FROM uns WHERE u > 5
SELECT u FROM uns WHERE u > 18446744073709551000
SELECT u FROM uns WHERE u < 9.5
SELECT u FROM uns WHERE u > -1 LIMIT 3
SELECT u FROM uns WHERE u = n
SELECT u, n FROM uns WHERE u > n LIMIT 5
SELECT count(u), sum(u), mean(u) FROM uns
SELECT max(u), min(u), spread(u) FROM uns
SELECT max(u), t FROM uns
SELECT median(u), mode(u) FROM uns GROUP BY t
SELECT first(u), last(u), percentile(u, 50) FROM uns
SELECT stddev(u) FROM uns
SELECT distinct(u) FROM uns
SELECT count(distinct(u)) FROM uns
SELECT sum(u) FROM uns WHERE time >= '2020-03-01' AND time < '2020-03-01T00:01:00Z' GROUP BY time(10s) fill(linear)
SELECT max(u) FROM uns WHERE time >= '2020-03-01' AND time < '2020-03-01T00:02:00Z' GROUP BY time(20s) fill(previous)
SELECT mean(u) FROM uns WHERE time >= '2020-03-01' AND time < '2020-03-01T00:02:00Z' GROUP BY time(7s) fill(7)
SELECT abs(v), floor(v), ceil(v), round(v), sqrt(v) FROM cpu LIMIT 20
SELECT sin(v), cos(v), tan(v), atan(v), exp(v / 100), ln(abs(v) + 1) FROM cpu LIMIT 50
SELECT log2(abs(v) + 1), log10(abs(v) + 1), log(abs(v) + 1, 3), pow(v, 2), atan2(v, i) FROM cpu LIMIT 50
SELECT v FROM cpu WHERE sqrt(abs(v)) > 2 AND floor(v) != v LIMIT 10
SELECT round(mean(v)), pow(max(v), 2) FROM cpu GROUP BY host
SELECT sin(s) FROM cpu
SELECT asin(i) FROM cpu
SELECT sqrt() FROM cpu
SELECT i & 3, i | 8, i ^ 5, i % 7 FROM cpu LIMIT 20
SELECT v::integer, i::float / 2 FROM cpu LIMIT 20
SELECT mean(v) FROM cpu WHERE time >= '2020-03-01' AND time < '2020-03-02' GROUP BY time(6h) tz('America/New_York')
SELECT count(v) FROM cpu WHERE time >= '2020-03-01' AND time < '2020-03-10' GROUP BY time(1d) fill(none) tz('America/New_York')
SELECT count(v) FROM cpu WHERE time >= '2020-03-01' AND time < '2020-03-10' GROUP BY time(1d) ORDER BY time DESC tz('Asia/Kolkata')
SELECT v FROM cpu WHERE time >= '2020-03-01 05:30:00' LIMIT 3 tz('Asia/Kolkata')
SELECT v FROM cpu LIMIT 1 tz('Nowhere/Land')
SELECT v FROM cpu LIMIT 1; SELECT i FROM cpu LIMIT 1
SELECT v FROM cpu LIMIT 1; SHOW DATABASES; SELECT count(v) FROM cpu
SELECT v FROM cpu LIMIT 1; SELECT foo(v) FROM cpu; SELECT v FROM cpu LIMIT 1
SELECT v FROM nosuch; SELECT v FROM cpu LIMIT 1
SELECT v FROM cpu LIMIT 1; SELECT v FROM
SELECT v FROM cpu LIMIT 1;
SELECT v FROM cpu LIMIT 1;;
;
SELECT foo(v) FROM cpu
SELECT count(v, i) FROM cpu
SELECT count() FROM cpu
SELECT count(v), i FROM cpu
SELECT count(v), v FROM cpu
SELECT count(3) FROM cpu
SELECT count(v FROM cpu
SELECT v cpu
SELECT v FROM
SELECT FROM cpu
SELEC v FROM cpu
SELECT v FROM cpu WHERE
SELECT v FROM cpu WHERE host =
SELECT v FROM cpu WHERE host = 'a
SELECT "v FROM cpu
SELECT v FROM cpu GROUP
SELECT v FROM cpu GROUP BY
SELECT v FROM cpu LIMIT x
SELECT v FROM cpu LIMIT -1
SELECT v FROM cpu LIMIT 1.5
SELECT v FROM cpu LIMIT
SELECT v FROM cpu ORDER time
SELECT v FROM cpu nonsense
SELECT v,, i FROM cpu
SELECT v FROM cpu WHERE host ~ 'a'
SELECT v FROM cpu WHERE v > 1 AND
SELECT v FROM cpu WHERE (v > 1
SELECT v FROM cpu WHERE v > 99999999999999999999
SELECT v FROM cpu WHERE i > 99999999999999999999
SELECT v FROM cpu WHERE i = 5.0
SELECT v FROM cpu WHERE i = 5.5
SELECT v FROM cpu WHERE v > 1m
select V from cpu limit 1
sElEcT v fRoM cpu wHeRe host='a' lImIt 2
SELECT v FROM cpu -- a comment
SELECT /* a comment */ v FROM cpu LIMIT 1
SELECT v/*c*/FROM cpu LIMIT 1
  SELECT   v
    FROM cpu    LIMIT 1
SELECT max(m) FROM (SELECT mean(v) AS m FROM cpu GROUP BY host)
SELECT mean(m) FROM (SELECT mean(v) AS m FROM cpu GROUP BY host) GROUP BY region
SELECT max(m), host FROM (SELECT max(v) AS m FROM cpu GROUP BY host)
SELECT * FROM (SELECT * FROM cpu) LIMIT 50
SELECT * FROM (SELECT v, s FROM cpu GROUP BY * LIMIT 3)
SELECT * FROM (SELECT v, s FROM cpu GROUP BY * LIMIT 3) GROUP BY host
SELECT count(v) FROM (SELECT v, i FROM cpu WHERE b = true) WHERE i > 0
SELECT m FROM (SELECT mean(v) AS m FROM cpu WHERE time >= '2020-03-02T00:00:00Z' AND time < '2020-03-09T00:00:00Z' GROUP BY time(1d), host)
SELECT mean(m), last(m) FROM (SELECT max(v) AS m FROM cpu WHERE time >= '2020-03-02T00:00:00Z' AND time < '2020-03-09T00:00:00Z' GROUP BY time(1d), host) GROUP BY region
SELECT sum(m), count(m) FROM (SELECT max(v) AS m FROM cpu WHERE time >= '2020-03-02T00:00:00Z' AND time < '2020-03-09T00:00:00Z' GROUP BY time(1d), host fill(0))
SELECT m FROM (SELECT max(v) AS m FROM cpu WHERE time >= '2020-03-02T00:00:00Z' AND time < '2020-03-09T00:00:00Z' GROUP BY time(2d), host fill(previous)) ORDER BY time DESC
SELECT a - b FROM (SELECT max(v) AS a, min(v) AS b FROM cpu WHERE time >= '2020-03-02T00:00:00Z' AND time < '2020-03-09T00:00:00Z' GROUP BY time(1d), host) WHERE a > b + 1000
SELECT derivative(mean(m), 1d) FROM (SELECT max(v) AS m FROM cpu GROUP BY host) WHERE time >= '2020-03-02T00:00:00Z' AND time < '2020-03-09T00:00:00Z' GROUP BY time(1d)
SELECT top(m, host, 3) FROM (SELECT mean(v) AS m FROM cpu WHERE time >= '2020-03-02T00:00:00Z' AND time < '2020-03-09T00:00:00Z' GROUP BY time(1d), host)
SELECT top, host FROM (SELECT top(v, host, 3) FROM cpu)
SELECT mean(d) FROM (SELECT difference(v) AS d FROM cpu GROUP BY host)
SELECT percentile(m, 50), count(distinct(m)) FROM (SELECT max(i) AS m FROM cpu WHERE time >= '2020-03-02T00:00:00Z' AND time < '2020-03-09T00:00:00Z' GROUP BY time(1d), host)
SELECT max(mm) FROM (SELECT min(m) AS mm FROM (SELECT max(v) AS m FROM cpu WHERE time >= '2020-03-02T00:00:00Z' AND time < '2020-03-09T00:00:00Z' GROUP BY time(1d), host, region) GROUP BY region)
SELECT mean(temperature) FROM (SELECT temperature FROM shared WHERE time >= '2020-03-01T05:00:00Z' AND time < '2020-03-01T05:40:00Z' GROUP BY devid) GROUP BY devgroup
SELECT sum(m) FROM (SELECT mean(humidity) AS m FROM shared WHERE time >= '2020-03-01T05:00:00Z' AND time < '2020-03-01T05:40:00Z' GROUP BY devgroup, time(5m)) WHERE time >= '2020-03-01T05:00:00Z' AND time < '2020-03-01T05:40:00Z' GROUP BY time(10m)
SELECT m FROM (SELECT max(humidity) AS m FROM shared WHERE time >= '2020-03-01T05:00:00Z' AND time < '2020-03-01T05:40:00Z' GROUP BY devid, time(10m)), (SELECT min(value) AS m FROM single)
SELECT count(x) FROM (SELECT v AS x FROM cpu), (SELECT value AS x FROM single), many
SELECT v FROM (SELECT v FROM mixed) LIMIT 10
SELECT host FROM (SELECT mean(v) FROM cpu GROUP BY host)
SELECT nosuch FROM (SELECT v FROM cpu)
SELECT v FROM (SELECT v FROM cpu ORDER BY time DESC)
SELECT mean(v) FROM (SELECT mean(v), i FROM cpu)
SELECT mean(x) FROM (SELECT v AS x FROM nosuch)
SELECT mean(x) FROM (SELECT v AS x FROM nosuch..cpu)
"""

FIELDS = {
    "cpu": {"v": "number", "i": "number", "b": "boolean", "s": "string", "q": "number"},
    "shared": {"humidity": "number", "temperature": "number"},
    "single": {"value": "number", "n": "number"},
    "many": {"v": "number", "n": "number"},
}
TAGS = {"cpu": ["host", "region"], "shared": ["devgroup", "devid", "devname"], "single": [], "many": ["t"]}
VALUES = {"host": ["a", "b", "d", "é", "nosuch", ""], "region": ["eu", "us", "日本", ""], "devgroup": ["0", "1", "2"],
          "devid": ["3", "7", "11"], "devname": ["dev_1", "dev_5"], "t": ["one", "two"]}
REGEXES = {"host": ["^[a-c]$", "a|b", "", "^.$"], "region": ["u", "^e", ".+"], "devgroup": ["[12]", "^0"],
           "devid": ["1", "^[1-5]$"], "devname": ["_1", "dev_[0-9]$"], "t": ["o"]}
RANGE = {"cpu": (START, END), "shared": (START + 5 * HOUR, START + 6 * HOUR), "single": (START + DAY, START + DAY + 10 * HOUR),
         "many": (START + 2 * DAY, START + 2 * DAY + HOUR)}
BY_TYPE = {
    "number": ["count", "sum", "mean", "min", "max", "spread", "first", "last", "stddev", "median", "mode", "percentile",
               "distinct"],
    "boolean": ["count", "first", "last", "min", "max", "mode", "distinct"],
    "string": ["count", "first", "last", "mode", "distinct"],
}
SELECTORS = ["min", "max", "first", "last", "percentile"]
# The answer of these depends on the order of equal timestamps (stddev: of summation; percentile: of equal values).
ORDER_MATTERS = {"stddev", "percentile"}


def rfc3339(ns):
    import datetime
    t = datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=ns // 10**9)
    return t.strftime("'%Y-%m-%dT%H:%M:%SZ'")


class Grammar:
    def __init__(self, seed):
        self.rng = random.Random(seed)

    def chance(self, p):
        return self.rng.random() < p

    def pick(self, items):
        return self.rng.choice(list(items))

    def some(self, items, most):
        items = list(items)
        return self.rng.sample(items, min(len(items), self.rng.randint(1, most)))

    def call(self, measurement, unordered):
        field = self.pick(FIELDS[measurement])
        functions = BY_TYPE[FIELDS[measurement][field]]
        if unordered:
            functions = [f for f in functions if f not in ORDER_MATTERS]
        function = self.pick(functions)
        if function == "percentile":
            return function, "percentile(%s, %s)" % (field, self.pick(["5", "50", "90", "99.5", "100"]))
        if function == "distinct" and self.chance(0.5):
            return "count", "count(distinct(%s))" % field
        return function, "%s(%s)" % (function, field)

    def time_bounds(self, measurement, bounded):
        first, last = RANGE[measurement]
        span = last - first
        a = first + self.rng.randrange(-span // 8, span)
        b = a + self.rng.randrange(span // 16, span)
        a, b = a // 10**9 * 10**9, b // 10**9 * 10**9
        forms = [lambda t: rfc3339(t), lambda t: str(t), lambda t: "%ds" % (t // 10**9), lambda t: "%dms" % (t // 10**6)]
        low = "time %s %s" % (self.pick([">", ">="]), self.pick(forms)(a))
        high = "time %s %s" % (self.pick(["<", "<="]), self.pick(forms)(b))
        if bounded:
            return [low, high], b - a
        return self.pick([[low], [high], [low, high]]), b - a

    def tag_condition(self, measurement):
        tag = self.pick(TAGS[measurement])
        if self.chance(0.4):
            return "%s %s /%s/" % (tag, self.pick(["=~", "!~"]), self.pick(REGEXES[tag]))
        return "%s %s '%s'" % (tag, self.pick(["=", "!="]), self.pick(VALUES[tag]))

    def field_condition(self, measurement):
        field = self.pick(FIELDS[measurement])
        kind = FIELDS[measurement][field]
        if kind == "number":
            return "%s %s %s" % (field, self.pick(["<", "<=", ">", ">=", "=", "!="]),
                                 self.pick(["0", "10", "-25", "100.5", "500", "7"]))
        if kind == "boolean":
            return "%s %s %s" % (field, self.pick(["=", "!="]), self.pick(["true", "false"]))
        if self.chance(0.4):
            return "%s %s /%s/" % (field, self.pick(["=~", "!~"]), self.pick(["^b", "s", "語", "^$"]))
        return "%s %s '%s'" % (field, self.pick(["=", "!="]), self.pick(["idle", "", "日本語", "two words"]))

    def conditions(self, measurement, depth=2):
        if depth and self.chance(0.45):
            op = self.pick([" AND ", " OR "])
            text = op.join(self.conditions(measurement, depth - 1) for _ in range(self.rng.randint(2, 3)))
            return "(" + text + ")"
        if TAGS[measurement] and self.chance(0.5):
            return self.tag_condition(measurement)
        return self.field_condition(measurement)

    def group_by(self, measurement, by_time, span):
        parts = []
        if by_time:
            interval = max(span // self.rng.randint(3, 40) // (60 * 10**9), 1)
            offset = ", %dm" % self.rng.randint(-90, 90) if self.chance(0.25) else ""
            parts.append("time(%dm%s)" % (interval, offset))
        if TAGS[measurement] and self.chance(0.5):
            parts += ["*"] if self.chance(0.25) else self.some(TAGS[measurement], 2)
        self.rng.shuffle(parts)
        return parts

    def tail(self, raw):
        text = ""
        if self.chance(0.3):
            text += " ORDER BY time " + self.pick(["DESC", "DESC", "ASC"])
        if raw or self.chance(0.25):
            text += " LIMIT %d" % self.rng.randint(1, 40)
            if self.chance(0.3):
                text += " OFFSET %d" % self.rng.randint(1, 20)
        if self.chance(0.15):
            text += " SLIMIT %d" % self.rng.randint(1, 3)
            if self.chance(0.5):
                text += " SOFFSET %d" % self.rng.randint(1, 3)
        return text

    def raw(self):
        measurement = self.pick(["cpu", "cpu", "shared", "single", "many"])
        columns = ["*"] if self.chance(0.25) else self.some(list(FIELDS[measurement]) + TAGS[measurement], 4)
        text = "SELECT %s FROM %s" % (", ".join(columns), measurement)
        where = []
        if self.chance(0.5):
            where += self.time_bounds(measurement, False)[0]
        if self.chance(0.6):
            where.append(self.conditions(measurement))
        if where:
            text += " WHERE " + " AND ".join(where)
        if TAGS[measurement] and self.chance(0.3):
            text += " GROUP BY " + ", ".join(self.group_by(measurement, False, 0) or ["*"])
        return text + self.tail(True)

    def aggregate(self):
        measurement = self.pick(["cpu", "cpu", "cpu", "shared", "single", "many"])
        calls = [self.call(measurement, measurement == "shared") for _ in range(self.pick([1, 1, 1, 2, 3]))]
        if len(calls) > 1:  # distinct stands alone
            calls = [c for c in calls if c[0] != "distinct"] or [("count", "count(%s)" % self.pick(FIELDS[measurement]))]
        columns = [c[1] for c in calls]
        if len(calls) == 1 and calls[0][0] in SELECTORS and measurement != "shared" and self.chance(0.3):
            columns += self.some(list(FIELDS[measurement]) + TAGS[measurement], 2)
        by_time = self.chance(0.5)
        where, span = [], 0
        if by_time or self.chance(0.4):
            where, span = self.time_bounds(measurement, by_time)
        if self.chance(0.45):
            where = where + [self.conditions(measurement)]
        text = "SELECT %s FROM %s" % (", ".join(columns), measurement)
        if where:
            text += " WHERE " + " AND ".join(where)
        group = self.group_by(measurement, by_time, span)
        if group:
            text += " GROUP BY " + ", ".join(group)
        if by_time and self.chance(0.7):
            text += " fill(%s)" % self.pick(["null", "none", "previous", "linear", "0", "-3.5", "100"])
        return text + self.tail(False)


class Shape:
    def __init__(self, text, epoch, database="d"):
        self.text, self.epoch, self.database = text, epoch, database


def all_shapes(generated=400, seed=20200301):
    """The whole list, each text once."""
    texts = [line for line in HAND.strip("\n").split("\n")]
    texts[-2:] = ["\n".join(texts[-2:])]
    grammar = Grammar(seed)
    seen = set(texts)
    made = []
    while len(made) < generated:
        text = grammar.raw() if grammar.chance(0.4) else grammar.aggregate()
        if text not in seen:
            seen.add(text)
            made.append(text)
    shapes = [Shape(text, EPOCHS[zlib.crc32(text.encode()) % len(EPOCHS)]) for text in texts + made]
    for text in ["SELECT v FROM cpu", "SHOW MEASUREMENTS", "SHOW SERIES", "SHOW TAG KEYS", "SHOW FIELD KEYS",
                 "SHOW RETENTION POLICIES", "SHOW TAG VALUES WITH KEY = host"]:
        for database in ["", "nosuch", "empty"]:
            shapes.append(Shape(text, "", database))
    return shapes
