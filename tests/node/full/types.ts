// What TypeScript must accept, and what it must not: checked with tsc, never run.
import cprof, { start, flush, stop, isRunning, stats, profile, labels, type Options, type Stats } from 'cprof'
import * as everything from 'cprof'

const options: Options = {
  serviceName: 'shop', rate: 100, types: ['cpu'], output: 'out.html', exporter: 'file',
  endpoint: 'http://localhost:4318', headers: { a: 'b' }, interval: 10,
  labels: { region: 'eu', shard: 3, canary: true }, native: true, sourceMaps: true
}
start(options)
start()
cprof.start({ types: 'cpu' })
const running: boolean = isRunning()
const figures: Stats = stats()
const samples: number = figures.samples + figures.handler_ns_max
const number: Promise<number> = profile('out.html', async () => samples)
const text: string = labels({ endpoint: '/users' }, () => `${running}`)
const delivered: Promise<boolean> = flush({ timeout: 1 })
const ended: Promise<boolean> = everything.stop()
void [number, text, delivered, ended, stop]

// @ts-expect-error: a number is needed
start({ rate: 'fast' })
// @ts-expect-error: there is no such option
start({ sourcemaps: true })
// @ts-expect-error: two arguments
labels({ a: 1 })
