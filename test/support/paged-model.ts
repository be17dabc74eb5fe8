import type { ModelRunner, RowAnswer, RowQuery } from '../../engine/core/model-runner.js';
import type { StepPlan } from '../../scheduler/step-plan.js';
import { answerRows } from './row-answer.js';

const POISON = -1;
/** More than the largest token. */
const CLASSES = 2 ** 20;

/**
 * A language model for tests: its next token is a hash of the whole context, and it reads that context back from
 * pages, as attention does. A wrong block table, a missed copy, a hit on foreign content or an unwritten slot
 * changes the text or throws. So does a page that was written while its sequence was on the other side of a switch length.
 */
export class PagedModel implements ModelRunner {
  readonly steps: StepPlan[] = [];
  readonly queries: RowQuery[] = [];
  readonly timings = { segments: 0, attention: 0 };
  readonly #pages: Int32Array;
  readonly #blockSize: number;
  readonly #vocabSize: number;
  readonly #switchLengths: readonly number[];

  constructor(
    numBlocks: number,
    blockSize: number,
    vocabSize: number,
    switchLengths: readonly number[] = [],
  ) {
    this.#switchLengths = switchLengths;
    this.#pages = new Int32Array(numBlocks * blockSize).fill(POISON);
    this.#blockSize = blockSize;
    this.#vocabSize = vocabSize;
  }

  execute(plan: StepPlan, query: RowQuery): Promise<RowAnswer> {
    this.steps.push(plan);
    this.queries.push(query);
    const size = this.#blockSize;
    for (const { from, to } of plan.blockCopies) {
      this.#pages.copyWithin(to * size, from * size, (from + 1) * size);
    }
    for (const { tokenIds, numComputed, sequenceLength, blocks } of plan.sequences) {
      tokenIds.forEach((token, i) => {
        this.#pages[this.#slot(blocks, numComputed + i)] = this.#keyOf(token, sequenceLength);
      });
    }
    const contexts = plan.sequences.flatMap(({ tokenIds, numComputed, sequenceLength, blocks }) =>
      tokenIds.map((_, i) => () => this.#read(blocks, numComputed + i + 1, sequenceLength)),
    );
    const logits = (row: number): Float32Array => modelLogits(contexts[row](), this.#vocabSize);
    return Promise.resolve(answerRows(query, logits, (row) => modelHidden(contexts[row]())));
  }

  dispose(): Promise<void> {
    return Promise.resolve();
  }

  #read(blocks: readonly number[], length: number, sequenceLength: number): number[] {
    return Array.from({ length }, (_, i) => {
      const key = this.#pages[this.#slot(blocks, i)];
      if (key === POISON) throw new Error(`position ${i} was never written`);
      const token = key % CLASSES;
      if (key === this.#keyOf(token, sequenceLength)) return token;
      throw new Error(`position ${i} was written for another length than ${sequenceLength}`);
    });
  }

  /** What is written for a token of a sequence: its keys differ on each side of a switch length. */
  #keyOf(token: number, sequenceLength: number): number {
    return token + CLASSES * this.#switchLengths.filter((limit) => sequenceLength > limit).length;
  }

  #slot(blocks: readonly number[], position: number): number {
    const size = this.#blockSize;
    return blocks[Math.floor(position / size)] * size + (position % size);
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
