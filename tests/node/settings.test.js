'use strict'

// What variables say: whether cprof starts, and where it listens. The same under every Node (../versions.py).

const assert = require('node:assert')
const { spawn } = require('node:child_process')
const { once } = require('node:events')
const fs = require('node:fs')
const http = require('node:http')
const path = require('node:path')
const { setTimeout: sleep } = require('node:timers/promises')
const test = require('node:test')
const { run, fresh, folder, linesOf, Profile } = require('./helper')

const program = (name, source) => {
  const file = path.join(folder, name)
  fs.writeFileSync(file, source)
  return file
}
const auto = (...args) => ['-r', 'cprof/auto', ...args]

test('a variable that makes no sense is one line, and the program runs', async () => {
  for (const [name, value] of [['CPROF_RATE', '-5'], ['CPROF_TYPES', 'nonsense'],
    ['CPROF_ENABLED', 'perhaps'], ['CPROF_SOURCE_MAPS', 'maybe'], ['CPROF_ASYNC_HOOKS', '2']]) {
    const result = await run(auto('-e', 'console.log("ran")'), { env: { [name]: value } })
    assert.strictEqual(result.code, 0)
    assert.strictEqual(result.stdout, 'ran\n')
    const lines = result.stderr.trim().split('\n')
    assert.strictEqual(lines.length, 1, result.stderr)
    assert.ok(lines[0].includes(name) && lines[0].includes(value), lines[0])
    if (name === 'CPROF_ENABLED') assert.match(lines[0], /: must be on, standby or off;/)
  }
})

// The hook is named, so without a word it starts.
test('the preload follows the rule of three languages', async () => {
  const ask = auto('-p', 'require("cprof").isRunning()')
  for (const [value, runs] of [[undefined, true], ['', true], ['on', true], ['TRUE', true], ['off', false],
    ['No', false], ['0', false]]) {
    const result = await run(ask, { env: { CPROF_ENABLED: value, CPROF_EXPORTER: 'none' } })
    assert.strictEqual(result.stdout, `${runs}\n`, `CPROF_ENABLED=${value}`)
  }
})

test('CPROF_ENABLED=off leaves the program alone', async () => {
  const output = fresh('.pb.gz')
  await run(auto('-e', '0'), { env: { CPROF_ENABLED: 'off', CPROF_OUTPUT: output } })
  assert.ok(!fs.existsSync(output))
})

// From a socket's path or a port.
function get (from, path) {
  const to = typeof from === 'string' ? { socketPath: from } : { port: from, host: '127.0.0.1' }
  return new Promise((resolve, reject) => http.get({ ...to, path, agent: false }, async response => {
    resolve(Buffer.concat(await response.toArray()))
  }).on('error', reject))
}

const freePort = () => new Promise(resolve => {
  const server = http.createServer().listen(0, '127.0.0.1', () => {
    const { port } = server.address()
    server.close(() => resolve(port))
  })
})

test('with %p in CPROF_LISTEN each process of a cluster has a socket of its own', async () => {
  const sockets = fs.mkdtempSync(path.join(folder, 'sockets-'))
  const file = program('listening.js', `
    const cluster = require('node:cluster')
    if (cluster.isPrimary) for (let i = 0; i < 2; i++) cluster.fork()
    else {
      function serve () { let x = 1; for (let i = 0; i < 3e6; i++) x = (x * 31 + i) % 1000003; return x }
      setInterval(serve, 1)
    }`)
  const env = { CPROF_EXPORTER: 'none', CPROF_RATE: '500', CPROF_LISTEN: `unix:${sockets}/%p.sock` }
  const primary = spawn(process.execPath, auto(file), { env: { ...process.env, ...env }, stdio: 'inherit' })
  try {
    for (let i = 0; i < 600 && fs.readdirSync(sockets).length < 3; i++) await sleep(100)
    const profiles = await Promise.all(fs.readdirSync(sockets).map(async name => {
      const output = fresh('.pb.gz')
      fs.writeFileSync(output, await get(path.join(sockets, name), '/debug/pprof/profile?seconds=1'))
      assert.match(String(await get(path.join(sockets, name), '/debug/pprof/')),
        new RegExp(`process ${path.parse(name).name}<`))
      return new Profile(output)
    }))
    assert.strictEqual(profiles.filter(profile => profile.count(profile.under('serve')) > 5).length, 2)
    assert.strictEqual(profiles.length, 3)
  } finally {
    primary.kill()
    await once(primary, 'exit')
  }
})

test('with a port in CPROF_LISTEN the primary of a cluster lists its workers, and gives out their profiles', async () => {
  const file = program('ported.js', `
    const cluster = require('node:cluster')
    if (cluster.isPrimary) {
      for (let i = 0; i < 2; i++) cluster.fork()
    } else {
      function serve () { let x = 1; for (let i = 0; i < 3e6; i++) x = (x * 31 + i) % 1000003; return x }
      setInterval(serve, 1)
    }`)
  const port = await freePort()
  const env = { CPROF_EXPORTER: 'none', CPROF_RATE: '500', CPROF_LISTEN: `127.0.0.1:${port}` }
  const primary = spawn(process.execPath, auto(file), { env: { ...process.env, ...env } })
  let stderr = ''
  primary.stderr.on('data', data => { stderr += data })
  try {
    let page = '', links = []
    for (let i = 0; i < 600 && links.length < 3; i++) {
      await sleep(100)
      page = String(await get(port, '/debug/pprof/').catch(() => ''))
      links = [...page.matchAll(/"(\/debug\/pprof\/profile\?pid=(\d+))/g)]
    }
    assert.strictEqual(links.length, 3, page)
    assert.strictEqual(Number(links[0][2]), primary.pid)
    assert.strictEqual(page.match(/ported\.js/g).length, 3, page)
    const serving = await Promise.all(links.map(async ([, link, pid]) => {
      const output = fresh('.pb.gz')
      fs.writeFileSync(output, await get(port, `${link}&seconds=1`))
      const profile = new Profile(output)
      return profile.count(profile.under('serve')) > 5
    }))
    assert.deepStrictEqual(serving, [false, true, true])
    assert.deepStrictEqual(linesOf(stderr), [])
  } finally {
    primary.kill()
    await once(primary, 'exit')
  }
})
