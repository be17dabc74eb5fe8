import { PartedBlockStore } from '../../engine/attention/block-store.js';
import type { ModelRunner } from '../../engine/core/model-runner.js';
import type { LogitsQuery, LogitsResult } from '../../engine/decoding/logits-query.js';
import { type CacheGroup, FULL_ATTENTION } from '../../kvcache/cache-group.js';
import { NO_BLOCK } from '../../kvcache/ids.js';
import type { BlockLoad } from '../../kvcache/tier-contents.js';
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
  /** Default: it can. */
  readonly canCopyBlocks?: boolean;
}

/** The model's pages as cache tiers copy them: tokens, and the state behind the last one. */
class TestPages extends PartedBlockStore {
  readonly bytesPerBlock: number;
  readonly #keys: Int32Array;
  readonly #states: Float64Array;

  constructor(keys: Int32Array, states: Float64Array, blockSize: number) {
    super();
    this.#keys = keys;
    this.#states = states;
    this.bytesPerBlock = blockSize * 4 + STATE_NUMBERS * 8;
  }

  protected parts(block: number): Uint8Array[] {
    const keyBytes = this.bytesPerBlock - STATE_NUMBERS * 8;
    return [
      new Uint8Array(this.#keys.buffer, block * keyBytes, keyBytes),
      new Uint8Array(this.#states.buffer, block * STATE_NUMBERS * 8, STATE_NUMBERS * 8),
    ];
  }
}

/** Tokens, mind and length class of a state. */
const STATE_NUMBERS = 3;

/** What a recurrent layer has kept of a sequence's first tokens. */
interface State {
  readonly numTokens: number;
  readonly mind: number;
  /** On which side of the switch lengths the sequence was. */
  readonly lengthClass: number;
}

/**
 * A language model for tests: its next token is a hash of the whole context, and it reads that
 * context back from pages, as attention does: from those of the first group, and it compares what
 * the windows of the others still see. A wrong block table, a missed copy, a hit on foreign content
 * or an unwritten slot changes the text or throws. So does a page that was written by another
 * adapter, or while its sequence was on the other side of a switch length.
 *
 * A recurrent group keeps the hash itself, as the state behind some tokens: the next token is made
 * of it, so that a state of other tokens changes the text.
 */
export class PagedModel implements ModelRunner {
  readonly canCopyBlocks: boolean;
  readonly steps: StepPlan[] = [];
  readonly queries: LogitsQuery[] = [];
  readonly timings = { segments: 0, attention: 0 };
  readonly #pages: Int32Array;
  /** `[block][STATE_NUMBERS]`; zeros where there is none. */
  readonly #states: Float64Array;
  /** Copies contents into its pages; absent: there are no tiers. */
  loadBlocks: ((loads: readonly BlockLoad[]) => Promise<void>) | null = null;
  readonly pages: PartedBlockStore;
  readonly #blockSize: number;
  readonly #vocabSize: number;
  readonly #groups: readonly CacheGroup[];
  readonly #switchLengths: readonly number[];
  /** Those that were seen, the model alone first. */
  readonly #adapters: (string | null)[] = [null];

  constructor(options: PagedModelOptions) {
    const { numBlocks, blockSize } = options;
    this.canCopyBlocks = options.canCopyBlocks ?? true;
    this.#groups = options.groups ?? [FULL_ATTENTION];
    this.#switchLengths = options.switchLengths ?? [];
    this.#pages = new Int32Array(numBlocks * blockSize).fill(POISON);
    this.#states = new Float64Array(numBlocks * STATE_NUMBERS);
    this.pages = new TestPages(this.#pages, this.#states, blockSize);
    this.#blockSize = blockSize;
    this.#vocabSize = options.vocabSize;
  }

  async execute(plan: StepPlan, query: LogitsQuery): Promise<LogitsResult> {
    this.steps.push(plan);
    this.queries.push(query);
    for (const { from, to } of plan.blockCopies) {
      if (!this.canCopyBlocks) throw new Error('a plan has copies, and blocks cannot be copied');
      this.pages.copy(from, to);
    }
    if (plan.blockLoads) await this.loadBlocks?.(plan.blockLoads);
    for (const sequence of plan.sequences) {
      const { tokenIds, numComputed } = sequence;
      for (const [g, table] of sequence.blockTables.entries()) {
        if (this.#groups[g].kind === 'recurrent') continue;
        tokenIds.forEach((token, i) => {
          this.#pages[this.#slot(table, numComputed + i)] = this.#keyOf(token, sequence, g);
        });
      }
    }
    const contexts = plan.sequences.flatMap((sequence) =>
      sequence.tokenIds.map((_, i) => () => this.#read(sequence, sequence.numComputed + i)),
    );
    // Also where nothing is asked: the keys of a next layer would be made of what windows see.
    if (this.#groups.some(({ kind }) => kind === 'sliding-window')) {
      for (const read of contexts) read();
    }
    // In the order of the plan: a sequence may begin with a state that an earlier one leaves behind
    // in this step.
    const minds = plan.sequences.flatMap((sequence) => this.#recur(sequence));
    const logits = (row: number): Float32Array => {
      const context = contexts[row]();
      return logitsOf(minds[row] ?? mind(context), this.#vocabSize);
    };
    return answerRows(query, logits, (row) => modelHidden(contexts[row]()));
  }

  dispose(): Promise<void> {
    return Promise.resolve();
  }

  /** What the token at a position sees, itself included. */
  #read(sequence: ScheduledSequence, position: number): number[] {
    const context = Array.from({ length: position + 1 }, (_, i) => this.#tokenAt(sequence, i, 0));
    for (const [g, group] of this.#groups.entries()) {
      if (group.kind === 'recurrent') continue;
      const window = group.kind === 'full' ? position + 1 : group.window;
      for (let i = Math.max(0, position - window + 1); i <= position; i++) {
        const token = this.#tokenAt(sequence, i, g);
        if (token !== context[i]) throw new Error(`group ${g} has another token at ${i}`);
      }
    }
    return context;
  }

  /**
   * Takes the step's tokens into the state of the recurrent group, and stores it where the table
   * has a block.
   *
   * @returns the state behind each token; none without a recurrent group
   */
  #recur({ blockTables, tokenIds, numComputed, numProposed, sequenceLength }: ScheduledSequence) {
    const size = this.#blockSize;
    const group = this.#groups.findIndex(({ kind }) => kind === 'recurrent');
    if (group < 0) return [];
    const table = blockTables[group];
    const lengthClass = this.#lengthClass(sequenceLength);
    let numTokens = numComputed;
    let state = NEW_MIND;
    if (numTokens > 0) {
      const stored = this.#stateOf(table[Math.ceil(numTokens / size) - 1]);
      if (stored.numTokens !== numTokens || stored.lengthClass !== lengthClass) {
        throw new Error(`there is no state behind ${numTokens} tokens`);
      }
      state = stored.mind;
    }
    const numKnown = numTokens + tokenIds.length - numProposed;
    return tokenIds.map((token) => {
      state = next(state, token);
      numTokens += 1;
      const block = table[Math.ceil(numTokens / size) - 1];
      const isStored = numTokens === numKnown || (numTokens < numKnown && numTokens % size === 0);
      if (isStored && block !== NO_BLOCK)
        this.#states.set([numTokens, state, lengthClass], block * STATE_NUMBERS);
      return state;
    });
  }

  #stateOf(block: number): State {
    const at = block * STATE_NUMBERS;
    const [numTokens, state, lengthClass] = this.#states.subarray(at, at + STATE_NUMBERS);
    return { numTokens, mind: state, lengthClass };
  }

  #tokenAt(sequence: ScheduledSequence, position: number, group: number): number {
    const key = this.#pages[this.#slot(sequence.blockTables[group], position)];
    if (key === POISON) throw new Error(`position ${position} was never written`);
    const token = key % CLASSES;
    if (key === this.#keyOf(token, sequence, group)) return token;
    throw new Error(`position ${position} was written for another length, adapter or group`);
  }

  /** What is written for a token: it differs by group, adapter, and side of a switch length. */
  #keyOf(
    token: number,
    { sequenceLength, adapter }: Pick<ScheduledSequence, 'sequenceLength' | 'adapter'>,
    group: number,
  ): number {
    const [length, owner] = [this.#lengthClass(sequenceLength), this.#adapterClass(adapter)];
    return token + CLASSES * (length + 4 * group + 32 * owner);
  }

  #adapterClass(adapter: string | null): number {
    const known = this.#adapters.indexOf(adapter);
    return known >= 0 ? known : this.#adapters.push(adapter) - 1;
  }

  #lengthClass(sequenceLength: number): number {
    return this.#switchLengths.filter((limit) => sequenceLength > limit).length;
  }

  #slot(table: readonly number[], position: number): number {
    const size = this.#blockSize;
    const block = table[Math.floor(position / size)];
    if (block === NO_BLOCK) throw new Error(`position ${position} is given back`);
    return block * size + (position % size);
  }
}

const NEW_MIND = 0x811c9dc5;

function next(state: number, token: number): number {
  return Math.imul(state ^ token, 0x01000193) >>> 0;
}

/** The model's whole mind: FNV-1a over the context. */
function mind(context: readonly number[]): number {
  let state = NEW_MIND;
  for (const token of context) state = next(state, token);
  return state;
}

/** The likeliest token after a context. */
export function nextToken(context: readonly number[], vocabSize: number): number {
  return mind(context) % vocabSize;
}

/** Logits after a context: 1 for the next token, something below for the others. */
export function modelLogits(context: readonly number[], vocabSize: number): Float32Array {
  return logitsOf(mind(context), vocabSize);
}

function logitsOf(h: number, vocabSize: number): Float32Array {
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
