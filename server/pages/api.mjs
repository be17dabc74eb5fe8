// Requests to the server that the page came from, and its streams.

const KEY = 'octavo-api-key';

/** What the server answered instead of what was asked for. */
export class ApiError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/** As `fetch`, with the API key if there is one. Throws ApiError unless the answer is 2xx. The key lives as long as the tab. */
export async function request(path, options = {}) {
  const key = sessionStorage.getItem(KEY);
  const headers = { ...options.headers, ...(key ? { authorization: `Bearer ${key}` } : {}) };
  const response = await fetch(path, { ...options, headers });
  if (response.ok) return response;
  const text = await response.text();
  throw new ApiError(
    errorMessage(text) ?? `the server answered ${response.status}`,
    response.status,
  );
}

function errorMessage(text) {
  try {
    return JSON.parse(text).error?.message;
  } catch {
    return undefined;
  }
}

/** The events of a response of server-sent events: `{ name, data }`, data as text. */
export async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const blocks = (rest + value).split('\n\n');
      rest = blocks.pop();
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

/** Shows a form that asks for the key; resolves when one is given. The form is a `.key-form` with an input. */
export function askForKey(form) {
  const input = form.querySelector('input');
  form.hidden = false;
  input.focus();
  return new Promise((resolve) => {
    form.addEventListener(
      'submit',
      (event) => {
        event.preventDefault();
        sessionStorage.setItem(KEY, input.value.trim());
        input.value = '';
        form.hidden = true;
        resolve();
      },
      { once: true },
    );
  });
}
