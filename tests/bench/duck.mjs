// tests/bench/duck.mjs: one DuckDB process: node duck.mjs DATABASE SQL. The rows of the last statement go to stdout as
// JSON, the seconds that the statements took (without the start of node and the opening of the file) to stderr.
import { DuckDBInstance } from '@duckdb/node-api';

const [path, sql] = process.argv.slice(2);
if (sql === undefined) {
    console.error('usage: node duck.mjs DATABASE SQL');
    process.exit(2);
}
const instance = await DuckDBInstance.create(path, { threads: String(process.env.DUCK_THREADS ?? 2) });
const connection = await instance.connect();
const start = process.hrtime.bigint();
const reader = await connection.runAndReadAll(sql);
const rows = reader.getRowsJson();
const seconds = Number(process.hrtime.bigint() - start) / 1e9;
console.log(JSON.stringify(rows));
console.error(seconds.toFixed(6));
connection.closeSync();
instance.closeSync();
