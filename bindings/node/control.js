'use strict'

// Control at run time: the process's owner asks for profiling to be switched on and off (the core's
// engine/control.h). Node's own listener of SIGURG takes the order, on the event loop, and obeys as start() and
// stop() do.

const { globalThis, listenerCount, on, process } = require('./primordials')
const { native } = require('./native')
const { start } = require('./index')

const SECONDS = 5
const gc = globalThis.gc

// From now on the process can be asked. If it can't, a line says why, where that is `all` that it was loaded for: a
// read-only file system is no news to who profiles. Once a process, before it is started.
const open = (function open (all) {
  const why = listenerCount(process, 'SIGURG') > 0 ? 'SIGURG has a listener: this process can not be asked' : native.controlOpen()
  if (why !== '') return all && native.say(why)
  on(process, 'SIGURG', obey)
})

const obey = (function obey () {
  const order = native.controlTake()
  if (order === undefined) return
  if (order.kind === 'collect') return void native.controlDone(collect())
  if (order.kind !== 'start') return void native.obeyStop(SECONDS, order.kind === 'stop')
  delete order.kind
  try {
    start(order)
    native.controlDone('')
  } catch (error) {
    native.controlDone(`${error.message}`)
  }
})

// V8 collects when it is asked to only where the program was started so.
const collect = (function collect () {
  if (typeof gc !== 'function') return 'gc=1 is not done here: Node collects when asked only with --expose-gc'
  gc()
  return ''
})

module.exports = { open }
