import { randomUUID } from 'node:crypto';
import type { TObject } from 'typebox';
import { newCallId } from '../../engine/tools/call-ids.js';
import { placeImages } from '../../engine/vision/place-images.js';
import { answerMessage } from '../anthropic/answer-message.js';
import { cachingOf } from '../anthropic/caching.js';
import {
  CountTokensSchema,
  MessageSchema,
  toCommonFields,
  UNSUPPORTED_MESSAGE_FIELDS,
} from '../anthropic/message-fields.js';
import { prepareMessage } from '../anthropic/prepare-message.js';
import { messageThinkingLimit } from '../anthropic/thinking.js';
import type { RequestHost } from '../generation/run-in-flight.js';
import { whileConnected } from '../http/in-flight.js';
import { refuseEarly } from '../limits/refuse-early.js';
import { refuseUnsupported } from '../openai/fields/unsupported-fields.js';
import { planRequests } from '../openai/plan.js';
import type { Models } from '../pool/models.js';
import { newRecord } from '../request-record.js';
import type { TypedApp } from './typed-app.js';

/** Anthropic's API. */
export function addMessageRoutes(app: TypedApp, models: Models, host: RequestHost): void {
  app.post(
    '/v1/messages',
    {
      schema: { body: MessageSchema },
      onRequest: refuseEarly({ inFlight: host.inFlight, admission: models }),
    },
    async (request, reply) => {
      const { body } = request;
      const service = await models.useGenerator(body.model, reply);
      refuseAlien(body, MessageSchema);
      const client = host.clientOf(request);
      const prepared = await whileConnected(reply, (signal) =>
        prepareMessage(body, service, { client, signal }),
      );
      const { tokenIds, message, grammar, checks, tools, continuesFinal } = prepared;
      const images = placeImages(tokenIds, prepared.prompt);
      const left = service.engine.info.maxModelLength - tokenIds.length;
      const maxTokens = Math.min(body.max_tokens, left);
      const id = `msg_${randomUUID().replaceAll('-', '')}`;
      const caching = cachingOf(body);
      const model = body.model ?? service.name;
      const thinking = body.thinking ?? null;
      const limit = messageThinkingLimit(thinking, prepared.prompt.text, service);
      const [planned] = planRequests(
        id,
        [{ tokenIds, maxTokens, images }],
        toCommonFields(body, caching.isAsked),
        service,
        host.randomSeed,
        {
          message,
          grammar,
          ...host.shareOf(request, { user: body.metadata?.user_id ?? null }),
          route: 'messages',
          ...(limit && { thinking: limit }),
          continuesPrompt: continuesFinal,
        },
      );
      return answerMessage(host, service, request, reply, {
        request: planned,
        checks,
        record: newRecord(id, model),
        model,
        stream: body.stream === true,
        newCallId: () => (tools?.format.newCallId() ?? newCallId()).replace(/^call_/, 'toolu_'),
        showsThinking: !(thinking && 'display' in thinking && thinking.display === 'omitted'),
        isCutByContext: maxTokens < body.max_tokens,
        caching,
      });
    },
  );

  app.post(
    '/v1/messages/count_tokens',
    { schema: { body: CountTokensSchema } },
    async (request, reply) => {
      const { body } = request;
      const service = await models.useGenerator(body.model, reply);
      refuseAlien(body, CountTokensSchema);
      const client = host.clientOf(request);
      const count = await whileConnected(reply, async (signal) => {
        const { tokenIds, checks } = await prepareMessage(body, service, { client, signal });
        await service.grammars.check(checks, client, signal);
        return tokenIds.length;
      });
      return { input_tokens: count };
    },
  );
}

function refuseAlien(body: object, schema: TObject): void {
  refuseUnsupported(body, schema);
  refuseUnsupported(body, schema, UNSUPPORTED_MESSAGE_FIELDS);
}
