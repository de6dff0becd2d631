#include "include/PlayedCUDA.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cuda_driver.h"

// The played driver's state, and what tests ask of it.

#define USUAL                                                                                     \
    .device_count = 1, .memory = UINT64_C(16) << 30, .world = {.limit = UINT64_C(20000000000)}

played_state played = {USUAL};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static _Thread_local played_context *own_context;
static _Thread_local uint64_t own_generation;

int played_lock(void) { return pthread_mutex_lock(&mutex); }

void played_unlock(int *held) {
    (void)held;
    pthread_mutex_unlock(&mutex);
}

void played_note(const char *format, ...) {
    if (played.fault[0] != 0) return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(played.fault, sizeof played.fault, format, arguments);
    va_end(arguments);
}

// MARK: Contexts of threads

played_result played_current(played_context **context) {
    if (!played.is_initialized) return CUDA_ERROR_NOT_INITIALIZED;
    *context = own_generation == played.generation ? own_context : NULL;
    if (*context == NULL) return CUDA_ERROR_INVALID_CONTEXT;
    if ((*context)->is_broken) return CUDA_ERROR_ILLEGAL_ADDRESS;
    return (*context)->retained > 0 ? CUDA_SUCCESS : CUDA_ERROR_CONTEXT_IS_DESTROYED;
}

void played_make_current(played_context *context) {
    own_context = context;
    own_generation = played.generation;
}

// MARK: For tests

void *played_cuda_find(const char *name) {
    const played_function *const tables[] = {played_device_functions, played_memory_functions,
                                             played_stream_functions, played_module_functions};
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        for (const played_function *f = tables[i]; f->name != NULL; f++)
            if (strcmp(f->name, name) == 0) return f->function;
    return NULL;
}

const char *played_cuda_fault(void) {
    static _Thread_local char text[PTX_ERROR_BYTES];
    PLAYED_LOCKED;
    memcpy(text, played.fault, sizeof text);
    return text[0] != 0 ? text : NULL;
}

void played_cuda_reset(void) {
    PLAYED_LOCKED;
    while (played.streams != NULL) {
        played_stream *stream = played.streams;
        played.streams = stream->next;
        played_drop(stream);
        free(stream);
    }
    played_free_events();
    while (played.modules != NULL) {
        played_module *module = played.modules;
        played.modules = module->next;
        played_free_module(module);
    }
    played_free_all_memory();
    uint64_t generation = played.generation + 1;
    played = (played_state){USUAL, .generation = generation};
}

size_t played_cuda_live(void) {
    PLAYED_LOCKED;
    size_t count = played.world.count;
    for (played_stream *s = played.streams; s != NULL; s = s->next) count += !s->is_own;
    for (played_event *e = played.events; e != NULL; e = e->next) count += !e->is_destroyed;
    for (played_module *m = played.modules; m != NULL; m = m->next) count++;
    for (int i = 0; i < PLAYED_DEVICES; i++) count += played.contexts[i].retained;
    return count;
}

void played_cuda_set_memory(uint64_t bytes) {
    PLAYED_LOCKED;
    played.memory = bytes;
}

void played_cuda_set_devices(int count) {
    PLAYED_LOCKED;
    played.device_count = count < 0 ? 0 : count > PLAYED_DEVICES ? PLAYED_DEVICES : count;
}

void played_cuda_set_limit(uint64_t instructions) {
    PLAYED_LOCKED;
    played.world.limit = instructions;
}

uint64_t played_cuda_instructions(void) {
    PLAYED_LOCKED;
    return played.world.instructions;
}
