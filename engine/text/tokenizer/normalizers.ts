import { Charsmap } from './charsmap.js';
import type { Component } from './component.js';

/** Rewrites a text before it is split. */
export type Normalizer = (text: string) => string;

/** @throws OctavoError `model_unsupported`, `model_file_corrupt` */
export function createNormalizer(part: Component): Normalizer {
  switch (part.type) {
    case 'Sequence': {
      const steps = part.parts('normalizers').map(createNormalizer);
      return (text) => steps.reduce((rest, step) => step(rest), text);
    }
    case 'NFC':
    case 'NFD':
    case 'NFKC':
    case 'NFKD': {
      const form = part.type;
      return (text) => text.normalize(form);
    }
    case 'Replace': {
      const pattern = part.pattern();
      const content = part.text('content');
      // A function, so that "$" in the content has no special meaning.
      return (text) => text.replace(pattern, () => content);
    }
    case 'Prepend': {
      const prefix = part.text('prepend');
      return (text) => (text === '' ? '' : prefix + text);
    }
    case 'Strip':
      return strip(part.flag('strip_left', true), part.flag('strip_right', true));
    case 'StripAccents':
      return (text) => text.replace(/\p{M}/gu, '');
    case 'Lowercase':
      return lowercase;
    case 'Nmt':
      return nmt;
    case 'BertNormalizer':
      return bert(part);
    case 'Precompiled':
      return precompiled(part);
    default:
      throw part.unsupported();
  }
}

function strip(left: boolean, right: boolean): Normalizer {
  return (text) => {
    const rest = left ? text.replace(/^\p{White_Space}+/u, '') : text;
    if (!right) return rest;
    // No regular expression: that would be tried at each space of the text.
    let end = rest.length;
    while (end > 0 && /\p{White_Space}/u.test(rest[end - 1])) end--;
    return rest.slice(0, end);
  };
}

/** Character by character, so that a final Greek sigma is lowered like any other. */
const lowercase: Normalizer = (text) => Array.from(text, (char) => char.toLowerCase()).join('');

const NMT_SPACES = /[\t\n\f\r\u1680\u200B-\u200F\u2028\u2029\u2581\uFEFF\uFFFD]/gu;
const NMT_KEPT = /[\0\u0080-\u008E\u0090-\u009E]/u;

/** SentencePiece's `nmt` rules. */
const nmt: Normalizer = (text) =>
  text
    .replace(NMT_SPACES, ' ')
    .replace(/\p{Cc}/gu, (control) => (NMT_KEPT.test(control) ? control : ''));

const CONTROLS = /[\0\uFFFD]|(?![\t\n\r])[\p{Cc}\p{Cf}\p{Co}]/gu;
const CHINESE =
  /[\u4E00-\u9FFF\u3400-\u4DBF\u{20000}-\u{2A6DF}\u{2A700}-\u{2B73F}\u{2B740}-\u{2B81F}\u{2B920}-\u{2CEAF}\uF900-\uFAFF\u{2F800}-\u{2FA1F}]/gu;

function bert(part: Component): Normalizer {
  const lower = part.flag('lowercase', true);
  const steps: Normalizer[] = [];
  if (part.flag('clean_text', true)) {
    steps.push((text) => text.replace(CONTROLS, '').replace(/\p{White_Space}/gu, ' '));
  }
  if (part.flag('handle_chinese_chars', true)) steps.push((text) => text.replace(CHINESE, ' $& '));
  if (part.flag('strip_accents', lower)) {
    steps.push((text) => text.normalize('NFD').replace(/\p{Mn}/gu, ''));
  }
  if (lower) steps.push(lowercase);
  return (text) => steps.reduce((rest, step) => step(rest), text);
}

function precompiled(part: Component): Normalizer {
  const blob = Buffer.from(part.text('precompiled_charsmap'), 'base64');
  if (blob.length === 0) return (text) => text;
  try {
    const charsmap = new Charsmap(blob);
    return (text) => charsmap.normalize(text);
  } catch {
    throw part.unsupported('with a table of wrong size');
  }
}
