'use strict'

// Runs programs under this Node in processes of their own, with and without cprof.

const { spawn, spawnSync } = require('node:child_process')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { Profile } = require('./pprof')

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'cprof-node-'))
process.on('exit', () => fs.rmSync(folder, { recursive: true, force: true }))
let files = 0

const fresh = ending => path.join(folder, `${++files}${ending}`)

// { code, signal, stdout, stderr }; rejects when it takes too long.
function run (args, { env = {}, seconds = 60 } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, { env: { ...process.env, ...env } })
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

// npm pack, into the folder: one at a time, as it puts the core into the package's own folder meanwhile.
function pack (binding) {
  return spawnSync('flock', [binding, 'npm', 'pack', '--silent', '--pack-destination', folder],
    { cwd: binding, encoding: 'utf8', env: { ...process.env, NODE_PATH: '' } })
}

// The body is run with `cprof` at hand, profiled from its first line on.
async function profileSource (source, { name = 'program.js', options = {}, ...rest } = {}) {
  const output = fresh('.pb.gz')
  const file = path.join(folder, `${++files}-${name}`)
  fs.writeFileSync(file, source)
  const env = { CPROF_OUTPUT: output, CPROF_RATE: '1000', ...rest.env }
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

// Burns CPU time.
const BURN = `
function burn (milliseconds) {
  let x = 1
  for (const end = process.cpuUsage().user + milliseconds * 1000; process.cpuUsage().user < end;) {
    for (let i = 0; i < 20000; i++) x = (x * 31 + i) % 1000003
  }
  return x
}
`

// spin(n) of WebAssembly, which counts down from n.
const WASM_SPIN = `
// (func (export "spin") (param i32) (loop (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
const bytes = Buffer.from('0061736d0100000001050160017f00030201000708010473' + '70696e00000a10010e00' + '0340200041016b22000d000b0b', 'hex')
const { exports: { spin } } = new WebAssembly.Instance(new WebAssembly.Module(bytes))
`

const major = Number(process.versions.node.split('.')[0])

module.exports = { run, profileSource, pack, fresh, folder, major, repeatedly, Profile, ROOM, BURN, WASM_SPIN }
