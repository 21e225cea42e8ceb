'use strict'

// Which span and labels belong to what runs: carried through everything asynchronous by an
// AsyncLocalStorage, read by the signal handler. src/context.h says how.

const { AsyncLocalStorage, createHook } = require('node:async_hooks')

const MAGIC = 'c9f0f11e' // as src/context.h has it
const API = Symbol.for('opentelemetry.js.api.1') // where @opentelemetry/api keeps its parts
const SPAN_KEY = Symbol.for('OpenTelemetry Context Key SPAN')
const NO_TRACE = '0'.repeat(32)
const NO_SPAN = '0'.repeat(16)
// A span without a trace says that the active span can't be read: its samples are counted.
const UNREADABLE = 'f'.repeat(16)
const TRACE_ID = /^[0-9a-f]{32}$/i
const SPAN_ID = /^[0-9a-f]{16}$/i
const MAX_LABELS = 64 // of a set; the core keeps no more

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
  #preserves // does V8 switch what it carries? Known once it was needed
  #carrier
  #labelled // of { labels, number }: keeps the number of a set as long as it may be met
  #following = false
  #hooks = false // spans are wanted at the price of async hooks
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
    if (this.#preserves === false && !hooks) return false
    const storage = new AsyncLocalStorage()
    this.#preserves ??= findField(this.#native, storage)
    if (this.#preserves || hooks) {
      this.#carrier = this.#preserves ? preserved : this.#openHooks(storage)
      this.#storage = storage
      return true
    }
    storage.disable() // or it would follow all that is asynchronous, for nobody
    return false
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
    const merged = { ...this.#labelled.getStore()?.labels, ...textsOf(added) }
    const set = { labels: merged }
    set.number = this.#native.holdLabels(Object.entries(merged).slice(0, MAX_LABELS).flat(), set)
    const value = this.#carrier.relabel(this.#storage.getStore(), set.number)
    return this.#labelled.run(set, () => this.#run(value, () => run()))
  }

  // ---- spans ----

  // Follows OpenTelemetry's spans, whenever its parts are loaded.
  follow ({ asyncHooks = false } = {}) {
    this.#hooks ||= asyncHooks
    if (this.#following) return
    this.#following = true
    this.#profiles = this.#native.spanProfileId() !== null
    let api = globalThis[API]
    const find = () => {
      try {
        if (api?.context && !this.#managers.has(api.context)) this.#hook(api.context)
      } catch {} // what lies there is not OpenTelemetry's, or frozen: it is not followed
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
    if (!this.#open(this.#hooks)) return
    this.#managers.add(manager)
    const original = manager.with
    if (typeof original !== 'function') return
    const follower = this
    const call = (self, args) => Reflect.apply(original, self, args)
    manager.with = function (...args) {
      const value = follower.#valueOf(args[0])
      return value === undefined ? call(this, args) : follower.#run(value, call, this, args)
    }
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
    } catch { // not OpenTelemetry's own, and not what it should be
      return this.#carrier.make(NO_TRACE, UNREADABLE, labels)
    }
  }

  #none (labels) {
    return this.#carrier.make(NO_TRACE, NO_SPAN, labels)
  }

  #valueOfSpan (span) {
    const { traceId, spanId, isRemote } = span.spanContext()
    if (!TRACE_ID.test(traceId) || !SPAN_ID.test(spanId)) return this.#carrier.make(NO_TRACE, UNREADABLE, 0)
    if (isRemote || traceId === NO_TRACE || spanId === NO_SPAN) return this.#none(0)
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

// Does V8 keep the storage's value where the handler can read it? The field that leads to it is the
// one that leads to two different values while they are current, and no longer.
function findField (native, storage) {
  const [first, second] = ['f', 'e'].map(digit => preserved.make(digit.repeat(32), digit.repeat(16), 0))
  const outside = native.contextFields()
  const find = (value, from) => storage.run(value, () => native.findContextField(value, outside, from))
  for (let field = find(first, 0); field >= 0; field = find(first, field + 1)) {
    if (find(second, field) === field && native.findContextField(second, outside, field) !== field) {
      return storage.run(first, () => native.useContextField(first, field))
    }
  }
  return false
}

// Labels as short texts: far more than is kept, far less than could be given. Whatever they are, the
// block that they label runs.
function textsOf (labels) {
  const texts = Object.create(null)
  try {
    for (const key of Object.keys(labels).slice(0, MAX_LABELS)) texts[textOf(() => key)] = textOf(() => labels[key])
  } catch {} // no object, or one that does not say what it holds
  return texts
}

function textOf (read) {
  try {
    return String(read()).slice(0, 255).replaceAll('\0', '?')
  } catch { // it can't say what it is
    return '?'
  }
}

module.exports = { Context }
