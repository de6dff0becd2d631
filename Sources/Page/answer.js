// One model's answer: its tokens as they come, and what each of them might have been.

import { element, setHidden, setText } from './dom.js';
import { send, serverEvents, fetchJSON } from './api.js';
import * as format from './format.js';

let made = 0;

export class Answer {
  constructor(model) {
    this.model = model;
    this.tokens = [];
    this.place = -1;
    const id = `answer-${made += 1}`;
    this.status = element('p', { class: 'status dim', role: 'status', text: '' });
    this.fault = element('p', { class: 'fault', role: 'alert', hidden: true });
    this.text = element('div', {
      class: 'text', tabindex: '0', role: 'group', 'aria-labelledby': id, 'aria-describedby': `${id}-how`,
      onkeydown: (event) => this.#key(event), onpointerover: (event) => this.#hover(event),
      onfocus: () => { if (this.place < 0 && this.tokens.length) this.look(0); },
    });
    this.token = element('div', {
      class: 'token dim', id: `${id}-how`, 'aria-live': 'polite',
      text: 'Point at a token, or focus the answer and use the arrow keys.',
    });
    this.prompt = element('pre', { tabindex: '0', 'aria-label': `Rendered prompt of ${model}` });
    this.promptTitle = element('summary', { text: 'Rendered prompt' });
    this.promptBox = element('details', { ontoggle: () => this.#render() }, this.promptTitle, this.prompt);
    this.card = element('article', { class: 'panel answer' },
      element('h3', { id, text: model }), this.status, this.fault, this.text, this.token, this.promptBox);
    setHidden(this.text, true);
    setHidden(this.token, true);
  }

  /** Asks, and writes what comes. `body` is the request without its model. */
  async ask(body, signal) {
    this.body = body;
    const start = performance.now();
    setText(this.status, 'Waiting…');
    setHidden(this.text, false);
    this.text.setAttribute('aria-busy', 'true');
    const times = { first: 0, last: 0, tier: null, usage: null, reason: null };
    const decoder = new TextDecoder();
    try {
      const response = await send('v1/chat/completions', { method: 'POST', signal, body: {
        ...body, model: this.model, stream: true, stream_options: { include_usage: true }, logprobs: true, top_logprobs: 3,
      } });
      times.tier = response.headers.get('x-martlet-adapter-tier');
      for await (const data of serverEvents(response)) {
        if (data === '[DONE]') continue;
        const chunk = JSON.parse(data);
        if (chunk.error) throw chunk.error;
        if (chunk.usage) times.usage = chunk.usage;
        const choice = chunk.choices?.[0];
        if (!choice) continue;
        if (choice.finish_reason) times.reason = choice.finish_reason;
        const tokens = choice.logprobs?.content ?? [];
        if (tokens.length || choice.delta?.content) {
          times.last = performance.now();
          times.first ||= times.last;
        }
        const isEnd = choice.finish_reason === 'stop' && !choice.delta?.content;
        for (const token of tokens) this.#add(token, decoder, isEnd);
        if (!tokens.length && choice.delta?.content) this.#add({ token: choice.delta.content }, null);
        if (times.first) this.#report(times, start, false);
      }
      this.#report(times, start, true);
    } catch (error) {
      if (error.name === 'AbortError') this.#report({ ...times, reason: 'stopped' }, start, true);
      else this.#fail(error);
    }
    this.text.setAttribute('aria-busy', 'false');
    if (this.tokens.length) setHidden(this.token, false);
  }

  #report(times, start, isOver) {
    const count = this.tokens.length;
    const parts = [];
    if (times.first) parts.push(`first token ${format.seconds((times.first - start) / 1000)}`);
    const passed = (times.last - times.first) / 1000;
    if (count > 1 && passed > 0) parts.push(`${format.number((count - 1) / passed)} tokens/s`);
    parts.push(format.count(count, 'token'));
    if (times.tier) parts.push(`was in ${format.tierName(times.tier)}`);
    if (isOver && times.reason === 'length') parts.push('cut by max tokens');
    if (isOver && times.reason === 'stopped') parts.push('stopped');
    // A status is read aloud whenever it changes, so it changes once a second, and at the end.
    const now = performance.now();
    if (!isOver && now - (this.written ?? 0) < 1000) return;
    this.written = now;
    setText(this.status, parts.join(', '));
  }

  #fail(error) {
    setText(this.status, '');
    setText(this.fault, error.code ? `${error.message} (${error.code})` : `The answer broke off: ${error.message}`);
    setHidden(this.fault, false);
    setHidden(this.text, this.tokens.length === 0);
  }

  // Tokens

  #add(token, decoder, isEnd = false) {
    const text = token.bytes && decoder ? decoder.decode(new Uint8Array(token.bytes), { stream: true }) : token.token;
    const span = document.createElement('span');
    span.textContent = text;
    if (typeof token.logprob === 'number') span.className = isEnd ? 'end' : shade(token.logprob);
    span.number = this.tokens.length;
    this.tokens.push(token);
    this.text.append(span);
  }

  look(place) {
    this.text.children[this.place]?.classList.remove('looked');
    this.place = place;
    const token = this.tokens[place], span = this.text.children[place];
    if (!token || !span) return;
    span.classList.add('looked');
    setHidden(this.token, false);
    if (typeof token.logprob !== 'number') { setText(this.token, 'No log probability.'); return; }
    const row = (other) => element('tr', {},
      element('th', { scope: 'row' }, element('code', { text: visible(other.token) })),
      element('td', { text: `${(Math.exp(other.logprob) * 100).toFixed(1)} %` }),
      element('td', { class: 'dim', text: other.logprob.toFixed(3) }));
    const others = (token.top_logprobs ?? []).filter((other) => other.token !== token.token);
    const table = element('table', {}, element('caption', { text: `Token ${place + 1} of ${this.tokens.length}` }),
      element('tbody', {}, row(token), ...others.slice(0, 3).map(row)));
    table.rows[0].className = 'chosen-row';
    this.token.replaceChildren(table);
  }

  #hover(event) {
    const number = event.target.number;
    if (number !== undefined && number !== this.place) this.look(number);
  }

  #key(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity }[event.key];
    if (step === undefined || !this.tokens.length) return;
    event.preventDefault();
    this.look(Math.max(0, Math.min(this.tokens.length - 1, this.place + step)));
    this.text.children[this.place].scrollIntoView({ block: 'nearest' });
  }

  // The prompt

  showPrompt(body) {
    this.body = body;
    this.promptBox.open = true;
  }

  async #render() {
    if (!this.promptBox.open || this.isRendered || !this.body) return;
    this.isRendered = true;
    try {
      const { messages } = this.body;
      const answer = await fetchJSON('v1/chat/completions/render', {
        method: 'POST', body: { model: this.model, messages },
      });
      setText(this.prompt, answer.prompt);
      setText(this.promptTitle, `Rendered prompt, ${format.count(answer.count, 'token')}`);
    } catch (error) {
      this.isRendered = false;
      setText(this.prompt, error.message);
    }
  }
}

const shade = (logprob) => {
  const chance = Math.exp(logprob);
  return chance > 0.9 ? 'sure' : chance > 0.5 ? 'likely' : chance > 0.2 ? 'open' : chance > 0.05 ? 'unlikely' : 'rare';
};

/** A token with its blanks and line ends made visible. */
const visible = (text) => text.replaceAll(' ', '␣').replaceAll('\n', '⏎').replaceAll('\t', '⇥');
