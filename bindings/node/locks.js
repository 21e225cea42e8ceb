'use strict'

// Waits in Atomics.wait(), for the types `lock` and `blame`: two functions in the place of Atomics.wait() and
// Atomics.notify(), on each thread on which cprof is loaded, from when one of the types is first asked for.
// They do what the originals do, to which undefined is the same as nothing, and tell src/locks.c.

const { Atomics, AtomicsNotify, AtomicsWait, ObjectDefineProperty, Uint32Array } = require('./primordials')
const { native } = require('./native')

const OPEN = 0
const WAITING = 1 // how many threads wait
let words

// Wherever it is called, nothing changes until one of the types is on, and then once.
const followLocks = (function followLocks () {
  if (words !== undefined) return
  const buffer = native.lockWords(__filename)
  if (buffer === undefined) return
  words = new Uint32Array(buffer)
  put('wait', wait)
  put('notify', notify)
})

const put = (function put (name, value) {
  ObjectDefineProperty(Atomics, name, { __proto__: null, value, writable: true, enumerable: false, configurable: true })
})

function wait (typedArray, index, value, timeout) {
  if (words[OPEN] === 0) return AtomicsWait(typedArray, index, value, timeout)
  let result
  native.waitBegins(typedArray, index)
  try {
    result = AtomicsWait(typedArray, index, value, timeout)
  } finally {
    native.waitEnds((result === 'ok' || result === 'timed-out') && !(typeof timeout === 'number' && timeout <= 0))
  }
  return result
}

function notify (typedArray, index, count) {
  if (words[OPEN] === 0 || words[WAITING] === 0) return AtomicsNotify(typedArray, index, count)
  const waited = native.letsGo(typedArray, index)
  const woken = AtomicsNotify(typedArray, index, count)
  if (waited > 0) native.blames(waited)
  return woken
}

module.exports = { followLocks }
