// A table of as many rows as there are, of which only those in view exist.

import { element, setText } from './dom.js';

const rowHeight = 34;

export class Table {
  /**
   * - columns: `id`, `title`, `value(entry)` to sort by, `text(entry)` or `fill(cell, entry)`, and `isDescending` when
   *   the first click shows the largest first. A column that `changes` is sorted again as time goes by.
   * - chosen(entry): a row was clicked, or Enter pressed on it.
   */
  constructor(grid, columns, chosen) {
    Object.assign(this, { grid, columns, chosen });
    this.all = [];
    this.order = [];
    this.filter = '';
    this.sorting = { column: columns[0], isDescending: false };
    this.current = 0;
    this.selected = null;
    this.pool = [];
    this.heads = columns.map((column) => this.#head(column));
    this.space = element('div', { class: 'space', role: 'presentation' });
    this.body = element('div', { class: 'rows', role: 'rowgroup' }, this.space);
    this.empty = element('p', { class: 'empty dim', hidden: true });
    grid.append(element('div', { role: 'rowgroup', class: 'gutter' },
      element('div', { role: 'row', class: 'row heads', 'aria-rowindex': '1' }, ...this.heads)), this.body, this.empty);
    this.body.addEventListener('scroll', () => this.#scrolled(), { passive: true });
    this.body.addEventListener('keydown', (event) => this.#key(event));
    this.body.addEventListener('click', (event) => {
      const row = event.target.closest('.row');
      if (row) this.#choose(row.index);
    });
    new ResizeObserver(() => this.draw()).observe(this.body);
    this.#writeSorting();
  }

  #head(column) {
    const button = element('button', { type: 'button', text: column.title, onclick: () => this.sort(column) });
    return element('div', { role: 'columnheader', class: column.id }, button);
  }

  /** Sorts by a column; the same one again turns the order round. */
  sort(column) {
    const isSame = this.sorting.column === column;
    this.sorting = { column, isDescending: isSame ? !this.sorting.isDescending : Boolean(column.isDescending) };
    this.#writeSorting();
    this.arrange();
  }

  #writeSorting() {
    const { column, isDescending } = this.sorting;
    this.columns.forEach((other, index) => {
      if (other === column) this.heads[index].setAttribute('aria-sort', isDescending ? 'descending' : 'ascending');
      else this.heads[index].removeAttribute('aria-sort');
    });
  }

  set(entries) {
    this.all = [...entries];
    this.arrange();
  }

  find(text) {
    this.filter = text.trim().toLowerCase();
    this.body.scrollTop = 0;
    this.current = 0;
    this.arrange();
  }

  /** Filters and sorts again. */
  arrange() {
    const { column: { value }, isDescending } = this.sorting;
    const kept = this.filter ? this.all.filter((entry) => entry.key.includes(this.filter)) : this.all;
    const sign = isDescending ? -1 : 1;
    const keyed = kept.map((entry) => ({ entry, value: value(entry) }));
    keyed.sort((a, b) => (a.value < b.value ? -sign : a.value > b.value ? sign
      : a.entry.key < b.entry.key ? -1 : a.entry.key > b.entry.key ? 1 : 0));
    this.order = keyed.map((item) => item.entry);
    this.current = Math.max(0, Math.min(this.current, this.order.length - 1));
    this.draw();
  }

  /** Whether time and events may have changed the order. */
  get sortsByChange() { return Boolean(this.sorting.column.changes); }

  // Rows

  draw() {
    const { body, order } = this;
    const height = `${order.length * rowHeight}px`;
    if (this.space.style.height !== height) this.space.style.height = height;
    this.grid.setAttribute('aria-rowcount', order.length + 1);
    const isEmpty = order.length === 0;
    this.empty.hidden = !isEmpty;
    body.hidden = isEmpty;
    this.grid.classList.toggle('scrolls', order.length > 13);
    const view = `${Math.min(13, order.length) * rowHeight}px`;
    if (body.style.height !== view) body.style.height = view;
    if (isEmpty) {
      setText(this.empty, this.filter ? 'No name has that in it.' : 'No adapters yet.');
      return;
    }
    const wanted = Math.min(order.length, Math.ceil(body.clientHeight / rowHeight) + 2);
    while (this.pool.length < wanted) this.pool.push(this.#row());
    const first = Math.max(0, Math.min(Math.floor(body.scrollTop / rowHeight), order.length - wanted));
    this.pool.forEach((row, number) => {
      // Each row keeps its element while it is in view.
      const index = first + ((number - first) % this.pool.length + this.pool.length) % this.pool.length;
      const isShown = index < Math.min(order.length, first + wanted);
      if (row.hidden === isShown) row.hidden = !isShown;
      if (isShown) this.#fill(row, index);
    });
  }

  #row() {
    const row = element('div', { role: 'row', class: 'row', tabindex: '-1' });
    row.cells = this.columns.map((column) => element('div', { role: 'gridcell', class: column.id }));
    row.append(...row.cells);
    this.body.append(row);
    return row;
  }

  #fill(row, index) {
    const entry = this.order[index];
    if (row.index !== index) {
      row.index = index;
      row.setAttribute('aria-rowindex', index + 2);
      row.style.transform = `translateY(${index * rowHeight}px)`;
    }
    const tab = index === this.current ? '0' : '-1';
    if (row.getAttribute('tabindex') !== tab) row.setAttribute('tabindex', tab);
    const isSelected = String(entry.name === this.selected);
    if (row.getAttribute('aria-selected') !== isSelected) row.setAttribute('aria-selected', isSelected);
    this.columns.forEach((column, number) => {
      if (column.fill) column.fill(row.cells[number], entry);
      else setText(row.cells[number], column.text(entry));
    });
  }

  select(name) {
    this.selected = name;
    this.draw();
  }

  /** Brings a row into view. */
  reveal(name) {
    const index = this.order.findIndex((entry) => entry.name === name);
    if (index < 0) return;
    this.current = index;
    this.#bringIntoView();
  }

  // Keys and scrolling

  #scrolled() {
    const first = Math.ceil(this.body.scrollTop / rowHeight);
    const last = Math.max(first, Math.floor((this.body.scrollTop + this.body.clientHeight) / rowHeight) - 1);
    const hasFocus = this.body.contains(document.activeElement);
    this.current = Math.min(this.order.length - 1, Math.max(first, Math.min(last, this.current)));
    this.draw();
    if (hasFocus) this.#focus();
  }

  #bringIntoView() {
    const top = this.current * rowHeight, { scrollTop, clientHeight } = this.body;
    if (top < scrollTop) this.body.scrollTop = top;
    else if (top + rowHeight > scrollTop + clientHeight) this.body.scrollTop = top + rowHeight - clientHeight;
    this.draw();
  }

  #focus() {
    this.pool.find((row) => !row.hidden && row.index === this.current)?.focus({ preventScroll: true });
  }

  #key(event) {
    const page = Math.max(1, Math.floor(this.body.clientHeight / rowHeight) - 1);
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity }[event.key];
    if (event.key === 'Enter' || event.key === ' ') {
      event.preventDefault();
      this.#choose(this.current);
    } else if (step !== undefined) {
      event.preventDefault();
      this.current = Math.max(0, Math.min(this.order.length - 1, this.current + step));
      this.#bringIntoView();
      this.#focus();
    }
  }

  #choose(index) {
    this.current = index;
    const entry = this.order[index];
    if (entry) this.chosen(entry);
    this.draw();
  }
}
