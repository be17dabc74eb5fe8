import { type Static, Type } from 'typebox';
import { OctavoError } from '../../../engine/errors.js';
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

export const FunctionTool = Type.Object({
  type: Type.Literal('function'),
  function: FunctionSchema,
});

/** Request fields of chat completions that are about tools. */
export const TOOL_FIELDS = {
  tools: Nullable(
    Type.Array(FunctionTool, {
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

/**
 * The fields about tools, with OpenAI's older ones (`functions`, `function_call`) in the form of
 * the newer.
 *
 * @throws OctavoError `invalid_request` for both at once
 */
export function toolFieldsOf(body: ChatToolFields & FunctionFields): ChatToolFields {
  const { functions, function_call: choice } = body;
  if (!usesFunctions(body)) return body;
  if (body.tools || body.tool_choice) {
    const message =
      'functions and function_call cannot be used together with tools and tool_choice';
    throw new OctavoError('invalid_request', message, { param: 'functions' });
  }
  const named = (name: string) => ({ type: 'function' as const, function: { name } });
  return {
    tools: functions?.map((definition) => ({ type: 'function', function: definition })) ?? null,
    tool_choice: choice && typeof choice === 'object' ? named(choice.name) : (choice ?? null),
    // An answer has one call, or none.
    parallel_tool_calls: false,
  };
}

/** Whether a request speaks, and wants to be answered, in the older words. */
export const usesFunctions = ({ functions, function_call: choice }: FunctionFields): boolean =>
  Boolean(functions ?? choice);

/**
 * Does what checks the newer fields, and names the older ones in its message.
 *
 * @throws OctavoError what `check` throws
 */
export function withOlderNames<Result>(body: FunctionFields, check: () => Result): Result {
  if (!usesFunctions(body)) return check();
  try {
    return check();
  } catch (error) {
    if (!(error instanceof OctavoError) || error.param === null) throw error;
    const rename = (text: string): string =>
      text
        .replace(/tools\[(\d+)\]\.function/, 'functions[$1]')
        .replace('tool_choice.function', 'function_call')
        .replace('tool_choice', 'function_call')
        .replace(/\btools\b/, 'functions');
    const param = rename(error.param);
    throw new OctavoError(error.kind, rename(error.message), { param, cause: error });
  }
}
