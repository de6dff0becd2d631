// Requests to the server that the page came from, with the visitor's key.

const slot = 'martlet-key';
let key = read();

function read() {
  try { return sessionStorage.getItem(slot) ?? ''; } catch { return ''; }
}

export const hasKey = () => key !== '';

/** Keeps a key for as long as this tab is open; an empty one forgets it. */
export function setKey(text) {
  // What no header can have is no key.
  key = text.trim().replace(/[^\x21-\x7e]/g, '');
  try {
    if (key) sessionStorage.setItem(slot, key); else sessionStorage.removeItem(slot);
  } catch { /* Then it is kept until the page is left. */ }
}

/** What the server says when it refuses. `status` is 0 when it could not be reached. */
export class ServerError extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** Sends a request. Paths are relative, so that the page works below a prefix too. */
export async function send(path, { method = 'GET', body, signal } = {}) {
  const headers = {};
  if (key) headers.Authorization = `Bearer ${key}`;
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  let response;
  try {
    response = await fetch(`./${path}`, {
      method, headers, signal, cache: 'no-store', credentials: 'same-origin',
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new ServerError(0, 'unreachable', 'The server does not answer.');
  }
  if (!response.ok) throw await refusal(response);
  return response;
}

async function refusal(response) {
  let error = null;
  try { error = (await response.json()).error; } catch { /* Not the server's own answer. */ }
  return new ServerError(response.status, error?.code ?? `http_${response.status}`,
    error?.message ?? `The server answered ${response.status}.`);
}

export async function fetchJSON(path, options) {
  const response = await send(path, options);
  return response.json();
}

/** The path of an adapter's route. Slashes stay, unless a browser or proxy would fold them. */
export function adapterPath(name, action) {
  const parts = name.split('/');
  const folds = parts.some((part) => part === '' || part === '.' || part === '..');
  const written = folds ? encodeURIComponent(name) : parts.map(encodeURIComponent).join('/');
  return `admin/adapters/${written}${action ? `/${action}` : ''}`;
}

/** The data of server-sent events, as they come. */
export async function* serverEvents(response) {
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let rest = '', seen = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      rest += decoder.decode(value, { stream: true });
      let start = 0, end;
      while ((end = rest.indexOf('\n\n', Math.max(start, seen))) >= 0) {
        const data = rest.slice(start, end).split('\n')
          .filter((line) => line.startsWith('data:')).map((line) => line.slice(5).trimStart()).join('\n');
        start = end + 2;
        seen = start;
        if (data) yield data;
      }
      rest = rest.slice(start);
      seen = Math.max(0, rest.length - 1);
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
