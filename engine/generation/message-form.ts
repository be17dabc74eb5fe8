import type { TokenId } from '../../scheduler/ids.js';
import type { GrammarCheck } from '../grammar/check-messages.js';
import type { GrammarSpec } from '../protocol/request.js';
import type { ReasoningForm } from '../reasoning/reasoning-form.js';
import { chooseReasoning, type ReasoningParserName } from '../reasoning/reasoning-parsers.js';
import type { ServedModel } from '../text/served-model.js';
import type { PromptText } from '../text/spans.js';
import { callSuspects } from '../tools/call-grammar.js';
import { chooseFormat, type ToolCallParserName } from '../tools/formats.js';
import type { ToolFormat } from '../tools/tool-format.js';
import type { ToolPlan } from '../tools/tool-plan.js';
import type { FieldGrammar } from './output-constraint.js';
import { type OutputConstraint, outputConstraint } from './output-constraint.js';
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
  readonly reasoning: ReasoningForm | null;
  readonly #model: ServedModel;
  readonly #seen: { readonly tools: boolean; readonly reasoning: boolean };
  /** Markers that are special tokens of the tokenizer. */
  readonly #shownTokens: ReadonlySet<TokenId>;

  constructor(
    model: ServedModel,
    options: {
      readonly toolCallParser: ToolCallParserName;
      readonly reasoningParser: ReasoningParserName;
    },
  ) {
    const template = model.chatTemplate?.source ?? '';
    this.tools = chooseFormat(options.toolCallParser, template);
    this.reasoning = chooseReasoning(options.reasoningParser, template);
    this.#model = model;
    this.#seen = {
      tools: options.toolCallParser === 'auto',
      reasoning: options.reasoningParser === 'auto',
    };
    const markers = [...(this.tools?.markers ?? []), ...(this.reasoning?.markers ?? [])];
    const ids = markers.map((marker) => model.tokenizer.tokenId(marker));
    this.#shownTokens = new Set(ids.filter((id) => id !== undefined));
  }

  /**
   * Whether a grammar can hold the model's calls to a form.
   *
   * @param isForced whether a call must come; otherwise the model chooses
   */
  holdsCalls(isForced: boolean): boolean {
    const { tools: format } = this;
    if (format === null || format.language.arguments === null) return false;
    const offered = [{ name: 'any', parameters: {}, strict: true }];
    return isForced || this.#specialMarker({ format, offered }) === '';
  }

  /** Describes the choice for the log. */
  describe(): string {
    const how = (isSeen: boolean): string => (isSeen ? ' (auto, by the chat template)' : '');
    const calls = `tool calls are read as ${this.tools?.name ?? 'text'}${how(this.#seen.tools)}`;
    const thoughts = `reasoning as ${this.reasoning?.name ?? 'text'}`;
    return `${calls}, ${thoughts}${how(this.#seen.reasoning)}`;
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
    const { reasoning } = this;
    const isOpen = reasoning?.opens(rendered.text) === true;
    const marker = tools === null ? '' : this.#specialMarker(tools);
    const constraint = outputConstraint(tools, answer?.spec ?? null, marker);
    const isSpecial = reasoning?.markers.some((tag) => this.#isSpecial(tag)) === true;
    const thoughts = marker === '' && !isSpecial ? (reasoning?.parts(isOpen) ?? null) : null;
    const mayThink = thoughts !== null && constraint?.thinkable !== null;
    const isForced = tools !== null && tools.mode !== 'auto';
    const written = isForced ? marker : this.#beforeAnswer(constraint);
    const closing = constraint !== null && isOpen && !mayThink ? reasoning?.closing : '';
    const prompt = { ...rendered, text: rendered.text + closing + written };
    let grammar: GrammarSpec | null = constraint?.grammar ?? null;
    if (constraint?.thinkable && thoughts !== null) {
      grammar = { kind: 'structure', parts: [...thoughts, ...constraint.thinkable] };
    }
    const checks: GrammarCheck[] = answer ? [{ ...answer, suspects: [] }] : [];
    if (grammar !== null && tools !== null) {
      checks.push({ spec: grammar, field: null, suspects: callSuspects(tools) });
    }
    const isRead = reasoning !== null || tools !== null;
    const message = isRead ? this.#form(prompt.text, tools, written) : null;
    return { prompt, message, grammar, checks };
  }

  /** @param written what the prompt has of the message already */
  #form(prompt: string, tools: ToolPlan | null, written: string): MessageForm {
    const isOpen = this.reasoning?.opens(prompt) === true;
    return {
      shownTokens: this.#shownTokens,
      createParsers: () => {
        const parser = tools?.format.createParser(tools.offered) ?? null;
        const think = this.reasoning?.createReader({ isOpen }) ?? null;
        if (written === '') return { think, tools: parser, maxCalls: maxCallsOf(tools) };
        const read = think?.push(written) ?? [{ kind: 'content', text: written }];
        for (const { text } of read) parser?.push(text);
        return { think, tools: parser, maxCalls: maxCallsOf(tools) };
      },
    };
  }

  /** What a grammar's answer must have before it, which no grammar can write. */
  #beforeAnswer(constraint: OutputConstraint | null): string {
    return constraint === null ? '' : (this.reasoning?.beforeAnswer ?? '');
  }

  /**
   * The beginning of a call up to the last special token that is the same for all functions; ''
   * when it has none. Where functions' names stand between special tokens, a grammar writes the
   * later ones with ordinary tokens, which parsers read as well.
   */
  #specialMarker({
    format: { markers, language },
    offered,
  }: Pick<ToolPlan, 'format' | 'offered'>): string {
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

const maxCallsOf = (tools: ToolPlan | null): number => tools?.maxCalls ?? Infinity;
