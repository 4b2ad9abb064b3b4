#!/bin/sh
# What people do in the influx shell; prints every answer. Arguments: port, a folder for files.
set -u
influx="influx -host 127.0.0.1 -port $1"
run() {
    echo "== $*"
    $influx "$@" 2>&1
    echo "-- $?"
}
run -execute 'CREATE DATABASE shell'
cat >"$2/import" <<'END'
# DDL
CREATE DATABASE imported
CREATE RETENTION POLICY two ON imported DURATION INF REPLICATION 1
# DML
# CONTEXT-DATABASE: imported
# CONTEXT-RETENTION-POLICY: two
cpu,host=a value=1 1600000000
cpu,host=b value=2 1600000001
cpu,host=b bad 1600000001
cpu,host=c value=3 1600000002
END
run -import -path "$2/import" -precision s | sed -E 's/^[0-9/]+ [0-9:]+ //'
gzip -c "$2/import" >"$2/import.gz"
run -import -compressed -path "$2/import.gz" -precision s | sed -E 's/^[0-9/]+ [0-9:]+ //'
run -database imported -execute 'SELECT * FROM two.cpu'
for format in column csv json; do
    run -database shell -format $format -precision rfc3339 -execute "INSERT weather,city=x\ y t=1.5,n=3i,s=\"a b\" 1600000000000000000"
    run -database shell -format $format -precision rfc3339 -execute 'SELECT * FROM weather'
    run -database shell -format $format -precision ms -execute 'SELECT mean(t) FROM weather GROUP BY city'
    run -database shell -format $format -execute 'SHOW MEASUREMENTS; SHOW TAG KEYS; SHOW FIELD KEYS'
    run -database shell -format $format -execute 'SELECT nosuch FROM weather; SHOW SERIES'
done
run -database shell -pretty -format json -execute 'SELECT * FROM weather'
run -execute 'SELECT * FROM nosuch'
run -database nosuch -execute 'SELECT * FROM m'
run -database shell -execute 'SELEC'
run -execute 'SHOW RETENTION POLICIES ON shell'
echo '== a query from a pipe'
echo 'SELECT * FROM weather LIMIT 1; SHOW TAG VALUES WITH KEY = city' | $influx -database shell 2>&1
run -execute 'DROP DATABASE shell; DROP DATABASE imported'
run -execute 'SHOW DATABASES'
