'use strict'

const { Context } = require('./context')
const { native, folder, threadId } = require('./native')

// Why JavaScript is not followed in the best way; another thread may start the engine as well.
let lacking = native.init(threadId, () => join())
const context = new Context(native)

const EXIT_TIMEOUT = 2 // seconds that the end of a program may wait for the last delivery
const DEFAULT_TIMEOUT = 5
const EINVAL = 22
const ON = ['1', 'true', 'yes', 'on']
const RUNTIME = [
  'process.runtime.name', 'nodejs',
  'process.runtime.version', process.versions.node,
  'process.runtime.description', `Node.js ${process.version}, V8 ${process.versions.v8}`,
  'telemetry.sdk.language', 'nodejs'
]

// start() holds up an event loop. Hence the parentheses around what it calls: V8 compiles such functions
// when the module is loaded, and others at their first call.

/**
 * Starts profiling this process. Throws a RangeError, with one line that names the option or
 * variable, for a value that makes no sense.
 */
const start = (function start (options = {}) {
  if (native.isRunning()) throw new Error('cprof is running already')
  const given = { resource: RUNTIME, libraryDirectory: folder }
  for (const name in OPTIONS) {
    if (options[name] !== undefined) given[name] = OPTIONS[name](options[name], name)
  }
  const refusal = native.start(given)
  if (refusal) {
    const [code, message] = refusal
    if (code === 0) return
    throw new (code === EINVAL ? RangeError : Error)(message)
  }
  findWay()
  join(options.asyncHooks)
})

// What a thread does while the engine runs, whichever started it.
const join = (function join (asyncHooks) {
  followSpans(asyncHooks)
  process.removeListener('exit', stopAtExit)
  process.on('exit', stopAtExit)
})

/** Exports what has been gathered; true when everything has been delivered. */
async function flush ({ timeout = DEFAULT_TIMEOUT } = {}) {
  return native.flush(timeout)
}

/** Stops profiling and delivers the rest; true when everything has been delivered. */
async function stop ({ timeout = DEFAULT_TIMEOUT } = {}) {
  process.removeListener('exit', stopAtExit)
  return native.stop(timeout)
}

// The engine is the process's: it outlives a worker that started it, unless nobody is left to stop it.
function stopAtExit () {
  if (threadId === 0 || native.isLast()) native.stopNow(EXIT_TIMEOUT)
}

function isRunning () {
  return native.isRunning()
}

/** cprof's own figures: samples taken and lost, profiles delivered, bytes, time spent. */
function stats () {
  return native.stats()
}

/** Profiles the process while a function runs, synchronous or not, into a file. */
async function profile (output, run, options = {}) {
  start({ ...options, output })
  try {
    return await run()
  } finally {
    await stop()
  }
}

// ---- spans and labels ----

const followSpans = (function followSpans (asyncHooks = ON.includes(process.env.CPROF_ASYNC_HOOKS?.toLowerCase())) {
  context.follow({ asyncHooks })
})

if (native.isRunning()) join() // a worker

/**
 * Puts labels on the samples of a function and of everything asynchronous that it begins. Inner
 * labels add to outer ones and win over those of the same name.
 */
function labels (added, run) {
  return context.labels(added, run)
}

// ---- the self-test ----

// Three functions that are known: what the handler makes of them must be true.
const knownOuter = () => knownMiddle()
function knownMiddle () { return knownInner() }
function knownInner () { return native.probe() }
const KNOWN = ['knownInner', 'knownMiddle', 'knownOuter', 'testWay']
const testWay = () => knownOuter().slice(0, KNOWN.length)

// The ways to follow JavaScript, best first, as src/isolate.h has them.
const TESTED = ['frames', 'samples']
const INSTEAD = ['',
  'JavaScript is followed by samples and code events of V8, which show where functions begin',
  'JavaScript frames are shown as "(JavaScript)"', 'showing native frames only']
const FAILING = (process.env.CPROF_TEST_SELF_TEST ?? '').split(',') // for tests only

// Takes the best way that stands its test, and says so if it is not the first.
const findWay = (function findWay () {
  let way
  while ((way = native.way()) < TESTED.length) {
    const seen = testWay()
    if (String(seen) === String(KNOWN) && !FAILING.includes(TESTED[way])) break
    lacking = `the self-test did not find its own functions on the stack (saw ${seen.join(', ') || 'none'})`
    native.descend()
  }
  if (lacking) process.stderr.write(`cprof: ${lacking}; ${INSTEAD[way]}\n`)
})

// ---- options ----

// What makes plain values of those that are given.
const OPTIONS = {
  serviceName: text,
  types: commaList,
  rate: positive,
  interval: positive,
  exporter: commaList,
  endpoint: text,
  output: text,
  native: value => value ? 'on' : 'off',
  headers: pairs,
  labels: pairs,
  sourceMaps: yesOrNo
}

function text (value, name) {
  if (typeof value === 'string') return value
  throw new TypeError(`${name}: a string is needed`)
}

function commaList (value, name) {
  return text(Array.isArray(value) ? value.join(',') : value, name)
}

// Zero tells the engine to take its default; asked for by a caller it is a mistake.
function positive (value, name) {
  if (typeof value === 'number' && value > 0 && value < 2 ** 31) return value
  throw new RangeError(`${name}=${value}: a number above 0 is needed`)
}

function yesOrNo (value, name) {
  if (typeof value === 'boolean') return value
  throw new TypeError(`${name}=${value}: true or false is needed`)
}

function pairs (object) {
  return Object.entries(object ?? {}).flatMap(([key, value]) => [key, String(value)])
}

module.exports = { start, flush, stop, isRunning, stats, profile, labels }
