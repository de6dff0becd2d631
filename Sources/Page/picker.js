// A field that finds a name among thousands, and the names that were chosen with it.

import { element, setHidden } from './dom.js';

const mostShown = 8;

export class Picker {
  /**
   * - input: a text field with a list behind it that `aria-controls` names.
   * - names(): all that there are.
   * - picked(name)
   */
  constructor(input, names, picked) {
    Object.assign(this, { input, names, picked });
    this.list = document.getElementById(input.getAttribute('aria-controls'));
    this.place = -1;
    input.addEventListener('input', () => this.open());
    input.addEventListener('focus', () => this.open());
    input.addEventListener('blur', () => this.close());
    input.addEventListener('keydown', (event) => this.#key(event));
    // A press must not take the focus away before the click comes.
    this.list.addEventListener('pointerdown', (event) => event.preventDefault());
    this.list.addEventListener('click', (event) => {
      const option = event.target.closest('[role=option]');
      if (option) this.#pick(option.textContent);
    });
  }

  open() {
    const wanted = this.input.value.trim().toLowerCase();
    const begins = [], has = [];
    for (const name of this.names()) {
      const place = name.toLowerCase().indexOf(wanted);
      if (place === 0) begins.push(name); else if (place > 0) has.push(name);
      if (begins.length >= mostShown) break;
    }
    const found = [...begins, ...has].slice(0, mostShown);
    this.place = -1;
    this.list.replaceChildren(...found.map((name, index) => element('li', {
      role: 'option', id: `${this.list.id}-${index}`, text: name, 'aria-selected': 'false',
    })));
    this.#show(found.length > 0 && document.activeElement === this.input);
  }

  close() { this.#show(false); }

  #show(isOpen) {
    setHidden(this.list, !isOpen);
    this.input.setAttribute('aria-expanded', String(isOpen));
    if (!isOpen) this.input.removeAttribute('aria-activedescendant');
  }

  #key(event) {
    const options = [...this.list.children];
    if (event.key === 'Escape') { if (!this.list.hidden) event.stopPropagation(); this.close(); return; }
    if (event.key === 'Enter') {
      event.preventDefault();
      const name = options[this.place]?.textContent ?? this.input.value.trim();
      if (name) this.#pick(name);
      return;
    }
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    if (this.list.hidden) { this.open(); return; }
    this.place = (this.place + step + options.length + (this.place < 0 && step < 0 ? 1 : 0)) % options.length;
    options.forEach((option, index) => option.setAttribute('aria-selected', String(index === this.place)));
    this.input.setAttribute('aria-activedescendant', options[this.place].id);
  }

  #pick(name) {
    this.input.value = '';
    this.close();
    this.picked(name);
  }
}

/** Chosen names with a button each that takes it out again. */
export function writeChosen(list, names, remove) {
  list.replaceChildren(...names.map((name) => element('li', {},
    element('span', { text: name }),
    element('button', {
      type: 'button', class: 'plain', 'aria-label': `Leave out ${name}`, text: '×', onclick: () => remove(name),
    }))));
}
