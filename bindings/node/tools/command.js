#!/usr/bin/env node
'use strict'

// The cprof command that lies beside the addon.

const { spawnSync } = require('node:child_process')
const os = require('node:os')
const path = require('node:path')
const { prebuiltFolder } = require('../prebuilt')

const { status, signal, error } =
  spawnSync(path.join(prebuiltFolder(), 'cprof'), process.argv.slice(2), { stdio: 'inherit' })
if (error) process.stderr.write(`cprof: ${error.message}\n`)
process.exitCode = error ? 1 : signal ? 128 + os.constants.signals[signal] : status
