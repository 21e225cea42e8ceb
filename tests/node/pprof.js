'use strict'

// Reads pprof files: just enough of protobuf and of profile.proto for the tests.

const fs = require('node:fs')
const zlib = require('node:zlib')

function varint (data, at) {
  let value = 0
  for (let scale = 1; ; scale *= 128) {
    const byte = data[at++]
    value += (byte & 127) * scale
    if (byte < 128) return [value, at]
  }
}

// Field number → all its values: numbers or buffers.
function message (data) {
  const fields = new Map()
  for (let at = 0; at < data.length;) {
    let key, value
    [key, at] = varint(data, at)
    if ((key & 7) === 0) {
      [value, at] = varint(data, at)
    } else if ((key & 7) === 2) {
      let size
      [size, at] = varint(data, at)
      value = data.subarray(at, at += size)
    } else {
      throw new Error(`wire type ${key & 7}`)
    }
    fields.set(key >> 3, [...(fields.get(key >> 3) ?? []), value])
  }
  return { all: field => fields.get(field) ?? [], one: field => fields.get(field)?.[0] ?? 0 }
}

function numbers (values) {
  return values.flatMap(value => {
    if (typeof value === 'number') return [value]
    const found = []
    for (let at = 0; at < value.length;) {
      let number
      [number, at] = varint(value, at)
      found.push(number)
    }
    return found
  })
}

class Profile {
  constructor (path) {
    const top = message(zlib.gunzipSync(fs.readFileSync(path)))
    const strings = top.all(6).map(String)
    const text = (part, field) => strings[part.one(field)]
    const functions = new Map(top.all(5).map(message).map(f => [f.one(1), f]))
    const locations = new Map(top.all(4).map(message).map(l => [l.one(1), l.all(4).map(message)
      .map(line => ({
        name: text(functions.get(line.one(1)), 2),
        file: text(functions.get(line.one(1)), 4),
        startLine: functions.get(line.one(1)).one(5),
        line: line.one(2),
        column: line.one(3)
      }))]))
    // Innermost first.
    this.comments = numbers(top.all(13)).map(index => strings[index].replace(/^#/, ''))
    this.types = top.all(1).map(message).map(type => text(type, 1))
    this.samples = top.all(2).map(message).map(sample => ({
      stack: numbers(sample.all(1)).flatMap(id => locations.get(id)),
      count: numbers(sample.all(2))[0],
      nanoseconds: numbers(sample.all(2))[1],
      values: numbers(sample.all(2)),
      labels: Object.fromEntries(sample.all(3).map(message)
        .map(label => [text(label, 1), text(label, 2) || label.one(3)]))
    }))
  }

  count (matches = () => true) {
    return this.samples.filter(matches).reduce((sum, sample) => sum + sample.count, 0)
  }

  // One of cprof's own figures.
  metric (name) {
    const line = this.comments.find(text => text.startsWith(`profile:${name}=`))
    return Number(line.slice(line.indexOf('=') + 1))
  }

  share (matches) {
    return this.count(matches) / Math.max(1, this.count())
  }

  // The samples in whose stacks all these functions are, the inner ones first.
  under (...names) {
    return sample => {
      let next = 0
      for (const frame of sample.stack) if (frame.name === names[next]) next++
      return next === names.length
    }
  }

  // Line → samples in which that function stood there.
  lines (name) {
    const lines = new Map()
    for (const { stack, count } of this.samples) {
      for (const line of new Set(stack.filter(f => f.name === name).map(f => f.line))) {
        lines.set(line, (lines.get(line) ?? 0) + count)
      }
    }
    return lines
  }

  frames (name) {
    return this.samples.flatMap(sample => sample.stack.filter(frame => frame.name === name))
  }
}

module.exports = { Profile }
