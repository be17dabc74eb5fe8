import type { SequenceId } from '../../scheduler/ids.js';
import { type BenchModel, benchModel, benchRequest, loadBenchEngine } from './bench-engine.js';
import { median } from './report.js';

// A program: node form-process.ts <BenchModel as JSON>. Prints what a decode step takes with 1
// sequence and with 8, as JSON.

const CONTEXT = 64;
const STEPS = 40;

/** Milliseconds of a step. */
export interface StepTime {
  readonly wall: number;
  /** Of all threads together: other programs on the machine change it little. */
  readonly processor: number;
}

const model = benchModel(JSON.parse(process.argv[2]) as BenchModel);
const { core } = await loadBenchEngine(model);

async function decode(batch: number): Promise<StepTime> {
  const requests = Array.from({ length: batch }, () => benchRequest(model, CONTEXT, 2 * STEPS));
  for (const request of requests) core.add(request);
  const times: StepTime[] = [];
  while (times.length < STEPS) {
    const before = process.cpuUsage();
    const outputs = (await core.step()) ?? [];
    const { user, system } = process.cpuUsage(before);
    if (outputs.length === batch) {
      times.push({ wall: core.timings.total, processor: (user + system) / 1000 });
    }
  }
  const ids = requests.flatMap((request): readonly SequenceId[] => request.ids);
  for (const id of ids) core.abort(id);
  while (core.hasWork) await core.step();
  const settled = times.slice(4);
  return {
    wall: median(settled.map(({ wall }) => wall)),
    processor: median(settled.map(({ processor }) => processor)),
  };
}

await decode(1);
process.stdout.write(JSON.stringify([await decode(1), await decode(8)]));
// Sessions and worker threads end with the process.
process.exit(0);
