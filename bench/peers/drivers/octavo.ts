import { once } from 'node:events';
import { startOctavo } from '../../lib/octavo-server.js';
import { measuringClient } from '../../serve/client.js';
import { converse, type Load, type LoadOutcome, serveLoads } from '../protocol.js';

// Octavo over HTTP, as its users have it: the compiled server in a process of its own, streaming,
// token ids as prompts.

const NAME = 'measured';
const { root, model, flags } = JSON.parse(process.argv[2]) as {
  root: string;
  model: string;
  flags: string[];
};
const began = performance.now();
const { child: server, url } = await startOctavo(root, [
  ...['--model', model, '--served-model-name', NAME, '--threads', '2', '--max-num-seqs', '64'],
  ...['--kv-cache-memory', '2GiB', '--max-model-len', '4096', ...flags],
]);

const client = measuringClient({ url, model: NAME, kind: 'completions', timeoutMs: 300_000 }, () =>
  performance.now(),
);
const { signal } = new AbortController();

const run = async (load: Load): Promise<LoadOutcome> => {
  const turns = await converse(load, load.concurrency, async ({ prompt, maxTokens }, _, now) => {
    const offset = performance.now() - now();
    const result = await client.send(
      { kind: 'ids', ids: prompt },
      maxTokens,
      signal,
      () => undefined,
    );
    if (result.error !== null) throw new Error(`${result.error}: ${result.errorDetail ?? ''}`);
    let at = (result.firstTokenAt ?? result.endedAt) - offset;
    const outputMs = [at, ...result.gaps.map((gap) => (at += gap))];
    return { outputMs, endMs: result.endedAt - offset, tokens: result.outputTokens };
  });
  return { turns, serial: false };
};
await serveLoads(`octavo ${flags.join(' ')}`.trim(), began, run, server.pid);
await client.close();
server.kill('SIGTERM');
if (server.exitCode === null) await once(server, 'exit');
