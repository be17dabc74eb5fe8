import {
  EmbedAnswer,
  GenerateAnswer,
  OldEmbedAnswer,
  OllamaChatAnswer,
  OllamaErrorSchema,
  OllamaVersion,
  PsAnswer,
  PullAnswer,
  ShowAnswer,
  TagsAnswer,
} from './ollama-answers.js';
import type { Operation } from './operation.js';

const shared = { tag: 'ollama', error: OllamaErrorSchema } as const;

/** The routes of Ollama's API. */
export const OLLAMA_OPERATIONS: Readonly<Record<string, Operation>> = {
  'POST /api/chat': {
    ...shared,
    summary: 'Continue a conversation',
    answer: OllamaChatAnswer,
    line: OllamaChatAnswer,
  },
  'POST /api/generate': {
    ...shared,
    summary: 'Answer a prompt, or continue a text with raw: true',
    answer: GenerateAnswer,
    line: GenerateAnswer,
  },
  'POST /api/embed': { ...shared, summary: 'Embed texts', answer: EmbedAnswer },
  'POST /api/embeddings': { ...shared, summary: 'Embed one text', answer: OldEmbedAnswer },
  'GET /api/tags': { ...shared, summary: 'List the models', answer: TagsAnswer },
  'GET /api/ps': { ...shared, summary: 'List the models that are loaded', answer: PsAnswer },
  'POST /api/show': { ...shared, summary: 'Show a model', answer: ShowAnswer },
  'GET /api/version': { ...shared, summary: 'The version of this API', answer: OllamaVersion },
  'POST /api/pull': {
    ...shared,
    summary: 'Fetch a model from the hub, with --allow-pull',
    answer: PullAnswer,
    line: PullAnswer,
  },
  'DELETE /api/delete': {
    ...shared,
    summary: 'Delete a model of the hub, with --allow-pull',
    answer: null,
  },
};
