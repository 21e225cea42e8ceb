'use strict'

// What cprof calls of JavaScript and of node, as it is when cprof is loaded. A program may redefine any of
// it later: then cprof goes on with these, and never runs the program's. So neither do its other files use
// methods, `for … of` or the spread of arrays on the ways that start, stop and label.

const { call, bind } = Function.prototype
const uncurryThis = bind.bind(call) // f.call as a function of its own: (self, ...args) => …

// The methods that a class has, each as a function of its own.
const methodsOf = ({ prototype }, ...names) => {
  const methods = { __proto__: null }
  for (const name of names) methods[name] = uncurryThis(prototype[name])
  return methods
}

const string = String.prototype
const array = Array.prototype

module.exports = {
  __proto__: null,
  process,
  env: process.env,
  globalThis,
  Array,
  ArrayIsArray: Array.isArray,
  ArrayJoin: uncurryThis(array.join),
  Atomics,
  AtomicsNotify: Atomics.notify,
  AtomicsStore: Atomics.store,
  AtomicsWait: Atomics.wait,
  BigInt,
  BigIntAsUintN: BigInt.asUintN,
  Error,
  Map,
  Number,
  NumberToString: uncurryThis(Number.prototype.toString),
  ObjectDefineProperty: Object.defineProperty,
  ObjectKeys: Object.keys,
  RangeError,
  RegExpExec: uncurryThis(RegExp.prototype.exec),
  ReflectApply: Reflect.apply,
  String,
  StringSplit: uncurryThis(string.split),
  StringIndexOf: uncurryThis(string.indexOf),
  StringPadStart: uncurryThis(string.padStart),
  StringRepeat: uncurryThis(string.repeat),
  StringReplaceAll: uncurryThis(string.replaceAll),
  StringSlice: uncurryThis(string.slice),
  StringToLowerCase: uncurryThis(string.toLowerCase),
  StringTrim: uncurryThis(string.trim),
  TypeError,
  Uint32Array,
  WeakSet,
  parseInt,
  methodsOf,
  listenerCount: uncurryThis(process.listenerCount),
  on: uncurryThis(process.on),
  writeError: process._rawDebug // a line, where the addon that says others can't be loaded
}
