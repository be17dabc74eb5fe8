import { OctavoError } from '../errors.js';
import type { GrammarSpec, StructurePart } from '../protocol/request.js';
import { callsOrAnswer, onlyCalls } from '../tools/call-grammar.js';
import type { ToolPlan } from '../tools/tool-plan.js';

/** The grammar that a request's output must follow, and the field that states it. */
export interface FieldGrammar {
  readonly spec: GrammarSpec;
  readonly field: string;
}

export interface OutputConstraint {
  readonly grammar: GrammarSpec;
  /**
   * The same as parts of a text that reasoning may precede; null when nothing can precede this
   * grammar.
   */
  readonly thinkable: readonly StructurePart[] | null;
}

/**
 * The grammar of one sequence: calls if they are forced; else the answer's grammar, or calls if
 * there are tools and it is no structural tag; else, with `strict` tools, free text or calls.
 *
 * @param marker the special token with which calls begin, which a grammar cannot choose; '' when
 *   there is none
 * @returns null when the output is free
 * @throws OctavoError `invalid_request` for options that exclude each other
 */
export function outputConstraint(
  tools: ToolPlan | null,
  answer: GrammarSpec | null,
  marker: string,
): OutputConstraint | null {
  const isForced = tools !== null && tools.mode !== 'auto';
  const isStrict = tools?.offered.some(({ strict }) => strict) === true;
  if ((isForced || isStrict) && tools?.format.language.arguments === null) {
    throw refused(
      `a forced choice, and strict functions, are not possible with this model's form of calls (${tools.format.name})`,
    );
  }
  if (isForced) return constraintOf(onlyCalls(tools, marker));
  if (answer === null && !isStrict) return null;
  if (answer?.kind === 'structure' && tools !== null) {
    if (isStrict) throw refused('a structural tag cannot be combined with strict functions');
    // It says itself where calls may stand; they are read as any others.
    return constraintOf(answer.parts);
  }
  const parts = answer && partsOf(answer);
  if (tools === null) return answer && { grammar: answer, thinkable: parts };
  if (answer !== null && parts === null) {
    throw refused('an EBNF grammar cannot be combined with tools, unless tool_choice is none');
  }
  if (marker !== '') {
    const wish = answer === null ? 'a strict function' : 'a response format';
    throw refused(
      `${wish} is not possible with tools and tool_choice auto: this model marks calls with special tokens`,
    );
  }
  return constraintOf(callsOrAnswer(tools, parts));
}

const constraintOf = (parts: readonly StructurePart[]): OutputConstraint => ({
  grammar: { kind: 'structure', parts },
  thinkable: parts,
});

/** @returns null for a grammar that must be the whole text */
function partsOf(spec: GrammarSpec): readonly StructurePart[] | null {
  switch (spec.kind) {
    case 'structure':
      return spec.parts;
    case 'choice': {
      const of = spec.choices.map((text): StructurePart[] => [{ kind: 'literal', text }]);
      return [{ kind: 'alternatives', of }];
    }
    case 'ebnf':
      return null;
    case 'json-schema':
    case 'regex':
    case 'json-object':
      return [spec];
  }
}

function refused(message: string): OctavoError {
  return new OctavoError('invalid_request', message, { param: 'tools' });
}
