/** Processes that a machine's memory carries: an engine test with a model may take this much. */
const BYTES_PER_WORKER = 4 * 2 ** 30;
/** The smallest machine that we test on has two processors. */
const FEWEST = 2;

/**
 * How many test files run side by side. A file of the engine's tests keeps about two processors
 * busy: the engine's thread and those of ONNX Runtime.
 */
export function workerCount(cpus: number, memoryBytes: number): number {
  const byMemory = Math.floor(memoryBytes / BYTES_PER_WORKER);
  return Math.max(FEWEST, Math.min(Math.floor(cpus / 2), byMemory));
}
