import { clip } from '../../engine/clip.js';
import { OctavoError } from '../../engine/errors.js';

/** Where a page of a list begins, and how long it is. */
export interface PageQuery {
  readonly after?: string;
  readonly limit?: string;
}

/** How long pages are. */
const STANDARD = { byDefault: 20, most: 100 };

/**
 * A page of a list, as OpenAI's API has it.
 *
 * @param noun for messages
 * @throws OctavoError `invalid_request`
 */
export function pageOf(
  items: readonly { readonly id?: string | null | undefined }[],
  { after, limit: asked }: PageQuery,
  noun: string,
  { byDefault, most } = STANDARD,
): object {
  const limit = Number(asked ?? byDefault);
  if (!Number.isInteger(limit) || limit < 1 || limit > most) {
    const message = `limit must be an integer from 1 to ${most}`;
    throw new OctavoError('invalid_request', message, { param: 'limit' });
  }
  const start = after === undefined ? 0 : items.findIndex(({ id }) => id === after) + 1;
  if (after !== undefined && start === 0) {
    const message = `after: no ${noun} '${clip(after)}'`;
    throw new OctavoError('invalid_request', message, { param: 'after' });
  }
  const data = items.slice(start, start + limit);
  return {
    object: 'list',
    data,
    first_id: data[0]?.id ?? null,
    last_id: data.at(-1)?.id ?? null,
    has_more: start + limit < items.length,
  };
}
