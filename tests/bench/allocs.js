'use strict'

// What counting allocations takes of a Node program, by pairs: the same work once with alloc and heap and once
// without, in random order. Before it is measured it runs for half a second, in which the period grows to what is
// allowed: a program that has just been started takes more samples.
//
//     node tests/bench/allocs.js [PAIRS]
//
// Where require('cprof') finds cprof (NODE_PATH). Prints the CPU time of the thread that works, as the median of all
// pairs with the quartiles, and how many samples a second were taken.

const cprof = require('cprof')
const fs = require('node:fs')

const WARM_UP = 700 // ms
const pairs = Number(process.argv[2] ?? 60)
const schedstat = fs.openSync('/proc/thread-self/schedstat')

// Node's own figure is that of all threads. Asking for it brings the kernel's up to date.
function cpuSeconds () {
  const digits = Buffer.alloc(64)
  process.cpuUsage()
  fs.readSync(schedstat, digits, 0, 64, 0)
  return Number(digits.latin1Slice(0, digits.indexOf(' '))) / 1e9
}

class Item {
  constructor (number) { this.number = number }
}
const text = 'the quick brown fox jumps over the lazy dog '.repeat(40)
let sink

const works = {
  objects () { for (let i = 0; i < 6000000; i++) sink = new Item(i) },
  strings () { for (let i = 0; i < 600000; i++) sink = `${i}`.repeat(3).slice(1) },
  arrays () { for (let i = 0; i < 40000; i++) sink = new Array(1000).fill(i) },
  service () {
    for (let i = 0; i < 300; i++) {
      const rows = Array.from({ length: 100 }, (_, id) => ({ id, name: `n${id}`, price: id * 1.5 }))
      sink = JSON.parse(JSON.stringify(rows.sort((a, b) => b.price - a.price)))
      sink = [text.match(/[a-z]+/g), rows.map(row => `<li>${row.name}</li>`).join('')]
    }
  }
}

function timed (work) {
  const before = cpuSeconds()
  work()
  return cpuSeconds() - before
}

async function timedWith (work, types) {
  cprof.start({ types, exporter: 'none', interval: 3600 })
  for (const end = Date.now() + WARM_UP; Date.now() < end;) work()
  const before = cprof.stats().samples
  const spent = timed(work)
  const samples = cprof.stats().samples - before
  await cprof.stop()
  return [spent, samples]
}

async function measure (name, types) {
  const work = works[name]
  const ratios = []
  let samples = 0
  let total = 0
  for (let i = 0; i < 20; i++) work()
  for (let i = 0; i < pairs; i++) {
    let without = Math.random() < 0.5 ? timed(work) : undefined
    const [spent, taken] = await timedWith(work, types)
    without ??= timed(work)
    ratios.push(spent / without - 1)
    samples += taken
    total += spent
  }
  ratios.sort((a, b) => a - b)
  const at = share => `${(100 * ratios[Math.floor(share * (pairs - 1))]).toFixed(2)} %`
  console.log(`  ${name.padEnd(8)} ${types.join('+').padEnd(11)} ${at(0.5)} (quartiles ${at(0.25)}, ${at(0.75)}; ` +
    `${Math.round(samples / total)} samples a second)`)
}

async function main () {
  console.log(`CPU time with allocations counted, ${pairs} pairs each, Node ${process.version}`)
  for (const name of Object.keys(works)) {
    for (const types of [['alloc'], ['alloc', 'heap']]) await measure(name, types)
  }
}

main()
