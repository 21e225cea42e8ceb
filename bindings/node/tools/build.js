'use strict'

// Builds the addon for this platform into prebuilds/ with CMake. One binary serves all supported
// versions of Node: it speaks Node-API only.

const { execFileSync, spawnSync } = require('node:child_process')
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
  if (!found) throw new Error('no node_api.h: set CPROF_NODE_INCLUDE to its folder')
  return found
}

// The npm package `node` keeps the headers in a package of its own.
function npmHeaders (own) {
  return [path.join(own, `../node_modules/node-${process.platform}-${process.arch}/include/node`)]
}

function buildAddon () {
  const build = path.join(root, 'build')
  const ninja = spawnSync('ninja', ['--version']).status === 0 ? ['-G', 'Ninja'] : []
  const run = (...command) => execFileSync(command[0], command.slice(1), { stdio: 'inherit' })
  run('cmake', '-S', root, '-B', build, ...ninja, '-DCMAKE_BUILD_TYPE=RelWithDebInfo',
    ...(process.env.CPROF_CMAKE_OPTIONS || '').split(' ').filter(Boolean),
    `-DCPROF_NODE_INCLUDE=${findHeaders()}`, `-DCPROF_NODE_OUTPUT=${prebuiltFolder()}`)
  run('cmake', '--build', build, '--parallel', String(os.cpus().length), '--target', 'cprof_addon')
}

// --headers only says where they are.
if (process.argv[2] === '--headers') console.log(findHeaders())
else buildAddon()
