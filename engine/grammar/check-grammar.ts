import { OctavoError } from '../errors.js';
import type { GrammarCheck } from './check-messages.js';
import { assertSmall, type Sizes } from './sizes.js';
import { grammarText } from './to-grammar.js';

/**
 * Builds a grammar to find out whether it can be enforced.
 *
 * @param onMeasured receives its sizes before anything is built
 * @throws OctavoError `invalid_request`: names what cannot be enforced, and where
 */
export function checkGrammar(
  { spec, field, suspects }: GrammarCheck,
  onMeasured: (sizes: Sizes) => void,
): void {
  try {
    onMeasured(assertSmall(spec));
    grammarText(spec);
  } catch (error) {
    if (!(error instanceof OctavoError)) throw error;
    for (const suspect of suspects) {
      const own = refusalOf(suspect.spec);
      if (own) throw named(own, suspect.name, suspect.param);
    }
    throw field === null ? error : named(error, field, field);
  }
}

function refusalOf(spec: GrammarCheck['spec']): OctavoError | null {
  try {
    grammarText(spec);
    return null;
  } catch (error) {
    if (error instanceof OctavoError) return error;
    throw error;
  }
}

const named = (error: OctavoError, name: string, param: string): OctavoError =>
  new OctavoError(error.kind, `${name}: ${error.message}`, { param, cause: error });
