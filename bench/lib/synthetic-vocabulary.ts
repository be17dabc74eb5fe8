import { rmSync } from 'node:fs';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { uniform } from '../../engine/sampling/random.js';

const SYLLABLES =
  'a be co di el fo ga hu in jo ka le me no or pa qu re st ti un va we xy za ing ed er ion'.split(
    ' ',
  );

/**
 * A directory with a byte-level tokenizer.json of so many tokens, made up but with the proportions
 * of a large vocabulary: words with and without a leading space, numbers, punctuation before words,
 * and two fifths beyond ASCII. It is gone when the process ends.
 */
export async function syntheticVocabulary(size: number): Promise<string> {
  const letters = byteLetters();
  const written = (text: string): string =>
    [...Buffer.from(text)].map((byte) => letters[byte]).join('');
  const vocab = new Map<string, number>(letters.map((letter, byte) => [letter, byte]));
  const draw = (n: number, count: number): number => Math.floor(uniform(n, vocab.size) * count);
  for (let n = 0; vocab.size < size - 1; n++) {
    const parts = Array.from({ length: 1 + draw(n, 4) }, (_, i) => {
      if (n % 5 < 2)
        return String.fromCodePoint(
          (n % 2 === 0 ? 0x4e00 : 0x410) + draw(n + 7 * i, n % 2 === 0 ? 8000 : 64),
        );
      return SYLLABLES[draw(n + 13 * i, SYLLABLES.length)];
    });
    const before = ['', ' ', '"', '_', ' "', '.', '\n'][n % 11] ?? ' ';
    const after = ['', '', '",', '":', '}', ', '][n % 17] ?? '';
    const token = written(before + parts.join('') + after);
    if (!vocab.has(token)) vocab.set(token, vocab.size);
  }
  const end = { id: vocab.size, content: '<|end|>', special: true };
  const file = {
    model: { type: 'BPE', vocab: Object.fromEntries(vocab), merges: [] },
    decoder: { type: 'ByteLevel' },
    added_tokens: [end],
  };
  const dir = await mkdtemp(join(tmpdir(), 'octavo-vocabulary-'));
  process.once('exit', () => rmSync(dir, { recursive: true, force: true }));
  await writeFile(join(dir, 'tokenizer.json'), JSON.stringify(file));
  return dir;
}

function byteLetters(): string[] {
  let shifted = 0x100;
  return Array.from({ length: 256 }, (_, byte) => {
    const isPrintable =
      (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    return String.fromCodePoint(isPrintable ? byte : shifted++);
  });
}
