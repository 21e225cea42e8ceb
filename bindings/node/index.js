'use strict'

require('./bundle') // first
const {
  ArrayIsArray, ArrayJoin, Error, ObjectKeys, RangeError, String, StringIndexOf, TypeError, env,
  listenerCount, on, process
} = require('./primordials')
const { Context } = require('./context')
const { followLocks } = require('./locks')
const { native, folder, threadId } = require('./native')
const { readSwitch, onOrOff } = require('./onoff')

// Why JavaScript is not followed in the best way; another thread may start the engine as well.
let lacking = native.init(threadId, () => followSpans())
const context = new Context(native)

const DEFAULT_TIMEOUT = 5
const EBUSY = 16 // another copy of cprof is in the way
const EINVAL = 22
const ECANCELED = 125 // the environment says not to run
const JOINED = 1 // as cprof.h has it
const ENDINGS = { __proto__: null, SIGTERM: true, SIGINT: true, SIGHUP: true } // as engine/terminate.c has them
const RUNTIME = [
  'process.runtime.name', 'nodejs',
  'process.runtime.version', process.versions.node,
  'process.runtime.description', `Node.js ${process.version}, V8 ${process.versions.v8}`,
  'telemetry.sdk.language', 'nodejs'
]

// start() holds up an event loop. Hence the parentheses around what it calls: V8 compiles such functions
// when the module is loaded, and others at their first call.

/**
 * Starts profiling this process; where it is profiled already, joins that, and one line says so. Throws a
 * RangeError, with one line that names the option or variable, for a value that makes no sense.
 */
const start = (function start (options = {}) {
  const { status, message } = native.start(optionsOf(options))
  if (status >= 0) begin(status, options)
  else if (status === -EBUSY) native.say(message)
  else if (status !== -ECANCELED) throw new (status === -EINVAL ? RangeError : Error)(message)
})

const begin = (function begin (status, options) {
  if (status !== JOINED) findWay()
  followSpans(options.asyncHooks)
})

const optionsOf = (function optionsOf (options) {
  const given = { __proto__: null, resource: RUNTIME, libraryDirectory: folder }
  for (const name in OPTIONS) {
    if (options[name] !== undefined) given[name] = OPTIONS[name](options[name], name)
  }
  given.sourceMaps ??= onOrOff('CPROF_SOURCE_MAPS')
  onOrOff('CPROF_ASYNC_HOOKS') // read where a thread begins to follow spans
  return given
})

// A signal that the program no longer listens to ends it: then cprof has a profile to send.
if (threadId === 0) {
  on(process, 'removeListener', name => {
    if (ENDINGS[name] === true && listenerCount(process, name) === 0) native.signalFreed()
  })
}

/** Exports what has been gathered; true when everything has been delivered. */
async function flush ({ timeout = DEFAULT_TIMEOUT } = {}) {
  return native.flush(timeout)
}

/**
 * Gives a start back; the last one stops profiling. Delivers what there is; true when everything has been
 * delivered.
 */
async function stop ({ timeout = DEFAULT_TIMEOUT } = {}) {
  return native.stop(timeout)
}

function isRunning () {
  return native.isRunning()
}

/** cprof's own figures: samples taken and lost, profiles delivered, bytes, time spent. */
function stats () {
  return native.stats()
}

/**
 * All threads now: state, what each waits for and since when, span, labels and stack. 'text' is for people, 'json'
 * (a string too) for programs, 'pprof' (a Buffer) for tools that read profiles. Threads that wait are not
 * disturbed. Where profiling is off it is on for that moment.
 */
async function dump ({ format = 'text' } = {}) {
  const started = !native.isRunning()
  if (started) start({ exporter: 'none' })
  try {
    const page = await native.dump(text(format, 'format'))
    if (typeof page === 'string') throw new RangeError(page)
    return format === 'pprof' ? page : page.toString()
  } finally {
    if (started && native.isRunning()) await stop()
  }
}

/**
 * Profiles the process while a function runs, synchronous or not, into a file of its own, beside what is
 * profiled already.
 */
async function profile (output, run, options = {}) {
  const { status, message, block } = native.beginBlock(optionsOf({ ...options, output }))
  if (status === -EINVAL) throw new RangeError(message)
  if (status >= 0) begin(status, options)
  else if (status !== -ECANCELED) native.say(message)
  try {
    return await run()
  } finally {
    if (status >= 0) await native.endBlock(DEFAULT_TIMEOUT, block)
  }
}

// ---- spans and labels ----

// What a thread does while the engine runs, whichever started it. Its end is seen to by src/ending.c.
const followSpans = (function followSpans (asyncHooks = readSwitch('CPROF_ASYNC_HOOKS') === true) {
  context.follow({ asyncHooks })
  followLocks()
})

if (native.isRunning()) followSpans() // a worker

/**
 * Puts labels on the samples of a function and of everything asynchronous that it begins. Inner
 * labels add to outer ones and win over those of the same name.
 */
function labels (added, run) {
  return context.labels(added, run)
}

// ---- the self-test ----

// Three functions that are known: what the handler makes of them must be true. They run once in a way: V8
// puts functions that run often into one another, and then shows them otherwise than they are written.
const knownOuter = () => knownMiddle()
function knownMiddle () { return knownInner() }
function knownInner () { return native.probe(KNOWN_COUNT) }
const KNOWN = 'knownInner,knownMiddle,knownOuter,testWay'
const KNOWN_COUNT = 4
const testWay = () => knownOuter()

// The ways to follow JavaScript, best first, as src/isolate.h has them.
const TESTED = ['frames', 'samples']
const INSTEAD = ['',
  'JavaScript is followed by samples and code events of V8, which show where functions begin',
  'JavaScript frames are shown as "(JavaScript)"', 'showing native frames only']
const FAILING = `,${env.CPROF_TEST_SELF_TEST ?? ''},` // for tests only
let passed = -1 // the way that stood its test

// Takes the best way that stands its test, and says so if it is not the first.
const findWay = (function findWay () {
  let way
  while ((way = native.way()) < TESTED.length && way !== passed) {
    const seen = testWay()
    if (seen === KNOWN && StringIndexOf(FAILING, `,${TESTED[way]},`) < 0) passed = way
    else {
      lacking = `the self-test did not find its own functions on the stack (saw ${seen || 'none'})`
      native.descend()
    }
  }
  if (lacking) native.say(`${lacking}; ${INSTEAD[way]}`)
  lacking = ''
})

// ---- options ----

// What makes plain values of those that are given.
const OPTIONS = {
  __proto__: null,
  serviceName: text,
  types: commaList,
  rate: positive,
  interval: positive,
  exporter: commaList,
  endpoint: text,
  output: text,
  native: value => value ? 'on' : 'off',
  origin: text, // who starts it, for whoever starts it again; not the program's to say
  headers: pairs,
  labels: pairs,
  sourceMaps: yesOrNo
}

function text (value, name) {
  if (typeof value === 'string') return value
  throw new TypeError(`${name}: a string is needed`)
}

function commaList (value, name) {
  return text(ArrayIsArray(value) ? ArrayJoin(value, ',') : value, name)
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
  const keys = ObjectKeys(object ?? {})
  const list = []
  for (let i = 0; i < keys.length; i++) {
    list[2 * i] = keys[i]
    list[2 * i + 1] = String(object[keys[i]])
  }
  return list
}

module.exports = { start, flush, stop, isRunning, stats, dump, profile, labels }
