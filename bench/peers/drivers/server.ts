import { measuringClient } from '../../serve/client.js';
import { converse, type Load, type LoadOutcome, serveLoads } from '../protocol.js';
import { PeerServer, SERVED_NAME, type ServerCommand } from '../servers.js';

// A server over HTTP, as its users have it: in a process of its own, streaming, token ids as
// prompts. This process is the client beside it.

const { about, server: command } = JSON.parse(process.argv[2]) as {
  about: string;
  server: ServerCommand;
};
const began = performance.now();
const server = await PeerServer.start(command);

const client = measuringClient(
  { url: server.url, model: SERVED_NAME, kind: 'completions', timeoutMs: 300_000 },
  () => performance.now(),
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
await serveLoads(about, began, run, server.pid);
await client.close();
await server.stop();
