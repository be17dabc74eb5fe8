import { existsSync, renameSync, writeFileSync } from 'node:fs';

const LETTERS = 'abcdefghijklmnopqrstuvwxyz';

/** The visible character of each byte in byte-level vocabularies (Radford et al. 2019). */
function byteAlphabet(): string[] {
  let shifted = 0;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable =
      (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    return String.fromCodePoint(printable ? byte : 0x100 + shifted++);
  });
}

/**
 * The entries of a byte-level vocabulary of any size: all bytes, then made-up words, each with its
 * space. Nothing merges into the words; models with random weights say them, so that every token
 * has text of its own.
 */
export function syntheticVocabulary(size: number): string[] {
  const words = Array.from({ length: Math.max(0, size - 256) }, (_, i) => {
    let word = '';
    for (let rest = i; rest >= 0; rest = Math.floor(rest / LETTERS.length) - 1) {
      word = LETTERS[rest % LETTERS.length] + word;
    }
    return `Ġ${word}`;
  });
  return [...byteAlphabet(), ...words].slice(0, size);
}

/**
 * Writes tokenizer.json and tokenizer_config.json, unless they are there: what a server needs
 * besides the model.
 */
export function ensureTokenizer(directory: string, size: number): void {
  const path = `${directory}/tokenizer.json`;
  if (existsSync(path)) return;
  writeFileSync(
    `${directory}/tokenizer_config.json`,
    '{ "tokenizer_class": "PreTrainedTokenizerFast" }\n',
  );
  const vocab = Object.fromEntries(syntheticVocabulary(size).map((token, id) => [token, id]));
  const file = {
    version: '1.0',
    added_tokens: [],
    normalizer: null,
    // Rust's tokenizers, which exporters read it with, insist on every field.
    pre_tokenizer: {
      type: 'ByteLevel',
      add_prefix_space: false,
      trim_offsets: true,
      use_regex: true,
    },
    post_processor: null,
    decoder: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
    model: { type: 'BPE', vocab, merges: [], unk_token: null },
  };
  writeFileSync(`${path}.tmp`, JSON.stringify(file));
  renameSync(`${path}.tmp`, path);
}
