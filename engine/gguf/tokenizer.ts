import { clip } from '../clip.js';
import type { GgufKeys } from './keys.js';
import { PRE_TOKENIZERS } from './pre-tokenizers.js';

/** Kinds of tokens, by their numbers in files. */
const KIND = { unknown: 2, control: 3, userDefined: 4 };
const NO_BYTES = { fuse_unk: false, byte_fallback: false };

/** Texts of tokens that end a turn, whatever the file names (llama.cpp's list). */
const ENDS = new Set([
  '<|eot_id|>',
  '<|im_end|>',
  '<|end|>',
  '<|return|>',
  '<|call|>',
  '<turn|>',
  '<|tool_response>',
  '<end_of_turn>',
  '<|endoftext|>',
  '<|eom_id|>',
  '<|end_of_text|>',
  '<EOT>',
]);

/** Those of gpt-oss. */
const HARMONY = ['<|return|>', '<|call|>', '<|end|>'];

/** The tokenizer of a GGUF file in the terms of tokenizer.json. */
interface Parts {
  readonly normalizer: unknown;
  readonly pre_tokenizer: unknown;
  readonly decoder: unknown;
  readonly model: Readonly<Record<string, unknown>>;
  readonly addsBos: boolean;
}

/**
 * The content that tokenizer.json would have.
 *
 * @throws OctavoError `model_unsupported` for kinds of tokenizers that are not known, by name
 */
export function tokenizerJson(keys: GgufKeys): unknown {
  const tokens = keys.texts('tokenizer.ggml.tokens');
  const kinds = keys.numbers('tokenizer.ggml.token_type', tokens.length) ?? [];
  const { addsBos, ...parts } = partsOf(keys, tokens, kinds);
  const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false };
  const added = tokens.flatMap((content, id) => {
    const isControl = kinds[id] === KIND.control;
    if (content === '' || (!isControl && kinds[id] !== KIND.userDefined)) return [];
    return [{ id, content, ...flags, special: isControl }];
  });
  return {
    version: '1.0',
    added_tokens: added,
    ...parts,
    post_processor: frameOf(keys, tokens, addsBos),
  };
}

function partsOf(keys: GgufKeys, tokens: readonly string[], kinds: readonly number[]): Parts {
  const kind = keys.text('tokenizer.ggml.model');
  if (kind === 'gpt2') return byteLevel(keys, tokens);
  if (kind === 'llama') return sentencePiece(keys, tokens, kinds, mergesByScore(keys, tokens));
  // The converter writes the merges of Gemma 4; scores are all alike.
  if (kind === 'gemma4') return sentencePiece(keys, tokens, kinds, mergesOf(keys));
  throw keys.unsupported(
    `its tokenizer is of the kind ${JSON.stringify(clip(kind, 60))}; known are gpt2 (byte-level BPE), llama (SentencePiece) and gemma4 (the same with merges)`,
  );
}

function byteLevel(keys: GgufKeys, tokens: readonly string[]): Parts {
  const name = keys.maybeText('tokenizer.ggml.pre') ?? 'nothing';
  const kind = Object.hasOwn(PRE_TOKENIZERS, name) ? PRE_TOKENIZERS[name] : undefined;
  if (!kind) {
    throw keys.unsupported(
      `tokenizer.ggml.pre names ${JSON.stringify(clip(name, 60))}, by which texts are cut into words; known are ${Object.keys(PRE_TOKENIZERS).join(', ')}`,
    );
  }
  return {
    normalizer: kind.normalizer ?? null,
    pre_tokenizer: { type: 'Sequence', pretokenizers: kind.parts },
    decoder: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
    model: {
      type: 'BPE',
      ...NO_BYTES,
      ignore_merges: kind.ignoresMerges ?? false,
      vocab: vocabularyOf(tokens),
      merges: mergesOf(keys),
    },
    addsBos: kind.addsBos ?? false,
  };
}

function mergesOf(keys: GgufKeys): [string, string][] {
  return keys.texts('tokenizer.ggml.merges').map((merge, i) => {
    const space = merge.indexOf(' ', 1);
    if (space < 0) {
      throw keys.corrupt(
        `tokenizer.ggml.merges[${i}] must be two texts with a space between, got ${clip(JSON.stringify(merge), 80)}`,
      );
    }
    return [merge.slice(0, space), merge.slice(space + 1)];
  });
}

/** Of characters, with bytes for those that are in no token. */
function sentencePiece(
  keys: GgufKeys,
  tokens: readonly string[],
  kinds: readonly number[],
  merges: readonly [string, string][],
): Parts {
  const hasPrefix = keys.flag('tokenizer.ggml.add_space_prefix', true);
  const toMark = { type: 'Replace', pattern: { String: ' ' }, content: '▁' };
  const toSpace = { type: 'Replace', pattern: { String: '▁' }, content: ' ' };
  const prepend = hasPrefix ? [{ type: 'Prepend', prepend: '▁' }] : [];
  const strip = hasPrefix ? [{ type: 'Strip', content: ' ', start: 1, stop: 0 }] : [];
  const unknown = kinds.indexOf(KIND.unknown);
  return {
    normalizer: { type: 'Sequence', normalizers: [...prepend, toMark] },
    pre_tokenizer: null,
    decoder: {
      type: 'Sequence',
      decoders: [toSpace, { type: 'ByteFallback' }, { type: 'Fuse' }, ...strip],
    },
    model: {
      type: 'BPE',
      fuse_unk: true,
      byte_fallback: true,
      unk_token:
        tokens[keys.id('tokenizer.ggml.unknown_token_id', tokens.length) ?? Math.max(unknown, 0)],
      vocab: vocabularyOf(tokens),
      merges,
    },
    addsBos: true,
  };
}

/** By the scores of what they make, as transformers derives them from SentencePiece. */
function mergesByScore(keys: GgufKeys, tokens: readonly string[]): [string, string][] {
  const scores = keys.numbers('tokenizer.ggml.scores', tokens.length);
  if (!scores) {
    throw keys.unsupported('its tokenizer of the kind llama has no tokenizer.ggml.scores');
  }
  const ids = new Map(tokens.map((token, id) => [token, id]));
  const merges: { left: string; right: string; score: number; order: number }[] = [];
  for (const [id, token] of tokens.entries()) {
    const own: (typeof merges)[number][] = [];
    for (let cut = 1; cut < token.length; cut++) {
      const [left, right] = [token.slice(0, cut), token.slice(cut)];
      if (ids.has(left) && ids.has(right)) own.push({ left, right, score: scores[id], order: 0 });
    }
    const idOf = (part: string): number => ids.get(part) ?? 0;
    own.sort((a, b) => idOf(a.left) - idOf(b.left) || idOf(a.right) - idOf(b.right));
    for (const merge of own) merges.push({ ...merge, order: merges.length });
  }
  merges.sort(
    (a, b) =>
      b.score - a.score ||
      b.left.length - a.left.length ||
      b.right.length - a.right.length ||
      a.order - b.order,
  );
  return merges.map(({ left, right }) => [left, right]);
}

/** Of tokens that are there twice, the last counts. */
function vocabularyOf(tokens: readonly string[]): Record<string, number> {
  return Object.fromEntries(tokens.map((token, id) => [token, id]));
}

/** What is put around texts, other than chats, whose template writes it. */
function frameOf(keys: GgufKeys, tokens: readonly string[], addsBos: boolean): unknown {
  const bos = keys.id('tokenizer.ggml.bos_token_id', tokens.length);
  const eos = keys.id('tokenizer.ggml.eos_token_id', tokens.length);
  const before = keys.flag('tokenizer.ggml.add_bos_token', addsBos) ? bos : null;
  const after = keys.flag('tokenizer.ggml.add_eos_token', false) ? eos : null;
  if (before === null && after === null) return null;
  const special = (id: number | null): unknown[] =>
    id === null ? [] : [{ SpecialToken: { id: tokens[id] ?? String(id), type_id: 0 } }];
  const ids = [before, after].filter((id) => id !== null);
  return {
    type: 'TemplateProcessing',
    single: [...special(before), { Sequence: { id: 'A', type_id: 0 } }, ...special(after)],
    special_tokens: Object.fromEntries(
      ids.map((id) => [tokens[id] ?? String(id), { id: tokens[id] ?? '', ids: [id], tokens: [] }]),
    ),
  };
}

/** The content that tokenizer_config.json would have. */
export function tokenizerConfigJson(keys: GgufKeys): unknown {
  const tokens = keys.texts('tokenizer.ggml.tokens');
  const token = (kind: string): string | null => {
    const id = keys.id(`tokenizer.ggml.${kind}_token_id`, tokens.length);
    return id === null ? null : (tokens[id] ?? null);
  };
  return {
    bos_token: token('bos'),
    eos_token: token('eos'),
    chat_template: keys.maybeText('tokenizer.chat_template'),
  };
}

/** The content that generation_config.json would have: all tokens that end a text or a turn. */
export function generationJson(keys: GgufKeys): unknown {
  const tokens = keys.texts('tokenizer.ggml.tokens');
  const kinds = keys.numbers('tokenizer.ggml.token_type', tokens.length) ?? [];
  const named = ['eos', 'eot', 'eom'].flatMap(
    (kind) => keys.id(`tokenizer.ggml.${kind}_token_id`, tokens.length) ?? [],
  );
  const known = tokens.flatMap((text, id) =>
    ENDS.has(text) && (kinds[id] === KIND.control || kinds[id] === KIND.userDefined) ? [id] : [],
  );
  const ends = [...new Set([...named, ...known])];
  // Of gpt-oss, a turn has several messages, and <|end|> ends one of them.
  const isHarmony = HARMONY.every((text) => ends.some((id) => tokens[id] === text));
  const isMessage = (id: number): boolean => isHarmony && tokens[id] === '<|end|>';
  return { eos_token_id: ends.filter((id) => !isMessage(id)) };
}
