/** A model in a repository of the hub, at a branch, a tag or a commit. */
export interface HubId {
  /** `owner/name`. */
  readonly repo: string;
  readonly revision: string;
}

const PART = /^[A-Za-z0-9](?:[\w.-]{0,94}[\w-])?$/;
const REVISION = /^[\w.-]+(?:\/[\w.-]+)*$/;

/** Reads `owner/name[@revision]`, with the hub's own rules for names; null for anything else. */
export function parseHubId(text: string): HubId | null {
  const at = text.indexOf('@');
  const repo = at < 0 ? text : text.slice(0, at);
  const revision = at < 0 ? 'main' : text.slice(at + 1);
  const parts = repo.split('/');
  const named = parts.length === 2 && parts.every((part) => PART.test(part));
  // These would leave the cache's directories, or give two repositories the same directory.
  if (!named || /--|\.\./.test(repo)) return null;
  if (!REVISION.test(revision) || revision.split('/').some((part) => /^\.+$/.test(part))) {
    return null;
  }
  return { repo, revision };
}
