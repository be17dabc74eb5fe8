import type { TokenId } from '../../scheduler/ids.js';
import type { ReasoningParserName } from '../reasoning/reasoning-parsers.js';
import { opensThinking, THINK_MARKERS, ThinkParser } from '../reasoning/think-parser.js';
import type { ServedModel } from '../text/served-model.js';
import { chooseFormat, type ToolCallParserName } from '../tools/formats.js';
import type { ToolFormat } from '../tools/tool-format.js';
import type { ToolPlan } from '../tools/tool-plan.js';
import type { MessageForm } from './generate-text.js';

/** How the model's messages are read. Chosen once for a server. */
export class MessageForms {
  readonly tools: ToolFormat | null;
  readonly reasoning: ReasoningParserName;
  readonly #seen: boolean;
  /** Markers that the tokenizer has as tokens of their own. */
  readonly #shownTokens: ReadonlySet<TokenId>;

  constructor(
    model: ServedModel,
    options: {
      readonly toolCallParser: ToolCallParserName;
      readonly reasoningParser: ReasoningParserName;
    },
  ) {
    this.tools = chooseFormat(options.toolCallParser, model.chatTemplate?.source ?? '');
    this.#seen = options.toolCallParser === 'auto';
    this.reasoning = options.reasoningParser;
    const markers = [
      ...(this.tools?.markers ?? []),
      ...(this.reasoning === 'think' ? THINK_MARKERS : []),
    ];
    const ids = markers.map((marker) => model.tokenizer.tokenId(marker));
    this.#shownTokens = new Set(ids.filter((id) => id !== undefined));
  }

  /** For the log: what was chosen, and how. */
  describe(): string {
    const calls = `tool calls are read as ${this.tools?.name ?? 'text'}`;
    const how = this.#seen ? ' (auto, by the chat template)' : '';
    return `${calls}${how}, reasoning as ${this.reasoning === 'none' ? 'text' : this.reasoning}`;
  }

  /**
   * @param prompt the text whose continuation is read
   * @param plan null: nothing may be called, so nothing is a call
   * @returns null when the text is content from end to end
   */
  of(prompt: string, plan: ToolPlan | null): MessageForm | null {
    const thinks = this.reasoning === 'think';
    if (!thinks && plan === null) return null;
    return {
      shownTokens: this.#shownTokens,
      createParsers: () => ({
        think: thinks ? new ThinkParser({ open: opensThinking(prompt) }) : null,
        tools: plan?.format.createParser(plan.offered) ?? null,
        maxCalls: plan?.maxCalls ?? Infinity,
      }),
    };
  }
}
