// The dialog that asks for a key.

import { byId, setHidden, setNotice } from './dom.js';
import { hasKey, setKey } from './api.js';

/** `changed` is called when a key was given or forgotten. Returns what opens the dialog. */
export function makeKeyDialog(changed) {
  const dialog = byId('key-dialog'), field = byId('key');

  function open(why = '') {
    setNotice('key-why', why);
    setHidden('key-forget', !hasKey());
    field.value = '';
    if (!dialog.open) dialog.showModal();
    field.focus();
  }

  function close(key) {
    dialog.close();
    field.value = '';
    if (key === null) return;
    setKey(key);
    changed();
  }

  byId('key-button').addEventListener('click', () => open());
  byId('key-cancel').addEventListener('click', () => close(null));
  byId('key-forget').addEventListener('click', () => close(''));
  byId('key-form').addEventListener('submit', (event) => {
    event.preventDefault();
    if (field.value.trim()) close(field.value);
  });
  return open;
}
