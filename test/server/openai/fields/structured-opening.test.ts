import { afterEach, expect, it } from 'vitest';
import { loadTokenizer } from '../../../../engine/text/hf-tokenizer.js';
import { byteModel } from '../../../support/byte-model.js';
import { ScriptedEngine } from '../../../support/scripted-engine.js';
import { startTestServer, stopTestServers } from '../../../support/test-server.js';
import { tokenizerDir } from '../../../support/tokenizer-fixtures.js';

afterEach(stopTestServers);

// A SentencePiece tokenizer drops the space before the first word of a text. A grammar holds all
// bytes of its tokens, so a text that follows one is shown with that space.
it('shows the bytes that a grammar held, from the first token on', async () => {
  const tokenizer = await loadTokenizer(tokenizerDir('llama2'));
  const steps = tokenizer.encode('{"a": 1}', { addSpecialTokens: false }).map((id) => [id]);
  const engine = new ScriptedEngine(() => ({ steps, finish: 'length' }), {
    vocabSize: tokenizer.vocabSize,
  });
  const { client } = await startTestServer(engine, { model: { ...byteModel, tokenizer } });
  const answer = async (type: 'text' | 'json_object') => {
    const { choices } = await client.chat.completions.create({
      model: byteModel.names[0],
      messages: [{ role: 'user', content: 'x' }],
      response_format: { type },
    });
    return choices[0].message.content;
  };
  const held = Buffer.concat(steps.flat().map((id) => tokenizer.bytesOf(id)));
  expect(await answer('text')).toBe('{"a": 1}');
  expect(await answer('json_object')).toBe(held.toString());
  expect(held.toString()).toBe(' {"a": 1}');
});
