import type { TokenId } from '../../scheduler/ids.js';
import { OctavoError } from '../errors.js';
import type { PromptImage } from '../protocol/prompt-image.js';
import type { PromptText } from '../text/spans.js';

/**
 * Finds the image tokens of a prompt, and says which rows stand in their places: a piece for each
 * run of them.
 *
 * @param prompt as it was rendered
 * @returns absent for a prompt without images
 * @throws OctavoError `invalid_request` when there are more or fewer image tokens than rows: with
 *   `--allow-special-tokens`, a client may write some
 */
export function placeImages(
  tokenIds: readonly TokenId[],
  { images }: Pick<PromptText, 'images'>,
): readonly PromptImage[] | undefined {
  if (!images) return undefined;
  const { token, list, isBidirectional } = images;
  const placed: PromptImage[] = [];
  let at = 0;
  for (const { key, rows, deepstack, numRows, width, grid } of list) {
    for (let done = 0; done < numRows; ) {
      while (at < tokenIds.length && tokenIds[at] !== token) at += 1;
      const start = at;
      while (at < tokenIds.length && tokenIds[at] === token && at - start < numRows - done) at += 1;
      if (at === start) throw mismatch();
      const end = at;
      const [from, to] = [done * width, (done + end - start) * width];
      placed.push({
        start,
        end,
        key: `${key}:${done}`,
        rows: rows.subarray(from, to),
        deepstack: deepstack.map((features) => features.subarray(from, to)),
        grid,
        ...(isBidirectional && { isBidirectional }),
      });
      done += end - start;
    }
  }
  if (tokenIds.includes(token, at)) throw mismatch();
  return placed;
}

function mismatch(): OctavoError {
  const message = 'messages: the prompt has another number of image tokens than its images need';
  return new OctavoError('invalid_request', message, { param: 'messages' });
}
