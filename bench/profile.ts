import type { StepTimings } from '../engine/protocol/reports.js';
import type { LoadedEngine } from '../engine/thread/load-engine.js';
import {
  type BenchModel,
  benchModelFromArgv,
  benchRequest,
  loadBenchEngine,
  STEP_TOKENS,
} from './lib/bench-engine.js';
import { OrtProfile } from './lib/ort-profile.js';
import { type Cell, commandLine, median, publish, type Report } from './lib/report.js';

// A step's time by operator, from ONNX Runtime's own profile of all segments. Profiling disturbs
// the measurement; bench:step measures whole steps without it.

const CONTEXT = 512;
/** Steps of each kind that are looked at. */
const STEPS = 12;
/** Rows of a table; what is left is one more. */
const SHOWN = 14;

type Table = Report['tables'][number];

/** Runs steps of one kind, the last `STEPS` of which count. @returns their phases */
type Work = (engine: LoadedEngine, model: BenchModel) => Promise<StepTimings[]>;

/** All sequences decode together in the last steps, and nothing runs after them. */
const decode =
  (batch: number): Work =>
  async ({ core }, model) => {
    const requests = Array.from({ length: batch }, () =>
      benchRequest(model, CONTEXT - STEPS, Math.ceil((batch * CONTEXT) / STEP_TOKENS) + 2 * STEPS),
    );
    for (const request of requests) core.add(request);
    const steps: StepTimings[] = [];
    while (steps.length <= STEPS) {
      const outputs = (await core.step()) ?? [];
      if (outputs.length === batch) steps.push(core.timings);
    }
    for (const { ids } of requests) for (const id of ids) core.abort(id);
    return steps.slice(1);
  };

const prefill: Work = async ({ core }, model) => {
  const steps: StepTimings[] = [];
  for (let i = 0; i < STEPS; i++) {
    core.add(benchRequest(model, STEP_TOKENS, 1));
    await core.step();
    steps.push(core.timings);
  }
  return steps;
};

/** An engine of its own for each kind: a session's profile has no marks, only an end. */
async function profile(model: BenchModel, title: string, work: Work): Promise<Table> {
  const trace = new OrtProfile();
  const engine = await trace.during(() => loadBenchEngine(model));
  const steps = await work(engine, model);
  const operators = trace.finish(STEPS);
  await engine.runner.dispose();
  const total = median(steps.map((step) => step.total));
  const attention = median(steps.map((step) => step.attention));
  const inside = operators.reduce((sum, { ms }) => sum + ms, 0);
  const rows: (readonly [what: string, count: Cell, ms: number])[] = [
    ['attention (WebAssembly)', '', attention],
    ...operators.slice(0, SHOWN).map(({ operator, count, ms }) => [operator, count, ms] as const),
    ['other operators', '', operators.slice(SHOWN).reduce((sum, { ms }) => sum + ms, 0)],
    ['calls, copies, waking threads, JavaScript, profiling', '', total - attention - inside],
  ];
  return {
    title: `${title}: ${total.toPrecision(3)} ms`,
    columns: ['what', 'nodes', 'ms', 'share'],
    rows: rows.map(([what, count, ms]) => [what, count, ms, `${Math.round((100 * ms) / total)} %`]),
  };
}

const model = benchModelFromArgv();
const tables: Table[] = [];
for (const batch of [1, 8, 32]) {
  const title = `A decode step, ${batch} x ${CONTEXT}`;
  tables.push(await profile(model, title, decode(batch)));
}
tables.push(await profile(model, `A step of one prompt, ${STEP_TOKENS} tokens`, prefill));
publish({
  name: ['profile', model.shape, ...model.variant].join('-'),
  command: commandLine('bench:profile'),
  about:
    `What a step's time goes to: ${model.description}. ONNX Runtime's profile of ${STEPS} steps: mean for operators, medians for the rest. ` +
    'Profiling itself costs a few microseconds for each node. Operators are told apart by the width of what they make.',
  tables,
});
