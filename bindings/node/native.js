'use strict'

// The addon, and which thread of Node's this is: 0 is the main one.

const path = require('node:path')
const { prebuiltFolder } = require('./prebuilt')

const folder = prebuiltFolder()
const native = load()
// Node has not loaded that module by itself but in workers, and takes 2 ms for it.
const threadId = native.onFirstThread() ? 0 : require('node:worker_threads').threadId

function load () {
  try {
    return require(path.join(folder, 'cprof.node'))
  } catch (error) {
    if (error.code !== 'MODULE_NOT_FOUND') throw error
    throw new Error(`cprof: no binary for ${path.basename(folder)} here: build it with \`npm run build --prefix ${__dirname}\``)
  }
}

module.exports = { native, folder, threadId }
