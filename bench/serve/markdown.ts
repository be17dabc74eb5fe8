import type { Arrivals, BenchServeOptions, GoodputLimits } from './options.js';
import type { Latency, LatencyName, Summary } from './statistics.js';

const LATENCY_TITLES: Readonly<Record<LatencyName, string>> = {
  ttft: 'time to first token',
  itl: 'inter-token latency',
  tpot: 'time per output token',
  e2e: 'end to end',
  lag: 'sent late by',
};

/** The run as Markdown tables, for people and pull requests. */
export function renderMarkdown(
  summary: Summary,
  options: BenchServeOptions,
  model: string,
): string {
  const { requests, tokens, perSecond, goodput } = summary;
  const rows: [string, string][] = [
    ['model', `${model} at ${options.endpoint.url}, ${options.endpoint.kind}`],
    ['load', describeLoad(options)],
    ['duration', `${number(summary.durationSeconds)} s`],
    ['requests', describeRequests(requests)],
    ...describeErrors(requests),
    ['tokens', describeTokens(tokens)],
    ...describeEarlyEnds(summary),
    ['requests/s', number(perSecond.requests)],
    ['output tokens/s', number(perSecond.outputTokens)],
    ['input tokens/s', number(perSecond.inputTokens)],
    ['total tokens/s', number(perSecond.totalTokens)],
  ];
  if (goodput) {
    rows.push([
      `goodput (${describeLimits(goodput.limitsMs)})`,
      `${number(goodput.perSecond)} requests/s, ${Math.round(100 * goodput.share)} % of those sent`,
    ]);
  }
  const latencies = Object.entries(summary.latencyMs) as [LatencyName, Latency][];
  return [
    '| | |',
    '| --- | --- |',
    ...rows.map(([name, value]) => `| ${name} | ${value} |`),
    '',
    '| ms | mean | p50 | p90 | p95 | p99 | max |',
    '| --- | ---: | ---: | ---: | ---: | ---: | ---: |',
    ...latencies.map(([name, l]) => {
      const values = [l.mean, l.p50, l.p90, l.p95, l.p99, l.max];
      const cells = values.map((ms) => (l.count === 0 ? '-' : number(ms)));
      return `| ${LATENCY_TITLES[name]} | ${cells.join(' | ')} |`;
    }),
    '',
  ].join('\n');
}

export function describeArrivals(arrivals: Arrivals): string {
  if (arrivals.kind === 'closed') return `${arrivals.concurrency} at a time`;
  const kind = arrivals.kind === 'poisson' ? 'Poisson arrivals' : 'evenly spaced';
  return `${kind}, ${arrivals.perSecond} a second`;
}

function describeLoad({ workload, arrivals, count }: BenchServeOptions): string {
  const { dataset, inputLength, outputLength, sharedPrefix, prefixGroups, turns } = workload;
  return [
    `${count} ${turns === 1 ? 'requests' : `conversations of ${turns} turns`}, ${describeArrivals(arrivals)}`,
    `lengths ${dataset}${inputLength === null ? '' : `, input ${inputLength}`}${outputLength === null ? '' : `, output ${outputLength}`}`,
    ...(sharedPrefix === 0 ? [] : [`shared prefix ${sharedPrefix} (${prefixGroups} different)`]),
    `seed ${workload.seed}`,
  ].join('; ');
}

function describeRequests({ sent, succeeded, failed, cut }: Summary['requests']): string {
  const parts = [`${sent} sent`, `${succeeded} succeeded`, `${failed} failed`];
  return [...parts, ...(cut > 0 ? [`${cut} cut`] : [])].join(', ');
}

function describeErrors({ errors, errorDetails }: Summary['requests']): [string, string][] {
  return Object.entries(errors).map(([kind, count]) => {
    const detail = errorDetails[kind].replaceAll('|', '\\|');
    return [kind, detail === '' ? String(count) : `${count}, the first: ${detail}`];
  });
}

function describeTokens({ input, cachedInput, output, countedBy }: Summary['tokens']): string {
  const cached = cachedInput === 0 ? '' : ` (${cachedInput} cached)`;
  const guess = countedBy === 'usage' ? '' : '; the server gave no usage, chunks were counted';
  return `${input} in${cached}, ${output} out${guess}`;
}

/** Lengths that were asked for and not reached make all other figures those of a lighter load. */
function describeEarlyEnds({ requests, tokens }: Summary): [string, string][] {
  const { endedEarly, asked, output } = tokens;
  if (endedEarly === 0) return [];
  const mean = (sum: number): string => number(sum / requests.succeeded);
  const words = `${endedEarly} of ${requests.succeeded}: ${mean(output)} tokens out of ${mean(asked)} on average; --ignore-eos forces the length`;
  return [['ended early by the model', words]];
}

function describeLimits(limits: GoodputLimits): string {
  return Object.entries(limits)
    .map(([name, ms]) => `${name} ${ms} ms`)
    .join(', ');
}

/** Three significant digits, without an exponent. */
export function number(value: number): string {
  if (value >= 100 || Number.isInteger(value)) return String(Math.round(value));
  return String(Number(value.toPrecision(3)));
}
