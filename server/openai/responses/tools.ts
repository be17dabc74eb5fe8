import { type Static, Type } from 'typebox';
import { OctavoError } from '../../../engine/errors.js';
import { FUNCTION_NAME } from '../../../engine/tools/tool-format.js';
import { Nullable } from '../fields/request-fields.js';
import { MAX_TOOLS, type ToolFieldsSchema } from '../fields/tool-fields.js';

const NamedTool = Type.Object({ type: Type.Literal('function'), name: Type.String() });

const AllowedTools = Type.Object({
  type: Type.Literal('allowed_tools'),
  mode: Type.Enum(['auto', 'required']),
  tools: Type.Array(NamedTool, { minItems: 1 }),
});

const FunctionTool = Type.Object({
  type: Type.Literal('function'),
  name: Type.String({ pattern: FUNCTION_NAME.source }),
  description: Nullable(Type.String()),
  parameters: Nullable(Type.Object({})),
  strict: Nullable(Type.Boolean()),
});

/**
 * Tools of OpenAI that are no functions: what its own servers run (`web_search`), and forms of
 * calls that models here do not write (`custom`, `namespace`). Clients offer them to every model.
 * The model is not told of them, so it never calls them, and the response's `tools` has only those
 * that it was told of.
 */
const OTHER_TOOL_TYPES = [
  'apply_patch',
  'code_interpreter',
  'computer',
  'computer_use_preview',
  'custom',
  'file_search',
  'image_generation',
  'local_shell',
  'mcp',
  'namespace',
  'shell',
  'tool_search',
  'web_search',
  'web_search_2025_08_26',
  'web_search_preview',
  'web_search_preview_2025_03_11',
] as const;

const OtherTool = Type.Object({
  type: Type.Union(OTHER_TOOL_TYPES.map((type) => Type.Literal(type))),
});

/**
 * Request fields about tools. Chats have the same ones, but with the parts of a function one level
 * deeper.
 */
export const RESPONSE_TOOL_FIELDS = {
  /** Empty is the same as absent, unlike in chats: clients of this API send it so. */
  tools: Nullable(Type.Array(Type.Union([FunctionTool, OtherTool]), { maxItems: MAX_TOOLS })),
  tool_choice: Nullable(
    Type.Union([Type.Enum(['none', 'auto', 'required']), NamedTool, AllowedTools]),
  ),
  parallel_tool_calls: Nullable(Type.Boolean()),
};

const FieldsSchema = Type.Object(RESPONSE_TOOL_FIELDS);

type Fields = Static<typeof FieldsSchema>;
type ChatFields = Static<typeof ToolFieldsSchema>;

function functionsOf({ tools }: Fields): Static<typeof FunctionTool>[] {
  return (tools ?? []).filter(
    (tool): tool is Static<typeof FunctionTool> => tool.type === 'function',
  );
}

/**
 * The same in the form of chats.
 *
 * @throws OctavoError `invalid_request` when a call must come, and no function may be called
 */
export function toChatTools(body: Fields): ChatFields {
  const functions = functionsOf(body);
  const tools = functions.length > 0 ? functions : null;
  const choice = body.tool_choice ?? null;
  if (tools === null && choice === 'required' && body.tools?.length) {
    const message = 'tool_choice: no tool of type function is there, and only these can be called';
    throw new OctavoError('invalid_request', message, { param: 'tool_choice' });
  }
  return {
    parallel_tool_calls: body.parallel_tool_calls ?? null,
    tools: tools?.map(({ type, ...definition }) => ({ type, function: definition })) ?? null,
    // Without tools, `auto` asks for nothing.
    tool_choice: tools === null && choice === 'auto' ? null : toChatChoice(choice),
  };
}

const toChatName = ({ type, name }: Static<typeof NamedTool>) => ({ type, function: { name } });

function toChatChoice(
  choice: NonNullable<Fields['tool_choice']> | null,
): NonNullable<ChatFields['tool_choice']> | null {
  if (choice === null || typeof choice === 'string') return choice;
  if (choice.type === 'function') return toChatName(choice);
  const { type, mode, tools } = choice;
  return { type, allowed_tools: { mode, tools: tools.map(toChatName) } };
}

/** The tools that the model was told of, as a response repeats them. */
export function shownTools(body: Fields): object[] {
  return functionsOf(body).map(({ type, name, description, parameters, strict }) => ({
    type,
    name,
    description: description ?? null,
    parameters: parameters ?? null,
    strict: strict ?? null,
  }));
}

/**
 * Does what checks fields in the form of chats, and names them in the message as clients of this
 * API know them.
 *
 * @throws OctavoError what `check` throws
 */
export async function withOwnNames<Result>(check: () => Promise<Result>): Promise<Result> {
  try {
    return await check();
  } catch (error) {
    if (!(error instanceof OctavoError) || error.param === null) throw error;
    const param = ownName(error.param);
    throw new OctavoError(error.kind, error.message.replaceAll(error.param, param), {
      param,
      cause: error,
    });
  }
}

/** A field of chats as clients of this API know it. */
export const ownName = (field: string): string =>
  field
    .replace(/^messages\b.*/, 'input')
    .replace('.allowed_tools.', '.')
    .replace('.function.', '.')
    .replace('reasoning_effort', 'reasoning.effort')
    .replace(/^response_format\.(?:json_schema\.)?/, 'text.format.')
    .replace(/^response_format$/, 'text.format');
