import { type Static, Type } from 'typebox';
import { OctavoError } from '../../engine/errors.js';
import type { ToolChoice, ToolFields } from '../../engine/tools/tool-plan.js';
import { Nullable } from '../openai/fields/request-fields.js';
import { CacheControl } from './blocks.js';

/** A template's time and the number of JSON values in all tools are bounded, too. */
const MAX_TOOLS = 1024;

/** Anthropic's rule for names. */
const TOOL_NAME = '^[a-zA-Z0-9_-]{1,128}$';

const CustomTool = Type.Object({
  type: Nullable(Type.Literal('custom')),
  name: Type.String({ pattern: TOOL_NAME }),
  description: Nullable(Type.String()),
  /** JSON schema of the input. */
  input_schema: Type.Object({}),
  /** Whether the input must follow the schema even when the model may choose not to call. */
  strict: Nullable(Type.Boolean()),
  cache_control: CacheControl,
});

/**
 * Tools that Anthropic defines, by name and date (`web_search_20250305`, `bash_20250124`): its
 * servers run some, its models know the others without a schema. Clients offer them to every model.
 * The model is not told of them, so it never calls them.
 */
const AnthropicTool = Type.Object({
  type: Type.String({ pattern: '^(?:[a-z0-9_]+_[0-9]{8}|mcp_toolset)$' }),
});

const PARALLEL = { disable_parallel_tool_use: Nullable(Type.Boolean()) };

export const MESSAGE_TOOL_FIELDS = {
  tools: Nullable(Type.Array(Type.Union([CustomTool, AnthropicTool]), { maxItems: MAX_TOOLS })),
  tool_choice: Nullable(
    Type.Union([
      Type.Object({ type: Type.Literal('auto'), ...PARALLEL }),
      Type.Object({ type: Type.Literal('any'), ...PARALLEL }),
      Type.Object({ type: Type.Literal('tool'), name: Type.String(), ...PARALLEL }),
      Type.Object({ type: Type.Literal('none') }),
    ]),
  ),
};

const FieldsSchema = Type.Object(MESSAGE_TOOL_FIELDS);

type Fields = Static<typeof FieldsSchema>;
type Tool = NonNullable<Fields['tools']>[number];

const isCustom = (tool: Tool): tool is Static<typeof CustomTool> => 'input_schema' in tool;

/**
 * The same in the form of chats.
 *
 * @throws OctavoError `invalid_request` when a call must come, and no tool can be called
 */
export function toChatTools(body: Fields): ToolFields {
  const tools = (body.tools ?? []).filter(isCustom);
  const choice = body.tool_choice ?? null;
  if (tools.length === 0) {
    if (choice === null || choice.type === 'auto' || choice.type === 'none') return {};
    const message = 'tool_choice: there is no tool with an input_schema, and only these are called';
    throw new OctavoError('invalid_request', message, { param: 'tool_choice' });
  }
  return {
    tools: tools.map(({ name, description, input_schema, strict }) => ({
      type: 'function',
      function: {
        name,
        description: description ?? null,
        parameters: input_schema,
        strict: strict ?? null,
      },
    })),
    tool_choice: choice && toChatChoice(choice),
    parallel_tool_calls: choice === null || choice.type === 'none' ? null : isParallel(choice),
  };
}

const isParallel = (choice: { disable_parallel_tool_use?: boolean | null }): boolean =>
  choice.disable_parallel_tool_use !== true;

function toChatChoice(choice: NonNullable<Fields['tool_choice']>): ToolChoice {
  switch (choice.type) {
    case 'auto':
    case 'none':
      return choice.type;
    case 'any':
      return 'required';
    case 'tool':
      return { type: 'function', function: { name: choice.name } };
  }
}

/**
 * Does what checks fields in the form of chats, and names them in the message as clients of this
 * API know them.
 *
 * @throws OctavoError what `check` throws
 */
export async function withOwnNames<Result>(
  { tools }: Fields,
  check: () => Promise<Result>,
): Promise<Result> {
  try {
    return await check();
  } catch (error) {
    if (!(error instanceof OctavoError) || error.param === null) throw error;
    const param = ownName(error.param, tools ?? []);
    throw new OctavoError(error.kind, error.message.replaceAll(error.param, param), {
      param,
      cause: error,
    });
  }
}

/** @param tools all of the request: an index counts those that can be called only */
function ownName(field: string, tools: readonly Tool[]): string {
  const places = [...tools.keys()].filter((index) => isCustom(tools[index]));
  return field
    .replace(/^messages\[\d+\]\.tool_calls\b.*/, 'messages')
    .replace(/^tools\[(\d+)\]/, (whole, index) => {
      const place = places[Number(index)];
      return place === undefined ? whole : `tools[${place}]`;
    })
    .replace('.function.parameters', '.input_schema')
    .replace('.function.', '.')
    .replace('reasoning_effort', 'output_config.effort');
}
