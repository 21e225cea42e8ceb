'use strict'

const assert = require('node:assert')
const { spawnSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const test = require('node:test')
const { run, folder } = require('./helper')

const binding = path.dirname(require.resolve('cprof'))
const npm = (cwd, ...args) => spawnSync('npm', args, { cwd, encoding: 'utf8', env: { ...process.env, NODE_PATH: '' } })

test('what npm packs is installed without a compiler, and has types', async t => {
  const packed = npm(binding, 'pack', '--silent', '--pack-destination', folder)
  if (packed.error) return t.skip('there is no npm')
  assert.strictEqual(packed.status, 0, packed.stderr)
  const app = path.join(folder, 'app')
  fs.mkdirSync(app)
  fs.writeFileSync(path.join(app, 'package.json'), '{}')
  const tarball = path.join(folder, packed.stdout.trim().split('\n').at(-1))
  const installed = npm(app, 'install', '--no-audit', '--no-fund', '--offline', tarball)
  assert.strictEqual(installed.status, 0, installed.stderr)
  const file = path.join(app, 'main.js')
  fs.writeFileSync(file, 'console.log(require.resolve("cprof"), require("cprof").isRunning())')
  const { stdout } = await run([file], { env: { NODE_PATH: '' } })
  assert.match(stdout, new RegExp(`^${app}.* false\n$`))
  for (const part of ['index.d.ts', 'index.mjs', 'auto.js', 'core-src/core/include/cprof/cprof.h']) {
    assert.ok(fs.existsSync(path.join(app, 'node_modules/cprof', part)), part)
  }
})
