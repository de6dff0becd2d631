// The page: its sections, its streams, and who is looking.

import { byId, setHidden, setNotice, setText } from './dom.js';
import { ServerError, fetchJSON, hasKey } from './api.js';
import { findAccess } from './access.js';
import { Follower } from './stream.js';
import { makeAdapters } from './adapters.js';
import { makeAsk } from './ask.js';
import { makeKeyDialog } from './key.js';
import { makeManage } from './manage.js';
import { makeNow } from './now.js';
import { makeReplicas } from './replicas.js';
import { store } from './store.js';

const remembered = 'martlet-section';
const retryPause = 5000;
let access = { kind: 'away', changes: false, why: '' };
let current = null, currentName, timers = [], round = 0;
// Until the next try after streams were refused, though the rest answers.
let refusedPause = 1000;

const sections = {
  adapters: makeAdapters(turnTo),
  now: makeNow(),
  ask: makeAsk((isBusy) => { if (isBusy) events.stop(); else if (state.isRunning) events.start(); }),
  manage: makeManage(() => access),
};
const replicas = makeReplicas();
const askForKey = makeKeyDialog(() => { store.base = []; begin(); });

// Streams

let queue = null;

const events = new Follower({
  path: () => 'admin/events',
  opened: () => { refusedPause = 1000; setStatus('live', 'Live'); readList(); },
  received: (data) => { if (queue) queue.push(data); else store.applyEvent(JSON.parse(data)); },
  lost,
});

const state = new Follower({
  path: () => (store.state ? `admin/state?stream=true&since=${store.state.version}&boot=${encodeURIComponent(store.state.boot)}`
    : 'admin/state?stream=true'),
  received: (data) => {
    const report = JSON.parse(data);
    const passed = store.applyState(report);
    sections.now.follow(report, passed);
    sections.ask.beginWithBase();
    writeServer();
  },
  lost(error, pause) {
    lost(error, pause);
    if (pause === null) return;
    // The events are silent when nothing happens, so they would not notice.
    if (events.isRunning) { events.stop(); events.start(); }
  },
  beats: true,
});

/** Reads the list again: what happened while the events were away is in it. Events wait meanwhile. */
async function readList(list) {
  const mine = queue = [];
  try {
    await store.applyList(list ?? await fetchJSON('admin/adapters'));
    sections.adapters.listed();
  } catch { /* The events break off too then, and come back. */ }
  if (queue !== mine) return;
  for (const data of mine) store.applyEvent(JSON.parse(data));
  queue = null;
}

function lost(error, pause) {
  if (pause === null) {
    timers.push(setTimeout(begin, refusedPause));
    refusedPause = Math.min(2 * refusedPause, 30000);
    return;
  }
  setStatus('lost', `No connection. Trying again in ${Math.max(1, Math.round(pause / 1000))} s`);
}

async function readTiers() {
  try { store.tiers = await fetchJSON('admin/tiers'); } catch { /* The next time. */ }
}

// Beginning, pausing, going on

/** Finds out who is looking, and opens what they may see. */
async function begin() {
  const mine = round += 1;
  stop();
  setStatus('', 'Connecting…');
  let found;
  try { found = await findAccess(); } catch { return; }
  if (mine !== round) return;
  access = found;
  writeAccess();
  if (access.kind === 'away') {
    setStatus('lost', access.error.status === 0 ? 'No connection' : access.error.message);
    timers.push(setTimeout(begin, retryPause));
  } else if (access.kind === 'none') {
    setStatus('lost', 'A key is needed');
    askForKey(access.error.code === 'missing_api_key' ? 'This server asks for a key.' : access.error.message);
  } else if (access.kind === 'caller') {
    setStatus('live', 'Connected');
    await sections.ask.readModels().catch(() => {});
  } else if (access.kind === 'router') {
    setStatus('live', 'Router');
  } else await open(mine);
  if (mine === round && !document.hidden) route();
}

async function open(mine) {
  if (access.kind !== 'manager') {
    store.tiers = access.tiers;
    events.start();
    state.start();
    timers.push(setInterval(readTiers, 5000));
    return;
  }
  setStatus('live', 'Connected');
  await readList(access.list);
  access.list = null;
  await sections.ask.readModels().catch(() => {});
  if (mine === round) timers.push(setInterval(() => readList(), 5000));
}

function stop() {
  events.stop();
  state.stop();
  for (const timer of timers) { clearTimeout(timer); clearInterval(timer); }
  timers = [];
}

document.addEventListener('visibilitychange', () => {
  if (document.hidden) {
    round += 1;
    stop();
    hide();
    setStatus('', 'Paused');
  } else begin();
});

// What it says at the top

function setStatus(kind, text) {
  const status = byId('status');
  if (status.className !== kind) status.className = kind;
  setText(status, text);
}

function writeServer() {
  const { state: report } = store;
  setText('server', report ? `${report.base[0]}, version ${report.release}${report.draining ? ', draining' : ''}` : '');
}

function writeAccess() {
  const says = {
    open: 'Read only: this server was started without keys.',
    caller: 'This key may ask models only, so only Ask works. The other sections need an operator’s key.',
    manager: 'A manager’s key: adapters of its name space. The list is read every few seconds, and Now is for operators.',
    none: 'This server asks for a key.', router: 'This is a router: it shows its replicas.',
  }[access.kind] ?? '';
  setNotice('banner', says);
  setText('key-button', hasKey() ? 'Key ✓' : 'Key');
  byId('key-button').setAttribute('aria-label', hasKey() ? 'Key: one is kept for this tab' : 'Key: none');
  document.body.dataset.access = access.kind;
  sections.manage.writeAccess();
  if (access.kind !== 'operator' && access.kind !== 'open') setText('server', '');
}

// Sections, by the address

const allowed = () => ({
  caller: ['ask'], none: [], manager: ['adapters', 'ask', 'manage'], router: ['now'],
}[access.kind] ?? ['adapters', 'now', 'ask', 'manage']);

function turnTo(section, name) {
  const hash = `#${section}${name === undefined ? '' : `/${encodeURIComponent(name)}`}`;
  if (location.hash === hash) route(); else location.hash = hash;
}

function wanted() {
  const [section, ...rest] = location.hash.slice(1).split('/');
  let name;
  try { name = rest.length ? decodeURIComponent(rest.join('/')) : undefined; } catch { name = undefined; }
  if (Object.hasOwn(sections, section)) return { section, name };
  let last = null;
  try { last = localStorage.getItem(remembered); } catch { /* Nothing is remembered. */ }
  return { section: Object.hasOwn(sections, last ?? '') ? last : 'adapters' };
}

function hide() {
  if (current) sections[current].hide();
  replicas.hide();
  current = null;
}

function route() {
  let { section, name } = wanted();
  const open = allowed();
  if (open.length && !open.includes(section)) { section = open[0]; name = undefined; }
  try { localStorage.setItem(remembered, section); } catch { /* It is not remembered. */ }
  hide();
  for (const id of Object.keys(sections)) {
    setHidden(byId(id), id !== section);
    const link = document.querySelector(`nav a[href="#${id}"]`);
    if (id === section) link.setAttribute('aria-current', 'page'); else link.removeAttribute('aria-current');
    setHidden(link, open.length > 0 && !open.includes(id));
  }
  document.title = `${byId(section).getAttribute('aria-label')} · Martlet`;
  setHidden('server-now', access.kind === 'router');
  setHidden('router-now', access.kind !== 'router');
  if (document.hidden || access.kind === 'away' || !open.includes(section)) return;
  if (access.kind === 'router') { replicas.show(); return; }
  current = section;
  sections[section].show(name);
}

addEventListener('hashchange', route);
addEventListener('unhandledrejection', (event) => {
  if (event.reason instanceof ServerError) event.preventDefault();
});
for (const field of document.querySelectorAll('input, textarea')) {
  field.autocomplete = 'off';
  field.spellcheck = false;
}
route();
begin();
