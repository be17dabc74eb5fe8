import { clip } from '../clip.js';
import { OctavoError } from '../errors.js';
import type { ChatTemplate, RenderOptions, TemplateMessage } from '../text/chat-template.js';
import { isKnownRole, KNOWN_ROLES } from '../text/roles.js';

/** Of one conversation. Each is looked for in all of the prompt. */
const MAX_ROLES = 16;

/**
 * Some templates write a message of any role, others leave out those that they do not know: the
 * model would then answer to something else than what was sent. So messages with roles of the
 * client's own are rendered once more with a word in place of their content, which must be there.
 *
 * @param turns messages that the template has written without an error
 * @throws OctavoError `invalid_request` for a role whose messages it leaves out
 */
export function assertRolesAreShown(
  turns: readonly TemplateMessage[],
  template: ChatTemplate,
  options: RenderOptions,
): void {
  const roles = new Map<string, number>();
  for (const [index, { role }] of turns.entries()) {
    if (!isKnownRole(role) && !roles.has(role)) roles.set(role, index);
  }
  if (roles.size === 0) return;
  if (roles.size > MAX_ROLES) {
    const index = [...roles.values()][MAX_ROLES];
    refuse(index, `is one role of your own too many: at most ${MAX_ROLES} are supported`);
  }
  const numbers = new Map([...roles.keys()].map((role, number) => [role, number]));
  const probeOf = (role: string): string => `octavo-probe-${numbers.get(role)}-of-role`;
  const probes = turns.map((turn) =>
    isKnownRole(turn.role) ? turn : { ...turn, content: probeOf(turn.role) },
  );
  const text = template.render(probes, options);
  for (const [role, index] of roles) {
    if (text.includes(probeOf(role))) continue;
    refuse(
      index,
      `${JSON.stringify(clip(role))}: the model's chat template leaves out messages of this role; ` +
        `those of OpenAI are ${KNOWN_ROLES.join(', ')}`,
    );
  }
}

function refuse(index: number, problem: string): never {
  const param = `messages[${index}].role`;
  throw new OctavoError('invalid_request', `${param} ${problem}`, { param });
}
