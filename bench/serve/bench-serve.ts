import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { request } from 'undici';
import { OctavoError } from '../../engine/errors.js';
import { StreamingClient } from './client.js';
import { describeArrivals, renderMarkdown } from './markdown.js';
import type { BenchServeOptions } from './options.js';
import { renderPlot } from './plot.js';
import { type LoadState, newLoadState, runLoad } from './run-load.js';
import { latencyOf, type Summary, summarize } from './statistics.js';
import { Workload } from './workload.js';

const MODELS_TIMEOUT_MS = 10_000;

export interface BenchServeResult {
  readonly summary: Summary;
  readonly markdown: string;
}

/**
 * Loads an OpenAI-compatible endpoint and measures it. Writes the files that the options name.
 *
 * @param signal ends the run early; the result then covers what has been measured
 * @param onStart called before the first request that counts
 * @throws OctavoError `endpoint_unusable` when the model's name cannot be asked for, or when the
 *   warm-up fails
 */
export async function benchServe(
  options: BenchServeOptions,
  signal: AbortSignal,
  onStart: (state: LoadState) => void,
): Promise<BenchServeResult> {
  const model = options.endpoint.model ?? (await firstModel(options.endpoint));
  const now = (): number => performance.now();
  const client = new StreamingClient({ ...options.endpoint, model }, now);
  const workload = new Workload(options.workload, options.endpoint.kind === 'chat');
  const state = newLoadState();
  try {
    await warmUp(options, client, workload, signal);
    const limit = AbortSignal.any([signal, AbortSignal.timeout(options.durationMs)]);
    onStart(state);
    const { arrivals, count } = options;
    const { seed } = options.workload;
    await runLoad({ workload, client, arrivals, count, seed, signal: limit, now, sleep, state });
  } finally {
    await client.close();
  }
  const summary = summarize(state.results, options.goodput);
  const markdown = renderMarkdown(summary, options, model);
  await writeFiles(options, model, summary, markdown, state);
  return { summary, markdown };
}

/** Uses other prompts than the run, so that the run finds nothing of them in a prefix cache. */
async function warmUp(
  { warmup, count }: BenchServeOptions,
  client: StreamingClient,
  workload: Workload,
  signal: AbortSignal,
): Promise<void> {
  for (let i = 0; i < warmup && !signal.aborted; i++) {
    const conversation = workload.conversation(count + i);
    const { error } = await client.send(
      conversation.prompt([]),
      conversation.outputTokens[0],
      signal,
      () => undefined,
    );
    if (error !== null && error !== 'cut') {
      throw new OctavoError('endpoint_unusable', `the warm-up failed: ${error}`);
    }
  }
}

async function firstModel({ url, apiKey }: BenchServeOptions['endpoint']): Promise<string> {
  const where = `${url}/v1/models`;
  try {
    const { statusCode, body } = await request(where, {
      headers: apiKey === null ? {} : { authorization: `Bearer ${apiKey}` },
      signal: AbortSignal.timeout(MODELS_TIMEOUT_MS),
    });
    if (statusCode !== 200) {
      await body.dump();
      throw new Error(`status ${statusCode}`);
    }
    const { data } = (await body.json()) as { data?: { id?: unknown }[] };
    const id = data?.[0]?.id;
    if (typeof id !== 'string') throw new Error('no model in the list');
    return id;
  } catch (error) {
    const reason = error instanceof Error ? error.message || errorCode(error) : String(error);
    throw new OctavoError(
      'endpoint_unusable',
      `${where} does not name a model (${reason}): is the server running? --url says where, --model which`,
      { param: '--url', cause: error },
    );
  }
}

/** Errors for several addresses have a code and no message. */
function errorCode(error: Error): string {
  return (error as NodeJS.ErrnoException).code ?? error.name;
}

async function sleep(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener('abort', end);
  });
}

async function writeFiles(
  options: BenchServeOptions,
  model: string,
  summary: Summary,
  markdown: string,
  { results }: LoadState,
): Promise<void> {
  const { apiKey: _, ...endpoint } = options.endpoint;
  const write = async (path: string | null, content: () => string): Promise<void> => {
    if (path === null) return;
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, content());
  };
  await write(options.files.markdown, () => markdown);
  await write(options.files.svg, () =>
    renderPlot(results, `${model}: ${describeArrivals(options.arrivals)}`),
  );
  await write(options.files.json, () => {
    const requests = results.map(({ text: _text, gaps: _gaps, ...result }) => ({
      ...result,
      ...(result.error === null ? latencyOf(result) : {}),
    }));
    const record = {
      date: new Date().toISOString(),
      options: { ...options, endpoint: { ...endpoint, model } },
      summary,
      requests,
    };
    return `${JSON.stringify(record, null, 1)}\n`;
  });
}
