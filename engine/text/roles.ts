/** Roles of OpenAI's messages. A client may use others, which are the client's text. */
export const KNOWN_ROLES: readonly string[] = [
  'system',
  'developer',
  'user',
  'assistant',
  'tool',
  'function',
];

/** Of the name of another role. */
export const MAX_ROLE_LENGTH = 64;

export const isKnownRole = (role: string): boolean => KNOWN_ROLES.includes(role);
