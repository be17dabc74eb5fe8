import type { CreateEngineOptions } from '../../../engine/library/create-engine.js';
import { PLAIN_REQUEST } from '../../../engine/protocol/request.js';
import { GREEDY } from '../../../engine/sampling/sampling-params.js';
import type { SequenceId, TokenId } from '../../../scheduler/ids.js';
import { converse, serveLoads } from '../protocol.js';

// Octavo in the process, as the library has it: the engine in its threads, token ids as prompts,
// and neither HTTP nor a tokenizer, like the other peers in a process.

const { root, model, settings } = JSON.parse(process.argv[2]) as {
  root: string;
  model: string;
  settings: CreateEngineOptions;
};
const began = performance.now();
const library = `${root}/dist/engine/library`;
const { createEngine } = (await import(
  `${library}/create-engine.js`
)) as typeof import('../../../engine/library/create-engine.js');
const { partsOf } = (await import(
  `${library}/octavo-engine.js`
)) as typeof import('../../../engine/library/octavo-engine.js');
const engine = await createEngine({
  model,
  threads: 2,
  maxNumSeqs: 64,
  kvCacheMemory: 2 * 2 ** 30,
  maxModelLen: 4096,
  ...settings,
});
const { port } = partsOf(engine);
let requests = 0;

await serveLoads(`octavo's library ${JSON.stringify(settings)}`, began, async (load) => {
  const turns = await converse(load, load.concurrency, async ({ prompt, maxTokens }, _, now) => {
    const [outputs] = port.submit({
      ...PLAIN_REQUEST,
      ids: [`${requests++}` as SequenceId],
      promptTokenIds: prompt as readonly TokenId[],
      maxTokens,
      stopTokenIds: [],
      sampling: GREEDY,
    });
    const outputMs: number[] = [];
    let tokens = 0;
    for await (const { tokenIds } of outputs) {
      if (tokenIds.length === 0) continue;
      outputMs.push(now());
      tokens += tokenIds.length;
    }
    return { outputMs, endMs: now(), tokens };
  });
  return { turns, serial: false };
});
await engine.close();
