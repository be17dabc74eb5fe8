import { totalmem } from 'node:os';
import { getHeapStatistics } from 'node:v8';
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

export type { Counter, Gauge, Histogram } from 'prom-client';

/** The only user of the metrics library. Every instance has its own registry. */
export class MetricRegistry {
  readonly #registry = new Registry();
  readonly #prefix: string;

  /**
   * @param prefix stands before the colon of each name, but not of Node's own and HTTP's metrics
   */
  constructor(prefix: string, labels: Readonly<Record<string, string>>) {
    this.#prefix = prefix;
    this.#registry.setDefaultLabels(labels);
  }

  /** The process and Node's own figures: once for a server. */
  collectProcess(): void {
    collectDefaultMetrics({ register: this.#registry });
    this.gauge(
      'process_memory_limit_bytes',
      "Memory that the process may use: its control group's limit, or the machine's memory",
      () => Math.min(totalmem(), process.constrainedMemory() || Number.POSITIVE_INFINITY),
    );
    this.gauge(
      'nodejs_heap_size_limit_bytes',
      "Size of V8's heap at which the process ends",
      () => getHeapStatistics().heap_size_limit,
    );
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  async render(): Promise<string> {
    return this.#registry.metrics();
  }

  /** A gauge that is read when `/metrics` is requested. */
  gauge(name: string, help: string, read: () => number): Gauge {
    return new Gauge({
      name: this.#name(name),
      help,
      registers: [this.#registry],
      collect() {
        this.set(read());
      },
    });
  }

  /** A gauge with its information in labels; its value is 1. */
  info(name: string, help: string, labels: Readonly<Record<string, string>>): void {
    const labelNames = Object.keys(labels);
    new Gauge({ name: this.#name(name), help, labelNames, registers: [this.#registry] }).set(
      labels,
      1,
    );
  }

  /** The same, with labels that are read when `/metrics` is requested. */
  readInfo(
    name: string,
    help: string,
    labelNames: readonly string[],
    read: () => { readonly labels: Readonly<Record<string, string>>; readonly figure: number },
  ): void {
    new Gauge({
      name: this.#name(name),
      help,
      labelNames: [...labelNames],
      registers: [this.#registry],
      collect() {
        const { labels, figure } = read();
        this.reset();
        this.set(labels, figure);
      },
    });
  }

  /** `_total` is added to the name. */
  counter(name: string, help: string, labelNames: readonly string[] = []): Counter {
    return new Counter({
      name: `${this.#name(name)}_total`,
      help,
      labelNames: [...labelNames],
      registers: [this.#registry],
    });
  }

  /** A counter that is kept elsewhere, and read when `/metrics` is requested. */
  readCounter(name: string, help: string, read: () => number): void {
    new Counter({
      name: `${this.#name(name)}_total`,
      help,
      registers: [this.#registry],
      collect() {
        this.reset();
        this.inc(read());
      },
    });
  }

  /** A gauge or counter with one label, kept elsewhere, and read when `/metrics` is requested. */
  readByLabel(
    type: 'gauge' | 'counter',
    name: string,
    help: string,
    label: string,
    read: () => readonly (readonly [value: string, figure: number])[],
  ): void {
    const options = { help, labelNames: [label], registers: [this.#registry] };
    if (type === 'gauge') {
      new Gauge({
        ...options,
        name: this.#name(name),
        collect() {
          for (const [value, figure] of read()) this.set({ [label]: value }, figure);
        },
      });
      return;
    }
    new Counter({
      ...options,
      name: `${this.#name(name)}_total`,
      collect() {
        this.reset();
        for (const [value, figure] of read()) this.inc({ [label]: value }, figure);
      },
    });
  }

  histogram(
    name: string,
    help: string,
    buckets: readonly number[],
    labelNames: readonly string[] = [],
  ): Histogram {
    return new Histogram({
      name: this.#name(name),
      help,
      buckets: [...buckets],
      labelNames: [...labelNames],
      registers: [this.#registry],
    });
  }

  #name(name: string): string {
    return /^(http|process|nodejs)_/.test(name) ? name : `${this.#prefix}:${name}`;
  }
}

/**
 * Registries as one text. The samples of a metric stand together under its head, as the format
 * wants it, whichever registries they are from.
 */
export async function renderAll(registries: readonly MetricRegistry[]): Promise<string> {
  const samples = new Map<string, string[]>();
  for (const text of await Promise.all(registries.map((registry) => registry.render()))) {
    for (const metric of text.trim().split(/\n+(?=# HELP )/)) {
      const [help, type, ...lines] = metric.split('\n');
      const head = `${help}\n${type}`;
      samples.set(head, [...(samples.get(head) ?? []), ...lines]);
    }
  }
  return [...samples].map(([head, lines]) => [head, ...lines, ''].join('\n')).join('\n');
}
