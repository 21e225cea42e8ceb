'use strict'

// Prints what cprof costs a Node program: the handler at 20 JavaScript and 20 native frames, the
// pause of start() beside CpuProfiler's, the event loop's delay with and without in one run, and
// a program's CPU time at 100 Hz beside @datadog/pprof and without any.
//
//   NODE_PATH=… node tests/bench/node.js [ROUNDS]
//
// NODE_PATH leads to cprof and, for the comparison, @datadog/pprof; CPROF_TEST_NATIVE to the addon
// of tests/node/native, without which the handler's line is left out.

const { spawnSync } = require('node:child_process')
const { monitorEventLoopDelay } = require('node:perf_hooks')

const ROUNDS = Number(process.argv[2] ?? 5)
const median = list => [...list].sort((a, b) => a - b)[list.length >> 1]
const spread = list => `${Math.min(...list).toFixed(2)}…${Math.max(...list).toFixed(2)}`

function burn (milliseconds) {
  let x = 1
  for (const end = process.cpuUsage().user + milliseconds * 1000; process.cpuUsage().user < end;) {
    for (let i = 0; i < 20000; i++) x = (x * 31 + i) % 1000003
  }
  return x
}

function spin (n) {
  let x = 1
  for (let i = 0; i < n; i++) x = (x * 31 + i) % 1000003
  return x
}

// Nanoseconds that this thread has been on a CPU.
const used = () => Number(require('node:fs').readFileSync('/proc/thread-self/schedstat', 'utf8').split(' ')[0])

function deep (frames, run) { return frames > 0 ? deep(frames - 1, run) : run() }

// ---- what a child of this program measures ----

const parts = {
  // CPU time of the main thread for the same work under signals: those of the timers, and others,
  // which cprof's handler leaves at once.
  handler (empty) {
    const cprof = require('cprof')
    const native = require(process.env.CPROF_TEST_NATIVE)
    cprof.start({ exporter: 'none', rate: 1 })
    deep(19, () => native.work(() => spin(1e7), 10, 1)) // compiled, named
    native.hammer(2000, empty === 'empty')
    const [before, sent] = [used(), native.sent()]
    deep(19, () => native.work(() => spin(1e7), 100, 1))
    return { cpu: used() - before, sent: native.sent() - sent }
  },

  start () {
    const cprof = require('cprof')
    const before = process.hrtime.bigint()
    cprof.start({ exporter: 'none' })
    return { start: Number(process.hrtime.bigint() - before) / 1e6 }
  },

  judge () {
    const session = new (require('node:inspector').Session)()
    session.connect()
    session.post('Profiler.enable')
    session.post('Profiler.setSamplingInterval', { interval: 10000 })
    const before = process.hrtime.bigint()
    session.post('Profiler.start')
    return { start: Number(process.hrtime.bigint() - before) / 1e6 }
  },

  // Without, with, without, with: the loop does 1 ms of work, then waits.
  async delay () {
    const cprof = require('cprof')
    const found = { without: [], with: [] }
    for (let i = 0; i < 6; i++) {
      const kind = i % 2 === 0 ? 'without' : 'with'
      if (kind === 'with') cprof.start({ exporter: 'none', rate: 100 })
      const delay = monitorEventLoopDelay({ resolution: 1 })
      await new Promise(resolve => setTimeout(resolve, 300))
      delay.enable()
      const work = setInterval(() => burn(1), 4)
      await new Promise(resolve => setTimeout(resolve, 2000))
      clearInterval(work)
      delay.disable()
      found[kind].push(delay.percentile(99) / 1e6)
      if (kind === 'with') await cprof.stop()
    }
    return found
  },

  async cpu (profiler) {
    if (profiler === 'cprof') require('cprof').start({ exporter: 'none', rate: 100 })
    if (profiler === 'datadog') require('@datadog/pprof').time.start({ intervalMicros: 10000 })
    const items = Array.from({ length: 3000 }, (_, i) => ({ i, s: 'x' + (i * 7919) % 20011 }))
    async function work (times) {
      const before = process.cpuUsage()
      for (let i = 0; i < times; i++) {
        items.slice().sort((a, b) => a.s < b.s ? -1 : 1)
        JSON.parse(JSON.stringify(items))
        await new Promise(resolve => setImmediate(resolve))
      }
      await new Promise(resolve => setTimeout(resolve, 1500)) // what the profiler does behind it
      const { user, system } = process.cpuUsage(before)
      return (user + system) / 1000
    }
    const first = await work(200) // unwind tables and names are made now, once
    return { first, cpu: await work(600) }
  }
}

// ---- the comparison ----

function measure (...args) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [__filename, '--part', ...args], { encoding: 'utf8' })
  return status === 0 ? JSON.parse(stdout) : { error: stderr.trim().split('\n').at(-1) }
}

const rounds = (...args) => Array.from({ length: ROUNDS }, () => measure(...args))

function all () {
  console.log(`Node ${process.version}, ${require('node:os').cpus()[0].model}, ${ROUNDS} rounds, median (least…most)`)
  if (process.env.CPROF_TEST_NATIVE) {
    const cost = Array.from({ length: ROUNDS }, () => {
      const [real, empty] = [measure('handler', 'real'), measure('handler', 'empty')]
      return (real.cpu - empty.cpu) / real.sent / 1000
    })
    console.log(`handler over an empty one, 20 JavaScript frames and node's own below: ${median(cost).toFixed(2)} µs (${spread(cost)})`)
  }
  for (const [name, part] of [['cprof.start()', 'start'], ['CpuProfiler\'s start', 'judge']]) {
    const pause = rounds(part).map(({ start }) => start)
    console.log(`${name}: ${median(pause).toFixed(2)} ms (${spread(pause)})`)
  }
  const delay = measure('delay')
  for (const kind of ['without', 'with']) {
    console.log(`p99 of the event loop's delay, ${kind}: ${median(delay[kind]).toFixed(2)} ms (${spread(delay[kind])})`)
  }
  const times = { none: [], cprof: [], datadog: [] }
  for (let i = 0; i < ROUNDS * 2; i++) for (const name of Object.keys(times)) times[name].push(measure('cpu', name))
  const base = median(times.none.map(({ cpu }) => cpu))
  for (const [name, results] of Object.entries(times)) {
    if (results[0].error) {
      console.log(`CPU time with ${name}: not measured, ${results[0].error}`)
      continue
    }
    const cpu = results.map(result => result.cpu)
    const once = median(results.map(result => result.first)) - median(times.none.map(({ first }) => first))
    console.log(`CPU time with ${name}: ${median(cpu).toFixed(0)} ms (${spread(cpu)}), ${(median(cpu) / base * 100 - 100).toFixed(2)} %; ` +
      `before that, once, ${once.toFixed(0)} ms`)
  }
}

if (process.argv[2] === '--part') {
  Promise.resolve(parts[process.argv[3]](process.argv[4])).then(found => {
    process.stdout.write(JSON.stringify(found), () => process.exit(0))
  })
} else all()
