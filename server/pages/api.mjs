// Requests to the server that the page came from, and its streams.

const KEY = 'octavo-api-key';

/** What goes before every address: '', or the path that the API is mounted at in another server. */
export const MOUNT_PATH = new URL('..', import.meta.url).pathname.slice(0, -1);

/** What the server answered instead of what was asked for. */
export class ApiError extends Error {
  /**
   * @param {string} message
   * @param {number} status
   * @param {number | null} [retryAfter] seconds that the server wants to be left alone
   */
  constructor(message, status, retryAfter = null) {
    super(message);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

/** The server did not answer, or not to the end. */
export class ConnectionError extends Error {}

/**
 * What a browser says of a connection differs from others, and helps in none.
 *
 * @param {string} words instead
 * @returns {(error: unknown) => never}
 */
const lost = (words) => (error) => {
  throw error instanceof TypeError ? new ConnectionError(words) : error;
};

/** @param {unknown} error */
export const isUnauthorized = (error) => error instanceof ApiError && error.status === 401;

/** Sends the key with all requests from now on, as long as the tab lives. @param {string} key */
export const keepKey = (key) => sessionStorage.setItem(KEY, key.trim());

/** The key that requests are sent with now; null: none. */
export const keptKey = () => sessionStorage.getItem(KEY);

/**
 * As `fetch`, with the API key if there is one. Throws ConnectionError.
 *
 * @param {string} path
 * @param {RequestInit} [options]
 */
export function send(path, options = {}) {
  const key = keptKey();
  const headers = new Headers(options.headers);
  if (key) headers.set('authorization', `Bearer ${key}`);
  return fetch(MOUNT_PATH + path, { ...options, headers }).catch(
    lost('the server cannot be reached'),
  );
}

/**
 * The same. Throws ApiError unless the answer is 2xx.
 *
 * @param {string} path
 * @param {RequestInit} [options]
 */
export async function request(path, options = {}) {
  const response = await send(path, options);
  if (response.ok) return response;
  const { status, headers } = response;
  const message = errorMessage(await response.text()) ?? `the server answered ${status}`;
  throw new ApiError(message, status, Number(headers.get('retry-after')) || null);
}

/**
 * @param {string} text
 * @returns {string | undefined}
 */
function errorMessage(text) {
  try {
    return JSON.parse(text).error?.message;
  } catch {
    return undefined;
  }
}

/**
 * The events of a response of server-sent events; data as text. Throws ConnectionError.
 *
 * @param {Response} response
 * @returns {AsyncGenerator<{ name: string, data: string }>}
 */
export async function* events(response) {
  if (!response.body) return;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  try {
    for (;;) {
      const { done, value } = await reader
        .read()
        .catch(lost('the connection ended before the answer did'));
      if (done) return;
      const blocks = (rest + value).split('\n\n');
      rest = blocks.pop() ?? '';
      for (const block of blocks) {
        const event = { name: 'message', data: '' };
        for (const line of block.split('\n')) {
          if (line.startsWith('event: ')) event.name = line.slice(7);
          if (line.startsWith('data: ')) event.data += line.slice(6);
        }
        // A comment keeps the connection open and says nothing.
        if (event.data !== '') yield event;
      }
    }
  } finally {
    await reader.cancel();
  }
}

/**
 * Shows a form that asks for the key. The form has an input, and a `.key-error` for what to say
 * when there was a key already.
 *
 * @param {HTMLElement} form
 * @param {AbortSignal} [signal] ends the asking, too
 * @returns {Promise<void>} resolves when a key is given; rejects with the signal's reason
 */
export function askForKey(form, signal) {
  const input = /** @type {HTMLInputElement} */ (form.querySelector('input'));
  const error = /** @type {HTMLElement} */ (form.querySelector('.key-error'));
  const refused = keptKey() !== null;
  error.hidden = !refused;
  error.textContent = refused ? 'The server does not know this key.' : '';
  form.hidden = false;
  input.focus();
  return new Promise((resolve, reject) => {
    const end = new AbortController();
    form.addEventListener(
      'submit',
      (event) => {
        event.preventDefault();
        // Several who wait for it are served by one: the first takes the key, all go on.
        if (input.value !== '') keepKey(input.value);
        input.value = '';
        form.hidden = true;
        end.abort();
        resolve();
      },
      { signal: end.signal },
    );
    const give = () => {
      form.hidden = true;
      end.abort();
      reject(signal?.reason);
    };
    if (signal?.aborted) give();
    signal?.addEventListener('abort', give, { signal: end.signal });
  });
}
