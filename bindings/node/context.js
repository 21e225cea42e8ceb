'use strict'

// Which span and labels belong to what runs: carried through everything asynchronous by an
// AsyncLocalStorage, read by the signal handler. src/context.h says how.

const { AsyncLocalStorage, createHook } = require('node:async_hooks')
const {
  ArrayJoin, AtomicsStore, BigInt, BigIntAsUintN, Map, Number, NumberToString, ObjectDefineProperty, ObjectKeys,
  ReflectApply, RegExpExec, String, StringIndexOf, StringPadStart, StringRepeat, StringReplaceAll, StringSlice, StringSplit,
  Uint32Array, WeakSet, globalThis, methodsOf, parseInt
} = require('./primordials')

const MAGIC = 'c9f0f11e' // as src/context.h has it
const API = Symbol.for('opentelemetry.js.api.1') // where @opentelemetry/api keeps its parts
const SPAN_KEY = Symbol.for('OpenTelemetry Context Key SPAN')
const NO_TRACE = StringRepeat('0', 32)
const NO_SPAN = StringRepeat('0', 16)
// A span without a trace says that the active span can't be read: its samples are counted.
const UNREADABLE = StringRepeat('f', 16)
const TRACE_ID = /^[0-9a-f]{32}$/i
const SPAN_ID = /^[0-9a-f]{16}$/i
const MAX_LABELS = 64 // of a set; the core keeps no more
const MAX_LENGTH = 255 // of a text: far more than is kept, far less than could be given
const KEPT_SETS = 512 // of labels: the first that a thread uses

const { run: runWith, getStore, disable } = methodsOf(AsyncLocalStorage, 'run', 'getStore', 'disable')
const { get: mapGet, set: mapSet } = methodsOf(Map, 'get', 'set')
const { has: isIn, add: addTo } = methodsOf(WeakSet, 'has', 'add')

const BARE = `0x${MAGIC}00000000`

const hex8 = number => StringPadStart(NumberToString(number, 16), 8, '0')

// V8 switches the value by itself, a BigInt that the handler finds.
const preserved = {
  make: (traceId, spanId, labels) =>
    BigInt((labels === 0 ? BARE : '0x' + MAGIC + hex8(labels)) + spanId + traceId),
  numberOf: value => Number(BigIntAsUintN(32, value >> 192n)),
  relabel: (value, labels) => BigIntAsUintN(192, value ?? 0n) | BigInt('0x' + MAGIC + hex8(labels)) << 192n
}

// An async hook tells of switches, and the value's words are copied for the handler.
const hooked = words => ({
  make (traceId, spanId, labels) {
    const value = new Uint32Array(words.length)
    value[1] = labels
    for (let i = 0; i < 2; i++) value[2 + i] = parseInt(StringSlice(spanId, 8 * i, 8 * i + 8), 16)
    for (let i = 0; i < 4; i++) value[4 + i] = parseInt(StringSlice(traceId, 8 * i, 8 * i + 8), 16)
    return value
  },
  numberOf: value => value[1],
  relabel (value, labels) {
    const changed = new Uint32Array(words.length)
    for (let i = 0; value && i < words.length; i++) changed[i] = value[i]
    changed[1] = labels
    return changed
  },
  show (value) {
    AtomicsStore(words, 0, 0)
    if (value === undefined) return
    for (let i = 1; i < words.length; i++) words[i] = value[i]
    AtomicsStore(words, 0, 1)
  }
})

class Context {
  #native
  #storage // made when it is needed: programs without spans and labels do not pay for it
  #preserves // does V8 switch what it carries? Known once it was needed
  #carrier
  #unlabelled = newSet('', true)
  #kept = new Map() // sets by number, for good: for when their labels come again
  #sets = 0 // of them
  #labelled // of other sets: keeps the number of one as long as it may be met
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
    disable(storage) // or it would follow all that is asynchronous, for nobody
    return false
  }

  #openHooks (storage) {
    const words = new Uint32Array(8)
    const carrier = hooked(words)
    this.#native.useContextWords(words)
    createHook({
      before: () => carrier.show(getStore(storage)),
      after: () => carrier.show(undefined)
    }).enable()
    return carrier
  }

  #run (value, call, self, args) {
    if (this.#carrier === preserved) return runWith(this.#storage, value, call, self, args)
    const outer = getStore(this.#storage)
    this.#carrier.show(value)
    try {
      return runWith(this.#storage, value, call, self, args)
    } finally {
      this.#carrier.show(outer)
    }
  }

  // ---- labels ----

  labels (added, run) {
    this.#open(true)
    const outer = getStore(this.#storage)
    const set = this.#setOf(this.#current(outer), textsOf(added))
    if (set.value === undefined || set.outer !== outer) {
      set.value = this.#carrier.relabel(outer, set.number)
      set.outer = outer
    }
    if (set.kept) return this.#run(set.value, callPlainly, undefined, run)
    this.#labelled ??= new AsyncLocalStorage()
    return runWith(this.#labelled, set, () => this.#run(set.value, callPlainly, undefined, run))
  }

  // The set that the value carries: one that is kept, or one that its block holds.
  #current (value) {
    if (value === undefined) return this.#unlabelled
    const number = this.#carrier.numberOf(value)
    if (number === 0) return this.#unlabelled
    return mapGet(this.#kept, number) ?? (this.#labelled && getStore(this.#labelled)) ?? this.#unlabelled
  }

  // The set of labels with those added. Making one costs microseconds, and most come again.
  #setOf (outer, texts) {
    let set = outer.within && mapGet(outer.within, texts)
    if (set !== undefined) return set
    set = this.#makeSet(outer, texts)
    if (set.number === 0 || !outer.kept || this.#sets === KEPT_SETS) return set
    this.#sets++
    set.kept = true
    mapSet(this.#kept, set.number, set)
    outer.within ??= new Map()
    mapSet(outer.within, texts, set)
    return set
  }

  #makeSet (outer, texts) {
    const merged = { __proto__: null }
    addPairs(merged, outer.texts)
    addPairs(merged, texts)
    const keys = ObjectKeys(merged)
    const list = []
    for (let i = 0; i < keys.length && i < MAX_LABELS; i++) {
      list[2 * i] = keys[i]
      list[2 * i + 1] = merged[keys[i]]
    }
    const set = newSet(list.length === 0 ? '' : ArrayJoin(list, '\0') + '\0', false)
    set.number = this.#native.holdLabels(list, set)
    return set
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
        if (api?.context && !isIn(this.#managers, api.context)) this.#hook(api.context)
      } catch {} // what lies there is not OpenTelemetry's, or frozen: it is not followed
      return api
    }
    try {
      // Each use of OpenTelemetry passes here, so a context manager is found before it is used,
      // whoever registers it and however late.
      ObjectDefineProperty(globalThis, API, {
        configurable: true, enumerable: false, get: find, set (value) { api = value }
      })
    } catch {} // somebody froze it: then the one that is there must do
    find()
  }

  // Puts ours before with() of this one manager.
  #hook (manager) {
    if (!this.#open(this.#hooks)) return
    addTo(this.#managers, manager)
    const original = manager.with
    if (typeof original !== 'function') return
    const follower = this
    const call = (self, args) => ReflectApply(original, self, args)
    manager.with = function (...args) {
      const value = follower.#valueOf(args[0])
      return value === undefined ? call(this, args) : follower.#run(value, call, this, args)
    }
  }

  // What is to be carried within the context; undefined when that is what is carried now.
  #valueOf (context) {
    const outer = getStore(this.#storage)
    const labels = outer === undefined || (this.#sets === 0 && !this.#labelled) ? 0 : this.#carrier.numberOf(outer)
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
    if (!RegExpExec(TRACE_ID, traceId) || !RegExpExec(SPAN_ID, spanId)) {
      return this.#carrier.make(NO_TRACE, UNREADABLE, 0)
    }
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
  const filled = digit => preserved.make(StringRepeat(digit, 32), StringRepeat(digit, 16), 0)
  const first = filled('f')
  const second = filled('e')
  const outside = native.contextFields()
  const find = (value, from) => runWith(storage, value, () => native.findContextField(value, outside, from))
  for (let field = find(first, 0); field >= 0; field = find(first, field + 1)) {
    if (find(second, field) === field && native.findContextField(second, outside, field) !== field) {
      return runWith(storage, first, () => native.useContextField(first, field))
    }
  }
  return false
}

// A set of labels: `texts` as textsOf() gives them. `value` carries it within `outer`, and `within` has the
// kept sets that were made by adding to it.
const newSet = (texts, kept) => ({ texts, kept, number: 0, value: undefined, outer: undefined, within: undefined })

const callPlainly = (self, run) => run()

// Labels as short texts, each with a zero behind: key, value, key, value. Whatever they are, the block that
// they label runs.
function textsOf (labels) {
  let texts = ''
  try {
    const keys = ObjectKeys(labels)
    for (let i = 0; i < keys.length && i < MAX_LABELS; i++) {
      texts += `${shortText(keys[i])}\0${valueOf(labels, keys[i])}\0`
    }
  } catch {} // no object, or one that does not say what it holds
  return texts
}

function valueOf (labels, key) {
  try {
    const value = labels[key]
    return shortText(typeof value === 'string' ? value : String(value))
  } catch { // it can't say what it is
    return '?'
  }
}

function shortText (text) {
  const short = text.length > MAX_LENGTH ? StringSlice(text, 0, MAX_LENGTH) : text
  return StringIndexOf(short, '\0') < 0 ? short : StringReplaceAll(short, '\0', '?')
}

function addPairs (merged, texts) {
  const parts = StringSplit(texts, '\0')
  for (let i = 0; i + 1 < parts.length; i += 2) merged[parts[i]] = parts[i + 1]
}

module.exports = { Context }
