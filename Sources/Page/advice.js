// What to do about what the server refuses, where its message does not say it.

const later = 'It was tried again already. Try later, or ask who runs it.';
const advice = {
  unreachable: 'Check that it runs and can be reached from here, then try again.',
  admin_key_required: 'Give an admin’s key: the button “Key”, top right.',
  adapter_changed: 'What the name stands for now is shown below: look, then try again.',
  adapter_exists: 'Choose another name, or replace what that one stands for.',
  adapter_not_found: 'It has been removed, or that digest is no longer kept.',
  adapter_memory_full: 'Everything in RAM is in use: wait, unpin something, or give the server more --host-memory.',
  malformed_source: 'A source is hf:owner/name, s3://bucket/prefix, https://host/folder/, a path, or mix:name=scale,…',
  source_not_allowed: 'The server’s options do not let it in: --adapter-root, --source-host, AWS_REGION.',
  source_not_found: 'Check the name or path; the server reads paths on its own machine.',
  source_unauthorized: 'Check the token or keys in the server’s environment: HF_TOKEN, AWS_ACCESS_KEY_ID.',
  source_unreachable: later, source_unavailable: later, source_timeout: later, source_truncated: later,
  pickle_refused: 'Save the adapter as safetensors.',
  cache_full: 'The disk is full: make room, or raise --disk-quota.',
};

export const adviceFor = (code) => advice[code] ?? '';
