'use strict'

const assert = require('node:assert')
const { spawnSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const test = require('node:test')
const { run, folder, pack, fresh, major, Profile } = require('../helper')

const binding = path.dirname(require.resolve('cprof'))
const node = path.dirname(process.execPath)
const environment = { ...process.env, NODE_PATH: '', PATH: `${node}:${process.env.PATH}` }
const call = (command, args, cwd, env = {}) =>
  spawnSync(command, args, { cwd, encoding: 'utf8', env: { ...environment, ...env }, timeout: 300_000 })

let tarball

function install (name, ...options) {
  tarball ??= pack(binding)
  const app = path.join(folder, name)
  fs.mkdirSync(app)
  fs.writeFileSync(path.join(app, 'package.json'), '{}')
  const done = call('npm', ['install', '--no-audit', '--no-fund', '--offline', ...options, tarball], app)
  assert.strictEqual(done.status, 0, done.stderr)
  return app
}

const BURN = 'let x = 1; for (let i = 0; i < 1e8; i++) x = (x * 31 + i) % 1000003'

test('installed from the tarball without scripts: preloads, NODE_OPTIONS, the command', async () => {
  const app = install('prebuilt', '--ignore-scripts')
  const manifest = JSON.parse(fs.readFileSync(path.join(app, 'node_modules/cprof/package.json')))
  for (const hook of ['preinstall', 'install', 'postinstall']) assert.ok(!manifest.scripts[hook], hook)
  assert.ok(!fs.existsSync(path.join(app, 'node_modules/cprof/binding.gyp')), 'npm would run node-gyp')
  fs.writeFileSync(path.join(app, 'main.mjs'), BURN)
  for (const [args, env] of [[['-r', 'cprof/auto', 'main.mjs'], {}], [['--import', 'cprof/auto', 'main.mjs'], {}],
    [['main.mjs'], { NODE_OPTIONS: '-r cprof/auto' }]]) {
    const output = fresh('.pb.gz')
    const done = call(process.execPath, args, app, { ...env, CPROF_OUTPUT: output })
    assert.strictEqual(done.status, 0, done.stderr)
    assert.ok(new Profile(output).count() > 10, args.join(' '))
  }
  const output = fresh('.pb.gz')
  const done = call(path.join(app, 'node_modules/.bin/cprof'), ['run', '-o', output, '--', 'node', 'main.mjs'], app)
  assert.strictEqual(done.status, 0, done.stderr)
  assert.match(done.stderr, /samples/)
  assert.ok(new Profile(output).count() > 10)
})

test('where the package has no binary for the platform, it says how to build one, and that works', {
  skip: major !== 24 ? 'built under Node 24 only, as it is the same for all'
    : !process.env.CPROF_TEST_NATIVE && 'no compiler or no headers'
}, async () => {
  const app = install('built')
  const own = path.join(app, 'node_modules/cprof')
  fs.rmSync(path.join(own, 'prebuilds'), { recursive: true })
  const without = await run(['-e', 'require("cprof")'], { env: { NODE_PATH: path.join(app, 'node_modules') } })
  assert.notStrictEqual(without.code, 0)
  assert.match(without.stderr, /cprof: no binary for .* here: build it with `npm run build --prefix/)
  const built = call('npm', ['run', 'build'], own)
  assert.strictEqual(built.status, 0, built.stderr.slice(-2000))
  const output = fresh('.pb.gz')
  const done = call(process.execPath, ['-r', 'cprof/auto', '-e', BURN], app, { CPROF_OUTPUT: output })
  assert.strictEqual(done.status, 0, done.stderr)
  assert.ok(new Profile(output).count() > 10)
})

test('the types are what TypeScript needs', {
  skip: !(() => { try { return require.resolve('typescript') } catch { return '' } })() && 'typescript could not be had from npm'
}, () => {
  const app = install('typed')
  fs.copyFileSync(path.join(__dirname, 'types.ts'), path.join(app, 'types.ts'))
  for (const kind of ['node16', 'nodenext']) {
    const done = call(process.execPath, [path.join(path.dirname(require.resolve('typescript')), 'tsc.js'),
      '--noEmit', '--strict', '--target', 'es2022', '--module', kind, '--moduleResolution', kind, 'types.ts'], app)
    assert.strictEqual(done.status, 0, done.stdout)
  }
})
