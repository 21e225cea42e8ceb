/**
 * Gives the histograms that are made from a MeterProvider exemplars, which name trace, span and profile, in the
 * messages of its exporter (that of @opentelemetry/exporter-metrics-otlp-http). False, after a line that says why,
 * where the two are not as known.
 */
declare function exemplars (provider: object, exporter: object): boolean
export = exemplars
