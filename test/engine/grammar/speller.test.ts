import { expect, it } from 'vitest';
import { toBytes, toSymbols } from '../../../engine/grammar/language/bytes.js';
import { Speller } from '../../../engine/grammar/speller.js';

const WORDS = ['{', '"', '":', 'na', 'name', 'n', 'é', '', 'x'.repeat(40)];
const speller = new Speller(WORDS.map((word) => Buffer.from(word)));
const spell = (text: string, most = 9): string[] =>
  speller.spell(symbols(text), most).map((id) => WORDS[id]);
const symbols = (text: string): string => String.fromCharCode(...toSymbols(Buffer.from(text)));

it('spells a text by the longest tokens, as far as it can, in as many as are wanted', () => {
  expect(spell('{"name":')).toEqual(['{', '"', 'name', '":']);
  expect(spell('{"name":', 2)).toEqual(['{', '"']);
  expect(spell('nané"')).toEqual(['na', 'n', 'é', '"']);
  expect(spell('name?"')).toEqual(['name']);
  // A character that is cut in the middle.
  expect(speller.spell(symbols('né').slice(0, -1), 9)).toEqual([5]);
  expect(spell('')).toEqual([]);
});

it('bytes and symbols are each other’s opposite', () => {
  const bytes = Array.from({ length: 255 }, (_, byte) => byte);
  expect(toBytes(String.fromCharCode(...toSymbols(bytes)))).toEqual(bytes);
});
