import cprof from './index.js'

export default cprof
export const { start, flush, stop, isRunning, stats, dump, profile, labels } = cprof
