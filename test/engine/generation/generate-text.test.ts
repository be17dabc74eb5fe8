import fc from 'fast-check';
import { expect, test } from 'vitest';
import { generateText } from '../../../engine/generation/generate-text.js';
import { countCharacters } from '../../../engine/generation/held-tokens.js';
import { PLAIN_TEXT, type TextOptions } from '../../../engine/generation/text-request.js';
import type { ChoiceDelta } from '../../../engine/generation/visible-text.js';
import type { SequenceOutput, TokenLogprobs } from '../../../engine/protocol/outputs.js';
import { ByteLevelDetokenizer } from '../../../engine/text/byte-level.js';
import type { Tokenizer } from '../../../engine/text/tokenizer.js';
import type { SequenceId, TokenId } from '../../../scheduler/ids.js';

/** Tokens of several characters, of parts of characters, and one without text. */
const VOCABULARY = ['a', 'b', 'ab', 'bab', 'ba a', ' ', '', '🐙b', 'é'].map((text) =>
  Uint8Array.from(Buffer.from(text)),
);
VOCABULARY.push(...[0xf0, 0x9f, 0x90, 0x99, 0xc3].map((byte) => Uint8Array.of(byte)));

const tokenizer: Tokenizer = {
  addedTokens: new Map(),
  vocabSize: VOCABULARY.length,
  longestToken: Number.POSITIVE_INFINITY,
  encode: () => [],
  decode: () => '',
  createDetokenizer: () => new ByteLevelDetokenizer(VOCABULARY),
  bytesOf: (id) => VOCABULARY[id] ?? new Uint8Array(0),
  tokenId: () => undefined,
  entryOf: () => '',
};

const observer = { output: () => undefined, end: () => undefined };
const context = { index: 0, signal: new AbortController().signal, observer };

/** Scores that tell the places apart. */
const scoresAt = (place: number): TokenLogprobs => ({
  logprob: -place,
  topIds: [],
  topLogprobs: [],
});

async function generate(
  steps: readonly (readonly number[])[],
  options: Partial<TextOptions>,
): Promise<ChoiceDelta[]> {
  async function* engine(): AsyncGenerator<SequenceOutput> {
    let place = 0;
    for (const [index, step] of steps.entries()) {
      yield {
        id: 's' as SequenceId,
        tokenIds: step as TokenId[],
        finishReason: index === steps.length - 1 ? 'length' : null,
        cachedTokens: 0,
        logprobs: step.map(() => scoresAt(place++)),
      };
    }
  }
  const outputs: ChoiceDelta[] = [];
  const all = { ...PLAIN_TEXT, ...options };
  for await (const output of generateText(engine(), tokenizer, all, context)) outputs.push(output);
  return outputs;
}

/** Where each token's text begins in the whole text, by decoding every prefix. */
function beginsOf(ids: readonly number[]): { text: string; begins: number[] } {
  const decode = (count: number, flush: boolean): string => {
    const detokenizer = new ByteLevelDetokenizer(VOCABULARY);
    const text = ids.slice(0, count).map((id) => detokenizer.push(id as TokenId));
    return text.join('') + (flush ? detokenizer.flush() : '');
  };
  return { text: decode(ids.length, true), begins: ids.map((_, i) => decode(i, false).length) };
}

const steps = fc.array(
  fc.array(fc.integer({ min: 0, max: VOCABULARY.length - 1 }), { minLength: 1, maxLength: 3 }),
  { minLength: 1, maxLength: 12 },
);
const stops = fc.array(fc.constantFrom('ab', 'ba', ' a', 'bb', 'b🐙', '🐙', 'aab', 'zz'), {
  maxLength: 3,
});

test('tokens go out with the text they begin, in order, and none behind the end', async () => {
  await fc.assert(
    fc.asyncProperty(steps, stops, fc.boolean(), async (tokens, stop, includeStop) => {
      const outputs = await generate(tokens, { stop, includeStop });
      const { begins, text: all } = beginsOf(tokens.flat());
      const last = outputs.at(-1);
      const stopped = last?.finishReason === 'stop';
      let shown = '';
      let count = 0;
      for (const output of outputs) {
        shown += output.text;
        for (const { logprobs, offset } of output.scored) {
          expect(-logprobs.logprob).toBe(count);
          expect(offset).toBe(countCharacters(all.slice(0, begins[count])));
          count++;
        }
        // As early as its first character, and not before.
        const due = begins.filter((begin) => begin < shown.length).length;
        if (output !== last || stopped) expect(count).toBe(due);
      }
      expect(all.startsWith(shown)).toBe(true);
      if (!stopped) expect([shown, count]).toEqual([all, begins.length]);
    }),
    { numRuns: 1500 },
  );
});

test('tokens behind a stop string do not count, though they came with it', async () => {
  const outputs = await generate([[0], [1, 0, 0]], { stop: ['ab'] });
  const counts = outputs.map(({ tokens, tokenIds, logprobSum }) => [tokens, tokenIds, logprobSum]);
  expect(counts).toEqual([
    [1, [0], 0],
    [1, [1], -1],
  ]);
});

test('min_tokens lets stop strings pass, also one that overlaps a later one', async () => {
  const text = async (ids: number[], minTokens: number): Promise<string> => {
    const outputs = await generate(
      ids.map((id) => [id]),
      { stop: ['aba'], minTokens },
    );
    return outputs.map((output) => output.text).join('');
  };
  const ids = [0, 1, 0, 1, 0, 5];
  expect(await text(ids, 2)).toBe('');
  // The first is complete with the third token; the one that begins inside of it counts.
  expect(await text(ids, 3)).toBe('ab');
  expect(await text(ids, 5)).toBe('ababa ');
});

test('of a prompt only, there is an end and no text', async () => {
  const outputs = await generate([[]], { promptOnly: true });
  expect(outputs).toEqual([
    {
      index: 0,
      text: '',
      events: [],
      tokens: 0,
      tokenIds: [],
      reasoningTokens: 0,
      logprobSum: 0,
      scored: [],
      finishReason: 'length',
      stopReason: null,
      cachedTokens: 0,
    },
  ]);
});

test('characters are code points', () => {
  expect(['', 'a', 'é', '🐙', 'a🐙b', '\uD83D', '\uDC19\uD83D'].map(countCharacters)).toEqual([
    0, 1, 1, 1, 3, 1, 2,
  ]);
});
