'use strict'

// The addon, and which thread of Node's this is: 0 is the main one.

const { LINE } = require('./bundle')
const fs = require('node:fs')
const path = require('node:path')
const { prebuiltFolder } = require('./prebuilt')

const folder = prebuiltFolder()
const native = load()
// Node has not loaded that module by itself but in workers, and takes 2 ms for it.
const threadId = native.onFirstThread() ? 0 : require('node:worker_threads').threadId

function load () {
  const file = path.join(folder, 'cprof.node')
  if (!fs.existsSync(path.join(__dirname, 'native.js'))) throw new Error(LINE)
  if (!fs.existsSync(file)) {
    throw new Error(`cprof: no binary for ${path.basename(folder)} here: build it with \`npm run build --prefix ` +
      `${__dirname}\``)
  }
  const addon = { exports: {} }
  process.dlopen(addon, file) // which no bundler takes for a module that it should have
  return addon.exports
}

module.exports = { native, folder, threadId }
