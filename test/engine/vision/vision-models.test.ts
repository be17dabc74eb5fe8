import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { processPixels } from '../../../engine/vision/encode-image.js';
import { decodePixels } from '../../../engine/vision/pixels.js';
import { readVisionModel } from '../../../engine/vision/vision-model.js';
import {
  generate,
  isPicture,
  loadVision,
  messagesOf,
  type Prompt,
  picture,
  VISION_MODELS,
  type VisionEngine,
  visionCases,
  visionDir,
} from '../../support/vision-fixtures.js';

/** Keys and values of 2 layers and one head of 8 floats, for 16 tokens. */
const BLOCK_BYTES = 2 * 2 * 8 * 4 * 16;

async function promptsOf(engine: VisionEngine): Promise<Prompt[]> {
  const prompts: Prompt[] = [];
  for (const one of visionCases(engine.name)) prompts.push(await engine.ask(messagesOf(one)));
  return prompts;
}

/** Compared with transformers: see test/fixtures/vision/make.py. */
describe.each(VISION_MODELS)('%s says of images what transformers says', (name) => {
  const cases = visionCases(name);
  const said = cases.map(({ tokens }) => tokens);
  let engine: VisionEngine;
  beforeAll(async () => {
    engine = await loadVision(name);
  });
  afterAll(() => engine.close());

  it('makes the same pixels of a picture', async () => {
    const model = await readVisionModel(visionDir(name), 'auto');
    if (model === null || typeof model === 'string') throw new Error(`no model: ${model}`);
    for (const { parts, pixels } of cases) {
      if (!pixels) continue;
      const made: Float32Array[] = [];
      for (const part of parts.filter(isPicture)) {
        const decoded = await decodePixels(picture(part));
        made.push(processPixels(decoded, model.settings).pixelValues);
      }
      const values = new Float32Array(made.reduce((n, array) => n + array.length, 0));
      let at = 0;
      for (const array of made) {
        values.set(array, at);
        at += array.length;
      }
      expect(values.length).toBe(pixels.shape.reduce((a, b) => a * b, 1));
      const hash = createHash('sha256').update(new Uint8Array(values.buffer)).digest('hex');
      if (hash === pixels.sha256) continue;
      // Decoders of JPEG and WebP differ by a step of color here and there.
      expect(parts).toContain('high.jpg');
      const stride = Math.max(1, Math.floor(values.length / 64));
      const worst = pixels.rows.map((value, i) => Math.abs(value - values[i * stride]));
      expect(Math.max(...worst)).toBeLessThan(0.04);
    }
  });

  it('has the prompts that its processor writes', async () => {
    const prompts = await promptsOf(engine);
    expect(prompts.map(({ promptTokenIds }) => promptTokenIds)).toEqual(
      cases.map(({ promptTokenIds }) => promptTokenIds),
    );
  });

  it('one conversation after another, and all at once', async () => {
    const prompts = await promptsOf(engine);
    for (const [i, prompt] of prompts.entries()) {
      const [alone] = await generate(engine, [prompt]);
      expect(alone.tokens).toEqual(said[i]);
    }
    expect(engine.cache.resetPrefixCache()).toBe(true);
    const together = await generate(engine, prompts);
    expect(together.map(({ tokens }) => tokens)).toEqual(said);
    expect(engine.images.size).toBe(0);
  });

  it('hits the prefix of an equal image, and never that of another', async () => {
    expect(engine.cache.resetPrefixCache()).toBe(true);
    const [first] = cases;
    const other = { parts: ['flat.gif', ...first.parts.slice(1)] };
    const prompt = await engine.ask(messagesOf(first));
    await generate(engine, [prompt]);
    const [again] = await generate(engine, [prompt]);
    const whole = 16 * Math.floor((prompt.promptTokenIds.length - 1) / 16);
    expect(again).toEqual({ tokens: said[0], cachedTokens: whole });
    const { promptTokenIds, images = [] } = await engine.ask(messagesOf(other));
    // Its tokens are the same up to here, and more may be.
    const before = 16 * Math.floor(images[0].start / 16);
    const [different] = await generate(engine, [{ promptTokenIds, images }]);
    expect(different.cachedTokens).toBe(before);
  });

  it('in steps that cut images anywhere, and after preemptions', async () => {
    const longest = Math.max(...cases.map(({ promptTokenIds }) => promptTokenIds.length)) + 12;
    const blocks = Math.ceil(longest / 16) + 3;
    const small = await loadVision(name, {
      // Those of Gemma 3 are never cut; all that is between them is.
      ...(name === 'gemma3'
        ? { maxNumBatchedTokens: 23, longPrefillThreshold: 5 }
        : { maxNumBatchedTokens: 7 }),
      maxModelLength: longest,
      kvCacheBytes: blocks * BLOCK_BYTES,
      enablePrefixCaching: false,
    });
    onTestFinished(() => small.close());
    const results = await generate(small, await promptsOf(small));
    expect(results.map(({ tokens }) => tokens)).toEqual(said);
    expect(small.core.stats.preemptions).toBeGreaterThan(0);
  });
});
