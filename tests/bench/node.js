'use strict'

// Prints what cprof costs a Node program: the handler over an empty one at 20 JavaScript frames and
// node's own below them, outside of spans and within one; the pause of start() beside CpuProfiler's; the
// event loop's delay with and without in one run; what sampling takes of a busy thread, by pairs; cprof's own
// threads, at first and later; and a program's CPU time at 100 Hz beside @datadog/pprof and without any.
//
//   NODE_PATH=… node tests/bench/node.js [ROUNDS]
//
// NODE_PATH leads to cprof and, for the comparison, @datadog/pprof; CPROF_TEST_NATIVE to the addon
// of tests/node/native, without which the handler's lines and the pairs are left out.

const { spawnSync } = require('node:child_process')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { monitorEventLoopDelay } = require('node:perf_hooks')
const v8 = require('node:v8')

const JS_FRAMES = 20
const WARM_UP = 10 // seconds
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

// Sorts and serialises so many items.
function mixedWork (count) {
  const items = Array.from({ length: count }, (_, i) => ({ i, s: 'x' + (i * 7919) % 20011 }))
  return () => {
    items.slice().sort((a, b) => a.s < b.s ? -1 : 1)
    return JSON.parse(JSON.stringify(items))
  }
}

// What is on the stack, whoever called.
function frames () {
  Error.stackTraceLimit = Infinity
  return new Error().stack.split('\n').slice(1)
}

function deep (frames, run) { return frames > 0 ? deep(frames - 1, run) : run() }

// Milliseconds on the clock, and of this thread's CPU time where there is the addon for it.
function now () {
  const wall = Number(process.hrtime.bigint()) / 1e6
  return { wall, cpu: process.env.CPROF_TEST_NATIVE ? require(process.env.CPROF_TEST_NATIVE).ownCpu() / 1e6 : wall }
}

// Of half a second in which there is nothing else to do.
async function longestTurn () {
  let longest = 0
  for (let end = now().wall + 500, last = now(), next; last.wall < end; last = next) {
    await new Promise(resolve => setImmediate(resolve))
    next = now()
    longest = Math.max(longest, next.cpu - last.cpu)
  }
  return longest
}

// How long the event loop stands still for a start, and at most for something that it left for later.
async function pauseOf (start) {
  const usual = await longestTurn()
  const before = now()
  start()
  const after = now()
  return { cpu: after.cpu - before.cpu, wall: after.wall - before.wall, usual, later: await longestTurn() }
}

// ---- what a child of this program measures ----

const parts = {
  // Nanoseconds of single signals, by turns of an empty handler and of cprof's, as the timer sends them.
  // The stack has been met before and nothing on it is inlined. What carries labels carries spans.
  async handler () {
    const native = require(process.env.CPROF_TEST_NATIVE)
    const cprof = require('cprof')
    const { Profile } = require('../node/pprof')
    const output = path.join(os.tmpdir(), `cprof-handler-${process.pid}.pb.gz`)
    for (const compiler of process.versions.v8 < '12' ? [''] : ['', 'maglev-']) {
      for (const size of ['', '-small']) v8.setFlagsFromString(`--max-${compiler}inlined-bytecode-size${size}=0`)
    }
    cprof.start({ output, rate: 1 })
    const times = new Float64Array(4096)
    function compare () { // in pieces, between which V8 serves the requests for names
      for (let i = 0; i < times.length; i += 16) native.compare(times.subarray(i, i + 16))
    }
    const more = () => {
      deep(JS_FRAMES - frames().length, compare)
      const at = (parity, rank) => times.filter((_, i) => i % 2 === parity).sort()[times.length / 2 * rank | 0]
      return [0.5, 0.1].map(rank => at(1, rank) - at(0, rank))
    }
    const settled = async run => { // the figures of the third time
      for (let i = 0; i < 2; i++, await new Promise(resolve => setTimeout(resolve, 300))) run()
      return run()
    }
    const outside = await settled(more)
    const within = await settled(() => cprof.labels({ request: 'r' }, more))
    await cprof.stop()
    const [{ stack }] = new Profile(output).samples.filter(({ stack, labels }) =>
      labels.request && stack.some(({ name }) => name === 'native_compare')).sort((a, b) => b.count - a.count)
    fs.unlinkSync(output)
    const javascript = stack.filter(({ file }) => /js$|^node:/.test(file)).length
    return { outside, within, javascript, native: stack.length - javascript }
  },

  start () {
    const cprof = require('cprof')
    return pauseOf(() => cprof.start({ exporter: 'none' }))
  },

  judge () {
    const session = new (require('node:inspector').Session)()
    session.connect()
    session.post('Profiler.enable')
    session.post('Profiler.setSamplingInterval', { interval: 10000 })
    return pauseOf(() => session.post('Profiler.start'))
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

  // The same work twice, each time for longer than a tick, once with the signal blocked, in random order, as
  // paired.py does it, by the signals that came. The first third, with names that are met for the first
  // time, does not count.
  async pairs () {
    const { cpuOf } = require(process.env.CPROF_TEST_NATIVE)
    const cprof = require('cprof')
    const PAIRS = 2400
    const work = mixedWork(12000)
    cprof.start({ exporter: 'none', rate: 1000 })
    const extra = []
    let [before, on] = [0, 0]
    const signals = async () => { // that have been drained
      await cprof.flush()
      return cprof.stats().samples - cprof.stats().timer_overruns
    }
    for (let i = 0; i < PAIRS; i++) {
      if (i === PAIRS / 3) before = await signals()
      if (i % 10 === 0) await new Promise(resolve => setImmediate(resolve))
      const first = Math.random() < 0.5
      const took = [cpuOf(work, first), cpuOf(work, !first)]
      if (first) took.reverse()
      if (i < PAIRS / 3) continue
      on += took[0]
      extra.push((took[0] - took[1]) / took[1])
    }
    // The one that waited for the end of a half without signals came before the clock was read.
    const frequency = (await signals() - before - extra.length) / (on / 1e9)
    extra.sort((a, b) => a - b)
    const kept = extra.slice(extra.length / 10, -extra.length / 10) // the tails are other programs'
    const mean = kept.reduce((sum, x) => sum + x, 0) / kept.length
    const deviation = Math.sqrt(kept.reduce((sum, x) => sum + (x - mean) ** 2, 0) / (kept.length - 1))
    const each = 1e6 / frequency // µs between two signals
    return { one: mean * each, error: deviation / Math.sqrt(kept.length) * each, pairs: extra.length, frequency }
  },

  // cprof's own threads by their CPU clocks: in the first ten seconds, with all that is met for the first
  // time, and then.
  async own () {
    const cprof = require('cprof')
    const once = mixedWork(3000)
    async function workFor (seconds) {
      const [own, all] = [cprof.stats().collector_cpu_ns, process.cpuUsage()]
      for (const end = Date.now() + seconds * 1000; Date.now() < end; await new Promise(resolve => setImmediate(resolve))) once()
      const { user, system } = process.cpuUsage(all)
      return { own: (cprof.stats().collector_cpu_ns - own) / 1e6, all: (user + system) / 1e3 }
    }
    cprof.start({ exporter: 'none', rate: 100 })
    const first = await workFor(WARM_UP)
    const then = await workFor(2 * WARM_UP)
    return { first: first.own, percent: 100 * then.own / then.all }
  },

  async cpu (profiler) {
    if (profiler === 'cprof') require('cprof').start({ exporter: 'none', rate: 100 })
    if (profiler === 'datadog') require('@datadog/pprof').time.start({ intervalMicros: 10000 })
    const once = mixedWork(3000)
    async function work (times) {
      const before = process.cpuUsage()
      for (let i = 0; i < times; i++) {
        once()
        await new Promise(resolve => setImmediate(resolve))
      }
      await new Promise(resolve => setTimeout(resolve, 1500)) // what the profiler does behind it
      const { user, system } = process.cpuUsage(before)
      return (user + system) / 1000
    }
    const first = await work(200) // unwind tables and names are made now, once
    return { first, cpu: await work(600), handler: profiler === 'cprof' && require('cprof').stats().handler_ns_mean / 1000 }
  }
}

// ---- the comparison ----

function measure (...args) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [__filename, '--part', ...args], { encoding: 'utf8' })
  return status === 0 ? JSON.parse(stdout) : { error: stderr.trim().split('\n').at(-1) }
}

const rounds = (...args) => Array.from({ length: ROUNDS }, () => measure(...args))

function all () {
  console.log(`Node ${process.version}, ${os.cpus()[0].model}, ${ROUNDS} rounds, median (least…most)`)
  if (process.env.CPROF_TEST_NATIVE) {
    const costs = rounds('handler')
    for (const where of ['outside', 'within']) {
      const [usual, quiet] = [0, 1].map(i => costs.map(cost => cost[where][i] / 1000))
      console.log(`handler over an empty one, ${costs[0].javascript} JavaScript and ${costs[0].native} native frames, ${where} a span: ` +
        `${median(usual).toFixed(2)} µs (${spread(usual)}), of the quietest tenth ${median(quiet).toFixed(2)} µs`)
    }
  }
  for (const [name, part] of [['cprof.start()', 'start'], ['CpuProfiler\'s start', 'judge']]) {
    const pauses = rounds(part)
    const figure = key => `${median(pauses.map(pause => pause[key])).toFixed(2)} ms (${spread(pauses.map(pause => pause[key]))})`
    console.log(`${name}: ${figure('cpu')} of the thread's CPU, ${figure('wall')} on the clock; ` +
      `the longest turn of the event loop in the half second after it ${figure('later')}, before it ${figure('usual')}`)
  }
  const delay = measure('delay')
  for (const kind of ['without', 'with']) {
    console.log(`p99 of the event loop's delay, ${kind}: ${median(delay[kind]).toFixed(2)} ms (${spread(delay[kind])})`)
  }
  if (process.env.CPROF_TEST_NATIVE) {
    const { one, error, pairs, frequency } = measure('pairs')
    console.log(`in the sampled thread, by pairs: ${(one / 100).toFixed(3)} % at 100 Hz, standard error ${(error / 100).toFixed(3)}: ` +
      `${one.toFixed(1)} µs a signal (${pairs} pairs with ${frequency.toFixed(0)} signals a second of CPU)`)
  }
  const { first, percent } = measure('own')
  console.log(`in cprof's own threads: ${percent.toFixed(3)} % at 100 Hz, after ${first.toFixed(0)} ms in the first ${WARM_UP} s`)
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
    if (results[0].handler) console.log(`handler in place at 100 Hz, mean: ${median(results.map(({ handler }) => handler)).toFixed(1)} µs`)
  }
}

if (process.argv[2] === '--part') {
  Promise.resolve(parts[process.argv[3]](process.argv[4])).then(found => {
    process.stdout.write(JSON.stringify(found), () => process.exit(0))
  })
} else all()
