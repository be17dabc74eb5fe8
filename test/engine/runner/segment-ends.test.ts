import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fromBinary } from '@bufbuild/protobuf';
import { afterAll, expect, it } from 'vitest';
import { createKernelAttention } from '../../../engine/attention/kernel-attention.js';
import { fullRowsOf } from '../../../engine/decoding/logits-query.js';
import { embeddedModelDir } from '../../../engine/environment/package-root.js';
import { ModelProtoSchema } from '../../../engine/importer/onnx/onnx_pb.js';
import { type OpenOptions, openModel } from '../../../engine/model/open-model.js';
import { SegmentRunner } from '../../../engine/runner/segment-runner.js';
import type { BlockId } from '../../../kvcache/ids.js';
import type { SequenceId, TokenId } from '../../../scheduler/ids.js';
import type { StepPlan } from '../../../scheduler/step-plan.js';
import { checkpointDir } from '../../support/checkpoint-fixtures.js';

const cacheDir = mkdtempSync(join(tmpdir(), 'octavo-ends-'));
afterAll(() => rmSync(cacheDir, { recursive: true }));

const W8A8 = { quantize: { kind: 'w8a8', nbits: false, cacheDir } } as const;
const TOKENS = [5, 9, 5, 40, 17, 3, 60] as TokenId[];

/** Prompts of 4 and 3 tokens. */
const PLAN: StepPlan = {
  sequences: [TOKENS.slice(0, 4), TOKENS.slice(4)].map((tokenIds, i) => ({
    id: `s${i}` as SequenceId,
    tokenIds,
    numProposed: 0,
    numComputed: 0,
    sequenceLength: tokenIds.length,
    blockTables: [[i as BlockId]],
    adapter: null,
    sampledFor: [`s${i}` as SequenceId],
  })),
  numTokens: TOKENS.length,
  blockCopies: [],
};

async function runnerOf(options: OpenOptions): Promise<SegmentRunner> {
  const model = await openModel(options);
  const sizes = { numBlocks: 2, blockSize: 16, threads: 1 };
  const attention = createKernelAttention({ layers: model.sites, ...sizes, kvDtype: 'f32' });
  return SegmentRunner.create(model, attention, { threads: 1 });
}

it.each([
  ['an ONNX file', { modelDir: embeddedModelDir() }],
  ['an ONNX file as W8A8', { modelDir: embeddedModelDir(), ...W8A8 }],
  ['float32 safetensors', { modelDir: checkpointDir('llama3') }],
  ['tied bfloat16 safetensors', { modelDir: checkpointDir('qwen2') }],
  ['tied bfloat16 safetensors as W8A8', { modelDir: checkpointDir('qwen2'), ...W8A8 }],
])('the head ranks hidden rows by themselves as a step does: %s', async (_, options) => {
  const [plain, open] = await Promise.all([
    runnerOf(options),
    runnerOf({ ...options, opensEnds: true }),
  ]);
  try {
    expect(plain.ends).toBeNull();
    const { ends } = open;
    if (!ends) throw new Error('the ends are closed');
    let seen = new Float32Array();
    ends.watch({
      read: (plan, hidden) => {
        expect(plan).toBe(PLAN);
        seen = hidden.slice();
        return Promise.resolve();
      },
    });
    const query = { ...fullRowsOf(PLAN), hiddenRows: TOKENS.map((__, row) => row) };
    const expected = await plain.execute(PLAN, query);
    expect(await open.execute(PLAN, query)).toEqual(expected);
    expect(seen).toEqual(expected.hidden);
    // Rows of the step's last tokens, as rows of their own.
    const { hiddenSize } = ends;
    const row = (i: number) => seen.subarray(i * hiddenSize, (i + 1) * hiddenSize);
    const alone = Float32Array.from([...row(3), ...row(6)]);
    const own = { ...fullRowsOf(PLAN), logitRows: [0, 1] };
    expect((await ends.rank(alone, own)).fullLogits).toEqual(expected.fullLogits);
    // A step in which nothing is asked is seen, too.
    seen = new Float32Array();
    await open.execute(PLAN, {
      ...query,
      logitRows: [],
      targetIds: [],
      fullRows: [],
      hiddenRows: [],
    });
    expect(seen).toEqual(expected.hidden);
    const embedded = await ends.embed(TOKENS.slice(0, 3));
    const [first, second, third] = [0, 1, 2].map((i) =>
      embedded.subarray(i * hiddenSize, (i + 1) * hiddenSize),
    );
    expect(third).toEqual(first);
    expect(second).not.toEqual(first);
  } finally {
    await plain.dispose();
    await open.dispose();
  }
});

it('embeds tokens by the rows of the table', async () => {
  const modelDir = embeddedModelDir();
  const open = await runnerOf({ modelDir, opensEnds: true });
  try {
    const { graph } = fromBinary(ModelProtoSchema, readFileSync(join(modelDir, 'onnx/model.onnx')));
    const table = graph?.initializer.find(({ name }) => name.includes('embed_tokens'));
    const all = new Float32Array(new Uint8Array(table?.rawData ?? []).buffer);
    const size = open.ends?.hiddenSize ?? 0;
    const embedded = await open.ends?.embed(TOKENS);
    for (const [i, id] of TOKENS.entries()) {
      const row = embedded?.subarray(i * size, (i + 1) * size);
      expect(row).toEqual(all.subarray(id * size, (id + 1) * size));
    }
  } finally {
    await open.dispose();
  }
});

it('refuses a model whose embeddings are not one lookup', async () => {
  const gemma = openModel({ modelDir: checkpointDir('gemma3n'), opensEnds: true });
  await expect(gemma).rejects.toThrow(
    /gemma3n.*no layers can draft behind it: its embeddings are not what one lookup by input_ids makes/,
  );
});
