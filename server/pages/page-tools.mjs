/** @import { ToolCall } from './chat-types.js' */
import { calculate } from './calculator.mjs';

/**
 * Tools that run in this page: they read nothing but their arguments and the clock, and change
 * nothing.
 */

/**
 * @typedef {object} PageTool
 * @property {string} description
 * @property {Record<string, object>} properties of its arguments
 * @property {readonly string[]} required
 * @property {(args: Readonly<Record<string, unknown>>, now: Date) => string} run
 */

/** @type {Readonly<Record<string, PageTool>>} */
const TOOLS = {
  calculator: {
    description: 'Computes an arithmetic expression, such as "(2 + 3) * sqrt(2)".',
    properties: { expression: { type: 'string', description: 'Numbers, + - * / % ^, sqrt, ...' } },
    required: ['expression'],
    run: ({ expression }) => String(calculate(String(expression ?? ''))),
  },
  clock: {
    description: 'Tells the date and the time now.',
    properties: {
      time_zone: { type: 'string', description: 'IANA name, such as "Europe/Rome"; may be absent' },
    },
    required: [],
    run: ({ time_zone: zone }, now) => {
      const timeZone = typeof zone === 'string' && zone !== '' ? zone : undefined;
      const style = /** @type {const} */ ({ dateStyle: 'full', timeStyle: 'long' });
      return new Intl.DateTimeFormat('en', { ...style, timeZone }).format(now);
    },
  },
};

/** As the API takes them. */
export const PAGE_TOOLS = Object.entries(TOOLS).map(
  ([name, { description, properties, required }]) => ({
    type: 'function',
    function: { name, description, parameters: { type: 'object', properties, required } },
  }),
);

/** @param {ToolCall} call */
export const isPageTool = ({ function: { name } }) => Object.hasOwn(TOOLS, name);

/**
 * What a call gives. Models call tools wrongly: what is wrong is a result, too.
 *
 * @param {ToolCall} call of a tool of this page
 * @param {Date} now
 */
export function runPageTool({ function: { name, arguments: text } }, now) {
  try {
    const args = JSON.parse(text || '{}');
    if (args?.constructor !== Object) throw new Error('the arguments must be a JSON object');
    return TOOLS[name].run(args, now);
  } catch (error) {
    return `error: ${error instanceof Error ? error.message : String(error)}`;
  }
}
