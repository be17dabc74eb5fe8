import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { OctavoError } from '../../../engine/errors.js';
import { renderMessages } from '../../../engine/generation/chat-messages.js';
import type { Message } from '../../../engine/generation/message.js';
import { ChatTemplate } from '../../../engine/text/chat-template.js';
import type { PromptText } from '../../../engine/text/spans.js';
import { byteModel } from '../../support/byte-model.js';

const FIXTURES = new URL('../../fixtures/chat-templates/', import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, FIXTURES), 'utf8');

interface Conversation {
  readonly messages: readonly Message[];
  readonly tools?: readonly object[];
  readonly add_generation_prompt?: boolean;
  readonly variables?: Record<string, unknown>;
}

type Golden = { readonly text: string } | { readonly error: string };

const CONVERSATIONS = JSON.parse(read('conversations.json')) as Record<string, Conversation>;
const NAMES = readdirSync(new URL('templates/', FIXTURES)).map((file) => file.slice(0, -6));

/** The moment at which the goldens were made, wherever one is. */
const MADE = new Date(2026, 2, 5, 14, 7, 9).getTime() / 1000;

function render(template: ChatTemplate, conversation: Conversation): PromptText {
  const model = { ...byteModel, chatTemplate: template };
  return renderMessages(conversation.messages, model, {
    tools: conversation.tools ?? null,
    addGenerationPrompt: conversation.add_generation_prompt !== false,
    variables: conversation.variables ?? {},
  });
}

describe.each(NAMES)('the chat template %s', (name) => {
  const goldens = JSON.parse(read(`goldens/${name}.json`)) as Record<string, Golden>;
  const tokens = { bosToken: '<s>', eosToken: '</s>' };
  const clock = { unixSeconds: () => MADE };
  const template = new ChatTemplate(read(`templates/${name}.jinja`), name, tokens, null, clock);

  it.each(Object.entries(goldens))(
    'renders the conversation "%s" as transformers does',
    (of, golden) => {
      if ('text' in golden) {
        expect(render(template, CONVERSATIONS[of]).text).toBe(golden.text);
        return;
      }
      let refused: OctavoError | null = null;
      try {
        render(template, CONVERSATIONS[of]);
      } catch (error) {
        refused = error as OctavoError;
      }
      expect(refused).toMatchObject({ kind: 'invalid_request', param: 'messages' });
      expect(refused?.message).toContain(`refuses the messages: ${golden.error}`);
    },
  );
});

it.each([
  ["{{ 'a--b--c'.split('--')[0] }}", 'a'],
  ["{{ 'a--b--c'.split('--')[-1] }}", 'c'],
  ["{{ 'a--b--c'.split('--')[1] }}", 'b'],
  ["{{ 'a'.split('--')[0] + 'a'.split('--')[-1] }}", 'aa'],
  // Separators are found from the left.
  ["{{ 'aaa'.split('aa')[-1] }}", 'a'],
  ["{{ 'a b'.split()[-1] }}", 'b'],
])('%s is %s', (source, text) => {
  const template = new ChatTemplate(source, 'test', { bosToken: '', eosToken: '' });
  expect(template.render([])).toBe(text);
});
