'use strict'

// Before `npm pack`: carries the core along, as core-src, so that the package can be built where
// there is no binary for the platform. After it (--undo): takes it away again.

const fs = require('node:fs')
const path = require('node:path')

const root = path.dirname(__dirname)
const clone = path.join(root, '../..')
const source = path.join(root, 'core-src')
const undo = process.argv[2] === '--undo'

fs.rmSync(source, { recursive: true, force: true })
const texts = ['LICENSE', 'NOTICE']
for (const text of texts) fs.rmSync(path.join(root, text), { force: true })
if (!undo) {
  for (const part of ['CMakeLists.txt', ...texts, 'cmake', 'core', 'cli', 'proto']) {
    fs.cpSync(path.join(clone, part), path.join(source, part), { recursive: true })
  }
  for (const text of texts) fs.copyFileSync(path.join(clone, text), path.join(root, text))
}
