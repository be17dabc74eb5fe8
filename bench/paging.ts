import { BLOCK_SIZE } from './eviction/trace.js';
import { type BenchModel, benchModelFromArgv, loadBenchEngine } from './lib/bench-engine.js';
import { type Cell, commandLine, publish } from './lib/report.js';
import { SHAPES } from './models/shapes.js';
import { measureSteps } from './paging/measure-steps.js';
import { runReal } from './paging/real-run.js';
import { type Dataset, drawLengths, requestsOf } from './paging/requests.js';
import { normalized, rateAt, runSystem, savedBySharing } from './paging/study.js';
import { createSystem, MAX_LENGTH, PAGING, SYSTEMS } from './paging/systems.js';
import { type Curve, renderPanels } from './serve/svg.js';
import { fitStepTimes, type StepTimes, slower } from './simulation/step-times.js';

// The figures of the paper on PagedAttention (Kwon et al. 2023) with this engine: paging against
// contiguous reservation, all else equal.

const SEED = 1;
const DATASETS: readonly Dataset[] = ['sharegpt', 'alpaca'];
/** Tokens of KV memory; the first one is the plot's. */
const MEMORIES = [4096, 2048, 8192];
const REQUESTS = 400;
/** Of the latency of requests that are alone. */
const LATENCY_FACTORS = [2, 4];
/** Of the real run. */
const REAL_REQUESTS = 24;
/** Rates of the plot, of the one that paging sustains. */
const CURVE = [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.1, 1.2];
const SAMPLES = [2, 4, 6];
const [SHARED_REQUESTS, SHARED_SLOTS] = [40, 2 ** 18];
const percent = (share: number): number => 100 * share;

interface Sustained {
  readonly rows: Cell[][];
  /** Requests a second, `[system]`, at the largest latency. */
  readonly rates: readonly number[];
  readonly aloneSeconds: number;
}

/** The rates that all systems sustain with some memory. */
function sustained(dataset: Dataset, slots: number, times: StepTimes): Sustained {
  const lengths = drawLengths(dataset, REQUESTS, SEED);
  const latencyAt = (system: number, perSecond: number): number =>
    runSystem(SYSTEMS[system], slots, lengths, requestsOf(lengths, perSecond, SEED), times)
      .normalizedSeconds;
  const aloneSeconds = latencyAt(PAGING, 1e-3);
  const full = SYSTEMS.map((system) =>
    runSystem(system, slots, lengths, requestsOf(lengths, Infinity, SEED), times),
  );
  // A run of some hundred requests may stand a little more than can be served for ever.
  const most = full.map(({ simulation }) => (1.5 * 1000 * REQUESTS) / simulation.busyMs);
  const rates = LATENCY_FACTORS.map((factor) =>
    SYSTEMS.map((_, i) => rateAt(factor * aloneSeconds, (rate) => latencyAt(i, rate), most[i])),
  );
  const rows = SYSTEMS.map(({ name }, i) => [
    dataset,
    slots,
    name,
    percent(full[i].liveOfReserved),
    percent(full[i].liveOfAll),
    full[i].meanBatch,
    full[i].simulation.preemptions / REQUESTS,
    ...rates.flatMap((of) => [of[i], of[PAGING] / of[i]]),
  ]);
  return { rows, rates: rates[LATENCY_FACTORS.length - 1], aloneSeconds };
}

function curves(dataset: Dataset, slots: number, most: number, times: StepTimes): Curve[] {
  const lengths = drawLengths(dataset, REQUESTS, SEED);
  return SYSTEMS.map((system) => {
    const points: [number, number][] = [];
    for (const share of CURVE) {
      const requests = requestsOf(lengths, share * most, SEED);
      const { normalizedSeconds } = runSystem(system, slots, lengths, requests, times);
      points.push([share * most, normalizedSeconds]);
      // Beyond, it only shows how long the run was.
      if (normalizedSeconds > 0.6) break;
    }
    return {
      name: system.name,
      points: points.map(([x, y]): [number, number] => [x, Math.min(y, 0.6)]),
    };
  });
}

/** The same requests, simulated and with the model. */
async function confirm(
  model: BenchModel,
  engine: Awaited<ReturnType<typeof loadBenchEngine>>,
  slots: number,
  perSecond: number,
  times: StepTimes,
): Promise<Cell[][]> {
  const lengths = drawLengths('sharegpt', REAL_REQUESTS, SEED);
  const { vocab } = SHAPES[model.shape];
  const requests = requestsOf(lengths, perSecond, SEED, vocab);
  const rows: Cell[][] = [];
  for (const system of SYSTEMS) {
    process.stderr.write(`real run: ${system.name}\n`);
    const tested = createSystem(system, slots, (key) => lengths[Number(key)]);
    const real = await runReal(engine, tested, requests, times);
    const simulated = runSystem(system, slots, lengths, requests, slower(times, real.slowness));
    const seconds = normalized(real.latenciesMs, requests);
    rows.push([
      system.name,
      perSecond,
      real.slowness,
      simulated.normalizedSeconds,
      seconds,
      `${Math.round(100 * (simulated.normalizedSeconds / seconds - 1))} %`,
      simulated.meanBatch,
      real.meanBatch,
    ]);
  }
  return rows;
}

function sharingRow(dataset: Dataset, times: StepTimes): Cell[] {
  // All fit, so that none is preempted, which ends sharing.
  const requests = requestsOf(drawLengths(dataset, SHARED_REQUESTS, SEED), Infinity, SEED);
  const shares: Cell[] = SAMPLES.map((n) =>
    percent(savedBySharing(requests, n, SHARED_SLOTS, times)),
  );
  return [dataset, ...shares];
}

const model = benchModelFromArgv();
const engine = await loadBenchEngine(model);
process.stderr.write('step times\n');
const samples = await measureSteps(engine, model);
const times = fitStepTimes(samples);

const rows: Cell[][] = [];
const panels = [];
let confirmed: Cell[][] = [];
for (const dataset of DATASETS) {
  for (const slots of MEMORIES) {
    process.stderr.write(`${dataset}, ${slots} slots\n`);
    const result = sustained(dataset, slots, times);
    rows.push(...result.rows);
    if (slots !== MEMORIES[0]) continue;
    const most = Math.max(...result.rates);
    // What the oracle just about sustains: the others are overloaded, paging is not. All that is
    // timed is done first.
    if (dataset === 'sharegpt')
      confirmed = await confirm(model, engine, slots, result.rates[2], times);
    panels.push({
      title: `${dataset}, ${slots} slots`,
      xLabel: 'requests a second',
      yLabel: 'normalized latency, s/token',
      xScale: 'linear' as const,
      curves: curves(dataset, slots, most, times),
    });
  }
}
await engine.runner.dispose();
const sharing = DATASETS.map((dataset) => sharingRow(dataset, times));

publish({
  name: ['paging', model.shape, ...model.variant].join('-'),
  command: commandLine('bench:paging'),
  about: `Paging against contiguous reservation, as in the paper on PagedAttention: the same model, memory, scheduler and requests. Orca(Max) reserves ${MAX_LENGTH} slots for a request, Orca(Pow2) the output's length rounded up to a power of two, Orca(Oracle) what it will need, each in one piece (buddy allocation); paging has blocks of ${BLOCK_SIZE}. Simulated with the step times of this machine (${model.description}), which the last table checks. Lengths are like those of the data sets, up to 1,024 tokens each.`,
  raw: { samples },
  plot: renderPanels('Paging against contiguous reservation', panels),
  tables: [
    {
      title: `Memory and rates: normalized latency (seconds for each generated token, mean over ${REQUESTS} requests) at most ${LATENCY_FACTORS.join(' and ')} times that of requests that are alone; shares and batches while all requests wait from the start`,
      columns: [
        'lengths',
        'slots',
        'system',
        'live tokens in what is reserved, %',
        'in all memory, %',
        'batch',
        'preemptions a request',
        ...LATENCY_FACTORS.flatMap((factor) => [
          `requests/s at ${factor} times`,
          "paging's, times",
        ]),
      ],
      rows,
    },
    {
      title: 'Blocks saved by parallel sampling, %, by the number of samples',
      columns: ['lengths', ...SAMPLES.map(String)],
      rows: sharing,
    },
    {
      title: `The simulation against the model itself: ${REAL_REQUESTS} requests of sharegpt, ${MEMORIES[0]} slots; simulated at the speed that the machine had during the run`,
      columns: [
        'system',
        'requests/s',
        "steps' time, of the measured",
        'normalized latency, simulated',
        'measured',
        'difference',
        'batch, simulated',
        'measured',
      ],
      rows: confirmed,
    },
    {
      title: 'Steps, milliseconds',
      columns: ['tokens', 'tokens read by attention', 'milliseconds'],
      rows: samples.map(({ tokens, reads, ms }) => [tokens, reads, ms]),
    },
  ],
});
