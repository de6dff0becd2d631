// The section Ask: one prompt to the base and to adapters, side by side.

import { byId, setHidden, setNotice } from './dom.js';
import { fetchJSON } from './api.js';
import { Answer } from './answer.js';
import { Picker, writeChosen } from './picker.js';
import { store } from './store.js';

/** Browsers open six connections to a server, of which the state has one. */
const mostModels = 5;

/** `needsAll(true)` is called while answers need all connections that there are. */
export function makeAsk(needsAll) {
  let chosen = [], models = [], controller = null, hasBegun = false;

  const names = () => (store.entries.size ? [...store.base, ...store.entries.keys()] : models)
    .filter((name) => !chosen.includes(name));
  new Picker(byId('ask-model'), names, add);

  function add(name) {
    if (chosen.includes(name)) return;
    if (chosen.length >= mostModels) { say(`At most ${mostModels} models at a time.`); return; }
    say('');
    chosen.push(name);
    write();
  }

  function remove(name) {
    chosen = chosen.filter((other) => other !== name);
    write();
    byId('ask-model').focus();
  }

  function write() {
    writeChosen(byId('ask-chosen'), chosen, remove);
    byId('ask-send').disabled = chosen.length === 0;
    byId('ask-render').disabled = chosen.length === 0;
  }

  const say = (text) => setNotice('ask-error', text);

  /** The request without its model. Throws an `Error` for people. */
  function body() {
    const text = byId('ask-text').value;
    if (!text.trim()) throw new Error('Write a prompt first.');
    const system = byId('ask-system').value;
    const messages = system.trim() ? [{ role: 'system', content: system }] : [];
    messages.push({ role: 'user', content: text });
    const request = { messages };
    for (const [id, member] of [['temperature', 'temperature'], ['tokens', 'max_tokens'], ['seed', 'seed']]) {
      const field = byId(`ask-${id}`);
      if (field.value.trim() === '') continue;
      const value = Number(field.value);
      if (!field.checkValidity()) throw new Error(`${field.labels[0].textContent}: ${field.validationMessage}`);
      request[member] = value;
    }
    const schema = byId('ask-schema').value.trim();
    if (schema) {
      let parsed;
      try { parsed = JSON.parse(schema); } catch (error) { throw new Error(`The schema is no JSON: ${error.message}`); }
      request.response_format = { type: 'json_schema', json_schema: { name: 'answer', schema: parsed } };
    }
    return request;
  }

  /** Makes a card for each model. Returns none when the form is not right. */
  function cards() {
    try {
      const request = body();
      say('');
      const answers = chosen.map((model) => new Answer(model));
      byId('answers-list').replaceChildren(...answers.map((answer) => answer.card));
      return { request, answers };
    } catch (error) {
      say(error.message);
      return { answers: [] };
    }
  }

  async function ask() {
    if (controller) return;
    const { request, answers } = cards();
    if (!answers.length) return;
    controller = new AbortController();
    setBusy(true);
    needsAll(true);
    await Promise.all(answers.map((answer) => answer.ask(request, controller.signal)));
    controller = null;
    needsAll(false);
    setBusy(false);
  }

  function setBusy(isBusy) {
    const hadFocus = document.activeElement === byId(isBusy ? 'ask-send' : 'ask-stop');
    setHidden('ask-stop', !isBusy);
    setHidden('ask-send', isBusy);
    if (hadFocus) byId(isBusy ? 'ask-stop' : 'ask-send').focus();
  }

  byId('ask-form').addEventListener('submit', (event) => { event.preventDefault(); ask(); });
  byId('ask-stop').addEventListener('click', () => controller?.abort());
  byId('ask-render').addEventListener('click', () => {
    const { request, answers } = cards();
    for (const answer of answers) answer.showPrompt(request);
  });
  byId('ask-text').addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) { event.preventDefault(); ask(); }
  });
  byId('ask-tint').addEventListener('change', () => {
    byId('answers-list').classList.toggle('tinted', byId('ask-tint').checked);
  });
  write();

  return {
    show(name) {
      this.beginWithBase();
      if (name) add(name);
    },
    /** Once, when its name is known. */
    beginWithBase() {
      const base = store.base[0] ?? models[0];
      if (hasBegun || base === undefined) return;
      hasBegun = true;
      if (!chosen.includes(base)) chosen.unshift(base);
      write();
    },
    hide() {},
    /** Reads the models that the key may ask, where the list of adapters is not for it. */
    async readModels() {
      const answer = await fetchJSON('v1/models');
      models = answer.data.map((model) => model.id);
      const bases = answer.data.filter((model) => model.tier === 'device' && !model.parent);
      if (!store.base.length) store.base = bases.map((model) => model.id);
      this.beginWithBase();
    },
  };
}
