#!/usr/bin/env node
'use strict'

// The cprof command that lies beside the addon.

const { spawn } = require('node:child_process')
const os = require('node:os')
const path = require('node:path')
const { prebuiltFolder } = require('../prebuilt')

// `cprof run` takes this package where the program's folder has none, as with npx.
const env = { ...process.env, CPROF_NODE_AUTO: path.join(__dirname, '../auto.js') }
const command = spawn(path.join(prebuiltFolder(), 'cprof'), process.argv.slice(2), { stdio: 'inherit', env })

// A terminal sends the first two to the command as well, which knows what to do; this waits for it.
for (const name of ['SIGINT', 'SIGQUIT']) process.on(name, () => {})
for (const name of ['SIGTERM', 'SIGHUP']) process.on(name, () => command.kill(name))

command.on('error', error => {
  process.stderr.write(`cprof: ${error.message}\n`)
  process.exitCode = 1
})
command.on('exit', (status, signal) => {
  process.exitCode = signal ? 128 + os.constants.signals[signal] : status
})
