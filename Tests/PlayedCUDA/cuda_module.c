#include <stdlib.h>
#include <string.h>

#include "cuda_driver.h"

// Modules and launches.

/// Options of cuModuleLoadDataEx that say where an error's text goes.
enum { JIT_ERROR_LOG_BUFFER = 5, JIT_ERROR_LOG_BUFFER_SIZE_BYTES = 6 };
/// What the array `extra` of a launch has.
#define LAUNCH_PARAM_END ((void *)0)
#define LAUNCH_PARAM_BUFFER_POINTER ((void *)1)
#define LAUNCH_PARAM_BUFFER_SIZE ((void *)2)

// MARK: Modules

static void write_log(const char *text, unsigned count, const int *options, void **values) {
    char *buffer = NULL;
    size_t size = 0;
    for (unsigned i = 0; i < count; i++) {
        if (options[i] == JIT_ERROR_LOG_BUFFER) buffer = values[i];
        if (options[i] == JIT_ERROR_LOG_BUFFER_SIZE_BYTES)
            size = (unsigned)(uintptr_t)values[i];
    }
    if (buffer == NULL || size == 0) return;
    size_t length = strlen(text) < size ? strlen(text) : size - 1;
    memcpy(buffer, text, length);
    buffer[length] = 0;
}

/// Without the gaps that the played driver puts between arrays.
static uint64_t shared_bytes(const ptx_entry *entry) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < entry->object_count; i++)
        if (entry->objects[i].space == PTX_SHARED) bytes += entry->objects[i].size;
    return bytes;
}

static played_result check_module(const ptx_module *ptx) {
    if (ptx->version > PLAYED_PTX_VERSION) {
        played_note("PTX %d.%d is newer than the driver", ptx->version / 10, ptx->version % 10);
        return CUDA_ERROR_UNSUPPORTED_PTX_VERSION;
    }
    if (ptx->target > PLAYED_CAPABILITY) {
        played_note("PTX for sm_%d on a device of sm_%d", ptx->target, PLAYED_CAPABILITY);
        return CUDA_ERROR_NO_BINARY_FOR_GPU;
    }
    for (size_t i = 0; i < ptx->entry_count; i++) {
        uint64_t bytes = shared_bytes(&ptx->entries[i]);
        if (bytes <= PLAYED_SHARED_BYTES) continue;
        played_note("kernel %s has %llu bytes of shared memory", ptx->entries[i].name,
                    (unsigned long long)bytes);
        return CUDA_ERROR_INVALID_PTX;
    }
    return CUDA_SUCCESS;
}

static int cu_load(void **handle, const void *image, unsigned count, int *options,
                   void **values) {
    PLAYED_LOCKED;
    played_context *context;
    played_result result = played_current(&context);
    if (result != CUDA_SUCCESS) return result;
    if (handle == NULL || image == NULL) return CUDA_ERROR_INVALID_VALUE;
    if (memcmp(image, "\x7f" "ELF", 4) == 0) return CUDA_ERROR_NO_BINARY_FOR_GPU;
    char error[PTX_ERROR_BYTES];
    ptx_module *ptx = ptx_parse(image, error);
    if (ptx == NULL) {
        played_note("the PTX of a module is refused: %s", error);
        write_log(error, count, options, values);
        return CUDA_ERROR_INVALID_PTX;
    }
    result = check_module(ptx);
    if (result != CUDA_SUCCESS) {
        ptx_free(ptx);
        return result;
    }
    played_module *module = calloc(1, sizeof *module);
    if (module == NULL) abort();
    *module = (played_module){played.modules, context, ptx};
    played.modules = module;
    *handle = module;
    return CUDA_SUCCESS;
}

void played_free_module(played_module *module) {
    ptx_free(module->ptx);
    free(module);
}

static bool has_entry(const played_module *module, const ptx_entry *entry) {
    for (size_t i = 0; i < module->ptx->entry_count; i++)
        if (&module->ptx->entries[i] == entry) return true;
    return false;
}

bool played_uses_module(const played_module *module) {
    for (played_stream *s = played.streams; s != NULL; s = s->next)
        for (played_work *w = s->first; w != NULL; w = w->next)
            if (w->kind == PLAYED_LAUNCH && has_entry(module, w->launch.entry)) return true;
    return false;
}

static played_module **find_module(void *handle) {
    played_module **at = &played.modules;
    while (*at != NULL && *at != handle) at = &(*at)->next;
    return at;
}

static int cu_unload(void *handle) {
    PLAYED_LOCKED;
    played_context *context;
    played_result result = played_current(&context);
    if (result != CUDA_SUCCESS) return result;
    played_module **at = find_module(handle), *module = *at;
    if (module == NULL) return CUDA_ERROR_INVALID_HANDLE;
    if (played_uses_module(module)) {
        played_note("a module is unloaded while a launch of its kernels is queued");
        context->is_broken = true;
        return CUDA_ERROR_ILLEGAL_ADDRESS;
    }
    *at = module->next;
    played_free_module(module);
    return CUDA_SUCCESS;
}

static int cu_function(void **function, void *handle, const char *name) {
    PLAYED_LOCKED;
    played_context *context;
    played_result result = played_current(&context);
    if (result != CUDA_SUCCESS) return result;
    played_module *module = *find_module(handle);
    if (module == NULL) return CUDA_ERROR_INVALID_HANDLE;
    if (function == NULL || name == NULL) return CUDA_ERROR_INVALID_VALUE;
    *function = ptx_find_entry(module->ptx, name);
    return *function != NULL ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND;
}

// MARK: Launches

static bool is_within_limits(const ptx_launch *launch) {
    const uint32_t *grid = launch->grid, *block = launch->block;
    const ptx_entry *entry = launch->entry;
    uint64_t threads = (uint64_t)block[0] * block[1] * block[2];
    uint64_t shared = shared_bytes(entry) + launch->dynamic_bytes;
    return grid[0] > 0 && grid[1] > 0 && grid[2] > 0 && grid[0] <= INT32_MAX && grid[1] <= 65535
        && grid[2] <= 65535 && block[0] <= 1024 && block[1] <= 1024 && block[2] <= 64
        && threads > 0 && threads <= 1024 && shared <= PLAYED_SHARED_BYTES
        && (entry->most_threads == 0 || threads <= entry->most_threads);
}

/// The parameters as one buffer; NULL when they are not what the entry wants.
static uint8_t *take_params(const ptx_entry *entry, void **params, void **extra) {
    const void *buffer = NULL;
    size_t size = 0;
    for (; extra != NULL && *extra != LAUNCH_PARAM_END; extra += 2) {
        if (*extra == LAUNCH_PARAM_BUFFER_POINTER) buffer = extra[1];
        else if (*extra == LAUNCH_PARAM_BUFFER_SIZE) size = *(const size_t *)extra[1];
        else return NULL;
    }
    if (params == NULL && entry->param_bytes > 0 && (buffer == NULL || size != entry->param_bytes))
        return NULL;
    if (params != NULL && buffer != NULL) return NULL;
    uint8_t *taken = calloc(1, entry->param_bytes + 8u);
    if (taken == NULL) abort();
    if (buffer != NULL) memcpy(taken, buffer, entry->param_bytes);
    uint32_t number = 0;
    for (uint32_t i = 0; params != NULL && i < entry->object_count; i++) {
        const ptx_object *object = &entry->objects[i];
        if (object->space == PTX_PARAM)
            memcpy(taken + object->offset, params[number++], object->size);
    }
    return taken;
}

static int cu_launch(void *function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                     unsigned block_x, unsigned block_y, unsigned block_z, unsigned dynamic_bytes,
                     void *handle, void **params, void **extra) {
    PLAYED_LOCKED;
    played_context *context;
    played_result result = played_current(&context);
    if (result != CUDA_SUCCESS) return result;
    ptx_launch launch = {.entry = function, .device = context->device,
                         .grid = {grid_x, grid_y, grid_z}, .block = {block_x, block_y, block_z},
                         .dynamic_bytes = dynamic_bytes};
    played_module *module = played.modules;
    while (module != NULL && !has_entry(module, function)) module = module->next;
    played_stream *stream = played_find_stream(context, handle);
    if (module == NULL || module->context != context || stream == NULL)
        return CUDA_ERROR_INVALID_HANDLE;
    if (!is_within_limits(&launch)) return CUDA_ERROR_INVALID_VALUE;
    uint8_t *taken = take_params(launch.entry, params, extra);
    if (taken == NULL) return CUDA_ERROR_INVALID_VALUE;
    played_work *work = played_queue(stream, PLAYED_LAUNCH);
    launch.params = work->params = taken;
    work->launch = launch;
    return CUDA_SUCCESS;
}

const played_function played_module_functions[] = {
    {"cuModuleLoadDataEx", (void *)cu_load},
    {"cuModuleUnload", (void *)cu_unload},
    {"cuModuleGetFunction", (void *)cu_function},
    {"cuLaunchKernel", (void *)cu_launch},
    {NULL, NULL}};
