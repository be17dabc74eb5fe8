import { bytesOfToken } from '../byte-level.js';
import type { Component } from './component.js';

/** What tokens write, in UTF-8. */
export interface TokenWriter {
  /** Inside of a text. */
  readonly inside: (token: string) => Uint8Array;
  /**
   * Where nothing was written before: SentencePiece's first word loses the space that was put
   * before it. The same function where that makes no difference.
   */
  readonly opening: (token: string) => Uint8Array;
}

type Step = (written: string | Uint8Array, opens: boolean) => string | Uint8Array;

/**
 * The decoders of tokenizer.json work on all tokens of a text. But what each token writes depends
 * only on whether it is the first, and that is all that a stream can know. Decoders that look
 * further are refused.
 *
 * @param part null: the tokens are words
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
  // A step that looks takes two arguments.
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
 * From `Fuse` on a step sees the text as one. Of that only its beginning is known while it is
 * written.
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

/** Takes a Strip's content from one end of what is written, as often as it says at most. */
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

/** English marks and endings, drawn to the word before them. */
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

/** Where bytes come here, a space is looked for: half a character, read as Latin-1, is none. */
function asText(written: string | Uint8Array): string {
  return typeof written === 'string' ? written : Buffer.from(written).toString('latin1');
}
