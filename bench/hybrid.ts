import type { EngineOptions } from '../engine/protocol/options.js';
import { type EngineRequest, PLAIN_REQUEST } from '../engine/protocol/request.js';
import { GREEDY } from '../engine/sampling/sampling-params.js';
import { type LoadedEngine, loadEngine } from '../engine/thread/load-engine.js';
import type { SequenceId, TokenId } from '../scheduler/ids.js';
import { BENCH_OPTIONS, STEP_TOKENS, THREADS } from './lib/bench-engine.js';
import { type Cell, commandLine, median, publish } from './lib/report.js';
import { ensureCheckpoint } from './models/random-checkpoint.js';

// What checkpoints of states save: the time to the first token of the second turn of a conversation
// of 2,000 tokens, of models whose layers keep a state beside keys and values.

const PROMPT = 1900;
const ANSWER = 60;
const QUESTION = 40;
const TURNS = 5;
/** Its size decides about the head alone, which computes one row of a prompt. */
const VOCAB = 8192;

const SHARED = { vocab_size: VOCAB, max_position_embeddings: 4096, tie_word_embeddings: true };
const MODELS = {
  'LFM2 350M': {
    ...SHARED,
    model_type: 'lfm2',
    hidden_size: 1024,
    num_hidden_layers: 16,
    num_attention_heads: 16,
    num_key_value_heads: 8,
    block_ff_dim: 6656,
    full_attn_idxs: [2, 5, 8, 10, 12, 14],
  },
  'Qwen 3.5 0.8B': {
    ...SHARED,
    model_type: 'qwen3_5_text',
    hidden_size: 1024,
    intermediate_size: 3584,
    num_hidden_layers: 24,
    num_attention_heads: 8,
    num_key_value_heads: 2,
    head_dim: 256,
    linear_num_key_heads: 16,
    linear_num_value_heads: 16,
  },
} as const;

function load(modelDir: string, more: Partial<EngineOptions>): Promise<LoadedEngine> {
  return loadEngine({
    ...BENCH_OPTIONS,
    modelDir,
    maxNumSeqs: 8,
    kvCacheBytes: 2 ** 30,
    kvDtype: 'f32',
    maxModelLength: 2560,
    enablePrefixCaching: true,
    ...more,
  });
}

let numRequests = 0;

function request(promptTokenIds: readonly TokenId[], maxTokens: number): EngineRequest {
  const ids = [`r${numRequests++}` as SequenceId];
  return { ids, promptTokenIds, maxTokens, stopTokenIds: [], sampling: GREEDY, ...PLAIN_REQUEST };
}

const textOf = (length: number, seed: number): TokenId[] =>
  Array.from({ length }, (_, i) => ((i * 7919 + seed * 104_729) % VOCAB) as TokenId);

interface Turn {
  readonly tokens: readonly TokenId[];
  /** Until the first token. */
  readonly ms: number;
  readonly cachedTokens: number;
}

async function ask({ core }: LoadedEngine, asked: EngineRequest): Promise<Turn> {
  const tokens: TokenId[] = [];
  let first: { readonly ms: number; readonly cachedTokens: number } | null = null;
  const start = performance.now();
  core.add(asked);
  while (core.hasWork) {
    for (const output of (await core.step()) ?? []) {
      first ??= { ms: performance.now() - start, cachedTokens: output.cachedTokens };
      tokens.push(...output.tokenIds);
    }
  }
  if (!first) throw new Error('the engine has said nothing');
  return { tokens, ...first };
}

interface Measured {
  readonly cached: readonly Turn[];
  readonly plain: Turn;
  readonly promptTokens: number;
  /** Of the cache, in words. */
  readonly note: string;
}

/** Second turns after the same first one, and one of them without a cache. */
async function measure(directory: string): Promise<Measured> {
  const engine = await load(directory, {});
  const prompt = textOf(PROMPT, 1);
  const { tokens } = await ask(engine, request(prompt, ANSWER));
  const promptOf = (turn: number): TokenId[] => [
    ...prompt,
    ...tokens,
    ...textOf(QUESTION, 2 + turn),
  ];
  const cached: Turn[] = [];
  for (let turn = 0; turn < TURNS; turn++)
    cached.push(await ask(engine, request(promptOf(turn), 1)));
  const note = engine.info.modelNotes?.find((line) => line.includes('checkpoint')) ?? '';
  await engine.runner.dispose();
  const without = await load(directory, { enablePrefixCaching: false });
  const plain = await ask(without, request(promptOf(TURNS - 1), 1));
  await without.runner.dispose();
  if (plain.tokens[0] !== cached[TURNS - 1].tokens[0]) {
    throw new Error('a cached beginning has changed the answer');
  }
  return { cached, plain, promptTokens: promptOf(0).length, note };
}

const rows: Cell[][] = [];
const notes: Cell[][] = [];
for (const [name, config] of Object.entries(MODELS)) {
  const directory = ensureCheckpoint(name.toLowerCase().replaceAll(' ', '-'), config);
  const { cached, plain, promptTokens, note } = await measure(directory);
  const ms = median(cached.map((turn) => turn.ms));
  const hits = median(cached.map((turn) => turn.cachedTokens));
  rows.push([
    name,
    promptTokens,
    `${((100 * hits) / promptTokens).toFixed(1)} %`,
    plain.ms,
    ms,
    plain.ms / ms,
  ]);
  notes.push([name, note]);
}
publish({
  name: 'hybrid',
  command: commandLine('bench:hybrid'),
  about:
    `The second turn of a conversation: a prompt of ${PROMPT} tokens, ${ANSWER} generated ones and a question of ${QUESTION}. Random float32 weights in the shapes ` +
    `of published hybrids, with a vocabulary of ${VOCAB}; ${THREADS} threads, steps of ${STEP_TOKENS} tokens, blocks of 16. With checkpoints: the median of ${TURNS} ` +
    'questions. The first token is the same with and without them.',
  tables: [
    {
      title: 'Time to the first token of the second turn',
      columns: [
        'model',
        'tokens',
        'cached',
        'without a cache, ms',
        'with checkpoints, ms',
        'times as fast',
      ],
      rows,
    },
    { title: 'Memory of checkpoints', columns: ['model', 'a checkpoint'], rows: notes },
  ],
});
