/** How a text is cut into words before merges, and what else follows from its name. */
export interface PreTokenizerKind {
  /** `pre_tokenizer` of a tokenizer.json. */
  readonly parts: readonly unknown[];
  readonly normalizer?: unknown;
  /** Whether a word that is in the vocabulary is one token, whatever the merges say. */
  readonly ignoresMerges?: boolean;
  /** Whether texts begin with a BOS token where the file does not say. */
  readonly addsBos?: boolean;
}

const CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const REST = ' ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';
const REST_WITH_SLASH = ' ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';
const UPPER = '[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]';
const LOWER = '[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]';
const LEAD = '[^\\r\\n\\p{L}\\p{N}]?';

const bytes = (cuts: boolean) => ({
  type: 'ByteLevel',
  add_prefix_space: false,
  trim_offsets: true,
  use_regex: cuts,
});
const split = (pattern: string): readonly unknown[] => [
  { type: 'Split', pattern: { Regex: pattern }, behavior: 'Isolated', invert: false },
  bytes(false),
];

const GPT2 = { parts: [bytes(true)] };
const DIGITS = { parts: [{ type: 'Digits', individual_digits: true }, bytes(true)] };
const CL100K = { parts: split(`${CONTRACTIONS}|${LEAD}\\p{L}+|\\p{N}{1,3}|${REST}`) };
const LLAMA3 = { ...CL100K, ignoresMerges: true, addsBos: true };
const QWEN2 = {
  parts: split(`${CONTRACTIONS}|${LEAD}\\p{L}+|\\p{N}|${REST}`),
  normalizer: { type: 'NFC' },
};
const O200K = {
  parts: split(
    `${LEAD}${UPPER}*${LOWER}+${CONTRACTIONS}?|${LEAD}${UPPER}+${LOWER}*${CONTRACTIONS}?|\\p{N}{1,3}|${REST_WITH_SLASH}`,
  ),
};
const TEKKEN = {
  parts: split(`${LEAD}${UPPER}*${LOWER}+|${LEAD}${UPPER}+${LOWER}*|\\p{N}|${REST_WITH_SLASH}`),
  ignoresMerges: true,
  addsBos: true,
};

/** By `tokenizer.ggml.pre`, as llama.cpp reads the names. */
export const PRE_TOKENIZERS: Readonly<Record<string, PreTokenizerKind>> = {
  'gpt-2': GPT2,
  mpt: GPT2,
  olmo: GPT2,
  'phi-2': GPT2,
  smollm: DIGITS,
  starcoder: DIGITS,
  refact: DIGITS,
  'command-r': DIGITS,
  'llama-bpe': LLAMA3,
  llama3: LLAMA3,
  'llama-v3': LLAMA3,
  falcon3: LLAMA3,
  pixtral: TEKKEN,
  tekken: TEKKEN,
  dbrx: CL100K,
  'smaug-bpe': CL100K,
  'chatglm-bpe': CL100K,
  glm4: CL100K,
  qwen2: QWEN2,
  'deepseek-r1-qwen': QWEN2,
  'gpt-4o': O200K,
};
