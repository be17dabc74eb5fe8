import type { TokenId } from '../../scheduler/ids.js';
import type { GrammarCheck } from '../grammar/check-messages.js';
import type { GrammarSpec } from '../protocol/request.js';
import type { ReasoningParserName } from '../reasoning/reasoning-parsers.js';
import {
  CLOSE_THINKING,
  opensThinking,
  THINK_MARKERS,
  ThinkParser,
  thinkingParts,
} from '../reasoning/think-parser.js';
import type { ServedModel } from '../text/served-model.js';
import type { PromptText } from '../text/spans.js';
import { callSuspects } from '../tools/call-grammar.js';
import { chooseFormat, type ToolCallParserName } from '../tools/formats.js';
import type { ToolFormat } from '../tools/tool-format.js';
import type { ToolPlan } from '../tools/tool-plan.js';
import type { FieldGrammar } from './output-constraint.js';
import { outputConstraint } from './output-constraint.js';
import type { MessageForm } from './text-request.js';

/** The consequences of a request's messages and tools for the engine. */
export interface MessagePlan {
  readonly prompt: PromptText;
  /** Null when all text is content. */
  readonly message: MessageForm | null;
  readonly grammar: GrammarSpec | null;
  /** Checks of the grammar that must pass before the request runs. */
  readonly checks: readonly GrammarCheck[];
}

/** How the model's messages are parsed. Chosen once for a model. */
export class MessageForms {
  readonly tools: ToolFormat | null;
  readonly reasoning: ReasoningParserName;
  readonly #model: ServedModel;
  readonly #seen: boolean;
  /** Markers that are special tokens of the tokenizer. */
  readonly #shownTokens: ReadonlySet<TokenId>;

  constructor(
    model: ServedModel,
    options: {
      readonly toolCallParser: ToolCallParserName;
      readonly reasoningParser: ReasoningParserName;
    },
  ) {
    this.tools = chooseFormat(options.toolCallParser, model.chatTemplate?.source ?? '');
    this.#model = model;
    this.#seen = options.toolCallParser === 'auto';
    this.reasoning = options.reasoningParser;
    const markers = [
      ...(this.tools?.markers ?? []),
      ...(this.reasoning === 'think' ? THINK_MARKERS : []),
    ];
    const ids = markers.map((marker) => model.tokenizer.tokenId(marker));
    this.#shownTokens = new Set(ids.filter((id) => id !== undefined));
  }

  /** Describes the choice for the log. */
  describe(): string {
    const calls = `tool calls are read as ${this.tools?.name ?? 'text'}`;
    const how = this.#seen ? ' (auto, by the chat template)' : '';
    return `${calls}${how}, reasoning as ${this.reasoning === 'none' ? 'text' : this.reasoning}`;
  }

  /**
   * Plans what the model must write, and how it is parsed.
   *
   * A grammar cannot choose special tokens. So if the marker that begins a forced call is one, it
   * is written into the prompt. Where thinking could not be ended, or would precede that marker,
   * the prompt closes it.
   *
   * @param rendered the prompt as the chat template wrote it
   * @param tools null when no tool may be called, so that nothing is parsed as a call
   * @param answer grammar of an answer without calls; null for none
   * @throws OctavoError `invalid_request` for options that exclude each other
   */
  plan(
    rendered: PromptText,
    tools: ToolPlan | null,
    answer: FieldGrammar | null = null,
  ): MessagePlan {
    const thinks = this.reasoning === 'think';
    const isOpen = thinks && opensThinking(rendered.text);
    const marker = tools === null ? '' : this.#specialMarker(tools);
    const constraint = outputConstraint(tools, answer?.spec ?? null, marker);
    const mayThink =
      marker === '' &&
      constraint?.thinkable !== null &&
      !THINK_MARKERS.some((tag) => this.#isSpecial(tag));
    const written = tools !== null && tools.mode !== 'auto' ? marker : '';
    const closing = constraint !== null && isOpen && !mayThink ? CLOSE_THINKING : '';
    const prompt = { ...rendered, text: rendered.text + closing + written };
    let grammar: GrammarSpec | null = constraint?.grammar ?? null;
    if (constraint?.thinkable && thinks && mayThink) {
      grammar = { kind: 'structure', parts: [...thinkingParts(isOpen), ...constraint.thinkable] };
    }
    const checks: GrammarCheck[] = answer ? [{ ...answer, suspects: [] }] : [];
    if (grammar !== null && tools !== null) {
      checks.push({ spec: grammar, field: null, suspects: callSuspects(tools) });
    }
    const message = thinks || tools !== null ? this.#form(prompt.text, tools, written) : null;
    return { prompt, message, grammar, checks };
  }

  #form(prompt: string, tools: ToolPlan | null, marker: string): MessageForm {
    const isThinking = opensThinking(prompt);
    return {
      shownTokens: this.#shownTokens,
      createParsers: () => {
        const parser = tools?.format.createParser(tools.offered) ?? null;
        parser?.push(marker);
        return {
          think: this.reasoning === 'think' ? new ThinkParser({ open: isThinking }) : null,
          tools: parser,
          maxCalls: tools?.maxCalls ?? Infinity,
        };
      },
    };
  }

  /**
   * The beginning of a call up to the last special token that is the same for all functions; ''
   * when it has none. Where functions' names stand between special tokens, a grammar writes the
   * later ones with ordinary tokens, which parsers read as well.
   */
  #specialMarker({ format: { markers, language }, offered }: ToolPlan): string {
    const beginnings = offered.map(({ name }) => language.begin + language.call(name).before);
    const [first] = beginnings;
    const ends = markers
      .filter((marker) => first.includes(marker) && this.#isSpecial(marker))
      .map((marker) => first.lastIndexOf(marker) + marker.length)
      .filter((end) => beginnings.every((words) => words.startsWith(first.slice(0, end))));
    return first.slice(0, Math.max(0, ...ends));
  }

  #isSpecial(marker: string): boolean {
    const { tokenizer } = this.#model;
    const id = tokenizer.tokenId(marker);
    return id !== undefined && tokenizer.decode([id], { skipSpecialTokens: true }) === '';
  }
}
