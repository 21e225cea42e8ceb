'use strict'

// Programs with more functions and scripts than tables begin with: these grow, as far as
// CPROF_MEMORY_LIMIT goes, and where they can't, that is told and counted.

const assert = require('node:assert')
const test = require('node:test')
const { profileSource, linesOf, ROOM, BURN } = require('./helper')

const CHAINS = 60
const DEEP = 200
const SCRIPTS = 10 // a chain

// CHAINS stacks of DEEP functions, all different, of which each burns some CPU time: so many rounds, as
// Node tells the CPU time of all threads together, and cprof's own has most to do at the beginning.
const PROGRAM = `
  const spin = () => {
    let x = 1
    for (let i = 0; i < 8e6; i++) x = (x * 31 + i) % 1000003
    return x
  }
  for (let chain = 0; chain < ${CHAINS}; chain++) {
    let next = spin
    for (let part = 0; part < ${SCRIPTS}; part++) {
      let text = 'let next = first;'
      for (let i = 0; i < ${DEEP / SCRIPTS}; i++) {
        const name = 'c' + chain + '_' + part + '_' + i
        text += '\\nconst ' + name + '_next = next; function ' + name + ' () { return ' + name + '_next() + 1 }; next = ' + name
      }
      next = new Function('first', text + '\\nreturn next\\n//# sourceURL=/srv/chain' + chain + '-' + part + '.js')(next)
    }
    next()
  }`

const names = sample => sample.stack.map(frame => frame.name)
const inChain = sample => names(sample).includes('spin')
const nameless = sample => names(sample).some(name => ['[unknown]', '(JavaScript)'].includes(name))

test('12,000 functions of 600 scripts all keep their names, files and lines', async () => {
  const profile = await profileSource(PROGRAM, { env: { ...ROOM, CPROF_RATE: '250' } })
  assert.deepStrictEqual(linesOf(profile.stderr, profile), [])
  const frames = profile.samples.flatMap(({ stack }) => stack).filter(frame => /^c\d+_/.test(frame.name))
  const functions = new Set(frames.map(frame => frame.name))
  assert.ok(functions.size > 0.95 * CHAINS * DEEP, `${functions.size} functions`)
  for (const { name, file, line } of frames) {
    const [, chain, part, i] = /^c(\d+)_(\d+)_(\d+)$/.exec(name)
    assert.strictEqual(`${file}:${line}`, `/srv/chain${chain}-${part}.js:${Number(i) + 4}`)
  }
  const opaque = profile.count(sample => inChain(sample) && names(sample).includes('(JavaScript)'))
  assert.strictEqual(opaque, 0, 'functions that could not be read')
  const bad = profile.count(sample => inChain(sample) && nameless(sample))
  assert.ok(bad <= 0.05 * profile.count(inChain), `${bad} of ${profile.count(inChain)} stacks with nameless functions`)
})

test('functions that CPROF_MEMORY_LIMIT has no room for are told in one line, and counted', async () => {
  const profile = await profileSource(PROGRAM, { env: { CPROF_MEMORY_LIMIT: '4M', CPROF_RATE: '250' } })
  const lines = linesOf(profile.stderr).filter(line => /has no room for all JavaScript functions/.test(line))
  assert.strictEqual(lines.length, 1, profile.stderr)
  const bad = profile.count(nameless)
  const failed = profile.metric('cprof.samples_failed')
  assert.ok(failed >= bad / 2, `${failed} of ${bad} nameless counted`)
})

test('a function of 100,000 statements and the last of 140,000 methods have their lines and names', async () => {
  const STATEMENTS = 100000
  const source = `${BURN}
    function vast () {
      let x = burn(0)${'\nx += burn(0)'.repeat(10)}
      if (x < 0) {${'\nx += burn(0)'.repeat(STATEMENTS)}
      }
      return burn(300) // here
    }
    const text = n => 'class Class' + n + ' { ' + Array.from({ length: 7000 }, (_, i) => 'm' + i + '(){}').join(' ') +
      ' last () { return burn(300) } }'
    const Class = new Function('burn', Array.from({ length: 20 }, (_, n) => text(n)).join('\\n') + '; return Class19')(burn)
    vast()
    new Class().last()`
  const profile = await profileSource(source, { args: ['--no-sparkplug', '--no-opt'] })
  const here = source.split('\n').findIndex(line => line.includes('// here')) + 1
  const lines = profile.lines('vast')
  assert.ok(lines.get(here) > 20, JSON.stringify([...lines]))
  assert.ok(profile.count(profile.under('burn', 'Class19.last')) > 20, 'the last method')
})
