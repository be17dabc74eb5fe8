/** A model in a repository of the hub, at a branch, a tag or a commit. */
export interface HubId {
  /** `owner/name`. */
  readonly repo: string;
  readonly revision: string;
  /**
   * The quantization of the GGUF file that is meant, or the file's name, as llama.cpp and Ollama
   * have it after a colon; absent: none is named.
   */
  readonly quantization?: string;
}

const PART = /^[A-Za-z0-9](?:[\w.-]{0,94}[\w-])?$/;
const REVISION = /^[\w.-]+(?:\/[\w.-]+)*$/;
const QUANTIZATION = /^\w[\w.-]{0,150}$/;

/** What people copy with a name: from Ollama's commands, and from the address bar. */
const HOSTS = /^(?:https:\/\/)?(?:hf\.co|huggingface\.co)\//;

/**
 * Reads `owner/name[@revision][:quantization]`, with the hub's own rules for names; null for
 * anything else. `:latest` names none, as in Ollama.
 */
export function parseHubId(text: string): HubId | null {
  const [, name, tag] = /^([^:]*)(?::(.*))?$/s.exec(text.replace(HOSTS, '')) ?? [];
  if (name === undefined || (tag !== undefined && !QUANTIZATION.test(tag))) return null;
  const at = name.indexOf('@');
  const repo = at < 0 ? name : name.slice(0, at);
  const revision = at < 0 ? 'main' : name.slice(at + 1);
  const parts = repo.split('/');
  const named = parts.length === 2 && parts.every((part) => PART.test(part));
  // These would leave the cache's directories, or give two repositories the same directory.
  if (!named || /--|\.\./.test(repo)) return null;
  if (!REVISION.test(revision) || revision.split('/').some((part) => /^\.+$/.test(part))) {
    return null;
  }
  return { repo, revision, ...(tag !== undefined && tag !== 'latest' && { quantization: tag }) };
}

/** As a person writes it: without what is usual. */
export function hubName({ repo, revision, quantization }: HubId): string {
  const at = revision === 'main' ? '' : `@${revision}`;
  return `${repo}${at}${quantization === undefined ? '' : `:${quantization}`}`;
}

/** Names under which a model of the hub is served, the longest first. */
export function hubNames({ repo, quantization }: HubId): readonly [string, ...string[]] {
  const short = repo.slice(repo.indexOf('/') + 1);
  return quantization === undefined ? [repo, short] : [`${repo}:${quantization}`, repo, short];
}
