import type { Engine } from '../../engine/client/engine-port.js';
import type { Clock } from '../../engine/clock.js';
import type { StepReport } from '../../engine/protocol/reports.js';
import type { ServerMetrics } from '../metrics/server-metrics.js';
import { LatencyWindow, type Percentiles } from './latency-window.js';

const WINDOW_SECONDS = 30;

const PHASES = ['schedule', 'segments', 'attention', 'sample', 'total'] as const;

/**
 * What the page shows in numbers. Sums since somebody began to watch, so that a reader who misses some still has the right rates: they
 * are differences of two.
 */
export interface FigureValues {
  /** Milliseconds, monotonic. */
  readonly time: number;
  readonly state: Engine['state'];
  readonly running: number;
  readonly waiting: number;
  readonly preemptions: number;
  readonly steps: number;
  /** Tokens that went through the model. */
  readonly computedTokens: number;
  readonly generatedTokens: number;
  readonly promptTokens: number;
  readonly cachedTokens: number;
  /** Milliseconds of all steps by phase. */
  readonly phases: Readonly<Record<(typeof PHASES)[number], number>>;
  /** Seconds, over the last half minute; null: no tokens. */
  readonly ttft: Percentiles | null;
  readonly itl: Percentiles | null;
}

/** Adds up what engine and metrics tell, from its creation until it is closed. */
export class Figures {
  readonly #engine: Engine;
  readonly #clock: Clock;
  readonly #ttft = new LatencyWindow(WINDOW_SECONDS);
  readonly #itl = new LatencyWindow(WINDOW_SECONDS);
  readonly #sums = {
    steps: 0,
    computedTokens: 0,
    generatedTokens: 0,
    promptTokens: 0,
    cachedTokens: 0,
  };
  readonly #phases = { schedule: 0, segments: 0, attention: 0, sample: 0, total: 0 };
  readonly #stops: readonly (() => void)[];

  constructor(engine: Engine, metrics: ServerMetrics, clock: Clock) {
    this.#engine = engine;
    this.#clock = clock;
    this.#stops = [
      engine.onStep((report) => this.#step(report)),
      metrics.listen({
        prompt: (tokens, cachedTokens) => {
          this.#sums.promptTokens += tokens;
          this.#sums.cachedTokens += cachedTokens;
        },
        firstToken: (seconds) => this.#ttft.add(seconds, 1, this.#seconds),
        generated: (tokens, between, seconds) => {
          this.#sums.generatedTokens += tokens;
          if (between > 0) this.#itl.add(seconds, between, this.#seconds);
        },
      }),
    ];
  }

  get values(): FigureValues {
    const { running, waiting, preemptions } = this.#engine.stats;
    return {
      time: Math.round(this.#clock.now()),
      state: this.#engine.state,
      running,
      waiting,
      preemptions,
      ...this.#sums,
      phases: { ...this.#phases },
      ttft: this.#ttft.percentiles(this.#seconds),
      itl: this.#itl.percentiles(this.#seconds),
    };
  }

  close(): void {
    for (const stop of this.#stops) stop();
  }

  get #seconds(): number {
    return this.#clock.now() / 1000;
  }

  #step({ numTokens, timings }: StepReport): void {
    this.#sums.steps += 1;
    this.#sums.computedTokens += numTokens;
    for (const phase of PHASES) this.#phases[phase] += timings[phase];
  }
}
