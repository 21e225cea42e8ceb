'use strict'

const assert = require('node:assert')
const fs = require('node:fs')
const test = require('node:test')
const cprof = require('cprof')
const { fresh, Profile, run } = require('./helper')

function spin (n = 1e8) {
  let x = 1
  for (let i = 0; i < n; i++) x = (x * 31 + i) % 1000003
  return x
}

test('start, stats, flush and stop', async () => {
  cprof.start({ output: fresh('.pb.gz'), rate: 500, serviceName: 'checkout' })
  assert.strictEqual(cprof.isRunning(), true)
  assert.throws(() => cprof.start(), /running/)
  spin()
  assert.strictEqual(await cprof.flush({ timeout: 10 }), true)
  assert.ok(cprof.stats().samples > 0)
  assert.deepStrictEqual(Object.keys(cprof.stats()), ['samples', 'samples_dropped',
    'samples_truncated', 'samples_failed', 'timer_overruns', 'threads', 'stacks', 'memory_bytes',
    'profiles_exported', 'profiles_failed', 'profiles_dropped', 'bytes_sent', 'handler_ns_mean',
    'handler_ns_max', 'collector_cpu_ns'])
  assert.strictEqual(await cprof.stop(), true)
  assert.strictEqual(cprof.isRunning(), false)
})

test('options that make no sense are refused by name', () => {
  assert.throws(() => cprof.start({ rate: -1 }), /rate=-1/)
  assert.throws(() => cprof.start({ rate: 5000, output: fresh('.pb.gz') }), RangeError)
  assert.throws(() => cprof.start({ serviceName: 7 }), /serviceName/)
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

test('it can be started again after a stop', async () => {
  for (let i = 0; i < 3; i++) {
    const output = fresh('.pb.gz')
    await cprof.profile(output, () => spin())
    const profile = new Profile(output)
    assert.ok(profile.count(profile.under('spin')) > 5)
  }
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

test('it can be imported', async () => {
  const file = fresh('.mjs')
  fs.writeFileSync(file, 'import cprof, { start } from "' +
    require.resolve('cprof').replace(/index\.js$/, 'index.mjs') +
    '"; console.log(cprof.start === start)')
  assert.strictEqual((await run([file])).stdout, 'true\n')
})
