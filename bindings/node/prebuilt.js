'use strict'

// Where the binaries for this platform and C library lie in the package.

const fs = require('node:fs')
const path = require('node:path')

// By the loader that this process has. Node's own report would tell as well, in 3 ms.
function libc () {
  if (process.platform !== 'linux') return ''
  return fs.readFileSync('/proc/self/maps', 'latin1').includes('/ld-musl-') ? '-musl' : '-glibc'
}

exports.prebuiltFolder = () =>
  path.join(__dirname, 'prebuilds', `${process.platform}-${process.arch}${libc()}`)
