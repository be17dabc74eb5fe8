import type { ToolCallParser, ToolEvent } from '../../engine/tools/tool-format.js';

/** Runs a parser over a text in pieces; neighboring events of a kind are joined. */
export function parsePieces(parser: ToolCallParser, pieces: readonly string[]): ToolEvent[] {
  return joinEvents([...pieces.flatMap((piece) => parser.push(piece)), ...parser.flush()]);
}

export function joinEvents<Event extends { readonly kind: string }>(
  events: readonly Event[],
): Event[] {
  const joined: Event[] = [];
  for (const event of events) {
    const last = joined.at(-1);
    const hasText = (value: Event | undefined): value is Event & { text: string } =>
      value !== undefined && 'text' in value;
    if (hasText(last) && hasText(event) && last.kind === event.kind) {
      joined[joined.length - 1] = { ...last, text: last.text + event.text };
    } else joined.push(event);
  }
  return joined;
}

export interface ParsedMessage {
  readonly content: string;
  /** Name and arguments. */
  readonly calls: readonly (readonly [name: string, text: string])[];
}

/** What events say together. */
export function messageOf(events: readonly ToolEvent[]): ParsedMessage {
  let content = '';
  const calls: [string, string][] = [];
  let open = false;
  for (const event of events) {
    if (event.kind === 'content') content += event.text;
    if (event.kind === 'call') {
      if (open) throw new Error('a call begins before the last one has ended');
      open = true;
      calls.push([event.name, '']);
    }
    if (event.kind === 'arguments') {
      const last = calls.at(-1);
      if (!open || !last) throw new Error('arguments outside of a call');
      last[1] += event.text;
    }
    if (event.kind === 'end') {
      if (!open) throw new Error('an end outside of a call');
      open = false;
    }
  }
  if (open) throw new Error('a call without an end');
  return { content, calls };
}

/** Cuts a text at the given places. */
export function cutAt(text: string, places: readonly number[]): string[] {
  const sorted = [0, ...places.map((place) => place % (text.length + 1)).sort((a, b) => a - b)];
  return sorted.map((from, index) => text.slice(from, sorted[index + 1]));
}
