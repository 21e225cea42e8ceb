'use strict'

// What node takes from malloc is counted where it is taken: Buffers with their JavaScript, and those that are
// gone no longer among the live ones.

const assert = require('node:assert')
const test = require('node:test')
const { profileSource, linesOf } = require('./helper')

const MIB = 1 << 20

// 64 MiB are kept of 512.
const PROGRAM = `
  const kept = []
  function keep () { for (let i = 0; i < 64; i++) kept.push(Buffer.alloc(1 << 20, 1)) }
  function churn () { for (let i = 0; i < 448; i++) Buffer.alloc(1 << 20, 2); gc() }
  keep()
  churn()
  setTimeout(() => { gc(); setTimeout(() => {}, 600) }, 600)`

const sum = (profile, type, name) => {
  const column = profile.types.indexOf(type)
  assert.notStrictEqual(column, -1, profile.types.join())
  return profile.samples.filter(({ stack }) => stack.some(frame => frame.name === name))
    .reduce((total, { values }) => total + Number(values[column]), 0)
}

test('buffers are counted by who allocates and who keeps them', async () => {
  const profile = await profileSource(PROGRAM, { args: ['--expose-gc'], env: { CPROF_TYPES: 'cpu,alloc,heap' } })
  assert.deepStrictEqual(linesOf(profile.stderr, profile), [])
  const near = (type, name, expected) => {
    const bytes = sum(profile, type, name)
    assert.ok(Math.abs(bytes / expected - 1) < 0.35, `${type} of ${name}: ${bytes / MIB} MiB`)
  }
  near('alloc_space', 'keep', 64 * MIB)
  near('alloc_space', 'churn', 448 * MIB)
  near('inuse_space', 'keep', 64 * MIB)
  assert.ok(sum(profile, 'inuse_space', 'churn') < 8 * MIB)
})
