'use strict'

// What JavaScript allocates in V8's heap, by known bytes: new Array(126).fill(1) is an array of 32 bytes and its
// elements of 1024. Bounds are five standard deviations of what is sampled. Arrays of 4 MiB are all sampled, but for
// one in ten million.

const assert = require('node:assert')
const test = require('node:test')
const { profileSource, linesOf, Profile } = require('./helper')

const MIB = 1 << 20
const PERIOD = 256 << 10
const ARRAY = 1056
const ALLOCS = { args: ['--expose-gc'], env: { CPROF_TYPES: 'alloc@256k,heap@256k' } }

const total = (profile, type, matches) => {
  const column = profile.types.indexOf(type)
  assert.notStrictEqual(column, -1, profile.types.join())
  return profile.samples.filter(matches).reduce((sum, { values }) => sum + values[column], 0)
}
const bytes = (profile, type, name) => total(profile, type, profile.under(name))
// The function of the program that has most, by what it does itself.
const first = (profile, type) => {
  const inner = ({ stack }) => stack.find(({ file }) => file?.endsWith('program.js'))?.name
  const of = name => total(profile, type, sample => inner(sample) === name)
  return [...new Set(profile.samples.map(inner))].filter(Boolean).sort((a, b) => of(b) - of(a))[0]
}
const near = (seen, expected, what) => {
  const deviation = Math.sqrt(PERIOD / expected)
  assert.ok(Math.abs(seen / expected - 1) < 5 * deviation, `${what}: ${seen / MIB} MiB of ${expected / MIB}`)
}

const allOf = seen => assert.ok(seen > 31 * MIB && seen < 40 * MIB, `${seen / MIB} MiB of 32`)

// So many samples a second are taken, and no more, that nothing is thinned out on the way.
const PACED = `
  const large = n => Array.from({ length: n }, () => new Array(524286).fill(1))
  const paced = async (turns, run) => {
    for (let i = 0; i < turns; i++) {
      run(i)
      await new Promise(resolve => setTimeout(resolve, 8))
    }
  }
  const last = () => { gc(); setTimeout(() => {}, 300) } // the collector sees what has died`

test('who keeps what, among much churn', async () => {
  const profile = await profileSource(`${PACED}
    const cprof = require('cprof')
    const kept = []
    function seventy () { for (let i = 0; i < 175; i++) kept.push(new Array(126).fill(i)) }
    function thirty () { for (let i = 0; i < 75; i++) kept.push(new Array(126).fill(i)) }
    function churn () { for (let i = 0; i < 12; i++) large(4) }
    cprof.labels({ job: 'mine' }, () => paced(200, () => { seventy(); thirty() })).then(() => { churn(); last() })`, ALLOCS)
  assert.deepStrictEqual(linesOf(profile.stderr, profile), [])
  assert.ok(bytes(profile, 'alloc_space', 'churn') > 150 * MIB)
  for (const type of ['alloc_space', 'inuse_space']) {
    near(bytes(profile, type, 'seventy'), 200 * 175 * ARRAY, `seventy's ${type}`)
    near(bytes(profile, type, 'thirty'), 200 * 75 * ARRAY, `thirty's ${type}`)
  }
  assert.ok(bytes(profile, 'inuse_space', 'churn') < 4 * MIB)
  assert.strictEqual(first(profile, 'inuse_space'), 'seventy')
  const mine = total(profile, 'inuse_space', s => s.labels.job === 'mine')
  assert.ok(mine >= bytes(profile, 'inuse_space', 'seventy') + bytes(profile, 'inuse_space', 'thirty'))
})

test('what is dropped is counted as allocated, and kept no more; Buffers among it', async () => {
  const profile = await profileSource(`${PACED}
    let kept
    function gone () { kept = large(8) }
    function goneBuffers () { kept.push(...Array.from({ length: 8 }, () => Buffer.alloc(1 << 22, 1))) }
    function keep () { return large(8) }
    const staying = keep()
    gone()
    goneBuffers()
    kept = undefined
    last()
    setTimeout(() => staying.length, 400)`, ALLOCS)
  allOf(bytes(profile, 'alloc_space', 'gone'))
  allOf(bytes(profile, 'alloc_space', 'goneBuffers'))
  assert.ok(bytes(profile, 'inuse_space', 'gone') < 4 * MIB)
  assert.ok(bytes(profile, 'inuse_space', 'goneBuffers') < 4 * MIB)
  assert.strictEqual(first(profile, 'inuse_space'), '(anonymous)')
  allOf(bytes(profile, 'inuse_space', 'keep'))
})

test('a worker has a heap of its own, which ends with it', async () => {
  const profile = await profileSource(`${PACED}
    const { Worker, isMainThread } = require('node:worker_threads')
    function inWorker () { return large(8) }
    function inMain () { return large(8) }
    const kept = isMainThread ? inMain() : inWorker()
    if (isMainThread) new Worker(__filename).on('exit', last)
    else setTimeout(() => kept.length, 300)`, ALLOCS)
  assert.deepStrictEqual(linesOf(profile.stderr, profile), [])
  const ofWorker = s => s.labels['thread.name'] === 'worker 1' && profile.under('inWorker')(s)
  allOf(total(profile, 'alloc_space', ofWorker))
  assert.ok(total(profile, 'inuse_space', ofWorker) < 8 * MIB)
  allOf(bytes(profile, 'inuse_space', 'inMain'))
})

test('it ends with the engine, and begins again', async () => {
  const profile = await profileSource(`${PACED}
    const cprof = require('cprof')
    function inside () { return large(8) }
    let kept
    const block = i => cprof.profile(__filename + i + '.pb.gz', () => { kept = inside() }, { types: 'heap@256k' })
    block(1).then(() => block(2)).then(() => { cprof.start(); kept = inside(); last() })`,
  { ...ALLOCS, env: { ...ALLOCS.env, CPROF_ENABLED: 'standby' } })
  allOf(bytes(profile, 'inuse_space', 'inside'))
  for (const i of [1, 2]) {
    const block = new Profile(`${profile.file}${i}.pb.gz`)
    allOf(bytes(block, 'inuse_space', 'inside'))
  }
})

test('a worker that was busy while the engine stopped and started goes on', async () => {
  const profile = await profileSource(`${PACED}
    const cprof = require('cprof')
    const { Worker, isMainThread, workerData, parentPort } = require('node:worker_threads')
    function inWorker () { return large(8) }
    async function main () {
      cprof.start({ output: __filename + '1.pb.gz' })
      const turn = new Int32Array(new SharedArrayBuffer(4))
      const worker = new Worker(__filename, { workerData: turn })
      await new Promise(resolve => worker.once('message', resolve))
      await cprof.stop()
      cprof.start()
      Atomics.store(turn, 0, 1)
      Atomics.notify(turn, 0)
    }
    if (isMainThread) main()
    else {
      inWorker()
      parentPort.postMessage('here')
      Atomics.wait(workerData, 0, 0)
      setTimeout(() => { globalThis.kept = inWorker() }, 50)
    }`, { ...ALLOCS, env: { ...ALLOCS.env, CPROF_ENABLED: 'standby' } })
  assert.ok(!profile.stderr.includes('not counted'), profile.stderr)
  allOf(bytes(profile, 'alloc_space', 'inWorker'))
})

const INSPECTOR = `
  const { Session } = require('node:inspector')
  const session = new Session()
  session.connect()
  const post = (method, parameters) => new Promise((resolve, reject) =>
    session.post('HeapProfiler.' + method, parameters, (error, result) => error ? reject(error) : resolve(result)))
  const cprof = require('cprof')
  const kept = []
  function keep () { for (let i = 0; i < 8; i++) kept.push(new Array(524286).fill(1)) }
  function keepBuffers () { for (let i = 0; i < 8; i++) kept.push(Buffer.alloc(1 << 22, 1)) }`

test("somebody else's sampler is left alone: one line, and all else runs", async () => {
  const profile = await profileSource(`${INSPECTOR}
    post('startSampling', { samplingInterval: 32768 }).then(() => {
      cprof.start()
      keep()
      keepBuffers()
      return post('stopSampling')
    }).then(({ profile }) => console.log(JSON.stringify(profile).includes('"keep"')))`,
  { env: { ...ALLOCS.env, CPROF_ENABLED: 'standby' } })
  assert.strictEqual(profile.stdout, 'true\n')
  assert.deepStrictEqual(linesOf(profile.stderr, profile),
    ["cprof: what JavaScript allocates in V8's heap is not counted: somebody else's heap sampling runs"])
  assert.ok(bytes(profile, 'alloc_space', 'keep') < 8 * MIB) // V8 itself asks malloc for some
  allOf(bytes(profile, 'inuse_space', 'keepBuffers'))
})

test('who stops our sampler, and begins his own, is not disturbed', async () => {
  const profile = await profileSource(`${INSPECTOR}
    keep()
    post('stopSampling').then(() => post('startSampling', { samplingInterval: 32768 })).then(() => {
      keep()
      return post('stopSampling')
    }).then(({ profile }) => {
      console.log(JSON.stringify(profile).includes('"keep"'))
      return cprof.stop()
    })`, ALLOCS)
  assert.strictEqual(profile.stdout, 'true\n')
  assert.deepStrictEqual(linesOf(profile.stderr, profile), [])
  allOf(bytes(profile, 'alloc_space', 'keep'))
})

test('where V8 does not give its sampler away, one line says so, and the rest is counted', {
  skip: !process.env.CPROF_TEST_HIDE && 'no compiler'
}, async () => {
  const profile = await profileSource(`${INSPECTOR}
    keep()
    keepBuffers()`, { env: { ...ALLOCS.env, LD_PRELOAD: process.env.CPROF_TEST_HIDE, HIDDEN_SYMBOLS: 'StartSamplingHeapProfiler' } })
  assert.deepStrictEqual(linesOf(profile.stderr, profile),
    ["cprof: what v8 allocates without malloc is not counted: this node does not export V8's heap sampling"])
  assert.ok(bytes(profile, 'alloc_space', 'keep') < 8 * MIB) // V8 itself asks malloc for some
  allOf(bytes(profile, 'inuse_space', 'keepBuffers'))
})

test('in the other ways to follow JavaScript as well', async () => {
  const profile = await profileSource(`${INSPECTOR}
    keep()`, { env: { ...ALLOCS.env, CPROF_TEST_SELF_TEST: 'frames' } })
  allOf(bytes(profile, 'inuse_space', 'keep'))
})

// Takes a minute. The mean of many runs is the truth, as far as their own spread tells.
test('objects of every size are estimated without bias', { skip: !process.env.CPROF_TEST_LONG && 'CPROF_TEST_LONG is not set' }, async () => {
  const RUNS = 40
  const sizes = { small: [3, 300000], middle: [126, 30000], large: [20000, 200] } // numbers in an array, arrays
  const functions = Object.entries(sizes).map(([name, [length, times]]) =>
    `function ${name} () { for (let i = 0; i < ${times}; i++) kept[i & 1023] = new Array(${length}).fill(i); kept.length = 0 }; ${name}()`)
  const byCompiler = ({ stack }) => stack.some(frame => frame.name.includes('Zone::')) // asks malloc
  const seen = Object.fromEntries(Object.keys(sizes).map(name => [name, []]))
  for (let i = 0; i < RUNS; i++) {
    const profile = await profileSource(`const kept = [];${functions.join('\n')}`, { env: { CPROF_TYPES: 'alloc@64k' } })
    for (const name in sizes) seen[name].push(total(profile, 'alloc_space', sample => profile.under(name)(sample) && !byCompiler(sample)))
  }
  for (const [name, [length, times]] of Object.entries(sizes)) {
    const truth = times * (48 + 8 * length)
    const mean = seen[name].reduce((sum, value) => sum + value) / RUNS
    const deviation = Math.sqrt(seen[name].reduce((sum, value) => sum + (value - mean) ** 2, 0) / (RUNS - 1) / RUNS)
    assert.ok(Math.abs(mean - truth) < 4 * deviation, `${name}: ${mean / MIB} ± ${deviation / MIB} MiB of ${truth / MIB}`)
  }
})
