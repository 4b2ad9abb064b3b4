// Writing with InfluxData's client for version 2, as InfluxDB 1.8 takes it; prints every answer. Arguments: port.
import {createRequire} from 'node:module'
const require = createRequire(process.env.CLIENT_MODULES + '/')
const {InfluxDB, Point, HttpError} = require('@influxdata/influxdb-client')

const client = new InfluxDB({url: 'http://127.0.0.1:' + process.argv[2], token: 'someone:secret'})
const api = client.getWriteApi('', 'v2/autogen', 'ms', {maxRetries: 0, batchSize: 50})
api.useDefaultTags({region: 'west'})
for (let i = 0; i < 200; i++)
  api.writePoint(new Point('temperature').tag('room', 'r ' + i % 4).floatField('value', i / 2).intField('n', i)
    .stringField('note', 'a "b"').booleanField('on', i % 2 === 1).timestamp(1600000000000 + i))
await api.close()
console.log('written')
const bad = client.getWriteApi('', 'nosuch', 'ns', {maxRetries: 0, writeFailed: (error) => {
  console.log('refused: ' + error.statusCode + ' ' + error.message)
}})
bad.writeRecord('m v=1')
try { await bad.close() } catch (e) { console.log('closed: ' + (e instanceof HttpError)) }
