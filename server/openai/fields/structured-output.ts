import type { Static } from 'typebox';
import { OctavoError } from '../../../engine/errors.js';
import type { FieldGrammar } from '../../../engine/generation/output-constraint.js';
import type { GrammarSpec } from '../../../engine/protocol/request.js';
import type { Settings } from '../../config/settings.js';
import type { StructuredOutputSchema } from './structured-output-fields.js';

type StructuredOutputFields = Static<typeof StructuredOutputSchema>;

/** Options of vLLM's `structured_outputs` that would change the answer, and are not supported. */
const UNSUPPORTED_OPTIONS = ['structural_tag', 'whitespace_pattern'];

/**
 * What a request wants its output to be like; null: nothing. Whether that can be enforced is not
 * known yet: nothing of it is read here.
 *
 * @throws OctavoError `invalid_request` for two wishes at once; its `param` is the field
 */
export function grammarOf(
  body: StructuredOutputFields,
  settings: JsonSettings,
): FieldGrammar | null {
  const wishes = wishesOf(body, isCompact(body, settings));
  if (wishes.length === 0) return null;
  const [[field, spec], another] = wishes;
  if (another) {
    throw new OctavoError('invalid_request', `${field} and ${another[0]} cannot be used together`, {
      param: another[0],
    });
  }
  return { spec, field };
}

/** What the server was started with. */
export type JsonSettings = Pick<Settings, 'disableAnyWhitespace'>;

/** Whether the request's JSON has no white space: as it says, or as the server was started. */
export const isCompact = (body: StructuredOutputFields, settings: JsonSettings): boolean =>
  body.structured_outputs?.disable_any_whitespace ?? settings.disableAnyWhitespace;

function wishesOf(
  body: StructuredOutputFields,
  compact: boolean,
): [field: string, spec: GrammarSpec][] {
  // Absent where it says nothing: specs are keys.
  const form = compact ? { compact } : {};
  const jsonSchema = (schema: string | object | boolean): GrammarSpec => ({
    kind: 'json-schema',
    source: typeof schema === 'string' ? schema : JSON.stringify(schema),
    ...form,
  });
  const wishes: [string, GrammarSpec][] = [];
  const want = (field: string, spec: GrammarSpec): void => void wishes.push([field, spec]);
  const format = body.response_format;
  const own = format?.schema ?? null;
  if (own !== null && format?.type !== 'json_object') {
    const param = 'response_format.schema';
    const message = `${param} is allowed only with type json_object; with json_schema it is response_format.json_schema.schema`;
    throw new OctavoError('invalid_request', message, { param });
  }
  if (format?.type === 'json_object') {
    if (own === null) want('response_format', { kind: 'json-object', ...form });
    else want('response_format.schema', jsonSchema(own));
  }
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
  if (newer?.json_object === true)
    want('structured_outputs.json_object', { kind: 'json-object', ...form });
  return wishes;
}
