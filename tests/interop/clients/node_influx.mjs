// What users of node-influx do; prints every answer. Arguments: port.
import {createRequire} from 'node:module'
const require = createRequire(process.env.CLIENT_MODULES + '/')
const Influx = require('influx')

const influx = new Influx.InfluxDB({
  host: '127.0.0.1', port: Number(process.argv[2]), database: 'node',
  schema: [{measurement: 'response_times', fields: {path: Influx.FieldType.STRING, latency: Influx.FieldType.INTEGER,
    load: Influx.FieldType.FLOAT, ok: Influx.FieldType.BOOLEAN}, tags: ['host']}],
})
const show = (title, value) => console.log(title + ': ' + JSON.stringify(value))
const refused = async (title, call) => {
  try { show(title, await call()) } catch (e) { console.log(title + ': refused: ' + e.message) }
}

show('hosts', (await influx.ping(5000)).map(h => h.online))
await influx.createDatabase('node')
show('databases', (await influx.getDatabaseNames()).filter(n => n === 'node'))
await influx.createRetentionPolicy('day', {database: 'node', duration: '1d', replication: 1, isDefault: false})
show('policies', await influx.showRetentionPolicies('node'))
await influx.writePoints(Array.from({length: 20}, (_, i) => ({
  measurement: 'response_times', tags: {host: 'h ' + i % 2},
  fields: {path: '/a"b\\' + i, latency: i * 10, load: i / 8, ok: i % 3 === 0},
  timestamp: new Date(1600000000000 + i * 60000)})))
await influx.writeMeasurement('perf', [{tags: {box: 'eu'}, fields: {cpu: 12.5}, timestamp: '1600000000000000001'}], {precision: 'n'})
show('rows', await influx.query('select * from response_times order by time desc limit 3'))
const results = await influx.query(['select count(load) from response_times group by host', 'select * from perf'], {precision: 'n'})
show('several', results)
show('raw', await influx.queryRaw('select mean(latency) from response_times group by host, time(10m) limit 2'))
show('bound', await influx.query('select load from response_times where host = $h', {placeholders: {h: 'h 1'}}))
show('nanoseconds', (await influx.query('select * from perf')).map(r => r.time.getNanoTime()))
show('measurements', await influx.getMeasurements())
show('series', await influx.getSeries())
await influx.createUser('ann', 'pass', false)
await influx.grantPrivilege('ann', 'READ', 'node')
show('users', await influx.getUsers())
await influx.revokePrivilege('ann', 'READ', 'node')
await influx.setPassword('ann', 'word')
await influx.dropUser('ann')
await influx.createContinuousQuery('downsample', 'SELECT mean(load) INTO hourly FROM response_times GROUP BY time(1h)', 'node')
show('continuous queries', await influx.showContinousQueries('node'))
await influx.dropContinuousQuery('downsample', 'node')
await refused('conflict', () => influx.writeMeasurement('perf', [{tags: {box: 'eu'}, fields: {cpu: 'text'}, timestamp: '1600000000000000002'}], {precision: 'n'}))
await refused('bad query', () => influx.query('selec'))
await influx.dropSeries({measurement: m => m.name('response_times'), where: e => e.tag('host').equals.value('h 1'), database: 'node'})
show('left', await influx.query('select count(load) from response_times group by host'))
await influx.dropMeasurement('perf', 'node')
show('measurements', await influx.getMeasurements())
await influx.dropDatabase('node')
show('databases', (await influx.getDatabaseNames()).filter(n => n === 'node'))
