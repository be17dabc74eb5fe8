import type { MessageEvent } from '../../../engine/generation/message-reader.js';
import { newCallId } from '../../../engine/tools/call-ids.js';
import type { ToolPlan } from '../../../engine/tools/tool-plan.js';
import type { FinishReason } from '../../../scheduler/step-plan.js';

/** How a choice ended, in the terms of chat completions. */
export type ChatFinishReason = FinishReason | 'tool_calls' | 'function_call';

export interface ToolCallStyle {
  readonly newCallId: () => string;
  /** The request named the function: OpenAI then ends with `stop`, also after a call. */
  readonly named: boolean;
  /** The request has `functions`: its call is a `function_call`. */
  readonly older: boolean;
}

export function toolCallStyle(plan: ToolPlan | null, older: boolean): ToolCallStyle {
  return {
    newCallId: () => plan?.format.newCallId() ?? newCallId(),
    named: plan?.mode === 'named',
    older,
  };
}

/**
 * Serializes one choice's events as deltas. Calls are numbered by `index`; the first delta of each
 * has its id and name, the others pieces of its arguments. Reasoning goes under both of the names
 * that clients know: DeepSeek's and vLLM's.
 */
export class MessageDeltas {
  readonly #style: ToolCallStyle;
  #calls = 0;

  constructor(style: ToolCallStyle) {
    this.#style = style;
  }

  of(events: readonly MessageEvent[]): object[] {
    return events.flatMap((event) => this.#delta(event));
  }

  finishReason(reason: FinishReason): ChatFinishReason {
    return endOf(reason, this.#calls > 0, this.#style);
  }

  #delta(event: MessageEvent): object[] {
    switch (event.kind) {
      case 'content':
        return [{ content: event.text }];
      case 'reasoning':
        return [{ reasoning_content: event.text, reasoning: event.text }];
      case 'call': {
        const call = { name: event.name, arguments: '' };
        const index = this.#calls++;
        if (this.#style.older) return [{ function_call: call }];
        const id = this.#style.newCallId();
        return [{ tool_calls: [{ index, id, type: 'function', function: call }] }];
      }
      case 'arguments':
        if (this.#style.older) return [{ function_call: { arguments: event.text } }];
        return [{ tool_calls: [{ index: this.#calls - 1, function: { arguments: event.text } }] }];
      case 'end':
        return [];
    }
  }
}

function endOf(
  reason: FinishReason,
  hasCall: boolean,
  { named, older }: ToolCallStyle,
): ChatFinishReason {
  if (reason !== 'stop' || !hasCall || named) return reason;
  return older ? 'function_call' : 'tool_calls';
}

/**
 * The whole message of one choice; `content` is null when the message is calls or reasoning only.
 */
export function wholeMessage(
  events: readonly MessageEvent[],
  reason: FinishReason | null,
  style: ToolCallStyle,
): { message: object; finishReason: ChatFinishReason | null } {
  let content = '';
  let reasoning = '';
  const calls: { id: string; type: 'function'; function: { name: string; arguments: string } }[] =
    [];
  for (const event of events) {
    if (event.kind === 'content') content += event.text;
    else if (event.kind === 'reasoning') reasoning += event.text;
    else if (event.kind === 'call') {
      const call = { name: event.name, arguments: '' };
      calls.push({ id: style.newCallId(), type: 'function', function: call });
    } else if (event.kind === 'arguments') {
      const last = calls.at(-1);
      if (last) last.function.arguments += event.text;
    }
  }
  const isCall = calls.length > 0;
  const message = {
    role: 'assistant',
    content: content === '' && (isCall || reasoning !== '') ? null : content,
    refusal: null,
    ...(reasoning === '' ? {} : { reasoning_content: reasoning, reasoning }),
    ...(isCall && !style.older ? { tool_calls: calls } : {}),
    ...(isCall && style.older ? { function_call: calls[0].function } : {}),
  };
  return { message, finishReason: reason && endOf(reason, isCall, style) };
}
