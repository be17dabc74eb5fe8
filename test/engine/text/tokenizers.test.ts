import { readdirSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { assertMayFit } from '../../../engine/text/assert-may-fit.js';
import { loadTokenizer } from '../../../engine/text/hf-tokenizer.js';
import type { Tokenizer } from '../../../engine/text/tokenizer.js';
import type { TokenId } from '../../../scheduler/ids.js';
import { processorMs } from '../../support/processor-time.js';
import { tokenizerDir } from '../../support/tokenizer-fixtures.js';

const FIXTURES = new URL('../../fixtures/tokenizers/', import.meta.url);
const json = (path: string): unknown => JSON.parse(readFileSync(new URL(path, FIXTURES), 'utf8'));

interface Goldens {
  /** Tokens; special tokens before and after; what the tokens say, null: the text. */
  readonly texts: readonly [TokenId[], [TokenId[], TokenId[]], string | null][];
  readonly sequences: readonly [TokenId[], string][];
}

const TEXTS = json('texts.json') as readonly string[];
const NAMES = readdirSync(new URL('tokenizers/', FIXTURES)).map((file) => file.slice(0, -5));

const streamed = (tokenizer: Tokenizer, ids: readonly TokenId[], skipSpecialTokens: boolean) => {
  const detokenizer = tokenizer.createDetokenizer({ skipSpecialTokens });
  return ids.map((id) => detokenizer.push(id)).join('') + detokenizer.flush();
};

describe.each(NAMES)('the tokenizer %s', async (name) => {
  const tokenizer = await loadTokenizer(tokenizerDir(name));
  const goldens = json(`goldens/${name}.json`) as Goldens;

  it("makes the Rust library's tokens of every text", () => {
    const wrong = TEXTS.flatMap((text, i) => {
      const ids = tokenizer.encode(text, { addSpecialTokens: false });
      const [expected] = goldens.texts[i];
      return String(ids) === String(expected) ? [] : [{ text, ids, expected }];
    });
    expect(wrong).toEqual([]);
  });

  it('takes half a surrogate pair for U+FFFD', () => {
    const encode = (text: string): TokenId[] => tokenizer.encode(text, { addSpecialTokens: false });
    expect(encode('a\uD83Db \uDC19\uD83D')).toEqual(encode('a\uFFFDb \uFFFD\uFFFD'));
  });

  it('adds the special tokens that belong around a text', () => {
    TEXTS.forEach((text, i) => {
      const [ids, [before, after]] = goldens.texts[i];
      const framed = tokenizer.encode(text, { addSpecialTokens: true });
      expect(framed).toEqual([...before, ...ids, ...after]);
    });
  });

  it('gives the text back as the Rust library does', () => {
    const wrong = TEXTS.flatMap((text, i) => {
      const [ids, , said] = goldens.texts[i];
      const decoded = tokenizer.decode(ids, { skipSpecialTokens: false });
      return decoded === (said ?? text) ? [] : [{ decoded, expected: said ?? text }];
    });
    expect(wrong).toEqual([]);
    const others = goldens.sequences.map(([ids]) =>
      tokenizer.decode(ids, { skipSpecialTokens: true }),
    );
    expect(others).toEqual(goldens.sequences.map(([, text]) => text));
  });

  it('streams any tokens to the text that they have together', () => {
    const id = fc.integer({ min: 0, max: tokenizer.vocabSize + 1 }).map((n) => n as TokenId);
    fc.assert(
      fc.property(fc.array(id, { maxLength: 24 }), fc.boolean(), (ids, skipSpecialTokens) => {
        const whole = tokenizer.decode(ids, { skipSpecialTokens });
        expect(streamed(tokenizer, ids, skipSpecialTokens)).toBe(whole);
      }),
      { numRuns: 150, seed: 6 },
    );
  });

  it('holds nothing back but an incomplete character', () => {
    const [longest] = [...TEXTS].sort((a, b) => b.length - a.length);
    const ids = tokenizer.encode(longest, { addSpecialTokens: false });
    const detokenizer = tokenizer.createDetokenizer({ skipSpecialTokens: false });
    let shown = '';
    ids.forEach((token, i) => {
      shown += detokenizer.push(token);
      const whole = tokenizer.decode(ids.slice(0, i + 1), { skipSpecialTokens: false });
      expect(whole.replace(/\uFFFD+$/, '')).toBe(shown.replace(/\uFFFD+$/, ''));
    });
  });
});

describe('a text of megabytes', () => {
  it.each([
    ['gpt2', true],
    ['phi4', true],
    ['phi3', true],
    ['llama2', true],
    ['gemma', true],
    ['bloom', true],
    // These drop characters, or take many unknown ones together.
    ['whitespace', false],
    ['words', false],
    ['t5', false],
    ['wordpiece', false],
  ])('%s: is refused before it is cut: %s', async (name, isRefused) => {
    const tokenizer = await loadTokenizer(tokenizerDir(name));
    const refuse = (): void => assertMayFit('word '.repeat(200_000), tokenizer, 4096, 'prompt');
    if (isRefused) expect(refuse).toThrow(/prompt has at least/);
    else expect(refuse).not.toThrow();
    // Never one that fits.
    for (const text of TEXTS) {
      const { length } = tokenizer.encode(text, { addSpecialTokens: false });
      assertMayFit(text, tokenizer, length, 'prompt');
    }
  });
});

describe("SentencePiece's table of normalization", async () => {
  const tokenizer = await loadTokenizer(tokenizerDir('t5'));
  const encode = (text: string): TokenId[] => tokenizer.encode(text, { addSpecialTokens: false });

  it('takes a letter and its accent together, wherever they are in a long text', () => {
    for (let before = 500; before < 520; before++) {
      const start = 'a'.repeat(before);
      expect(encode(`${start}e\u0301b`)).toEqual(encode(`${start}\u00E9b`));
    }
    // One grapheme of many parts.
    const marks = '\u0302'.repeat(2000);
    expect(encode(`x${marks}e\u0301`)).toEqual(encode(`x${marks}\u00E9`));
    expect(encode(`${'👍🏽'.repeat(400)}\uFB01`)).toEqual(encode(`${'👍🏽'.repeat(400)}fi`));
  });

  it('takes time by the length of a text, not by its square', async () => {
    const text = 'The quick brown fox, 12345 of them. Größe 今天天气很好! '.repeat(1500);
    const spent = await processorMs(() => {
      expect(encode(text).length).toBeGreaterThan(30_000);
    });
    expect(spent).toBeLessThan(8000);
  });
});
