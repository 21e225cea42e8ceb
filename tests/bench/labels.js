'use strict'

// What cprof.labels() costs around a function that does nothing: node tests/bench/labels.js, after
// `npm run build` in bindings/node. CPU time of a call in µs, the best of seven rounds.

const { AsyncLocalStorage } = require('node:async_hooks')
const os = require('node:os')
const path = require('node:path')
const cprof = require('../../bindings/node')

let sink = 0
const work = () => { sink++ }

function measure (name, calls, round) {
  round(calls)
  let best = Infinity
  for (let i = 0; i < 7; i++) {
    const before = process.cpuUsage().user
    round(calls)
    best = Math.min(best, (process.cpuUsage().user - before) / calls)
  }
  console.log(`Node ${process.versions.node}: ${name}: ${best.toFixed(2)} µs`)
}

const repeated = run => calls => { for (let i = 0; i < calls; i++) run(i) }
const endpoints = Array.from({ length: 50 }, (_, i) => `/users/${i}`)
const storage = new AsyncLocalStorage()
let users = 0

cprof.start({ output: path.join(os.tmpdir(), 'labels-%p.pb.gz') })
measure('the same labels again', 300000, repeated(() => cprof.labels({ endpoint: '/users' }, work)))
measure('one of 50 sets of two labels', 300000,
  repeated(i => cprof.labels({ endpoint: endpoints[i % 50], method: 'GET' }, work)))
measure('new labels each time', 20000, repeated(() => cprof.labels({ user: `u${users++}` }, work)))
measure('AsyncLocalStorage.run alone', 300000, repeated(() => storage.run(sink, work)))
cprof.stop()
