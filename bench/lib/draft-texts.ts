import type { ModelRunner } from '../../engine/core/model-runner.js';
import type { LogitsQuery } from '../../engine/decoding/logits-query.js';
import type { StepPlan } from '../../scheduler/step-plan.js';

/**
 * Makes a draft model say given texts: its runs take their time, and of their answers the likeliest
 * token is replaced. So the acceptance rate is chosen, whatever the weights say. It is for greedy
 * requests with prompts of one length.
 */
export class DraftTexts {
  readonly #promptLength: number;
  #texts: readonly (readonly number[])[] = [];
  /** Sequences that began before those of the present texts. */
  #first = 0;

  constructor(runner: ModelRunner, promptLength: number) {
    this.#promptLength = promptLength;
    const execute = runner.execute.bind(runner);
    runner.execute = async (plan, query) => {
      const answer = await execute(plan, query);
      this.#write(plan, query, answer.topIds);
      return answer;
    };
  }

  /** Of the next sequences that begin, in their order. */
  set(texts: readonly (readonly number[])[]): void {
    this.#first += this.#texts.length;
    this.#texts = texts;
  }

  #write({ sequences }: StepPlan, { logitRows, topK }: LogitsQuery, topIds: Int32Array): void {
    let [row, asked] = [0, 0];
    for (const { id, numComputed, tokenIds } of sequences) {
      row += tokenIds.length;
      if (logitRows[asked] !== row - 1) continue;
      // `ModelDrafter` numbers its sequences.
      const text = this.#texts[Number(id.slice(id.lastIndexOf('-') + 1)) - this.#first];
      const token = text?.[numComputed + tokenIds.length - this.#promptLength];
      if (token !== undefined) topIds[asked * topK] = token;
      asked += 1;
    }
  }
}
