import { beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import {
  type TrainedAnswer,
  trainedAnswers,
  trainedModel,
} from '../../bench/models/trained-model.js';
import { ExportRunner } from '../support/export-fixtures.js';
import { startOctavo } from '../support/octavo-process.js';

const answers = trainedAnswers();
let model: Awaited<ReturnType<typeof trainedModel>>;
// To fetch it may take a minute; each command of it has a limit of its own.
beforeAll(async () => void (model = await trainedModel()), 2_000_000);

interface Completion {
  readonly choices: readonly {
    readonly message: { readonly content: string };
    readonly finish_reason: string;
  }[];
  readonly usage: { readonly prompt_tokens: number };
}

async function chat(url: string, { question, tokens }: TrainedAnswer): Promise<Completion> {
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      model: 'smollm2',
      messages: [{ role: 'user', content: question }],
      temperature: 0,
      max_tokens: tokens.length,
    }),
  });
  return (await response.json()) as Completion;
}

describe('SmolLM2-135M-Instruct, trained weights of 4 bits', () => {
  it('has answers to compare with', () => {
    expect(answers.length).toBeGreaterThan(3);
    expect(answers[0].answer).toBe('The capital of France is Paris.');
  });

  it('takes the tokens that transformers takes, alone and beside others', async ({ skip }) => {
    skip(model.absent !== undefined, model.absent);
    const runner = await ExportRunner.load(model.file, { servedLength: 256 });
    onTestFinished(() => runner.dispose());
    const prompts = answers.map(({ prompt }) => prompt);
    const count = answers[0].tokens.length;
    const together = await runner.generate(prompts, count, 24);
    expect(together.map(({ tokens }) => tokens)).toEqual(answers.map(({ tokens }) => tokens));
    for (const [i, prompt] of prompts.slice(0, 1).entries()) {
      const [alone] = await runner.generate([prompt], count, 64);
      expect(alone.tokens).toEqual(answers[i].tokens);
    }
  }, 480_000);

  it('answers in chats as transformers does, four at once', async ({ skip }) => {
    skip(model.absent !== undefined, model.absent);
    const args = [
      '--model',
      model.file,
      '--served-model-name',
      'smollm2',
      '--activations',
      'exact',
    ];
    const { url } = await startOctavo([...args, '--max-model-len', '512']);
    const completions = await Promise.all(answers.map((answer) => chat(url, answer)));
    for (const [i, { choices, usage }] of completions.entries()) {
      const { answer, ends, prompt } = answers[i];
      expect(choices[0].message.content).toBe(answer);
      expect(choices[0].finish_reason).toBe(ends ? 'stop' : 'length');
      expect(usage.prompt_tokens).toBe(prompt.length);
    }
  }, 480_000);
});
