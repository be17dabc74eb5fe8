import type { ModelRunner } from '../../engine/core/model-runner.js';
import type { LogitsQuery, LogitsResult } from '../../engine/decoding/logits-query.js';
import { type CacheGroup, FULL_ATTENTION } from '../../kvcache/cache-group.js';
import { NO_BLOCK } from '../../kvcache/ids.js';
import type { ScheduledSequence, StepPlan } from '../../scheduler/step-plan.js';
import { answerRows } from './logits-result.js';

const POISON = -1;
/** More than the largest token. */
const CLASSES = 2 ** 20;

export interface PagedModelOptions {
  readonly numBlocks: number;
  readonly blockSize: number;
  readonly vocabSize: number;
  /** The first one is full. */
  readonly groups?: readonly CacheGroup[];
  readonly switchLengths?: readonly number[];
}

/**
 * A language model for tests: its next token is a hash of the whole context, and it reads that
 * context back from pages, as attention does: from those of the first group, and it compares what
 * the windows of the others still see. A wrong block table, a missed copy, a hit on foreign content
 * or an unwritten slot changes the text or throws. So does a page that was written while its
 * sequence was on the other side of a switch length.
 */
export class PagedModel implements ModelRunner {
  readonly steps: StepPlan[] = [];
  readonly queries: LogitsQuery[] = [];
  readonly timings = { segments: 0, attention: 0 };
  readonly #pages: Int32Array;
  readonly #blockSize: number;
  readonly #vocabSize: number;
  readonly #groups: readonly CacheGroup[];
  readonly #switchLengths: readonly number[];

  constructor(options: PagedModelOptions) {
    const { numBlocks, blockSize } = options;
    this.#groups = options.groups ?? [FULL_ATTENTION];
    this.#switchLengths = options.switchLengths ?? [];
    this.#pages = new Int32Array(numBlocks * blockSize).fill(POISON);
    this.#blockSize = blockSize;
    this.#vocabSize = options.vocabSize;
  }

  execute(plan: StepPlan, query: LogitsQuery): Promise<LogitsResult> {
    this.steps.push(plan);
    this.queries.push(query);
    const size = this.#blockSize;
    for (const { from, to } of plan.blockCopies) {
      this.#pages.copyWithin(to * size, from * size, (from + 1) * size);
    }
    for (const { tokenIds, numComputed, sequenceLength, blockTables } of plan.sequences) {
      for (const [g, table] of blockTables.entries()) {
        tokenIds.forEach((token, i) => {
          this.#pages[this.#slot(table, numComputed + i)] = this.#keyOf(token, sequenceLength, g);
        });
      }
    }
    const contexts = plan.sequences.flatMap((sequence) =>
      sequence.tokenIds.map((_, i) => () => this.#read(sequence, sequence.numComputed + i)),
    );
    const logits = (row: number): Float32Array => modelLogits(contexts[row](), this.#vocabSize);
    return Promise.resolve(answerRows(query, logits, (row) => modelHidden(contexts[row]())));
  }

  dispose(): Promise<void> {
    return Promise.resolve();
  }

  /** What the token at a position sees, itself included. */
  #read({ blockTables, sequenceLength }: ScheduledSequence, position: number): number[] {
    const context = Array.from({ length: position + 1 }, (_, i) =>
      this.#tokenAt(blockTables[0], i, sequenceLength, 0),
    );
    for (const [g, group] of this.#groups.entries()) {
      const window = group.kind === 'full' ? position + 1 : group.window;
      for (let i = Math.max(0, position - window + 1); i <= position; i++) {
        const token = this.#tokenAt(blockTables[g], i, sequenceLength, g);
        if (token !== context[i]) throw new Error(`group ${g} has another token at ${i}`);
      }
    }
    return context;
  }

  #tokenAt(table: readonly number[], position: number, sequenceLength: number, group: number) {
    const key = this.#pages[this.#slot(table, position)];
    if (key === POISON) throw new Error(`position ${position} was never written`);
    const token = key % CLASSES;
    if (key === this.#keyOf(token, sequenceLength, group)) return token;
    throw new Error(`position ${position} was written for another length or group`);
  }

  /** What is written for a token: its keys differ by group, and on each side of a switch length. */
  #keyOf(token: number, sequenceLength: number, group: number): number {
    const { length } = this.#switchLengths.filter((limit) => sequenceLength > limit);
    return token + CLASSES * (length + 16 * group);
  }

  #slot(table: readonly number[], position: number): number {
    const size = this.#blockSize;
    const block = table[Math.floor(position / size)];
    if (block === NO_BLOCK) throw new Error(`position ${position} is given back`);
    return block * size + (position % size);
  }
}

/** The model's whole mind: FNV-1a over the context. */
function mind(context: readonly number[]): number {
  let h = 0x811c9dc5;
  for (const token of context) h = Math.imul(h ^ token, 0x01000193) >>> 0;
  return h;
}

/** The likeliest token after a context. */
export function nextToken(context: readonly number[], vocabSize: number): number {
  return mind(context) % vocabSize;
}

/** Logits after a context: 1 for the next token, something below for the others. */
export function modelLogits(context: readonly number[], vocabSize: number): Float32Array {
  const h = mind(context);
  const logits = Float32Array.from({ length: vocabSize }, (_, t) => Math.sin(h * 0.01 + t * t) / 2);
  logits[h % vocabSize] = 1;
  return logits;
}

/** Hidden state after a context. */
export function modelHidden(context: readonly number[]): number[] {
  return [Math.sin(mind(context)), context.length, context.at(-1) ?? 0];
}

/** What the model says after a prompt when it is alone. */
export function expectedText(
  prompt: readonly number[],
  maxTokens: number,
  vocabSize: number,
  stopTokens: readonly number[] = [],
): number[] {
  const tokens = [...prompt];
  while (tokens.length < prompt.length + maxTokens) {
    tokens.push(nextToken(tokens, vocabSize));
    if (stopTokens.includes(tokens[tokens.length - 1])) break;
  }
  return tokens.slice(prompt.length);
}
