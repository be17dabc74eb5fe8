import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openEncoder } from '../../../engine/encoder/encoder.js';
import { modelKindOf } from '../../../engine/encoder/model-kind.js';
import { nearSpans, wholeSpans } from '../../../engine/encoder/spans.js';
import { createEngine } from '../../../engine/index.js';
import { memoryNeeds } from '../../../engine/model/memory-needs.js';
import { describedModel } from '../../../engine/model/open-model.js';
import { loadTokenizer } from '../../../engine/text/hf-tokenizer.js';
import {
  encoderCheckpointDir,
  readCheckpointGolden,
  worstDifference,
} from '../../support/encoder-fixtures.js';

/** Longer than the rows of a span, where positions have no table. */
const LONG = 1024;

const MODELS: readonly (readonly [name: string, longest: number | undefined])[] = [
  ['minilm', undefined],
  ['bge-m3', undefined],
  ['modernbert', LONG],
  ['nomic', LONG],
  ['embeddinggemma', LONG],
];

describe.each(MODELS)('%s from safetensors', (name, longest) => {
  it('gives the vectors of sentence-transformers, whatever lies beside a text', async () => {
    const modelDir = encoderCheckpointDir(name, longest);
    const { texts, embeddings } = readCheckpointGolden(name);
    const tokenizer = await loadTokenizer(modelDir);
    expect(await modelKindOf({ modelDir })).toBe('encoder');
    const encoder = await openEncoder({ modelDir, threads: 1 });
    const all = texts.map((text) => ({
      tokenIds: tokenizer.encode(text, { addSpecialTokens: true }),
    }));
    const { maxLength } = encoder.config;
    const fitting = all.flatMap((input, index) =>
      input.tokenIds.length <= maxLength ? [{ input, index }] : [],
    );
    if (longest !== undefined) {
      expect(fitting.at(-1)?.input.tokenIds.length).toBeGreaterThan(256);
    }
    // Twice, in both orders: each text has others before and behind it.
    const packed = [...fitting, ...fitting.toReversed()];
    const together = await encoder.encode(packed.map(({ input }) => input));
    for (const [place, { input, index }] of packed.entries()) {
      const [alone] = await encoder.encode([input]);
      expect(worstDifference(alone, embeddings[index])).toBeLessThan(1e-5);
      expect(worstDifference(together[place], embeddings[index])).toBeLessThan(1e-5);
    }
    await encoder.release();
  });
});

describe('encoders from safetensors', () => {
  it('score pairs as sentence-transformers does', async () => {
    const modelDir = encoderCheckpointDir('ms-marco');
    const { pairs, logits } = readCheckpointGolden('ms-marco');
    const tokenizer = await loadTokenizer(modelDir);
    const encoder = await openEncoder({ modelDir, threads: 1 });
    const inputs = pairs.map(([first, second]) => {
      const [head, tail] = [first, second].map((text) =>
        tokenizer.encode(text, { addSpecialTokens: true }),
      );
      return { tokenIds: [...head, ...tail.slice(1)], secondFrom: head.length };
    });
    expect([encoder.task, encoder.width]).toEqual(['score', 1]);
    const scores = (await encoder.encode(inputs)).map(([score]) => score);
    expect(worstDifference(scores, logits)).toBeLessThan(1e-5);
    await encoder.release();
  });

  it('embed in the library', async () => {
    const { texts, embeddings } = readCheckpointGolden('minilm');
    const model = encoderCheckpointDir('minilm');
    await using engine = await createEngine({ model, threads: 1 });
    const vectors = await engine.embed(texts);
    vectors.forEach((vector, i) => {
      expect(worstDifference(vector, embeddings[i])).toBeLessThan(1e-5);
    });
  });

  it('are measured before they are loaded, without a KV cache', async () => {
    const modelDir = encoderCheckpointDir('minilm');
    const options = { quantize: 'none', nbits: false, kvDtype: 'f32' } as const;
    const { weightBytes, kvBytesPerToken } = await memoryNeeds({ modelDir }, options);
    expect(weightBytes).toBeGreaterThan(4 * 110 * 8);
    expect(kvBytesPerToken).toBeNull();
    expect(await describedModel({ modelDir })).toBeNull();
  });

  it.each([
    ['minilm', { position_embedding_type: 'relative_key' }, /relative_key; absolute is supported/],
    ['minilm', { hidden_act: 'mish' }, /hidden_act is "mish"; known are/],
    ['minilm', { num_hidden_layers: 2 }, /lacks encoder\.layer\.1\.[^]* which a model of the/],
    ['nomic', { prenorm: true }, /prenorm is true; false is supported/],
    ['nomic', { architectures: ['NomicBertForSequenceClassification'] }, /is a sequence classif/],
    ['embeddinggemma', { attn_logit_softcapping: 30 }, /attn_logit_softcapping is set/],
    ['modernbert', { intermediate_size: 13 }, /has the shape \[24, 8\]; config.json makes it/],
  ])('are refused by what their files ask for: %s', async (name, changes, message) => {
    const modelDir = encoderCheckpointDir(name);
    const path = join(modelDir, 'config.json');
    const values = JSON.parse(readFileSync(path, 'utf8')) as object;
    writeFileSync(path, JSON.stringify({ ...values, ...changes }));
    await expect(openEncoder({ modelDir, threads: 1 })).rejects.toThrow(message);
  });
});

describe('spans', () => {
  it('are one for each text where all of it is seen', () => {
    expect(wholeSpans([3, 1])).toEqual([
      [0, 3, 0, 3],
      [3, 4, 3, 4],
    ]);
  });

  it('are pieces of a text, with the keys in reach, where not all is seen', () => {
    expect(nearSpans([2, 600], 64)).toEqual([
      [0, 2, 0, 2],
      [2, 258, 2, 322],
      [258, 514, 194, 578],
      [514, 602, 450, 602],
    ]);
  });
});
