// The section Adapters: lanes, table, and the adapter that was chosen.

import { byId, definitions, element, setHidden, setNotice, setShare, setText } from './dom.js';
import { ServerError, adapterPath, fetchJSON } from './api.js';
import { Lanes } from './lanes.js';
import { Table } from './table.js';
import { store } from './store.js';
import * as format from './format.js';

function fillTier(cell, entry) {
  if (!cell.badge) {
    cell.badge = element('span');
    cell.append(cell.badge);
  }
  setText(cell.badge, format.tierName(entry.tier));
  const name = `tier ${entry.tier}`;
  if (cell.badge.className !== name) cell.badge.className = name;
}

function fillHeat(cell, entry) {
  if (!cell.bar) {
    cell.bar = element('i');
    cell.number = element('span');
    cell.append(element('div', { class: 'bar heat-bar' }, cell.bar), cell.number);
  }
  const heat = store.heat(entry);
  setShare(cell.bar, Math.log10(1 + heat) / 4);
  setText(cell.number, heat ? format.number(Math.round(heat)) : '–');
}

function notes(entry) {
  const progress = store.progress(entry);
  const parts = [];
  if (progress) {
    parts.push(`fetching ${format.bytes(progress.done)}${progress.total ? ` of ${format.bytes(progress.total)}` : ''}`);
  }
  if (entry.pinned) parts.push('pinned');
  return parts.join(', ');
}

function fillNotes(cell, entry) {
  const text = [entry.fault && `fault: ${entry.fault}`, notes(entry)].filter(Boolean).join(', ');
  if (cell.textContent !== text) { cell.textContent = text; cell.title = text; }
  cell.classList.toggle('fault', Boolean(entry.fault));
}

const inUse = (entry) => store.inUse(entry);

function notesOrder(entry) {
  return -(entry.fault ? 4 : 0) - (store.progress(entry) ? 2 : 0) - (entry.pinned ? 1 : 0);
}

const falling = { isDescending: true };
const columns = [
  { id: 'name', title: 'Name', value: (entry) => entry.key, text: (entry) => entry.name },
  { id: 'place', title: 'Tier', value: (entry) => format.tierRank[entry.tier], fill: fillTier, changes: true, ...falling },
  { id: 'size', title: 'Size', value: (entry) => entry.bytes ?? -1, text: (entry) => format.bytes(entry.bytes), ...falling },
  { id: 'rank', title: 'Rank', value: (entry) => entry.rank ?? -1, text: (entry) => `${entry.rank ?? '–'}`, ...falling },
  { id: 'heat', title: 'Heat', value: (entry) => store.heat(entry), fill: fillHeat, changes: true, ...falling },
  { id: 'use', title: 'In use', value: inUse, text: (entry) => `${inUse(entry)}`, changes: true, ...falling },
  { id: 'notes', title: 'Notes', value: notesOrder, fill: fillNotes, changes: true },
];

function sizes(entry) {
  const modules = entry.modules ? `, ${format.count(entry.modules, 'module')}` : '';
  return `${format.bytes(entry.bytes)}, rank ${entry.rank ?? '–'}${modules}`;
}

/** `turnTo(section, name)` shows another section. */
export function makeAdapters(turnTo) {
  const card = byId('entry');
  let chosen = null, isDirty = false, isOrderDirty = false;

  const lanes = new Lanes(byId('lanes'), store, (entry) => {
    choose(entry);
    table.reveal(entry.name);
  });
  const table = new Table(byId('table'), columns, choose);

  function choose(entry) {
    chosen = entry;
    table.select(entry.name);
    setHidden(card, false);
    setText('entry-name', entry.name);
    showEntry();
    complete(entry);
  }

  /** Sources and counters that events and states do not tell. */
  async function complete(entry) {
    try {
      const item = await fetchJSON(adapterPath(entry.name));
      store.applyEntry(item);
      if (chosen === entry) showEntry();
    } catch (error) {
      if (error instanceof ServerError && chosen === entry) setNotice('entry-error', error.message);
    }
  }

  function showEntry() {
    const entry = chosen;
    setNotice('entry-error', entry.isGone ? 'This name has been removed.' : entry.fault ?? entry.note ?? '');
    const { state } = store;
    const counters = state && store.counters.get(entry.digest);
    definitions([
      ['Tier', element('span', { class: `tier ${entry.tier}`, text: format.tierName(entry.tier) })],
      ['Notes', notes(entry)],
      ['Source', entry.source],
      ['Digest', entry.digest],
      ['Size', entry.bytes === null ? null : sizes(entry)],
      ['Last use', entry.last_use ? format.ago(entry.last_use) : 'never'],
      ['Since start', counters && `${format.count(counters.requests, 'request')}, ${format.count(counters.tokens, 'token')}`],
      ['Loads', entry.loads ? format.count(entry.loads, 'load') : null],
      ['Updated', entry.updated ? format.ago(entry.updated) : null],
      ['Revision', entry.revision && !entry.revision.includes(' ') ? entry.revision : null],
      ['Last event', entry.last ? `${entry.last.event}, ${format.clock(entry.last.time)}` : null],
    ], byId('entry-facts'));
  }

  byId('entry-ask').addEventListener('click', () => turnTo('ask', chosen.name));
  byId('entry-manage').addEventListener('click', () => turnTo('manage', chosen.name));
  byId('entry-close').addEventListener('click', () => {
    chosen = null;
    table.select(null);
    setHidden(card, true);
    byId('search').focus();
  });
  let typing = 0;
  byId('search').addEventListener('input', () => {
    clearTimeout(typing);
    typing = setTimeout(() => { table.find(byId('search').value); writeCount(); }, 80);
  });

  function writeCount() {
    const all = store.entries.size, shown = table.order.length;
    setText('count', `${shown === all ? '' : `${shown.toLocaleString('en')} of `}${format.count(all, 'adapter')}`);
  }

  let isShown = false, isStale = false, wanted;

  /** Chooses the adapter that the address names, once it is known. */
  function find() {
    const entry = store.entries.get(wanted);
    if (!entry) return;
    wanted = undefined;
    choose(entry);
    table.reveal(entry.name);
  }

  store.listen((changed, isListChanged) => {
    if (!isShown) { isStale = true; return; }
    lanes.update(changed, isListChanged);
    if (isListChanged) isOrderDirty = true;
    isDirty = true;
    if (chosen && changed.has(chosen)) showEntry();
    table.draw();
  });

  function tick() {
    if (!isShown) return;
    lanes.tick();
    if (isOrderDirty) {
      table.set(store.entries.values());
      writeCount();
    } else if (isDirty && table.sortsByChange) table.arrange();
    else table.draw();
    isOrderDirty = isDirty = false;
  }
  setInterval(() => { if (!document.hidden) tick(); }, 1000);

  return {
    show(name) {
      isShown = true;
      if (isStale) lanes.layOut();
      isStale = false;
      isOrderDirty = true;
      tick();
      wanted = name;
      find();
    },
    hide() { isShown = false; },
    /** The list has been read anew. */
    listed() {
      isStale = !isShown;
      if (isStale) return;
      isOrderDirty = true;
      lanes.layOut();
      tick();
      find();
    },
  };
}
