import { GREEDY } from '../../engine/sampling/sampling-params.js';
import { ByteLevelDetokenizer, decodeBytes } from '../../engine/text/byte-level.js';
import { ChatTemplate } from '../../engine/text/chat-template.js';
import type { ServedModel } from '../../engine/text/served-model.js';
import type { Tokenizer } from '../../engine/text/tokenizer.js';
import type { TokenId } from '../../scheduler/ids.js';

/** End of text of the byte model; a special token, written `<end>`. */
export const EOS = 256 as TokenId;

const TABLE = Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte));
const WITH_SPECIAL = [...TABLE, Buffer.from('<end>')];

/** One token for each byte, so that tests can write scripts as text. */
export function bytesOf(text: string): TokenId[] {
  return [...Buffer.from(text)] as TokenId[];
}

const tokenizer: Tokenizer = {
  encode: (text) => bytesOf(text),
  decode: (ids, { skipSpecialTokens }) =>
    decodeBytes(skipSpecialTokens ? TABLE : WITH_SPECIAL, ids),
  createDetokenizer: ({ skipSpecialTokens }) =>
    new ByteLevelDetokenizer(skipSpecialTokens ? TABLE : WITH_SPECIAL),
  bytesOf: (id) => WITH_SPECIAL[id] ?? new Uint8Array(0),
  tokenId: () => undefined,
  entryOf: (id) => `<${id}>`,
  addedTokens: new Map(),
  vocabSize: 257,
  longestToken: Number.POSITIVE_INFINITY,
};

const TEMPLATE =
  "{% for m in messages %}{% if m.role == 'tool' %}{{ raise_exception('no tools here') }}{% endif %}" +
  '<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>';

export const byteModel: ServedModel = {
  names: ['byte-model', 'alias'],
  tokenizer,
  chatTemplate: new ChatTemplate(TEMPLATE, 'test', { bosToken: '', eosToken: '' }),
  controlTokens: new Set(),
  eosTokenIds: [EOS],
  defaultSampling: { ...GREEDY, temperature: 1 },
  defaultMaxTokens: null,
};
