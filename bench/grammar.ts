import { rm } from 'node:fs/promises';
import { GRAMMAR_DEFAULTS, GrammarPool } from '../engine/grammar/grammar-pool.js';
import type { GrammarSpec } from '../engine/protocol/request.js';
import { readTokenBytes } from '../engine/text/tokenizer/vocabulary.js';
import type { TokenId } from '../scheduler/ids.js';
import { type Cell, median, publish } from './lib/report.js';
import { syntheticVocabulary } from './lib/synthetic-vocabulary.js';

// The cost of structured output: compiling a grammar, a mask, and the delay of other requests'
// masks while one compiles. With synthetic vocabularies of 2,048 and 151,936 tokens.

const schema = (value: object): GrammarSpec => ({
  kind: 'json-schema',
  source: JSON.stringify(value),
});

const PERSON = {
  type: 'object',
  properties: {
    name: { type: 'string' },
    age: { type: 'integer', minimum: 0, maximum: 150 },
    tags: { type: 'array', items: { type: 'string' } },
    colour: { enum: ['red', 'green', 'blue'] },
  },
  required: ['name', 'age', 'tags', 'colour'],
};

const GRAMMARS: Readonly<Record<string, GrammarSpec>> = {
  'any JSON object': { kind: 'json-object' },
  'four properties': schema(PERSON),
  'a string of at most 20': schema({ type: 'string', maxLength: 20 }),
  'date-time': schema({ type: 'string', format: 'date-time' }),
  'a choice of three': { kind: 'choice', choices: ['red', 'green', 'blue'] },
};

const TEXT =
  '{"name": "Tom, who is ten, \u4f60\u597d", "age": 10, "tags": ["one", "two"], "colour": "red"}';

interface Measured {
  readonly compiled: Cell[][];
  readonly masked: Cell[][];
}

async function measure(vocabSize: number): Promise<Measured> {
  const compiled: Cell[][] = [];
  const masked: Cell[][] = [];
  const modelDir = await syntheticVocabulary(vocabSize);
  const vocabulary = await readTokenBytes(modelDir, vocabSize);
  const eos = (vocabSize - 1) as TokenId;
  const pool = new GrammarPool({ ...GRAMMAR_DEFAULTS, modelDir, vocabSize });
  const constrain = (spec: GrammarSpec) =>
    pool.constrain(
      { spec, client: '', count: 1, stopTokenIds: [eos], eosTokenIds: [eos], isLongest: false },
      new AbortController().signal,
    );
  let start = performance.now();
  (await constrain({ kind: 'choice', choices: ['warm'] }))[0].dispose();
  compiled.push([
    vocabSize,
    'the first one: thread, library, vocabulary',
    performance.now() - start,
    '',
  ]);
  for (const [name, spec] of Object.entries(GRAMMARS)) {
    start = performance.now();
    (await constrain(spec))[0].dispose();
    const compile = performance.now() - start;
    start = performance.now();
    (await constrain(spec))[0].dispose();
    compiled.push([vocabSize, name, compile, performance.now() - start]);
  }
  const byByte = new Map(vocabulary.map((bytes, id) => [bytes.length === 1 ? bytes[0] : -1, id]));
  /** Masks of one text, waited for one by one, as if the model took no time. */
  const masks = async (): Promise<number[]> => {
    const [constraint] = await constrain(schema(PERSON));
    const times: number[] = [];
    for (const byte of Buffer.from(TEXT)) {
      const before = performance.now();
      constraint.mask();
      times.push(performance.now() - before);
      if (constraint.failure)
        throw new Error(`at byte ${times.length}: ${constraint.failure.message}`);
      constraint.accept(byByte.get(byte) as TokenId);
      await new Promise((resolve) => setImmediate(resolve));
    }
    if (constraint.mask() === null || constraint.failure) throw constraint.failure;
    constraint.dispose();
    return times;
  };
  const show = (name: string, times: readonly number[]): void => {
    masked.push([vocabSize, name, median(times), Math.max(...times)]);
  };
  show('nothing else runs', await masks());
  const compiling = constrain(schema({ ...PERSON, title: 'another' }));
  show('another grammar compiles', await masks());
  (await compiling)[0].dispose();
  await pool.close();
  await rm(modelDir, { recursive: true });
  return { compiled, masked };
}

// The pool's threads do not keep a process alive.
const alive = setInterval(() => undefined, 1000);
const small = await measure(2048);
const large = await measure(151_936);
clearInterval(alive);

publish({
  name: 'grammar',
  command: 'npm run bench:grammar',
  about:
    'What structured output costs, in milliseconds: compiling a grammar, the same grammar again, and the masks of one text, waited for one by one as if ' +
    'the model took no time.',
  tables: [
    {
      title: 'Compiling',
      columns: ['tokens in the vocabulary', 'grammar', 'compile', 'again'],
      rows: [...small.compiled, ...large.compiled],
    },
    {
      title: 'A mask',
      columns: ['tokens in the vocabulary', 'while', 'median', 'longest'],
      rows: [...small.masked, ...large.masked],
    },
  ],
});
