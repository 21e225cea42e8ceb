'use strict'

// Samples carry the OpenTelemetry span that was active when they were taken.

const assert = require('node:assert')
const fs = require('node:fs')
const path = require('node:path')
const { test } = require('node:test')
const { folder, fresh, major, Profile, profileSource, run } = require('./helper')

let skip = false
try {
  require.resolve('@opentelemetry/sdk-trace-node')
} catch {
  skip = 'no OpenTelemetry packages'
}

// By V8's slot where it has one, else by async hooks; 22 has both.
const env = { CPROF_ASYNC_HOOKS: major < 24 ? 'on' : 'off' }
const WAYS = { '': {} }
if (major === 22) {
  WAYS[', by --experimental-async-context-frame'] =
    { args: ['--experimental-async-context-frame'], env: { CPROF_ASYNC_HOOKS: 'off' } }
}

// `named` makes functions that burn, by whose names a stack tells in which span it was taken.
const TRACER = `
const { context, trace, ROOT_CONTEXT, INVALID_SPAN_CONTEXT } = require('@opentelemetry/api')
const { NodeTracerProvider } = require('@opentelemetry/sdk-trace-node')
const register = () => new NodeTracerProvider().register()
const told = {}
const tell = (name, span) => { told[name] = span.spanContext().traceId + ':' + span.spanContext().spanId }
const inSpan = (name, run) => trace.getTracer('test').startActiveSpan(name, span => { tell(name, span); return run(span) })
// This thread's CPU time in ms; the process's, which has that of cprof's threads, is asked for since that
// brings the other up to date.
const used = require('node:fs').openSync('/proc/thread-self/schedstat')
const digits = Buffer.alloc(64)
const cpu = () => {
  process.cpuUsage()
  require('node:fs').readSync(used, digits, 0, 64, 0)
  return Number(digits.latin1Slice(0, digits.indexOf(' '))) / 1e6
}
let sink = 0
const burn = ms => { const end = cpu() + ms; while (cpu() < end) for (let i = 0; i < 20000; i++) sink += i }
const functions = {}
const named = name => functions[name] ??= new Function('burn', 'return function in_' + name + ' (ms) { burn(ms); return 1 }')(burn)
const pause = () => new Promise(resolve => setTimeout(resolve, 1))
process.on('exit', () => console.log(JSON.stringify(told)))
`

const linkOf = sample => sample.labels.trace_id && `${sample.labels.trace_id}:${sample.labels.span_id}`

async function profiled (source, options = {}) {
  const profile = await profileSource(TRACER + source, { ...options, env: { ...env, ...options.env } })
  return Object.assign(profile, { told: JSON.parse(profile.stdout.trim().split('\n').at(-1)) })
}

// Of the samples in the function 99.9 % carry exactly that link; undefined for none.
function assertLinked (profile, name, link) {
  const inside = profile.samples.filter(profile.under('in_' + name))
  const total = inside.reduce((sum, s) => sum + s.count, 0)
  const right = inside.reduce((sum, s) => sum + (linkOf(s) === link ? s.count : 0), 0)
  assert.ok(total >= 8, `only ${total} samples in ${name}`)
  assert.ok(right >= 0.999 * total, `${name}: ${right} of ${total} carry ${link}`)
}

for (const [way, options] of Object.entries(WAYS)) for (const when of ['before cprof', 'after cprof', 'late']) {
  test(`a context manager that is registered ${when} is followed${way}`, { skip }, async () => {
    const profile = await profiled(`
if (${when === 'before cprof'}) register()
const cprof = require('cprof')
cprof.start()
if (${when === 'after cprof'}) register()
const main = () => { inSpan('a', () => named('a')(150)); named('none')(150) }
if (${when === 'late'}) setTimeout(() => { register(); main() }, 20); else main()
`, { ...options, env: { ...options.env, CPROF_ENABLED: 'off' } })
    assertLinked(profile, 'a', profile.told.a)
    assertLinked(profile, 'none', undefined)
  })
}

test('a span is found across await, timers, emitters and nested spans', { skip }, async () => {
  const profile = await profiled(`
register()
const { EventEmitter } = require('node:events')
async function main () {
  await inSpan('outer', async () => {
    named('begin')(100)
    await 1; named('awaited')(100)
    await pause(); named('timer')(100)
    await new Promise(resolve => setImmediate(() => { named('immediate')(100); resolve() }))
    await new Promise(resolve => process.nextTick(() => { named('tick')(100); resolve() }))
    const emitter = context.bind(context.active(), new EventEmitter())
    emitter.on('event', () => named('event')(100))
    setTimeout(() => context.with(ROOT_CONTEXT, () => emitter.emit('event')), 1)
    await pause(); await pause()
    await inSpan('inner', async () => { named('inner')(100); await pause(); named('inner')(100) })
    named('back')(100)
    context.with(ROOT_CONTEXT, () => named('root')(100))
    require('node:fs').stat('/', () => named('callback')(100))
    await pause()
  })
  named('after')(100)
}
main()
`)
  const { told } = profile
  for (const name of ['begin', 'awaited', 'timer', 'immediate', 'tick', 'event', 'back', 'callback']) {
    assertLinked(profile, name, told.outer)
  }
  assertLinked(profile, 'inner', told.inner)
  for (const name of ['root', 'after']) assertLinked(profile, name, undefined)
})

for (const [way, options] of Object.entries(WAYS)) test(`each of 300 interleaved requests of work 1:2:4 has its own samples${way}`, { skip }, async () => {
  const profile = await profiled(`
register()
const http = require('node:http')
const server = http.createServer((request, response) => {
  const name = request.url.slice(1)
  const work = named(name)
  inSpan(name, async span => {
    for (let i = 0; i < 5; i++) { work(2 * Number(name.split('_')[1])); await pause() }
    span.end()
    response.end()
  })
})
const get = name => new Promise(resolve => http.get({ port: server.address().port, path: '/' + name, agent: false },
  response => response.resume().on('end', resolve)))
server.listen(0, async () => {
  for (let batch = 0; batch < 5; batch++) {
    await Promise.all(Array.from({ length: 60 }, (_, i) => get('r' + (batch * 60 + i) + '_' + (1 << i % 3))))
  }
  server.close()
})
`, { ...options, seconds: 240 })
  const { told } = profile
  assert.strictEqual(Object.keys(told).length, 300)
  const shares = { 1: 0, 2: 0, 4: 0 }
  let inside = 0
  let right = 0
  for (const sample of profile.samples) {
    const request = sample.stack.map(frame => /^in_(r\d+_(\d))$/.exec(frame.name)).find(Boolean)
    if (!request) continue
    inside += sample.count
    shares[request[2]] += sample.count
    if (linkOf(sample) === told[request[1]]) right += sample.count
  }
  assert.ok(inside > 1000 && right >= 0.999 * inside, `${right} of ${inside}`)
  for (const units of [1, 2, 4]) {
    assert.ok(Math.abs(shares[units] / inside - units / 7) < 0.03, JSON.stringify(shares))
  }
})

test('labels and spans are independent of each other', { skip }, async () => {
  const profile = await profiled(`
register()
const cprof = require('cprof')
cprof.labels({ tenant: 'a' }, async () => {
  await inSpan('s', async () => {
    await pause(); named('both')(80)
    cprof.labels({ tenant: 'b', more: 1 }, () => named('inner')(80))
  })
  named('label')(80)
})
`)
  const labels = name => new Set(profile.samples.filter(profile.under('in_' + name))
    .map(({ labels }) => `${labels.tenant} ${labels.more}`))
  assertLinked(profile, 'both', profile.told.s)
  assertLinked(profile, 'inner', profile.told.s)
  assertLinked(profile, 'label', undefined)
  assert.deepStrictEqual([...labels('both')], ['a undefined'])
  assert.deepStrictEqual([...labels('inner')], ['b 1'])
})

// The second way to follow JavaScript (ways.test.js), where V8's slot is not read.
test('by samples of V8 a span is found across await and timers, and so are labels', { skip }, async () => {
  const profile = await profiled(`
register()
const cprof = require('cprof')
async function main () {
  await inSpan('outer', async () => {
    named('begin')(100)
    await 1; named('awaited')(100)
    await pause(); named('timer')(100)
    await inSpan('inner', async () => { await pause(); named('inner')(100) })
    await cprof.labels({ tenant: 'a' }, async () => { await pause(); named('labelled')(100) })
    named('back')(100)
  })
  named('after')(100)
}
main()
`, { env: { CPROF_ASYNC_HOOKS: 'on', CPROF_TEST_SELF_TEST: 'frames' } })
  assert.match(profile.stderr, /followed by samples and code events of V8/)
  for (const name of ['begin', 'awaited', 'timer', 'labelled', 'back']) assertLinked(profile, name, profile.told.outer)
  assertLinked(profile, 'inner', profile.told.inner)
  assertLinked(profile, 'after', undefined)
  const tenants = name => [...new Set(profile.samples.filter(profile.under('in_' + name)).map(({ labels }) => labels.tenant))]
  assert.deepStrictEqual(tenants('labelled'), ['a'])
  assert.deepStrictEqual(tenants('back'), [undefined])
})

test('the label sets of workers that have ended make room for others', async () => {
  const profile = await profileSource(`
const { Worker, isMainThread, workerData } = require('node:worker_threads')
const cprof = require('cprof')
function spin () { const end = process.cpuUsage().user + 2e5; while (process.cpuUsage().user < end); }
async function main () {
  for (let i = 0; i < 7; i++) await new Promise(resolve => new Worker(__filename, { workerData: i }).on('exit', resolve))
  for (let i = 0; i < 3; i++) await cprof.flush() // those that samples might name stay till then
  cprof.labels({ tenant: 'late' }, spin)
}
if (isMainThread) main()
else for (let i = 0; i < 700; i++) cprof.labels({ request: workerData + '-' + i }, () => {}) // of 4096
`)
  const tenants = new Set(profile.samples.filter(profile.under('spin')).map(({ labels }) => labels.tenant))
  assert.deepStrictEqual([...tenants], ['late'])
})

test('spans survive garbage collections', { skip }, async () => {
  const profile = await profiled(`
register()
const churn = function in_churn (ms) { const end = cpu() + ms; while (cpu() < end) { let a = []; for (let i = 0; i < 1e4; i++) a.push({ i }) } }
const quiet = function in_quiet (ms) { const end = cpu() + ms; while (cpu() < end) { let a = []; for (let i = 0; i < 1e4; i++) a.push({ i }) } }
inSpan('s', async () => { churn(300); await pause(); churn(300) }).then(() => quiet(300))
`)
  assertLinked(profile, 'churn', profile.told.s)
  assertLinked(profile, 'quiet', undefined)
})

test('foreign and broken spans cost the link and nothing else', { skip }, async () => {
  const profile = await profiled(`
register()
const T = '0123456789abcdef0123456789abcdef', S = '0123456789abcdef'
const answer = value => ({ spanContext: () => value })
const getter = name => ({ get [name] () { throw new Error('no') } })
const spans = {
  foreign: answer({ traceId: T, spanId: S }),
  throws: { spanContext () { throw new Error('no') } },
  nothing: {}, number: 7, none: answer(undefined), short: answer({ traceId: '12', spanId: '34' }),
  text: answer({ traceId: 'x'.repeat(32), spanId: 'y'.repeat(16) }), frozen: Object.freeze(answer(null)),
  long: answer({ traceId: T.repeat(1 << 15), spanId: S.repeat(1 << 15) }), nul: answer({ traceId: T.slice(1) + '\\0', spanId: S }),
  spaces: answer({ traceId: T.slice(8) + ' '.repeat(8), spanId: S }), getter: getter('spanContext'), id: answer(getter('traceId')),
  array: answer({ traceId: [...T], spanId: [...S] }), text_of: answer({ traceId: { toString () { throw new Error('no') } }, spanId: S }),
  remote: answer({ traceId: T, spanId: S, isRemote: true }), invalid: answer(INVALID_SPAN_CONTEXT)
}
told.foreign = T + ':' + S
// What was sampled is named before the next begins, however little this machine gives cprof's own thread.
const { flush } = require('cprof')
const under = async (context_, name) => { context.with(context_, named(name), undefined, 100); await flush() }
const contexts = { undefined, getter: getter('getValue'), throws: { getValue () { throw new Error('no') } } }
async function main () {
  for (const [name, span] of Object.entries(spans)) await under(trace.setSpan(context.active(), span), name)
  for (const [name, broken] of Object.entries(contexts)) await under(broken, 'context_' + name)
  named('after')(100)
}
main()
try { context.with(ROOT_CONTEXT, () => { throw new Error('mine') }) } catch (error) { if (error.message !== 'mine') throw error }
const same = context.with(ROOT_CONTEXT, function (a, b) { return [this, a, b] }, 'self', 1, 2)
if (String(same) !== 'self,1,2') throw new Error(String(same))
`)
  assertLinked(profile, 'foreign', profile.told.foreign)
  const unlinked = ['throws', 'nothing', 'number', 'none', 'short', 'text', 'frozen', 'long', 'nul', 'spaces', 'getter', 'id', 'array',
    'text_of', 'context_undefined', 'context_getter', 'context_throws']
  for (const name of [...unlinked, 'remote', 'invalid', 'after']) assertLinked(profile, name, undefined)
  const lost = unlinked.reduce((sum, name) => sum + profile.count(profile.under('in_' + name)), 0)
  const collecting = profile.count(profile.under('(garbage collector)')) // in one of these spans or another
  const counted = profile.metric('cprof.samples_unlinked')
  assert.ok(counted >= 0.97 * lost - 5 && counted <= 1.03 * lost + 5 + collecting,
    `${counted} counted, ${lost} in spans that can't be read, ${collecting} in collections`)
})

test('labels that are huge, have NULs or throw cost themselves and nothing else', async () => {
  const profile = await profileSource(`
const cprof = require('cprof')
function spin () {
  for (const end = process.cpuUsage().user + 5e4; process.cpuUsage().user < end;) for (let i = 0; i < 20000; i++);
  return 'ran'
}
const many = Object.fromEntries(Array.from({ length: 1e5 }, (_, i) => ['k' + i, i]))
const hostile = [{ size: 'x'.repeat(1 << 20), nul: 'a\\0b', ['k'.repeat(1 << 20)]: 1 }, { get size () { throw new Error('no') } },
  { size: { toString () { throw new Error('no') } } }, new Proxy({}, { ownKeys () { throw new Error('no') } }), many,
  null, undefined, 7, 'text', { size: Symbol('s'), __proto__: null }]
console.log(hostile.map(labels => cprof.labels(labels, spin)).join())
try { cprof.labels({}, () => { throw new Error('mine') }) } catch (error) { console.log(error.message) }
`)
  assert.strictEqual(profile.stdout, Array(10).fill('ran') + '\nmine\n')
  const inside = profile.samples.filter(profile.under('spin'))
  const long = inside.find(({ labels }) => labels.nul)
  assert.strictEqual(long.labels.nul, 'a?b')
  assert.match(long.labels.size, /^x{100,255}$/)
  assert.ok(inside.some(({ labels }) => labels.size === '?'))
  assert.ok(inside.every(({ labels }) => Object.keys(labels).length < 80))
})

test('the field that V8 keeps the span in is not mistaken for one that leads to it by chance', () => {
  const { Context } = require(path.join(path.dirname(require.resolve('cprof')), 'context.js'))
  // Do they lead to the first value while that is current, to the second, and still to that later?
  const FIELDS = { 3: [true, false, false], 7: [true, true, true], 9: [true, true, false], 11: [true, true, false] }
  const used = []
  const values = []
  new Context({
    contextFields: () => {},
    findContextField (value, _, first) {
      if (!values.includes(value)) values.push(value)
      const now = new Error().stack.includes('AsyncLocalStorage.run') ? values.indexOf(value) : 2
      return Number(Object.keys(FIELDS).find(field => field >= first && FIELDS[field][now]) ?? -1)
    },
    useContextField: (value, field) => used.push(field) > 0,
    holdLabels: () => 1
  }).labels({}, () => {})
  assert.deepStrictEqual(used, [9])
})

test('what only looks like OpenTelemetry is left alone', async () => {
  const { stdout, stderr } = await run(['-e', `
    const cprof = require('cprof')
    const API = Symbol.for('opentelemetry.js.api.1')
    globalThis[API] = {}
    cprof.start({ exporter: 'none', asyncHooks: true })
    const no = () => { throw new Error('no') }
    for (const context of [5, 'text', null, { with: 7 }, { get with () { return no() } }, Object.freeze({ with: no }), new Proxy({}, { get: no, set: no })]) {
      globalThis[API] = { context }
      if (globalThis[API].context !== context) throw new Error('changed')
    }
    const thrower = { get context () { return no() } }
    globalThis[API] = thrower
    if (globalThis[API] !== thrower) throw new Error('changed')
    cprof.stop().then(() => console.log('unharmed'))`])
  assert.strictEqual(stdout, 'unharmed\n', stderr)
})

test('a context manager that throws throws what it threw', { skip }, async () => {
  const { stdout, stderr } = await run(['-e', `
    require('cprof').start({ exporter: 'none', asyncHooks: true })
    const api = require('@opentelemetry/api')
    api.context.setGlobalContextManager({ active: () => api.ROOT_CONTEXT, with () { throw new Error('broken') },
      bind: (_, target) => target, enable () { return this }, disable () { return this } })
    try { api.context.with(api.ROOT_CONTEXT, () => {}) } catch (error) { console.log(error.message) }`])
  assert.strictEqual(stdout, 'broken\n', stderr)
})

test('the root span names the profile in which it began', { skip }, async () => {
  const { stdout, stderr } = await run(['-e', `
    const cprof = require('cprof')
    const { context, trace } = require('@opentelemetry/api')
    new (require('@opentelemetry/sdk-trace-node').NodeTracerProvider)().register()
    const tracer = trace.getTracer('test')
    const id = span => span.attributes['profile.id']
    const main = async () => {
      cprof.start({ exporter: 'none', asyncHooks: true })
      const first = tracer.startActiveSpan('root', root => tracer.startActiveSpan('child', child => [id(root), id(child)]))
      await cprof.flush()
      const second = tracer.startActiveSpan('root', id)
      const remote = { traceId: '1'.repeat(32), spanId: '2'.repeat(16), traceFlags: 1, isRemote: true }
      const local = context.with(trace.setSpanContext(context.active(), remote), () => tracer.startActiveSpan('local', id))
      await cprof.stop()
      console.log(/^[0-9a-f]{32}$/.test(first[0]), first[1], second !== first[0], second === local)
    }
    main()`], { env: { CPROF_SPAN_PROFILE_ID: 'on' } })
  assert.strictEqual(stdout, 'true undefined true true\n', stderr)
})

test('workers have spans of their own', { skip }, async () => {
  const profile = await profiled(`
const { Worker, isMainThread, parentPort, workerData } = require('node:worker_threads')
register()
if (isMainThread) {
  for (const name of ['w1', 'w2']) new Worker(__filename, { workerData: name }).on('message', message => { Object.assign(told, message) })
  inSpan('main', () => named('main')(150))
} else {
  inSpan(workerData, async () => { await pause(); named(workerData)(150) })
    .then(() => parentPort.postMessage({ [workerData]: told[workerData] }))
}
`)
  const told = Object.assign({}, ...profile.stdout.trim().split('\n').map(line => JSON.parse(line)))
  for (const name of ['main', 'w1', 'w2']) assertLinked(profile, name, told[name])
})

test('a worker that was there when another thread called start() has spans too', { skip }, async () => {
  const output = fresh('.pb.gz')
  const file = path.join(folder, 'late-spans.js')
  fs.writeFileSync(file, `
const { Worker, isMainThread, parentPort } = require('node:worker_threads')
const cprof = require('cprof')
${TRACER}
if (isMainThread) {
  const worker = new Worker(__filename)
  worker.on('message', async message => {
    if (message !== 'up') return worker.terminate().then(() => cprof.stop())
    cprof.start({ output: process.argv[2] })
    setTimeout(() => worker.postMessage('go'), 200)
  })
} else {
  register()
  parentPort.on('message', async () => {
    await inSpan('late', async () => { await pause(); named('late')(300) })
    console.log(JSON.stringify(told))
    parentPort.postMessage('done')
  })
  parentPort.postMessage('up')
}
`)
  const { stdout, stderr } = await run([file, output], { env })
  const told = stdout.split('\n').find(line => line.includes('late'))
  assert.ok(told, stderr)
  assertLinked(new Profile(output), 'late', JSON.parse(told).late)
})

test('before 24 spans are followed on request only', { skip: skip || major >= 24 }, async () => {
  const profile = await profiled("register(); inSpan('a', () => named('a')(150))",
    { env: { CPROF_ASYNC_HOOKS: 'off' } })
  assertLinked(profile, 'a', undefined)
})
