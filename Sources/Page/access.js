// Who the visitor is to the server, found out by asking.

import { ServerError, fetchJSON } from './api.js';

const openText = 'This server was started without keys, so adapters can be looked at and warmed, but not changed. '
  + 'To change them, start it with --api-key-file FILE, a file with a line “admin: KEY”.';

/**
 * What the visitor may do. `kind` is
 * - `open`: a server without keys, whatever key is kept for another one;
 * - `operator`: an admin's key, or an observer's, which the server tells apart only by refusing changes;
 * - `manager`: a key for a name space; - `caller`: a key for models only;
 * - `none`: a key is needed; - `router`: not a server but a router; - `away`: nothing answers.
 */
export async function findAccess() {
  try {
    const [tiers, { keys }] = await Promise.all([fetchJSON('admin/tiers'), fetchJSON('version')]);
    if (keys) return { kind: 'operator', tiers, changes: true, hasKeys: true };
    return { kind: 'open', tiers, changes: false, warms: true, hasKeys: false, why: openText };
  } catch (error) {
    if (!(error instanceof ServerError)) throw error;
    if (error.status === 401) return { kind: 'none', error };
    if (error.code === 'admin_key_required') return findPlainAccess();
    if (error.status === 403) return { kind: 'none', error };
    if (error.status === 404 && await isRouter()) return { kind: 'router', error };
    return { kind: 'away', error };
  }
}

/** Of a key that is no operator's. */
async function findPlainAccess() {
  try {
    return { kind: 'manager', list: await fetchJSON('admin/adapters'), changes: true, hasKeys: true };
  } catch (error) {
    return { kind: 'caller', error, changes: false, hasKeys: true };
  }
}

async function isRouter() {
  try {
    return Array.isArray((await fetchJSON('state')).replicas);
  } catch { return false; }
}
