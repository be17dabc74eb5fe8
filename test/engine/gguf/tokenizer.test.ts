import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { ggufText } from '../../../engine/gguf/model-text.js';
import { loadTokenizer } from '../../../engine/text/hf-tokenizer.js';
import { flag, floats, gguf, ints, number, text, texts, type Value } from '../../support/gguf.js';

const TOKENIZERS = new URL('../../fixtures/tokenizers/tokenizers/', import.meta.url);
const TEXTS = [
  "Hello, world! 1234 foo  bar\n\n  déjà vu 世界 don't WE'LL 🙂",
  '  two spaces, a tab\tand a line\r\nof 3.14159 and 100000',
  'MixedCase camelCase HTTPServer naïve Ünïcode — “quotes” …',
];

interface File {
  readonly added_tokens: readonly { id: number; content: string; special: boolean }[];
  readonly model: {
    readonly vocab: Readonly<Record<string, number>>;
    readonly merges: readonly (string | [string, string])[];
  };
}

function directory(): string {
  const dir = mkdtempSync(join(tmpdir(), 'octavo-test-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** The metadata that llama.cpp's converter writes of a tokenizer.json. */
function metadataOf({ model, added_tokens }: File, pre: string | null): [string, Value][] {
  const tokens: string[] = [];
  for (const [token, id] of Object.entries(model.vocab)) tokens[id] = token;
  for (const { id, content } of added_tokens) tokens[id] = content;
  const kinds = Array.from(tokens, () => 1);
  for (const { id, special } of added_tokens) kinds[id] = special ? 3 : 4;
  const all = Array.from(tokens, (token) => token ?? '');
  const merges = model.merges.map((merge) => (typeof merge === 'string' ? merge : merge.join(' ')));
  return [
    ['general.architecture', text('llama')],
    ['tokenizer.ggml.tokens', texts(all)],
    ['tokenizer.ggml.token_type', ints(kinds)],
    ['tokenizer.ggml.add_bos_token', flag(false)],
    ...(pre === null
      ? ([
          ['tokenizer.ggml.model', text('llama')],
          ['tokenizer.ggml.scores', floats(all.map((_, id) => -id))],
          ['tokenizer.ggml.unknown_token_id', number(0)],
        ] as [string, Value][])
      : pre === 'gemma4'
        ? ([
            ['tokenizer.ggml.model', text('gemma4')],
            ['tokenizer.ggml.scores', floats(all.map(() => -1000))],
            ['tokenizer.ggml.merges', texts(merges)],
            ['tokenizer.ggml.add_space_prefix', flag(false)],
            ['tokenizer.ggml.unknown_token_id', number(model.vocab['<unk>'])],
          ] as [string, Value][])
        : ([
            ['tokenizer.ggml.model', text('gpt2')],
            ['tokenizer.ggml.pre', text(pre)],
            ['tokenizer.ggml.merges', texts(merges)],
          ] as [string, Value][])),
  ];
}

it.each([
  ['smollm2', 'smollm'],
  ['gpt2', 'gpt-2'],
  ['qwen2', 'qwen2'],
  ['llama3', 'llama-bpe'],
  ['llama2', null],
  ['gemma', 'gemma4'],
])('%s of a GGUF file cuts texts as its tokenizer.json does', async (name, pre) => {
  const source = new URL(`${name}.json`, TOKENIZERS);
  const dir = directory();
  copyFileSync(source, join(dir, 'tokenizer.json'));
  const file = join(dir, 'model.gguf');
  const metadata = metadataOf(JSON.parse(readFileSync(source, 'utf8')) as File, pre);
  writeFileSync(file, gguf({ metadata, tensors: [] }));
  const own = await loadTokenizer(file);
  const expected = await loadTokenizer(dir);
  for (const sample of TEXTS) {
    const ids = expected.encode(sample, { addSpecialTokens: false });
    expect(own.encode(sample, { addSpecialTokens: false })).toEqual(ids);
    expect(own.decode(ids, { skipSpecialTokens: false })).toBe(
      expected.decode(ids, { skipSpecialTokens: false }),
    );
  }
});

it('refuses a tokenizer that is not known, with those that are', async () => {
  const file = join(directory(), 'model.gguf');
  const refused = async (metadata: [string, Value][]): Promise<unknown> => {
    const all: [string, Value][] = [['general.architecture', text('llama')], ...metadata];
    const tokens: [string, Value] = ['tokenizer.ggml.tokens', texts(['a'])];
    writeFileSync(file, gguf({ metadata: [...all, tokens], tensors: [] }));
    return loadTokenizer(file);
  };
  await expect(refused([['tokenizer.ggml.model', text('t5')]])).rejects.toThrow(
    'its tokenizer is of the kind "t5"; known are gpt2 (byte-level BPE), llama (SentencePiece) and gemma4 (the same with merges)',
  );
  await expect(
    refused([
      ['tokenizer.ggml.model', text('gpt2')],
      ['tokenizer.ggml.pre', text('poro')],
    ]),
  ).rejects.toThrow('tokenizer.ggml.pre names "poro"');
});

/** Ids of tokens that end a turn, of a file with these control tokens, some of them shown. */
function endsOf(tokens: readonly string[], userDefined: readonly string[] = []): unknown {
  const file = join(directory(), 'model.gguf');
  const metadata: [string, Value][] = [
    ['general.architecture', text('llama')],
    ['tokenizer.ggml.tokens', texts(tokens)],
    ['tokenizer.ggml.token_type', ints(tokens.map((t) => (userDefined.includes(t) ? 4 : 3)))],
    ['tokenizer.ggml.eos_token_id', number(0)],
  ];
  writeFileSync(file, gguf({ metadata, tensors: [] }));
  return JSON.parse(ggufText(file, 'generation_config.json') ?? '');
}

it('ends a turn of gpt-oss at its end alone, not at that of a message', () => {
  const harmony = ['<|return|>', '<|start|>', '<|end|>', '<|call|>'];
  expect(endsOf(harmony)).toEqual({ eos_token_id: [0, 3] });
  expect(endsOf(['<|endoftext|>', '<|user|>', '<|end|>'])).toEqual({ eos_token_id: [0, 2] });
});

it('ends a turn of Gemma 4 where a tool is to answer, whose token files show', () => {
  const tokens = ['<eos>', '<turn|>', '<|turn>', '<|tool_response>'];
  expect(endsOf(tokens, ['<|tool_response>'])).toEqual({ eos_token_id: [0, 1, 3] });
});
