'use strict'

const assert = require('node:assert')
const fs = require('node:fs')
const path = require('node:path')
const test = require('node:test')
const { run, profileSource, fresh, folder, linesOf, Profile, ROOM, BURN } = require('./helper')

const programs = path.join(__dirname, 'programs')
const program = (name, source) => {
  const file = path.join(folder, name)
  fs.writeFileSync(file, source)
  return file
}
const auto = (...args) => ['-r', 'cprof/auto', ...args]

test('exit codes and output are those of the program', async () => {
  const env = { CPROF_OUTPUT: fresh('.pb.gz') }
  assert.strictEqual((await run(auto('-e', 'process.exit(7)'), { env })).code, 7)
  assert.strictEqual((await run(auto('-e', 'process.exitCode = 3'), { env })).code, 3)
  const thrown = await run(auto('-e', 'throw new Error("mine")'), { env })
  assert.strictEqual(thrown.code, 1)
  assert.match(thrown.stderr, /mine/)
  assert.deepStrictEqual(linesOf(thrown.stderr), [])
})

test('--import and NODE_OPTIONS start it too', async () => {
  const burn = program('burn.mjs', 'let x = 1; for (let i = 0; i < 3e8; i++) x = (x * 31 + i) % 1000003')
  const auto = path.join(path.dirname(require.resolve('cprof')), 'auto.js')
  for (const [args, env] of [[['--import', auto, burn], {}],
    [[burn], { NODE_OPTIONS: `--require ${auto}` }]]) {
    const output = fresh('.pb.gz')
    const result = await run(args, { env: { ...env, CPROF_OUTPUT: output } })
    assert.strictEqual(result.code, 0, result.stderr)
    assert.ok(new Profile(output).count() > 10)
  }
})

test('workers are threads of their own', async () => {
  const profile = await profileSource(`
    const { Worker, isMainThread } = require('node:worker_threads')
    function spin () { let x = 1; for (let i = 0; i < 4e8; i++) x = (x * 31 + i) % 1000003; return x }
    if (isMainThread) for (let i = 0; i < 2; i++) new Worker(__filename)
    else spin()`)
  const threads = new Set(profile.samples.filter(profile.under('spin'))
    .map(sample => sample.labels['thread.name']))
  assert.deepStrictEqual([...threads].sort(), ['worker 1', 'worker 2'])
})

test('child processes inherit it', async () => {
  const output = path.join(folder, 'child-%p.pb.gz')
  const file = program('parent.js', `
    const { fork } = require('node:child_process')
    if (process.argv[2]) { let x = 1; for (let i = 0; i < 2e8; i++) x = (x * 31 + i) % 1000003 }
    else fork(__filename, ['child'])`)
  const result = await run(auto(file), { env: { CPROF_OUTPUT: output } })
  assert.strictEqual(result.code, 0, result.stderr)
  assert.ok(fs.readdirSync(folder).filter(name => /^child-\d+/.test(name)).length >= 1)
})

test('a self-test that fails is one line; native frames and the program stay as they are', async () => {
  const profile = await profileSource(`
    const { Worker, isMainThread } = require('node:worker_threads')
    const zlib = require('node:zlib'), bytes = Buffer.alloc(300000, 'abc')
    function work () { for (let i = 0; i < 100; i++) zlib.deflateSync(bytes) }
    work()
    if (isMainThread) new Worker(__filename)`, { env: { CPROF_TEST_SELF_TEST: 'frames,samples' } })
  const lines = linesOf(profile.stderr, profile)
  assert.strictEqual(lines.length, 1, profile.stderr)
  assert.match(lines[0], /^cprof: the self-test did not find its own functions.*shown as "\(JavaScript\)"$/)
  assert.strictEqual(profile.count(profile.under('work')), 0)
  for (const thread of ['main', 'worker 1']) {
    assert.ok(profile.count(sample => sample.labels['thread.name'] === thread &&
      sample.stack.some(f => f.name === '(JavaScript)') && sample.stack.some(f => /deflate/.test(f.name))) > 5, thread)
  }
})

test('the processes of a cluster are profiled each for itself', async () => {
  const output = path.join(folder, 'cluster-%p.pb.gz')
  const file = program('cluster.js', `
    const cluster = require('node:cluster')
    if (cluster.isPrimary) for (let i = 0; i < 2; i++) cluster.fork()
    else {
      function serve () { let x = 1; for (let i = 0; i < 1e8; i++) x = (x * 31 + i) % 1000003; return x }
      serve()
      cluster.worker.disconnect()
    }`)
  const result = await run(auto(file), { env: { CPROF_OUTPUT: output } })
  assert.strictEqual(result.code, 0, result.stderr)
  const profiles = fs.readdirSync(folder).filter(name => /^cluster-\d+/.test(name))
    .map(name => new Profile(path.join(folder, name)))
  assert.strictEqual(profiles.filter(profile => profile.count(profile.under('serve')) > 5).length, 2)
})

test('an idle program is not sampled', async () => {
  const file = program('idle.js', `
    const cprof = require('cprof')
    cprof.start({ output: process.argv[2], rate: 1000 })
    setTimeout(() => {
      const before = cprof.stats().samples
      setTimeout(() => cprof.flush().then(() => console.log(cprof.stats().samples - before)), 1500)
    }, 1500)`)
  const result = await run([file, fresh('.pb.gz')])
  assert.strictEqual(result.code, 0, result.stderr)
  assert.ok(Number(result.stdout) < 40, `${result.stdout} samples in 1.5 idle seconds`)
})

test('a worker that computes when start() is called shows its JavaScript, not only once it waits', async () => {
  const output = fresh('.pb.gz')
  const file = program('computing.js', `${BURN}
    const { Worker, isMainThread, parentPort } = require('node:worker_threads')
    const cprof = require('cprof')
    function spin () { let x = 1; for (let i = 0; i < 20000; i++) x = (x * 31 + i) % 1000003; return x }
    if (isMainThread) {
      const worker = new Worker(__filename)
      worker.on('message', async done => {
        if (!done) return cprof.start({ output: process.argv[2], rate: 250 })
        await cprof.stop()
        await worker.terminate()
      })
    } else {
      parentPort.postMessage(false)
      for (const end = cpuTime() + 1000; cpuTime() < end;) spin()
      parentPort.postMessage(true)
    }`)
  const result = await run([file, output])
  assert.strictEqual(result.code, 0, result.stderr)
  const profile = new Profile(output)
  const worker = profile.samples.filter(sample => /worker/i.test(sample.labels['thread.name']))
  const told = worker.filter(({ stack }) => stack.some(({ file: shown }) => shown === file))
  const count = samples => samples.reduce((sum, sample) => sum + sample.count, 0)
  assert.ok(count(worker) > 50, `${count(worker)} samples`)
  assert.ok(count(told) > count(worker) * 0.8, `${count(told)} of ${count(worker)}`)
})

// `loading` is what the main thread does, which then waits for a worker to start cprof and end.
async function startedByWorker (loading, after) {
  const output = fresh('.pb.gz')
  const file = fresh('.js')
  fs.writeFileSync(file, `${BURN}
    const { Worker, isMainThread, workerData } = require('node:worker_threads')
    const end = data => new Promise(resolve => new Worker(__filename, { workerData: data }).on('exit', resolve))
    if (isMainThread) {
      ${loading}
      end('starts').then(() => { ${after} })
    } else {
      const cprof = require('cprof')
      if (workerData === 'starts') cprof.start({ rate: 1000, output: ${JSON.stringify(output)} })
      burn(100)
    }`)
  const result = await run([file])
  assert.strictEqual(result.code, 0, result.stderr)
  return { ...result, profile: new Profile(output) }
}

test('what a worker starts goes on when that worker ends', async () => {
  const { stdout, profile } = await startedByWorker("const cprof = require('cprof')",
    'console.log(cprof.isRunning()); (function works () { burn(300) })()')
  assert.strictEqual(stdout, 'true\n')
  assert.ok(profile.count(profile.under('burn', 'works')) > 50)
})

test('what a worker starts is delivered when it ends and no other thread has cprof', async () => {
  const { profile } = await startedByWorker('', '')
  assert.ok(profile.count(profile.under('burn')) > 20)
})

const STRESS_SECONDS = Number(process.env.CPROF_STRESS_SECONDS ?? 6)
test(`${STRESS_SECONDS} s of collections, new functions and workers: no crash, no hang`, async () => {
  const output = fresh('.pb.gz')
  const result = await run([path.join(programs, 'stress.js'), String(STRESS_SECONDS), output],
    { env: ROOM, seconds: STRESS_SECONDS * 4 + 60 })
  assert.strictEqual(result.code, 0, `${result.signal} ${result.stderr}`)
  const stats = JSON.parse(result.stdout)
  const profile = new Profile(output)
  assert.ok(stats.samples > 100)
  // On the main thread; of a worker's own start little is known before it has loaded cprof.
  const main = profile.samples.filter(s => s.labels['thread.name'] === 'main')
  const sum = samples => samples.reduce((total, s) => total + s.count, 0)
  const bad = sum(main.filter(s => s.stack.some(f => ['[unknown]', '[truncated]'].includes(f.name))))
  assert.ok(bad <= sum(main) / 100, `${bad} of ${sum(main)} stacks with holes`)
})
