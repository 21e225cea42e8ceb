'use strict'

// Exemplars in an exporter's message: by doubles of what OpenTelemetry's SDK has, and what is not as known.

const assert = require('node:assert')
const test = require('node:test')
const { run } = require('./helper')

const DOUBLES = `
  const exemplars = require('cprof/exemplars')
  const span = n => ({ getValue: () => ({ spanContext: () => ({ traceId: 'a'.repeat(32), spanId: n.repeat(16), traceFlags: 1 }) }) })
  const unsampled = { getValue: () => ({ spanContext: () => ({ traceId: 'a'.repeat(32), spanId: 'c'.repeat(16), traceFlags: 0 }) }) }
  const meter = { createHistogram: () => ({ record () {} }), createCounter: () => ({}) }
  const provider = { getMeter: () => meter }
  const serializer = { serializeRequest: metrics => new TextEncoder().encode(JSON.stringify({ resourceMetrics: [{
    scopeMetrics: metrics.scopeMetrics.map(scope => ({ metrics: scope.metrics.map(({ dataPoints }) => (
      { histogram: { dataPoints: dataPoints.map(() => ({})) } })) })) }] })) }
  const exporter = { _delegate: { _serializer: serializer } }
  const send = points => JSON.parse(new TextDecoder().decode(exporter._delegate._serializer.serializeRequest({
    scopeMetrics: [{ scope: { name: 'shop' }, metrics: [{ descriptor: { name: 'took' }, dataPoints: points.map(attributes => ({ attributes })) }] }]
  }))).resourceMetrics[0].scopeMetrics[0].metrics[0].histogram.dataPoints
`

async function say (program) {
  const result = await run(['-e', DOUBLES + program])
  assert.strictEqual(result.code, 0, result.stderr)
  return { lines: result.stderr, said: result.stdout === '' ? null : JSON.parse(result.stdout) }
}

test('a value names its span, and its point has it', async () => {
  const { lines, said } = await say(`
    const cprof = require('cprof')
    exemplars(provider, exporter)
    const took = provider.getMeter('shop').createHistogram('took')
    took.record(1.5, { route: '/a', user: 7 }, span('1'))
    cprof.start({ exporter: 'none' })
    took.record(2.5, { route: '/b' }, span('2'))
    took.record(3, { route: '/b' }, unsampled)
    took.record(4, { route: '/c' }, span('3'))
    took.record(5, { route: '/b' }, { getValue () { throw new Error() } })
    const points = send([{ route: '/b' }, { route: '/a' }])
    const again = send([{ route: '/b' }, { route: '/a' }])
    cprof.stop().then(() => console.log(JSON.stringify({ points, again })))`)
  assert.strictEqual(lines, '')
  const [[b], [a]] = said.points.map(point => point.exemplars)
  assert.deepStrictEqual([a.asDouble, a.spanId, a.filteredAttributes],
    [1.5, '1'.repeat(16), [{ key: 'user', value: { stringValue: '7' } }]])
  assert.deepStrictEqual([b.asDouble, b.spanId, b.traceId], [2.5, '2'.repeat(16), 'a'.repeat(32)])
  assert.strictEqual(b.filteredAttributes[0].key, 'profile.id')
  assert.match(b.filteredAttributes[0].value.stringValue, /^[0-9a-f]{32}$/)
  assert.deepStrictEqual(said.again, [{}, {}])
})

test('what is kept of a histogram is bounded', async () => {
  const { said } = await say(`
    exemplars(provider, exporter)
    const took = provider.getMeter('shop').createHistogram('took')
    for (let i = 0; i < 10000; i++) took.record(i, {}, span('1'))
    console.log(JSON.stringify(send([{}])[0].exemplars.length))`)
  assert.strictEqual(said, 16)
})

test('what is not as known is one line, and stays as it is', async () => {
  const { lines, said } = await say(`
    const packed = { _delegate: { _serializer: { serializeRequest: () => new Uint8Array([10, 0]) } } }
    console.log(JSON.stringify([exemplars({}, exporter), exemplars(provider, {}), exemplars(provider, packed)]))`)
  assert.deepStrictEqual(said, [false, false, false])
  assert.deepStrictEqual(lines.trim().split('\n').map(line => line.replace('cprof: histograms have no exemplars: ', '')), [
    'the first argument is no MeterProvider',
    'the second argument is no OTLP exporter as this version knows it',
    'the exporter does not send JSON: take that of @opentelemetry/exporter-metrics-otlp-http'])
})
