import { type Static, Type } from 'typebox';
import { OctavoError } from '../../../engine/errors.js';
import type { MessageForms } from '../../../engine/generation/message-form.js';
import { FUNCTION_NAME } from '../../../engine/tools/tool-format.js';
import { Nullable } from '../fields/request-fields.js';
import { MAX_TOOLS, type ToolFieldsSchema } from '../fields/tool-fields.js';
import { CustomTool, larkOf, toFunction } from './custom-tools.js';

const NamedTool = Type.Object({ type: Type.Enum(['function', 'custom']), name: Type.String() });

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
 * Tools of OpenAI that a request does not define: what its own servers run (`web_search`), what its
 * own models know by name (`local_shell`), and groups (`namespace`). Clients offer them to every
 * model. The model is not told of them, so it never calls them, and the response's `tools` has only
 * those that it was told of.
 */
const OTHER_TOOL_TYPES = [
  'apply_patch',
  'code_interpreter',
  'computer',
  'computer_use_preview',
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
  tools: Nullable(
    Type.Array(Type.Union([FunctionTool, CustomTool, OtherTool]), { maxItems: MAX_TOOLS }),
  ),
  tool_choice: Nullable(
    Type.Union([Type.Enum(['none', 'auto', 'required']), NamedTool, AllowedTools]),
  ),
  parallel_tool_calls: Nullable(Type.Boolean()),
};

const FieldsSchema = Type.Object(RESPONSE_TOOL_FIELDS);

type Fields = Static<typeof FieldsSchema>;
type ChatFields = Static<typeof ToolFieldsSchema>;

type OwnTool = Static<typeof FunctionTool> | CustomTool;

/** Whether a grammar can hold the model's calls. */
type Forms = Pick<MessageForms, 'holdsCalls'>;

function mustCall({ tool_choice: choice }: Fields): boolean {
  if (!choice || typeof choice === 'string') return choice === 'required';
  return choice.type !== 'allowed_tools' || choice.mode === 'required';
}

/**
 * Those that can be called. A custom tool with a Lark grammar that the model cannot be held to is
 * left out like tools of other types: Codex offers one to each model that has the name of one of
 * OpenAI's.
 */
function ownTools(body: Fields, forms: Forms): OwnTool[] {
  const holdsLark = forms.holdsCalls(mustCall(body));
  return (body.tools ?? []).filter(
    (tool): tool is OwnTool =>
      tool.type === 'function' || (tool.type === 'custom' && (holdsLark || larkOf(tool) === null)),
  );
}

/** Names of the tools whose input is a text. */
export const customTools = (body: Fields, forms: Forms): ReadonlySet<string> =>
  new Set(ownTools(body, forms).flatMap(({ type, name }) => (type === 'custom' ? [name] : [])));

/** Lark grammars of custom tools that can be called, by their names. */
export function larksOf(body: Fields, forms: Forms): ReadonlyMap<string, string> {
  const larks = new Map<string, string>();
  for (const tool of ownTools(body, forms)) {
    const lark = tool.type === 'custom' ? larkOf(tool) : null;
    if (lark !== null) larks.set(tool.name, lark);
  }
  return larks;
}

/**
 * The same in the form of chats.
 *
 * @throws OctavoError `invalid_request` when a call must come, and nothing may be called; for a
 *   choice of a custom tool whose grammar cannot be enforced
 */
export function toChatTools(body: Fields, forms: Forms): ChatFields {
  const own = ownTools(body, forms);
  const tools = own.length > 0 ? own : null;
  const choice = body.tool_choice ?? null;
  if (!forms.holdsCalls(mustCall(body))) assertNoLark(body);
  if (tools === null && choice === 'required' && body.tools?.length) {
    const message =
      'tool_choice: no tool of type function or custom is there, and only these can be called';
    throw new OctavoError('invalid_request', message, { param: 'tool_choice' });
  }
  return {
    parallel_tool_calls: body.parallel_tool_calls ?? null,
    tools: tools?.map(toChatTool) ?? null,
    // Without tools, `auto` asks for nothing.
    tool_choice: tools === null && choice === 'auto' ? null : toChatChoice(choice),
  };
}

/** @throws OctavoError `invalid_request` */
function assertNoLark({ tools, tool_choice: choice }: Fields): void {
  if (!choice || typeof choice === 'string') return;
  const chosen = choice.type === 'allowed_tools' ? choice.tools : [choice];
  for (const [index, { name }] of chosen.entries()) {
    if (
      !tools?.some((tool) => tool.type === 'custom' && tool.name === name && larkOf(tool) !== null)
    ) {
      continue;
    }
    const param =
      choice.type === 'allowed_tools' ? `tool_choice.tools[${index}].name` : 'tool_choice.name';
    const problem = "has a lark grammar, to which this model's form of calls cannot be held";
    throw new OctavoError('invalid_request', `${param}: the tool ${name} ${problem}`, { param });
  }
}

function toChatTool(tool: OwnTool): NonNullable<ChatFields['tools']>[number] {
  if (tool.type === 'custom') return { type: 'function', function: toFunction(tool) };
  const { type, ...definition } = tool;
  return { type, function: definition };
}

const toChatName = ({ name }: Static<typeof NamedTool>) => ({
  type: 'function' as const,
  function: { name },
});

function toChatChoice(
  choice: NonNullable<Fields['tool_choice']> | null,
): NonNullable<ChatFields['tool_choice']> | null {
  if (choice === null || typeof choice === 'string') return choice;
  if (choice.type !== 'allowed_tools') return toChatName(choice);
  const { type, mode, tools } = choice;
  return { type, allowed_tools: { mode, tools: tools.map(toChatName) } };
}

const TEXT = { type: 'text' };

/** The tools that the model was told of, as a response repeats them. */
export function shownTools(body: Fields, forms: Forms): object[] {
  return ownTools(body, forms).map((tool) => {
    const { type, name, description = null } = tool;
    if (type === 'custom') return { type, name, description, format: tool.format ?? TEXT };
    const { parameters = null, strict = null } = tool;
    return { type, name, description, parameters, strict };
  });
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
