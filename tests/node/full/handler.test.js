'use strict'

const assert = require('node:assert')
const { spawnSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const test = require('node:test')
const { folder } = require('../helper')

const core = path.join(__dirname, '../../core/sample')
const build = path.join(path.dirname(fs.realpathSync(require.resolve('cprof'))), 'build/CMakeFiles/addon.dir/src')
const objects = ['walk', 'v8_sample', 'context'].map(name => path.join(build, `${name}.c.o`))

// V8's GetStackSample, made for signal handlers, is called by pointer, which no list of symbols shows.
test('handler code calls only what it may', {
  skip: !objects.every(object => fs.existsSync(object)) && 'the addon was not built here'
}, t => {
  if (spawnSync('nm', ['--version']).error) return t.skip('there is no nm')
  const allowed = path.join(folder, 'allowed')
  fs.writeFileSync(allowed, fs.readFileSync(path.join(core, 'handler_symbols.allow'), 'utf8') +
    'layout # layout.c: numbers, filled before the first sample\n' +
    'tfind # follows the pointers of a tree, which is not being changed\n')
  const check = (...files) =>
    spawnSync('sh', [path.join(core, 'check_handler_symbols.sh'), allowed, ...files], { encoding: 'utf8' })
  assert.strictEqual(check(...objects).stdout, '')
  assert.strictEqual(check(...objects).status, 0)
  const others = check(path.join(build, 'context_probe.c.o')) // the check does see what is not allowed
  assert.match(others.stdout, /context_probe.c.o calls context_of, which is not allowed in a signal handler/)
})
