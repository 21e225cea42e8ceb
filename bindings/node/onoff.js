'use strict'

// Variables that are on or off, where they are read here and not by the engine. Empty is not set.

const { RangeError, StringToLowerCase, StringTrim, env } = require('./primordials')

const WORDS = {
  __proto__: null, on: true, 1: true, true: true, yes: true, off: false, 0: false, false: false, no: false
}

// undefined when it is not set, or is neither.
const readSwitch = (function readSwitch (name) {
  return WORDS[StringToLowerCase(StringTrim(env[name] ?? ''))]
})

// undefined when it is not set. Throws, with one line, when it is neither.
const onOrOff = (function onOrOff (name, words = 'on or off') {
  const value = readSwitch(name)
  if (value === undefined && env[name]) throw new RangeError(`${name}=${env[name]}: must be ${words}`)
  return value
})

// What CPROF_ENABLED alone may be besides.
const isStandby = (function isStandby (name) {
  return StringToLowerCase(StringTrim(env[name] ?? '')) === 'standby'
})

module.exports = { readSwitch, onOrOff, isStandby }
