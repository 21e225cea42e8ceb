'use strict'

// The ways to follow JavaScript where the first can't be had: V8's samples and code events, then
// frames that are only known to be JavaScript, then native frames. Each says so in one line.

const assert = require('node:assert')
const fs = require('node:fs')
const path = require('node:path')
const test = require('node:test')
const { run, profileSource, fresh, linesOf, repeatedly, Profile, ROOM, BURN, WASM_SPIN } = require('./helper')

const SAMPLES = { CPROF_TEST_SELF_TEST: 'frames' } // the first way fails its test
const BY_SAMPLES = /followed by samples and code events of V8/
const programs = path.join(__dirname, 'programs')

function assertLine (stderr, profile, ...patterns) {
  const lines = linesOf(stderr, profile)
  assert.strictEqual(lines.length, 1, stderr)
  for (const pattern of patterns) assert.match(lines[0], pattern)
}

test('by samples two functions that burn 70 and 30 of 100 are shown with 70 and 30', () => repeatedly(3, async () => {
  const profile = await profileSource(`${BURN}
    function seventy () { return burn(70) }
    function thirty () { return burn(30) }
    for (let i = 0; i < 15; i++) { seventy(); thirty() }`, { env: SAMPLES })
  assertLine(profile.stderr, profile, /^cprof: the self-test did not find/, BY_SAMPLES)
  const seventy = profile.count(profile.under('burn', 'seventy'))
  const thirty = profile.count(profile.under('burn', 'thirty'))
  assert.ok(seventy + thirty > 200, `${seventy + thirty} samples`)
  assert.ok(Math.abs(seventy / (seventy + thirty) - 0.7) <= 0.03, `${seventy} and ${thirty}`)
}))

// Each compiler of V8 alone, and all of them.
for (const flags of [[], ['--no-opt', '--no-sparkplug'], ['--always-sparkplug', '--no-opt']]) {
  test(`by samples functions are named with files and lines: ${flags.join(' ') || 'all tiers'}`, async () => {
    const source = `${BURN}
      class Cart { get value () { return burn(20) } }
      function compare (a, b) { burn(5); return a - b }
      function sorts () { [3, 1, 2].sort(compare) }
      function reads () { return new Cart().value }
      const made = new Function('burn', 'return burn(20)')
      function makes () { return made(burn) }
      const arrow = () => burn(20)
      async function awaits () { await null; arrow() }
      async function main () {
        for (let i = 0; i < 8; i++) { sorts(); reads(); makes(); await awaits() }
      }
      main()`
    const lineOf = name => source.split('\n').findIndex(line => line.includes(`function ${name} (`)) + 1
    const profile = await profileSource(source, { args: flags, env: SAMPLES })
    const seen = (...names) => profile.count(profile.under(...names))
    assert.ok(seen('burn', 'compare', 'sorts', 'main') > 0, 'sort')
    assert.ok(seen('burn', 'get value', 'reads', 'main') > 20, 'an accessor')
    assert.ok(seen('burn', 'anonymous', 'makes', 'main') + seen('burn', '(anonymous)', 'makes', 'main') > 20, 'new Function')
    assert.ok(seen('burn', 'arrow', 'awaits') > 20, 'an async function')
    const inside = seen('reads') - profile.count(s => s.stack.findIndex(frame => frame.name === 'reads') === 0)
    assert.ok(seen('burn', 'get value', 'reads') > 0.9 * inside, `${seen('burn', 'get value', 'reads')} of ${inside}`)
    for (const name of ['burn', 'sorts', 'reads']) {
      for (const frame of profile.frames(name)) {
        assert.strictEqual(frame.file, profile.file)
        assert.strictEqual(frame.startLine, lineOf(name), name)
      }
    }
  })
}

test('by samples what builtins and native code run is shown under the JavaScript that called them', async () => {
  const profile = await profileSource(`
    const zlib = require('node:zlib')
    const items = Array.from({ length: 3000 }, (_, i) => ({ i, s: 'x' + (i * 7919) % 20011 }))
    const bytes = require('node:crypto').randomBytes(200000)
    function deflates () { zlib.deflateSync(bytes) }
    function stringifies () { JSON.parse(JSON.stringify(items)) }
    function matches () { /(x+x+)+y/.test('x'.repeat(22)) }
    for (const work of [deflates, stringifies, matches]) {
      for (const end = process.cpuUsage().user + 3e5; process.cpuUsage().user < end;) work()
    }`, { env: SAMPLES })
  const under = (name, part) => profile.count(s => profile.under(name)(s) && s.stack.some(f => part.test(f.name)))
  assert.ok(under('deflates', /deflate/) > 20, 'zlib')
  assert.ok(under('stringifies', /[Jj]son/) > 20, 'JSON')
  assert.ok(under('matches', /regular expression|[Rr]eg[Ee]xp/) > 20, 'regular expressions')
})

test('by samples a native addon that calls back is shown between the functions', {
  skip: !process.env.CPROF_TEST_NATIVE && 'no compiler or no headers'
}, async () => {
  const profile = await profileSource(`${BURN}
    const { work } = require(process.env.CPROF_TEST_NATIVE)
    function called () { burn(5) }
    function caller () { work(called, 60, 5000) }
    caller()`, { env: SAMPLES })
  assert.ok(profile.count(profile.under('burn', 'called', 'native_work', 'caller')) > 50)
  assert.ok(profile.count(profile.under('native_burn', 'native_work', 'caller')) > 50)
})

test('by samples WebAssembly is labelled', async () => {
  const profile = await profileSource(`${WASM_SPIN}
    function caller () { spin(2e8) }
    caller()`, { env: SAMPLES })
  assert.ok(profile.count(profile.under('(wasm)', 'caller')) > 20)
})

test('by samples workers are followed as well, each by its own functions', async () => {
  const profile = await profileSource(`${BURN}
    const { Worker, isMainThread, workerData } = require('node:worker_threads')
    if (isMainThread) for (const name of ['one', 'two']) new Worker(__filename, { workerData: name })
    const works = {
      one () { return burn(300) },
      two () { return burn(300) },
      main () { return burn(300) }
    }
    works[isMainThread ? 'main' : workerData]()`, { env: SAMPLES })
  for (const [name, thread] of [['main', 'main'], ['one', 'worker 1'], ['two', 'worker 2']]) {
    const found = profile.samples.filter(profile.under('burn', name))
    const sum = samples => samples.reduce((total, s) => total + s.count, 0)
    const own = sum(found.filter(s => s.labels['thread.name'] === thread))
    assert.ok(own > 10 && own >= 0.9 * sum(found), `${name}: ${own} of ${sum(found)} on ${thread}`)
  }
  assertLine(profile.stderr, profile, BY_SAMPLES)
})

test('by samples a collection is shown as one, and functions keep their names when they move', async () => {
  const profile = await profileSource(`${BURN}
    require('node:v8').setFlagsFromString('--compact-on-every-full-gc')
    function allocate () { let kept = []; for (let i = 0; i < 2e5; i++) kept.push({ i, a: [i] }); return kept }
    function works () { burn(10) }
    for (let i = 0; i < 25; i++) { allocate(); gc(); works() }`, { args: ['--expose-gc'], env: SAMPLES })
  assert.ok(profile.count(sample =>
    sample.stack.filter(frame => frame.name === '(garbage collector)').length === 1) > 5)
  const burns = profile.count(profile.under('burn'))
  assert.ok(burns > 100 && profile.count(profile.under('burn', 'works')) > 0.95 * burns)
})

const MANY = `${BURN}
  function late (milliseconds) { return burn(milliseconds) }
  late(0)
  for (let i = 0; i < 70000; i++) new Function('return function f' + i + ' () {}')()()
  late(300)`
const NO_ROOM = /^cprof: V8 has more functions than are kept in mind: some are shown as "\(JavaScript\)"$/

test('by samples functions that the table had no room for are counted', () => repeatedly(3, async () => {
  const profile = await profileSource(MANY, { env: SAMPLES })
  assert.strictEqual(linesOf(profile.stderr).filter(line => NO_ROOM.test(line)).length, 1, profile.stderr)
  const nameless = profile.count(sample => sample.stack.some(frame => frame.name === '(JavaScript)'))
  const failed = profile.metric('cprof.samples_failed')
  assert.ok(nameless > 20 && failed >= nameless / 2, `${failed} of ${nameless} nameless counted`)
}))

test('by samples the line on missing room is a warning, which CPROF_LOG=error leaves out', async () => {
  assert.strictEqual((await profileSource(MANY, { env: { ...SAMPLES, CPROF_LOG: 'error' } })).stderr, '')
})

// Each time with a function of its own: V8 does not tell of code that it entered by on-stack
// replacement before.
test('by samples it can be stopped and started again', async () => {
  const outputs = Array.from({ length: 5 }, () => fresh('.pb.gz'))
  const file = fresh('.js')
  fs.writeFileSync(file, `
    const cprof = require('cprof')
    const body = 'let x = 1; for (let i = 0; i < 5e7; i++) x = (x * 31 + i) % 1000003; return x'
    async function main () {
      for (const [n, output] of process.argv.slice(2).entries()) {
        const round = eval('(function round' + n + ' () {' + body + '})')
        await cprof.profile(output, round, { rate: 1000 })
      }
    }
    main()`)
  const result = await run([file, ...outputs], { env: SAMPLES })
  assert.strictEqual(result.code, 0, result.stderr)
  assert.ok(linesOf(result.stderr).every(line => BY_SAMPLES.test(line)), result.stderr)
  for (const [n, file] of outputs.entries()) {
    const profile = new Profile(file)
    assert.ok(profile.count(profile.under(`round${n}`, 'main')) > 5, `round ${n}`)
  }
})

test('by samples 3 s of collections, new functions and workers: no crash, no hang', async () => {
  const output = fresh('.pb.gz')
  const result = await run([path.join(programs, 'stress.js'), '3', output], { env: { ...SAMPLES, ...ROOM, CPROF_INTERVAL: '600' }, seconds: 90 })
  assert.strictEqual(result.code, 0, `${result.signal} ${result.stderr}`)
  const profile = new Profile(output)
  assertLine(result.stderr, profile, BY_SAMPLES)
  const main = profile.samples.filter(s => s.labels['thread.name'] === 'main')
  const sum = samples => samples.reduce((total, s) => total + s.count, 0)
  const bad = sum(main.filter(s => s.stack.some(f => ['[unknown]', '[truncated]'].includes(f.name))))
  assert.ok(sum(main) > 100 && bad <= sum(main) / 100, `${bad} of ${sum(main)} stacks with holes`)
})

// ---- what V8 does not export ----

const WORK = `${BURN}
  const zlib = require('node:zlib'), bytes = Buffer.alloc(300000, 'abc')
  function work () { for (let i = 0; i < 40; i++) zlib.deflateSync(bytes); burn(150) }
  work()
  console.log('worked')`

for (const { hidden, line, check } of [{
  hidden: 'v8dbg_',
  line: [/this node does not export v8dbg_|frames of this V8 are not as expected/, BY_SAMPLES],
  check: profile => profile.count(profile.under('burn', 'work')) > 50
}, {
  hidden: 'RequestInterrupt',
  line: [/does not export .*RequestInterrupt/, BY_SAMPLES],
  check: profile => profile.count(profile.under('burn', 'work')) > 50
}, {
  hidden: 'v8dbg_,GetStackSample',
  line: [/shown as "\(JavaScript\)"$/],
  check: profile => profile.count(profile.under('work')) === 0 &&
    profile.count(s => s.stack.some(f => /deflate/.test(f.name)) && s.stack.some(f => f.name === '(JavaScript)')) > 5
}, {
  hidden: 'v8dbg_,SetJitCodeEventHandler',
  line: [/shown as "\(JavaScript\)"$/],
  check: profile => profile.count(s => s.stack.some(f => f.name === '(JavaScript)')) > 50
}, {
  hidden: 'CopyCodePages',
  line: [/does not export .*CopyCodePages.*; showing native frames only$/],
  check: profile => profile.count(s => s.stack.some(f => /deflate/.test(f.name))) > 5
}]) {
  test(`a Node without ${hidden} is profiled as well as it can be, with one line`, {
    skip: !process.env.CPROF_TEST_HIDE && 'no compiler'
  }, async () => {
    const profile = await profileSource(WORK, { env: { LD_PRELOAD: process.env.CPROF_TEST_HIDE, HIDDEN_SYMBOLS: hidden } })
    assert.strictEqual(profile.stdout, 'worked\n')
    assertLine(profile.stderr, profile, ...line)
    assert.ok(check(profile), profile.samples.slice(0, 3).map(s => s.stack.map(f => f.name).join('<')).join('\n'))
  })
}
