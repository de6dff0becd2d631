#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "cuda.h"

static void *(*find_for_tests)(const char *);

void cmd_use_cuda(void *(*find)(const char *name)) { find_for_tests = find; }

bool cuda_succeeded(
    const cuda_driver *driver, cu_result result, const char *call, cmd_error *error) {
    if (result == CU_SUCCESS) return true;
    if (result == CU_OUT_OF_MEMORY) error->status = CMD_OUT_OF_MEMORY;
    else if (result == CU_NO_DEVICE || result == CU_INVALID_DEVICE) error->status = CMD_NO_DEVICE;
    else if (result == CU_NOT_READY) error->status = CMD_TIMED_OUT;
    else if (result == CU_ECC_UNCORRECTABLE
             || (result >= CU_ILLEGAL_ADDRESS && result <= CU_LAUNCH_FAILED))
        error->status = CMD_DEVICE_LOST;
    else error->status = CMD_FAILED;
    const char *name = NULL;
    if (driver->cuGetErrorName(result, &name) != CU_SUCCESS || name == NULL) name = "unknown";
    snprintf(error->text, sizeof error->text, "%s gave %s (%d)", call, name, result);
    return false;
}

static bool fill_table(
    cuda_driver *driver, void *(*find)(const char *), void *library, cmd_error *error) {
#define FIND(call, ...) \
    driver->call = (cu_result(*)(__VA_ARGS__))(find != NULL ? find(#call) : dlsym(library, #call)); \
    if (driver->call == NULL) return cmd_fail(error, CMD_NO_DRIVER, "the CUDA driver has no " #call);
    CUDA_CALLS(FIND)
#undef FIND
    return true;
}

static cuda_driver found;
static bool is_found;
static pthread_mutex_t finding = PTHREAD_MUTEX_INITIALIZER;

static bool find_driver(cmd_error *error) {
    if (is_found) return true;
    void *library = cmd_open_library("libcuda.so.1", error);
    if (library == NULL) return false;
    is_found = fill_table(&found, NULL, library, error);
    if (!is_found) dlclose(library);
    return is_found;
}

const cuda_driver *cuda_open_driver(cmd_error *error) {
    static cuda_driver played;
    const cuda_driver *driver = NULL;
    pthread_mutex_lock(&finding);
    if (find_for_tests != NULL) driver = fill_table(&played, find_for_tests, NULL, error) ? &played : NULL;
    else if (find_driver(error)) driver = &found;
    pthread_mutex_unlock(&finding);
    if (driver == NULL) return NULL;
    if (TRY_CUDA(driver, cuInit, error, 0)) return driver;
    if (error->status != CMD_OUT_OF_MEMORY) error->status = CMD_NO_DRIVER;
    return NULL;
}

static bool attribute(
    const cuda_driver *driver, cu_ordinal device, int which, int *value, cmd_error *error) {
    return TRY_CUDA(driver, cuDeviceGetAttribute, error, value, which, device);
}

bool cuda_describe(
    const cuda_driver *driver, int number, cmd_description *out, cu_ordinal *device,
    cmd_error *error) {
    memset(out, 0, sizeof *out);
    size_t memory = 0;
    int version = 0, major = 0, minor = 0, warp = 0, integrated = 0, engines = 0, unified = 0;
    if (!TRY_CUDA(driver, cuDeviceGet, error, device, number)
        || !TRY_CUDA(driver, cuDeviceGetName, error, out->name, sizeof out->name - 1, *device)
        || !TRY_CUDA(driver, cuDeviceTotalMem_v2, error, &memory, *device)
        || !TRY_CUDA(driver, cuDriverGetVersion, error, &version)
        || !attribute(driver, *device, CU_CAPABILITY_MAJOR, &major, error)
        || !attribute(driver, *device, CU_CAPABILITY_MINOR, &minor, error)
        || !attribute(driver, *device, CU_WARP_SIZE, &warp, error)
        || !attribute(driver, *device, CU_INTEGRATED, &integrated, error)
        || !attribute(driver, *device, CU_ASYNC_ENGINES, &engines, error)
        || !attribute(driver, *device, CU_UNIFIED_ADDRESSING, &unified, error))
        return false;
    out->version_major = (uint32_t)version / 1000;
    out->version_minor = (uint32_t)version % 1000 / 10;
    snprintf(out->driver, sizeof out->driver, "compute capability %d.%d", major, minor);
    out->shares_memory = integrated != 0;
    out->has_copy_queue = engines > 0;
    out->memory = out->largest_allocation = memory;
    out->subgroup = (uint32_t)warp;
    out->has_bf16_tiles = major >= 8;
    const char *why = "";
    if (major < 8) why = "its compute capability is below 8.0";
    else if (warp != 32) why = "its warps are not of 32 threads";
    else if (!unified) why = "host and device have no common addresses";
    snprintf(out->refusal, sizeof out->refusal, "%s", why);
    return true;
}

size_t cuda_list(cmd_description *descriptions, size_t capacity, cmd_error *error) {
    const cuda_driver *driver = cuda_open_driver(error);
    int count = 0;
    if (driver == NULL || !TRY_CUDA(driver, cuDeviceGetCount, error, &count)) return 0;
    if (count <= 0) cmd_fail(error, CMD_NO_DRIVER, "the CUDA driver found no device");
    for (int i = 0; i < count && (size_t)i < capacity; i++) {
        cu_ordinal device;
        if (!cuda_describe(driver, i, &descriptions[i], &device, error)) return 0;
    }
    return count > 0 ? (size_t)count : 0;
}
