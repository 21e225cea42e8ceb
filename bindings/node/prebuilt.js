'use strict'

// Where the binaries for this platform and C library lie in the package.

const path = require('node:path')

function libc () {
  if (process.platform !== 'linux') return ''
  return process.report.getReport().header.glibcVersionRuntime ? '-glibc' : '-musl'
}

exports.prebuiltFolder = () =>
  path.join(__dirname, 'prebuilds', `${process.platform}-${process.arch}${libc()}`)
