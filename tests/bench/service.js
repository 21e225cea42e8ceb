'use strict'

// A program like a web service, for own_threads.py: it answers made-up requests of some thirty kinds
// with what Node has, which gives hundreds of different stacks, and lets its event loop turn between them.
//
//   NODE_PATH=… node service.js SECONDS

const cprof = require('cprof')
const crypto = require('node:crypto')
const path = require('node:path')
const querystring = require('node:querystring')
const { EventEmitter } = require('node:events')
const util = require('node:util')
const zlib = require('node:zlib')

const WORDS = 'alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu'.split(' ')
const ROWS = Array.from({ length: 60 }, (_, id) =>
  ({ id, name: WORDS[id % 12], price: id * 1.25, tags: WORDS.slice(0, id % 5) }))

const asJson = rows => JSON.parse(JSON.stringify(rows, null, 1))
const asCsv = rows => rows.map(row => Object.values(row).map(String).join(',')).join('\n').split('\n')
const asPage = rows => rows.map(row => `<li>${row.name.replace(/[a-e]/g, c => `&${c};`)}: ${row.price}</li>`).join('')
const asQuery = rows => querystring.parse(querystring.stringify(Object.fromEntries(rows.map(r => [r.name, r.price]))))
const asUrl = rows => rows.map(row => new URL(`http://host/${row.name}?id=${row.id}`).searchParams.get('id'))
const inspected = rows => util.inspect(rows.slice(0, 20), { depth: 3 })
const signed = rows => rows.reduce((hash, row) => hash.update(JSON.stringify(row)), crypto.createHash('sha256')).digest('hex')
const packed = rows => zlib.inflateSync(zlib.deflateSync(Buffer.from(JSON.stringify(rows), 'utf8'))).toString()
const sorted = rows => [...rows].sort((a, b) => a.name.localeCompare(b.name) || b.price - a.price)
const dated = rows => rows.map(row => new Date(1.7e12 + row.id * 864e5).toISOString())
const searched = rows => rows.flatMap(row => [...row.name.matchAll(/[aeiou]/g)].map(match => match.index))
const pathed = rows => rows.map(row => path.relative(path.join('/srv', row.name), path.resolve('/srv', ...row.tags)))
const cloned = rows => structuredClone(rows)
const counted = rows => [...rows.reduce((map, row) => map.set(row.name, (map.get(row.name) ?? 0) + row.price), new Map())]
const buffered = rows => Buffer.concat(rows.map(row => Buffer.from(row.name))).toString('base64')

function emitted (rows) {
  const events = new EventEmitter()
  let sum = 0
  events.on('row', row => { sum += row.price })
  for (const row of rows) events.emit('row', row)
  return sum
}

function * generated (rows) { for (const row of rows) yield * row.tags }

const ANSWERS = [asJson, asCsv, asPage, asQuery, asUrl, inspected, signed, packed, sorted, dated, searched, pathed,
  cloned, counted, buffered, emitted, rows => [...generated(rows)]]
const checked = (answer, rows) => answer(rows.filter(row => row.id % 7 !== 3))
const logged = (answer, rows) => `${answer.name} ${util.format('%j', checked(answer, rows)).slice(0, 80)}`.length
async function later (answer, rows) { await null; return logged(answer, rows) }
const LAYERS = [checked, logged, later]

const until = Date.now() + 1000 * Number(process.argv[2])

async function serve () {
  while (Date.now() < until) {
    for (let i = 0; i < 20; i++) {
      const pick = list => list[Math.floor(Math.random() * list.length)]
      await pick(LAYERS)(pick(ANSWERS), ROWS)
    }
    await new Promise(resolve => setImmediate(resolve))
  }
}

cprof.start()
serve()
