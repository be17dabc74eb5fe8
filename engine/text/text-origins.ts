import { textValue } from './jinja-library.js';
import { pythonText, type RuntimeValue as Value } from './python-text.js';
import { NO_SPANS, type Span, type Spans, SpanWriter, spansWithin, wholeSpan } from './spans.js';

/**
 * Where a value's text comes from: all of it from one side, or a string's spans of the client. It
 * is a property of the value, which belongs to one run: a `WeakMap` costs more than the template.
 */
const ORIGIN = Symbol('origin');

type Marked = Value & { [ORIGIN]?: Spans | 'client' | 'template' };

/**
 * Tracks, during one run of a template, which strings come from the client and which from the
 * template.
 *
 * A string's origin is recorded when it is given or first evaluated. If an operation creates a
 * string and does not state the origins of its parts, the whole string counts as the client's when
 * the operation has read any text of the client. So an operation that is not handled here may keep
 * a template from writing a control token, but never lets a client write one.
 */
export class TextOrigins {
  /** Whether the present evaluation has read text of the client. */
  #hasRead = false;

  /** Marks all strings of a value as the client's. */
  markClient(value: Marked): void {
    value[ORIGIN] = value.value === '' ? 'template' : 'client';
    for (const child of childrenOf(value)) this.markClient(child);
  }

  /** Marks one string as the template's. */
  trust(value: Marked): void {
    value[ORIGIN] = 'template';
  }

  /** The client's spans of a string; for another value, those of its text. */
  spansOf(value: Marked, text: string): Spans {
    const origin = value[ORIGIN];
    if (typeof origin === 'object') return origin;
    return this.holdsClient(value) ? wholeSpan(text.length) : NO_SPANS;
  }

  /** Records which parts of a new string are the client's. */
  set(value: Marked, spans: Spans): Value {
    value[ORIGIN] = spans;
    this.#hasRead ||= spans.length > 0;
    return value;
  }

  holdsClient(value: Marked): boolean {
    const origin = value[ORIGIN];
    if (typeof origin === 'object') return origin.length > 0;
    if (value.type === 'StringValue') return origin !== 'template';
    // The content of a namespace may change.
    return value.type === 'NamespaceValue' || origin === 'client';
  }

  /**
   * Begins an evaluation; `end` records the origin of its result.
   *
   * @returns what `end` needs
   */
  begin(): boolean {
    const before = this.#hasRead;
    this.#hasRead = false;
    return before;
  }

  /** @param before what `begin` returned */
  end(value: Value, before: boolean): Value {
    this.settle(value, this.#hasRead);
    this.#hasRead = before || this.holdsClient(value);
    return value;
  }

  /** @param hasRead whether the operation that created the value has read text of the client */
  settle(value: Marked, hasRead: boolean): void {
    if (value[ORIGIN] !== undefined || value.type === 'NamespaceValue') return;
    if (value.type === 'StringValue') {
      value[ORIGIN] = hasRead && value.value !== '' ? 'client' : 'template';
      return;
    }
    if (!isCompound(value)) return;
    // A method reads its string or object; keys of a new object may come from the client, too.
    let holds = hasRead && (value.type === 'FunctionValue' || value.value instanceof Map);
    for (const child of childrenOf(value)) {
      this.settle(child, hasRead);
      holds ||= this.holdsClient(child);
    }
    value[ORIGIN] = holds ? 'client' : 'template';
  }

  /** A string of what was written. */
  written({ text, spans }: SpanWriter): Value {
    return this.set(textValue(text), spans);
  }

  /** A string unchanged; any other value as Python's `str`. */
  textOf(value: Value): Value {
    if (value.type === 'StringValue') return value;
    const text = pythonText(value);
    return this.set(textValue(text), this.spansOf(value, text));
  }

  /**
   * Strings in a row.
   *
   * @param separator null for none
   */
  joined(texts: readonly Value[], separator: Value | null): Value {
    const written = new SpanWriter();
    for (const [index, value] of texts.entries()) {
      const pieces = index > 0 && separator !== null ? [separator, value] : [value];
      for (const piece of pieces) {
        const text = String(piece.value);
        written.push(text, this.spansOf(piece, text));
      }
    }
    return this.written(written);
  }

  /** A part of a string. */
  piece(value: Value, { start, end }: Span): Value {
    const text = String(value.value);
    const spans = spansWithin(this.spansOf(value, text), start, end);
    return this.set(textValue(text.slice(start, end)), spans);
  }
}

const isCompound = ({ type, value }: Value): boolean =>
  type === 'FunctionValue' || Array.isArray(value) || value instanceof Map;

function childrenOf({ value }: Value): Iterable<Value> {
  if (Array.isArray(value)) return value as Value[];
  return value instanceof Map ? (value as Map<string, Value>).values() : [];
}
