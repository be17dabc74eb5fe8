import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { beforeAll, describe, expect, it } from 'vitest';
import { metric, startSharedOctavo } from '../support/octavo-process.js';
import { dataUrl, messagesOf, visionCases, visionDir } from '../support/vision-fixtures.js';

/** A model with random weights that reads images: what it says is what transformers says. */
const MODEL = visionDir('smolvlm');
const [wide, two] = visionCases('smolvlm');
const GREEDY = { model: 'smolvlm', temperature: 0, max_tokens: 12 } as const;

let base: string;
let client: OpenAI;
beforeAll(async () => {
  const limit = ['--limit-mm-per-prompt', '{"image": 2}'];
  const server = await startSharedOctavo(['--model', MODEL, ...limit]);
  base = server.url;
  client = new OpenAI({ baseURL: `${base}/v1`, apiKey: 'none', maxRetries: 0 });
  return server.kill;
});

/** The message of a refused chat, and the field that it names. */
async function refusal(content: OpenAI.ChatCompletionContentPart[]): Promise<[string, unknown]> {
  const error: unknown = await client.chat.completions
    .create({ ...GREEDY, messages: [{ role: 'user', content }] })
    .catch((cause: unknown) => cause);
  if (!(error instanceof OpenAI.BadRequestError)) throw error;
  return [error.message, error.param];
}

/** vLLM's: the answer shows the ids of its tokens. */
const withIds = { return_token_ids: true };

const image = (url: string): OpenAI.ChatCompletionContentPart => ({
  type: 'image_url',
  image_url: { url },
});

describe('a chat with images', () => {
  it("streams what transformers says, to OpenAI's client", async () => {
    const whole = await client.chat.completions.create({
      ...GREEDY,
      messages: messagesOf(two),
      ...withIds,
    });
    const [choice] = whole.choices as unknown as [{ token_ids: number[] }];
    expect(choice.token_ids).toEqual(two.tokens);
    expect(whole.usage?.prompt_tokens).toBe(two.promptTokenIds.length);
    const stream = await client.chat.completions.create({
      ...GREEDY,
      messages: messagesOf(two),
      stream: true,
      stream_options: { include_usage: true },
    });
    let text = '';
    let usage: OpenAI.CompletionUsage | null = null;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? '';
      usage = chunk.usage ?? usage;
    }
    expect(text).toBe(whole.choices[0]?.message.content);
    // Equal images are a prefix like any other.
    const blocks = Math.floor((two.promptTokenIds.length - 1) / 16);
    expect(usage?.prompt_tokens_details?.cached_tokens).toBe(16 * blocks);
  });

  it('is asked by the other APIs, too', async () => {
    const data = dataUrl('wide.png').replace(/^[^,]*,/, '');
    const anthropic = new Anthropic({ baseURL: base, apiKey: 'none', maxRetries: 0 });
    const counted = await anthropic.messages.countTokens({
      model: 'smolvlm',
      messages: [
        {
          role: 'user',
          content: [
            { type: 'image', source: { type: 'base64', media_type: 'image/png', data } },
            { type: 'text', text: 'What is this?' },
          ],
        },
      ],
    });
    expect(counted.input_tokens).toBe(wide.promptTokenIds.length);
    const response = await client.responses.create({
      model: 'smolvlm',
      temperature: 0,
      max_output_tokens: 12,
      input: [
        {
          role: 'user',
          content: [
            { type: 'input_image', image_url: dataUrl('wide.png'), detail: 'auto' },
            { type: 'input_text', text: 'What is this?' },
          ],
        },
      ],
    });
    const chat = await client.chat.completions.create({ ...GREEDY, messages: messagesOf(wide) });
    expect(response.output_text).toBe(chat.choices[0]?.message.content);
    expect(response.usage?.input_tokens).toBe(wide.promptTokenIds.length);
  });

  it('counts encoded and cached images in /metrics', async () => {
    expect(await metric(base, 'vllm:mm_encoder_runs_total')).toBe(3);
    const [asked, found] = [
      await metric(base, 'vllm:mm_cache_queries_total'),
      await metric(base, 'vllm:mm_cache_hits_total'),
    ];
    expect(asked).toBe(3 + found);
    expect(await metric(base, 'vllm:mm_cache_bytes')).toBeGreaterThan(0);
  });

  it.each<[string, OpenAI.ChatCompletionContentPart[], RegExp]>([
    [
      'is no picture',
      [{ type: 'text', text: 'x' }, image('data:image/png;base64,AAAA')],
      /messages\[0\]\.content\[1\]: it cannot be decoded/,
    ],
    ['is cut short', [image(dataUrl('wide.png').slice(0, 2000))], /\[0\]: it cannot be decoded/],
    ['is no base64', [image('data:image/png;base64,@@@@')], /data of its URL are not base64/],
    ['is no data URL of base64', [image('data:,x')], /must be data:image\/\.\.\.;base64/],
    ['is a file', [image('file:///etc/passwd')], /must begin with data:, https:\/\/ or http:\/\//],
    ['would be fetched', [image('https://example.com/x.png')], /--allowed-media-domains/],
    [
      'is one too many',
      [0, 1, 2].map(() => image(dataUrl('wide.png'))),
      /messages\[0\]\.content\[2\]: one image too many, at most 2/,
    ],
  ])('is refused when an image %s', async (_, content, message) => {
    const [said, param] = await refusal(content);
    expect(said).toMatch(message);
    expect(param).toMatch(/^messages\[0\]\.content\[\d\]$/);
  });
});
