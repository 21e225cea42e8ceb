'use strict'

// Where time goes when JavaScript waits inside a call: the thread's stack has the functions that called, with
// their names from the first time on, and nobody was woken for it.

const assert = require('node:assert')
const test = require('node:test')
const { profileSource, major } = require('./helper')

// The program runs next to nothing, of which looks may take a hundredth, and what is met first is the dearest: looks
// may be left out for a second, and a wait that is shorter is met by chance.
const PROGRAM = `
const cprof = require('cprof')
const { execSync } = require('node:child_process')
const fs = require('node:fs')
const { Worker, isMainThread } = require('node:worker_threads')
const MS = 1500
const cell = new Int32Array(new SharedArrayBuffer(4))
function pause (ms) { Atomics.wait(cell, 0, 0, ms) }
class Pool { lend () { pause(MS) } }
function request () { new Pool().lend() }
function shell () { execSync('sleep ' + MS / 1000) }
function sorting () { [2, 1].sort(() => { pause(MS); return 1 }) }
function sometimes (i, ms) {
  if (i % 1000 === 0) pause(i === 0 ? ms : 0)
  return i * 2
}
function loops (n, ms) {
  let sum = 0
  for (let i = n; i >= 0; i--) sum += sometimes(i, ms)
  return sum
}
if (isMainThread) {
  cprof.labels({ request: 'lend' }, request)
  shell()
  sorting()
  for (let i = 0; i < 300; i++) loops(2000, 0)
  loops(2000, MS)
  new Worker(__filename)
} else {
  request()
}
`

const types = { env: { CPROF_TYPES: 'offcpu@50hz' } }

function waited (profile, match) {
  return profile.samples.filter(match).reduce((sum, sample) => sum + sample.values[0], 0) / 1e9
}

const within = (...names) => sample => {
  let at = 0 // of the names, from the inside
  for (const frame of sample.stack) if (frame.name === names[at]) at++
  return at === names.length
}
const main = sample => sample.labels['thread.name'] === 'main'

test('who waits inside a call of JavaScript is seen with its functions, from the first time on', {
  skip: process.arch !== 'x64' && 'looks are x86-64\'s so far'
}, async () => {
  const profile = await profileSource(PROGRAM, types)
  const stacks = {
    lend: ['pause', 'Pool.lend', 'request'],
    shell: ['spawnSync', 'execSync', 'shell'],
    sorting: ['pause', 'sorting'],
    // Before V8 12 nothing tells which code is optimised, and so what was inlined into it.
    loops: major >= 22 ? ['pause', 'sometimes', 'loops'] : ['loops']
  }
  for (const [key, names] of Object.entries(stacks)) {
    const seconds = waited(profile, sample => main(sample) && within(...names)(sample))
    assert.ok(seconds > 0.2, `${key}: ${seconds} s`)
  }
  assert.ok(waited(profile, sample => !main(sample) && within('pause', 'Pool.lend', 'request')(sample)) > 0.2, 'worker')
  const labelled = sample => sample.labels.request === 'lend'
  assert.ok(waited(profile, sample => main(sample) && within('Pool.lend')(sample) && !labelled(sample)) < 0.1)
  assert.strictEqual(waited(profile, sample => labelled(sample) && !within('request')(sample) &&
    within('pause')(sample)), 0)
  const reason = sample => sample.labels['wait.reason']
  assert.strictEqual(waited(profile, sample => within('shell')(sample) && reason(sample) === 'idle'), 0)
  assert.ok(waited(profile, sample => within('shell')(sample) && reason(sample) === 'child') > 0.2)
  const whole = sample => sample.stack.at(-1).name !== '[truncated]'
  assert.ok(waited(profile, sample => main(sample) && !whole(sample)) < 0.01 * waited(profile, main))
  for (const frame of profile.samples.flatMap(sample => sample.stack)) {
    if (frame.name === 'Pool.lend') assert.strictEqual(frame.line, 9)
    if (frame.name === 'loops' && major >= 22) assert.strictEqual(frame.line, 19)
    assert.notStrictEqual(frame.name, '[unknown]')
  }
})

test('workers of node\'s own without work are idle', {
  skip: process.arch !== 'x64' && 'looks are x86-64\'s so far'
}, async t => {
  const profile = await profileSource(`
    require('node:fs').stat('/', () => setTimeout(() => {}, 1500)) // libuv's workers have begun, and rest
  `, types)
  const rests = sample => sample.stack.some(frame => frame.name === 'uv_cond_wait')
  const named = name => sample => rests(sample) && sample.stack.some(frame => frame.name.includes(name))
  const workers = { platform: named('PlatformWorkerThread'), libuv: sample => named('worker')(sample) && !named('PlatformWorkerThread')(sample) }
  if (waited(profile, workers.platform) === 0) return t.skip('this node has no names of its own functions')
  for (const [whose, match] of Object.entries(workers)) {
    assert.ok(waited(profile, match) > 2, `${whose}: ${waited(profile, match)} s`)
    assert.strictEqual(waited(profile, sample => match(sample) && sample.labels['wait.reason'] !== 'idle'), 0, whose)
  }
})
