'use strict'

// Pauses of V8's collector: as many as Node's own observer is told of, in workers too, and what made it collect.

const assert = require('node:assert')
const test = require('node:test')
const { profileSource, linesOf } = require('./helper')

const PROGRAM = `
  const { PerformanceObserver, constants } = require('node:perf_hooks')
  const cprof = require('cprof')
  let told = 0
  const observer = new PerformanceObserver(list => { told += list.getEntries().length })
  function make () { const kept = []; for (let i = 0; i < 200000; i++) kept[i % 1000] = { i, text: 'x' + i } }
  function ask () { for (let i = 0; i < 3; i++) gc() }
  observer.observe({ entryTypes: ['gc'] })
  const before = cprof.stats(), began = process.hrtime.bigint()
  make()
  ask()
  const after = cprof.stats(), elapsed = Number(process.hrtime.bigint() - began)
  // What is told comes later; what is collected until then is told too.
  let turns = 0
  const wait = () => {
    told += observer.takeRecords().length
    const all = cprof.stats().gc_collections - before.gc_collections
    if (all !== told && ++turns < 1000) return setTimeout(wait, 1)
    console.log(JSON.stringify({ told, all, elapsed, collections: after.gc_collections - before.gc_collections,
      wall: after.gc_pause_ns - before.gc_pause_ns, cpu: after.gc_cpu_ns - before.gc_cpu_ns }))
  }
  setImmediate(wait)`

test('as many as Node counts, by cause and stack', async () => {
  const profile = await profileSource(PROGRAM, { args: ['--expose-gc'], env: { CPROF_TYPES: 'gc' } })
  assert.deepStrictEqual(linesOf(profile.stderr, profile), [])
  const { told, all, elapsed, collections, wall, cpu } = JSON.parse(profile.stdout)
  assert.strictEqual(all, told)
  assert.ok(collections >= 4, profile.stdout)
  assert.ok(wall > 0 && wall <= elapsed, profile.stdout)
  assert.ok(cpu > 0 && cpu <= elapsed, profile.stdout)
  const column = profile.types.indexOf('gc_pauses')
  const count = pick => profile.samples.filter(pick).reduce((sum, { values }) => sum + Number(values[column]), 0)
  const has = name => ({ stack }) => stack.some(frame => frame.name === name)
  assert.ok(count(has('make')) >= 1)
  assert.strictEqual(count(sample => sample.labels['gc.cause'] === 'forced' && has('ask')(sample)), 3)
  assert.strictEqual(count(sample => has('ask')(sample) && sample.labels['gc.generation'] === 'major'), 3)
})

test('nothing is counted that nobody asks for', async () => {
  const profile = await profileSource('gc(); console.log(require("cprof").stats().gc_collections)',
    { args: ['--expose-gc'] })
  assert.strictEqual(profile.stdout, '0\n')
})
