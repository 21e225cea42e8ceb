'use strict'

const assert = require('node:assert')
const test = require('node:test')
const { profileSource, major, repeatedly, BURN, WASM_MODULE } = require('./helper')

const near = (value, wanted, tolerance, what) =>
  assert.ok(Math.abs(value - wanted) <= tolerance, `${what}: ${value}, not ${wanted} ± ${tolerance}`)

test('two functions that burn 70 and 30 of 100 are shown with 70 and 30', () => repeatedly(3, async () => {
  const profile = await profileSource(`${BURN}
    function seventy () { return burn(70) }
    function thirty () { return burn(30) }
    for (let i = 0; i < 30; i++) { seventy(); thirty() }`)
  const seventy = profile.count(profile.under('burn', 'seventy'))
  const thirty = profile.count(profile.under('burn', 'thirty'))
  assert.ok(seventy + thirty > 200, `${seventy + thirty} samples`)
  near(seventy / (seventy + thirty), 0.7, 0.03, 'share of seventy()')
}))

test('nearly every stack reaches the first function of its thread', async () => {
  const profile = await profileSource(`${BURN}
    const items = Array.from({ length: 20000 }, (_, i) => (i * 7919) % 20011)
    for (let i = 0; i < 30; i++) {
      items.slice().sort((a, b) => a - b)
      JSON.parse(JSON.stringify(items))
      burn(20)
    }`)
  const cut = profile.count(sample => sample.stack.some(frame => frame.name === '[truncated]'))
  assert.ok(cut <= profile.count() / 100, `${cut} of ${profile.count()} cut`)
  // [not sampled]: what a thread's clock says at its end, which has no stack. musl has no names for its own.
  const rooted = profile.share(({ stack }) =>
    ['_start', 'clone3', 'clone', '__clone', '[not sampled]'].includes(stack.at(-1).name) ||
    /ld-musl-/.test(stack.at(-1).file))
  assert.ok(rooted >= 0.99, `only ${rooted} rooted`)
})

test('a hot line is shown with its file and number', async () => {
  const profile = await profileSource(`function hot () {
  let x = 1

  for (let i = 0; i < 3e8; i++) {
    x = (x * 31 + i) % 1000003 // line 5
  }
  return x
}
hot()`)
  const lines = profile.lines('hot')
  const all = profile.count(profile.under('hot'))
  assert.ok(all > 50, `${all} samples`)
  const [frame] = profile.frames('hot')
  assert.strictEqual(frame.file, profile.file)
  assert.strictEqual(frame.startLine, 1)
  if (major < 22) return // the code of optimised functions is not read there: lines are the start's
  const inLoop = (lines.get(4) ?? 0) + (lines.get(5) ?? 0)
  assert.ok(inLoop > 0.8 * all, JSON.stringify([...lines]))
})

test('functions are named with their classes', async () => {
  const profile = await profileSource(`${BURN}
    function Foo () {}
    Foo.prototype.bar = function () { return burn(150) }
    exports.handler = () => new Foo().bar()
    const notAClass = /class Wrong { [{]/.test('"'), alsoNot = "class W { '" + \`class X { \${[{ '}': 1 }]}\`
    class Cart {
      get value () { return exports.handler() }
      #secret () { return this.value / 2 / 3 }
      static total (cart) { return cart.#secret() }
      constructor () { this.made = Cart.total(this) }
      callback = (x) => new Cart().made;
      * items () { yield this.callback(notAClass) }
    }
    exports.Shop = class extends Cart { sell () { return [...this.items(alsoNot)] } }
    function * generate () { yield Object.create(exports.Shop.prototype, { callback: { value: new exports.Shop().callback } }).sell() }
    ;(function () { [...generate()] })()`)
  const wanted = ['burn', 'Foo.bar', 'exports.handler', 'get Cart.value', 'Cart.#secret', 'Cart.total',
    'Cart', 'Cart.callback', 'Cart.items', 'Shop.sell', 'generate', '(anonymous)']
  assert.ok(profile.count(profile.under(...wanted)) > 20, 'no stack with all of them')
})

test('lines and columns are exact, interpreted and compiled', async () => {
  const source = `${BURN}
    function works (n) {
      let sum = 0
      sum += burn(4)
      sum += n + [1].map(x =>
        burn(4)).length
      return sum
    }
    for (let i = 0; i < 100; i++) works(i)`
  const place = (text, part) => {
    const at = source.indexOf(text) + text.indexOf(part)
    const before = source.slice(0, at).split('\n')
    return `${before.length}:${before.at(-1).length + 1}`
  }
  const calls = [place('sum += burn(4)', 'burn'), place('n + [1].map', 'map')]
  const flags = major < 22 ? ['--no-sparkplug'] : ['--no-opt', '--always-sparkplug']
  for (const flag of flags) {
    const profile = await profileSource(source, { args: [flag] })
    const frames = profile.samples.flatMap(({ stack, count }) =>
      stack.filter((f, i) => f.name === 'works' && i > 0 && stack[i - 1].name !== '(garbage collector)')
        .map(f => [`${f.line}:${f.column}`, count]))
    const right = frames.filter(([at]) => calls.includes(at)).reduce((sum, [, n]) => sum + n, 0)
    const total = frames.reduce((sum, [, n]) => sum + n, 0)
    assert.ok(total > 100 && right > 0.95 * total, `${flag}: ${right} of ${total} at ${calls}: ${[...new Set(frames.map(String))]}`)
  }
})

test('what builtins run is shown under the JavaScript that called them', async () => {
  const profile = await profileSource(`
    const zlib = require('node:zlib'); const crypto = require('node:crypto')
    const items = Array.from({ length: 3000 }, (_, i) => ({ i, s: 'x' + (i * 7919) % 20011 }))
    const bytes = crypto.randomBytes(200000)
    function compare (a, b) { return a.s < b.s ? -1 : 1 }
    function sorts () { items.slice().sort(compare) }
    function stringifies () { JSON.parse(JSON.stringify(items)) }
    function deflates () { zlib.deflateSync(bytes) }
    function hashes () { crypto.pbkdf2Sync('a', 'b', 20000, 64, 'sha512') }
    function matches () { /(x+x+)+y/.test('x'.repeat(22)) }
    for (const work of [sorts, stringifies, deflates, hashes, matches]) {
      for (const end = process.cpuUsage().user + 3e5; process.cpuUsage().user < end;) work()
    }`)
  const seen = (...names) => profile.count(profile.under(...names))
  assert.ok(seen('compare', 'sorts') > 0, 'compare under sort')
  const stripped = profile.stderr.match(/this node is stripped/g) ?? []
  assert.ok(stripped.length <= 1, profile.stderr)
  assert.ok(stripped.length === 1 || profile.count(s => profile.under('sorts')(s) &&
    s.stack.some(f => f.name.includes('ArrayPrototypeSort') || f.name.includes('ArrayTimSort'))) > 0, 'sort itself')
  const under = (name, part) => profile.count(s => profile.under(name)(s) &&
    s.stack.some(f => part.test(f.name)))
  assert.ok(under('stringifies', /[Jj]son/) > 0, 'JSON')
  assert.ok(under('deflates', /deflate/) > 0, 'zlib')
  assert.ok(under('hashes', /SHA512|sha512|HMAC|hmac|PBKDF2|pbkdf2/) > 0, 'crypto')
  assert.ok(under('matches', /regular expression|[Rr]eg[Ee]xp/) > 0, 'regular expressions')
})

test('code of new Function is named', async () => {
  const profile = await profileSource(`
    const made = new Function('n', 'let x = 1; for (let i = 0; i < n; i++) x = (x * 31 + i) % 1000003; return x')
    function caller () { return made(1e8) }
    caller()`)
  assert.ok(profile.count(profile.under('anonymous', 'caller')) +
    profile.count(profile.under('(anonymous)', 'caller')) > 20)
})

test('code of eval, new Function and node:vm has the file that it names itself', async () => {
  const profile = await profileSource(String.raw`
    const vm = require('node:vm')
    const body = name => 'let x = 1\nfor (let i = 0; i < 3e7; i++) x = (x * 31 + i) % 1000003\nreturn x' + name
    const source = (f, name) => '(function ' + f + ' () {\n' + body('') + '\n})' + name
    const evaluated = eval(source('evaluated', '\n//# sourceURL=/srv/\u00e9val-\u{1d4c5}.js'))
    const bundled = eval(source('bundled', '//# sourceURL=[module]\n//# sourceURL=webpack-internal:///./src/x.js  \r\n'))
    const old = vm.runInThisContext(source('old', '\n//@ sourceURL=old.js\n'))
    const made = new Function(body('\n//# sourceURL=made.js'))
    const filed = vm.runInThisContext(source('filed', '\n//# sourceURL=other.js'), '/srv/filed.js')
    const bundle = eval(source('bundle', '\nconst inner = "(function () {})\\n\\n//# sourceURL=inner.js\\n"'))
    const text = eval(source('text', '\n//# sourceURL=two words'))
    function makes () { return made() }
    evaluated(); bundled(); old(); filed(); bundle(); text(); makes()`)
  const made = profile.samples.flatMap(({ stack }) => stack.filter((_, i) => stack[i + 1]?.name === 'makes'))
  for (const [frames, file] of [
    [profile.frames('evaluated'), '/srv/\u00e9val-\u{1d4c5}.js'],
    [profile.frames('bundled'), 'webpack-internal:///./src/x.js'],
    [profile.frames('old'), 'old.js'],
    [made, 'made.js'],
    [profile.frames('filed'), '/srv/filed.js'],
    [profile.frames('bundle'), ''],
    [profile.frames('text'), '']]) {
    assert.ok(frames.length > 0, `a frame in ${file}`)
    for (const frame of frames) {
      assert.strictEqual(frame.file, file)
      assert.ok(frame.line >= 1 && frame.line <= 5, `${file}:${frame.line}`) // V8 puts two before made's
    }
  }
})

test('after an await the awaiting function is shown on the stack', async () => {
  const profile = await profileSource(`${BURN}
    const pause = () => new Promise(resolve => setImmediate(resolve))
    async function inner () { await pause(); return burn(150) }
    async function outer () { await pause(); return inner() }
    outer()`)
  assert.ok(profile.count(profile.under('burn', 'inner')) > 20)
})

test('functions that were inlined are shown with those they were inlined into', {
  skip: major < 22 && 'inlined functions are shown from Node 22 on'
}, async () => {
  const profile = await profileSource(`
    function tiny (x, i) { return (x * 31 + i) % 1000003 }
    function middle (x, i) { return tiny(x, i) + tiny(i, x) }
    function outer () { let x = 1; for (let i = 0; i < 4e7; i++) x = middle(x, i); return x }
    outer(); outer()`)
  const tiny = profile.count(profile.under('tiny', 'middle', 'outer'))
  const outer = profile.count(profile.under('outer'))
  assert.ok(tiny > outer / 4, `${tiny} of ${outer}`)
})

test('functions of WebAssembly have the names that their module gives them', () => repeatedly(3, async () => {
  const profile = await profileSource(`${WASM_MODULE}
    const bytes = wasmModule([count(21), count(9), [...call(0), ...call(1), ...call(3)], count(3)],
      { 0: 'seventy', 1: 'thirty::<T> of-3', 2: 'both' }, { run: 2, seventy: 0, thirty: 1, three: 3 })
    const { exports: { run, seventy, thirty, three } } = new WebAssembly.Instance(new WebAssembly.Module(bytes))
    function caller () { run(2e5) }
    for (const end = process.cpuUsage().user + 1e6; process.cpuUsage().user < end;) caller()
    // What each takes on this machine, compiled as it was.
    const cost = part => {
      const before = process.cpuUsage()
      for (let i = 0; i < 100; i++) part(2e5)
      const { user, system } = process.cpuUsage(before)
      return user + system
    }
    console.log(JSON.stringify([seventy, thirty, three].map(cost)))`)
  const [seventy, thirty, nameless] = ['seventy', 'thirty::<T> of-3', 'wasm-function[3]'].map(name =>
    profile.count(profile.under(name, 'both', 'caller')))
  assert.ok(seventy + thirty > 200, `${seventy} and ${thirty}`)
  const [first, second, third] = JSON.parse(profile.stdout)
  near(seventy / (seventy + thirty), first / (first + second), 0.04, 'share of seventy')
  near(nameless / (seventy + thirty), third / (first + second), 0.04, 'share of the one without a name')
  for (const name of ['seventy', 'both']) assert.strictEqual(profile.frames(name)[0].file, 'wasm://wasm')
}))

// Whose look at V8's codes has to wait for its turn.
test('functions of WebAssembly that come later than others, or in workers, are named too', () => repeatedly(3, async () => {
  const profile = await profileSource(`${WASM_MODULE}
    const { Worker, isMainThread, workerData } = require('node:worker_threads')
    const names = isMainThread ? ['early', 'late'] : ['worker']
    if (isMainThread) new Worker(__filename)
    for (const name of names) {
      const bytes = wasmModule([count(30), call(0)], { 0: name, 1: 'calls ' + name }, { run: 1 })
      const { exports: { run } } = new WebAssembly.Instance(new WebAssembly.Module(bytes))
      const began = Date.now()
      function works () { for (let i = 0; i < 20; i++) run(2e5) }
      while (Date.now() - began < 2500) {
        works()
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20)
      }
    }`)
  for (const name of ['early', 'late', 'worker']) {
    const named = profile.count(profile.under(name, `calls ${name}`, 'works'))
    assert.ok(named > 20, `${name}: ${named} samples`)
  }
}))

test('a garbage collection is shown as one', async () => {
  const profile = await profileSource(`${BURN}
    function allocate () { let kept = []; for (let i = 0; i < 3e5; i++) kept.push({ i, a: [i] }); return kept }
    for (const end = cpuTime() + 1000; cpuTime() < end;) allocate()`)
  assert.ok(profile.count(sample =>
    sample.stack.filter(frame => frame.name === '(garbage collector)').length === 1) > 5)
})

// In event-loop programs V8's own tasks begin most of them, with no JavaScript beneath.
test('a garbage collection that no JavaScript began is shown as one', async () => {
  const profile = await profileSource(`${BURN}
    let kept = []
    const end = cpuTime() + 1000
    function turn () {
      for (let i = 0; i < 20000; i++) kept.push({ a: i, b: [i, i + 1], c: 'x' + i })
      if (kept.length > 400000) kept = []
      if (cpuTime() < end) setImmediate(turn)
    }
    turn()`)
  const main = profile.samples.filter(sample => sample.labels['thread.name'] === 'main')
  const sum = samples => samples.reduce((total, sample) => total + sample.count, 0)
  const shown = ({ stack }) => stack.filter(frame => frame.name === '(garbage collector)').length
  const pauses = main.filter(({ stack }) => stack.some(frame => /Heap::(Scavenge|PerformGarbageCollection)\(/.test(frame.name)))
  const told = pauses.filter(sample => shown(sample) === 1)
  assert.ok(sum(main.filter(shown)) > 20, `${sum(main.filter(shown))} of ${sum(main)} samples`)
  assert.ok(sum(told) >= 0.9 * sum(pauses), `${sum(told)} of ${sum(pauses)} collecting samples`)
})

// Between its pauses V8 marks and sweeps in small steps, called by the JavaScript that allocates.
test('the collector\'s steps between its pauses are shown as its own', async t => {
  const program = `
    const kept = []
    function fill () { for (let i = 0; i < 20000; i++) kept.push({ i, a: [i, i + 1], c: 'x' + i }) }
    for (const end = process.cpuUsage().user + 1.5e6; process.cpuUsage().user < end;) {
      fill()
      if (kept.length > 600000) kept.length = 100000
    }`
  const step = /::(IncrementalMarking(Job)?::|IncrementalSweepTask::|\w+::ContributeToSweeping)/
  let profile, steps = []
  for (let run = 0; run < 5 && steps.length === 0; run++) { // a run of Node 18 meets three
    profile = await profileSource(program)
    steps = profile.samples.filter(({ stack }) => stack.some(frame => step.test(frame.name)))
  }
  if (profile.stderr.includes('this node is stripped') && steps.length === 0) return t.skip('a stripped node names no steps')
  assert.ok(steps.length > 0, 'no step was met')
  for (const { stack } of steps) {
    const names = stack.map(frame => frame.name)
    const at = names.indexOf('(garbage collector)')
    assert.ok(at > 0 && at === names.lastIndexOf('(garbage collector)'), names.join(' < '))
    const pause = names.some(name => name.includes('Heap::PerformGarbageCollection')) // the task's last step
    assert.ok(pause || names.slice(at).every(name => !name.includes('IncrementalMarking')), names.join(' < '))
  }
})

// At a rate that the kernel's tick can keep.
test('the CPU time of the main thread and of four workers is what the kernel counts', () => repeatedly(3, async () => {
  const profile = await profileSource(`${BURN}
    const { Worker, isMainThread, parentPort } = require('node:worker_threads')
    // Nanoseconds that this thread has been on a CPU; cpuUsage() brings them up to date.
    const used = () => {
      process.cpuUsage()
      return Number(require('node:fs').readFileSync('/proc/thread-self/schedstat', 'utf8').split(' ')[0])
    }
    function burn (nanoseconds) {
      const before = used()
      let x = 1
      while (used() - before < nanoseconds) for (let i = 0; i < 200000; i++) x = (x * 31 + i) % 1000003
      return used() - before
    }
    function own () { return burn(1.2e9) }
    const before = used() // what ran before there was cprof, or before it knew of the worker
    function measure () { return { own: own(), all: used() - before, before } }
    if (isMainThread) {
      let waiting = 4
      const times = { main: measure() }
      for (let i = 1; i <= 4; i++) {
        const worker = new Worker(__filename)
        worker.on('exit', () => { if (--waiting === 0) finish() })
        const { threadId } = worker
        worker.on('message', time => { times['worker ' + threadId] = time })
      }
      function finish () { // making workers is main's work as well
        times.main.all = used() - before
        console.log(JSON.stringify(times))
      }
    } else parentPort.postMessage(measure())`, { env: { CPROF_RATE: '100' } })
  const times = JSON.parse(profile.stdout)
  assert.strictEqual(Object.keys(times).length, 5, profile.stdout)
  const sum = samples => samples.reduce((sum, s) => sum + s.nanoseconds, 0)
  for (const [thread, { own, all, before }] of Object.entries(times)) {
    // Of what a worker has run before cprof knew of it, some 20 ms, little is seen, or all where a scan came in
    // time: what took longer on a busy machine may be missing, and no more. And among threads that take turns, the kernel's tick finds a timer due some periods late: what is due
    // in one function comes in the next.
    const samples = profile.samples.filter(sample => sample.labels['thread.name'] === thread)
    const seen = sum(samples), whole = thread === 'main' ? all : all + before
    const missing = thread === 'main' ? 0 : Math.max(0, before - 2e7)
    assert.ok(seen >= 0.97 * whole - missing && seen <= 1.02 * whole, `${seen} of ${whole} ns of ${thread}, ${before} before`)
    near(sum(samples.filter(profile.under('own'))) / own, 1, 0.05, `part of the CPU time of own() of ${thread}`)
  }
}))

test('a native addon that calls back is shown between the functions', {
  skip: !process.env.CPROF_TEST_NATIVE && 'no compiler or no headers'
}, async () => {
  const profile = await profileSource(`${BURN}
    const { work } = require(process.env.CPROF_TEST_NATIVE)
    function called () { burn(5) }
    function caller () { work(called, 60, 5000) }
    caller()`)
  assert.ok(profile.count(profile.under('burn', 'called', 'native_work', 'caller')) > 50)
  assert.ok(profile.count(profile.under('native_burn', 'native_work', 'caller')) > 50)
})
