'use strict'

const assert = require('node:assert')
const fs = require('node:fs')
const path = require('node:path')
const test = require('node:test')
const { pathToFileURL } = require('node:url')
const { run, profileSource, fresh, folder, Profile } = require('./helper')

const DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'

function vlq (value) {
  let text = ''
  for (let rest = value < 0 ? -value * 2 + 1 : value * 2, more = true; more; rest = Math.floor(rest / 32)) {
    more = rest >= 32
    text += DIGITS[rest % 32 + (more ? 32 : 0)]
  }
  return text
}

// From [line, column, source, its line, its column, name] of each segment, all from 0.
function mappings (segments) {
  let text = ''
  let last = [0, 0, 0, 0, 0, 0]
  for (const segment of segments) {
    if (segment[0] !== last[0]) text += ';'.repeat(segment[0] - last[0])
    else if (text) text += ','
    const column = segment[0] === last[0] ? last[1] : 0
    text += vlq(segment[1] - column)
    for (let i = 2; i < segment.length; i++) text += vlq(segment[i] - last[i])
    last = [...segment, ...last.slice(segment.length)]
  }
  return text
}

// As a bundler would write it, on one line: class Cart with total() in cart.ts, spin() in lib/spin.ts.
const generated = 'class C{t(){return s(9e6)}}' +
  'function s(n){let x=1;for(let i=0;i<n;i++)x=(x*31+i)%1000003;return x}' +
  'for(let i=0;i<8;i++)new C().t();'
const at = part => generated.indexOf(part)
const map = {
  version: 3,
  sources: ['cart.ts', '../lib/spin.ts'],
  sourcesContent: ['never read', null],
  names: ['Cart', 'total', 'sp\u{1d4c5}in'],
  mappings: mappings([[0, 0, 0, 9, 0], [0, at('C{'), 0, 9, 6, 0], [0, at('t(){'), 0, 11, 2, 1],
    [0, at('(){return'), 0, 11, 7], [0, at('s(9e6)'), 0, 12, 11, 2], [0, at('function'), 1, 20, 0],
    [0, at('s(n)'), 1, 20, 9, 2], [0, at('(n)'), 1, 20, 13], [0, at('for(let i=0;i<n'), 1, 22, 4],
    [0, at('x=(x*'), 1, 23, 6], [0, at('for(let i=0;i<8'), 0, 30, 0], [0, at('new C'), 0, 31, 2]])
}

async function profileBundle (url, files, options = 'sourceMaps: true,', text = generated, env = {}) {
  const place = fs.mkdtempSync(path.join(folder, 'maps-'))
  fs.mkdirSync(path.join(place, 'dist'))
  for (const [name, text] of Object.entries(files)) fs.writeFileSync(path.join(place, name), text)
  fs.writeFileSync(path.join(place, 'dist/bundle.js'), url === null ? text : `${text}\n//# sourceMappingURL=${url}\n`)
  const output = fresh('.pb.gz')
  const main = path.join(place, 'main.js')
  fs.writeFileSync(main, `const cprof = require('cprof')
    cprof.profile(process.argv[2], () => require('./dist/bundle.js'), { ${options} rate: 1000, exporter: 'file' })`)
  const result = await run([main, output], { env })
  assert.strictEqual(result.code, 0, result.stderr)
  return Object.assign(new Profile(output), { place })
}

function isOriginal (profile, sources) {
  assert.ok(profile.count(profile.under('sp\u{1d4c5}in', 'Cart.total')) > 20, 'names')
  for (const [name, file, start, lines] of [['sp\u{1d4c5}in', sources[1], 21, [21, 23, 24]],
    ['Cart.total', sources[0], 12, [13]]]) {
    for (const frame of profile.frames(name)) {
      assert.strictEqual(frame.file, file)
      assert.strictEqual(frame.startLine, start)
      assert.ok(lines.includes(frame.line) || frame.line === start, `${name}:${frame.line}`)
    }
  }
}

test('source maps in a file are applied', async () => {
  const profile = await profileBundle('bundle.js.map',
    { 'dist/bundle.js.map': JSON.stringify({ ...map, sourceRoot: '../src' }) })
  isOriginal(profile, [path.join(profile.place, 'src/cart.ts'), path.join(profile.place, 'lib/spin.ts')])
})

test('source maps inside the script are applied', async () => {
  const text = Buffer.from(JSON.stringify(map)).toString('base64')
  const profile = await profileBundle(`data:application/json;charset=utf-8;base64,${text}`, {})
  isOriginal(profile, [path.join(profile.place, 'dist/cart.ts'), path.join(profile.place, 'lib/spin.ts')])
})

test('source maps made of sections are applied', async () => {
  const index = { version: 3, sections: [{ offset: { line: 0, column: 0 }, map: { ...map, sourceRoot: 'webpack://shop/' } }] }
  const profile = await profileBundle('bundle.js.map', { 'dist/bundle.js.map': JSON.stringify(index) })
  isOriginal(profile, ['webpack://shop/cart.ts', 'webpack://shop/../lib/spin.ts'])
})

test('without a map, with a broken one, or unasked, the script itself is shown', async () => {
  const text = JSON.stringify(map)
  for (const [files, options] of [[{}], [{ 'dist/bundle.js.map': text.slice(0, 60) }],
    [{ 'dist/bundle.js.map': '[1, 2' }], [{ 'dist/bundle.js.map': text }, '']]) {
    const profile = await profileBundle('bundle.js.map', files, options)
    const frames = profile.frames('C.t')
    assert.ok(frames.length > 0)
    for (const frame of frames) {
      assert.strictEqual(frame.file, path.join(profile.place, 'dist/bundle.js'))
      assert.strictEqual(frame.line, 1)
    }
  }
})

// As webpack's eval-source-map writes it: the maps of modules stand in strings of the bundle.
test('code of eval has its own source map, and the bundle around it does not take it', async () => {
  const inline = `data:application/json;charset=utf-8;base64,${Buffer.from(JSON.stringify({ ...map, sourceRoot: 'webpack://shop' })).toString('base64')}`
  const module = `${generated}//# sourceURL=[module]\n//# sourceMappingURL=${inline}\n//# sourceURL=webpack-internal:///./cart.js\n`
  const bundle = `function outer(){eval(${JSON.stringify(module)})};\nouter();\n` +
    'function around(){let x=1;for(let i=0;i<3e7;i++)x=(x*31+i)%1000003;return x};around();'
  const profile = await profileBundle(null, {}, 'sourceMaps: true,', bundle)
  isOriginal(profile, ['webpack://shop/cart.ts', 'webpack://shop/../lib/spin.ts'])
  for (const frame of profile.frames('around')) {
    assert.strictEqual(frame.file, path.join(profile.place, 'dist/bundle.js'))
    assert.strictEqual(frame.line, 3)
  }
  assert.ok(profile.count(profile.under('around')) > 5)
})

test('CPROF_SOURCE_MAPS turns source maps on and off, and an option wins over it', async () => {
  const files = { 'dist/bundle.js.map': JSON.stringify(map) }
  for (const [value, options, shown] of [['on', '', true], ['OFF', '', false], ['', '', false],
    ['on', 'sourceMaps: false,', false], ['off', 'sourceMaps: true,', true]]) {
    const profile = await profileBundle('bundle.js.map', files, options, generated, { CPROF_SOURCE_MAPS: value })
    assert.strictEqual(profile.frames('Cart.total').length > 0, shown, `${value} ${options}`)
    assert.strictEqual(profile.frames('C.t').length > 0, !shown, `${value} ${options}`)
  }
})

test('with cprof/auto CPROF_SOURCE_MAPS is enough', async () => {
  const file = path.join(folder, 'preloaded.js')
  fs.writeFileSync(`${file}.map`, JSON.stringify(map))
  fs.writeFileSync(file, `${generated}\n//# sourceMappingURL=preloaded.js.map`)
  const profile = await profileSource(`require(${JSON.stringify(file)})`, { env: { CPROF_SOURCE_MAPS: 'on' } })
  isOriginal(profile, [path.join(folder, 'cart.ts'), path.join(path.dirname(folder), 'lib/spin.ts')])
})

test('hidden source maps, of which the script says nothing, are found beside it', async () => {
  const text = JSON.stringify({ ...map, sourceRoot: 'src' })
  const profile = await profileBundle(null, { 'dist/bundle.js.map': text })
  isOriginal(profile, [path.join(profile.place, 'dist/src/cart.ts'), path.join(profile.place, 'dist/lib/spin.ts')])
  const unasked = await profileBundle(null, { 'dist/bundle.js.map': text }, '')
  assert.strictEqual(unasked.frames('Cart.total').length, 0)
  assert.ok(unasked.frames('C.t').length > 0)
})

test('hidden source maps of modules are found, whatever query they are imported with', async () => {
  const file = path.join(fs.mkdtempSync(path.join(folder, 'a b-')), 'mod%.mjs')
  fs.writeFileSync(file, generated)
  fs.writeFileSync(`${file}.map`, JSON.stringify({ ...map, sourceRoot: 'webpack://shop' }))
  const url = `${pathToFileURL(file)}?v=1`
  const profile = await profileSource(`import(${JSON.stringify(url)})`, { env: { CPROF_SOURCE_MAPS: 'on' } })
  isOriginal(profile, ['webpack://shop/cart.ts', 'webpack://shop/../lib/spin.ts'])
})

test('code of eval does not take the map that lies beside the file whose name it gives itself', async () => {
  const file = path.join(folder, 'named.js')
  fs.writeFileSync(`${file}.map`, JSON.stringify(map))
  const code = `${generated}\n//# sourceURL=${file}`
  const profile = await profileSource(`eval(${JSON.stringify(code)})`, { env: { CPROF_SOURCE_MAPS: 'on' } })
  assert.strictEqual(profile.frames('Cart.total').length, 0)
  assert.ok(profile.frames('C.t').length > 0)
})
