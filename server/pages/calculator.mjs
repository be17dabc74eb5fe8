/**
 * Arithmetic as people write it: numbers, + - * / % ^, parentheses, a few functions and constants.
 * Read by recursive descent; nothing of the text is ever run as a script.
 *
 * sum     = product (('+' | '-') product)*
 * product = sign (('*' | '/' | '%') sign)*
 * sign    = ('+' | '-') sign | power
 * power   = value ('^' sign)?
 * value   = number | name | name '(' sum (',' sum)* ')' | '(' sum ')'
 */

/** Longer ones are refused; this bounds the depth of the descent, too. */
const MAX_LENGTH = 1000;

/** @type {Readonly<Record<string, number>>} */
const CONSTANTS = { pi: Math.PI, e: Math.E };

/** @type {Readonly<Record<string, (...values: number[]) => number>>} */
const FUNCTIONS = {
  sqrt: Math.sqrt,
  abs: Math.abs,
  round: Math.round,
  floor: Math.floor,
  ceil: Math.ceil,
  min: Math.min,
  max: Math.max,
  exp: Math.exp,
  ln: Math.log,
  log: Math.log10,
  log10: Math.log10,
  log2: Math.log2,
  sin: Math.sin,
  cos: Math.cos,
  tan: Math.tan,
};

const TOKEN = /\s*(?:(\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+)|([A-Za-z]\w*)|(\*\*|[-+*/%^(),]))/y;

/**
 * @param {string} text
 * @returns {number} throws Error with what is wrong with it
 */
export function calculate(text) {
  if (text.length > MAX_LENGTH) throw new Error(`at most ${MAX_LENGTH} characters`);
  const parser = new Parser(tokensOf(text));
  const value = parser.sum();
  parser.end();
  if (Number.isNaN(value)) throw new Error('the result is not a number');
  // 0.1 + 0.2: the digits beyond the 15th are those of the format.
  return Number(value.toPrecision(15));
}

/**
 * @param {string} text
 * @returns {(string | number)[]}
 */
function tokensOf(text) {
  /** @type {(string | number)[]} */
  const tokens = [];
  const source = text.replaceAll('×', '*').replaceAll('÷', '/').replaceAll('−', '-').trimEnd();
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < source.length) {
    const at = TOKEN.lastIndex;
    const match = TOKEN.exec(source);
    if (!match) throw new Error(`'${source.slice(at).trim()[0]}' is not arithmetic`);
    const [, number, name, sign] = match;
    tokens.push(number === undefined ? (name?.toLowerCase() ?? sign) : Number(number));
  }
  return tokens;
}

class Parser {
  #tokens;
  #next = 0;

  /** @param {readonly (string | number)[]} tokens */
  constructor(tokens) {
    this.#tokens = tokens;
  }

  /** @returns {number} */
  sum() {
    let value = this.#product();
    for (;;) {
      if (this.#take('+')) value += this.#product();
      else if (this.#take('-')) value -= this.#product();
      else return value;
    }
  }

  end() {
    const rest = this.#tokens[this.#next];
    if (rest !== undefined) throw new Error(`'${rest}' is not expected there`);
  }

  /** @returns {number} */
  #product() {
    let value = this.#sign();
    for (;;) {
      if (this.#take('*')) value *= this.#sign();
      else if (this.#take('/')) value /= this.#divisor();
      else if (this.#take('%')) value %= this.#divisor();
      else return value;
    }
  }

  #divisor() {
    const value = this.#sign();
    if (value === 0) throw new Error('division by zero');
    return value;
  }

  /** @returns {number} */
  #sign() {
    if (this.#take('-')) return -this.#sign();
    if (this.#take('+')) return this.#sign();
    const value = this.#value();
    return this.#take('^') || this.#take('**') ? value ** this.#sign() : value;
  }

  /** @returns {number} */
  #value() {
    const token = this.#tokens[this.#next++];
    if (typeof token === 'number') return token;
    if (token === '(') return this.#closed(this.sum());
    if (token === undefined) throw new Error('it ends too early');
    if (!/^[a-z]/.test(token)) throw new Error(`'${token}' is not expected there`);
    if (!this.#take('(')) {
      if (Object.hasOwn(CONSTANTS, token)) return CONSTANTS[token];
      throw new Error(`'${token}' is not known`);
    }
    if (!Object.hasOwn(FUNCTIONS, token)) throw new Error(`the function '${token}' is not known`);
    const values = [this.sum()];
    while (this.#take(',')) values.push(this.sum());
    return this.#closed(FUNCTIONS[token](...values));
  }

  /** @param {number} value */
  #closed(value) {
    if (!this.#take(')')) throw new Error("a ')' is missing");
    return value;
  }

  /** @param {string} token */
  #take(token) {
    if (this.#tokens[this.#next] !== token) return false;
    this.#next++;
    return true;
  }
}
