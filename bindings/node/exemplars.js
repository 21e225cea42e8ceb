'use strict'

// Exemplars for histograms of OpenTelemetry's metrics SDK, which has none in JavaScript (2.12): each is one recorded
// value with the trace and span that were active, and with profile.id, the profile_id of the OTLP profile of that time.
//
//   const exemplars = require('cprof/exemplars')
//   exemplars(provider, exporter) // a MeterProvider, and its exporter that sends JSON (exporter-metrics-otlp-http)
//
// Histograms that are made from the provider from then on are watched; the exporter's message gets what they have
// recorded since the last one. Kept are 16 of a histogram at most, chosen at random. Returns false, after a line that
// says why, where provider or exporter are not as known.

const { native } = require('./native')

const API = Symbol.for('opentelemetry.js.api.1')
const SPAN_KEY = Symbol.for('OpenTelemetry Context Key SPAN')
const SAMPLED = 1
const KEPT = 16

// What was recorded of one histogram since the last export.
class Reservoir {
  #kept = []
  #seen = 0

  offer (value, attributes, context) {
    const span = (context ?? globalThis[API]?.context?.active())?.getValue(SPAN_KEY)?.spanContext()
    if (!span || !(span.traceFlags & SAMPLED)) return
    const place = this.#seen++ < KEPT ? this.#kept.length : Math.floor(Math.random() * this.#seen)
    if (place >= KEPT) return
    this.#kept[place] = {
      value,
      attributes: { ...attributes },
      time: `${Date.now()}000000`,
      traceId: span.traceId,
      spanId: span.spanId,
      profileId: native.profileId()
    }
  }

  take () {
    const taken = this.#kept
    this.#kept = []
    this.#seen = 0
    return taken
  }
}

// As OTLP writes it in JSON; attributes that the point has are not repeated.
function encode (exemplar, point) {
  const named = exemplar.profileId === null ? {} : { 'profile.id': exemplar.profileId }
  const rest = Object.entries({ ...exemplar.attributes, ...named }).filter(([key]) => !(key in point))
  return {
    timeUnixNano: exemplar.time,
    asDouble: exemplar.value,
    traceId: exemplar.traceId,
    spanId: exemplar.spanId,
    filteredAttributes: rest.map(([key, value]) => ({ key, value: { stringValue: String(value) } }))
  }
}

// Is it a value of the point, whose view may have dropped some of its attributes?
function belongs (exemplar, point) {
  return Object.entries(point).every(([key, value]) => String(exemplar.attributes[key]) === String(value))
}

function addTo (message, metrics, reservoirs) {
  metrics.scopeMetrics.forEach(({ scope, metrics }, i) => metrics.forEach(({ descriptor, dataPoints }, j) => {
    const written = message.resourceMetrics[0].scopeMetrics[i].metrics[j]
    const points = (written.histogram ?? written.exponentialHistogram)?.dataPoints
    for (const exemplar of points ? reservoirs.get(keyOf(scope.name, descriptor.name))?.take() ?? [] : []) {
      const number = dataPoints.findIndex(point => belongs(exemplar, point.attributes))
      if (number >= 0) (points[number].exemplars ??= []).push(encode(exemplar, dataPoints[number].attributes))
    }
  }))
}

function keyOf (scope, name) {
  return JSON.stringify([scope, name])
}

function watchHistograms (provider, reservoirs) {
  const getMeter = provider.getMeter
  const known = new WeakSet()
  provider.getMeter = function (scope, ...rest) {
    const meter = getMeter.call(this, scope, ...rest)
    if (known.has(meter)) return meter
    known.add(meter)
    const createHistogram = meter.createHistogram
    meter.createHistogram = function (name, options) {
      const histogram = createHistogram.call(this, name, options)
      const key = keyOf(scope, name)
      if (!reservoirs.has(key)) reservoirs.set(key, new Reservoir())
      const reservoir = reservoirs.get(key)
      const record = histogram.record
      histogram.record = function (value, attributes, context) {
        record.call(this, value, attributes, context)
        try { reservoir.offer(value, attributes, context) } catch { } // not OpenTelemetry's own context
      }
      return histogram
    }
    return meter
  }
}

// A failure leaves the message as it was.
function watchMessages (delegate, reservoirs) {
  const serializer = delegate._serializer
  delegate._serializer = {
    ...serializer,
    serializeRequest (metrics) {
      const bytes = serializer.serializeRequest(metrics)
      try {
        const message = JSON.parse(new TextDecoder().decode(bytes))
        addTo(message, metrics, reservoirs)
        return new TextEncoder().encode(JSON.stringify(message))
      } catch {
        return bytes
      }
    }
  }
}

function refusal (provider, exporter) {
  if (typeof provider?.getMeter !== 'function') return 'the first argument is no MeterProvider'
  const serializer = exporter?._delegate?._serializer
  if (typeof serializer?.serializeRequest !== 'function') return 'the second argument is no OTLP exporter as this version knows it'
  const empty = { resource: { attributes: {} }, scopeMetrics: [] }
  try {
    if (JSON.parse(new TextDecoder().decode(serializer.serializeRequest(empty))).resourceMetrics.length === 1) return null
  } catch { }
  return 'the exporter does not send JSON: take that of @opentelemetry/exporter-metrics-otlp-http'
}

module.exports = function exemplars (provider, exporter) {
  const reason = refusal(provider, exporter)
  if (reason !== null) {
    process.stderr.write(`cprof: histograms have no exemplars: ${reason}\n`)
    return false
  }
  const reservoirs = new Map()
  watchHistograms(provider, reservoirs)
  watchMessages(exporter._delegate, reservoirs)
  return true
}
