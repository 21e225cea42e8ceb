'use strict'

// node -r cprof/auto: starts cprof with the program when CPROF_ENABLED is on, or not set at all.
// Never throws: what is wrong is one line on standard error.

const ON = ['1', 'true', 'yes', 'on']
const OFF = ['', '0', 'false', 'no', 'off']

try {
  const value = (process.env.CPROF_ENABLED ?? 'on').trim().toLowerCase()
  if (ON.includes(value)) {
    const cprof = require('./index.js')
    if (require('./native.js').threadId === 0 && !cprof.isRunning()) cprof.start()
  } else if (!OFF.includes(value)) {
    throw new Error(`CPROF_ENABLED=${process.env.CPROF_ENABLED}: must be on or off`)
  }
} catch (error) {
  process.stderr.write(`cprof: ${String(error.message).split('\n')[0]}; running unprofiled\n`)
}
