'use strict'

// What the event loops hold open, in a dump: as Node itself counts it, and also while a loop is blocked.

const assert = require('node:assert')
const test = require('node:test')
const { run } = require('./helper')

const PROGRAM = `
  const net = require('node:net'), dgram = require('node:dgram'), fs = require('node:fs')
  const { spawn } = require('node:child_process')
  const { Worker } = require('node:worker_threads')
  const cprof = require('cprof')
  const server = net.createServer(socket => sockets.push(socket))
  const sockets = []
  server.listen(0, '127.0.0.1', async () => {
    for (let i = 0; i < 5; i++) {
      await new Promise(done => sockets.push(net.connect(server.address().port, '127.0.0.1', done)))
    }
    const child = spawn('sleep', ['100'])
    const udp = dgram.createSocket('udp4')
    await new Promise(done => udp.bind(0, done))
    const interval = setInterval(() => {}, 100000), watcher = fs.watch('/', () => {})
    const worker = new Worker('require("cprof"); require("node:net").createServer().listen(0, () => ' +
      'require("node:worker_threads").parentPort.postMessage("listens"))', { eval: true })
    await new Promise(done => worker.once('message', done))
    while (sockets.length < 10) await new Promise(setImmediate)
    const asked = cprof.dump({ format: 'json' })
    const until = Date.now() + 300
    while (Date.now() < until); // the dump is taken meanwhile
    const page = JSON.parse(await asked)
    const counts = {}
    for (const handle of page.handles) {
      const name = page.stacks[handle.stack].frames[0].function
      counts[name] = (counts[name] ?? 0) + 1
    }
    const peers = page.handles.filter(handle => handle.peer === '127.0.0.1:' + server.address().port).length
    const own = {}
    for (const name of process.getActiveResourcesInfo()) own[name] = (own[name] ?? 0) + 1
    console.log(JSON.stringify([counts, own, peers]))
    child.kill()
    await worker.terminate()
    process.exit(0)
  })
`

test('a dump has the open handles of all loops', async () => {
  const { code, stdout, stderr } = await run(['-e', PROGRAM], { env: { CPROF_EXPORTER: 'none' } })
  assert.strictEqual(code, 0, stderr)
  const [counts, own, peers] = JSON.parse(stdout)
  assert.strictEqual(counts.TCPServerWrap, own.TCPServerWrap + 1) // the worker's
  assert.strictEqual(counts.TCPSocketWrap, 10)
  for (const name of ['TCPSocketWrap', 'ProcessWrap', 'UDPWrap', 'FSEventWrap']) {
    if (own[name] !== undefined) assert.strictEqual(counts[name], own[name], name)
  }
  assert.deepStrictEqual([counts.ProcessWrap, counts.UDPWrap, counts.FSEventWrap], [1, 1, 1])
  assert.ok(counts.Timeout >= 1)
  assert.strictEqual(peers, 5)
})

const SECONDS = process.env.CPROF_TEST_LONG ? Number(process.env.CPROF_STRESS_SECONDS ?? 60) : 2

const CHURN = `
  const net = require('node:net'), { spawn } = require('node:child_process'), { Worker } = require('node:worker_threads')
  const cprof = require('cprof')
  const end = Date.now() + ${SECONDS * 1000}
  let dumps = 0, connections = 0
  const again = async work => { while (Date.now() < end) await work() }
  const exits = emitter => new Promise(done => emitter.once('exit', done))
  cprof.start({ types: ['cpu', 'offcpu'] })
  const server = net.createServer(socket => socket.end('x')).listen(0, '127.0.0.1', async () => {
    await Promise.all([
      again(async () => { dumps += JSON.parse(await cprof.dump({ format: 'json' })).handles.length > 0 }),
      again(() => exits(spawn('true'))),
      again(() => exits(new Worker('const shared = new Int32Array(new SharedArrayBuffer(4)); Atomics.wait(shared, 0, 0, 20)', { eval: true }))),
      ...Array.from({ length: 5 }, () => again(() => new Promise(done => {
        net.connect(server.address().port, '127.0.0.1').resume().once('close', () => { connections++; done() })
      })))
    ])
    server.close()
    await cprof.stop()
    console.log(dumps > 0, connections > 0)
  })
`

test('dumps beside sockets, children and workers that come and go', async () => {
  const { code, stdout, stderr } = await run(['-e', CHURN], { env: { CPROF_EXPORTER: 'none' }, seconds: 3 * SECONDS + 60 })
  assert.strictEqual(code, 0, stderr)
  assert.strictEqual(stdout, 'true true\n')
})
