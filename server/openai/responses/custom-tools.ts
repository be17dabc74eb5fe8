import { type Static, Type } from 'typebox';
import { FUNCTION_NAME } from '../../../engine/tools/tool-format.js';
import { Nullable } from '../fields/request-fields.js';

const Format = Type.Union([
  Type.Object({ type: Type.Literal('text') }),
  Type.Object({
    type: Type.Literal('grammar'),
    syntax: Type.Enum(['lark', 'regex']),
    definition: Type.String({ minLength: 1 }),
  }),
]);

/** A tool whose input is a text in place of JSON arguments. */
export const CustomTool = Type.Object({
  type: Type.Literal('custom'),
  name: Type.String({ pattern: FUNCTION_NAME.source }),
  description: Nullable(Type.String()),
  format: Nullable(Format),
});

export type CustomTool = Static<typeof CustomTool>;

/** Its Lark grammar; null for none. */
export const larkOf = ({ format }: CustomTool): string | null =>
  format?.type === 'grammar' && format.syntax === 'lark' ? format.definition : null;

/**
 * The function that stands for a custom tool: chat templates and models know nothing else. The text
 * is its only argument.
 */
export function toFunction({ name, description, format }: CustomTool) {
  const isRegex = format?.type === 'grammar' && format.syntax === 'regex';
  const pattern = isRegex ? { pattern: `^(?:${format.definition})$` } : {};
  return {
    name,
    description: description ?? null,
    parameters: {
      type: 'object',
      properties: { input: { type: 'string', ...pattern } },
      required: ['input'],
      additionalProperties: false,
    },
    strict: format?.type === 'grammar',
  };
}

/** The arguments of that function, as earlier turns show them to the model. */
export const toArguments = (input: string): string => JSON.stringify({ input });
