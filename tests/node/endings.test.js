'use strict'

// However a program ends, its last interval is delivered, and it ends as it would have.

const assert = require('node:assert')
const fs = require('node:fs')
const path = require('node:path')
const test = require('node:test')
const { run, fresh, folder, linesOf, Profile, BURN } = require('./helper')

const auto = (...args) => ['-r', 'cprof/auto', ...args]

// The profile of a program that burns and then does `end`; and how it ended.
async function ended (end, { args = [], env = {} } = {}) {
  const output = fresh('.pb.gz')
  const file = fresh('.js')
  fs.writeFileSync(file, `${BURN}
    function works () { burn(200) }
    const stay = () => setInterval(() => {}, 1000)
    ${end}`)
  const result = await run(auto(...args, file), { env: { CPROF_OUTPUT: output, CPROF_RATE: '500', ...env } })
  assert.ok(fs.existsSync(output), `no profile: ${result.code} ${result.signal} ${result.stderr}`)
  return { ...result, profile: new Profile(output) }
}

const assertWorks = ({ profile }) => assert.ok(profile.count(profile.under('burn', 'works')) > 20, `${profile.count()}`)

for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) {
  test(`${signal} that nobody handles: the profile is there, and the status is the signal's`, async () => {
    const result = await ended(`works(); stay(); process.kill(process.pid, '${signal}')`)
    assert.strictEqual(result.signal, signal, `${result.code} ${result.stderr}`)
    assertWorks(result)
  })

  test(`${signal} that the program handles ends it as its handler wants`, async () => {
    const result = await ended(`works(); process.on('${signal}', () => process.exit(7)); process.kill(process.pid, '${signal}'); stay()`)
    assert.deepStrictEqual([result.code, result.signal], [7, null], result.stderr)
    assertWorks(result)
  })

  test(`${signal} that the program handled, and sends itself again: the profile is there`, async () => {
    const result = await ended(`
      process.once('${signal}', () => process.kill(process.pid, '${signal}'))
      works(); stay(); process.kill(process.pid, '${signal}')`)
    assert.strictEqual(result.signal, signal, `${result.code} ${result.stderr}`)
    assertWorks(result)
  })
}

test('a signal that comes amid JavaScript that never rests finds the profile, with the names of what ran last', async () => {
  const result = await ended(`
    works()
    setTimeout(() => process.kill(process.pid, 'SIGTERM'), 1)
    setImmediate(function late () { setTimeout(function spins () { for (;;) burn(10) }, 2) })`)
  assert.strictEqual(result.signal, 'SIGTERM', result.stderr)
  assertWorks(result)
})

test('a signal ends a process with workers as it ends one without', async () => {
  const result = await ended(`
    const { Worker, isMainThread, parentPort } = require('node:worker_threads')
    if (isMainThread) {
      works()
      new Worker(__filename).on('message', () => process.kill(process.pid, 'SIGTERM'))
    } else {
      (function inWorker () { burn(200) })()
      parentPort.postMessage(1)
      stay()
    }`)
  assert.strictEqual(result.signal, 'SIGTERM', result.stderr)
  assertWorks(result)
  assert.ok(result.profile.count(result.profile.under('burn', 'inWorker')) > 20)
})

test('a cluster\'s workers that are killed leave their profiles', async () => {
  const output = path.join(folder, 'killed-%p.pb.gz')
  const file = fresh('.js')
  fs.writeFileSync(file, `${BURN}
    const cluster = require('node:cluster')
    if (cluster.isPrimary) {
      for (let i = 0; i < 2; i++) cluster.fork().on('message', function () { this.process.kill('SIGTERM') })
      cluster.on('exit', (worker, code, signal) => console.log(signal))
    } else {
      (function serves () { burn(200) })()
      process.send('ready')
    }`)
  const result = await run(auto(file), { env: { CPROF_OUTPUT: output, CPROF_RATE: '500' } })
  assert.strictEqual(result.stdout, 'SIGTERM\nSIGTERM\n', result.stderr)
  const profiles = fs.readdirSync(folder).filter(name => /^killed-\d+/.test(name))
    .map(name => new Profile(path.join(folder, name)))
  assert.strictEqual(profiles.filter(profile => profile.count(profile.under('burn', 'serves')) > 20).length, 2)
})

test('after stop() a signal ends the program as if cprof were not there', async () => {
  const result = await ended(`
    works()
    const cprof = require('cprof')
    cprof.stop().then(() => { stay(); process.kill(process.pid, 'SIGINT') })`)
  assert.strictEqual(result.signal, 'SIGINT', result.stderr)
  assertWorks(result)
})

for (const [what, end, code] of [
  ['removes all listeners of its exit', "works(); process.removeAllListeners('exit')", 0],
  ['removes all listeners there are', 'works(); process.removeAllListeners()', 0],
  ['removes all listeners and calls process.exit()', 'works(); process.removeAllListeners(); process.exit(3)', 3],
  ['ends below process.exit()', 'works(); process.reallyExit(4)', 4],
  ['throws in its handler of uncaught exceptions', `
    process.on('uncaughtException', () => { throw new Error('again') })
    works()
    throw new Error('first')`, 7],
  ['throws in an exit listener', "process.on('exit', () => { throw new Error('at exit') }); works()", undefined],
  ['replaces what process has', `
    works()
    process.on = process.removeListener = process.emit = () => { throw new Error('replaced') }`, undefined]
]) {
  test(`a program that ${what} leaves its profile`, async () => {
    const result = await ended(end)
    if (code !== undefined) assert.strictEqual(result.code, code, result.stderr)
    assert.deepStrictEqual(linesOf(result.stderr), [])
    assertWorks(result)
  })
}

test('a worker that is terminated, and alone had cprof, leaves its profile', async () => {
  const output = fresh('.pb.gz')
  const file = fresh('.js')
  fs.writeFileSync(file, `${BURN}
    const { Worker, isMainThread, parentPort } = require('node:worker_threads')
    if (isMainThread) {
      const worker = new Worker(__filename)
      worker.on('message', () => worker.terminate())
    } else {
      require('cprof').start({ output: ${JSON.stringify(output)}, rate: 500 })
      ;(function works () { burn(200) })()
      parentPort.postMessage(1)
      for (;;);
    }`)
  const result = await run([file])
  assert.strictEqual(result.code, 0, result.stderr)
  assertWorks({ profile: new Profile(output) })
})
