import { collectDefaultMetrics, Registry } from 'prom-client'

/** One registry per process, with Node's own figures; every metric name begins with `longshore_`. */
export function createMetrics(app: string): Registry {
  const registry = new Registry()
  registry.setDefaultLabels({ app })
  collectDefaultMetrics({ register: registry, prefix: 'longshore_' })
  return registry
}
