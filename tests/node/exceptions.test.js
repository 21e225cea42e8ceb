'use strict'

// Exceptions can't be counted here: one line says so, and the rest runs.

const assert = require('node:assert')
const test = require('node:test')
const { profileSource } = require('./helper')

test('a type that V8 gives only to debuggers is off, and one line says so', async () => {
  const profile = await profileSource(`
    const end = process.cpuUsage().user + 100000
    while (process.cpuUsage().user < end) { try { throw new Error('x') } catch {} }
    console.log(require('cprof').isRunning())`, { env: { CPROF_TYPES: 'cpu,exception@1' } })
  const lines = profile.stderr.split('\n').filter(line => line.includes('exception'))
  assert.deepStrictEqual(lines, ['cprof: no exception profiles: V8 tells only a debugger of them'])
  assert.match(profile.stdout, /true/)
  assert.ok(profile.samples.length > 0)
})
