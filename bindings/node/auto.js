'use strict'

// node -r cprof/auto: starts cprof with the program, unless CPROF_ENABLED is off. Empty is not set.
// Never throws: what is wrong is one line on standard error.

const { StringIndexOf, StringSlice, writeError } = require('./primordials')
const { onOrOff, isStandby } = require('./onoff')

try {
  const standby = isStandby('CPROF_ENABLED')
  const enabled = standby || onOrOff('CPROF_ENABLED', 'on, standby or off')
  if (enabled !== false) {
    const cprof = require('./index.js')
    const origin = enabled ? 'CPROF_ENABLED' : 'cprof/auto'
    if (require('./native.js').threadId === 0 && !cprof.isRunning()) {
      if (enabled) require('./control.js').open(standby)
      if (!standby) cprof.start({ origin })
    }
  }
} catch (error) {
  const text = `${error.message}\n`
  writeError(`cprof: ${StringSlice(text, 0, StringIndexOf(text, '\n'))}; running unprofiled`)
}
