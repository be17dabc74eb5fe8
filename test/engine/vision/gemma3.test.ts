import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { processPixels } from '../../../engine/vision/encode-image.js';
import { imageText } from '../../../engine/vision/image-text.js';
import { decodePixels, type Pixels } from '../../../engine/vision/pixels.js';
import { readVisionModel, type VisionModel } from '../../../engine/vision/vision-model.js';
import type { SequenceId } from '../../../scheduler/ids.js';
import { plainRequest } from '../../support/plain-request.js';
import {
  generate,
  loadVision,
  messagesOf,
  picture,
  type VisionEngine,
  visionCases,
  visionDir,
} from '../../support/vision-fixtures.js';

/** Tokens of a picture, all of which see each other. */
const IMAGE = 16;
const [wide] = visionCases('gemma3');

describe('tokens of an image that see each other', () => {
  let engine: VisionEngine;
  beforeAll(async () => {
    engine = await loadVision('gemma3');
  });
  afterAll(() => engine.close());

  it('may be found in the cache in part: keys there have seen the rest', async () => {
    const prompt = await engine.ask(messagesOf(wide));
    const [{ start, end }] = prompt.images ?? [];
    expect([start < 16, end > 16]).toEqual([true, true]);
    const other = await engine.ask(messagesOf({ parts: [wide.parts[0], 'Say so.'] }));
    await generate(engine, [other]);
    const [{ tokens, cachedTokens }] = await generate(engine, [prompt]);
    // The block behind it has other text.
    expect({ tokens, cachedTokens }).toEqual({ tokens: wide.tokens, cachedTokens: 16 });
  });

  it('are found so by a request of the same step', async () => {
    expect(engine.cache.resetPrefixCache()).toBe(true);
    const other = await engine.ask(messagesOf({ parts: [wide.parts[0], 'Say so.'] }));
    const prompt = await engine.ask(messagesOf(wide));
    const [, { tokens, cachedTokens }] = await generate(engine, [other, prompt]);
    expect({ tokens, cachedTokens }).toEqual({ tokens: wide.tokens, cachedTokens: 16 });
  });

  it('are computed once for several choices', async () => {
    const ids = ['a', 'b', 'c'] as SequenceId[];
    const prompt = await engine.ask(messagesOf(wide));
    engine.core.add(plainRequest({ ids, maxTokens: 12, ...prompt }));
    const texts = new Map(ids.map((id) => [id, [] as number[]]));
    while (engine.core.hasWork) {
      for (const { id, tokenIds } of (await engine.core.step()) ?? []) {
        texts.get(id)?.push(...tokenIds);
      }
      engine.core.checkIntegrity();
    }
    expect([...texts.values()]).toEqual(ids.map(() => wide.tokens));
    expect(engine.images.size).toBe(0);
  });

  it('do not fit into steps that are too small, which is said at the start', async () => {
    await expect(loadVision('gemma3', { maxNumBatchedTokens: IMAGE + 6 })).rejects.toThrow(
      '--max-num-batched-tokens 22: one step must hold the 16 tokens of an image, beside one of ' +
        'each other request (--max-num-seqs 8); it takes 23 or more, ' +
        `or --limit-mm-per-prompt '{"image": 0}' for text alone`,
    );
    const settings = { limitMmPerPrompt: '{"image": 0}' };
    const text = await loadVision('gemma3', { maxNumBatchedTokens: IMAGE + 6, settings });
    await text.close();
  });

  it('do not fit into smaller ones of an engine that is asked by itself, either', async () => {
    const prompt = await engine.ask(messagesOf(wide));
    const images = prompt.images?.map((image) => ({ ...image, end: image.start + 600 }));
    const request = plainRequest({ ...prompt, ...(images && { images }) });
    expect(() => engine.core.add(request)).toThrow(
      'messages: an image has 600 tokens, which one step must hold; it holds 505 (raise --max-num-batched-tokens)',
    );
  });
});

interface GoldenCrops {
  readonly picture: string;
  /** Degrees, against the clock. */
  readonly turn: number;
  readonly shape: readonly number[];
  /** Numbers at equal distances. */
  readonly rows: readonly number[];
  readonly text: string;
}

describe('pan and scan', () => {
  const path = join(visionDir('gemma3'), 'golden.json');
  const { crops } = JSON.parse(readFileSync(path, 'utf8')) as { crops: GoldenCrops[] };

  it('cuts pictures as transformers does', async () => {
    const model = (await readVisionModel(visionDir('gemma3'), 'auto')) as VisionModel;
    if (model.settings.kind !== 'gemma3') throw new Error('another model');
    expect(model.settings.crops).toBeNull();
    const settings = { ...model.settings, crops: { minSize: 16, most: 4, minRatio: 1.2 } };
    for (const { picture: name, turn, shape, rows, text } of crops) {
      const upright = await decodePixels(picture(name));
      const pixels = turn === 90 ? turned(upright) : upright;
      const { pixelValues, dims, layout } = processPixels(pixels, settings);
      expect(dims).toEqual(shape);
      const stride = Math.floor(pixelValues.length / 64);
      const worst = rows.map((value, i) => Math.abs(value - pixelValues[i * stride]));
      // A step of color: Pillow 13 scales the height of some pictures first.
      expect(Math.max(...worst)).toBeLessThan(0.008);
      const words = {
        image: '<image_soft_token>',
        begin: '<start_of_image>',
        end: '<end_of_image>',
      };
      expect(imageText({ layout, numRows: dims[0] * IMAGE }, model, words)).toBe(text);
    }
  });
});

/** A quarter, against the clock. */
function turned({ width, height, data }: Pixels): Pixels {
  const result = new Uint8Array(data.length);
  for (let row = 0; row < width; row++) {
    for (let column = 0; column < height; column++) {
      const from = (column * width + width - 1 - row) * 3;
      result.set(data.subarray(from, from + 3), (row * height + column) * 3);
    }
  }
  return { width: height, height: width, data: result };
}
