import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { loadTokenizer } from '../../../engine/text/hf-tokenizer.js';
import { readTokenBytes } from '../../../engine/text/tokenizer/vocabulary.js';
import type { TokenId } from '../../../scheduler/ids.js';
import { tokenizerDir } from '../../support/tokenizer-fixtures.js';

const FIXTURES = new URL('../../fixtures/tokenizers/', import.meta.url);
const TEXTS = JSON.parse(readFileSync(new URL('texts.json', FIXTURES), 'utf8')) as string[];
const NAMES = readdirSync(new URL('tokenizers/', FIXTURES)).map((file) => file.slice(0, -5));

describe.each(NAMES)(
  'what a grammar holds and what is shown, with the tokenizer %s',
  async (name) => {
    const dir = tokenizerDir(name);
    const tokenizer = await loadTokenizer(dir);
    // Logits may have more entries than the vocabulary.
    const bytes = await readTokenBytes(dir, tokenizer.vocabSize + 3);

    it('are the same bytes for each token', () => {
      expect(bytes).toHaveLength(tokenizer.vocabSize + 3);
      const different = bytes.flatMap((written, id) => {
        const isSpecial = tokenizer.addedTokens.get(id as TokenId) === true;
        const shown = isSpecial ? new Uint8Array(0) : tokenizer.bytesOf(id as TokenId);
        return Buffer.compare(written, shown) === 0 ? [] : [tokenizer.entryOf(id as TokenId)];
      });
      expect(different).toEqual([]);
    });

    it('are the same text from the first token on', () => {
      for (const text of TEXTS) {
        const ids = tokenizer.encode(text, { addSpecialTokens: false });
        const detokenizer = tokenizer.createDetokenizer({ skipSpecialTokens: true, opens: false });
        const shown = ids.map((id) => detokenizer.push(id)).join('') + detokenizer.flush();
        const held = Buffer.concat(ids.map((id) => bytes[id])).toString();
        expect(shown).toBe(held);
      }
    });
  },
);

it.each([
  ['wordpiece', (entry: string) => entry.startsWith('##'), (entry: string) => entry.slice(2)],
  ['wordpiece', (entry: string) => /^[a-z]+$/.test(entry), (entry: string) => ` ${entry}`],
  ['roberta', (entry: string) => entry === 'norm', () => 'norm'],
])(
  'follow the decoder of %s, which a look at the marks of words does not',
  async (name, isMeant, written) => {
    const dir = tokenizerDir(name);
    const tokenizer = await loadTokenizer(dir);
    const bytes = await readTokenBytes(dir, tokenizer.vocabSize);
    const meant = bytes.flatMap((_, id) => {
      const entry = tokenizer.entryOf(id as TokenId);
      return isMeant(entry) ? [{ id, entry }] : [];
    });
    expect(meant.length).toBeGreaterThan(0);
    for (const { id, entry } of meant)
      expect(Buffer.from(bytes[id]).toString()).toBe(written(entry));
  },
);
