import type { Static } from 'typebox';
import type { GrammarSpec } from '../../engine/core/protocol.js';
import { OctavoError } from '../../engine/errors.js';
import { grammarText } from '../../engine/grammar/to-grammar.js';
import type { StructuredOutputSchema } from '../routes/structured-output-fields.js';

type StructuredOutputFields = Static<typeof StructuredOutputSchema>;

/** Options of vLLM's `structured_outputs` that would change the answer, and are not supported. */
const UNSUPPORTED_OPTIONS = ['structural_tag', 'whitespace_pattern'];

/**
 * What a request wants its output to be like; null: nothing.
 *
 * @throws OctavoError `invalid_request` for a wish that cannot be enforced, or for two at once; its `param` is the field
 */
export function grammarOf(body: StructuredOutputFields): GrammarSpec | null {
  const wishes = wishesOf(body);
  if (wishes.length === 0) return null;
  const [[field, spec], another] = wishes;
  if (another) {
    throw new OctavoError('invalid_request', `${field} and ${another[0]} cannot be used together`, {
      param: another[0],
    });
  }
  try {
    grammarText(spec);
  } catch (error) {
    if (!(error instanceof OctavoError)) throw error;
    throw new OctavoError(error.kind, `${field}: ${error.message}`, { param: field, cause: error });
  }
  return spec;
}

function wishesOf(body: StructuredOutputFields): [field: string, spec: GrammarSpec][] {
  const wishes: [string, GrammarSpec][] = [];
  const want = (field: string, spec: GrammarSpec): void => void wishes.push([field, spec]);
  const format = body.response_format;
  if (format?.type === 'json_object') want('response_format', { kind: 'json-object' });
  if (format?.type === 'json_schema') {
    const schema = format.json_schema?.schema;
    const param = 'response_format.json_schema.schema';
    if (schema === undefined || schema === null) {
      throw new OctavoError('invalid_request', `missing required field ${param}`, { param });
    }
    want(param, jsonSchema(schema));
  }
  const { structured_outputs: newer } = body;
  const options: Record<string, unknown> = { ...newer };
  const unsupported = UNSUPPORTED_OPTIONS.find((option) => (options[option] ?? null) !== null);
  if (unsupported !== undefined) {
    const param = `structured_outputs.${unsupported}`;
    throw new OctavoError('invalid_request', `${param} is not supported`, { param });
  }
  const all = [
    ['guided_json', body.guided_json, jsonSchema],
    ['guided_regex', body.guided_regex, (source: string) => ({ kind: 'regex', source })],
    ['guided_choice', body.guided_choice, (choices: string[]) => ({ kind: 'choice', choices })],
    ['guided_grammar', body.guided_grammar, (source: string) => ({ kind: 'ebnf', source })],
    ['structured_outputs.json', newer?.json, jsonSchema],
    ['structured_outputs.regex', newer?.regex, (source: string) => ({ kind: 'regex', source })],
    [
      'structured_outputs.choice',
      newer?.choice,
      (choices: string[]) => ({ kind: 'choice', choices }),
    ],
    ['structured_outputs.grammar', newer?.grammar, (source: string) => ({ kind: 'ebnf', source })],
  ] as const;
  for (const [field, value, specOf] of all) {
    if (value === undefined || value === null) continue;
    want(field, (specOf as (value: unknown) => GrammarSpec)(value));
  }
  if (newer?.json_object === true) want('structured_outputs.json_object', { kind: 'json-object' });
  return wishes;
}

const jsonSchema = (schema: string | object | boolean): GrammarSpec => ({
  kind: 'json-schema',
  source: typeof schema === 'string' ? schema : JSON.stringify(schema),
});
