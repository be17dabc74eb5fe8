import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import {
  ELEMENT_BYTES,
  KV_DTYPES,
  type KvDtype,
  scaleBytes,
} from '../../engine/attention/paged-attention.js';
import { readSafetensors } from '../../engine/checkpoint/safetensors.js';
import { EngineCore } from '../../engine/core/engine-core.js';
import { embeddedModelDir } from '../../engine/environment/package-root.js';
import type { EngineOptions } from '../../engine/protocol/options.js';
import { GREEDY } from '../../engine/sampling/sampling-params.js';
import type { LoadedEngine } from '../../engine/thread/load-engine.js';
import type { TokenId } from '../../scheduler/ids.js';
import { checkpointDir } from '../support/checkpoint-fixtures.js';
import { EagerProposer } from '../support/eager-proposer.js';
import { modelDir } from '../support/model-dir.js';
import { loadTiny, runAll, tinyRequest, tokensOf } from '../support/octavo-tiny.js';
import { withHeader } from '../support/safetensors.js';

// Layers that draft, by the whole engine. What PyTorch drafts with the same weights is the oracle.

const FIXTURES = fileURLToPath(new URL('../fixtures/draft-layers', import.meta.url));
const cacheDir = mkdtempSync(join(tmpdir(), 'octavo-draft-layers-'));
/** Qwen 3.5's checkpoint with its head, which lies in a file of its own. */
const withHead = mkdtempSync(join(tmpdir(), 'octavo-mtp-'));
const HEAD = 'mtp.safetensors';
for (const file of ['config.json', 'model.safetensors']) {
  copyFileSync(join(checkpointDir('qwen3.5'), file), join(withHead, file));
}
copyFileSync(join(FIXTURES, 'mtp', HEAD), join(withHead, HEAD));
const map = ['model.safetensors', HEAD].flatMap((file) =>
  readSafetensors(join(withHead, file)).map(({ name }) => [name, file]),
);
const index = JSON.stringify({ weight_map: Object.fromEntries(map) as object });
writeFileSync(join(withHead, 'model.safetensors.index.json'), index);
afterAll(() => {
  for (const dir of [cacheDir, withHead]) rmSync(dir, { recursive: true });
});

const DRAFTED = 5;
const WARM = { ...GREEDY, temperature: 0.9, topP: 0.95, seed: 7, frequencyPenalty: 0.3 };

interface GoldenDraft {
  readonly prompt: readonly TokenId[];
  readonly written: readonly TokenId[];
  /** Up to the first near tie. */
  readonly drafted: readonly TokenId[];
}

const goldenDrafts = (name: string): GoldenDraft[] =>
  JSON.parse(readFileSync(join(FIXTURES, name, 'golden.json'), 'utf8')) as GoldenDraft[];

async function withEngine(
  name: string,
  options: Partial<EngineOptions>,
  use: (engine: LoadedEngine) => Promise<void>,
): Promise<void> {
  const engine = await loadTiny({
    blockSize: 4,
    kvCacheBytes: 2 ** 20,
    threads: 1,
    ...(name === 'mtp'
      ? { modelDir: withHead, speculation: { method: 'mtp', maxDraftTokens: DRAFTED } }
      : { modelDir: checkpointDir('llama3'), ...speculationBy(join(FIXTURES, name)) }),
    ...options,
  });
  try {
    await use(engine);
    engine.scheduler.checkIntegrity();
    engine.draftLayers?.drafter.checkIntegrity();
  } finally {
    await engine.runner.dispose();
    await engine.draftLayers?.dispose();
  }
}

/** Cores over one model: without drafts, and with all that its layers can say. */
function cores({ scheduler, runner, cache, info: { vocabSize }, draftLayers }: LoadedEngine) {
  if (!draftLayers) throw new Error('there are no layers');
  const proposer = new EagerProposer(draftLayers.drafter, DRAFTED);
  const all = { scheduler, runner, vocabSize, cache, now: () => 0 };
  return { proposer, plain: new EngineCore(all), drafted: new EngineCore({ ...all, proposer }) };
}

function prompts(name: string): TokenId[][] {
  const all = goldenDrafts(name).map(({ prompt }) => JSON.stringify(prompt));
  return [...new Set(all)].map((prompt) => JSON.parse(prompt) as TokenId[]);
}

const FORMATS: readonly [string, Partial<EngineOptions>][] = [
  ...KV_DTYPES.map((kvDtype): [string, Partial<EngineOptions>] => [kvDtype, { kvDtype }]),
  ['w8a8, int16', { kvDtype: 'int16', quantize: { kind: 'w8a8', nbits: false, cacheDir } }],
];

/** Of a block: K and V of two layers and two heads of 8 floats, of a layer of 16, and two rows. */
function bytesOf(kvDtype: KvDtype): number {
  const perToken = (heads: number, floats: number): number =>
    2 * heads * (floats * ELEMENT_BYTES[kvDtype] + scaleBytes(kvDtype));
  return 4 * (2 * perToken(2, 8) + perToken(2, 16)) + 2 * 32 * 4;
}

describe.each(['eagle', 'specialists', 'mtp'])('%s', (name) => {
  it('drafts what PyTorch drafts, whole and in pieces, alone and together, and what is cached', async () => {
    for (const maxNumBatchedTokens of [512, 12]) {
      await withEngine(name, { maxNumBatchedTokens }, async (engine) => {
        const { drafted, proposer } = cores(engine);
        const expectGolden = (): void => {
          let compared = 0;
          for (const { prompt, written, drafted: expected } of goldenDrafts(name)) {
            const own = proposer.drafts.get([...prompt, ...written].join(' '));
            // After tokens that were accepted, nothing is drafted in between.
            if (!own) continue;
            expect(own.slice(0, expected.length)).toEqual(expected.slice(0, own.length));
            compared += 1;
          }
          expect(compared).toBeGreaterThan(8);
          proposer.drafts.clear();
        };
        // The second of two goes on behind blocks that the first fills in the same step.
        const requests = prompts(name).flatMap((prompt, i) => [
          tinyRequest(`a${i}`, prompt, { maxTokens: 16 }),
          tinyRequest(`b${i}`, prompt, { maxTokens: 16 }),
        ]);
        await runAll({ core: drafted }, requests);
        expectGolden();
        for (const request of requests) await runAll({ core: drafted }, [request]);
        expectGolden();
      });
    }
  });

  it.each(FORMATS)('changes no text: %s', async (_, options) => {
    // Prompts in many pieces, and so few blocks that sequences are preempted.
    const small = { maxNumBatchedTokens: 24, maxModelLength: 96, maxNumSeqs: 8 };
    const kvCacheBytes = await tightBytes(name, { ...small, ...options });
    await withEngine(name, { ...small, ...options, kvCacheBytes }, async (engine) => {
      const { plain, drafted, proposer } = cores(engine);
      const requests = prompts(name).flatMap((prompt, i) => [
        tinyRequest(`greedy-${i}`, prompt, { maxTokens: 24 }),
        tinyRequest([`a-${i}`, `b-${i}`], prompt, { maxTokens: 24, sampling: WARM, logprobs: 1 }),
      ]);
      const isExact = options.quantize !== undefined;
      const outcome = async (core: EngineCore) =>
        [...(await runAll({ core }, requests))].map(([id, outputs]) => [
          id,
          tokensOf(outputs),
          isExact ? outputs.flatMap(({ logprobs = [] }) => logprobs) : [],
        ]);
      const expected = await outcome(plain);
      const before = engine.scheduler.numPreemptions;
      expect(await outcome(drafted)).toEqual(expected);
      expect(engine.scheduler.numPreemptions).toBeGreaterThan(before);
      // What is cached by now, too.
      expect(await outcome(drafted)).toEqual(expected);
      expect(proposer.tried[0]).toBeGreaterThan(100);
    });
  });
});

/** Room for one text of full length, and a few blocks more. */
async function tightBytes(name: string, options: Partial<EngineOptions>): Promise<number> {
  let bytes = 0;
  await withEngine(name, options, ({ info, cache }) => {
    const longest = cache.maxHeldBlocks(info.maxModelLength, info.maxNumBatchedTokens);
    bytes = Math.ceil(2 ** 20 / info.numBlocks) * (longest + 12);
    return Promise.resolve();
  });
  return bytes;
}

it('drafts behind what a tier has kept, without its pages', async () => {
  const tiers = { hostMemoryBytes: 2 ** 22 };
  // Room for one text: each puts the one before out to the tier.
  const small = { maxModelLength: 96, kvCacheBytes: bytesOf('f32') * 26, maxNumSeqs: 1, tiers };
  await withEngine('eagle', small, async (engine) => {
    const { scheduler, runner, cache, info, tiers: behind, draftLayers } = engine;
    if (!behind || !draftLayers) throw new Error('there is no tier, or there are no layers');
    const proposer = new EagerProposer(draftLayers.drafter, DRAFTED);
    const own = { scheduler, runner, vocabSize: info.vocabSize, cache, tiers: behind };
    const core = new EngineCore({ ...own, now: () => 0, proposer });
    const all = prompts('eagle').map((prompt) => [...prompt, ...prompt].slice(0, 64));
    const run = async (): Promise<(readonly TokenId[])[]> => {
      const texts: (readonly TokenId[])[] = [];
      for (const [i, prompt] of all.entries()) {
        const outputs = await runAll({ core }, [tinyRequest(`t${i}`, prompt, { maxTokens: 16 })]);
        texts.push(tokensOf(outputs.get(`t${i}`)));
      }
      return texts;
    };
    const expected = await run();
    proposer.tried.fill(0);
    expect(await run()).toEqual(expected);
    expect(core.stats.tiers?.[0].loaded).toBeGreaterThan(4);
    expect(proposer.tried[0]).toBeGreaterThan(10);
    await behind.close();
  });
});

it('shares --kv-cache-memory, and says where drafts come from', async () => {
  await withEngine('eagle', { kvCacheBytes: 100 * bytesOf('f32') }, async ({ info }) => {
    expect(info.numBlocks).toBe(100);
    expect(info.modelNotes?.at(-1)).toMatch(/^drafts come from .*draft-layers.eagle: eagle$/);
    await Promise.resolve();
  });
});

it('refuses what cannot draft', async () => {
  const refusal = (dir: string, options: Partial<EngineOptions> = {}) =>
    withEngine('eagle', { ...speculationBy(dir), ...options }, () => Promise.resolve());
  const eagle = join(FIXTURES, 'eagle');
  await expect(refusal(eagle, { device: 'webgpu', blockSize: 32 })).rejects.toThrow(
    '--speculative-config: layers that draft are computed by the CPU only: leave out --device',
  );
  await expect(refusal(eagle, { modelDir: checkpointDir('gemma3n') })).rejects.toThrow(
    /gemma3n.*no layers can draft behind it: its embeddings are not what one lookup/,
  );
  const tiny = { modelDir: embeddedModelDir(), kvCacheBytes: 2 ** 24, blockSize: 16 };
  await expect(refusal(eagle, tiny)).rejects.toThrow(
    /eagle was made for another model: its hidden_size is 32, that of the model 192/,
  );
  await expect(refusal(changed({ vocab_size: 65 }))).rejects.toThrow(
    /was made for another model: its vocab_size is 65, that of the model 64/,
  );
  await expect(refusal(changed({ num_hidden_layers: 2 }))).rejects.toThrow(
    /config\.json: num_hidden_layers must be 1, as EAGLE has it, got 2/,
  );
  await expect(refusal(changed({ num_position_specialists: 2 }))).rejects.toThrow(
    /lacks specialists\.2\.fc\.weight, .* and \d more weights, which a model of the family eagle with specialists/,
  );
  await expect(refusal(changed({}, { 'fc.weight': 'fd.weight' }))).rejects.toThrow(
    /lacks fc\.weight/,
  );
  await expect(refusal(changed({}, {}, ['d2t']))).rejects.toThrow(
    /is an EAGLE-3 checkpoint \(d2t, midlayer\), which reads hidden rows of three layers/,
  );
  await expect(refusal(changed({}, {}, ['embed_tokens.weight']))).rejects.toThrow(
    /embed_tokens\.weight has the shape \[1, 2\]; vocab_size and hidden_size make it \[64, 32\]/,
  );
  const mtp = (dir: string) =>
    withEngine('mtp', { modelDir: dir, blockSize: 16, kvCacheBytes: 2 ** 24 }, () =>
      Promise.resolve(),
    );
  await expect(mtp(checkpointDir('llama3'))).rejects.toThrow(
    /the model_type "llama" has no prediction heads that are read \("mtp"\); those of qwen3_5_text/,
  );
  await expect(mtp(checkpointDir('qwen3.5'))).rejects.toThrow(
    /has no weights mtp\.\*: the checkpoint was saved without its prediction head/,
  );
  await expect(mtp(embeddedModelDir())).rejects.toThrow(
    /"mtp" reads the prediction head of safetensors, and .*octavo-tiny is served from ONNX/,
  );
  await expect(refusal(modelDir({ 'config.json': '{}' }))).rejects.toThrow(
    /has no safetensors, from which layers that draft are read/,
  );
  await expect(refusal(eagle, { modelDir: checkpointDir('mamba2') })).rejects.toThrow(
    '--speculative-config: no layers can draft behind a model without attention',
  );
});

const speculationBy = (dir: string): Partial<EngineOptions> => ({
  speculation: { method: 'eagle', maxDraftTokens: DRAFTED, model: { dir } },
});

/** The fixture with another configuration, with other names of weights, and with more of them. */
function changed(
  config: Readonly<Record<string, unknown>>,
  names: Readonly<Record<string, string>> = {},
  more: readonly string[] = [],
): string {
  const dir = join(FIXTURES, 'eagle');
  const own = JSON.parse(readFileSync(join(dir, 'config.json'), 'utf8')) as object;
  const bytes = readFileSync(join(dir, 'model.safetensors'));
  const length = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.subarray(8, 8 + length).toString()) as Record<string, object>;
  const data = bytes.subarray(8 + length);
  const renamed = Object.entries(header).map(([name, entry]) => [names[name] ?? name, entry]);
  const added = more.map((name, i) => {
    const offsets = [data.length + 4 * i, data.length + 4 * i + 4];
    return [name, { dtype: 'BF16', shape: [1, 2], data_offsets: offsets }];
  });
  const all = Object.fromEntries([...renamed, ...added]) as object;
  const whole = Buffer.concat([data, Buffer.alloc(4 * more.length)]);
  return modelDir({
    'config.json': JSON.stringify({ ...own, ...config }),
    'model.safetensors': withHeader(JSON.stringify(all), whole),
  });
}
