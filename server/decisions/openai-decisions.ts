import { type Static, Type } from 'typebox';
import { OctavoError } from '../../engine/errors.js';
import type { Message } from '../../engine/generation/message.js';
import { COMMON_FIELDS } from '../openai/fields/request-fields.js';
import {
  confidenceOf,
  type Distribution,
  expectedLevel,
  likeliest,
  type Question,
  TRUE_OR_FALSE,
} from './questions.js';

const { model, safety_identifier, priority, cache_salt, prompt_cache_key } = COMMON_FIELDS;

const Text = Type.String({ minLength: 1 });

const TextPart = Type.Object({
  type: Type.Enum(['input_text', 'output_text']),
  text: Type.String(),
});

const JsonPart = Type.Object({
  type: Type.Literal('input_json'),
  data: Type.Union([Type.Record(Type.String(), Type.Unknown()), Type.Array(Type.Unknown())]),
});

const InputMessage = Type.Object({
  type: Type.Optional(Type.Literal('message')),
  role: Type.Enum(['user', 'developer', 'system', 'assistant']),
  content: Type.Union([
    Type.String(),
    Type.Array(Type.Union([TextPart, JsonPart]), { minItems: 1 }),
  ]),
});

const Shared = {
  name: Type.Optional(Text),
  instructions: Type.Union([Text, Type.Array(Type.Union([TextPart, JsonPart]), { minItems: 1 })]),
};

const Described = { description: Type.Optional(Type.String()) };

const QuestionSchema = Type.Union([
  Type.Object({ ...Shared, type: Type.Literal('predicate') }),
  Type.Object({
    ...Shared,
    type: Type.Literal('choice'),
    choices: Type.Array(Type.Object({ ...Described, value: Type.Union([Text, Type.Boolean()]) }), {
      minItems: 2,
      maxItems: 255,
    }),
  }),
  Type.Object({
    ...Shared,
    type: Type.Literal('score'),
    levels: Type.Array(Type.Object({ ...Described, label: Text }), { minItems: 2, maxItems: 10 }),
  }),
]);

/** OpenAI's Decisions API, as its client of 2026 has it; texts only. */
export const DecisionSchema = Type.Object({
  model,
  input: Type.Union([Text, Type.Array(InputMessage, { minItems: 1, maxItems: 2048 })]),
  questions: Type.Array(QuestionSchema, { minItems: 1, maxItems: 400 }),
  prompt_cache_key,
  safety_identifier,
  priority,
  cache_salt,
});

export type DecisionBody = Static<typeof DecisionSchema>;
type AskedQuestion = DecisionBody['questions'][number];

export function messagesOf(input: DecisionBody['input']): Message[] {
  if (typeof input === 'string') return [{ role: 'user', content: input }];
  return input.map(({ role, content }) => ({
    role,
    content: typeof content === 'string' ? content : content.map(textOf).join('\n'),
  }));
}

const textOf = (part: Static<typeof TextPart> | Static<typeof JsonPart>): string =>
  part.type === 'input_json' ? JSON.stringify(part.data) : part.text;

/** @throws OctavoError `invalid_request` for two equal choices or names */
export function questionsOf(asked: DecisionBody['questions']): Question[] {
  const names = asked.flatMap(({ name }) => name ?? []);
  assertUnique(names, 'questions', 'names');
  return asked.map((question, index) => {
    const { instructions } = question;
    const text =
      typeof instructions === 'string' ? instructions : instructions.map(textOf).join('\n');
    const param = `questions[${index}]`;
    if (question.type === 'choice') {
      const values = question.choices.map(({ value }) => JSON.stringify(value));
      assertUnique(values, param, 'choices');
    }
    return { instructions: text, options: optionsOf(question).map((t) => ({ text: t })), param };
  });
}

function assertUnique(values: readonly string[], param: string, what: string): void {
  if (new Set(values).size === values.length) return;
  throw new OctavoError('invalid_request', `${param}: ${what} must differ`, { param });
}

function optionsOf(question: AskedQuestion): string[] {
  const described = (name: string, description?: string): string =>
    description === undefined ? name : `${name} (${description})`;
  switch (question.type) {
    case 'predicate':
      return [...TRUE_OR_FALSE];
    case 'choice':
      return question.choices.map(({ value, description }) =>
        described(String(value), description),
      );
    case 'score':
      return question.levels.map(({ label, description }) => described(label, description));
  }
}

export function answerOf(question: AskedQuestion, shares: Distribution): object {
  const name = question.name ?? null;
  switch (question.type) {
    case 'predicate':
      return { type: 'predicate', name, probability: shares[0] };
    case 'choice':
      return {
        type: 'choice',
        name,
        choice: question.choices[likeliest(shares)].value,
        confidence: confidenceOf(shares),
        probabilities: question.choices.map(({ value }, i) => ({ value, probability: shares[i] })),
      };
    case 'score':
      return {
        type: 'score',
        name,
        score: expectedLevel(shares),
        confidence: confidenceOf(shares),
        probabilities: question.levels.map(({ label }, value) => ({
          value,
          label,
          probability: shares[value],
        })),
      };
  }
}
