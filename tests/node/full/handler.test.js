'use strict'

const assert = require('node:assert')
const { spawnSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const test = require('node:test')

const object = path.join(path.dirname(fs.realpathSync(require.resolve('cprof'))),
  'build/CMakeFiles/addon.dir/src/walk.c.o')

// What the walk may refer to: V8's layout, and what compilers call for copies.
const ALLOWED = ['layout', 'memcpy', 'memset', '_GLOBAL_OFFSET_TABLE_']

test('the walk calls nothing that is not safe in a signal handler', {
  skip: !fs.existsSync(object) && 'the addon was not built here'
}, t => {
  const { stdout, error } = spawnSync('nm', ['--undefined-only', '--format=just-symbols', object], { encoding: 'utf8' })
  if (error) return t.skip('there is no nm')
  const others = stdout.split('\n').filter(name => name && !ALLOWED.includes(name))
  assert.deepStrictEqual(others, [])
})
