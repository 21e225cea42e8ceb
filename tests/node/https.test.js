'use strict'

// node exports the functions of its own OpenSSL; the exporter's libcurl brings another one.

const assert = require('node:assert')
const { spawnSync } = require('node:child_process')
const fs = require('node:fs')
const https = require('node:https')
const path = require('node:path')
const test = require('node:test')
const { run, folder } = require('./helper')

const key = path.join(folder, 'key.pem')
const certificate = path.join(folder, 'certificate.pem')
const made = spawnSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', key,
  '-out', certificate, '-days', '2', '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'])

// Answers every request with 200 and keeps what came.
async function listen () {
  const received = []
  const server = https.createServer({
    key: fs.readFileSync(key), cert: fs.readFileSync(certificate)
  }, (request, response) => {
    const parts = []
    request.on('data', part => parts.push(part))
    request.on('end', () => {
      received.push({ url: request.url, size: Buffer.concat(parts).length })
      response.setHeader('content-type', 'application/x-protobuf')
      response.end()
    })
  })
  await new Promise(resolve => server.listen(0, 'localhost', resolve))
  return { server, received, port: server.address().port }
}

test('profiles are delivered over TLS, and only to who shows a certificate that is trusted', {
  skip: made.status !== 0 && 'there is no openssl to make a certificate with'
}, async () => {
  const { server, received, port } = await listen()
  const burn = `const tls = require('tls'), crypto = require('crypto'); tls.createSecureContext()
    for (let i = 0; i < 20; i++) crypto.pbkdf2Sync('a', 'b', 20000, 64, 'sha512')
    const cprof = require('cprof')
    cprof.stop({ timeout: 10 }).then(done => console.log(done, JSON.stringify(cprof.stats())))`
  const env = { OTEL_EXPORTER_OTLP_ENDPOINT: `https://localhost:${port}`, NO_PROXY: 'localhost' }
  try {
    const trusted = await run(['-r', 'cprof/auto', '-e', burn],
      { env: { ...env, OTEL_EXPORTER_OTLP_CERTIFICATE: certificate } })
    assert.strictEqual(trusted.code, 0, trusted.stderr)
    assert.match(trusted.stdout, /^true/, trusted.stdout + trusted.stderr)
    assert.ok(received.length >= 1 && received[0].size > 500, JSON.stringify(received))
    const before = received.length
    const stranger = await run(['-r', 'cprof/auto', '-e', burn.replace('timeout: 10', 'timeout: 3')], { env })
    assert.strictEqual(stranger.code, 0, stranger.stderr)
    assert.match(stranger.stdout, /^false/)
    assert.strictEqual(received.length, before)
  } finally {
    server.close()
  }
})
