import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { getLlama, type LlamaContextSequence, LlamaLogLevel, type Token } from 'node-llama-cpp';

// What llama.cpp says of SmolLM2-135M-Instruct, for test/engine/gguf/llama-cpp.test.ts. Run by hand
// after the peers are installed (`npm install --ignore-scripts` here):
//
//     python test/fixtures/smollm2/float32.py model.gguf /tmp/float32.gguf
//     node --import tsx bench/peers/llama-golden.ts model.gguf /tmp/float32.gguf
//
// The first file is what tests fetch, the second has the numbers of its weights in float32. On it,
// llama.cpp computes as Octavo does; on the first, it rounds activations to 8 bits.

const GOLDEN = fileURLToPath(new URL('../../test/fixtures/smollm2/llama.json', import.meta.url));
const NEW_TOKENS = 40;
/** Difference of log-probabilities of the first and the second; a smaller one is a near tie. */
const LEAST_LEAD = 2e-2;

const SYSTEM = 'You are a helpful AI assistant named SmolLM, trained by Hugging Face';
const QUESTIONS = [
  'What is the capital of France?',
  'List five fruits.',
  'What color is the sky?',
  'Write a short poem about the sea.',
  'Explain in two sentences why leaves are green.',
  'How many days does a week have?',
  'Translate to French: good morning.',
];
const TEXTS = [
  ' two  spaces, a\ttab,\n\n\nlines\r\nand a no-break\u00a0space ',
  "don't WE'LL they've 3.14159 and 1,000,000 or 0x1F",
  'naïve déjà vu Ünïcode — “quotes” … 世界 مرحبا नमस्ते',
  '🙂👩‍👩‍👧‍👦 and e\u0301 (combining)',
  'def f(x):\n    return {"a": [x**2 for _ in range(10)]}\n',
  '<|im_start|>user\nhi<|im_end|>',
  'trailing spaces   ',
  '',
];

const [packed, float32] = process.argv.slice(2);
const llama = await getLlama({
  gpu: false,
  build: 'never',
  maxThreads: 2,
  logLevel: LlamaLogLevel.error,
});

interface Answer {
  readonly tokens: readonly number[];
  /** Of the first token over the second, by log-probability. */
  readonly leads: readonly number[];
}

async function greedy(sequence: LlamaContextSequence, prompt: readonly Token[]): Promise<Answer> {
  await sequence.clearHistory();
  const tokens: number[] = [];
  const leads: number[] = [];
  const options = { temperature: 0, yieldEogToken: true };
  const wanted = { probabilities: true } as const;
  for await (const step of sequence.evaluateWithMetadata([...prompt], wanted, options)) {
    const [first, second] = [...step.probabilities.values()].sort((a, b) => b - a);
    tokens.push(step.token);
    leads.push(Math.log(first) - Math.log(second));
    // Past the end of the text, too: more to compare.
    if (tokens.length === NEW_TOKENS) break;
  }
  return { tokens, leads };
}

async function ask(file: string) {
  const model = await llama.loadModel({ modelPath: file });
  const context = await model.createContext({
    contextSize: 512,
    threads: { ideal: 2, min: 2 },
    experimentalKvCacheKeyType: 'F32',
    experimentalKvCacheValueType: 'F32',
  });
  const sequence = context.getSequence();
  const answers = [];
  for (const question of QUESTIONS) {
    const turns = [`system\n${SYSTEM}`, `user\n${question}`];
    const text = `${turns.map((turn) => `<|im_start|>${turn}<|im_end|>\n`).join('')}<|im_start|>assistant\n`;
    const prompt = model.tokenize(text, true);
    answers.push({ question, prompt, ...(await greedy(sequence, prompt)) });
  }
  const texts = TEXTS.map((text) => ({
    text,
    tokens: model.tokenize(text, false),
    withSpecial: model.tokenize(text, true),
  }));
  await model.dispose();
  return { answers, texts };
}

const rounded = await ask(packed);
const exact = await ask(float32);
const answers = exact.answers.map(({ question, prompt, tokens, leads }, i) => {
  const tie = leads.findIndex((lead) => lead < LEAST_LEAD);
  const certain = tie < 0 ? tokens : tokens.slice(0, tie);
  return { question, prompt, tokens: certain, rounded: rounded.answers[i].tokens };
});
const { version } = JSON.parse(
  readFileSync(new URL('./node_modules/node-llama-cpp/package.json', import.meta.url), 'utf8'),
) as { version: string };
const by = `node-llama-cpp ${version}, llama.cpp ${llama.llamaCppRelease.release}`;
const golden = { by, texts: rounded.texts, answers };
const lists = (text: string): string =>
  text.replaceAll(/\[[\d,\s]*\]/g, (list) => list.replaceAll(/\s+/g, ' '));
writeFileSync(GOLDEN, `${lists(JSON.stringify(golden, null, 1))}\n`);
process.exit(0);
