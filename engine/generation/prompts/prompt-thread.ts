import { workerData } from 'node:worker_threads';
import { serveJobs } from '../../job-pool/serve-jobs.js';
import { ChatTemplate } from '../../text/chat-template.js';
import { loadTokenizer } from '../../text/hf-tokenizer.js';
import { RequestTemplates } from '../../text/request-templates.js';
import type { Tokenizer } from '../../text/tokenizer.js';
import { renderMessages } from '../chat-messages.js';
import {
  type Conversation,
  type PromptResult,
  type PromptThreadData,
  type PromptWork,
  packPrompt,
  unpackPrompt,
} from './prompt-jobs.js';
import { describeConversation } from './prompt-sizes.js';

// Renders and tokenizes large prompts.

const { modelDir, template, templateTokens, controlTokens } = workerData as PromptThreadData;
const chatTemplate = template && ChatTemplate.of(template);
const requestTemplates = new RequestTemplates(templateTokens);
const control = new Set(controlTokens);
/** Loaded for the first text that is tokenized: a large vocabulary takes a second, and memory. */
let tokenizer: Tokenizer | null = null;

serveJobs<PromptWork, PromptResult>({
  prepare: async ({ kind }) => {
    if (kind === 'encode') tokenizer ??= await loadTokenizer(modelDir);
  },
  run: (work, onMeasured) => {
    if (work.kind === 'render') {
      const { messages, options } = JSON.parse(work.conversation) as Conversation;
      onMeasured(describeConversation(messages, options.tools ?? null));
      const own = options.template ? requestTemplates.get(options.template) : chatTemplate;
      const prompt = renderMessages(messages, { chatTemplate: own }, options);
      return { kind: 'render', prompt: packPrompt(prompt) };
    }
    if (!tokenizer) throw new Error('the tokenizer is loaded before it is used');
    const { text, client } = unpackPrompt(work.prompt);
    onMeasured(`${text.length} characters`);
    const { addSpecialTokens } = work;
    const tokenIds = tokenizer.encode(text, { addSpecialTokens, guard: { client, control } });
    return { kind: 'encode', tokenIds: Uint32Array.from(tokenIds) };
  },
});
