export { createWorker, type RunningWorker, type WorkerDeps, type WorkerSettings } from './create-worker.ts'
