'use strict'

// What is said where a bundler has put cprof into a file of its own, away from its binary. Where that is an ES
// module it has no __dirname, and all else that is needed would fail in the bundler's words.

const LINE = 'cprof: it can not be part of a bundle, as it is a binary beside its JavaScript: mark it as external ' +
  '(esbuild --external:cprof, rollup external, webpack externals, Next.js serverExternalPackages)'

if (typeof __dirname === 'undefined') throw new Error(LINE)

exports.LINE = LINE
