/** @import { Token, Tokens } from 'marked' */
import { make } from './elements.mjs';
import { lexer } from './marked.mjs';

/**
 * Markdown as elements. `marked` only cuts the text into tokens; what becomes of each is decided
 * here, with `createElement` and text nodes: there is no way from a text to HTML. HTML within it is
 * shown as it was written, links go to http, https and mail only, and an image is a link, so that
 * nothing is loaded from elsewhere.
 */

/** Maximum depth; deeper parts are shown as source text. */
const MAX_DEPTH = 16;

const LINK = /^(https?:\/\/|mailto:)/i;

/**
 * Shows a text that may grow. Blocks whose text has not changed stay as they are, so that a long
 * answer costs no more with each word, and a selection holds.
 *
 * @param {HTMLElement} root
 * @param {string} text
 */
export function showMarkdown(root, text) {
  const blocks = tokensOf(text);
  const shown = /** @type {HTMLElement[]} */ ([...root.children]);
  for (const [index, token] of blocks.entries()) {
    const old = shown[index];
    // The last block grows, and one before it may turn out to be something else.
    if (old && sources.get(old) === token.raw) continue;
    const node = blockOf(token, 0);
    sources.set(node, token.raw);
    if (old) old.replaceWith(node);
    else root.append(node);
  }
  for (const node of shown.slice(blocks.length)) node.remove();
}

/**
 * @param {string} text
 * @returns {Token[]}
 */
function tokensOf(text) {
  try {
    return lexer(text, { gfm: true, breaks: true }).filter(({ type }) => type !== 'space');
  } catch (error) {
    // Thousands of nested quotes or lists are more than the stack holds: they are shown as they
    // were written.
    if (error instanceof RangeError) return [{ type: 'raw', raw: text }];
    throw error;
  }
}

/**
 * What each block was made from.
 *
 * @type {WeakMap<Element, string>}
 */
const sources = new WeakMap();

/**
 * @param {Token} token
 * @param {number} depth
 * @returns {HTMLElement}
 */
function blockOf(token, depth) {
  if (depth > MAX_DEPTH) return make('p', '', token.raw);
  switch (token.type) {
    case 'heading':
      // Models begin with any level: the page's order of headings must not depend on them.
      return within(make('h2', `level-${token.depth}`), token, depth);
    case 'code':
      return codeBlock(token.text, token.lang ?? '');
    case 'blockquote': {
      const quote = make('blockquote', '');
      quote.append(...blocksOf(token.tokens ?? [], depth));
      return quote;
    }
    case 'list':
      return listOf(/** @type {Tokens.List} */ (token), depth);
    case 'table':
      return tableOf(/** @type {Tokens.Table} */ (token), depth);
    case 'hr':
      return make('hr', '');
    case 'paragraph':
    case 'text':
      return within(make('p', ''), token, depth);
    default:
      return make('p', '', token.raw.trimEnd());
  }
}

/**
 * @param {readonly Token[]} tokens
 * @param {number} depth
 */
const blocksOf = (tokens, depth) =>
  tokens.filter(({ type }) => type !== 'space').map((token) => blockOf(token, depth + 1));

/**
 * @param {Tokens.List} list
 * @param {number} depth
 */
function listOf(list, depth) {
  const node = make(list.ordered ? 'ol' : 'ul', '');
  if (node instanceof HTMLOListElement && typeof list.start === 'number') node.start = list.start;
  for (const { tokens, task, checked } of list.items) {
    const item = make('li', '');
    if (task) item.append(checked ? '☑ ' : '☐ ');
    for (const token of tokens) {
      if (token.type === 'text') within(item, token, depth);
      else if (token.type !== 'space' && token.type !== 'checkbox')
        item.append(blockOf(token, depth + 1));
    }
    node.append(item);
  }
  return node;
}

/**
 * @param {Tokens.Table} table
 * @param {number} depth
 */
function tableOf({ header, rows }, depth) {
  const node = make('table', '');
  /** @param {'th' | 'td'} tag */
  const rowOf = (tag) => (/** @type {Tokens.TableCell[]} */ cells) => {
    const row = make('tr', '');
    for (const { tokens } of cells) {
      const cell = make(tag, '');
      cell.append(...inline(tokens, depth));
      row.append(cell);
    }
    return row;
  };
  node.append(rowOf('th')(header), ...rows.map(rowOf('td')));
  const scroll = make('div', 'table');
  scroll.tabIndex = 0;
  scroll.append(node);
  return scroll;
}

/**
 * @param {string} text
 * @param {string} language
 */
function codeBlock(text, language) {
  const box = make('div', 'code');
  const head = make('div', 'code-head');
  const copy = make('button', 'copy', 'Copy');
  copy.type = 'button';
  head.append(make('span', '', /^\S*/.exec(language)?.[0] || 'text'), copy);
  const code = make('pre', '');
  code.tabIndex = 0;
  code.append(make('code', '', text));
  box.append(head, code);
  return box;
}

/**
 * @param {HTMLElement} node
 * @param {Token} token with tokens of a line, or a text
 * @param {number} depth
 */
function within(node, token, depth) {
  const tokens = 'tokens' in token ? token.tokens : undefined;
  if (tokens) node.append(...inline(tokens, depth + 1));
  else node.append('text' in token ? token.text : token.raw);
  return node;
}

/**
 * @param {readonly Token[]} tokens
 * @param {number} depth
 * @returns {(Node | string)[]}
 */
function inline(tokens, depth) {
  return tokens.map((token) => {
    if (depth > MAX_DEPTH) return token.raw;
    switch (token.type) {
      case 'strong':
        return within(make('strong', ''), token, depth);
      case 'em':
        return within(make('em', ''), token, depth);
      case 'del':
        return within(make('del', ''), token, depth);
      case 'codespan':
        return make('code', '', token.text);
      case 'br':
        return make('br', '');
      case 'link':
        return LINK.test(token.href) ? linkTo(token.href, token, depth) : token.raw;
      case 'image':
        return LINK.test(token.href) ? imageLink(token.href, token.text) : token.raw;
      case 'escape':
        return token.text;
      case 'text':
        return token.tokens ? within(make('span', ''), token, depth) : token.text;
      default:
        // HTML, too: as it was written.
        return token.raw;
    }
  });
}

/**
 * @param {string} href
 * @param {Token} token
 * @param {number} depth
 */
const linkTo = (href, token, depth) => within(emptyLink(href), token, depth);

/**
 * @param {string} href
 * @param {string} text
 */
function imageLink(href, text) {
  const link = emptyLink(href);
  link.textContent = text || href;
  return link;
}

/** @param {string} href */
function emptyLink(href) {
  const link = make('a', '');
  link.href = href;
  link.rel = 'noopener noreferrer';
  link.target = '_blank';
  return link;
}
