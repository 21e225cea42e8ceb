'use strict'

const assert = require('node:assert')
const fs = require('node:fs')
const http = require('node:http')
const { once } = require('node:events')
const test = require('node:test')
const cprof = require('cprof')
const { fresh, linesOf, Profile, run } = require('./helper')

function spin (n = 1e8) {
  let x = 1
  for (let i = 0; i < n; i++) x = (x * 31 + i) % 1000003
  return x
}

test('start, stats, flush and stop', async () => {
  cprof.start({ output: fresh('.pb.gz'), rate: 500, serviceName: 'checkout' })
  assert.strictEqual(cprof.isRunning(), true)
  spin()
  assert.strictEqual(await cprof.flush({ timeout: 10 }), true)
  assert.ok(cprof.stats().samples > 0)
  assert.deepStrictEqual(Object.keys(cprof.stats()), ['samples', 'samples_dropped',
    'samples_truncated', 'samples_failed', 'timer_overruns', 'threads', 'stacks', 'memory_bytes',
    'profiles_exported', 'profiles_failed', 'profiles_dropped', 'bytes_sent', 'metrics_exported', 'metrics_failed', 'handler_ns_mean',
    'handler_ns_max', 'collector_cpu_ns', 'alloc_bytes', 'heap_bytes', 'resident_bytes',
    'gc_collections', 'gc_pause_ns', 'gc_cpu_ns'])
  assert.strictEqual(await cprof.stop(), true)
  assert.strictEqual(cprof.isRunning(), false)
})

test('a dump has every thread', { skip: process.arch !== 'x64' && "looks are x86-64's so far" }, async () => {
  const { code, stdout, stderr } = await run(['-e', `
    const cprof = require('cprof')
    let asked, dump
    function spin () {
      asked ??= cprof.dump().then(text => { dump = text; asked = undefined })
      for (const end = performance.now() + 100; performance.now() < end;);
    }
    async function main () {
      let idle, main
      do { // a busy machine may look before it waits, or late, when it runs again
        idle = JSON.parse(await cprof.dump({ format: 'json' }))
        main = idle.threads.find(thread => thread.tid === process.pid)
      } while (main.state !== 'waiting')
      console.log(main.state, main.reason, idle.threads.length > 1, cprof.isRunning())
      cprof.start()
      while (!/spin {2}/.test(dump)) { // however late, and however often between two of them, it looks
        spin()
        await new Promise(setImmediate)
      }
      const bytes = await cprof.dump({ format: 'pprof' })
      console.log(bytes[0], bytes[1], await cprof.dump({ format: 'xml' }).catch(error => error.message))
      await cprof.stop()
    }
    main()`], { env: { CPROF_EXPORTER: 'none' } })
  assert.strictEqual(code, 0, stderr)
  assert.strictEqual(stdout, `waiting idle true false\n31 139 format: 'xml': text, json or pprof is allowed\n`)
})

test('stop says that the only profile was refused', async () => {
  // Answers 404, as a collector without profiles does.
  const server = http.createServer((request, response) => {
    request.resume().on('end', () => response.writeHead(404).end())
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  cprof.start({ exporter: 'otlp', rate: 500, endpoint: `http://127.0.0.1:${server.address().port}` })
  spin()
  const delivered = await cprof.stop({ timeout: 20 })
  server.close()
  server.closeAllConnections?.()
  assert.strictEqual(delivered, false)
})

test('a second start joins the one that runs, with one line, in workers too', async () => {
  const output = fresh('.pb.gz')
  const file = fresh('.js')
  fs.writeFileSync(file, `
    const { Worker, isMainThread } = require('node:worker_threads')
    const cprof = require('cprof')
    cprof.start({ output: '/nowhere/else.pb.gz', rate: 500 })
    cprof.start()
    ${spin}
    if (isMainThread) new Worker(__filename).on('exit', code => console.log('worker', code, cprof.isRunning()))
    else spin()`)
  const result = await run(['-r', 'cprof/auto', file], { env: { CPROF_OUTPUT: output, CPROF_RATE: '500' } })
  assert.strictEqual(result.code, 0, result.stderr)
  assert.strictEqual(result.stdout, 'worker 0 true\n')
  assert.deepStrictEqual(linesOf(result.stderr), [
    'cprof: start: already running, by cprof/auto; this call joins it, which keeps its own output'])
  const profile = new Profile(output)
  assert.ok(profile.count(s => profile.under('spin')(s) && s.labels['thread.name'] === 'worker 1') > 5)
})

test('options that make no sense are refused by name', () => {
  assert.throws(() => cprof.start({ rate: -1 }), /rate=-1/)
  assert.throws(() => cprof.start({ rate: 5000, output: fresh('.pb.gz') }), RangeError)
  assert.throws(() => cprof.start({ serviceName: 7 }), /serviceName/)
  process.env.CPROF_SOURCE_MAPS = 'maybe'
  assert.throws(() => cprof.start(), { name: 'RangeError', message: 'CPROF_SOURCE_MAPS=maybe: must be on or off' })
  delete process.env.CPROF_SOURCE_MAPS
  assert.strictEqual(cprof.isRunning(), false)
})

test('as many headers and labels as there may be leave everything else in its place', async () => {
  const many = (n, prefix) =>
    Object.fromEntries(Array.from({ length: n }, (_, i) => [`${prefix}${i}`, `${i}`]))
  const output = fresh('.otlp')
  cprof.start({
    output,
    exporter: 'otlp,file',
    endpoint: 'http://127.0.0.1:9',
    headers: many(128, 'X-'),
    labels: many(128, 'label')
  })
  spin()
  await cprof.stop({ timeout: 1 })
  assert.ok(fs.readFileSync(output).includes('process.runtime.version'))
  assert.throws(() => cprof.start({ output, labels: many(129, 'label') }), /labels: more than 128/)
  assert.strictEqual(cprof.isRunning(), false)
})

test('profile() runs a function and writes a file', async () => {
  const output = fresh('.pb.gz')
  assert.strictEqual(await cprof.profile(output, async () => { spin(); return 'done' }), 'done')
  assert.ok(new Profile(output).count(s => s.stack.some(f => f.name === 'spin')) > 5)
})

test('profile() captures its block beside the always-on profiler, and blocks nest', async () => {
  const [all, outer, inner] = ['.pb.gz', '.pb.gz', '.pb.gz'].map(fresh)
  const file = fresh('.js')
  fs.writeFileSync(file, `
    const cprof = require('cprof')
    ${spin}
    const before = () => spin(), between = () => spin(), within = () => spin(), after = () => spin()
    before()
    cprof.profile('${outer}', async () => {
      between()
      console.log(await cprof.profile('${inner}', () => { within(); return 'value' }))
    }).then(() => { after(); console.log(cprof.isRunning()) })`)
  const result = await run(['-r', 'cprof/auto', file], { env: { CPROF_OUTPUT: all, CPROF_RATE: '500' } })
  assert.strictEqual(result.stdout, 'value\ntrue\n', result.stderr)
  assert.deepStrictEqual(linesOf(result.stderr), [])
  for (const [name, output] of Object.entries({ all, outer, inner })) {
    const profile = new Profile(output)
    const seen = ['before', 'between', 'within', 'after'].filter(name => profile.count(profile.under('spin', name)) > 5)
    const wanted = { all: 'before,between,within,after', outer: 'between,within', inner: 'within' }
    assert.strictEqual(String(seen), wanted[name], name)
  }
})

test('a block that fails is written, and its error is the caller\'s', async () => {
  const output = fresh('.pb.gz')
  await assert.rejects(cprof.profile(output, () => { spin(); throw new Error('mine') }), /mine/)
  assert.ok(new Profile(output).count(s => s.stack.some(f => f.name === 'spin')) > 5)
  assert.strictEqual(cprof.isRunning(), false)
})

test('starts are counted: a program that starts and stops loses nothing of what runs already', async () => {
  const output = fresh('.pb.gz')
  const file = fresh('.js')
  fs.writeFileSync(file, `
    const cprof = require('cprof')
    ${spin}
    cprof.start()
    cprof.stop().then(() => { (function after () { spin() })(); console.log(cprof.isRunning()) })`)
  const result = await run(['-r', 'cprof/auto', file], { env: { CPROF_OUTPUT: output, CPROF_RATE: '500' } })
  assert.strictEqual(result.stdout, 'true\n', result.stderr)
  const profile = new Profile(output)
  assert.ok(profile.count(profile.under('spin', 'after')) > 5)
})

test('it can be started again after a stop', async () => {
  for (let i = 0; i < 3; i++) {
    const output = fresh('.pb.gz')
    await cprof.profile(output, () => spin())
    const profile = new Profile(output)
    assert.ok(profile.count(profile.under('spin')) > 5)
  }
})

// V8 puts functions that run often into one another: after some 400 starts they were not found any more.
test('however often it is started, its self-test runs once', async () => {
  const file = fresh('.js')
  fs.writeFileSync(file, `
    const cprof = require('cprof')
    const { native } = require(require('node:path').join(require.resolve('cprof'), '../native.js'))
    const { probe } = native
    let tests = 0
    native.probe = count => { tests++; return probe(count) }
    async function main () {
      for (let i = 0; i < 5; i++) {
        cprof.start({ output: '${fresh('.pb.gz')}' })
        await cprof.stop()
      }
      console.log(tests)
    }
    main()`)
  const result = await run([file])
  assert.ok(['1\n', '2\n'].includes(result.stdout), result.stdout + result.stderr) // 2: where the first way fails
})

test('labels follow what a function begins', async () => {
  const output = fresh('.pb.gz')
  await cprof.profile(output, () => Promise.all(['a', 'b'].map(name =>
    cprof.labels({ request: name }, async () => {
      for (let i = 0; i < 4; i++) {
        await new Promise(resolve => setTimeout(resolve, 1))
        spin(name === 'a' ? 2e7 : 6e7)
      }
    }))))
  const profile = new Profile(output)
  const count = name => profile.count(s => profile.under('spin')(s) && s.labels.request === name)
  const unlabelled = profile.count(s => profile.under('spin')(s) && !s.labels.request)
  assert.ok(count('a') > 5 && count('b') > count('a'), `${count('a')} ${count('b')}`)
  assert.ok(unlabelled <= (count('a') + count('b')) / 20, `${unlabelled} without`)
})

test('labels nest, come again, and are right beyond those that are kept', async () => {
  const output = fresh('.pb.gz')
  await cprof.profile(output, () => {
    for (let i = 0; i < 1500; i++) cprof.labels({ user: `u${i}` }, () => cprof.labels({ n: i % 3 }, () => {}))
    for (let i = 0; i < 3; i++) {
      cprof.labels({ user: 'known', n: 'outer' }, () => cprof.labels({ n: i % 2, more: 'x' }, () => spin(5e7)))
      cprof.labels({ user: 'u1499' }, () => cprof.labels({ n: 'late' }, () => spin(5e7)))
    }
    cprof.labels({ user: 'u3' }, () => {})
    spin(5e7)
  }, { rate: 500 })
  const profile = new Profile(output)
  const inSpin = profile.samples.filter(profile.under('spin'))
  const seen = new Set(inSpin.map(({ labels: { user, n, more } }) => `${user} ${n} ${more}`))
  for (const wanted of ['known 0 x', 'known 1 x', 'u1499 late undefined', 'undefined undefined undefined']) {
    assert.ok(seen.has(wanted), `${wanted}: ${[...seen]}`)
  }
  assert.strictEqual(seen.size, 4, [...seen].join())
})

test('nothing of cprof calls what a program has redefined, at start, label, stop and exit', async () => {
  const outputs = [fresh('.pb.gz'), fresh('.pb.gz')]
  const file = fresh('.js')
  fs.writeFileSync(file, `
    const cprof = require('cprof')
    const fs = require('node:fs')
    ${spin}
    cprof.labels({}, () => {}) // before Node 24 node's own async hooks call such methods when they are enabled
    const REDEFINED = [
      [Array, ['isArray', 'from']], [Array.prototype, ['slice', 'map', 'join', 'flatMap', 'includes', Symbol.iterator]],
      [Object, ['entries', 'keys', 'values', 'assign', 'defineProperty']], [Reflect, ['apply']],
      [Object.prototype, ['hasOwnProperty', 'toString']],
      [String.prototype, ['slice', 'split', 'trim', 'toLowerCase', 'padStart', 'repeat', 'replaceAll', 'indexOf', 'includes']],
      [RegExp.prototype, ['exec', 'test']], [Map.prototype, ['get', 'set', 'has']], [WeakSet.prototype, ['has', 'add']],
      [Number.prototype, ['toString']], [BigInt, ['asUintN']], [Atomics, ['store']],
      [globalThis, ['String', 'BigInt', 'parseInt', 'Map', 'Error', 'RangeError']],
      [process, ['on', 'once', 'removeListener', 'listenerCount', '_rawDebug', 'env']]
    ]
    Object.defineProperty(process, 'stderr', { get () { throw new TypeError('redefined stderr') } })
    for (let i = 0; i < REDEFINED.length; i++) {
      const owner = REDEFINED[i][0], keys = REDEFINED[i][1]
      for (let k = 0; k < keys.length; k++) owner[keys[k]] = function () { throw new TypeError('redefined') }
    }
    Object.prototype.polluted = () => { throw new TypeError('inherited') }
    async function main () {
      cprof.start({ output: '${outputs[0]}', rate: 500, labels: { a: 'b' }, types: ['cpu'] })
      cprof.labels({ request: 1 }, () => spin())
      await cprof.stop()
      cprof.start({ output: '${outputs[1]}', rate: 500 })
      cprof.labels({ request: 2 }, () => spin())
    }
    main().catch(error => fs.writeSync(1, error.stack))`)
  const result = await run([file])
  assert.strictEqual(result.stdout, '', result.stderr)
  assert.strictEqual(result.code, 0, result.stderr)
  for (const [i, output] of outputs.entries()) {
    const profile = new Profile(output)
    assert.ok(profile.count(s => profile.under('spin')(s) && s.labels.request === String(i + 1)) > 5, `profile ${i}`)
  }
})

test('it can be imported', async () => {
  const file = fresh('.mjs')
  fs.writeFileSync(file, 'import cprof, { start } from "' +
    require.resolve('cprof').replace(/index\.js$/, 'index.mjs') +
    '"; console.log(cprof.start === start)')
  assert.strictEqual((await run([file])).stdout, 'true\n')
})
