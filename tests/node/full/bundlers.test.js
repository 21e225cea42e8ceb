'use strict'

// Bundlers as they are: what is left outside works, what is carried along says what to do in one line.

const assert = require('node:assert')
const fs = require('node:fs')
const path = require('node:path')
const test = require('node:test')
const { run, folder } = require('../helper')

const tool = name => { try { return require(name) } catch { return null } }
const app = fs.mkdtempSync(path.join(folder, 'bundled-'))
fs.mkdirSync(path.join(app, 'node_modules'))
fs.symlinkSync(path.dirname(require.resolve('cprof')), path.join(app, 'node_modules/cprof'))
fs.writeFileSync(path.join(app, 'app.js'), `
  const cprof = require('cprof')
  cprof.start({ exporter: 'none' })
  console.log(cprof.isRunning())`)

// Each writes `file` from app.js, and rejects or gives warnings.
const BUNDLERS = {
  async esbuild (file, external) {
    const { warnings } = await tool('esbuild').build({
      absWorkingDir: app,
      entryPoints: ['app.js'],
      bundle: true,
      platform: 'node',
      format: file.endsWith('.mjs') ? 'esm' : 'cjs',
      outfile: file,
      external: external ? ['cprof'] : [],
      logLevel: 'silent'
    })
    return warnings.map(({ text }) => text)
  },
  webpack (file, external) {
    const options = {
      mode: 'production',
      target: 'node',
      context: app,
      entry: './app.js',
      output: { path: app, filename: path.basename(file) },
      externals: external ? { cprof: 'commonjs cprof' } : {}
    }
    return new Promise((resolve, reject) => tool('webpack')(options, (error, stats) => {
      if (error) return reject(error)
      resolve(stats.toJson().errors.concat(stats.toJson().warnings).map(({ message }) => message))
    }))
  },
  async rollup (file, external) {
    const warnings = []
    const bundle = await tool('rollup').rollup({
      input: path.join(app, 'app.js'),
      external: external ? ['cprof', /^node:/] : [/^node:/],
      plugins: [tool('@rollup/plugin-node-resolve').default(), tool('@rollup/plugin-commonjs').default()],
      onwarn: ({ message }) => warnings.push(message)
    })
    await bundle.write({ file, format: file.endsWith('.mjs') ? 'es' : 'cjs' })
    await bundle.close()
    return warnings
  }
}
const NEEDS = { rollup: ['rollup', '@rollup/plugin-node-resolve', '@rollup/plugin-commonjs'] }

for (const [name, bundle] of Object.entries(BUNDLERS)) {
  const missing = (NEEDS[name] ?? [name]).filter(name => !tool(name))
  const skip = missing.length > 0 && `${missing} could not be had from npm`

  test(`${name} leaves cprof outside, and it works`, { skip }, async () => {
    const file = path.join(app, `${name}-outside.js`)
    assert.deepStrictEqual(await bundle(file, true), [])
    const { stdout, stderr } = await run([file], { env: { NODE_PATH: '' } })
    assert.strictEqual(stdout, 'true\n', stderr)
  })

  test(`${name} carries cprof along, and one line says what to do`, { skip }, async () => {
    for (const ending of name === 'webpack' ? ['js'] : ['js', 'mjs']) {
      const file = path.join(app, `${name}-inside.${ending}`)
      assert.deepStrictEqual(await bundle(file, false), [])
      const { code, stderr } = await run([file], { env: { NODE_PATH: '' } })
      assert.notStrictEqual(code, 0)
      assert.match(stderr, /^Error: cprof: it can not be part of a bundle, .*mark it as external \(esbuild --external:cprof/m)
    }
  })
}
