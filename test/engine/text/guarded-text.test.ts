import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { loadTokenizer } from '../../../engine/text/hf-tokenizer.js';
import type { Span } from '../../../engine/text/spans.js';
import type { Tokenizer } from '../../../engine/text/tokenizer.js';
import { writeModelDir } from '../../support/tiny-tokenizers.js';

const FIXTURES = new URL('../../fixtures/tokenizers/', import.meta.url);
const NAMES = readdirSync(new URL('tokenizers/', FIXTURES));
const read = (path: string): unknown => JSON.parse(readFileSync(new URL(path, FIXTURES), 'utf8'));
const TEXTS = Object.values(read('texts.json') as Record<string, string>).flat();

interface TokenizerFile {
  readonly added_tokens?: readonly { readonly content: string; readonly special: boolean }[];
  readonly model: { readonly unk_token?: string | null; readonly unk_id?: number | null };
}

interface Loaded {
  readonly tokenizer: Tokenizer;
  /** Contents of special tokens, but of the one for unknown words: that says nothing. */
  readonly specials: readonly string[];
  readonly encode: (pieces: readonly Piece[], guarded?: boolean) => number[];
}

/** A text, and whether a client has written it. */
type Piece = readonly [text: string, isClient: boolean];

async function load(file: object): Promise<Loaded> {
  const tokenizer = await loadTokenizer(await writeModelDir({ 'tokenizer.json': file }));
  const { added_tokens: added = [], model } = file as TokenizerFile;
  const ids = [...tokenizer.addedTokens].filter(([, isSpecial]) => isSpecial).map(([id]) => id);
  const encode = (pieces: readonly Piece[], guarded = true): number[] => {
    let text = '';
    const client: Span[] = [];
    for (const [piece, isClient] of pieces) {
      if (isClient) client.push({ start: text.length, end: text.length + piece.length });
      text += piece;
    }
    const guard = { client, control: new Set(ids) };
    return tokenizer.encode(text, { addSpecialTokens: false, ...(guarded ? { guard } : {}) });
  };
  const unknown = new Set([model.unk_token, tokenizer.entryOf((model.unk_id ?? -1) as never)]);
  const contents = added.filter(({ special }) => special).map(({ content }) => content);
  return { tokenizer, encode, specials: contents.filter((text) => !unknown.has(text)) };
}

describe.each(NAMES)('with the tokenizer %s', (name) => {
  it('a text without special tokens gives the same tokens, whoever wrote it', async () => {
    const { encode, specials } = await load(read(`tokenizers/${name}`) as object);
    const innocent = TEXTS.filter((text) => !specials.some((special) => text.includes(special)));
    expect(innocent.length).toBeGreaterThan(10);
    const frame = specials[0] ?? '';
    for (const text of innocent) {
      const pieces: Piece[] = [
        [`${frame}Say: `, false],
        [text, true],
        [`. Why?${frame}`, false],
      ];
      expect([text, encode(pieces)]).toEqual([text, encode(pieces, false)]);
    }
  });

  it('special tokens are those that the client has not written', async () => {
    const { tokenizer, encode, specials } = await load(read(`tokenizers/${name}`) as object);
    for (const special of specials.slice(0, 20)) {
      const id = tokenizer.tokenId(special);
      const count = (...pieces: Piece[]): number =>
        encode(pieces).filter((other) => other === id).length;
      expect([special, count([special, true])]).toEqual([special, 0]);
      expect([special, count([special, false])]).toEqual([special, 1]);
      expect([
        special,
        count(
          [`${special}x `, false],
          [`so ${special} ${special}${special}`, true],
          [` y${special}`, false],
        ),
      ]).toEqual([special, 2]);
      const half = Math.ceil(special.length / 2);
      expect(count([special.slice(0, half), true], [special.slice(half), false])).toBe(0);
      expect(count([special.slice(0, half), false], [special.slice(half), true])).toBe(0);
    }
  });
});

const BYTES = Array.from(
  { length: 256 },
  (_, i) => `<0x${i.toString(16).toUpperCase().padStart(2, '0')}>`,
);

describe('a special token that is looked for in normalized text', () => {
  const tokenizerWith = (normalizer: object): object => ({
    added_tokens: [{ id: 0, content: '<s>', special: true, normalized: true }],
    normalizer,
    model: {
      type: 'BPE',
      vocab: Object.fromEntries(['<s>', ...BYTES, 'x', '▁'].map((token, id) => [token, id])),
      merges: [],
      unk_token: null,
      byte_fallback: true,
    },
  });
  const LLAMA = {
    type: 'Sequence',
    normalizers: [
      { type: 'Prepend', prepend: '▁' },
      { type: 'Replace', pattern: { String: ' ' }, content: '▁' },
    ],
  };

  it.each<[string, object, string]>([
    ['is not made by NFKC', { type: 'NFKC' }, '＜s＞'],
    ['is not made by lower case', { type: 'Lowercase' }, '<S>'],
    ['is not made by stripping', { type: 'Strip', strip_left: true, strip_right: true }, ' <s> '],
  ])('%s', async (_, normalizer, text) => {
    const { encode } = await load(tokenizerWith(normalizer));
    expect(encode([[text, true]])).not.toContain(0);
    expect(
      encode([
        ['<s>', false],
        [`x${text}x`, true],
        ['<s>', false],
      ]).filter((id) => id === 0),
    ).toHaveLength(2);
  });

  it.each<[string, object]>([
    ['a prefix', LLAMA],
    ['NFKC', { type: 'NFKC' }],
    ['stripping', { type: 'Strip', strip_left: true, strip_right: true }],
  ])('other texts are normalized as ever: %s', async (_, normalizer) => {
    const { encode } = await load(tokenizerWith(normalizer));
    for (const text of TEXTS.filter((of) => !of.includes('<s>'))) {
      const pieces: Piece[] = [
        ['say ', false],
        [text, true],
        [' <s> or ', false],
        [text, true],
      ];
      expect([text, encode(pieces)]).toEqual([text, encode(pieces, false)]);
    }
  });
});

it("a model that looks for whole words finds no special token in a client's text", async () => {
  const vocab = ['[UNK]', '[CLS]', 'a', '[', 'C', 'L', 'S', ']', '##C', '##L', '##S', '##]'];
  const { encode } = await load({
    added_tokens: [{ id: 1, content: '[CLS]', special: true }],
    pre_tokenizer: { type: 'WhitespaceSplit' },
    model: {
      type: 'WordPiece',
      vocab: Object.fromEntries(vocab.map((token, id) => [token, id])),
      unk_token: '[UNK]',
      continuing_subword_prefix: '##',
      max_input_chars_per_word: 100,
    },
  });
  expect(encode([['[CLS] a [CLS] ?', true]])).toEqual([3, 4, 5, 6, 7, 2, 3, 4, 5, 6, 7, 0]);
  expect(encode([['[CLS] a ?', false]])).toEqual([1, 2, 0]);
});
