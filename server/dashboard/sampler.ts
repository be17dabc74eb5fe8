import type { Engine } from '../../engine/client/engine-port.js';
import type { Clock } from '../../engine/clock.js';
import type { StepReport } from '../../engine/protocol/reports.js';
import { REJECTIONS, type ServerMetrics } from '../metrics/server-metrics.js';
import type { ModelService } from '../models.js';
import { LatencyWindow } from './latency-window.js';
import type { ProcessFigures } from './process-probe.js';
import { type Sample, type SampleField, toSample } from './sample.js';

const WINDOW_SECONDS = 30;

const PHASES = ['segments', 'attention', 'sample', 'schedule'] as const;

/** What is counted between two samples. */
const COUNTS = [
  'generated',
  'prompt',
  'cached',
  'succeeded',
  'clientErrors',
  'serverErrors',
  'left',
] as const satisfies SampleField[];

/** Counts what engine and metrics tell, from its creation until it is closed. */
export class Sampler {
  readonly #engine: Engine;
  readonly #clock: Clock;
  readonly #readProcess: () => ProcessFigures;
  readonly #ttft = new LatencyWindow(WINDOW_SECONDS);
  readonly #itl = new LatencyWindow(WINDOW_SECONDS);
  readonly #stops: readonly (() => void)[];
  readonly #counts = Object.fromEntries(COUNTS.map((name) => [name, 0])) as Record<
    (typeof COUNTS)[number],
    number
  >;
  readonly #rejected = new Map<string, number>();
  #steps = 0;
  readonly #phases = { segments: 0, attention: 0, sample: 0, schedule: 0, total: 0 };
  /** Of the last sample. */
  #last: { time: number; preemptions: number; cpuSeconds: number };

  constructor(
    { engine, metrics: modelMetrics }: Pick<ModelService, 'engine' | 'metrics'>,
    metrics: ServerMetrics,
    clock: Clock,
    readProcess: () => ProcessFigures,
  ) {
    this.#engine = engine;
    this.#clock = clock;
    this.#readProcess = readProcess;
    const { preemptions } = engine.stats;
    this.#last = { time: clock.now(), preemptions, cpuSeconds: readProcess().cpuSeconds };
    const counts = this.#counts;
    this.#stops = [
      engine.onStep((report) => this.#step(report)),
      modelMetrics.listen({
        prompt: (tokens, cachedTokens) => {
          counts.prompt += tokens;
          counts.cached += cachedTokens;
        },
        firstToken: (seconds) => this.#ttft.add(seconds, 1, clock.now() / 1000),
        generated: (tokens, between, seconds) => {
          counts.generated += tokens;
          if (between > 0) this.#itl.add(seconds, between, clock.now() / 1000);
        },
      }),
      metrics.listen({
        answered: (status, isApi) => {
          if (status === 499) counts.left += 1;
          else if (status >= 500) counts.serverErrors += 1;
          else if (status >= 400) counts.clientErrors += 1;
          else if (isApi) counts.succeeded += 1;
        },
        rejected: (reason) => this.#rejected.set(reason, (this.#rejected.get(reason) ?? 0) + 1),
      }),
    ];
  }

  /** What has happened since the last one. */
  take(): Sample {
    const { running, waiting, paused, usedBlocks, preemptions } = this.#engine.stats;
    const { rss, heap, cpuSeconds, loopDelay } = this.#readProcess();
    const time = Math.round(this.#clock.now());
    const seconds = (time - this.#last.time) / 1000;
    const sample = toSample({
      time,
      seconds,
      ...this.#counts,
      ...this.#latencies(time / 1000),
      ...this.#stepTimes(),
      running,
      waiting,
      paused,
      usedBlocks,
      // An engine that replaced a failed one counts from 0.
      preemptions: Math.max(0, preemptions - this.#last.preemptions),
      ...this.#rejections(),
      rss,
      heap,
      cpu: seconds > 0 ? (cpuSeconds - this.#last.cpuSeconds) / seconds : 0,
      loopDelay,
    });
    this.#last = { time, preemptions, cpuSeconds };
    for (const name of COUNTS) this.#counts[name] = 0;
    this.#rejected.clear();
    return sample;
  }

  close(): void {
    for (const stop of this.#stops) stop();
  }

  #latencies(now: number) {
    const none = { p50: Number.NaN, p95: Number.NaN, p99: Number.NaN };
    const ttft = this.#ttft.percentiles(now) ?? none;
    const itl = this.#itl.percentiles(now) ?? none;
    return {
      ttftP50: 1000 * ttft.p50,
      ttftP95: 1000 * ttft.p95,
      ttftP99: 1000 * ttft.p99,
      itlP50: 1000 * itl.p50,
      itlP95: 1000 * itl.p95,
      itlP99: 1000 * itl.p99,
    };
  }

  /** Means; NaN without a step. `other` is what is left of the whole. */
  #stepTimes() {
    const sums = this.#phases;
    const steps = this.#steps;
    const named = PHASES.reduce((sum, phase) => sum + sums[phase], 0);
    const means = {
      segments: sums.segments / steps,
      attention: sums.attention / steps,
      sample: sums.sample / steps,
      schedule: sums.schedule / steps,
      other: Math.max(0, sums.total - named) / steps,
    };
    this.#steps = 0;
    for (const phase of [...PHASES, 'total'] as const) sums[phase] = 0;
    return means;
  }

  #rejections() {
    return Object.fromEntries(
      REJECTIONS.map((reason) => [`rejected ${reason}`, this.#rejected.get(reason) ?? 0]),
    ) as Record<`rejected ${(typeof REJECTIONS)[number]}`, number>;
  }

  #step({ timings }: StepReport): void {
    this.#steps += 1;
    for (const phase of PHASES) this.#phases[phase] += timings[phase];
    this.#phases.total += timings.total;
  }
}
