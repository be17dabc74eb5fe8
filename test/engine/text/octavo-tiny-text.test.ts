import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { TemplateMessage } from '../../../engine/text/chat-template.js';
import { loadServedModel } from '../../../engine/text/served-model.js';
import type { TokenId } from '../../../scheduler/ids.js';

// Golden files made by models/octavo-tiny/training/golden.py with Python's tokenizers and
// transformers.
const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));
const golden = (name: string): unknown =>
  JSON.parse(readFileSync(path(`../../fixtures/octavo-tiny/${name}`), 'utf8'));

interface Chat {
  readonly messages: readonly TemplateMessage[];
  readonly tools: readonly object[] | null;
  readonly add_generation_prompt: boolean;
  readonly text: string;
}

describe("octavo-tiny's text", async () => {
  const model = await loadServedModel(path('../../../models/octavo-tiny'), []);
  const { tokenizer, chatTemplate } = model;

  it('has the ids that Python gives', () => {
    for (const { text, ids } of golden('tokens.json') as { text: string; ids: TokenId[] }[]) {
      expect([text, tokenizer.encode(text, { addSpecialTokens: false })]).toEqual([text, ids]);
      expect(tokenizer.encode(text, { addSpecialTokens: true })).toEqual([1, ...ids]);
    }
  });

  it('renders chats as transformers does', () => {
    for (const { messages, tools, add_generation_prompt, text } of golden('chats.json') as Chat[]) {
      const options = { tools, addGenerationPrompt: add_generation_prompt };
      const rendered = chatTemplate?.render(messages, options);
      expect(rendered).toBe(text);
    }
  });

  it('streams any tokens to the text that all of them have', () => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 2047 }), { maxLength: 40 }), (numbers) => {
        const ids = numbers as TokenId[];
        const detokenizer = tokenizer.createDetokenizer({ skipSpecialTokens: true });
        const pieces = ids.map((id) => detokenizer.push(id));
        expect(pieces.join('') + detokenizer.flush()).toBe(
          tokenizer.decode(ids, { skipSpecialTokens: true }),
        );
      }),
      { numRuns: 500 },
    );
  });
});
