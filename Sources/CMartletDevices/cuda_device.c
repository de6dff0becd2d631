#define _POSIX_C_SOURCE 200809L  // clock_gettime, nanosleep

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cuda.h"

/// A stream, and events that tell how far it is.
typedef struct cuda_queue {
    cu_stream stream;
    cu_event events[RECORDS];
    uint64_t submitted;
    /// The first call of a record that failed, told when it is submitted.
    bool has_failed;
    cmd_error failure;
} cuda_queue;

typedef struct cuda_device {
    cmd_device shared;
    const cuda_driver *driver;
    cu_ordinal ordinal;
    cu_context context;
    cuda_queue queues[CMD_QUEUE_COUNT];
    cu_module modules[CMD_KERNEL_COUNT][2];
    cu_function functions[CMD_KERNEL_COUNT][2];
} cuda_device;

/// The device is the calling thread's, which may be another than before.
static bool enter(cuda_device *device, cmd_error *error) {
    return TRY_CUDA(device->driver, cuCtxSetCurrent, error, device->context);
}

static void close_queue(const cuda_driver *driver, cuda_queue *queue) {
    if (queue->stream == NULL) return;
    driver->cuStreamSynchronize(queue->stream);
    for (size_t i = 0; i < RECORDS; i++)
        if (queue->events[i] != NULL) driver->cuEventDestroy_v2(queue->events[i]);
    driver->cuStreamDestroy_v2(queue->stream);
}

static void cuda_close(cmd_device *shared) {
    cuda_device *device = (cuda_device *)shared;
    if (device->context != NULL) {
        const cuda_driver *driver = device->driver;
        driver->cuCtxSetCurrent(device->context);
        for (size_t i = 0; i < CMD_QUEUE_COUNT; i++) close_queue(driver, &device->queues[i]);
        for (size_t kernel = 0; kernel < CMD_KERNEL_COUNT; kernel++)
            for (size_t element = 0; element < 2; element++)
                if (device->modules[kernel][element] != NULL)
                    driver->cuModuleUnload(device->modules[kernel][element]);
        driver->cuCtxSetCurrent(NULL);
        driver->cuDevicePrimaryCtxRelease_v2(device->ordinal);
    }
    free(device);
}

static bool create_queue(const cuda_driver *driver, cuda_queue *queue, cmd_error *error) {
    if (!TRY_CUDA(driver, cuStreamCreate, error, &queue->stream, CU_STREAM_NON_BLOCKING)) {
        queue->stream = NULL;
        return false;
    }
    for (size_t i = 0; i < RECORDS; i++)
        if (!TRY_CUDA(driver, cuEventCreate, error, &queue->events[i], CU_EVENT_DISABLE_TIMING)) {
            queue->events[i] = NULL;
            return false;
        }
    return true;
}

static bool open_device(cuda_device *device, size_t number, cmd_error *error) {
    int count = 0;
    cmd_description description;
    device->driver = cuda_open_driver(error);
    if (device->driver == NULL || !TRY_CUDA(device->driver, cuDeviceGetCount, error, &count))
        return false;
    if (count < 0 || number >= (size_t)count)
        return cmd_fail(error, CMD_NO_DEVICE, "there is no such device");
    if (!cuda_describe(device->driver, (int)number, &description, &device->ordinal, error))
        return false;
    if (description.refusal[0] != 0)
        return cmd_fail(error, CMD_UNSUPPORTED, description.refusal);
    cu_context context = NULL;
    if (!TRY_CUDA(device->driver, cuDevicePrimaryCtxRetain, error, &context, device->ordinal))
        return false;
    device->context = context;
    return enter(device, error)
        && create_queue(device->driver, &device->queues[CMD_STEPS], error)
        && create_queue(device->driver, &device->queues[CMD_COPIES], error);
}

static cmd_device *cuda_open(size_t number, cmd_error *error) {
    cuda_device *device = calloc(1, sizeof *device);
    if (device == NULL) {
        cmd_fail(error, CMD_OUT_OF_MEMORY, "out of memory");
        return NULL;
    }
    device->shared.backend = &cmd_cuda;
    if (open_device(device, number, error)) return &device->shared;
    cuda_close(&device->shared);
    return NULL;
}

static bool cuda_free_memory(cmd_device *shared, uint64_t *bytes) {
    cuda_device *device = (cuda_device *)shared;
    cmd_error ignored;
    size_t free = 0, total = 0;
    if (!enter(device, &ignored)
        || !TRY_CUDA(device->driver, cuMemGetInfo_v2, &ignored, &free, &total))
        return false;
    *bytes = free;
    return true;
}

// MARK: Memory

static bool cuda_allocate(
    cmd_device *shared, uint64_t size, cmd_place_of place, cmd_memory *out, cmd_error *error) {
    cuda_device *device = (cuda_device *)shared;
    const cuda_driver *driver = device->driver;
    cmd_memory memory = {.size = size};
    if (!enter(device, error)) return false;
    if (place == CMD_ON_DEVICE) {
        if (!TRY_CUDA(driver, cuMemAlloc_v2, error, &memory.address, size)) return false;
    } else {
        unsigned flags = CU_HOST_PORTABLE | CU_HOST_DEVICE_MAP;
        if (!TRY_CUDA(driver, cuMemHostAlloc, error, &memory.host, size, flags)) return false;
        if (!TRY_CUDA(
                driver, cuMemHostGetDevicePointer_v2, error, &memory.address, memory.host, 0)) {
            driver->cuMemFreeHost(memory.host);
            return false;
        }
    }
    *out = memory;
    return true;
}

static bool cuda_import(
    cmd_device *device, void *host, uint64_t size, cmd_memory *memory, cmd_error *error) {
    (void)device, (void)host, (void)size, (void)memory;
    return cmd_fail(error, CMD_UNSUPPORTED, "through CUDA it does not take the host's memory");
}

static void cuda_free(cmd_device *shared, cmd_memory *memory) {
    cuda_device *device = (cuda_device *)shared;
    device->driver->cuCtxSetCurrent(device->context);
    for (size_t i = 0; i < CMD_QUEUE_COUNT; i++)
        device->driver->cuStreamSynchronize(device->queues[i].stream);
    if (memory->host != NULL) device->driver->cuMemFreeHost(memory->host);
    else if (memory->address != 0) device->driver->cuMemFree_v2(memory->address);
    memset(memory, 0, sizeof *memory);
}

// MARK: Kernels

static bool cuda_prepare(
    cmd_device *shared, cmd_kernel kernel, unsigned element, cmd_error *error) {
    cuda_device *device = (cuda_device *)shared;
    const cmd_code *code = &cmd_kernels[kernel][element];
    if (device->functions[kernel][element] != NULL) return true;
    if (code->ptx == NULL) return cmd_fail(error, CMD_UNSUPPORTED, "CUDA does without this kernel");
    cu_module module = NULL;
    cu_function function = NULL;
    if (!enter(device, error)
        || !TRY_CUDA(
            device->driver, cuModuleLoadDataEx, error, &module, code->ptx, 0, NULL, NULL))
        return false;
    if (!TRY_CUDA(device->driver, cuModuleGetFunction, error, &function, module, code->entry)) {
        device->driver->cuModuleUnload(module);
        return false;
    }
    device->modules[kernel][element] = module;
    device->functions[kernel][element] = function;
    return true;
}

// MARK: Work. A stream begins what it is given at once and in order, so a record is an event at its end.

static bool cuda_wait(
    cmd_device *shared, cmd_queue queue, uint64_t work, uint64_t nanoseconds, cmd_error *error);

static bool cuda_begin(
    cmd_device *shared, cmd_queue number, uint64_t nanoseconds, cmd_error *error) {
    cuda_device *device = (cuda_device *)shared;
    cuda_queue *queue = &device->queues[number];
    if (queue->submitted >= RECORDS
        && !cuda_wait(shared, number, queue->submitted - RECORDS + 1, nanoseconds, error))
        return false;
    queue->has_failed = false;
    return enter(device, error);
}

/// Keeps the first failure of a record.
#define TRY_IN_RECORD(device, queue, call, ...) \
    do { \
        if (!(queue)->has_failed) \
            (queue)->has_failed = \
                !TRY_CUDA((device)->driver, call, &(queue)->failure, __VA_ARGS__); \
    } while (0)

static void cuda_dispatch(
    cmd_device *shared, cmd_kernel kernel, unsigned element, const void *arguments, size_t size,
    uint32_t x, uint32_t y, uint32_t z) {
    cuda_device *device = (cuda_device *)shared;
    cuda_queue *queue = &device->queues[CMD_STEPS];
    // CU_LAUNCH_PARAM_BUFFER_POINTER, _SIZE and _END.
    void *extra[] = {(void *)1, (void *)(uintptr_t)arguments, (void *)2, &size, NULL};
    TRY_IN_RECORD(
        device, queue, cuLaunchKernel, device->functions[kernel][element], x, y, z,
        cmd_kernels[kernel][element].threads, 1, 1, 0, queue->stream, NULL, extra);
}

static void cuda_barrier(cmd_device *device, cmd_queue queue) { (void)device, (void)queue; }

static void cuda_copy(
    cmd_device *shared, cmd_queue number, const cmd_memory *from, uint64_t from_offset,
    const cmd_memory *to, uint64_t to_offset, uint64_t size) {
    cuda_device *device = (cuda_device *)shared;
    cuda_queue *queue = &device->queues[number];
    TRY_IN_RECORD(
        device, queue, cuMemcpyAsync, to->address + to_offset, from->address + from_offset, size,
        queue->stream);
}

static void cuda_fill(
    cmd_device *shared, const cmd_memory *memory, uint64_t offset, uint64_t size, uint32_t word) {
    cuda_device *device = (cuda_device *)shared;
    cuda_queue *queue = &device->queues[CMD_STEPS];
    TRY_IN_RECORD(
        device, queue, cuMemsetD32Async, memory->address + offset, word, size / 4, queue->stream);
}

static uint64_t cuda_submit(cmd_device *shared, cmd_queue number, cmd_error *error) {
    cuda_device *device = (cuda_device *)shared;
    cuda_queue *queue = &device->queues[number];
    if (queue->has_failed) {
        *error = queue->failure;
        return 0;
    }
    cu_event event = queue->events[queue->submitted % RECORDS];
    if (!TRY_CUDA(device->driver, cuEventRecord, error, event, queue->stream)) return 0;
    return ++queue->submitted;
}

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

/// Asks often at first, then every so often: steps take milliseconds, and the driver's own wait has no limit.
static bool cuda_wait(
    cmd_device *shared, cmd_queue number, uint64_t work, uint64_t nanoseconds, cmd_error *error) {
    enum { EAGER = 200000, PAUSE = 20000 };
    cuda_device *device = (cuda_device *)shared;
    cuda_queue *queue = &device->queues[number];
    // What came before the last records was waited for when they began.
    if (work + RECORDS <= queue->submitted) return true;
    if (!enter(device, error)) return false;
    cu_event event = queue->events[(work - 1) % RECORDS];
    for (uint64_t begin = now();;) {
        if (cmd_is_injected("cuEventQuery", error)) return false;
        cu_result result = device->driver->cuEventQuery(event);
        if (result != CU_NOT_READY)
            return cuda_succeeded(device->driver, result, "cuEventQuery", error);
        uint64_t spent = now() - begin;
        if (spent >= nanoseconds)
            return cmd_fail(error, CMD_TIMED_OUT, "the device has not answered in time");
        if (spent > EAGER) nanosleep(&(struct timespec){.tv_nsec = PAUSE}, NULL);
    }
}

const cmd_backend cmd_cuda = {
    .list = cuda_list, .open = cuda_open, .close = cuda_close, .free_memory = cuda_free_memory,
    .allocate = cuda_allocate, .import = cuda_import, .free = cuda_free, .prepare = cuda_prepare,
    .begin = cuda_begin, .dispatch = cuda_dispatch, .barrier = cuda_barrier, .copy = cuda_copy,
    .fill = cuda_fill, .submit = cuda_submit, .wait = cuda_wait};
