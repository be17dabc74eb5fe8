import type { SequenceId } from '../../scheduler/ids.js';
import { type BenchModel, benchModel, benchRequest, loadBenchEngine } from './bench-engine.js';
import { median } from './report.js';

// A program: node form-process.ts <BenchModel as JSON>. Prints the milliseconds of a decode step
// with 1 sequence and with 8, as JSON.

const CONTEXT = 64;
const STEPS = 40;

const model = benchModel(JSON.parse(process.argv[2]) as BenchModel);
const { core } = await loadBenchEngine(model);

async function decode(batch: number): Promise<number> {
  const requests = Array.from({ length: batch }, () => benchRequest(model, CONTEXT, 2 * STEPS));
  for (const request of requests) core.add(request);
  const times: number[] = [];
  while (times.length < STEPS) {
    const outputs = (await core.step()) ?? [];
    if (outputs.length === batch) times.push(core.timings.total);
  }
  const ids = requests.flatMap((request): readonly SequenceId[] => request.ids);
  for (const id of ids) core.abort(id);
  while (core.hasWork) await core.step();
  return median(times.slice(4));
}

await decode(1);
process.stdout.write(JSON.stringify([await decode(1), await decode(8)]));
// Sessions and worker threads end with the process.
process.exit(0);
