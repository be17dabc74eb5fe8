import { type Static, Type } from 'typebox';
import { COMMON_FIELDS, Nullable } from '../openai/fields/request-fields.js';
import {
  confidenceOf,
  type Distribution,
  expectedLevel,
  likeliest,
  type Question,
  TRUE_OR_FALSE,
} from './questions.js';

const { model, priority, cache_salt } = COMMON_FIELDS;

/** A text, or JSON that the model reads as it is. */
const Content = Type.Union([
  Type.String({ minLength: 1 }),
  Type.Record(Type.String(), Type.Unknown()),
  Type.Array(Type.Unknown()),
]);

const Described = Type.Union([Content, Type.Null()]);

const QuestionSchema = Type.Union([
  Type.Object({
    type: Type.Literal('noul'),
    instructions: Content,
    criteria: Nullable(
      Type.Object({ true: Type.Optional(Described), false: Type.Optional(Described) }),
    ),
  }),
  Type.Object({
    type: Type.Literal('choice'),
    instructions: Content,
    criteria: Type.Record(Type.String(), Described, { minProperties: 2, maxProperties: 255 }),
  }),
  Type.Object({
    type: Type.Literal('score'),
    instructions: Content,
    criteria: Type.Array(Content, { minItems: 2, maxItems: 10 }),
  }),
]);

/** TypeSafe's System One API, which other servers have as well; texts only. */
export const SystemOneSchema = Type.Object({
  model,
  state: Content,
  questions: Type.Record(Type.String(), QuestionSchema, { minProperties: 1, maxProperties: 400 }),
  priority,
  cache_salt,
});

export type SystemOneBody = Static<typeof SystemOneSchema>;
type AskedQuestion = SystemOneBody['questions'][string];

export const contentText = (content: Static<typeof Content>): string =>
  typeof content === 'string' ? content : JSON.stringify(content);

/** In the order of their names in the request. */
export function systemOneQuestions(asked: SystemOneBody['questions']): Question[] {
  return Object.entries(asked).map(([name, question]) => ({
    instructions: contentText(question.instructions),
    options: optionsOf(question).map((text) => ({ text })),
    param: `questions.${name}`,
  }));
}

function optionsOf(question: AskedQuestion): string[] {
  const described = (name: string, text: Static<typeof Described> | undefined): string =>
    text === undefined || text === null ? name : `${name} (${contentText(text)})`;
  switch (question.type) {
    case 'noul':
      return TRUE_OR_FALSE.map((name) => described(name, question.criteria?.[name]));
    case 'choice':
      return Object.entries(question.criteria).map(([name, text]) => described(name, text));
    case 'score':
      return question.criteria.map(contentText);
  }
}

export function systemOneAnswer(question: AskedQuestion, shares: Distribution): object {
  switch (question.type) {
    case 'noul':
      return { type: 'noul', noul: shares[0] };
    case 'choice': {
      const names = Object.keys(question.criteria);
      return {
        type: 'choice',
        choice: names[likeliest(shares)],
        probabilities: Object.fromEntries(names.map((name, i) => [name, shares[i]])),
        confidence: confidenceOf(shares),
      };
    }
    case 'score':
      return {
        type: 'score',
        score: expectedLevel(shares),
        legend: Object.fromEntries(question.criteria.map((text, i) => [i, text])),
        probabilities: Object.fromEntries(shares.map((share, i) => [i, share])),
        confidence: confidenceOf(shares),
      };
  }
}
