// A reporter for node:test that writes JUnit XML, also on versions that have none.

const escape = text => String(text).replace(/[<>&"]/g, c => `&#${c.charCodeAt(0)};`)
  .replace(/[\x00-\x08\x0b\x0c\x0e-\x1f]/g, '?') // eslint-disable-line no-control-regex

export default async function * junit (source) {
  const cases = []
  for await (const { type, data } of source) {
    const file = data.name?.endsWith('.test.js') // all of it; fails alone when its process died
    if (type !== 'test:fail' && (type !== 'test:pass' || file)) continue
    let inside = ''
    if (data.skip !== undefined) inside = `<skipped message="${escape(data.skip)}"/>`
    if (type === 'test:fail') {
      const error = data.details.error?.cause ?? data.details.error
      inside = `<failure message="${escape(error?.message ?? error)}">${escape(error?.stack ?? '')}</failure>`
    }
    cases.push([inside, `  <testcase classname="node" name="${escape(data.name)}" time="${(data.details.duration_ms ?? 0) / 1000}">${inside}</testcase>\n`])
  }
  const having = part => cases.filter(([inside]) => inside.startsWith(part)).length
  yield `<?xml version="1.0"?>\n<testsuite name="node ${process.version}" tests="${cases.length}" ` +
    `failures="${having('<failure')}" skipped="${having('<skipped')}">\n`
  for (const [, line] of cases) yield line
  yield '</testsuite>\n'
}
