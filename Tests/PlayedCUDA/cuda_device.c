#include <stdio.h>
#include <string.h>

#include "cuda_driver.h"

// Devices, their primary contexts, and the names of errors.

static played_result check_device(int device) {
    if (!played.is_initialized) return CUDA_ERROR_NOT_INITIALIZED;
    return device >= 0 && device < played.device_count ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}

static int cu_init(unsigned flags) {
    PLAYED_LOCKED;
    if (flags != 0) return CUDA_ERROR_INVALID_VALUE;
    if (played.device_count == 0) return CUDA_ERROR_NO_DEVICE;
    played.is_initialized = true;
    for (int i = 0; i < PLAYED_DEVICES; i++) played.contexts[i].device = i;
    return CUDA_SUCCESS;
}

static int cu_driver_version(int *version) {
    if (version == NULL) return CUDA_ERROR_INVALID_VALUE;
    *version = PLAYED_DRIVER_VERSION;
    return CUDA_SUCCESS;
}

static int cu_device_count(int *count) {
    PLAYED_LOCKED;
    if (!played.is_initialized) return CUDA_ERROR_NOT_INITIALIZED;
    if (count == NULL) return CUDA_ERROR_INVALID_VALUE;
    *count = played.device_count;
    return CUDA_SUCCESS;
}

static int cu_device_get(int *device, int ordinal) {
    PLAYED_LOCKED;
    played_result result = check_device(ordinal);
    if (result != CUDA_SUCCESS) return result;
    if (device == NULL) return CUDA_ERROR_INVALID_VALUE;
    *device = ordinal;
    return CUDA_SUCCESS;
}

static int cu_device_name(char *name, int length, int device) {
    PLAYED_LOCKED;
    played_result result = check_device(device);
    if (result != CUDA_SUCCESS) return result;
    if (name == NULL || length <= 0) return CUDA_ERROR_INVALID_VALUE;
    snprintf(name, (size_t)length, "Played device %d", device);
    return CUDA_SUCCESS;
}

static int cu_device_uuid(unsigned char *uuid, int device) {
    PLAYED_LOCKED;
    played_result result = check_device(device);
    if (result != CUDA_SUCCESS) return result;
    if (uuid == NULL) return CUDA_ERROR_INVALID_VALUE;
    memcpy(uuid, "played device  ", 16);
    uuid[14] = (unsigned char)('0' + device);
    return CUDA_SUCCESS;
}

static int cu_device_memory(size_t *bytes, int device) {
    PLAYED_LOCKED;
    played_result result = check_device(device);
    if (result != CUDA_SUCCESS) return result;
    if (bytes == NULL) return CUDA_ERROR_INVALID_VALUE;
    *bytes = played.memory;
    return CUDA_SUCCESS;
}

static int cu_device_attribute(int *value, int attribute, int device) {
    static const struct {
        int attribute, value;
    } table[] = {
        {1, 1024},                 // threads of a group
        {2, 1024}, {3, 1024}, {4, 64},
        {5, INT32_MAX}, {6, 65535}, {7, 65535},
        {8, PLAYED_SHARED_BYTES},  // shared memory of a group
        {9, 65536},                // constant memory
        {10, PTX_LANES},           // lanes of a warp
        {11, INT32_MAX},           // largest pitch
        {12, 65536},               // registers of a group
        {13, 1410000},             // clock in kHz
        {14, 512},                 // alignment of textures
        {15, 1},                   // copies beside kernels
        {16, 4},                   // multiprocessors
        {17, 0},                   // no limit of time
        {18, 0},                   // not integrated
        {19, 1},                   // maps host memory
        {20, 0},                   // compute mode: default
        {31, 1},                   // concurrent kernels
        {32, 0},                   // error correction
        {33, 1}, {34, 0}, {50, 0}, // where on the bus
        {35, 0},
        {36, 1215000}, {37, 5120}, // memory: kHz, bits
        {38, 1 << 20},             // cache
        {39, 2048},                // threads of a multiprocessor
        {40, 2},                   // engines that copy
        {41, 1},                   // unified addressing
        {75, PLAYED_CAPABILITY / 10}, {76, PLAYED_CAPABILITY % 10},
        {78, 1},                   // priorities of streams
        {81, 167936}, {82, 65536}, // a multiprocessor's shared memory and registers
        {83, 0}, {84, 0}, {88, 0}, {89, 0}, {91, 1}, {95, 0},
        {97, PLAYED_SHARED_BYTES}, // shared memory of a group that asks for more: no more
        {115, 0}};                 // pools of memory
    PLAYED_LOCKED;
    played_result result = check_device(device);
    if (result != CUDA_SUCCESS) return result;
    if (value == NULL) return CUDA_ERROR_INVALID_VALUE;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (table[i].attribute == attribute) {
            *value = attribute == 33 ? device + 1 : table[i].value;
            return CUDA_SUCCESS;
        }
    return CUDA_ERROR_INVALID_VALUE;
}

// MARK: Contexts

static int cu_retain(void **context, int device) {
    PLAYED_LOCKED;
    played_result result = check_device(device);
    if (result != CUDA_SUCCESS) return result;
    if (context == NULL) return CUDA_ERROR_INVALID_VALUE;
    played_context *found = &played.contexts[device];
    if (found->is_broken) return CUDA_ERROR_ILLEGAL_ADDRESS;
    found->retained++;
    *context = found;
    return CUDA_SUCCESS;
}

/// A broken context can be released too, but says that it is broken.
static int cu_release(int device) {
    PLAYED_LOCKED;
    played_result result = check_device(device);
    if (result != CUDA_SUCCESS) return result;
    played_context *context = &played.contexts[device];
    if (context->retained == 0) return CUDA_ERROR_INVALID_CONTEXT;
    context->retained--;
    return context->is_broken ? CUDA_ERROR_ILLEGAL_ADDRESS : CUDA_SUCCESS;
}

static int cu_set_current(void *context) {
    PLAYED_LOCKED;
    if (!played.is_initialized) return CUDA_ERROR_NOT_INITIALIZED;
    played_context *found = NULL;
    for (int i = 0; i < played.device_count && context != NULL; i++)
        if (context == &played.contexts[i]) found = &played.contexts[i];
    if (context != NULL && (found == NULL || found->retained == 0))
        return CUDA_ERROR_INVALID_CONTEXT;
    if (found != NULL && found->is_broken) return CUDA_ERROR_ILLEGAL_ADDRESS;
    played_make_current(found);
    return CUDA_SUCCESS;
}

static int cu_get_current(void **context) {
    PLAYED_LOCKED;
    if (context == NULL) return CUDA_ERROR_INVALID_VALUE;
    played_context *found = NULL;
    played_result result = played_current(&found);
    if (result == CUDA_ERROR_NOT_INITIALIZED) return result;
    *context = found;
    return CUDA_SUCCESS;
}

// MARK: Errors

static const struct {
    played_result result;
    const char *name, *text;
} errors[] = {
    {CUDA_SUCCESS, "CUDA_SUCCESS", "no error"},
    {CUDA_ERROR_INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE", "an argument is not valid"},
    {CUDA_ERROR_OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY", "there is not enough memory"},
    {CUDA_ERROR_NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED", "cuInit was not called"},
    {CUDA_ERROR_DEINITIALIZED, "CUDA_ERROR_DEINITIALIZED", "the driver is shutting down"},
    {CUDA_ERROR_NO_DEVICE, "CUDA_ERROR_NO_DEVICE", "there is no device"},
    {CUDA_ERROR_INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE", "there is no such device"},
    {CUDA_ERROR_INVALID_IMAGE, "CUDA_ERROR_INVALID_IMAGE", "the image is not valid"},
    {CUDA_ERROR_INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT", "no context is current"},
    {CUDA_ERROR_NO_BINARY_FOR_GPU, "CUDA_ERROR_NO_BINARY_FOR_GPU",
     "the image is not for this device"},
    {CUDA_ERROR_INVALID_PTX, "CUDA_ERROR_INVALID_PTX", "the PTX cannot be compiled"},
    {CUDA_ERROR_UNSUPPORTED_PTX_VERSION, "CUDA_ERROR_UNSUPPORTED_PTX_VERSION",
     "the PTX is newer than the driver"},
    {CUDA_ERROR_INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE", "a handle is not valid"},
    {CUDA_ERROR_NOT_FOUND, "CUDA_ERROR_NOT_FOUND", "the name was not found"},
    {CUDA_ERROR_NOT_READY, "CUDA_ERROR_NOT_READY", "the work is not done yet"},
    {CUDA_ERROR_ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS",
     "a kernel did what it must not (played_cuda_fault tells what)"},
    {CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES",
     "the launch asks for too much"},
    {CUDA_ERROR_LAUNCH_TIMEOUT, "CUDA_ERROR_LAUNCH_TIMEOUT", "a kernel took too long"},
    {CUDA_ERROR_CONTEXT_IS_DESTROYED, "CUDA_ERROR_CONTEXT_IS_DESTROYED",
     "the current context is gone"},
    {CUDA_ERROR_LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED", "a kernel failed"},
    {CUDA_ERROR_NOT_SUPPORTED, "CUDA_ERROR_NOT_SUPPORTED", "this is not supported"},
    {CUDA_ERROR_UNKNOWN, "CUDA_ERROR_UNKNOWN", "an error that nobody knows"}};

static int error_part(int error, const char **text, bool is_name) {
    if (text == NULL) return CUDA_ERROR_INVALID_VALUE;
    *text = NULL;
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        if ((int)errors[i].result == error) *text = is_name ? errors[i].name : errors[i].text;
    return *text != NULL ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

static int cu_error_name(int error, const char **text) { return error_part(error, text, true); }
static int cu_error_string(int error, const char **text) { return error_part(error, text, false); }

const played_function played_device_functions[] = {
    {"cuInit", (void *)cu_init},
    {"cuDriverGetVersion", (void *)cu_driver_version},
    {"cuDeviceGetCount", (void *)cu_device_count},
    {"cuDeviceGet", (void *)cu_device_get},
    {"cuDeviceGetName", (void *)cu_device_name},
    {"cuDeviceGetUuid", (void *)cu_device_uuid},
    {"cuDeviceGetUuid_v2", (void *)cu_device_uuid},
    {"cuDeviceTotalMem_v2", (void *)cu_device_memory},
    {"cuDeviceGetAttribute", (void *)cu_device_attribute},
    {"cuDevicePrimaryCtxRetain", (void *)cu_retain},
    {"cuDevicePrimaryCtxRelease_v2", (void *)cu_release},
    {"cuCtxSetCurrent", (void *)cu_set_current},
    {"cuCtxGetCurrent", (void *)cu_get_current},
    {"cuGetErrorName", (void *)cu_error_name},
    {"cuGetErrorString", (void *)cu_error_string},
    {NULL, NULL}};
