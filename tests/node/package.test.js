'use strict'

const assert = require('node:assert')
const { spawn, spawnSync } = require('node:child_process')
const { once } = require('node:events')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const test = require('node:test')
const { run, folder, pack } = require('./helper')

const binding = path.dirname(require.resolve('cprof'))
const npm = (cwd, ...args) => spawnSync('npm', args, { cwd, encoding: 'utf8', env: { ...process.env, NODE_PATH: '' } })

test('what npm packs is installed without a compiler, has types, and brings the command', async t => {
  if (npm(binding, '--version').error) return t.skip('there is no npm')
  const tarball = pack(binding)
  const app = path.join(folder, 'app')
  fs.mkdirSync(app)
  fs.writeFileSync(path.join(app, 'package.json'), '{}')
  const installed = npm(app, 'install', '--no-audit', '--no-fund', '--offline', tarball)
  assert.strictEqual(installed.status, 0, installed.stderr)
  const file = path.join(app, 'main.js')
  fs.writeFileSync(file, 'console.log(require.resolve("cprof"), require("cprof").isRunning())')
  const { stdout } = await run([file], { env: { NODE_PATH: '' } })
  assert.match(stdout, new RegExp(`^${app}.* false\n$`))
  for (const part of ['index.d.ts', 'index.mjs', 'auto.js', 'LICENSE', 'NOTICE', 'core-src/core/include/cprof/cprof.h']) {
    assert.ok(fs.existsSync(path.join(app, 'node_modules/cprof', part)), part)
  }
  assert.match(npm(app, 'exec', '--offline', '--', 'cprof', '--version').stdout, /^cprof \d/)
  await bringsTheCommand(path.join(app, 'node_modules/.bin/cprof'), app)
})

async function bringsTheCommand (command, app) {
  const wrong = spawnSync(command, ['top'], { encoding: 'utf8' })
  assert.strictEqual(wrong.status, 2)
  assert.match(wrong.stderr, /^cprof top: which file.*\n$/)
  fs.writeFileSync(path.join(app, 'stacks.collapsed'), 'main;work 3\n')
  const top = spawnSync(command, ['top', '--json', '-'], { encoding: 'utf8', input: fs.readFileSync(path.join(app, 'stacks.collapsed')) })
  assert.strictEqual(JSON.parse(top.stdout).total, 3)
  // What the interpreter does for a function counts to the function, until all of it is asked for.
  const busy = path.join(app, 'busy.js')
  fs.writeFileSync(busy, 'while (process.cpuUsage().user < 8e5) JSON.stringify(new Array(500).fill({ a: 0.1, b: "c" }))')
  const ran = spawnSync(command, ['run', '-o', path.join(app, 'busy.pb.gz'), '--', process.execPath, busy], { encoding: 'utf8' })
  assert.strictEqual(ran.status, 0, ran.stderr)
  const share = (...options) => {
    const { stdout } = spawnSync(command, ['top', '--json', '-n', '9999', ...options, path.join(app, 'busy.pb.gz')], { encoding: 'utf8' })
    const { rows, total } = JSON.parse(stdout)
    const own = rows.filter(row => row.frame_type === 'native' && /\/(lib)?node[^/]*$/.test(row.file))
    return own.reduce((sum, row) => sum + row.self, 0) / total
  }
  assert.ok(share('--all-native') > 0.3, `${share('--all-native')}`)
  assert.ok(share() < share('--all-native') / 2, `${share()} of ${share('--all-native')}`)
  // From a folder that knows of no cprof it takes its own package, as npx does.
  const elsewhere = fs.mkdtempSync(path.join(folder, 'elsewhere-'))
  const brief = 'while (process.cpuUsage().user < 2e5);'
  const far = spawnSync(command, ['run', '-o', path.join(elsewhere, 'far.pb.gz'), '--', process.execPath, '-e', brief],
    { cwd: elsewhere, encoding: 'utf8', env: { ...process.env, NODE_PATH: '' } })
  assert.strictEqual(far.status, 0, far.stderr)
  assert.ok(fs.existsSync(path.join(elsewhere, 'far.pb.gz')), far.stderr)
  // A signal to it alone reaches what it runs, and its exit code is the command's.
  const running = spawn(command, ['run', '-o', path.join(app, 'run.pb.gz'), '--', process.execPath, '-e',
    'console.log("up"); setInterval(() => {}, 1000)'], { stdio: ['ignore', 'pipe', 'ignore'] })
  running.stdout.once('data', () => {
    running.kill('SIGINT') // a terminal's, which the program gets by itself: nothing to do
    running.kill('SIGTERM')
  })
  const [code] = await once(running, 'exit')
  assert.strictEqual(code, 128 + os.constants.signals.SIGTERM)
}
