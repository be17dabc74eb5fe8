import { type Static, Type } from 'typebox';
import { FUNCTION_NAME } from '../../../engine/tools/tool-format.js';
import { Nullable } from './request-fields.js';

/** OpenAI's limit. */
export const MAX_TOOLS = 128;

const FunctionSchema = Type.Object({
  name: Type.String({ pattern: FUNCTION_NAME.source }),
  description: Nullable(Type.String()),
  /** JSON schema of the arguments; without it the function takes none. */
  parameters: Nullable(Type.Object({})),
  strict: Nullable(Type.Boolean()),
});

const NamedTool = Type.Object({
  type: Type.Literal('function'),
  function: Type.Object({ name: Type.String() }),
});

const AllowedTools = Type.Object({
  type: Type.Literal('allowed_tools'),
  allowed_tools: Type.Object({
    mode: Type.Enum(['auto', 'required']),
    tools: Type.Array(NamedTool, { minItems: 1 }),
  }),
});

/** Request fields of chat completions that are about tools. */
export const TOOL_FIELDS = {
  tools: Nullable(
    Type.Array(Type.Object({ type: Type.Literal('function'), function: FunctionSchema }), {
      minItems: 1,
      maxItems: MAX_TOOLS,
    }),
  ),
  tool_choice: Nullable(
    Type.Union([Type.Enum(['none', 'auto', 'required']), NamedTool, AllowedTools]),
  ),
  parallel_tool_calls: Nullable(Type.Boolean()),
};

export const ToolFieldsSchema = Type.Object(TOOL_FIELDS);

export type ChatToolFields = Static<typeof ToolFieldsSchema>;

/**
 * OpenAI's older words for the same: each function is a tool, and an answer has one call at most.
 */
export const FUNCTION_FIELDS = {
  functions: Nullable(Type.Array(FunctionSchema, { minItems: 1, maxItems: MAX_TOOLS })),
  function_call: Nullable(
    Type.Union([Type.Enum(['none', 'auto']), Type.Object({ name: Type.String() })]),
  ),
};

const FunctionFieldsSchema = Type.Object(FUNCTION_FIELDS);

export type FunctionFields = Static<typeof FunctionFieldsSchema>;
