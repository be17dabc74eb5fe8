import { describe, expect, it } from 'vitest';
import { openEncoder } from '../../../engine/encoder/encoder.js';
import { loadTokenizer } from '../../../engine/text/hf-tokenizer.js';
import { encoderDir, readEncoderGolden, worstDifference } from '../../support/encoder-fixtures.js';

const EMBEDDERS = ['minilm', 'bge-m3', 'modernbert', 'nomic', 'embeddinggemma'] as const;

describe.each(EMBEDDERS)('%s', (name) => {
  it('gives the vectors of sentence-transformers, alone and in one batch', async () => {
    const modelDir = encoderDir(name);
    const { texts, tokens, embeddings } = readEncoderGolden(name);
    const tokenizer = await loadTokenizer(modelDir);
    const encoder = await openEncoder({ modelDir, threads: 1 });
    const inputs = texts.map((text) => ({
      tokenIds: tokenizer.encode(text, { addSpecialTokens: true }),
    }));
    expect(inputs.map(({ tokenIds }) => tokenIds.length)).toEqual(tokens);
    const fitting = inputs.filter(({ tokenIds }) => tokenIds.length <= encoder.config.maxLength);
    const together = await encoder.encode(fitting);
    for (const [index, input] of fitting.entries()) {
      const [alone] = await encoder.encode([input]);
      const expected = embeddings.get('')?.[index] ?? [];
      expect(worstDifference(alone, expected)).toBeLessThan(1e-5);
      expect(worstDifference(together[index], expected)).toBeLessThan(1e-5);
    }
    await encoder.release();
  });
});
