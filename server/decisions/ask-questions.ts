import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Message } from '../../engine/generation/message.js';
import type { Asker } from '../../engine/job-pool/job-pool.js';
import { contextExceeded } from '../../engine/text/assert-may-fit.js';
import type { PromptText } from '../../engine/text/spans.js';
import type { TokenId } from '../../scheduler/ids.js';
import { type ReadPrompt, readPrompts } from '../generation/embed.js';
import { type RequestHost, runInFlight, type UserFields } from '../generation/run-in-flight.js';
import { whileConnected } from '../http/in-flight.js';
import { costOf } from '../limits/cost.js';
import type { ModelService } from '../models.js';
import type { GenerationRecord } from '../request-record.js';
import { type Label, labelsBehind } from './labels.js';
import { type Distribution, distributionOf, type Question } from './questions.js';

export interface AskOptions {
  /** What all questions are about. */
  readonly messages: readonly Message[];
  readonly questions: readonly Question[];
  readonly priority: number;
  readonly cacheSalt: string | null;
  readonly user: UserFields;
  readonly record: GenerationRecord;
}

/**
 * Asks a model closed questions about one input, without generating a token: each question stands
 * behind the input, which is computed once, and its answer is how likely the options' labels are as
 * the next token.
 *
 * @returns in the questions' order
 * @throws OctavoError `context_length_exceeded`, `invalid_request`, and what the engine throws
 */
export async function askQuestions(
  host: RequestHost,
  service: ModelService,
  request: FastifyRequest,
  reply: FastifyReply,
  options: AskOptions,
): Promise<Distribution[]> {
  const { record, priority, cacheSalt, user } = options;
  const client = host.clientOf(request);
  const prompts = await whileConnected(reply, (signal) =>
    promptsOf(options, service, { client, signal }),
  );
  const shared = {
    priority,
    cacheSalt,
    tenant: host.shareOf(request, user).tenant,
    arrivedAt: request.arrivedAt,
    record,
  };
  const cost = costOf(prompts);
  return runInFlight(host, service, request, reply, record, cost, async (running) => {
    // The others find the input in the prefix cache that the first question leaves there.
    const [first, ...others] = prompts;
    const read = (asked: readonly ReadPrompt[], part: string) =>
      readPrompts(
        host,
        service,
        { ...shared, id: `${record.id}-${part}`, prompts: asked },
        running,
      );
    const outputs = [
      ...(await read([first], 'first')),
      ...(others.length > 0 ? await read(others, 'others') : []),
    ];
    record.promptTokens = cost.promptTokens;
    return outputs.map(({ labelLogprobs = [] }) => distributionOf(labelLogprobs));
  });
}

async function promptsOf(
  { messages, questions }: AskOptions,
  service: ModelService,
  asker: Asker,
): Promise<[ReadPrompt, ...ReadPrompt[]]> {
  const { prompts, model, engine } = service;
  const most = Math.max(...questions.map((question) => question.options.length));
  let labels: readonly Label[] | null = null;
  const asked: ReadPrompt[] = [];
  for (const question of questions) {
    const render = (chosen: readonly Label[]): Promise<PromptText> =>
      rendered(messages, question, chosen, service, asker);
    labels ??= labelsBehind(openingOf(await render([])), most, model.tokenizer);
    const encoding = { addSpecialTokens: false, param: question.param };
    const promptTokenIds = await prompts.encode(await render(labels), encoding, asker);
    const { maxModelLength: context } = engine.info;
    if (promptTokenIds.length > context) {
      const promptTokens = promptTokenIds.length;
      throw contextExceeded({ context, promptTokens, wanted: null, param: question.param });
    }
    const ids = labels.slice(0, question.options.length).map(({ tokenId }) => tokenId);
    asked.push({ promptTokenIds, labels: ids satisfies TokenId[] });
  }
  return asked as [ReadPrompt, ...ReadPrompt[]];
}

/** What the template writes behind the last text of the client: there, the answer begins. */
const openingOf = ({ text, client }: PromptText): string => text.slice(client.at(-1)?.end ?? 0);

/** The prompt of one question, which ends where its answer begins, without any reasoning. */
async function rendered(
  messages: readonly Message[],
  question: Question,
  labels: readonly Label[],
  { prompts, forms }: ModelService,
  asker: Asker,
): Promise<PromptText> {
  const options = { variables: { enable_thinking: false } };
  const prompt = await prompts.render(withQuestion(messages, question, labels), options, asker);
  const { reasoning } = forms;
  const closing = reasoning?.opens(prompt.text) === true ? reasoning.closing : '';
  const before = reasoning?.beforeAnswer ?? '';
  return { ...prompt, text: prompt.text + closing + before };
}

/**
 * Templates of many models take no two messages of the user in a row: the question is the end of
 * the last one, or a message of its own.
 */
function withQuestion(
  messages: readonly Message[],
  { instructions, options }: Question,
  labels: readonly Label[],
): Message[] {
  const lines = labels.slice(0, options.length).map(({ text }, i) => `${text}: ${options[i].text}`);
  const question = [instructions, '', 'Answer with the letters of one option only.', ...lines];
  const text = question.join('\n');
  const last = messages.at(-1);
  if (last?.role !== 'user') return [...messages, { role: 'user', content: text }];
  const said = typeof last.content === 'string' ? last.content : '';
  return [...messages.slice(0, -1), { role: 'user', content: `${said}\n\n${text}` }];
}
