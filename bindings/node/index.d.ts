/** An always-on profiler that shows native and JavaScript frames in one stack. */

/** What start() can be told. What is left out takes its environment variable's value. */
export interface Options {
  /** OTEL_SERVICE_NAME */
  serviceName?: string
  /** CPROF_RATE: samples per second of CPU time and thread, 1 to 1000 */
  rate?: number
  /** CPROF_TYPES */
  types?: string | string[]
  /** CPROF_OUTPUT: a path; its ending picks the format */
  output?: string
  /** CPROF_EXPORTER: otlp, pyroscope, parca, file, none */
  exporter?: string | string[]
  /** CPROF_ENDPOINT, or for otlp OTEL_EXPORTER_OTLP_ENDPOINT */
  endpoint?: string
  /** Added to OTEL_EXPORTER_OTLP_HEADERS */
  headers?: Record<string, string>
  /** CPROF_INTERVAL: seconds between exports */
  interval?: number
  /** Added to CPROF_LABELS */
  labels?: Labels
  /** CPROF_NATIVE: show native frames */
  native?: boolean
  /** CPROF_ASYNC_HOOKS: follow OpenTelemetry's spans by async hooks, where Node has no cheaper way
   * (18, 20, and 22 without --experimental-async-context-frame); costs about 0.15 µs an await */
  asyncHooks?: boolean
  /** CPROF_SOURCE_MAPS: show the places that scripts were made from, by their source maps */
  sourceMaps?: boolean
}

export type Labels = Record<string, string | number | boolean>

export interface Stats {
  samples: number
  samples_dropped: number
  samples_truncated: number
  samples_failed: number
  timer_overruns: number
  threads: number
  stacks: number
  memory_bytes: number
  profiles_exported: number
  profiles_failed: number
  profiles_dropped: number
  bytes_sent: number
  metrics_exported: number
  metrics_failed: number
  handler_ns_mean: number
  handler_ns_max: number
  collector_cpu_ns: number
  alloc_bytes: number
  heap_bytes: number
  resident_bytes: number
  gc_collections: number
  gc_pause_ns: number
  gc_cpu_ns: number
}

export interface Timeout {
  /** Seconds; 5 if left out */
  timeout?: number
}

/** Starts profiling this process. Throws for a value that makes no sense. */
export function start (options?: Options): void
/** Exports what has been gathered; true when everything has been delivered. */
export function flush (timeout?: Timeout): Promise<boolean>
/** Stops profiling and delivers the rest; true when everything has been delivered. */
export function stop (timeout?: Timeout): Promise<boolean>
export function isRunning (): boolean
/** cprof's own figures. */
export function stats (): Stats
/** What every thread does now: 'text' for people, 'json' for programs; 'pprof' for tools, as bytes. */
export function dump (options: { format: 'pprof' }): Promise<Uint8Array>
export function dump (options?: { format?: 'text' | 'json' }): Promise<string>
/** Profiles the process while a function runs, into a file. */
export function profile<T> (output: string, run: () => T | Promise<T>, options?: Options): Promise<T>
/** Puts labels on the samples of a function and of everything asynchronous that it begins. */
export function labels<T> (labels: Labels, run: () => T): T

declare const cprof: {
  start: typeof start
  flush: typeof flush
  stop: typeof stop
  isRunning: typeof isRunning
  stats: typeof stats
  dump: typeof dump
  profile: typeof profile
  labels: typeof labels
}
export default cprof
