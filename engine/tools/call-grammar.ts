import type { Suspect } from '../grammar/check-messages.js';
import type { GrammarSpec, StructurePart } from '../protocol/request.js';
import { larkParts } from './property-parts.js';
import type { OfferedTool } from './tool-format.js';
import type { ToolPlan } from './tool-plan.js';

/**
 * A grammar of calls only.
 *
 * @param written the beginning of the first call, which is already in the prompt
 */
export function onlyCalls(plan: ToolPlan, written: string): StructurePart[] {
  const { begin, separator, end } = plan.format.language;
  const max = plan.maxCalls === 1 ? 1 : null;
  const repeated: StructurePart = {
    kind: 'repeat',
    parts: [oneCall(plan, 0)],
    separator,
    min: 1,
    max,
  };
  const writtenBegin = Math.min(written.length, begin.length);
  const writtenCall = written.length - writtenBegin;
  if (writtenCall === 0) return [...literal(begin.slice(writtenBegin)), repeated, ...literal(end)];
  const more: StructurePart[] = [
    { kind: 'alternatives', of: [[], [...literal(separator), repeated]] },
  ];
  return [oneCall(plan, writtenCall), ...(max === 1 ? [] : more), ...literal(end)];
}

/**
 * Calls that follow the schemas of `strict` functions, or another answer; when `answer` is null,
 * the text is free.
 */
export function callsOrAnswer(
  plan: ToolPlan,
  answer: readonly StructurePart[] | null,
): StructurePart[] {
  const { textAlone, textBefore } = plan.format.language;
  const alone: StructurePart[] = [{ kind: 'regex', source: textAlone }];
  const before: StructurePart[] = answer ? [] : [{ kind: 'regex', source: textBefore }];
  return [{ kind: 'alternatives', of: [answer ?? alone, [...before, ...onlyCalls(plan, '')]] }];
}

/**
 * The parts that may be the reason when a grammar of calls is refused: each function's arguments.
 */
export const callSuspects = ({ offered, mode, compact }: ToolPlan): Suspect[] =>
  offered.map((tool) => ({
    spec:
      tool.lark === undefined
        ? argumentsOf(tool, mode !== 'auto', compact)
        : { kind: 'structure', parts: larkParts(tool.lark, true) },
    name: `the ${tool.lark === undefined ? 'function' : 'custom tool'} ${tool.name}`,
    param: 'tools',
  }));

/** @param skip number of characters of the call that are already in the prompt */
function oneCall({ format, offered, mode, compact }: ToolPlan, skip: number): StructurePart {
  const of = offered.map((tool) => {
    const { before, after } = format.language.call(tool.name);
    const own = format.language.arguments;
    const parameters =
      own?.(tool.parameters, tool.lark) ?? jsonArguments(tool, mode !== 'auto', compact);
    return [...literal(before.slice(skip)), ...parameters, ...literal(after)];
  });
  return { kind: 'alternatives', of };
}

function jsonArguments(tool: OfferedTool, isForced: boolean, compact: boolean): StructurePart[] {
  if (tool.lark === undefined) return [argumentsOf(tool, isForced, compact)];
  const [name] = Object.keys((tool.parameters as { properties: object }).properties);
  const colon = compact ? ':' : ': ';
  return [
    ...literal(`{${JSON.stringify(name)}${colon}`),
    ...larkParts(tool.lark, true),
    ...literal('}'),
  ];
}

function argumentsOf(
  { strict, parameters }: OfferedTool,
  isForced: boolean,
  compact: boolean,
): GrammarSpec & StructurePart {
  const form = compact ? { compact } : {};
  if (!strict && !isForced) return { kind: 'json-object', ...form };
  return { kind: 'json-schema', source: JSON.stringify(parameters), ...form };
}

const literal = (text: string): StructurePart[] => (text === '' ? [] : [{ kind: 'literal', text }]);
