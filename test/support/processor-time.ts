/**
 * Runs something and measures what it takes of the processors: unlike the time that passes, it does
 * not grow with what else the machine has to do. A test may bound it at many times what a quiet
 * machine takes, when what it guards against takes still more.
 *
 * @returns milliseconds of all threads of this process
 */
export async function processorMs(work: () => unknown): Promise<number> {
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}
