'use strict'

// Two copies of the package in one process: each would sample the other, and everything twice.

const assert = require('node:assert')
const fs = require('node:fs')
const path = require('node:path')
const test = require('node:test')
const { run, fresh, folder, linesOf, Profile, BURN } = require('./helper')

const binding = fs.realpathSync(path.dirname(require.resolve('cprof')))

// As npm lays out a dependency that brings a cprof of its own.
function install (name) {
  const own = path.join(folder, name, 'node_modules/cprof')
  const wanted = entry => !/^(build|core-src|src|tools)$/.test(path.relative(binding, entry))
  fs.cpSync(binding, own, { recursive: true, filter: wanted })
  return own
}

const first = install('first')
const second = install('second')

// What `start` does by the second copy, and what the first one's profile and standard error say.
async function both (start) {
  const output = fresh('.pb.gz')
  const file = fresh('.js')
  fs.writeFileSync(file, `${BURN}
    const first = require(${JSON.stringify(first)}), second = require(${JSON.stringify(second)})
    first.start({ output: ${JSON.stringify(output)}, rate: 500 })
    function works () { burn(300) }
    const { user } = process.cpuUsage()
    ;(async () => {
      ${start}
      await first.stop({ timeout: 30 })
      console.log(JSON.stringify({ used: process.cpuUsage().user - user, running: second.isRunning() }))
    })()`)
  const result = await run([file])
  assert.strictEqual(result.code, 0, result.stderr)
  return { ...result, ...JSON.parse(result.stdout), profile: new Profile(output) }
}

for (const [what, start] of Object.entries({
  'start()': 'second.start({ output: "/nowhere/second.pb.gz" }); works()',
  'profile()': 'await second.profile("/nowhere/second.pb.gz", works)'
})) {
  test(`${what} of a second copy is one line, and the first goes on alone`, async () => {
    const { profile, running, stderr } = await both(start)
    const lines = linesOf(stderr, profile)
    assert.strictEqual(lines.length, 1, stderr)
    assert.match(lines[0], /^cprof: another copy of cprof, .*first\/node_modules\/cprof\/.*cprof\.node profiles this process already: load only one of them$/)
    assert.strictEqual(running, false)
    assert.ok(profile.count(profile.under('burn', 'works')) > 20)
  })
}

test('a second copy can start when the first has stopped', async () => {
  const { stderr, profile } = await both(`works()
      await first.stop()
      await second.profile(${JSON.stringify(fresh('.pb.gz'))}, works)`)
  assert.deepStrictEqual(linesOf(stderr), [])
  assert.ok(profile.count(profile.under('burn', 'works')) > 20)
})
