'use strict'

// Everything that moves or frees code and functions at once, for some seconds: collections of
// both generations, new functions, optimisation and its undoing, workers that start and end by
// themselves or by force. Those by force do without zlib: Node aborts by itself when a thread is
// terminated that has made a stream of it and not yet begun it ("close before init").

const { Worker, isMainThread, workerData } = require('node:worker_threads')
const { setFlagsFromString } = require('node:v8')
const vm = require('node:vm')
const zlib = require('node:zlib')
const cprof = require('cprof')

const { seconds, deflates } = isMainThread ? { seconds: Number(process.argv[2]), deflates: true } : workerData
setFlagsFromString('--expose-gc')
const collect = vm.runInNewContext('gc')
const end = Date.now() + seconds * 1000

function freshFunction (i) {
  const body = Array.from({ length: 20 }, (_, n) => `x = (x * ${n + i}) % 1000003`).join(';')
  const made = new Function('x', `function inner${i} (x) { ${body}; return x }
    for (let i = 0; i < 200; i++) x = inner${i}(x); return x`)
  for (let n = 0; n < 30; n++) made(n)
}

function polymorphic (object) { return object.a + (object.b ?? 0) }

function churn (i) {
  const kept = []
  for (let n = 0; n < 5000; n++) kept.push({ a: n, [`k${n % 50 + i}`]: [n, `${n}`] })
  kept.sort((x, y) => polymorphic(y) - polymorphic(x))
  JSON.parse(JSON.stringify(kept.slice(0, 500)))
  if (deflates) zlib.deflateSync(Buffer.alloc(10000, String(i)))
  'abcabc'.repeat(100).replace(/b(c|d)/g, (_, c) => c + i)
}

async function chain (depth) { return depth === 0 ? 0 : 1 + await chain(depth - 1) }

function startWorker () {
  return new Promise((resolve, reject) => {
    const forced = Math.random() < 0.3
    const worker = new Worker(__filename, { workerData: { seconds: 0.3, deflates: !forced } })
    worker.on('error', reject)
    worker.on('exit', resolve)
    if (forced) setTimeout(() => worker.terminate(), 100)
  })
}

async function main () {
  let workers = Promise.resolve()
  for (let i = 0; Date.now() < end; i++) {
    freshFunction(i)
    churn(i)
    if (i % 3 === 0) collect({ type: 'minor' })
    if (i % 7 === 0) collect()
    await chain(50)
    if (isMainThread && i % 10 === 0) workers = Promise.all([workers, startWorker()])
    if (i % 5 === 0) await new Promise(resolve => setImmediate(resolve))
  }
  await workers
  if (isMainThread) {
    await cprof.stop()
    console.log(JSON.stringify(cprof.stats()))
  }
}

if (isMainThread) {
  cprof.start({ rate: 1000, output: process.argv[3] })
  if (process.env.CPROF_TEST_NATIVE) require(process.env.CPROF_TEST_NATIVE).hammer(2000)
}
main()
