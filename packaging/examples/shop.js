'use strict'

// A small shop's nightly run in Node: what packaging/demo profiles beside shop.py. A worker
// prices carts, another archives orders as compressed JSON, and the main thread renders pages.
// Takes about four seconds.

const { Worker, isMainThread, parentPort, workerData } = require('node:worker_threads')
const zlib = require('node:zlib')

const SECONDS = 4

class Cart {
  constructor (random) {
    this.lines = Array.from({ length: 60 }, () => ({ count: 1 + random() * 8 | 0, price: random() * 100 }))
  }

  get total () {
    let sum = 0
    for (const { count, price } of this.lines) sum += count * this.discounted(price)
    return Math.round(sum * 100) / 100
  }

  discounted (price) {
    return price > 80 ? price * 0.9 : price
  }
}

function generator (seed) {
  return () => (seed = (seed * 1103515245 + 12345) % 2147483648) / 2147483648
}

function dearestFirst (a, b) {
  return b.total - a.total
}

function priceCarts (deadline) {
  const random = generator(1)
  const carts = Array.from({ length: 200 }, () => new Cart(random))
  let priced = 0
  for (; Date.now() < deadline; priced += carts.length) carts.sort(dearestFirst)
  return `${priced} carts priced`
}

function archiveOrders (deadline) {
  const random = generator(3)
  const orders = Array.from({ length: 400 }, (_, id) => ({ id, items: Array.from({ length: 20 }, random) }))
  let bytes = 0
  while (Date.now() < deadline) bytes += zlib.deflateSync(JSON.stringify(orders)).length
  return `${bytes} bytes archived`
}

const pause = () => new Promise(resolve => setImmediate(resolve))

async function renderPage (items) {
  await pause()
  return items.map(item => `<li>${item % 97}</li>`).join('').replace(/<li>(\d)7<\/li>/g, '<li class="hit">$1</li>')
}

async function renderPages (deadline) {
  const items = Array.from({ length: 5000 }, (_, n) => n * 7)
  let pages = 0
  for (; Date.now() < deadline; pages++) await renderPage(items)
  return `${pages} pages`
}

const work = { priceCarts, archiveOrders }

function inWorker (name, deadline) {
  return new Promise((resolve, reject) => {
    new Worker(__filename, { workerData: { name, deadline } }).on('message', resolve).on('error', reject)
  })
}

async function main () {
  const deadline = Date.now() + SECONDS * 1000
  const parts = [renderPages(deadline), ...Object.keys(work).map(name => inWorker(name, deadline))]
  console.log((await Promise.all(parts)).join(', '))
}

if (isMainThread) main()
else parentPort.postMessage(work[workerData.name](workerData.deadline))
