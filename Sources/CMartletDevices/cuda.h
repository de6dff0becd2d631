// The part of CUDA's driver interface that the CUDA backend uses, and what its files share.
//
// Names, arguments and numbers are those of NVIDIA's CUDA Driver API documentation; a driver keeps them for good. Functions
// whose names end in _v2 are those that a current cuda.h means by the name without.
#ifndef CMD_CUDA_H
#define CMD_CUDA_H

#include "backend.h"

typedef int cu_result, cu_ordinal;
typedef uint64_t cu_address;
typedef struct cu_context *cu_context;
typedef struct cu_module *cu_module;
typedef struct cu_function *cu_function;
typedef struct cu_stream *cu_stream;
typedef struct cu_event *cu_event;

enum {
    CU_SUCCESS = 0, CU_OUT_OF_MEMORY = 2, CU_NO_DEVICE = 100, CU_INVALID_DEVICE = 101,
    CU_NOT_READY = 600,
    // What leaves a context of no use is between these, with uncorrectable memory.
    CU_ECC_UNCORRECTABLE = 214, CU_ILLEGAL_ADDRESS = 700, CU_LAUNCH_FAILED = 719,
    CU_STREAM_NON_BLOCKING = 1, CU_EVENT_DISABLE_TIMING = 2,
    CU_HOST_PORTABLE = 1, CU_HOST_DEVICE_MAP = 2,
    CU_WARP_SIZE = 10, CU_INTEGRATED = 18, CU_ASYNC_ENGINES = 40, CU_UNIFIED_ADDRESSING = 41,
    CU_CAPABILITY_MAJOR = 75, CU_CAPABILITY_MINOR = 76,
};

/// name(arguments): the functions, each found by its name.
#define CUDA_CALLS(CALL) \
    CALL(cuInit, unsigned flags) \
    CALL(cuDriverGetVersion, int *version) \
    CALL(cuDeviceGetCount, int *count) \
    CALL(cuDeviceGet, cu_ordinal *device, int number) \
    CALL(cuDeviceGetName, char *name, int capacity, cu_ordinal device) \
    CALL(cuDeviceTotalMem_v2, size_t *bytes, cu_ordinal device) \
    CALL(cuDeviceGetAttribute, int *value, int attribute, cu_ordinal device) \
    CALL(cuDevicePrimaryCtxRetain, cu_context *context, cu_ordinal device) \
    CALL(cuDevicePrimaryCtxRelease_v2, cu_ordinal device) \
    CALL(cuCtxSetCurrent, cu_context context) \
    CALL(cuMemGetInfo_v2, size_t *free, size_t *total) \
    CALL(cuMemAlloc_v2, cu_address *address, size_t bytes) \
    CALL(cuMemFree_v2, cu_address address) \
    CALL(cuMemHostAlloc, void **host, size_t bytes, unsigned flags) \
    CALL(cuMemHostGetDevicePointer_v2, cu_address *address, void *host, unsigned flags) \
    CALL(cuMemFreeHost, void *host) \
    CALL(cuModuleLoadDataEx, cu_module *module, const void *image, unsigned count, int *options, \
         void **values) \
    CALL(cuModuleUnload, cu_module module) \
    CALL(cuModuleGetFunction, cu_function *function, cu_module module, const char *name) \
    CALL(cuLaunchKernel, cu_function function, unsigned x, unsigned y, unsigned z, \
         unsigned x_threads, unsigned y_threads, unsigned z_threads, unsigned shared_bytes, \
         cu_stream stream, void **parameters, void **extra) \
    CALL(cuStreamCreate, cu_stream *stream, unsigned flags) \
    CALL(cuStreamDestroy_v2, cu_stream stream) \
    CALL(cuStreamSynchronize, cu_stream stream) \
    CALL(cuEventCreate, cu_event *event, unsigned flags) \
    CALL(cuEventDestroy_v2, cu_event event) \
    CALL(cuEventRecord, cu_event event, cu_stream stream) \
    CALL(cuEventQuery, cu_event event) \
    CALL(cuMemcpyAsync, cu_address to, cu_address from, size_t bytes, cu_stream stream) \
    CALL(cuMemsetD32Async, cu_address to, unsigned word, size_t count, cu_stream stream) \
    CALL(cuGetErrorName, cu_result result, const char **name)

#define DECLARE_CUDA(name, ...) cu_result (*name)(__VA_ARGS__);

/// The driver, as long as the process lives: none may be unloaded.
typedef struct cuda_driver {
    CUDA_CALLS(DECLARE_CUDA)
} cuda_driver;

/// Finds the driver; NULL with an error.
const cuda_driver *cuda_open_driver(cmd_error *error);
bool cuda_succeeded(
    const cuda_driver *driver, cu_result result, const char *call, cmd_error *error);
size_t cuda_list(cmd_description *descriptions, size_t capacity, cmd_error *error);
/// What a device is, and why kernels cannot run on it.
bool cuda_describe(
    const cuda_driver *driver, int number, cmd_description *out, cu_ordinal *device,
    cmd_error *error);

/// Makes a driver call unless a test wants it to fail, and tells whether it succeeded.
#define TRY_CUDA(driver, call, error, ...) \
    (!cmd_is_injected(#call, error) \
     && cuda_succeeded(driver, (driver)->call(__VA_ARGS__), #call, error))

#endif
