// The section Manage: names, what they stand for, and where their adapters are.

import { byId, definitions, element, setHidden, setNotice, setText } from './dom.js';
import { adapterPath, fetchJSON } from './api.js';
import { adviceFor } from './advice.js';
import { Picker } from './picker.js';
import { store } from './store.js';
import * as format from './format.js';

const actions = {
  pin: { done: () => 'is pinned' }, unpin: { done: () => 'is no longer pinned' },
  warm: { done: () => 'is in RAM' }, demote: { done: () => 'has left RAM' },
  verify: {
    done: (answer) => (answer.whole ? 'is whole: every byte checked' : 'was damaged, and has been made again'),
  },
};

/** `access()` says what the visitor may do. */
export function makeManage(access) {
  let shown = null, isBusy = false;

  new Picker(byId('manage-name'), () => store.entries.keys(), open);

  /** Shows an adapter as it is now. */
  async function open(name) {
    await attempt(`Reading ${name}`, async () => {
      shown = store.applyEntry(await fetchJSON(adapterPath(name)));
      setHidden('manage-entry', false);
      byId('replace-source').value = '';
    });
    write();
  }

  function write() {
    writeAccess();
    if (!shown) return;
    const entry = shown;
    setText('manage-title', entry.name);
    definitions([
      ['Tier', element('span', { class: `tier ${entry.tier}`, text: format.tierName(entry.tier) })],
      ['Source', entry.source], ['Digest', entry.digest], ['Pinned', entry.pinned ? 'yes' : 'no'],
      ['In use', format.count(store.inUse(entry), 'request')], ['Fault', entry.fault],
    ], byId('manage-facts'));
    const seen = (store.history.get(entry.name) ?? []).filter((digest) => digest !== entry.digest).reverse();
    const list = byId('back-digest');
    const isSame = list.options.length === seen.length
      && seen.every((digest, index) => list.options[index].value === digest);
    const option = (digest) => element('option', { value: digest, text: format.shortDigest(digest) + nameBehind(digest) });
    if (!isSame) list.replaceChildren(...seen.map(option));
    setHidden('back-form', seen.length === 0);
    setHidden('back-none', seen.length > 0);
    enable();
  }

  /** Other names that stand for a digest. */
  function nameBehind(digest) {
    const names = [...store.names.get(digest) ?? []];
    return names.length ? `, also ${names[0]}` : '';
  }

  function writeAccess() {
    const { changes, why } = access();
    setNotice('manage-why', changes ? '' : why ?? '');
    enable();
  }

  function enable() {
    const { changes, warms } = access();
    const isGone = !shown || shown.isGone;
    for (const button of document.querySelectorAll('#manage button[data-needs]')) {
      const may = button.dataset.needs === 'warm' ? changes || warms : changes;
      button.disabled = !may || isBusy || (button.dataset.about === 'shown' && isGone);
    }
    if (!shown) return;
    for (const [action, isVain] of [['pin', shown.pinned], ['unpin', !shown.pinned]]) {
      setHidden(document.querySelector(`[data-action=${action}]`), isVain);
    }
  }

  // Doing things, one after another

  async function attempt(title, work) {
    if (isBusy) return false;
    const focused = document.activeElement;
    isBusy = true;
    enable();
    setText('manage-busy', `${title}…`);
    try {
      const text = await work();
      if (text) report(text, true);
      else setHidden('manage-error', true);
      return true;
    } catch (error) {
      refuse(error);
      return false;
    } finally {
      isBusy = false;
      setText('manage-busy', '');
      enable();
      // A button that was disabled meanwhile lost the focus.
      if (document.activeElement === document.body && focused?.isConnected) focused.focus();
    }
  }

  function report(text, isGood) {
    setHidden('manage-error', true);
    const log = byId('manage-log');
    log.prepend(element('li', { class: isGood ? 'good' : 'fault' },
      element('time', { class: 'dim', text: format.clock(Date.now() / 1000) }), element('span', { text })));
    while (log.children.length > 50) log.lastChild.remove();
    setHidden('manage-log-none', true);
  }

  function refuse(error) {
    const code = error.code ? ` (${error.code})` : '';
    report(`${error.message}${code}`, false);
    setText('manage-error-text', `${error.message}${code}`);
    const isOpen = error.code === 'admin_key_required' && !access().hasKeys;
    setText('manage-error-advice', isOpen ? '' : adviceFor(error.code));
    setHidden('manage-error', false);
  }

  async function act(action) {
    const { name } = shown;
    await attempt(`${name}: ${action}`, async () => {
      const answer = await fetchJSON(adapterPath(name, action), { method: 'POST' });
      if (answer.tier) store.applyEntry(answer);
      return `${name} ${actions[action].done(answer)}.`;
    });
    write();
  }

  /** Says what a name stands for. The name must still stand for what is shown, if anything is. */
  async function put(name, body, says) {
    const isGood = await attempt(says, async () => {
      try {
        const item = await fetchJSON(adapterPath(name), { method: 'PUT', body });
        const entry = store.applyEntry(item);
        if (shown?.name === name || !shown) shown = entry;
        setHidden('manage-entry', false);
        return `${name} stands for ${format.shortDigest(item.digest)}, from ${item.source}.`;
      } catch (error) {
        if (error.code === 'adapter_changed') store.applyEntry(await fetchJSON(adapterPath(name)));
        throw error;
      }
    });
    write();
    return isGood;
  }

  for (const button of document.querySelectorAll('#manage [data-action]')) {
    button.addEventListener('click', () => act(button.dataset.action));
  }

  byId('add-form').addEventListener('submit', async (event) => {
    event.preventDefault();
    const name = byId('add-name').value.trim(), source = byId('add-source').value.trim();
    if (!name || !source) { refuse(new Error('Give a name and a source.')); return; }
    if (await put(name, { source, replaces: false }, `Reading ${source}`)) event.target.reset();
  });
  byId('replace-form').addEventListener('submit', (event) => {
    event.preventDefault();
    const source = byId('replace-source').value.trim();
    if (!source) { refuse(new Error('Give the new source.')); return; }
    put(shown.name, { source, ...expected() }, `Reading ${source}`);
  });
  byId('back-form').addEventListener('submit', (event) => {
    event.preventDefault();
    put(shown.name, { digest: byId('back-digest').value, ...expected() }, 'Rolling back');
  });
  const expected = () => (shown.digest ? { if_digest: shown.digest } : {});

  // Removing

  const dialog = byId('remove-dialog');
  byId('remove').addEventListener('click', () => {
    setText('remove-title', `Remove ${shown.name}?`);
    setText('remove-confirm', `Remove ${shown.name}`);
    dialog.showModal();
    byId('remove-cancel').focus();
  });
  byId('remove-cancel').addEventListener('click', () => dialog.close());
  byId('remove-confirm').addEventListener('click', async () => {
    const { name } = shown;
    dialog.close();
    await attempt(`Removing ${name}`, async () => {
      await fetchJSON(adapterPath(name), { method: 'DELETE' });
      store.applyEvent({ event: 'removed', name });
      shown = null;
      setHidden('manage-entry', true);
      return `${name} has been removed.`;
    });
    if (!shown) byId('manage-name').focus();
    write();
  });

  let isShown = false;
  store.listen((changed) => { if (isShown && shown && changed.has(shown)) write(); });

  return {
    show(name) {
      isShown = true;
      writeAccess();
      if (name) open(name);
      else write();
    },
    hide() { isShown = false; },
    writeAccess,
  };
}
