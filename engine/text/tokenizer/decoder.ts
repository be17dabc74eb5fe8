import { bytesOfToken } from '../byte-level.js';
import type { Component } from './component.js';

/** UTF-8 bytes of tokens. */
export interface TokenWriter {
  /** Bytes of a token inside a text. */
  readonly inside: (token: string) => Uint8Array;
  /**
   * Bytes of the first token: SentencePiece's first word loses the space before it. The same
   * function as `inside` when there is no difference.
   */
  readonly opening: (token: string) => Uint8Array;
}

type Step = (written: string | Uint8Array, opens: boolean) => string | Uint8Array;

/**
 * The decoders of tokenizer.json work on all tokens of a text. In those supported here, a token's
 * bytes depend only on whether it is the first, which a stream knows. Decoders that depend on more
 * are refused.
 *
 * @param part null when tokens are whole words
 * @throws OctavoError `model_unsupported`
 */
export function createWriter(part: Component | null): TokenWriter {
  const steps = part === null ? [WORDS] : stepsOf(part);
  const write = (token: string, opens: boolean): Uint8Array => {
    let written: string | Uint8Array = token;
    for (const step of steps) written = step(written, opens);
    return typeof written === 'string' ? Buffer.from(written) : written;
  };
  const inside = (token: string): Uint8Array => write(token, false);
  // A step that depends on the position takes two arguments.
  const isLooking = steps.some((step) => step.length > 1);
  return { inside, opening: isLooking ? (token) => write(token, true) : inside };
}

const WORDS: Step = (token, opens) => (opens ? token : ` ${asText(token)}`);

function stepsOf(part: Component): Step[] {
  const parts = part.type === 'Sequence' ? part.parts('decoders') : [part];
  const fuse = parts.findIndex(({ type }) => type === 'Fuse');
  const bytes = parts.findIndex(({ type }) => type === 'ByteFallback' || type === 'ByteLevel');
  return parts.flatMap((step, i) => {
    if (fuse >= 0 && i > fuse) return fusedStep(step);
    if (bytes >= 0 && i > bytes && !['Fuse', 'Strip'].includes(step.type)) {
      throw step.unsupported(`behind ${parts[bytes].type}`);
    }
    return tokenStep(step);
  });
}

/**
 * After `Fuse`, a step works on the whole text, of which only the beginning is known while
 * streaming.
 */
function fusedStep(part: Component): Step[] {
  if (part.type === 'Fuse') return [];
  if (part.type !== 'Strip' || part.integer('stop', 0) !== 0 || part.integer('start', 0) > 1) {
    throw part.unsupported('behind Fuse');
  }
  const strip = stripper(part, 'start');
  return [(written, opens) => (opens ? strip(written) : written)];
}

function tokenStep(part: Component): Step[] {
  switch (part.type) {
    case 'ByteLevel':
      return [(written) => bytesOfToken(asText(written))];
    case 'ByteFallback':
      return [(written) => byteOf(written) ?? written];
    case 'Fuse':
      return [];
    case 'Replace': {
      const pattern = part.pattern();
      const content = part.text('content');
      return [(written) => asText(written).replace(pattern, () => content)];
    }
    case 'Strip': {
      const start = stripper(part, 'start');
      const stop = stripper(part, 'stop');
      return [(written) => stop(start(written))];
    }
    case 'Metaspace': {
      const mark = part.text('replacement', '▁');
      const adds = part.text('prepend_scheme', 'always') !== 'never';
      const hasSpace = adds && part.flag('add_prefix_space', true);
      return [(written, opens) => asText(written).replaceAll(mark, opens && hasSpace ? '' : ' ')];
    }
    case 'WordPiece':
      return wordPiece(part);
    default:
      throw part.unsupported();
  }
}

/** The byte of a fallback token such as `<0xE2>`. */
function byteOf(written: string | Uint8Array): Uint8Array | null {
  const match = /^<0x([0-9A-Fa-f]{2})>$/.exec(asText(written));
  return match?.[1] === undefined ? null : Uint8Array.of(Number.parseInt(match[1], 16));
}

/** Removes a Strip's content from one end, at most as often as the part states. */
function stripper(
  part: Component,
  end: 'start' | 'stop',
): (written: string | Uint8Array) => string | Uint8Array {
  const content = part.text('content', ' ');
  const most = part.integer(end, 0);
  const isThere = (text: string): boolean =>
    end === 'start' ? text.startsWith(content) : text.endsWith(content);
  const without = (text: string): string =>
    end === 'start' ? text.slice(content.length) : text.slice(0, text.length - content.length);
  return (written) => {
    let rest = asText(written);
    let count = 0;
    for (; count < most && isThere(rest); count++) rest = without(rest);
    return count === 0 ? written : rest;
  };
}

/** English punctuation and endings that are attached to the word before them. */
const CLEANED: readonly (readonly [string, string])[] = [
  [' .', '.'],
  [' ?', '?'],
  [' !', '!'],
  [' ,', ','],
  [" ' ", "'"],
  [" n't", "n't"],
  [" 'm", "'m"],
  [' do not', " don't"],
  [" 's", "'s"],
  [" 've", "'ve"],
  [" 're", "'re"],
];

function wordPiece(part: Component): Step[] {
  const prefix = part.text('prefix', '##');
  const cleans = part.flag('cleanup', true);
  return [
    (written, opens) => {
      const token = asText(written);
      let text = opens ? token : ` ${token}`;
      if (!opens && token.startsWith(prefix)) text = token.slice(prefix.length);
      if (!cleans) return text;
      return CLEANED.reduce((rest, [from, to]) => rest.replaceAll(from, to), text);
    },
  ];
}

/**
 * For bytes, this is used only to find spaces; a partial character, read as Latin-1, contains none.
 */
function asText(written: string | Uint8Array): string {
  return typeof written === 'string' ? written : Buffer.from(written).toString('latin1');
}
