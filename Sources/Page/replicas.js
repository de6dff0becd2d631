// What a router knows: its replicas, and which of them holds what.

import { byId, element, setNotice, setText } from './dom.js';
import { fetchJSON } from './api.js';
import * as format from './format.js';

const pace = 2000, mostRows = 100;

export function makeReplicas() {
  let timer = 0, round = 0;

  async function poll(mine) {
    let notice = '';
    try {
      const state = await fetchJSON('state');
      if (mine === round) write(state);
    } catch (error) { notice = error.message; }
    if (mine !== round) return;
    setNotice('now-error', notice);
    timer = setTimeout(poll, pace, mine);
  }

  function write({ replicas, adapters, held, counts }) {
    setText('router-counts', `${format.count(counts.picked, 'request')} sent on, ${held.toLocaleString('en')} held now, `
      + `${counts.refused.toLocaleString('en')} refused, ${format.count(counts.loads, 'load')} set off.`);
    const names = replicas.map((replica) => replica.name);
    rows('replicas', ['Replica', 'State', 'Running', 'Waiting', 'RAM', 'Heard'], replicas.map((replica) => [
      replica.name,
      replica.draining ? 'draining' : replica.ready ? 'ready' : replica.joining ? 'joining' : 'silent',
      `${replica.running} of ${replica.slots}`, replica.waiting.toString(),
      `${format.bytes(replica.host.bytes)} of ${format.bytes(replica.host.budget)}`,
      replica.silent_seconds === null ? 'never' : `${format.seconds(replica.silent_seconds)} ago`,
    ]));
    const hottest = [...adapters].sort((a, b) => b.heat - a.heat).slice(0, mostRows);
    rows('holdings', ['Adapter', 'Heat', 'Size', ...names], hottest.map((adapter) => [
      adapter.name, format.number(adapter.heat), format.bytes(adapter.bytes),
      ...names.map((name) => {
        const tier = adapter.tiers[name];
        const isPlanned = adapter.planned.includes(name);
        if (!tier) return isPlanned ? 'planned' : '';
        return element('span', { class: `tier ${tier}`, text: format.tierName(tier) + (isPlanned ? ', planned' : '') });
      }),
    ]));
  }

  function rows(id, heads, lines) {
    byId(id).replaceChildren(
      element('thead', {}, element('tr', {}, ...heads.map((text) => element('th', { scope: 'col', text })))),
      element('tbody', {}, ...lines.map((cells) => element('tr', {},
        ...cells.map((cell, index) => element(index ? 'td' : 'th', index ? {} : { scope: 'row' }, cell))))));
  }

  return {
    show() { clearTimeout(timer); poll(round += 1); },
    hide() { clearTimeout(timer); round += 1; },
  };
}
