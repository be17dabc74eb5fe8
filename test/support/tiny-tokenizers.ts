import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * Writes a model directory from file names and contents; objects become JSON. It goes with the
 * run's temporary directory.
 */
export async function writeModelDir(files: Record<string, unknown>): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'octavo-model-'));
  for (const [name, content] of Object.entries(files)) {
    const text = typeof content === 'string' ? content : JSON.stringify(content);
    await writeFile(join(dir, name), text);
  }
  return dir;
}

const isOwn = (byte: number): boolean =>
  (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;

/** The visible character of each byte in byte-level vocabularies, built as GPT-2's code does. */
function byteAlphabet(): string[] {
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) =>
    String.fromCodePoint(isOwn(byte) ? byte : next++),
  );
}

const added = (id: number, content: string, special: boolean): object => ({
  id,
  content,
  special,
  single_word: false,
  lstrip: false,
  rstrip: false,
  normalized: false,
});

/** One special token and one that is not. */
const addedFrom = (id: number): object[] => [
  added(id, '<|end|>', true),
  added(id + 1, '<tool_call>', false),
];

/** Byte-level BPE: 256 bytes, two merges, one special and one plain added token. */
export function byteLevelTokenizer(): object {
  const vocab = Object.fromEntries<number>([
    ...byteAlphabet().map((character, byte): [string, number] => [character, byte]),
    ['he', 256],
    ['Ġt', 257],
  ]);
  return {
    version: '1.0',
    added_tokens: addedFrom(258),
    normalizer: null,
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, use_regex: true },
    post_processor: null,
    decoder: { type: 'ByteLevel' },
    model: { type: 'BPE', vocab, merges: ['h e', 'Ġ t'], unk_token: null },
  };
}

/** SentencePiece's way: words with a leading mark, and single bytes as a fallback. */
export function fallbackTokenizer(): object {
  const bytes = Array.from(
    { length: 256 },
    (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`,
  );
  const vocab = ['<unk>', '<s>', '</s>', ...bytes, '▁one', '▁two', 'a', 'é', '▁'];
  return {
    version: '1.0',
    added_tokens: addedFrom(vocab.length),
    normalizer: null,
    pre_tokenizer: null,
    post_processor: null,
    decoder: {
      type: 'Sequence',
      decoders: [
        { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
        { type: 'ByteFallback' },
        { type: 'Fuse' },
        { type: 'Strip', content: ' ', start: 1, stop: 0 },
      ],
    },
    model: {
      type: 'BPE',
      vocab: Object.fromEntries(vocab.map((token, id) => [token, id])),
      merges: [],
      unk_token: '<unk>',
      byte_fallback: true,
    },
  };
}
