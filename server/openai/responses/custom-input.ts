/** What stands before the text; there may be white space between its tokens. */
const OPENING = '{"input":"';
const NAME = { begin: OPENING.indexOf('"'), end: OPENING.indexOf(':') };

const ESCAPES: Readonly<Record<string, string>> = {
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
};

/**
 * Reads the text of a custom tool's call from the JSON that the model writes (`{"input": "..."}`)
 * while it comes. A model that no grammar holds may write something else: that is the text then, as
 * it is.
 */
export class CustomInput {
  #form: 'opening' | 'string' | 'raw' | 'closed' = 'opening';
  /** What was read of the opening. */
  #held = '';
  #matched = 0;
  /** An escape that has begun, with its backslash. */
  #escape = '';
  /** The first half of a character, which must not go out alone. */
  #half = '';

  /** @returns more of the text */
  push(piece: string): string {
    let text = '';
    for (const unit of piece.split('')) text += this.#read(unit);
    return text;
  }

  /** To be called once, when the call has ended. */
  end(): string {
    return this.#form === 'opening' ? this.#held : '';
  }

  #read(unit: string): string {
    switch (this.#form) {
      case 'raw':
        return unit;
      case 'closed':
        return '';
      case 'opening':
        return this.#open(unit);
      case 'string':
        return this.#readString(unit);
    }
  }

  #open(unit: string): string {
    this.#held += unit;
    if (unit === OPENING[this.#matched]) {
      this.#matched++;
      if (this.#matched === OPENING.length) this.#form = 'string';
      return '';
    }
    const inName = this.#matched > NAME.begin && this.#matched < NAME.end;
    if (/\s/.test(unit) && !inName) return '';
    this.#form = 'raw';
    return this.#held;
  }

  #readString(unit: string): string {
    if (this.#escape !== '') return this.#readEscape(unit);
    if (unit === '\\') {
      this.#escape = unit;
      return '';
    }
    if (unit === '"') {
      this.#form = 'closed';
      return '';
    }
    return this.#whole(unit);
  }

  #readEscape(unit: string): string {
    this.#escape += unit;
    const kind = this.#escape[1];
    if (kind !== 'u') {
      this.#escape = '';
      return this.#whole(ESCAPES[kind] ?? kind);
    }
    if (this.#escape.length < '\\u0000'.length) return '';
    const code = Number.parseInt(this.#escape.slice(2), 16);
    this.#escape = '';
    return this.#whole(String.fromCharCode(code));
  }

  /** Joins the halves of a character outside of the basic plane. */
  #whole(unit: string): string {
    const text = this.#half + unit;
    this.#half = '';
    if (!/^[\ud800-\udbff]$/.test(text)) return text;
    this.#half = text;
    return '';
  }
}
