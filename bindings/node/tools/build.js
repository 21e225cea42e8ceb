'use strict'

// Builds the addon for this platform into prebuilds/ with CMake. One binary serves all supported
// versions of Node: it speaks Node-API only.

const { spawnSync } = require('node:child_process')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { prebuiltFolder } = require('../prebuilt')

const root = path.dirname(__dirname)

function findHeaders () {
  const own = path.dirname(fs.realpathSync(process.execPath))
  const places = [process.env.CPROF_NODE_INCLUDE, path.join(own, '../include/node'),
    '/usr/include/node', '/usr/local/include/node', ...npmHeaders(own),
    path.join(os.homedir(), `.cache/node-gyp/${process.versions.node}/include/node`)]
  const found = places.find(place => place && fs.existsSync(path.join(place, 'node_api.h')))
  if (!found) fail('no node_api.h: set CPROF_NODE_INCLUDE to its folder; in Debian, apt install libnode-dev')
  return found
}

// The npm package `node` keeps the headers in a package of its own.
function npmHeaders (own) {
  return [path.join(own, `../node_modules/node-${process.platform}-${process.arch}/include/node`)]
}

function need (command, debian) {
  if (spawnSync(command, ['--version']).error) fail(`the build lacks what Debian has as: apt install ${debian}`)
}

function fail (line) {
  console.error(`cprof: ${line}`)
  process.exit(1)
}

// CMake refuses a build folder that came along with a copy of the clone.
function dropForeignCache (build) {
  const cache = path.join(build, 'CMakeCache.txt')
  if (!fs.existsSync(cache)) return
  if (!fs.readFileSync(cache, 'utf8').includes(`CMAKE_HOME_DIRECTORY:INTERNAL=${root}\n`)) {
    fs.rmSync(build, { recursive: true })
  }
}

function buildAddon () {
  const build = path.join(root, 'build')
  need('cmake', 'cmake')
  need((process.env.CC || 'cc').split(' ')[0], 'build-essential')
  dropForeignCache(build)
  const ninja = spawnSync('ninja', ['--version']).status === 0 ? ['-G', 'Ninja'] : []
  const run = (...command) => {
    const done = spawnSync(command[0], command.slice(1), { stdio: ['inherit', 'inherit', 'pipe'], encoding: 'utf8' })
    process.stderr.write(done.stderr)
    if (done.status === 0) return
    const lacks = /^cprof: (.*)$/m.exec(done.stderr)
    fail(lacks ? lacks[1] : `${command[0]} failed`)
  }
  run('cmake', '-S', root, '-B', build, ...ninja, '-DCMAKE_BUILD_TYPE=RelWithDebInfo',
    ...(process.env.CPROF_CMAKE_OPTIONS || '').split(' ').filter(Boolean),
    `-DCPROF_NODE_INCLUDE=${findHeaders()}`, `-DCPROF_NODE_OUTPUT=${prebuiltFolder()}`)
  run('cmake', '--build', build, '--parallel', String(os.cpus().length), '--target', 'cprof_addon')
}

// --headers only says where they are.
if (process.argv[2] === '--headers') console.log(findHeaders())
else buildAddon()
