'use strict'

// V8's own CpuProfiler is the judge: it profiles the same run of a real program, and both must
// see the same functions with the same shares. It goes by the clock on the wall, so the programs
// compute much more than they wait in the kernel.

const assert = require('node:assert')
const fs = require('node:fs')
const path = require('node:path')
const test = require('node:test')
const { run, fresh, folder, major, Profile, repeatedly } = require('../helper')

const POINTS = 0.05
const SHOWN = 0.05 // shares below are not compared

function available (name) {
  try {
    return require.resolve(name) !== ''
  } catch {
    return false
  }
}

// Up to Node 24 CpuProfiler gives the time of functions that were inlined into a running loop to those
// around them, as the last test shows: there nothing is inlined. Else the Express application's price()
// has 78 of 100 in cprof, and 8 in CpuProfiler.
const JUDGE_SEES_INLINED = major >= 26

// Runs work() of the program under both, on the main thread.
const JUDGED = `
const inspector = require('node:inspector'), fs = require('node:fs')
const session = new inspector.Session()
session.connect()
for (const compiler of ${JUDGE_SEES_INLINED ? '[]' : '["", "maglev-"]'}) {
  for (const size of ['', '-small']) {
    require('node:v8').setFlagsFromString('--max-' + compiler + 'inlined-bytecode-size' + size + '=0')
  }
}
const post = (method, params) => new Promise((resolve, reject) =>
  session.post(method, params, (error, result) => error ? reject(error) : resolve(result)))
async function judged (work) {
  await post('Profiler.enable')
  await post('Profiler.setSamplingInterval', { interval: 1000 })
  const cprof = require('cprof')
  cprof.start({ output: process.argv[2], rate: 1000, native: true })
  await post('Profiler.start')
  await work(6)
  const { profile } = await post('Profiler.stop')
  await cprof.stop()
  fs.writeFileSync(process.argv[3], JSON.stringify(profile))
  process.exit(0)
}
`

const key = (file, line) => `${file.replace(/^file:\/\//, '')}:${line}`
const ofUser = (file, line) => line > 0 && !/^(node:|evalmachine|$)/.test(file)

// Place of a function → share of the samples with user's functions in which it is on the stack.
function sharesOf (stacks) {
  const counts = new Map()
  let total = 0
  for (const [places, count] of stacks) {
    if (places.size === 0) continue
    total += count
    for (const place of places) counts.set(place, (counts.get(place) ?? 0) + count)
  }
  return { total, shares: new Map([...counts].map(([place, count]) => [place, count / total])) }
}

function ours (file) {
  return sharesOf(new Profile(file).samples
    .filter(sample => sample.labels['thread.name'] === 'main' &&
      !sample.stack.some(frame => frame.name === 'post')) // the judge's own work
    .map(({ stack, count }) => [new Set(stack.filter(f => ofUser(f.file, f.startLine) && /\.[cm]?js$/.test(f.file))
      .map(f => key(f.file, f.startLine))), count]))
}

function theirs (file) {
  const profile = JSON.parse(fs.readFileSync(file))
  const nodes = new Map(profile.nodes.map(node => [node.id, node]))
  for (const node of profile.nodes) for (const child of node.children ?? []) nodes.get(child).parent = node
  return sharesOf(profile.nodes.map(node => {
    const places = new Set()
    for (let at = node; at; at = at.parent) {
      const { url, lineNumber } = at.callFrame
      if (ofUser(url, lineNumber + 1)) places.add(key(url, lineNumber + 1))
    }
    return [places, node.hitCount]
  }))
}

async function compare (source) {
  const main = path.join(folder, 'judged.js')
  fs.writeFileSync(main, JUDGED + source)
  const [own, judge] = [fresh('.pb.gz'), fresh('.json')]
  const result = await run([main, own, judge], { seconds: 150 })
  assert.strictEqual(result.code, 0, result.stderr)
  const [a, b] = [ours(own), theirs(judge)]
  assert.ok(a.total > 300 && b.total > 300, `${a.total} and ${b.total} samples`)
  const apart = [...new Set([...a.shares.keys(), ...b.shares.keys()])]
    .map(place => [place, a.shares.get(place) ?? 0, b.shares.get(place) ?? 0])
    .filter(([, x, y]) => Math.max(x, y) > SHOWN && Math.abs(x - y) > POINTS)
  const compared = [...b.shares.values()].filter(share => share > SHOWN).length
  assert.ok(compared >= 5, `only ${compared} functions above ${SHOWN}`)
  assert.deepStrictEqual(apart, [])
}

test('TypeScript compiling: the same functions and shares as CpuProfiler\'s', {
  skip: !available('typescript') && 'typescript could not be had from npm'
}, () => repeatedly(3, () => compare(`
  const ts = require('typescript')
  const source = Array.from({ length: 150 }, (_, n) => \`
    interface Item\${n} { id: number; name: string; tags: Array<"a" | "b" | "c"> }
    class Store\${n}<T extends Item\${n}> {
      private items = new Map<number, T>()
      add (item: T): this { this.items.set(item.id, item); return this }
      find (test: (item: T) => boolean): T | undefined { return [...this.items.values()].find(test) }
      names (): string[] { return [...this.items.values()].map(({ name, tags }) => name + tags.join()) }
    }
    export const store\${n} = new Store\${n}<Item\${n}>().add({ id: \${n}, name: "x", tags: ["a"] }).names().length\`).join('')
  function compile () {
    const options = { target: ts.ScriptTarget.ES2020, module: ts.ModuleKind.CommonJS, strict: true }
    const host = ts.createCompilerHost(options)
    const read = host.getSourceFile
    host.getSourceFile = (name, ...rest) => name === 'shop.ts' ? ts.createSourceFile(name, source, options.target) : read(name, ...rest)
    host.writeFile = () => {}
    ts.createProgram(['shop.ts'], options, host).emit()
  }
  judged(seconds => { for (const end = process.cpuUsage().user + seconds * 1e6; process.cpuUsage().user < end;) compile() })
`)))

test('an Express application under load: the same functions and shares as CpuProfiler\'s', {
  skip: !available('express') && 'express could not be had from npm'
}, () => repeatedly(3, () => compare(`
  const { Worker } = require('node:worker_threads')
  const express = require('express')
  const app = express()
  app.set('etag', false)
  function price (cart, i) {
    let sum = 0
    for (const item of cart) sum += item.count * Math.sqrt(item.price + i)
    return sum
  }
  function cartOf (id) { return Array.from({ length: 8000 }, (_, n) => ({ id: n, count: n % 7, price: (n * id) % 97 })) }
  function totals (cart) { let sum = 0; for (let i = 0; i < 300; i++) sum += price(cart, i); return sum }
  function page (cart) { return cart.map(item => '<li>' + item.id + ': ' + item.price.toFixed(2) + '</li>').join('\\n') }
  app.use((request, response, next) => { request.cart = cartOf(Number(request.query.id)); next() })
  app.get('/total', (request, response) => response.json({ total: totals(request.cart) }))
  app.get('/page', (request, response) => response.send(totals(request.cart) + page(request.cart).slice(0, 3000)))
  const client = \`const http = require('node:http'), { workerData: port } = require('node:worker_threads')
    const agent = new http.Agent({ keepAlive: true, maxSockets: 8 })
    let n = 0
    const next = () => http.get({ port, agent, path: (n++ % 2 ? '/total' : '/page') + '?id=' + n % 50 },
      response => response.resume().on('end', next)).on('error', () => {})
    for (let i = 0; i < 8; i++) next()\`
  const server = app.listen(0, '127.0.0.1', () => {
    new Worker(client, { eval: true, workerData: server.address().port })
    judged(seconds => new Promise(resolve => setTimeout(resolve, seconds * 1000)))
  })
`)))

// Two functions whose CPU time is taken in the same run: with inlining, that is the judge.
const INLINED = `
const fs = require('node:fs'), inspector = require('node:inspector')
const session = new inspector.Session()
session.connect()
const post = (method, params) => new Promise((resolve, reject) =>
  session.post(method, params, (error, result) => error ? reject(error) : resolve(result)))
// This thread's CPU time in ms; asking for the process's brings it up to date.
const used = fs.openSync('/proc/thread-self/schedstat'), digits = Buffer.alloc(64)
function cpu () {
  process.cpuUsage()
  fs.readSync(used, digits, 0, 64, 0)
  return Number(digits.latin1Slice(0, digits.indexOf(' '))) / 1e6
}
const spent = { seventy: 0, thirty: 0 }
function step (x, i) { return (x * 31 + i) % 1000003 }
function seventy (x) { for (let i = 0; i < 70000; i++) x = step(x, i); return x }
function thirty (x) { for (let i = 0; i < 30000; i++) x = step(x, i); return x }
function both (x) {
  const begin = cpu()
  x = seventy(x)
  const middle = cpu()
  x = thirty(x)
  spent.seventy += middle - begin
  spent.thirty += cpu() - middle
  return x
}
function loop (milliseconds) {
  let x = 1
  for (const end = cpu() + milliseconds; cpu() < end;) x = both(x)
  return x
}
async function main () {
  loop(500) // compiled, inlined
  spent.seventy = spent.thirty = 0
  await post('Profiler.enable')
  await post('Profiler.setSamplingInterval', { interval: 1000 })
  require('cprof').start({ output: process.argv[2], rate: 1000 })
  await post('Profiler.start')
  loop(5000)
  const { profile } = await post('Profiler.stop')
  await require('cprof').stop()
  fs.writeFileSync(process.argv[3], JSON.stringify(profile))
  console.log(JSON.stringify(spent))
}
main()
`

test('functions that are inlined have the time that they took', t => repeatedly(3, async () => {
  const main = path.join(folder, 'inlined.js')
  fs.writeFileSync(main, INLINED)
  const [own, judge] = [fresh('.pb.gz'), fresh('.json')]
  const { code, stdout, stderr } = await run(['--trace-turbo-inlining', '-r', 'cprof/auto', main, own, judge],
    { env: { CPROF_ENABLED: 'off' } })
  assert.strictEqual(code, 0, stderr)
  assert.match(stdout, /seventy|step/, 'something was inlined')
  const spent = JSON.parse(stdout.trim().split('\n').at(-1))
  const share = ({ seventy, thirty }) => seventy / (seventy + thirty)
  const profile = new Profile(own)
  const ours = { seventy: profile.count(profile.under('seventy', 'both')), thirty: profile.count(profile.under('thirty', 'both')) }
  const { nodes } = JSON.parse(fs.readFileSync(judge))
  const hits = name => nodes.filter(node => node.callFrame.functionName === name).reduce((sum, node) => sum + node.hitCount, 0)
  t.diagnostic(`took ${share(spent).toFixed(3)}, cprof ${share(ours).toFixed(3)} of ${ours.seventy + ours.thirty}; ` +
    `CpuProfiler: ${['step', 'seventy', 'thirty', 'both', 'loop'].map(name => `${name} ${hits(name)}`).join(', ')}`)
  assert.ok(ours.seventy + ours.thirty > 1000, `${ours.seventy + ours.thirty} samples`)
  assert.ok(Math.abs(share(ours) - share(spent)) <= 0.03, `${share(ours)}, not ${share(spent)}`)
}))
