'use strict'

// The event loop: how long its turns take, as figures and on the samples, and what it holds open.

const assert = require('node:assert')
const path = require('node:path')
const test = require('node:test')
const { profileSource, linesOf, BURN } = require('./helper')

const WORDS = [undefined, '10ms', '100ms', '1s']
const wordOf = milliseconds => [10, 100, 1000].filter(least => milliseconds >= least).length

const PROGRAM = `${BURN}
  const http = require('node:http'), net = require('node:net')
  const { Worker } = require('node:worker_threads')
  function block () { burn(300) }
  function short () { burn(2) }
  function scrape (then) {
    const socketPath = process.env.CPROF_LISTEN.slice('unix:'.length)
    http.get({ socketPath, path: '/metrics', agent: false }, answer => {
      let page = ''
      answer.on('data', data => { page += data })
      answer.on('end', () => then(Object.fromEntries(page.split('\\n').filter(line => line.includes('eventloop') && line[0] !== '#')
        .map(line => [line.slice(0, line.lastIndexOf(' ')), line.slice(line.lastIndexOf(' '))]))))
    })
  }
  const servers = [1, 2, 3, 4, 5, 6, 7].map(() => net.createServer().listen(0))
  const worker = new Worker('setTimeout(() => {}, 10000)', { eval: true })
  let longest = 0, began
  function chain (left) {
    const now = performance.now()
    if (began !== undefined) longest = Math.max(longest, now - began)
    began = now
    if (left === 0) return setImmediate(last)
    short()
    setImmediate(chain, left - 1)
  }
  function last () {
    block()
    setImmediate(() => scrape(figures => {
      console.log(JSON.stringify({ longest, figures }))
      for (const server of servers) server.close()
      worker.terminate()
    }))
  }
  worker.on('online', () => setImmediate(chain, 20))`

test('a turn that blocks the loop is seen', async () => {
  const profile = await profileSource(PROGRAM, {
    env: { CPROF_LISTEN: `unix:${path.join(require('node:os').tmpdir(), `cprof-turns-${process.pid}.sock`)}` }
  })
  assert.deepStrictEqual(linesOf(profile.stderr, profile), [])
  const { longest, figures } = JSON.parse(profile.stdout)
  const figure = (name, labels = '') => Number(figures[`cprof_eventloop_${name}{thread="main"${labels}}`])
  assert.ok(figure('delay_max_seconds') >= 0.3, profile.stdout)
  const turns = WORDS.map(word => figure('turns_total', `,turn="${word ?? 'short'}"`))
  assert.ok(turns[2] + turns[3] >= 1 && turns.reduce((sum, count) => sum + count) >= 20, profile.stdout)
  assert.ok(figure('time_seconds_total', ',state="active"') >= 0.3, profile.stdout)
  assert.ok(figure('handles') >= 7 && figure('handles') < 20, profile.stdout)
  assert.ok(figures['cprof_eventloop_delay_max_seconds{thread="worker 1"}'] !== undefined, profile.stdout)
  const words = name => profile.samples.filter(sample => sample.stack.some(frame => frame.name === name))
    .map(sample => WORDS.indexOf(sample.labels['loop.turn']))
  assert.ok(words('block').length > 0 && words('block').every(word => word >= 2), String(words('block')))
  assert.ok(words('short').every(word => word <= wordOf(longest)), `${words('short')} ${longest}`)
})
