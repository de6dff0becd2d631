#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "backend.h"

static const cmd_backend *const backends[CMD_API_COUNT] = {&cmd_vulkan, &cmd_cuda};

// MARK: Errors

struct cmd_injection {
    long call;
    cmd_status status;
    atomic_long call_count, owner_count;
};

static _Thread_local cmd_injection *current;

long cmd_adopt_injection(cmd_injection *injection) {
    cmd_injection *last = current;
    current = injection;
    if (last == NULL) return 0;
    long calls = atomic_load(&last->call_count);
    if (atomic_fetch_sub(&last->owner_count, 1) == 1) free(last);
    return calls;
}

void cmd_inject(long call, cmd_status status) {
    cmd_injection *injection = calloc(1, sizeof *injection);
    if (injection == NULL) abort();
    *injection = (cmd_injection){.call = call, .status = status, .owner_count = 1};
    cmd_adopt_injection(injection);
}

cmd_injection *cmd_share_injection(void) {
    if (current != NULL) atomic_fetch_add(&current->owner_count, 1);
    return current;
}

bool cmd_is_injected(const char *call, cmd_error *error) {
    if (current == NULL || atomic_fetch_add(&current->call_count, 1) != current->call) return false;
    error->status = current->status;
    snprintf(error->text, sizeof error->text, "%s was made to fail", call);
    return true;
}

bool cmd_fail(cmd_error *error, cmd_status status, const char *text) {
    error->status = status;
    snprintf(error->text, sizeof error->text, "%s", text);
    return false;
}

// MARK: To the backend

size_t cmd_list(cmd_api api, cmd_description *descriptions, size_t capacity, cmd_error *error) {
    return backends[api]->list(descriptions, capacity, error);
}

cmd_device *cmd_open(cmd_api api, size_t number, cmd_error *error) {
    return backends[api]->open(number, error);
}

void cmd_close(cmd_device *device) { device->backend->close(device); }

bool cmd_free_memory(cmd_device *device, uint64_t *bytes) {
    return device->backend->free_memory(device, bytes);
}

bool cmd_allocate(
    cmd_device *device, uint64_t size, cmd_place_of place, cmd_memory *memory, cmd_error *error) {
    return device->backend->allocate(device, size, place, memory, error);
}

bool cmd_import(
    cmd_device *device, void *host, uint64_t size, cmd_memory *memory, cmd_error *error) {
    return device->backend->import(device, host, size, memory, error);
}

void cmd_free(cmd_device *device, cmd_memory *memory) { device->backend->free(device, memory); }

bool cmd_prepare(cmd_device *device, cmd_kernel kernel, unsigned element, cmd_error *error) {
    return device->backend->prepare(device, kernel, element, error);
}

bool cmd_begin(cmd_device *device, cmd_queue queue, uint64_t nanoseconds, cmd_error *error) {
    return device->backend->begin(device, queue, nanoseconds, error);
}

void cmd_dispatch(
    cmd_device *device, cmd_kernel kernel, unsigned element, const void *arguments, size_t size,
    uint32_t x, uint32_t y, uint32_t z) {
    device->backend->dispatch(device, kernel, element, arguments, size, x, y, z);
}

void cmd_barrier(cmd_device *device, cmd_queue queue) { device->backend->barrier(device, queue); }

void cmd_copy(
    cmd_device *device, cmd_queue queue, const cmd_memory *from, uint64_t from_offset,
    const cmd_memory *to, uint64_t to_offset, uint64_t size) {
    device->backend->copy(device, queue, from, from_offset, to, to_offset, size);
}

void cmd_fill(
    cmd_device *device, const cmd_memory *memory, uint64_t offset, uint64_t size, uint32_t word) {
    device->backend->fill(device, memory, offset, size, word);
}

uint64_t cmd_submit(cmd_device *device, cmd_queue queue, cmd_error *error) {
    return device->backend->submit(device, queue, error);
}

bool cmd_wait(
    cmd_device *device, cmd_queue queue, uint64_t work, uint64_t nanoseconds, cmd_error *error) {
    return device->backend->wait(device, queue, work, nanoseconds, error);
}
