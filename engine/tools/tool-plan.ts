import { clip } from '../clip.js';
import { OctavoError } from '../errors.js';
import type { ChatTemplate } from '../text/chat-template.js';
import { countValues } from '../text/count-values.js';
import type { OfferedTool, ToolFormat } from './tool-format.js';

/** A function that the model may call, in OpenAI's form. */
export interface Tool {
  readonly type: 'function';
  readonly function: {
    readonly name: string;
    readonly description?: string | null;
    /** JSON schema of the arguments; absent when the function takes none. */
    readonly parameters?: object | null;
    /** Whether arguments must follow the schema even when the model may choose not to call. */
    readonly strict?: boolean | null;
  };
}

interface NamedTool {
  readonly type: 'function';
  readonly function: { readonly name: string };
}

export type ToolChoice =
  | 'none'
  | 'auto'
  | 'required'
  | NamedTool
  | {
      readonly type: 'allowed_tools';
      readonly allowed_tools: {
        readonly mode: 'auto' | 'required';
        readonly tools: readonly NamedTool[];
      };
    };

/** A request's fields about tools, in OpenAI's form. */
export interface ToolFields {
  readonly tools?: readonly Tool[] | null;
  readonly tool_choice?: ToolChoice | null;
  /** False allows at most one call. */
  readonly parallel_tool_calls?: boolean | null;
}

/** The consequences of a request's tools for its prompt and its output. */
export interface ToolPlan {
  readonly format: ToolFormat;
  /** The tools that may be called, in the request's form, for the chat template. */
  readonly shown: readonly object[];
  readonly offered: readonly OfferedTool[];
  /**
   * `auto`: the model decides; `required`: at least one call; `named`: exactly one call of the only
   * tool offered.
   */
  readonly mode: 'auto' | 'required' | 'named';
  readonly maxCalls: number;
  /** Whether arguments that follow a grammar are written without white space. */
  readonly compact: boolean;
}

/**
 * Checks the fields about tools, and derives a plan from them.
 *
 * Tools that may not be called are not shown to the model, so that it cannot call them.
 *
 * @param format null when the server does not read calls
 * @param compact whether arguments that follow a grammar are written without white space
 * @param larks grammars of functions with one argument, a text, by their names
 * @returns null when no tool may be called
 * @throws OctavoError `invalid_request`
 */
export function planTools(
  body: ToolFields,
  template: Pick<ChatTemplate, 'takesTools'> | null,
  format: ToolFormat | null,
  compact = false,
  larks: ReadonlyMap<string, string> = NO_LARKS,
): ToolPlan | null {
  const { tools } = body;
  const choice = body.tool_choice ?? (tools ? 'auto' : 'none');
  if (tools) {
    checkTools(tools);
    assertFewValues(tools);
  }
  if (!tools) {
    if (choice === 'none') return null;
    throw refused('tool_choice', 'tool_choice is allowed only with tools');
  }
  const { mode, names } = readChoice(choice, tools);
  if (mode === 'none') return null;
  if (template?.takesTools !== true) {
    throw refused('tools', "the model's chat template takes no tools");
  }
  if (format === null) {
    throw refused(
      'tools',
      'tool calls of this model are not read: the server needs --tool-call-parser',
    );
  }
  const allowed = tools.filter((tool) => names === null || names.has(tool.function.name));
  return {
    format,
    // Templates read the parameters even of functions without any.
    shown: allowed.map((tool) => ({
      ...tool,
      function: { ...tool.function, parameters: parametersOf(tool) },
    })),
    offered: allowed.map((tool) => offeredTool(tool, larks.get(tool.function.name))),
    mode,
    maxCalls: mode === 'named' || body.parallel_tool_calls === false ? 1 : Infinity,
    compact,
  };
}

const NO_LARKS: ReadonlyMap<string, string> = new Map();

function offeredTool(tool: Tool, lark: string | undefined): OfferedTool {
  const { name, strict } = tool.function;
  const parameters = { type: 'object', ...parametersOf(tool) };
  const offered = { name, parameters, strict: strict === true };
  return lark === undefined ? offered : { ...offered, lark };
}

function parametersOf({ function: { parameters } }: Tool): object {
  return parameters ?? { type: 'object', properties: {}, additionalProperties: false };
}

function checkTools(tools: readonly Tool[]): void {
  const names = new Set<string>();
  for (const [index, { function: definition }] of tools.entries()) {
    const { name, parameters } = definition;
    if (names.has(name)) {
      const param = `tools[${index}].function.name`;
      throw refused(param, `${param}: ${name} is defined twice`);
    }
    names.add(name);
    if (parameters && 'type' in parameters && parameters.type !== 'object') {
      const param = `tools[${index}].function.parameters`;
      throw refused(param, `${param} of ${name} must be a schema of type object`);
    }
  }
}

/** Maximum number of values in all tools together. */
const MAX_VALUES = 10_000;

/** @throws OctavoError `invalid_request` for more tools than a template can show in time */
export function assertFewValues(tools: readonly object[]): void {
  if (countValues(tools, MAX_VALUES) <= MAX_VALUES) return;
  throw refused(
    'tools',
    `tools: more than ${MAX_VALUES} JSON values together (names, types, descriptions, lists, ...) are not supported`,
  );
}

interface Choice {
  readonly mode: ToolPlan['mode'] | 'none';
  /** Names of the tools that may be called; null for all. */
  readonly names: ReadonlySet<string> | null;
}

function readChoice(
  choice: NonNullable<ToolFields['tool_choice']>,
  tools: readonly Tool[],
): Choice {
  if (typeof choice === 'string') return { mode: choice, names: null };
  if (choice.type === 'function') {
    const { name } = choice.function;
    checkName(name, tools, 'tool_choice.function.name');
    return { mode: 'named', names: new Set([name]) };
  }
  const { mode, tools: allowed } = choice.allowed_tools;
  for (const [
    index,
    {
      function: { name },
    },
  ] of allowed.entries()) {
    checkName(name, tools, `tool_choice.allowed_tools.tools[${index}].function.name`);
  }
  return { mode, names: new Set(allowed.map(({ function: { name } }) => name)) };
}

function checkName(name: string, tools: readonly Tool[], param: string): void {
  if (tools.some((tool) => tool.function.name === name)) return;
  throw refused(param, `${param}: ${clip(name)} is none of the tools`);
}

function refused(param: string, message: string): OctavoError {
  return new OctavoError('invalid_request', message, { param });
}
