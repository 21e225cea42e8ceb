'use strict'

// Runs programs under this Node in processes of their own, with and without cprof.

const assert = require('node:assert')
const { spawn, spawnSync } = require('node:child_process')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { Profile } = require('./pprof')

// What runs the programs: this Node, or one for another processor in an emulator (tests/arm64).
const node = process.env.CPROF_TEST_NODE ?? process.execPath

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'cprof-node-'))
process.on('exit', () => fs.rmSync(folder, { recursive: true, force: true }))
let files = 0

const fresh = ending => path.join(folder, `${++files}${ending}`)

// { code, signal, stdout, stderr }; rejects when it takes too long.
function run (args, { env = {}, seconds = 60 } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(node, args, { env: { ...process.env, ...env } })
    const output = { stdout: '', stderr: '' }
    const timer = setTimeout(() => {
      child.kill('SIGKILL')
      reject(new Error(`${args.join(' ')} took longer than ${seconds} s\n${output.stderr}`))
    }, seconds * 1000)
    for (const name of ['stdout', 'stderr']) child[name].on('data', data => { output[name] += data })
    child.on('close', (code, signal) => {
      clearTimeout(timer)
      resolve({ code, signal, ...output })
    })
  })
}

// What cprof said, but for what it says of stripped Nodes; and of samples that it had to drop, as it may
// where it gets no CPU: with the run's one profile, which must count as many as the line says.
function linesOf (stderr, profile) {
  const lines = stderr.split('\n')
    .filter(line => line.startsWith('cprof:') && !line.startsWith('cprof: this node is stripped'))
  if (profile === undefined) return lines
  const dropped = profile.metric('cprof.samples_dropped')
  const told = lines.filter(line => line.includes('samples were dropped'))
  assert.deepStrictEqual(told, dropped === 0 ? [] : [`cprof: ${dropped} samples were dropped: the buffers were full`])
  return lines.filter(line => !told.includes(line))
}

// What npm packs; it is the same for all Nodes, and is kept for them if there is a folder to keep it in. One
// at a time, as the core is put into the package's own folder meanwhile.
function pack (binding) {
  const kept = process.env.CPROF_TEST_PACKED || folder
  const packed = spawnSync('flock', [binding, 'sh', '-c',
    'cd "$0" && (ls ./*.tgz 2>/dev/null || npm pack --silent --pack-destination "$0" "$1")', kept, binding],
  { encoding: 'utf8', env: { ...process.env, NODE_PATH: '' } })
  assert.strictEqual(packed.status, 0, packed.stderr)
  return path.join(kept, packed.stdout.trim().split('\n').at(-1))
}

// The body is run with `cprof` at hand, profiled from its first line on, in one interval.
async function profileSource (source, { name = 'program.js', options = {}, ...rest } = {}) {
  const output = fresh('.pb.gz')
  const file = path.join(folder, `${++files}-${name}`)
  fs.writeFileSync(file, source)
  const env = { CPROF_OUTPUT: output, CPROF_RATE: '1000', CPROF_INTERVAL: '600', ...rest.env }
  const result = await run([...(rest.args ?? []), '-r', 'cprof/auto', file], { ...rest, env })
  if (result.code !== 0) throw new Error(`exit ${result.code} ${result.signal}\n${result.stderr}`)
  if (!fs.existsSync(output)) throw new Error(`no profile\n${result.stderr}`)
  return Object.assign(new Profile(output), { file, ...result })
}

// For runs whose stacks fill the usual memory: names that find no room there are holes too, and counted,
// but say nothing of the walk.
const ROOM = { CPROF_MEMORY_LIMIT: String(256 << 20) }

// What no busy machine explains: one is enough. As run_all.py has it.
const CRASH = /SIG(SEGV|ABRT|BUS|ILL|FPE|TRAP)|took longer than/

// What rests on timer ticks can be spoilt by a busy machine once: a failure has to repeat itself.
async function repeatedly (times, measure) {
  for (let i = 1; ; i++) {
    try {
      return await measure()
    } catch (error) {
      if (i === times || CRASH.test(error)) throw error
    }
  }
}

// Burns CPU time, of the thread that burns: Node tells the time of all threads, cprof's own among them, which
// have most to do when a program begins. Being asked for that brings the kernel's count for the thread up to date.
const BURN = `
const cpuTime = (() => {
  const fs = require('node:fs')
  const digits = Buffer.alloc(64)
  let file
  try { file = fs.openSync('/proc/thread-self/schedstat') } catch { return () => process.cpuUsage().user / 1000 }
  return () => {
    process.cpuUsage()
    fs.readSync(file, digits, 0, 64, 0)
    return Number(digits.latin1Slice(0, digits.indexOf(' '))) / 1e6
  }
})()
function burn (milliseconds) {
  let x = 1
  for (const end = cpuTime() + milliseconds; cpuTime() < end;) {
    for (let i = 0; i < 20000; i++) x = (x * 31 + i) % 1000003
  }
  return x
}
`

// spin(n) of WebAssembly, which counts down from n; its module has no names.
const WASM_SPIN = `
// (func (export "spin") (param i32) (loop (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
const bytes = Buffer.from('0061736d0100000001050160017f00030201000708010473' + '70696e00000a10010e00' + '0340200041016b22000d000b0b', 'hex')
const { exports: { spin } } = new WebAssembly.Instance(new WebAssembly.Module(bytes))
`

// A module of functions (param i32), each a list of code; `names` goes into its name section, and `exported`
// says which are exported, by which name.
const WASM_MODULE = `
function wasmModule (functions, names, exported) {
  const number = n => n < 128 ? [n] : [n % 128 + 128, ...number(n >> 7)]
  const sized = bytes => [...number(bytes.length), ...bytes]
  const text = string => sized([...Buffer.from(string)])
  const list = items => [...number(items.length), ...items.flat()]
  const section = (id, bytes) => [id, ...sized(bytes)]
  const entries = object => Object.entries(object)
  return new Uint8Array([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0,
    ...section(1, list([[0x60, 1, 0x7f, 0]])),
    ...section(3, list(functions.map(() => [0]))),
    ...section(7, list(entries(exported).map(([name, index]) => [...text(name), 0, index]))),
    ...section(10, list(functions.map(code => sized([0, ...code, 0x0b])))),
    ...section(0, [...text('name'), ...section(1, list(entries(names).map(([index, name]) => [+index, ...text(name)])))])])
}
// Counts down from the argument, times a number below 64.
const count = times => [0x20, 0, 0x41, times, 0x6c, 0x21, 0, 0x03, 0x40, 0x20, 0, 0x41, 1, 0x6b, 0x22, 0, 0x0d, 0, 0x0b]
const call = index => [0x20, 0, 0x10, index]
`

const { stdout: version } = spawnSync(node, ['-p', 'process.versions.node'], { encoding: 'utf8' })
const major = parseInt(version)

module.exports = { run, profileSource, pack, fresh, folder, major, repeatedly, Profile, ROOM, BURN, WASM_SPIN, WASM_MODULE, linesOf }
