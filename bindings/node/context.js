'use strict'

// Which span and labels belong to what runs: carried through everything asynchronous by an
// AsyncLocalStorage, read by the signal handler. src/context.h says how.

const { AsyncLocalStorage, createHook } = require('node:async_hooks')

const MAGIC = 'c9f0f11e' // as src/context.h has it
const API = Symbol.for('opentelemetry.js.api.1') // where @opentelemetry/api keeps its parts
const SPAN_KEY = Symbol.for('OpenTelemetry Context Key SPAN')
const NO_TRACE = '0'.repeat(32)
const NO_SPAN = '0'.repeat(16)
const MAX_LABELS = 64 // of a set; the core keeps no more
const HEX = /^[0-9a-f]+$/

const BARE = `0x${MAGIC}00000000`

const hex8 = number => number.toString(16).padStart(8, '0')

// V8 switches the value by itself, a BigInt that the handler finds.
const preserved = {
  make: (traceId, spanId, labels) =>
    BigInt((labels === 0 ? BARE : '0x' + MAGIC + hex8(labels)) + spanId + traceId),
  relabel: (value, labels) =>
    BigInt.asUintN(192, value ?? 0n) | BigInt('0x' + MAGIC + hex8(labels)) << 192n
}

// An async hook tells of switches, and the value's words are copied for the handler.
const hooked = words => ({
  make (traceId, spanId, labels) {
    if (!HEX.test(traceId) || !HEX.test(spanId)) throw new TypeError('not hexadecimal')
    const value = new Uint32Array(words.length)
    value[1] = labels
    for (let i = 0; i < 2; i++) value[2 + i] = parseInt(spanId.slice(8 * i, 8 * i + 8), 16)
    for (let i = 0; i < 4; i++) value[4 + i] = parseInt(traceId.slice(8 * i, 8 * i + 8), 16)
    return value
  },
  relabel (value, labels) {
    const changed = value ? value.slice() : new Uint32Array(words.length)
    changed[1] = labels
    return changed
  },
  show (value) {
    Atomics.store(words, 0, 0)
    if (value === undefined) return
    for (let i = 1; i < words.length; i++) words[i] = value[i]
    Atomics.store(words, 0, 1)
  }
})

class Context {
  #native
  #storage // made when it is needed: programs without spans and labels do not pay for it
  #carrier
  #labelled // of { labels, number }: keeps the number of a set as long as it may be met
  #following = false
  #managers = new WeakSet()
  #profiles = false // root spans are told their profile
  #span // the one that became active last …
  #value // … and its value without labels

  constructor (native) {
    this.#native = native
  }

  // ---- carrying ----

  // False: this Node has no way that the handler can read, unless by async hooks.
  #open (hooks) {
    if (this.#storage) return true
    const storage = new AsyncLocalStorage()
    const known = preserved.make('f'.repeat(32), 'f'.repeat(16), 0)
    const found = storage.run(known, () => this.#native.probeContext(known))
    if (!found && !hooks) return false
    this.#storage = storage
    this.#carrier = found ? preserved : this.#openHooks(storage)
    return true
  }

  #openHooks (storage) {
    const words = new Uint32Array(8)
    const carrier = hooked(words)
    this.#native.useContextWords(words)
    createHook({
      before: () => carrier.show(storage.getStore()),
      after: () => carrier.show(undefined)
    }).enable()
    return carrier
  }

  #run (value, call, self, args) {
    if (this.#carrier === preserved) return this.#storage.run(value, call, self, args)
    const outer = this.#storage.getStore()
    this.#carrier.show(value)
    try {
      return this.#storage.run(value, call, self, args)
    } finally {
      this.#carrier.show(outer)
    }
  }

  // ---- labels ----

  labels (added, run) {
    this.#open(true)
    this.#labelled ??= new AsyncLocalStorage()
    const merged = { ...this.#labelled.getStore()?.labels, ...added }
    const set = { labels: merged }
    set.number = this.#native.holdLabels(textsOf(merged), set)
    const value = this.#carrier.relabel(this.#storage.getStore(), set.number)
    return this.#labelled.run(set, () => this.#run(value, () => run()))
  }

  // ---- spans ----

  // Follows OpenTelemetry's spans, whenever its parts are loaded.
  follow ({ asyncHooks = false } = {}) {
    if (this.#following || !this.#open(asyncHooks)) return
    this.#following = true
    this.#profiles = this.#native.spanProfileId() !== null
    let api = globalThis[API]
    const find = () => {
      if (api?.context && !this.#managers.has(api.context)) this.#hook(api.context)
      return api
    }
    try {
      // Each use of OpenTelemetry passes here, so a context manager is found before it is used,
      // whoever registers it and however late.
      Object.defineProperty(globalThis, API, {
        configurable: true, enumerable: false, get: find, set (value) { api = value }
      })
    } catch {} // somebody froze it: then the one that is there must do
    find()
  }

  // Puts ours before with() of this one manager.
  #hook (manager) {
    this.#managers.add(manager)
    const original = manager.with
    if (typeof original !== 'function') return
    const follower = this
    const call = (self, args) => Reflect.apply(original, self, args)
    try {
      manager.with = function (...args) {
        const value = follower.#valueOf(args[0])
        return value === undefined ? call(this, args) : follower.#run(value, call, this, args)
      }
    } catch {} // a frozen manager: its spans are not followed
  }

  // What is to be carried within the context; undefined when that is what is carried now.
  #valueOf (context) {
    const outer = this.#storage.getStore()
    const labels = this.#labelled?.getStore()?.number ?? 0
    try {
      const span = context.getValue(SPAN_KEY)
      if (span === undefined) return outer === undefined ? undefined : this.#none(labels)
      if (span !== this.#span) {
        this.#value = this.#valueOfSpan(span)
        this.#span = span
      }
      return labels === 0 ? this.#value : this.#carrier.relabel(this.#value, labels)
    } catch { // not OpenTelemetry's own, and not what it should be: no link
      return this.#none(labels)
    }
  }

  #none (labels) {
    return this.#carrier.make(NO_TRACE, NO_SPAN, labels)
  }

  #valueOfSpan (span) {
    const { traceId, spanId, isRemote } = span.spanContext()
    if (isRemote || traceId?.length !== 32 || spanId?.length !== 16) return this.#none(0)
    if (this.#profiles) this.#nameProfile(span)
    return this.#carrier.make(traceId, spanId, 0)
  }

  // Tells a span that has no parent in this process in which profile it begins.
  #nameProfile (span) {
    const parent = span.parentSpanContext
    if ((parent ? !parent.isRemote : span.parentSpanId) || !span.isRecording()) return
    const profileId = this.#native.spanProfileId()
    if (profileId !== null && !span.attributes?.['profile.id']) span.setAttribute('profile.id', profileId)
  }
}

// [key, value, key, value, …]
function textsOf (labels) {
  return Object.entries(labels).slice(0, MAX_LABELS)
    .flatMap(([key, value]) => [part(key), part(value)])
}

// Far more than is kept, far less than could be given.
function part (value) {
  try {
    return String(value).slice(0, 255).replaceAll('\0', '?')
  } catch { // what can't say what it is must not fail the block that it labels
    return '?'
  }
}

module.exports = { Context }
