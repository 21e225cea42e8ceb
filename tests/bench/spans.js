'use strict'

// What following OpenTelemetry spans costs a Node program: prints nanoseconds of wall time, the best
// of many short rounds, without cprof and with it, in one run. Needs cprof and
// @opentelemetry/sdk-trace-node on NODE_PATH. Before Node 24 it follows by async hooks.
//
//     node tests/bench/spans.js

const cprof = require('cprof')
const { context, trace } = require('@opentelemetry/api')
const { NodeTracerProvider } = require('@opentelemetry/sdk-trace-node')

new NodeTracerProvider().register()
const tracer = trace.getTracer('bench')
const inSpan = trace.setSpan(context.active(), tracer.startSpan('s'))
const nothing = () => {}

const WORK = {
  'span made active and inactive': count => { for (let i = 0; i < count; i++) context.with(inSpan, nothing) },
  'span from start to end, no exporter': count => {
    for (let i = 0; i < count; i++) tracer.startActiveSpan('s', span => span.end())
  },
  'await, outside of spans': async count => { for (let i = 0; i < count; i++) await undefined },
  'await, in a span': count => context.with(inSpan, async () => { for (let i = 0; i < count; i++) await undefined })
}
const COUNT = 2000
const ROUNDS = 150

async function measure () {
  const best = {}
  for (let round = 0; round < ROUNDS; round++) {
    for (const [name, work] of Object.entries(WORK)) {
      const begin = process.hrtime.bigint()
      await work(COUNT)
      const cost = Number(process.hrtime.bigint() - begin) / COUNT
      best[name] = Math.min(cost, best[name] ?? cost)
    }
  }
  return best
}

async function main () {
  const without = await measure()
  cprof.start({ exporter: 'none', asyncHooks: true })
  const within = await measure()
  await cprof.stop()
  console.log(`Node ${process.versions.node}, nanoseconds`.padEnd(42), '   without      with      more')
  for (const name of Object.keys(WORK)) {
    const figures = [without[name], within[name], within[name] - without[name]]
    console.log(name.padEnd(42), figures.map(figure => figure.toFixed(0).padStart(10)).join(''))
  }
}

main()
