import { type Static, Type } from 'typebox';
import type { Asker } from '../../../engine/job-pool/job-pool.js';
import { wholeSpan } from '../../../engine/text/spans.js';
import type { TokenId } from '../../../scheduler/ids.js';
import type { ModelService } from '../../models.js';
import { encodeFitting } from '../chat/chat-prompt.js';
import { Nullable } from './request-fields.js';

/** OpenAI's predicted outputs: most of the answer, when a text is to be changed in few places. */
export const PREDICTION_FIELDS = {
  prediction: Nullable(
    Type.Object({
      type: Type.Literal('content'),
      content: Type.Union([
        Type.String(),
        Type.Array(Type.Object({ type: Type.Literal('text'), text: Type.String() })),
      ]),
    }),
  ),
};

const PredictionSchema = Type.Object(PREDICTION_FIELDS);

/**
 * The prediction's tokens, as the model would write its text.
 *
 * @returns undefined when nothing is predicted
 * @throws OctavoError `context_length_exceeded` for one that no answer can be as long as
 */
export async function predictedTokens(
  { prediction }: Static<typeof PredictionSchema>,
  service: ModelService,
  asker: Asker,
): Promise<TokenId[] | undefined> {
  if (!prediction) return undefined;
  const { content } = prediction;
  const text = typeof content === 'string' ? content : content.map((part) => part.text).join('');
  if (text === '') return undefined;
  const prompt = { text, client: wholeSpan(text.length) };
  return encodeFitting(prompt, service, { param: 'prediction' }, asker);
}
