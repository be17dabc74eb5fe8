import type { ModelRunner } from '../../engine/core/model-runner.js';
import type { StepPlan } from '../../scheduler/step-plan.js';

const POISON = -1;

/**
 * A language model for tests: its next token is a hash of the whole context, and it reads that context back from
 * pages, as attention does. A wrong block table, a missed copy, a hit on foreign content or an unwritten slot
 * changes the text or throws.
 */
export class PagedModel implements ModelRunner {
  readonly steps: StepPlan[] = [];
  readonly timings = { segments: 0, attention: 0 };
  readonly #pages: Int32Array;
  readonly #blockSize: number;
  readonly #vocabSize: number;

  constructor(numBlocks: number, blockSize: number, vocabSize: number) {
    this.#pages = new Int32Array(numBlocks * blockSize).fill(POISON);
    this.#blockSize = blockSize;
    this.#vocabSize = vocabSize;
  }

  execute(plan: StepPlan): Promise<Float32Array> {
    this.steps.push(plan);
    const size = this.#blockSize;
    for (const { from, to } of plan.blockCopies) {
      this.#pages.copyWithin(to * size, from * size, (from + 1) * size);
    }
    for (const { tokenIds, numComputed, blocks } of plan.sequences) {
      tokenIds.forEach((token, i) => {
        this.#pages[this.#slot(blocks, numComputed + i)] = token;
      });
    }
    const sampled = plan.sequences.filter(({ samplers }) => samplers.length > 0);
    const logits = new Float32Array(sampled.length * this.#vocabSize);
    sampled.forEach(({ tokenIds, numComputed, blocks }, row) => {
      const context: number[] = [];
      for (let i = 0; i < numComputed + tokenIds.length; i++) {
        const token = this.#pages[this.#slot(blocks, i)];
        if (token === POISON) throw new Error(`position ${i} was never written`);
        context.push(token);
      }
      logits[row * this.#vocabSize + nextToken(context, this.#vocabSize)] = 1;
    });
    return Promise.resolve(logits);
  }

  dispose(): Promise<void> {
    return Promise.resolve();
  }

  #slot(blocks: readonly number[], position: number): number {
    const size = this.#blockSize;
    return blocks[Math.floor(position / size)] * size + (position % size);
  }
}

/** The model's whole mind: FNV-1a over the context. */
export function nextToken(context: readonly number[], vocabSize: number): number {
  let h = 0x811c9dc5;
  for (const token of context) h = Math.imul(h ^ token, 0x01000193) >>> 0;
  return h % vocabSize;
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
