'use strict'

// Runs programs under this Node in processes of their own, with and without cprof.

const { spawn } = require('node:child_process')
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

// The body is run with `cprof` at hand, profiled from its first line on.
async function profileSource (source, { name = 'program.js', options = {}, ...rest } = {}) {
  const output = fresh('.pb.gz')
  const file = path.join(folder, `${++files}-${name}`)
  fs.writeFileSync(file, source)
  const env = { CPROF_OUTPUT: output, CPROF_RATE: '1000', ...rest.env }
  const result = await run([...(rest.args ?? []), '-r', 'cprof/auto', file], { ...rest, env })
  if (result.code !== 0) throw new Error(`exit ${result.code} ${result.signal}\n${result.stderr}`)
  return Object.assign(new Profile(output), { file, ...result })
}

// What rests on timer ticks can be spoilt by a busy machine once: a failure has to repeat itself.
async function repeatedly (times, measure) {
  for (let i = 1; ; i++) {
    try {
      return await measure()
    } catch (error) {
      if (i === times) throw error
    }
  }
}

const major = Number(process.versions.node.split('.')[0])

module.exports = { run, profileSource, fresh, folder, major, repeatedly, Profile }
