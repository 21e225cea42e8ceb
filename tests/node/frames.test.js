'use strict'

const assert = require('node:assert')
const test = require('node:test')
const { profileSource, major, repeatedly, BURN, WASM_SPIN } = require('./helper')

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
  const rooted = profile.share(sample =>
    ['_start', 'clone3', 'clone', '__clone'].includes(sample.stack.at(-1).name))
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

test('a frame of WebAssembly is told', async () => {
  const profile = await profileSource(`${WASM_SPIN}
    function caller () { spin(2e8) }
    caller()`)
  assert.ok(profile.count(profile.under('(wasm)', 'caller')) > 20, profile.samples.map(s => s.stack.map(f => f.name).join('<')).slice(0, 3).join('\n'))
})

test('a garbage collection is shown as one', async () => {
  const profile = await profileSource(`
    function allocate () { let kept = []; for (let i = 0; i < 3e5; i++) kept.push({ i, a: [i] }); return kept }
    for (const end = Date.now() + 1500; Date.now() < end;) allocate()`)
  assert.ok(profile.count(sample =>
    sample.stack.filter(frame => frame.name === '(garbage collector)').length === 1) > 5)
})

// At a rate that the kernel's tick can keep.
test('the CPU time of the main thread and of four workers is what the kernel counts', () => repeatedly(3, async () => {
  const profile = await profileSource(`${BURN}
    const { Worker, isMainThread, parentPort } = require('node:worker_threads')
    // Nanoseconds that this thread has been on a CPU.
    const used = () => Number(require('node:fs').readFileSync('/proc/thread-self/schedstat', 'utf8').split(' ')[0])
    function own () {
      const before = used()
      let x = 1
      while (used() - before < 1.2e9) for (let i = 0; i < 200000; i++) x = (x * 31 + i) % 1000003
      return used() - before
    }
    if (isMainThread) {
      let waiting = 4
      const times = { main: own() }
      for (let i = 1; i <= 4; i++) {
        const worker = new Worker(__filename)
        worker.on('exit', () => { if (--waiting === 0) console.log(JSON.stringify(times)) })
        const { threadId } = worker
        worker.on('message', time => { times['worker ' + threadId] = time })
      }
    } else parentPort.postMessage(own())`, { env: { CPROF_RATE: '100' } })
  const times = JSON.parse(profile.stdout)
  assert.strictEqual(Object.keys(times).length, 5, profile.stdout)
  for (const [thread, time] of Object.entries(times)) {
    const seen = profile.samples.filter(sample => sample.labels['thread.name'] === thread)
      .filter(profile.under('own'))
    near(seen.reduce((sum, s) => sum + s.nanoseconds, 0) / time, 1, 0.02, `part of the CPU time of ${thread}`)
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
