'use strict'

// Who waits in Atomics.wait(), for how long, and who wakes them: by the program's own clock.

const assert = require('node:assert')
const test = require('node:test')
const { profileSource } = require('./helper')

// The main thread waits for a worker. A wait is measured by the program's own clock, and again where the thread was taken
// off its processor meanwhile, or ran for more than a moment: maybe between a look at the clock and the wait.
const PROGRAM = `
const cprof = require('cprof')
const { Worker, isMainThread, workerData } = require('node:worker_threads')
const now = () => Number(process.hrtime.bigint()) / 1e9
const FREE = 0, ASKED = 1, MS = 2, DONE = 3

const fs = require('node:fs')
const torn = () => /^nonvoluntary_ctxt_switches:\\t(.*)$/m.exec(fs.readFileSync('/proc/thread-self/status', 'latin1'))[1]

if (!isMainThread) {
  const cells = workerData
  const cell = new Int32Array(new SharedArrayBuffer(4))
  function pause (ms) { Atomics.wait(cell, 0, 0, ms) }
  function asked () {
    while (Atomics.load(cells, ASKED) === 0) if (Atomics.load(cells, DONE)) return false; else pause(1)
    return true
  }
  function release () {
    Atomics.store(cells, FREE, 1)
    Atomics.notify(cells, FREE)
  }
  function short () { release() }
  function long () { release() }
  while (asked()) {
    pause(Atomics.load(cells, MS))
    const hold = Atomics.load(cells, ASKED)
    Atomics.store(cells, ASKED, 0)
    cprof.labels({ hold: String(hold) }, Atomics.load(cells, MS) < 50 ? short : long)
  }
} else {
  const cells = new Int32Array(new SharedArrayBuffer(16))
  const worker = new Worker(__filename, { workerData: cells })
  let asked = 0
  function acquire (ms) {
    Atomics.store(cells, FREE, 0)
    Atomics.store(cells, MS, ms)
    Atomics.store(cells, ASKED, ++asked)
    const begun = now()
    const result = Atomics.wait(cells, FREE, 0)
    return [now() - begun, result]
  }
  function first () { return acquire(30) }
  function second () { return acquire(70) }
  function gaveUp () {
    const begun = now()
    return [Atomics.wait(cells, FREE, 1, 40) === 'timed-out' ? now() - begun : 0, 'ok']
  }
  function measured (name, run) {
    for (let turn = 0; turn < 30; turn++) {
      const before = torn()
      const [spent, result] = cprof.labels({ wait: name + '-' + turn }, run)
      if (turn === 0 || result !== 'ok' || torn() !== before) continue // at first its code is new
      console.log(name + '-' + turn, spent, asked)
      break
    }
  }
  function tried () {
    for (let i = 0; i < 1000; i++) {
      if (Atomics.wait(cells, FREE, 7) !== 'not-equal' || Atomics.wait(cells, FREE, Atomics.load(cells, FREE), 0) === 'ok' ||
          Atomics.notify(cells, FREE) !== 0) throw new Error()
    }
  }
  worker.once('online', () => {
    for (let turn = 0; turn < 3; turn++) {
      measured('first' + turn, first)
      measured('second' + turn, second)
    }
    measured('gaveUp', gaveUp)
    tried()
    for (const bad of [() => Atomics.wait(), () => Atomics.wait(new Int32Array(1), 0, 0), () => Atomics.notify({}, 0)]) {
      try { bad(); console.log('no error') } catch (error) { if (!(error instanceof TypeError)) console.log(error) }
    }
    if (Atomics.wait.length !== 4 || Atomics.notify.length !== 3 || Atomics.wait.name !== 'wait') console.log('not alike')
    Atomics.store(cells, DONE, 1)
  })
}
`

const has = name => sample => sample.stack.some(frame => frame.name === name)

test('waits for Atomics are those that the program measured, and who ended them is blamed', async () => {
  const profile = await profileSource(PROGRAM, { env: { CPROF_TYPES: 'lock,blame' } })
  const sum = (samples, name) => samples.reduce((total, sample) => total + sample.values[profile.types.indexOf(name)], 0)
  const lines = profile.stdout.trim().split('\n').map(line => line.split(' '))
  const found = { first: [0, 0], second: [0, 0], gaveUp: [0, 0] }
  for (const [name, measured, asked] of lines) {
    const samples = profile.samples.filter(sample => sample.labels.wait === name)
    const kind = /^[a-zA-Z]+/.exec(name)[0]
    const delay = sum(samples, 'delay') / 1e9
    assert.strictEqual(sum(samples, 'contentions'), 1, name)
    assert.ok(Math.abs(delay - measured) < 0.02 * measured, `${name}: ${delay} s for ${measured}`)
    assert.ok(samples.every(has(kind)), name)
    for (const { labels } of samples) {
      assert.match(labels['lock.site'], /^\d+-program\.js:\d+$/)
      assert.strictEqual(labels['wait.reason'], 'lock')
    }
    found[kind][0] += delay
    found[kind][1] += +measured
    if (kind === 'gaveUp') continue
    const holder = samples[0].labels['lock.holder']
    const blamed = profile.samples.filter(sample => sample.labels.hold === asked && sum([sample], 'blamed') > 0)
    assert.ok(blamed.every(has(kind === 'first' ? 'short' : 'long')) && blamed.length === 1, name)
    assert.strictEqual(blamed[0].labels['thread.name'], holder)
    const blame = sum(blamed, 'blame') / 1e9
    assert.ok(blame > (kind === 'first' ? 0.028 : 0.068) && blame < 1.02 * measured, `${name}: ${blame} s of ${delay}`)
  }
  // 30 : 70, as the program has it and as the profile has it.
  const share = i => found.first[i] / (found.first[i] + found.second[i])
  assert.ok(Math.abs(share(0) - share(1)) < 0.02 && found.gaveUp[0] > 0.03, profile.stdout)
  assert.strictEqual(sum(profile.samples.filter(has('tried')), 'contentions'), 0)
})

const ENDED = `
require('cprof')
const { Worker, isMainThread, workerData } = require('node:worker_threads')
const vm = require('node:vm')
const BEGUN = 0, PLACE = 1
if (!isMainThread) {
  Atomics.store(workerData, BEGUN, 1)
  Atomics.wait(workerData, PLACE, 0)
} else {
  const cells = new Int32Array(new SharedArrayBuffer(8))
  const later = ms => new Promise(resolve => setTimeout(resolve, ms))
  async function waiting () {
    Atomics.store(cells, BEGUN, 0)
    const begun = process.hrtime.bigint()
    const worker = new Worker(__filename, { workerData: cells })
    while (Atomics.load(cells, BEGUN) === 0) await later(5)
    await later(100)
    return [worker, begun]
  }
  function lets () {
    Atomics.notify(cells, PLACE)
  }
  async function run () {
    for (let i = 0; i < 3; i++) await (await waiting())[0].terminate()
    try { vm.runInNewContext('wait()', { wait: () => Atomics.wait(cells, PLACE, 0) }, { timeout: 50 }) } catch {}
    Atomics.wait(cells, BEGUN, 1, 1)
    await later(1500)
    const [, begun] = await waiting()
    lets()
    console.log(Number(process.hrtime.bigint() - begun) / 1e9)
  }
  run()
}
`

test('who was terminated as he waited waits no more', async () => {
  const profile = await profileSource(ENDED, { env: { CPROF_TYPES: 'lock,blame' } })
  const blame = profile.samples.filter(has('lets')).reduce((sum, sample) => sum + sample.values[profile.types.indexOf('blame')], 0) / 1e9
  assert.ok(blame > 0.05 && blame <= Number(profile.stdout), `${blame} s of ${profile.stdout}`)
})
