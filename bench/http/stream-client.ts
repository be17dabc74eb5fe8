import { Agent, request } from 'undici';

// Reads as many streams as it can, in a process of its own, and counts events without looking into
// them: a client that parsed each chunk would need more time than the server. Every answer must
// have one event for each token.

const [url, route, connections, tokens, seconds, temperature] = process.argv.slice(2);
const maxTokens = Number(tokens);
const agent = new Agent({ connections: Number(connections), bodyTimeout: 0 });
const prompt = Array.from({ length: 32 }, (_, i) => 100 + i);
const body = JSON.stringify({
  ...(route === '/v1/chat/completions'
    ? { messages: [{ role: 'user', content: 'Tell me a story about an owl.' }] }
    : { prompt }),
  max_tokens: maxTokens,
  stream: true,
  ignore_eos: true,
  temperature: Number(temperature),
});
/** Chat sends its role first and its finish reason in a chunk of its own; both end with [DONE]. */
const extraEvents = route === '/v1/chat/completions' ? 3 : 1;
const LF = 10;

/** Blank lines, which end events, over all pieces of one answer. */
async function readStream(): Promise<number> {
  const response = await request(url + route, {
    method: 'POST',
    dispatcher: agent,
    headers: { 'content-type': 'application/json' },
    body,
  });
  if (response.statusCode !== 200) throw new Error(`status ${response.statusCode}`);
  let events = 0;
  let last = 0;
  for await (const piece of response.body as AsyncIterable<Buffer>) {
    if (last === LF && piece[0] === LF) events++;
    for (let at = piece.indexOf('\n\n'); at !== -1; at = piece.indexOf('\n\n', at + 2)) events++;
    last = piece[piece.length - 1];
  }
  return events - extraEvents;
}

const deadline = performance.now() + Number(seconds) * 1000;
const begin = performance.now();
let total = 0;
let streams = 0;
let merged = 0;
await Promise.all(
  Array.from({ length: Number(connections) }, async () => {
    while (performance.now() < deadline) {
      const events = await readStream();
      if (events > maxTokens || events < 1)
        throw new Error(`${events} events for ${maxTokens} tokens`);
      merged += maxTokens - events;
      total += maxTokens;
      streams++;
    }
  }),
);
process.send?.({ tokens: total, merged, streams, ms: performance.now() - begin });
process.disconnect();
