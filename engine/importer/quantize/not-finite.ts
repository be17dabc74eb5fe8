import { OctavoError } from '../../errors.js';

/** A weight is NaN or infinite; whole numbers with a scale cannot represent it. */
export class NotFiniteError extends Error {}

/**
 * Rounds the weight of a node.
 *
 * @throws OctavoError `model_file_corrupt` when it is not finite
 */
export async function guard<T>(
  { file }: { readonly file: string },
  node: string,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof NotFiniteError)) throw error;
    throw new OctavoError(
      'model_file_corrupt',
      `${file}: the weight of node ${node} holds a number that is infinite or NaN; whole numbers cannot hold it`,
    );
  }
}
