import type { Response } from 'undici';
import { clip } from '../clip.js';
import { OctavoError } from '../errors.js';
import type { HubId } from './hub-id.js';
import type { HubSettings } from './hub-settings.js';

/**
 * The error for a refusal of the hub. Its `x-error-code` says more than the status: private and
 * missing models both answer 401.
 */
export function hubRefusal(
  response: Response,
  url: string,
  id: HubId,
  { endpoint, token }: HubSettings,
): OctavoError {
  const { repo, revision } = id;
  const { status, headers } = response;
  const code = headers.get('x-error-code') ?? '';
  const said = clip(headers.get('x-error-message') ?? response.statusText);
  if (code === 'GatedRepo') {
    return new OctavoError(
      'hub_access_denied',
      `${repo}: access is restricted; accept its conditions at ${endpoint}/${repo} and set HF_TOKEN to a token of that account` +
        (token === null ? ' (no token is set)' : ` (that of ${token.source} has no access)`),
    );
  }
  if (code === 'RevisionNotFound') {
    const what = `${repo}: no revision ${revision} at ${endpoint}; a branch, a tag or a commit is allowed`;
    return new OctavoError('hub_model_not_found', what);
  }
  if (token !== null && /invalid credentials|invalid.* token/i.test(said)) {
    const what = `${endpoint} does not know the token of ${token.source} (status ${status}: ${said})`;
    return new OctavoError('hub_access_denied', what);
  }
  if (status === 401 || (status === 403 && code === 'RepoNotFound')) {
    const how =
      token === null
        ? 'if it is private, set HF_TOKEN'
        : `or it is private and the token of ${token.source} has no access`;
    const what = `${repo}: no such model at ${endpoint} for this user (status ${status}); ${how}`;
    return new OctavoError('hub_access_denied', what);
  }
  if (status === 403) {
    const who = token === null ? 'without a token' : `to the token of ${token.source}`;
    const what = `${repo}: ${endpoint} gives no access ${who} (status 403${said && `: ${said}`})`;
    return new OctavoError('hub_access_denied', what);
  }
  if (status === 404) {
    const missing = code === 'EntryNotFound' ? `no file ${url}` : `no such model at ${endpoint}`;
    return new OctavoError('hub_model_not_found', `${repo}: ${missing}`);
  }
  return new OctavoError('hub_download_failed', `${url}: status ${status} ${said}`.trim());
}
