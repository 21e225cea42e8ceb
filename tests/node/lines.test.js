'use strict'

// What cprof says on standard error reaches it: Node marks its standard descriptors close-on-exec.

const assert = require('node:assert')
const fs = require('node:fs')
const net = require('node:net')
const { once } = require('node:events')
const { spawnSync } = require('node:child_process')
const test = require('node:test')
const { run, fresh, BURN } = require('./helper')

const program = ['-r', 'cprof/auto', '-e', `${BURN} burn(100)`]

async function linesOf (env, args = program) {
  const result = await run(args, { env })
  assert.strictEqual(result.code, 0, result.stderr)
  return result.stderr
}

test('an output that cannot be written is one line', async () => {
  const lines = await linesOf({ CPROF_OUTPUT: '/no/such/folder/out.pb.gz' })
  assert.match(lines, /^cprof: .*\/no\/such\/folder\/out\.pb\.gz.*\n$/)
})

test('a port that is taken is one line', async () => {
  const server = net.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = `127.0.0.1:${server.address().port}`
  try {
    const lines = await linesOf({ CPROF_LISTEN: address, CPROF_EXPORTER: 'none' })
    assert.strictEqual(lines.trim().split('\n').length, 1, lines)
    assert.match(lines, new RegExp(`^cprof: CPROF_LISTEN=${address}: .*; unix:/run/app-%p.sock gives each process`))
  } finally {
    server.close()
  }
})

test('a server that is away is told', async () => {
  const lines = await linesOf({ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9' })
  assert.match(lines, /^cprof: .*otlp: .*127\.0\.0\.1/m)
})

test('CPROF_LOG=debug says what is written, to a pipe and to a file', async () => {
  const output = fresh('.pb.gz')
  const env = { CPROF_LOG: 'debug', CPROF_OUTPUT: output }
  assert.ok((await linesOf(env)).includes(output))
  const log = fresh('.log')
  const file = fs.openSync(log, 'a')
  spawnSync(process.execPath, program, { env: { ...process.env, ...env }, stdio: ['ignore', 'ignore', file] })
  fs.closeSync(file)
  assert.ok(fs.readFileSync(log, 'utf8').includes(output))
})
