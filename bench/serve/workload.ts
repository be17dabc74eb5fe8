import { LengthSampler, lengthsOf } from './lengths.js';
import type { WorkloadOptions } from './options.js';
import { RandomStream } from './random-stream.js';

/** A request's prompt, in one of the three forms that endpoints take. */
export type Prompt =
  | { readonly kind: 'ids'; readonly ids: readonly number[] }
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'messages'; readonly messages: readonly Message[] };

export interface Message {
  readonly role: 'system' | 'user' | 'assistant';
  readonly content: string;
}

export interface Conversation {
  readonly index: number;
  /** Tokens that each turn generates. */
  readonly outputTokens: readonly number[];
  /** @param answers what the earlier turns have been answered */
  prompt(answers: readonly string[]): Prompt;
}

/** Ids below it are special tokens in many vocabularies. */
const FIRST_ID = 10;

/** Short and common, so that nearly every tokenizer has each as one token with its space. */
const WORDS =
  'the of and to in is you that it he was for on are as with his they at be this have from or one had by word but not what all were we when your can said there use an each which she do how their if will up other about out many then them these so some her would make like him into time has look two more write go see number no way could people my than first water been call who oil its now find long down day did get come made may part'.split(
    ' ',
  );

/**
 * Makes conversations from the seed: the n-th is the same however many are made, in whatever order.
 */
export class Workload {
  readonly #options: WorkloadOptions;
  readonly #chat: boolean;
  readonly #input: LengthSampler;
  readonly #output: LengthSampler;

  constructor(options: WorkloadOptions, chat: boolean) {
    this.#options = options;
    this.#chat = chat;
    const { input, output } = lengthsOf(options);
    this.#input = new LengthSampler(input);
    this.#output = new LengthSampler(output);
  }

  conversation(index: number): Conversation {
    const { seed, turns, prefixGroups, sharedPrefix } = this.#options;
    const lengths = new RandomStream(seed, 'lengths', index);
    const inputs = Array.from({ length: turns }, () => this.#input.sample(lengths));
    const outputTokens = Array.from({ length: turns }, () => this.#output.sample(lengths));
    const prefix = new RandomStream(seed, 'prefix', index % prefixGroups);
    const own = new RandomStream(seed, 'prompt', index);
    if (this.#options.promptFormat === 'ids') {
      const ids = [...this.#ids(prefix, sharedPrefix), ...this.#ids(own, inputs[0])];
      return { index, outputTokens, prompt: () => ({ kind: 'ids', ids }) };
    }
    const system = words(prefix, sharedPrefix);
    const questions = inputs.map((length) => words(own, length));
    const prompt = this.#chat ? chatPrompt : textPrompt;
    return { index, outputTokens, prompt: (answers) => prompt(system, questions, answers) };
  }

  #ids(random: RandomStream, length: number): number[] {
    const { vocabSize } = this.#options;
    const first = Math.min(FIRST_ID, vocabSize - 1);
    return Array.from({ length }, () => random.integer(first, vocabSize));
  }
}

function words(random: RandomStream, count: number): string {
  return Array.from({ length: count }, () => WORDS[random.integer(0, WORDS.length)]).join(' ');
}

function chatPrompt(
  system: string,
  questions: readonly string[],
  answers: readonly string[],
): Prompt {
  const messages: Message[] = system === '' ? [] : [{ role: 'system', content: system }];
  for (const [turn, content] of questions.slice(0, answers.length + 1).entries()) {
    messages.push({ role: 'user', content });
    if (turn < answers.length) messages.push({ role: 'assistant', content: answers[turn] });
  }
  return { kind: 'messages', messages };
}

function textPrompt(
  system: string,
  questions: readonly string[],
  answers: readonly string[],
): Prompt {
  const past = answers.map((answer, turn) => `${questions[turn]}${answer} `).join('');
  const text = `${past}${questions[answers.length]}`;
  return { kind: 'text', text: system === '' ? text : `${system} ${text}` };
}
