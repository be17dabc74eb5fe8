import type { RuntimeValue as Value } from './python-text.js';

/** How large the values of a template may become. */
export interface TemplateBounds {
  /** UTF-16 units of a text. */
  readonly maxText: number;
  /** Items of a list, members of an object. */
  readonly maxItems: number;
}

/**
 * For templates of clients. What takes long or much memory in small pieces ends with its thread;
 * these bounds are for what would take much at once, which no thread survives.
 */
export const CLIENT_BOUNDS: TemplateBounds = { maxText: 4 * 2 ** 20, maxItems: 100_000 };

/** Spaces by which a filter may indent. */
const MAX_INDENT = 1000;

/** Characters between two parts of JSON. */
const MAX_SEPARATOR = 8;

/** Refuses what would exceed the bounds before it is made. */
export class BoundedValues {
  readonly #bounds: TemplateBounds;

  constructor(bounds: TemplateBounds) {
    this.#bounds = bounds;
  }

  /** @throws TypeError for a text, list or object that is too large */
  assertSmall({ value }: Value): void {
    if (typeof value === 'string') this.assertText(value.length);
    else if (Array.isArray(value)) this.#assertItems(value.length);
    else if (value instanceof Map) this.#assertItems(value.size);
  }

  /** @throws TypeError for more UTF-16 units than a text may have */
  assertText(length: number): void {
    const { maxText } = this.#bounds;
    if (length > maxText) throw new TypeError(`it makes a text of more than ${maxText} characters`);
  }

  /**
   * That a value is not too large when it is written out. The same list may stand in it many times.
   *
   * @throws TypeError
   */
  assertWritable(value: Value): void {
    this.#assertWritten(value, 0);
  }

  /** @param indent spaces of each level, for JSON */
  #assertWritten(value: Value, indent: number): void {
    const left: [value: Value, depth: number][] = [[value, 1]];
    let length = 0;
    for (let next = left.pop(); next; next = left.pop()) {
      const [{ value: content }, depth] = next;
      // Quotes and commas, and `\u0000` for one character.
      length += typeof content === 'string' ? 2 + 6 * content.length : 8;
      length += depth * indent;
      this.assertText(length / 6);
      if (Array.isArray(content)) {
        for (const child of content as Value[]) left.push([child, depth + 1]);
      }
      if (!(content instanceof Map)) continue;
      for (const [name, child] of content as Map<string, Value>) {
        length += 4 + 6 * name.length;
        left.push([child, depth + 1]);
      }
    }
  }

  /**
   * That a filter or a method does not make more of its operand than is allowed.
   *
   * @param args values of all arguments, those with a name too
   * @throws TypeError
   */
  assertResult(name: string, operand: Value, args: readonly Value[]): void {
    this.assertWritable(operand);
    const text = typeof operand.value === 'string' ? operand.value : '';
    const widths = args.map(({ value }) => (typeof value === 'number' ? value : 0));
    if (name === 'indent' || name === 'tojson') {
      if (widths.some((width) => width > MAX_INDENT)) {
        throw new TypeError(`it indents by more than ${MAX_INDENT} spaces`);
      }
      const width = Math.max(4, ...widths);
      if (name === 'indent') this.assertText(text.length + occurrences(text, '\n') * width);
      else this.#assertJson(operand, args, width);
    }
    const [first = '', second = ''] = args.map(({ value }) =>
      typeof value === 'string' ? value : '',
    );
    if (name === 'replace' && args.length > 1) {
      this.assertText(text.length + occurrences(text, first) * second.length);
    }
    if (name === 'join' && Array.isArray(operand.value)) {
      const texts = (operand.value as Value[]).map(({ value }) =>
        typeof value === 'string' ? value.length : 0,
      );
      this.assertText(texts.reduce((sum, length) => sum + length + first.length, 0));
    }
  }

  #assertJson(operand: Value, args: readonly Value[], width: number): void {
    this.#assertWritten(operand, width);
    const separators = args.flatMap(({ value }) =>
      Array.isArray(value) ? (value as Value[]) : [],
    );
    if (separators.some(({ value }) => typeof value === 'string' && value.length > MAX_SEPARATOR)) {
      throw new TypeError(`it separates JSON by more than ${MAX_SEPARATOR} characters`);
    }
  }

  #assertItems(count: number): void {
    const { maxItems } = this.#bounds;
    if (count > maxItems) throw new TypeError(`it makes a list of more than ${maxItems} items`);
  }
}

function occurrences(text: string, part: string): number {
  if (part === '') return text.length + 1;
  let count = 0;
  for (let at = text.indexOf(part); at >= 0; at = text.indexOf(part, at + part.length)) count++;
  return count;
}
